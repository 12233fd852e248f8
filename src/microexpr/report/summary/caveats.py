"""Caveats that a reader must know before the numbers, and the settings that the paper's text leaves open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, NamedTuple

from microexpr.audit.checks import copies
from microexpr.config.settings import Training, metric_of
from microexpr.core import interfaces
from microexpr.core.errors import many
from microexpr.evaluation.predictions import mean_of_folds
from microexpr.report.summary.factors import settings as settings_of
from microexpr.runs.plan import Plan
from microexpr.runs.study import StudyResult


class Open(NamedTuple):
    """A setting that the paper's text leaves open: what the paper says, the value used, and the default."""

    choice: str
    paper: str
    value: Callable[[Plan], object]
    default: object
    text: Callable[[Plan], str] | None = None
    """Returns the displayed value where the value of the study file says too little."""


def _of(part: str, name: str) -> Callable[[Plan], object]:
    """Read a parameter of a built component; None where it has none."""
    return lambda plan: getattr(getattr(plan, part), name, None)


def _training(name: str) -> Callable[[Plan], object]:
    return lambda plan: getattr(plan.experiment.training, name) if plan.model.trains_in_epochs else None


def _losses(plan: Plan) -> object:
    return " or ".join(item.label for item in plan.experiment.loss) if plan.model.trains_in_epochs else None


def _reduction(plan: Plan) -> object:
    """Return how the experiment's cross-entropy averages; None where it is not tried."""
    bound = [interfaces.losses.bind(item.name, item.params) for item in plan.experiment.loss]
    found = list(dict.fromkeys(params["reduction"] for params in bound if "reduction" in params))
    return " or ".join(found) if found and plan.model.trains_in_epochs else None


def _precision(plan: Plan) -> str:
    setting = plan.experiment.training.precision
    return "auto (bf16 on GPUs that support it, float32 elsewhere)" if setting == "auto" else setting


def _weights(plan: Plan) -> str:
    """Return the initial weights and, for timm's, the data they were trained on, as their tags say."""
    names = plan.weights.get("weights", "")
    # 21k and 22k are two counts of the same classes.
    ends = re.findall(r"\.\w*?_(in2[12]k_ft_in1k|in1k)\b", names)
    twice, once = "pre-trained on ImageNet-21k, fine-tuned on ImageNet-1k", "trained on ImageNet-1k"
    trained = " + ".join(dict.fromkeys(twice if end.startswith("in2") else once for end in ends))
    weights = str(_of("model", "weights")(plan))
    return f"{weights} ({plan.model.label}: {trained})" if trained else weights


def _component(name: str) -> Callable[[Plan], object]:
    def label(plan: Plan) -> str:
        value = getattr(plan.experiment, name)
        return " or ".join(item.label for item in value) if isinstance(value, tuple) else str(value.label)

    return label


def _crop(crop: str, name: str) -> Callable[[Plan], object]:
    """Read a parameter that only one kind of crop has."""
    return lambda plan: getattr(plan.preprocessor, name, None) if _of("preprocessor", "crop")(plan) == crop else None


def _finest(plan: Plan) -> object:
    if plan.finest is None:
        return None
    used, wanted = plan.finest
    height, width = plan.frame_size
    return str(used) if used == wanted else f"{used} (set to {wanted}; frames of {width}x{height} allow no more)"


_T = Training()
OPEN = (
    Open("centre crop", "center-cropped raw frames at 384x384", _crop("centre", "centre"), "resized"),
    Open("face box", "Dlib face detection", _crop("face", "box"), "frame"),
    Open("face detector", "Dlib face detection", _crop("face", "detector"), "dlib_hog"),
    Open("margin around the face, pixels", "bounding box expansion (+20 pixels)", _crop("face", "margin"), 20),
    Open("box beyond the image border", "not stated", _crop("face", "border"), "clamp"),
    Open("size of M1, pixels", "384x384", _crop("centre", "size"), 384),
    Open("size of M2, pixels", "224x224", _crop("face", "size"), 224),
    Open("DIS flow: finest pyramid level (halvings)", "not applicable", _finest, "2"),
    Open("grey into ImageNet models", "grayscale conversion", _of("model", "grey"), "sum"),
    Open("MFS: frames out of range and repeats dropped", "averaging 13 frames per video", _of("sampler", "drop"), True),
    Open(
        "validation where the protocol has none, share of clips",
        "not applicable",
        lambda plan: plan.experiment.validation,
        0.1,
    ),
    Open("macro-F1 over classes", "those present in the test set", lambda plan: "present", "present"),
    Open("protocol", "stratified split, 201/26/28", _component("protocol"), "paper_holdout"),
    Open("vote", "majority voting", _component("vote"), "majority"),
    Open("losses tried", "CE and focal, selected on validation", _losses, "cross_entropy or focal"),
    Open("weighted cross-entropy normalised by", "PyTorch's loss: the weights of a batch", _reduction, "rows"),
    Open("maximum number of epochs", "50 epochs", _training("epochs"), _T.epochs),
    Open("learning rate", "5e-5", _training("learning_rate"), _T.learning_rate),
    Open("weight decay", "0.001", _training("weight_decay"), _T.weight_decay),
    Open("batch", "16-32 (M1), 4-16 (M2)", _training("batch"), _T.batch),
    Open("patience, epochs", "3-5", _training("patience"), _T.patience),
    Open("precision", "not stated", _training("precision"), _T.precision, _precision),
    Open("drop-path", "tuned, 0.05-0.3", _of("model", "drop_path"), 0.1),
    Open("dropout", "tuned, 0.0-0.2", _of("model", "dropout"), 0.1),
    Open("hidden units of the head", "layer configurations, tuned", _of("model", "head_units"), 0),
    Open("frozen stages", "layer configurations, tuned", _of("model", "frozen_stages"), 0),
    Open("initial weights", "ImageNet", _of("model", "weights"), "imagenet", _weights),
    Open("augmentation", "none named", _component("augmentation"), ""),
    Open("seeds", "one, not stated", lambda plan: plan.experiment.seed, 0),
    Open("bootstrap resamples", "1,000", lambda plan: plan.experiment.bootstrap.n, 1000),
    Open("bootstrap unit", "test clips", lambda plan: plan.experiment.bootstrap.unit, "subject"),
    Open("bootstrap intervals", "percentile", lambda plan: plan.experiment.bootstrap.method, "expanded"),
    Open("bootstrap stratified by class", "not stated", lambda plan: plan.experiment.bootstrap.stratified, False),
)
NAMED = 3
"""Largest number of cells whose repeats a caveat lists; for more it gives the range."""


def choices(result: StudyResult) -> list[dict[str, Any]]:
    """Return every open setting with the values of this study's cells."""
    rows = []
    for item in OPEN:
        values = {
            item.text(cell.plan) if item.text else _text(value): value
            for cell in result.cells
            if (value := item.value(cell.plan)) is not None
        }
        if values:
            default = all(value == item.default for value in values.values())
            rows.append({"choice": item.choice, "value": ", ".join(values), "paper": item.paper, "default": default})
    return rows


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value) and not isinstance(value, type):
        return str(asdict(value))
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def caveats(result: StudyResult, repeats: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, str]]:
    """Return the caveats at the top of the report, most serious first; `repeats` are the scores of repeated splits."""
    return [{"code": code, "level": level, "text": text} for code, level, text in _caveats(result, repeats)]


def _caveats(result: StudyResult, repeats: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    plan = result.cells[0].plan
    metadata: Mapping[str, str] = plan.data.dataset.metadata()
    if result.study.reduced:
        yield "reduced", "warning", f"Reduced: {result.study.reduced}"
    if "synthetic" in metadata:
        yield "synthetic", "warning", f"Synthetic faces, not recordings of people: {metadata['synthetic']}"
    shared, tested = shared_subjects(plan)
    if shared:
        yield (
            "shared_subjects",
            "warning",
            f"The split shares subjects between training and test: {shared} of the {tested} test subjects are also in "
            "the training set. Scores say nothing about new subjects.",
        )
    yield from _copied(result)
    untested = _untested(plan)
    if untested and plan.experiment.protocol.name == "from_file":
        yield (
            "untested",
            "warning",
            f"{untested} of {len(plan.table)} clips are in no test set of the given folds: the validity of the scores "
            "depends on how the tested clips were selected.",
        )
    for note in dict.fromkeys(fold.note for fold in plan.folds if fold.note):
        yield "left_out", "note", note
    if repeats:
        yield "repeats", "note", _repeats(repeats)
    yield from _averaged(result)
    if any(getattr(cell.plan.model, "weights", None) == "random" for cell in result.cells):
        yield (
            "random_weights",
            "warning",
            "Networks start from random weights, not from ImageNet weights as in the paper.",
        )
    for name, reason in result.failed:
        yield "failed", "warning", f"{name} could not be trained and is missing: {reason}"
    seeds = {cell.experiment.seed for cell in result.cells}
    if len(seeds) == 1 and any(cell.plan.model.trains_in_epochs for cell in result.cells):
        one = "One seed" if result.study.methods else "One seed, as in the paper"
        yield "one_seed", "note", f"{one}: repeat with other seeds (seed = 1, 2 ...) before interpreting a difference."
    yield from _best(result, len(seeds))
    yield from _same_laboratory(plan)
    uncoded = sum(clip.apex is None and clip.onset is not None for clip in plan.data.clips)
    if uncoded and any(getattr(cell.plan.sampler, "missing_apex", "") == "middle" for cell in result.cells):
        yield (
            "no_apex",
            "note",
            f"{uncoded} clips have no coded apex; the midpoint of onset and offset is used instead.",
        )
    if any(item.params.get("corrections") is False for item in plan.experiment.datasets):
        yield "uncorrected", "note", "Tables were read without corrections: their known errors remain."
    if plan.data.dataset.cropped():
        yield "cropped", "warning", "Frames were cropped by the owners of the database before any preprocessing here."
    for kept in plan.data.label_warnings:
        yield "counts_differ", "warning", f"{kept.text[:1].upper()}{kept.text[1:]}."
    if plan.data.unlabelled:
        counts = ", ".join(f"{emotion} {count}" for emotion, count in plan.data.unlabelled.items())
        total, name = sum(plan.data.unlabelled.values()), plan.data.labels.name
        yield "unlabelled", "note", f"Label set {name} excludes {many(total, 'clip')} of the database: {counts}."
    if plan.data.skipped:
        clips = len({fault.clip for fault in plan.data.skipped})
        excluded = f"{many(clips, 'clip')} with faults {'was' if clips == 1 else 'were'} excluded"
        yield "skipped", "warning", f"{excluded} (see the table of excluded clips)."
    if plan.experiment.shuffled:
        yield "shuffled", "warning", "Labels were shuffled on purpose: a score above chance would indicate an error."


def _copied(result: StudyResult) -> Iterator[tuple[str, str, str]]:
    """Warn of test clips whose frames, under another name, were trained on by the model or its initial weights."""
    cells = [*result.cells, *([result.named] if result.named else [])]
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if not cell.experiment.shuffled:
            for finding in copies(cell.result):
                if finding.level == "warning":
                    found.setdefault((finding.code, finding.sentence), []).append(finding.evidence)
    for (code, sentence), evidence in found.items():
        of = f" (the first of {len(evidence)} among {len(cells)} cells)" if len(cells) > 1 else ""
        caveat = {"ME002": "weights_saw_test", "ME016": "copied_frames"}[code]
        yield caveat, "warning", f"{sentence} {evidence[0][:1].upper()}{evidence[0][1:]}{of}."


def _best(result: StudyResult, seeds: int) -> Iterator[tuple[str, str, str]]:
    """Warn that the best of several cells is overestimated, and name the score that is not."""
    if (settings := settings_of(result)) < 2:
        return
    what = f"{settings} cells" if seeds == 1 else f"{settings} settings with {seeds} seeds"
    if not result.study.methods:
        yield (
            "best_of_cells",
            "note",
            f"The best of {what} is selected by its test score, as in the paper, and is therefore overestimated.",
        )
        return
    selection = (
        "The score to report is that of the selection within the training subjects."
        if len(result.judging) > 1
        else "No method was selected within the training subjects."
    )
    yield "best_of_cells", "note", f"The score of the best method on the test subjects is overestimated. {selection}"


def _repeats(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say which split the numbers are of where clips were split several times, and how much scores vary by split."""
    if len(rows) <= NAMED:
        names = [" · ".join(str(row[part]) for part in ("preprocessing", "sampling", "model")) for row in rows]
        means = [
            f"{name + ' ' if len(rows) > 1 else ''}{row['mean']:.3f} ({row['min']:.3f} to {row['max']:.3f})"
            for name, row in zip(names, rows, strict=True)
        ]
        spread = f"Mean macro-F1 over the splits (minimum to maximum): {'; '.join(means)}"
    else:
        spans = [row["max"] - row["min"] for row in rows]
        spread = (
            f"Between splits, macro-F1 of a cell varies by {min(spans):.3f} to {max(spans):.3f} ({len(rows)} cells; "
            "see the table of repeated splits)"
        )
    return (
        f"The clips were split into folds {rows[0]['repeats']} times. Tables, intervals and tests use the first split "
        f"only, so no clip counts twice. {spread}."
    )


def _averaged(result: StudyResult) -> Iterator[tuple[str, str, str]]:
    """Warn of means of folds where the experiment requests them."""
    cell = result.cells[0]
    requested = [name for name in cell.experiment.scores if metric_of(name)[1]]
    if requested:
        predictions = cell.result.of_repeat(cell.result.repeats[0]).predictions()
        found = mean_of_folds(metric_of(requested[0])[0], predictions)
        yield "mean_of_folds", "warning", f"{', '.join(requested)}: {found.caveat}"


def _untested(plan: Plan) -> int:
    """Count the clips that no fold tests."""
    return len(plan.table) - len({int(row) for fold in plan.folds for row in fold.test})


def _same_laboratory(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Warn of several databases of one laboratory, which may share subjects: nothing is published about this."""
    family: dict[str, list[str]] = {}
    for name in dict.fromkeys(item.name for item in plan.experiment.datasets):
        info = interfaces.reader(name).info
        family.setdefault(info.family or name, []).append(info.title)
    for titles in family.values():
        if len(titles) > 1:
            yield (
                "subjects_unknown",
                "warning",
                f"{' and '.join(titles)} come from one laboratory. Whether subjects took part in several of them is "
                "not known, so one person may be in both training and test under different numbers.",
            )


def shared_subjects(plan: Plan) -> tuple[int, int]:
    """Return how many subjects are in both training and test set of a fold, and how many are tested."""
    subjects = plan.table["subject"].to_numpy()
    folds = plan.folds
    tested = {subject for fold in folds for subject in subjects[fold.test]}
    shared = {subject for fold in folds for subject in set(subjects[fold.test]) & set(subjects[fold.train])}
    return len(shared), len(tested)
