"""Results as they lie on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.core import interfaces as contracts
from microexpr.core.errors import ConfigError, SplitError, StoreError
from microexpr.core.folds import FILE, StoredFolds
from microexpr.core.folds import read as read_folds
from microexpr.core.labels import LabelSet
from microexpr.runs.experiment import Result
from microexpr.runs.store import FoldResult, Results

BLIND: Final = ("majority", "class_frequency")
"""Models that look at no picture."""

OF = "channels of "
"""Facts of a database of ready images begin so, one for each modality, the default first."""


@dataclass(frozen=True)
class Stored:
    """The result of one experiment, and what was written beside it: classes, fingerprint, facts of the data."""

    result: Result
    metadata: Mapping[str, Any]
    division: StoredFolds | None = None
    """The folds that it is to have, finished or not; None where nobody has written them."""
    folder: Path | None = None
    """Where it lies; None for one that was not read from disk."""

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

    @property
    def looks(self) -> bool:
        """Whether it sees pictures and true labels: a score of it claims something."""
        return not self.experiment.shuffled and self.experiment.model.name not in BLIND

    @property
    def databases(self) -> list[str]:
        """Return the databases that its clips are of, as their keys name them."""
        clips = {clip for fold in self.folds for clip in fold.views["clip"].unique()}
        return sorted({clip.split("/", 1)[0] for clip in clips})

    @property
    def uses_annotations(self) -> bool:
        """Whether what it sees of a clip follows from the times that coders marked: by sampling, or in ready images."""
        sampler = self.experiment.sampling.build(contracts.samplers)
        return sampler.uses_annotations or any("apex" in name for name in self._shown())

    def _shown(self) -> tuple[str, ...]:
        """Return the names of the pictures that were shown: the modality's, or those of the columns that it joins."""
        recorded = [fact.removeprefix(OF) for fact in self.metadata.get("data", {}) if fact.startswith(OF)]
        modality = self.experiment.modality or next(iter(recorded), "")
        series = [dict(item.params.get("series", {})) for item in self.experiment.datasets]
        return (modality, *(column for joined in series for column in joined.get(modality, ())))

    @property
    def unfinished(self) -> list[str]:
        """Return its folds without results."""
        done = {fold.name for fold in self.folds}
        return [fold.name for fold in self.division.folds if fold.name not in done] if self.division else []

    @property
    def untested(self) -> set[str]:
        """Return the clips that no fold of the first division is to test."""
        if self.division is None:
            return set()
        first = min(fold.repeat for fold in self.division.folds)
        tested = (clip for fold in self.division.folds if fold.repeat == first for clip in fold.test)
        return self.division.known.difference(tested)

    def predictions(self) -> pd.DataFrame:
        """Return its test clips, voted; of several repeats the first, in which every clip stands once."""
        return self.result.of_repeat(self.result.repeats[0]).predictions()

    def subjects(self, fold: FoldResult, *parts: str) -> set[str]:
        """Return who stands in some parts of a fold."""
        return set(fold.views.loc[fold.views["part"].isin(parts), "subject"])

    def clips(self, fold: FoldResult, *parts: str) -> set[str]:
        """Return the clips in some parts of a fold."""
        return set(fold.views.loc[fold.views["part"].isin(parts), "clip"])


def read(out: Path) -> list[Stored]:
    """Return the experiments of a folder of results, or the one of a folder results/KEY; raises StoreError."""
    if _begun(out):
        found = [_stored(Results(out.parent, out.name))]
    else:
        root = out / "results" if (out / "results").is_dir() else out
        found = [_stored(Results(root, folder.name)) for folder in sorted(root.glob("*/")) if _begun(folder)]
    begun = [stored for stored in found if stored.folds]
    if not begun:
        raise StoreError(
            "E601", f"{out} holds no results; name the folder that `microexpr run --out` or `study --out` wrote."
        )
    return begun


def _begun(folder: Path) -> bool:
    return (folder / "experiment.json").is_file()


def _stored(results: Results) -> Stored:
    metadata, file = results.metadata(), results.folder / "experiment.json"
    if not {"experiment", "classes"} <= set(metadata):
        raise StoreError("E601", f"{file} is damaged; remove its folder to train anew.")
    experiment = parse(Experiment, metadata["experiment"], str(file))
    folds = tuple(results.folds())
    odd = [fold.name for fold in folds if f"p_{len(metadata['classes'])}" in fold.views or not _fits(fold, metadata)]
    if odd:
        raise StoreError(
            "E601",
            f"{file} names {len(metadata['classes'])} classes, and fold {odd[0]} has predictions of another number: "
            f"one "
            "is damaged; remove the folder to train anew.",
        )
    labels = LabelSet("stored", tuple(metadata["classes"]), ())
    return Stored(
        Result(experiment, results.key, labels, folds), metadata, _division(results.folder / FILE), results.folder
    )


def _fits(fold: FoldResult, metadata: Mapping[str, Any]) -> bool:
    return {f"p_{number}" for number in range(len(metadata["classes"]))} <= set(fold.views.columns)


def _division(file: Path) -> StoredFolds | None:
    if not file.is_file():
        return None
    try:
        return read_folds(file)
    except (ConfigError, SplitError):
        raise StoreError("E601", f"{file} is damaged; remove it, and the next run writes it again.") from None
