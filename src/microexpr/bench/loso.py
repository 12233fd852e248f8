"""Leave-one-subject-out on flow images of the size of MEGC 2019, from the files of a user to predicted clips."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed

from microexpr.bench.inputs import CLIPS, EMOTIONS, SUBJECTS, flow_images, write_manifest
from microexpr.bench.measuring import alternate, compared
from microexpr.bench.plain import estimators
from microexpr.bench.plain.training import TripleStream, leave_one_subject_out
from microexpr.bench.rows import Row, Size
from microexpr.bench.running import Job
from microexpr.config.experiment import Experiment
from microexpr.config.study import load
from microexpr.core.interfaces import ViewSpec, models
from microexpr.core.parallel import limited_threads
from microexpr.learning.device import device
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace

EMBEDDED = 64
"""Side of the images that a frozen backbone takes."""
HEADS = (0.01, 1.0)
"""Penalties C of the two heads on frozen features."""
BATCH, RATE, DECAY = 64, 1e-3, 1e-3
_EXACT = " and PCA's exact solver (scikit-learn would take the randomised one here)"


class _Case(NamedTuple):
    clips: int
    subjects: int
    folds: int
    """Folds of STSTNet; estimators run all."""
    epochs: int
    repeats: int
    apart: float
    """Difference of two accuracies of STSTNet that is allowed; after few epochs chance decides much."""


CASES = {
    "full": _Case(CLIPS, SUBJECTS, 8, 100, 2, 0.1),
    "small": _Case(120, 6, 2, 6, 2, 0.35),
    "tiny": _Case(100, 4, 2, 3, 1, 0.35),
}


def jobs(size: Size) -> list[Job]:
    """Return the jobs of this group."""
    case = CASES[size]
    found = [
        Job(
            "loso",
            (f"{title}, jobs {number}",),
            title,
            partial(_estimator, model=model, title=title, number=number, case=case),
        )
        for model, title in (("pca_svm", "PCA + SVM"), ("logistic", "logistic regression"))
        for number in (1, 2)
        if size == "full" or (model, number) in (("pca_svm", 1), ("logistic", 1))
    ]
    found.append(Job("loso", ("STSTNet, jobs 2",), "STSTNet", partial(_ststnet, case=case)))
    if size != "small":
        found.append(Job("loso", ("frozen backbone, two heads",), "frozen features", partial(_frozen, case=case)))
    return found


def _experiment(**values: Any) -> Experiment:
    return load(Experiment, Path("megc2019_flow"), values)


def _run(data: Path, out: Path, number: int, folds: list[str] | None = None, **values: Any) -> Mapping[str, str]:
    """Run an experiment as `microexpr run` does, up to its predictions: clip -> predicted class."""
    workspace = Workspace(Options({"manifest": data}, out, jobs=number))
    (plan,) = workspace.prepare([workspace.plan(_experiment(**values))])
    table = run(plan, workspace, only=folds).predictions()
    classes = plan.data.labels.classes
    return {key: classes[at] for key, at in zip(table["clip"], table["y_pred"], strict=True)}


def _new(folder: Path) -> Any:
    """Return a function that names a new output folder at every call."""
    count = itertools.count()
    return lambda: folder / f"out{next(count)}"


def _agreement(plain: np.ndarray, ours: Mapping[str, str], names: list[str]) -> tuple[str, float, bool]:
    given = np.array(_in_order(ours))
    differing = int((np.array(names)[plain] != given).sum())
    return f"{differing} of {len(given)} labels differ", float(differing), differing == 0


def _in_order(found: Mapping[str, str]) -> list[str]:
    """Return the predicted classes in the order of the manifest: keys end in the clip's number."""
    return [found[key] for key in sorted(found, key=lambda key: key.rsplit("/", 1)[-1])]


def _estimator(folder: Path, model: str, title: str, number: int, case: _Case) -> list[Row]:
    data = write_manifest(folder / "data", flow_images(case.clips, case.subjects))
    make = estimators.pca_svm if model == "pca_svm" else estimators.logistic
    out = _new(folder)

    def plain(make: Any = make, number: int = 1) -> np.ndarray:
        return estimators.leave_one_subject_out(make, *estimators.read(data), number)

    def alone() -> np.ndarray:
        with limited_threads(1):
            return plain()

    sides: dict[str, Any] = {
        "plain": plain,
        "ours": lambda: _run(data, out(), number, model=model),
        "plain with one BLAS thread": alone,
    }
    if number > 1:
        sides["plain in as many processes"] = partial(plain, number=number)
    if model == "pca_svm":
        sides["plain with randomised PCA"] = partial(plain, partial(estimators.pca_svm, solver="randomized"))
    spent = alternate(sides, case.repeats)
    names = sorted(EMOTIONS)
    further: dict[str, float | str] = {f"{name}, seconds": spent.median(name) for name in sides if " " in name}
    fastest = min((name for name in sides if name != "ours"), key=spent.median)
    further[f"ratio to the fastest ({fastest})"] = spent.median(fastest) / spent.median("ours")
    if model == "pca_svm":
        differ = spent.results["plain with randomised PCA"] != spent.results["plain"]
        further["labels of randomised PCA that differ"] = int(differ.sum())
    row = compared(
        "loso",
        f"{title}, jobs {number}",
        f"{title} on {case.clips} flow images of 28x28x3, {case.subjects} folds, from files to predictions. Plain: a "
        f"scikit-learn pipeline with cross_val_predict, one process{_EXACT if model == 'pca_svm' else ''}. Ours: "
        f"{number} process{'es, started before' if number > 1 else ''}; predictions of training clips and results on "
        "disk, too.",
        spent,
        _agreement(spent.results["plain"], spent.results["ours"], names),
        target=(2.5 if number == 1 else 5.0) if model == "pca_svm" else None,
        further=further,
    )
    return [row]


def _ststnet(folder: Path, case: _Case) -> list[Row]:
    drawn = flow_images(case.clips, case.subjects)
    data = write_manifest(folder / "data", drawn)
    tested = [f"s{number:03}" for number in range(case.folds)]
    out = _new(folder)
    settings: dict[str, Any] = {"epochs": case.epochs, "batch": BATCH, "learning_rate": RATE, "weight_decay": DECAY}

    def plain() -> Mapping[int, int]:
        return leave_one_subject_out(TripleStream, *estimators.read(data), tested, **settings, device=str(device()))

    values = {f"training.{name}": value for name, value in settings.items()}
    folds = _fold_names(data, folder / "names", tested)

    def ours() -> Mapping[str, str]:
        return _run(data, out(), 2, folds, model="ststnet", **values)

    views = sum(int((drawn.subjects != number).sum()) for number in range(case.folds)) * case.epochs

    def limit() -> None:
        Parallel(n_jobs=2)(delayed(bare_steps)(views // BATCH // 2) for _ in range(2))

    spent = alternate({"plain": plain, "ours": ours, "limit": limit}, case.repeats)
    truth = {
        f"drawn/s{subject:03}/c{number:05}": label
        for number, (_, label, subject) in enumerate(zip(*drawn, strict=True))
    }
    names = EMOTIONS
    found = spent.results["ours"]
    ours_right = float(np.mean([found[key] == names[truth[key]] for key in found]))
    plain_right = float(np.mean([drawn.labels[row] == label for row, label in spent.results["plain"].items()]))
    apart = abs(ours_right - plain_right)
    agreement = (
        f"accuracy {ours_right:.2f}, plain {plain_right:.2f} (other random weights and batches)",
        apart,
        apart <= case.apart and len(found) == len(spent.results["plain"]),
    )
    row = compared(
        "loso",
        "STSTNet, jobs 2",
        f"STSTNet on {case.clips} flow images, the first {case.folds} of {case.subjects} folds, {case.epochs} epochs "
        f"in batches of {BATCH}, from files to predictions. Plain: a DataLoader, one process, all threads, three "
        "streams as published. Ours: two processes (started before, with memory in large pages), the streams as one "
        "convolution, and a score of the training clips at 20 epochs.",
        spent,
        agreement,
        limit="bare steps with as many views in two processes with one thread each",
        target=2.3,
        share_target=0.85,
    )
    return [row]


def _fold_names(data: Path, out: Path, tested: list[str]) -> list[str]:
    """Return the names of the folds that test these subjects."""
    plan = Workspace(Options({"manifest": data}, out)).plan(_experiment(model="majority"))
    subjects = plan.table["subject_id"]
    return [fold.name for fold in plan.folds if subjects.iloc[fold.test[0]] in tested]


def bare_steps(steps: int) -> None:
    """Run training steps of STSTNet on one prepared batch, with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spec = ViewSpec((1, 28, 28, 3), ("strain", "v", "u"), scaling="minmax")
        model = models.build("ststnet", {})(spec, 3, {}).to(device()).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
        x, y = torch.rand(BATCH, 1, 3, 28, 28, device=device()) * 255, torch.arange(BATCH, device=device()) % 3
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(x).logits, y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    finally:
        torch.set_num_threads(before)


def _frozen(folder: Path, case: _Case) -> list[Row]:
    """Two heads on one frozen backbone: the features are computed once, for all folds and both heads."""
    drawn = flow_images(case.clips, case.subjects, side=EMBEDDED)
    data = write_manifest(folder / "data", drawn)
    out = _new(folder)
    model = {"name": "mobilevit_svm", "size": "xxs", "weights": "random"}

    def backbone() -> torch.nn.Module:
        spec = ViewSpec((1, EMBEDDED, EMBEDDED, 3), ("r", "g", "b"))
        built: torch.nn.Module = models.build("mobilevit_svm", {"size": "xxs", "weights": "random"})(spec, 3, {})
        return copy.deepcopy(built).to(device()).eval()

    def plain() -> np.ndarray:
        """Two runs of one script: features of all clips once in each, then a head for every fold."""
        found = []
        for penalty in HEADS:
            images, labels, subjects = estimators.read(data)
            network: Any = backbone()
            with torch.inference_mode():
                x = torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2)[:, None].float().to(device())
                features = torch.cat([network.embed(part) for part in torch.split(x, 32)]).cpu().double().numpy()
            make = partial(estimators.linear_svm, penalty)
            found.append(estimators.leave_one_subject_out(make, features, labels, subjects))
        return np.concatenate(found)

    def ours() -> np.ndarray:
        place = out()
        # Images of colours, which a backbone for images takes; the study's file names channels of flow.
        colours = [{"name": "manifest"}]
        parts = [_run(data, place, 1, model={**model, "C": penalty}, datasets=colours) for penalty in HEADS]
        names = sorted(EMOTIONS)
        return np.array([names.index(word) for part in parts for word in _in_order(part)])

    spent = alternate({"plain": plain, "ours": ours}, case.repeats)
    differing = int((spent.results["plain"] != spent.results["ours"]).sum())
    total = len(spent.results["ours"])
    what = (
        f"MobileViT-XXS with random frozen weights on {case.clips} images of {EMBEDDED}x{EMBEDDED}, {case.subjects} "
        "folds, two heads. Plain: a script, run once for each head, which computes the features once. Ours: two "
        "experiments in one folder."
    )
    # The solver stops within a tolerance of the optimum, and rounding of the features decides where.
    agreement = (f"{differing} of {total} labels differ", float(differing), differing <= total // 200)
    return [compared("loso", "frozen backbone, two heads", what, spent, agreement)]
