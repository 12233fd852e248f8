"""Checks of method: what in a folder of results a reviewer would object to, each with its evidence and its mend.

Everything is told from what is stored: folds, predictions, experiments and, where there is one, the summary.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from microexpr import contracts
from microexpr.config import Experiment, parse, rng_for
from microexpr.confusion import present
from microexpr.errors import StoreError
from microexpr.experiment import Result
from microexpr.labels import LabelSet
from microexpr.predictions import mean_of_folds, score_named
from microexpr.settings import metric_of
from microexpr.statistics.permutation import permutation_null
from microexpr.store import FoldResult, Results

FEW = 5
"""Test clips below which one clip moves a class's F1 by a tenth and more."""
LEVEL = 0.05
PERMUTATIONS = 1999
BY_THE_APEX = ("af", "kfs", "mfs")
"""Samplings that take frames which coders have marked."""


@dataclass(frozen=True)
class Finding:
    """One thing that a reviewer would object to (`warning`) or must know (`note`)."""

    code: str
    level: Literal["warning", "note"]
    sentence: str
    evidence: str
    mend: str

    def __str__(self) -> str:
        return f"{self.code} {self.sentence} {self.evidence}\n      -> {self.mend}"


@dataclass(frozen=True)
class Stored:
    """The result of one experiment, and what was written beside it: classes, fingerprint, facts of the data."""

    result: Result
    facts: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The experiment's key."""
        return self.result.key

    @property
    def experiment(self) -> Experiment:
        """What was run."""
        return self.result.experiment

    @property
    def folds(self) -> tuple[FoldResult, ...]:
        """Its folds, of all repeats."""
        return self.result.folds

    @property
    def name(self) -> str:
        """What it is, for people."""
        chosen = (self.experiment.preprocessing, self.experiment.sampling, self.experiment.model)
        what = " x ".join(item.label for item in chosen)
        shuffled = " on shuffled labels" if self.experiment.shuffled else ""
        return f"{what} under {self.experiment.protocol.label}{shuffled} ({self.key})"

    def predictions(self) -> pd.DataFrame:
        """Return its test clips, voted; of several repeats the first, in which every clip stands once."""
        return self.result.of_repeat(self.result.repeats[0]).predictions()

    def persons(self, fold: FoldResult, *parts: str) -> set[str]:
        """Return who stands in some parts of a fold."""
        return set(fold.views.loc[fold.views["part"].isin(parts), "person"])

    def clips(self, fold: FoldResult, *parts: str) -> set[str]:
        """Return the clips in some parts of a fold."""
        return set(fold.views.loc[fold.views["part"].isin(parts), "clip"])


def read(out: Path) -> list[Stored]:
    """Return the finished experiments of a folder of results; raises StoreError where there are none."""
    root = out / "results" if (out / "results").is_dir() else out
    found = [_stored(Results(root, folder.name)) for folder in sorted(root.glob("*/")) if _begun(folder)]
    whole = [stored for stored in found if stored.folds]
    if not whole:
        raise StoreError(f"{out} holds no results; name the folder that `microexpr run --out` or `study --out` wrote.")
    return whole


def check(out: Path) -> tuple[Finding, ...]:
    """Return everything to object to in a folder of results, warnings first; raises StoreError."""
    return findings(read(out), _summary(out))


def findings(stored: Sequence[Stored], summary: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return everything to object to in some experiments and the summary of their study, warnings first."""
    found = [*_of_each(stored), *_of_all(stored), *_of_summary(summary, stored)]
    return tuple(sorted(found, key=lambda finding: (finding.level == "note", finding.code)))


def _begun(folder: Path) -> bool:
    return (folder / "experiment.json").is_file()


def _stored(results: Results) -> Stored:
    facts, file = results.facts(), results.folder / "experiment.json"
    if not {"experiment", "classes"} <= set(facts):
        raise StoreError(f"{file} is damaged; remove its folder to train anew.")
    experiment = parse(Experiment, facts["experiment"], str(file))
    labels = LabelSet("stored", tuple(facts["classes"]), ())
    return Stored(Result(experiment, results.key, labels, tuple(results.folds())), facts)


def _summary(out: Path) -> Mapping[str, Any]:
    file = out / "summary.json"
    try:
        return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}
    except json.JSONDecodeError:
        raise StoreError(f"{file} is damaged; run the study again, which trains nothing anew.") from None


# --- one experiment ---------------------------------------------------------------------------------------------------
def _of_each(stored: Sequence[Stored]) -> Iterator[Finding]:
    told: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for each in stored:
        for finding in _one(each):
            told.setdefault((finding.code, finding.level, finding.sentence, finding.mend), []).append(
                (each.name, finding.evidence)
            )
    for (code, level, sentence, mend), where in told.items():
        evidence = "; ".join(f"{name}: {shown}" for name, shown in where[:3])
        more = f"; and {len(where) - 3} more experiments" if len(where) > 3 else ""
        yield Finding(code, "note" if level == "note" else "warning", sentence, f"{evidence}{more}.", mend)


def _one(each: Stored) -> Iterator[Finding]:
    yield from _leaks(each)
    if each.experiment.shuffled or each.experiment.model.name in ("majority", "class_frequency"):
        return
    yield from _few(each)
    yield from _luck(each)
    if each.experiment.sampling.name in BY_THE_APEX:
        yield Finding(
            "ME010",
            "note",
            "Frames were chosen by the apex (and onset, offset) that coders marked, in test clips too.",
            f"sampling {each.experiment.sampling.label}",
            "say that scores hold for clips cut and marked by coders; nothing is said of unlabelled video",
        )


def _leaks(each: Stored) -> Iterator[Finding]:
    shared = {person for fold in each.folds for person in _both(each.persons, fold)}
    if shared:
        yield Finding(
            "ME001",
            "warning",
            "Persons stand in training and test.",
            f"{len(shared)} persons, for instance {min(shared)}",
            "take a protocol that divides persons (loso, subject_kfold), or claim nothing about new people",
        )
    chosen = {clip for fold in each.folds for clip in _both(each.clips, fold)}
    if chosen:
        yield Finding(
            "ME002",
            "warning",
            "Test clips were trained on, or chose the model.",
            f"{len(chosen)} clips, for instance {min(chosen)}",
            "cut validation from the training persons; a score that chose its own model is no score",
        )


def _both(of: Any, fold: FoldResult) -> set[str]:
    found: set[str] = of(fold, "test") & of(fold, "train", "val")
    return found


def _few(each: Stored) -> Iterator[Finding]:
    predictions, classes = each.predictions(), each.facts["classes"]
    counts = np.bincount(predictions["y_true"].to_numpy(int), minlength=len(classes))
    few = [f"{name} {count}" for name, count in zip(classes, counts, strict=True) if 0 < count < FEW]
    if few:
        yield Finding(
            "ME004",
            "warning",
            f"A class has fewer than {FEW} test clips, so that one clip decides its F1.",
            f"{', '.join(few)} of {len(predictions)}",
            "join small classes by another label set, test every person once (loso), or print counts with the score",
        )


def _luck(each: Stored) -> Iterator[Finding]:
    predictions, k = each.predictions(), len(each.facts["classes"])
    y_true = predictions["y_true"].to_numpy(int)
    null = permutation_null(
        contracts.metrics.build("macro_f1", {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        k=k,
        over=present(y_true, k),
        rng=rng_for(each.experiment.seed, "check"),
        n=PERMUTATIONS,
        persons=predictions["person"].to_numpy(),
    )
    if null.p_value > LEVEL:
        yield Finding(
            "ME005",
            "warning",
            "The score is not above what permuted labels give.",
            f"p = {null.p_value:.3f}, 95 of 100 permutations within persons stay under {null.level:.3f}",
            "claim no recognition from it",
        )


# --- the experiments of one folder ------------------------------------------------------------------------------------
def _of_all(stored: Sequence[Stored]) -> Iterator[Finding]:
    by_data: dict[str, dict[str, list[str]]] = {}
    for each in stored:
        names = " + ".join(item.label for item in each.experiment.datasets)
        by_data.setdefault(names, {}).setdefault(str(each.facts.get("fingerprint")), []).append(each.key)
    for names, prints in by_data.items():
        if len(prints) > 1:
            groups = "; ".join(", ".join(keys) for keys in prints.values())
            yield Finding(
                "ME012",
                "warning",
                f"Results on different copies of {names} lie in one folder.",
                f"Experiments of one copy each: {groups}.",
                "run the older ones again on the copy that counts, into a folder of its own",
            )
    yield from _versions(stored)
    families: dict[str, set[str]] = {}
    for each in stored:
        for item in each.experiment.datasets if len(each.experiment.datasets) > 1 else ():
            info = contracts.reader(item.name).info
            families.setdefault(info.family or info.title, set()).add(info.title)
    for titles in families.values():
        if len(titles) > 1:
            yield Finding(
                "ME013",
                "warning",
                "Databases of one laboratory are joined, in which the same people may have taken part.",
                f"{', '.join(sorted(titles))}.",
                "test on one of them and train on others of another laboratory, or say so beside the score",
            )


def _versions(stored: Sequence[Stored]) -> Iterator[Finding]:
    versions: dict[str, set[str]] = {}
    for each in stored:
        for fact, value in (each.facts.get("data") or {}).items():
            if fact.endswith("label version"):
                names = " + ".join(item.name for item in each.experiment.datasets)
                versions.setdefault(f"{names}, {fact}", set()).add(str(value))
    for where, found in versions.items():
        if len(found) > 1:
            yield Finding(
                "ME011",
                "warning",
                "Experiments rest on different versions of one database's labels.",
                f"{where}: {'; '.join(sorted(found))}.",
                "compare only experiments on one version",
            )


# --- the study --------------------------------------------------------------------------------------------------------
def _of_summary(summary: Mapping[str, Any], stored: Sequence[Stored]) -> Iterator[Finding]:
    cells = summary.get("cells") or []
    yield from _averaged(cells, stored)
    if _settings_of(summary) < 2:
        return
    yield Finding(
        "ME003",
        "warning",
        "The best of several cells, chosen by its test score, is no estimate for new data.",
        f"{len(cells)} cells were scored on the same test clips.",
        "name the cell beforehand, or choose inside the training persons of each fold",
    )
    paired = [row for row in summary.get("paired") or [] if row.get("p_value") is not None]
    if not paired:
        yield Finding(
            "ME006",
            "warning",
            "Cells are shown side by side and no paired test was made.",
            f"{len(cells)} cells, no comparison on the same clips.",
            "compare two results with `microexpr compare`, or claim no difference",
        )
    elif len(paired) > 1 and not all("p_holm" in row for row in paired):
        small = sum(row["p_value"] <= LEVEL for row in paired)
        yield Finding(
            "ME007",
            "warning",
            "Many comparisons, and no correction for their number.",
            f"{len(paired)} p-values, {small} of them up to {LEVEL:g}.",
            "judge them by Holm's correction over the family",
        )
    yield from _confounded(cells, stored)


def _settings_of(summary: Mapping[str, Any]) -> int:
    """Count the cells that differ in something else than their seed: seeds of one experiment are not chosen among."""
    cells = summary.get("cells") or []
    seeds = {name for name, axis in (summary.get("axes") or {}).items() if axis["part"] == "seed"}
    if not seeds:
        return len(cells)
    return len({tuple(word for name, word in cell["factors"].items() if name not in seeds) for cell in cells})


def _averaged(cells: Sequence[Mapping[str, Any]], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Tell means of folds that are shown: in the report, or where there is none, asked for by the experiment."""
    shown = {cell["key"]: tuple(cell.get("asked") or ()) for cell in cells if "key" in cell}
    told: dict[str, list[str]] = {}
    for each in stored:
        for name in shown.get(each.key, () if shown else each.experiment.scores):
            metric, averaged = metric_of(name)
            if averaged:
                predictions = each.predictions()
                found = mean_of_folds(metric, predictions)
                pooled = score_named(metric, predictions)
                told.setdefault(each.name, []).append(
                    f"{name} {found.score:.3f}, pooled {pooled:.3f}; {found.incomplete} of {found.folds} folds lack a "
                    "class that others test"
                )
    if told:
        first = [f"{name}: {'; '.join(scores)}" for name, scores in list(told.items())[:3]]
        more = f"; and {len(told) - 3} more experiments" if len(told) > 3 else ""
        yield Finding(
            "ME009",
            "warning",
            "Scores are means over folds, each of which averages the classes that its own few clips show.",
            f"{'; '.join(first)}{more}.",
            "print the score of the pooled predictions; compare means of folds with nothing else",
        )


def _confounded(cells: Sequence[Mapping[str, Any]], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Tell parameters of the preprocessing that never vary apart: no comparison can say which of them matters."""
    keys = {cell.get("key") for cell in cells}
    used = {each.experiment.preprocessing.label: each.experiment for each in stored if each.key in keys}
    settings = [_settings(experiment) for experiment in used.values()]
    names = set.intersection(*map(set, settings)) if settings else set()
    varied = sorted(name for name in names if len({repr(item[name]) for item in settings}) > 1)
    together = [pair for pair in itertools.combinations(varied, 2) if len(settings) > 1 and _as_one(settings, *pair)]
    if together:
        bound = sorted({name for pair in together for name in pair})
        yield Finding(
            "ME008",
            "warning",
            "What the preprocessings differ in varies together, so that no difference can be put down to one of it.",
            f"{', '.join(bound)} never vary apart in {', '.join(used)}.",
            "vary one at a time, as studies/paradox.toml does",
        )


def _settings(experiment: Experiment) -> dict[str, Any]:
    built = experiment.preprocessing.build(contracts.preprocessors)
    return dataclasses.asdict(built) if dataclasses.is_dataclass(built) and not isinstance(built, type) else {}


def _as_one(settings: Sequence[Mapping[str, Any]], a: str, b: str) -> bool:
    """Whether two parameters take their values always in the same pairs."""
    pairs = {(repr(item[a]), repr(item[b])) for item in settings}
    return len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})
