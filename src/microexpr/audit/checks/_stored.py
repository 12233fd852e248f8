"""Stored results of experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from microexpr.config.experiment import Experiment
from microexpr.config.loading import parse
from microexpr.core import interfaces
from microexpr.core.errors import ConfigError, SplitError, StoreError
from microexpr.core.folds import FILE, StoredFolds
from microexpr.core.folds import read as read_folds
from microexpr.core.labels import LabelSet
from microexpr.runs.experiment import Result
from microexpr.runs.store import FoldResult, Results

WITHOUT_IMAGES: Final = ("majority", "class_frequency")
"""Models that do not use images."""

OF = "channels of "
"""Prefix of the metadata of precomputed images, one entry per modality, the default first."""


@dataclass(frozen=True)
class Stored:
    """The result of one experiment and what was stored with it: classes, fingerprint, metadata of the data."""

    result: Result
    metadata: Mapping[str, Any]
    planned: StoredFolds | None = None
    """The folds that the experiment should have, finished or not; None if they were not stored."""
    folder: Path | None = None
    """Its folder; None if it was not read from disk."""

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
        """A description of the experiment."""
        chosen = (self.experiment.preprocessing, self.experiment.sampling, self.experiment.model)
        what = " x ".join(item.label for item in chosen)
        shuffled = " on shuffled labels" if self.experiment.shuffled else ""
        return f"{what} under {self.experiment.protocol.label}{shuffled} ({self.key})"

    @property
    def makes_claim(self) -> bool:
        """Whether it uses images and true labels, so that its score claims something."""
        return not self.experiment.shuffled and self.experiment.model.name not in WITHOUT_IMAGES

    @property
    def databases(self) -> list[str]:
        """Return the databases of its clips, as named by their keys."""
        clips = {clip for fold in self.folds for clip in fold.views["clip"].unique()}
        return sorted({clip.split("/", 1)[0] for clip in clips})

    @property
    def uses_annotations(self) -> bool:
        """Whether its input depends on annotated times, by sampling or in precomputed images."""
        sampler = self.experiment.sampling.build(interfaces.samplers)
        return sampler.uses_annotations or any("apex" in name for name in self._modalities())

    def _modalities(self) -> tuple[str, ...]:
        """Return the modality and the columns of precomputed images that it combines."""
        recorded = [fact.removeprefix(OF) for fact in self.metadata.get("data", {}) if fact.startswith(OF)]
        modality = self.experiment.modality or next(iter(recorded), "")
        series = [dict(item.params.get("series", {})) for item in self.experiment.datasets]
        return (modality, *(column for columns in series for column in columns.get(modality, ())))

    @property
    def unfinished(self) -> list[str]:
        """Return its folds without results."""
        done = {fold.name for fold in self.folds}
        return [fold.name for fold in self.planned.folds if fold.name not in done] if self.planned else []

    @property
    def untested(self) -> set[str]:
        """Return the clips that no fold of the first repeat tests."""
        if self.planned is None:
            return set()
        first = min(fold.repeat for fold in self.planned.folds)
        tested = (clip for fold in self.planned.folds if fold.repeat == first for clip in fold.test)
        return self.planned.known.difference(tested)

    def predictions(self) -> pd.DataFrame:
        """Return the voted predictions of its test clips; of several repeats the first, with every clip once."""
        return self.result.of_repeat(self.result.repeats[0]).predictions()

    def subjects(self, fold: FoldResult, *parts: str) -> set[str]:
        """Return the subjects in some parts of a fold."""
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
            "E601", f"{out} holds no results. Name a folder written by `microexpr run --out` or `study --out`."
        )
    return begun


def _begun(folder: Path) -> bool:
    return (folder / "experiment.json").is_file()


def _stored(results: Results) -> Stored:
    metadata, file = results.metadata(), results.folder / "experiment.json"
    if not {"experiment", "classes"} <= set(metadata):
        raise StoreError("E601", f"{file} is damaged. Remove its folder and train again.")
    experiment = parse(Experiment, metadata["experiment"], str(file))
    folds = tuple(results.folds())
    odd = [fold.name for fold in folds if f"p_{len(metadata['classes'])}" in fold.views or not _fits(fold, metadata)]
    if odd:
        raise StoreError(
            "E601",
            f"{file} has {len(metadata['classes'])} classes, but the predictions of fold {odd[0]} have a different "
            "number: one of them is damaged. Remove the folder and train again.",
        )
    labels = LabelSet("stored", tuple(metadata["classes"]), ())
    return Stored(
        Result(experiment, results.key, labels, folds), metadata, _planned(results.folder / FILE), results.folder
    )


def _fits(fold: FoldResult, metadata: Mapping[str, Any]) -> bool:
    return {f"p_{number}" for number in range(len(metadata["classes"]))} <= set(fold.views.columns)


def _planned(file: Path) -> StoredFolds | None:
    if not file.is_file():
        return None
    try:
        return read_folds(file)
    except (ConfigError, SplitError):
        raise StoreError("E601", f"{file} is damaged. Remove it; the next run writes it again.") from None
