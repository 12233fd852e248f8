"""Attribution maps for the models of a study: maps of test clips, shares of facial regions, a sanity check.

Maps are made with the weights of the fold that tested the clip, for the predicted class. They are stored with the
experiment's results, so removing these removes the maps too. A second run reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8

from microexpr.config.component import Component
from microexpr.config.settings import AUTO, Explanations
from microexpr.core import interfaces
from microexpr.core.claims import held
from microexpr.core.errors import ConfigError
from microexpr.core.files import digest, make_folder, write_atomically
from microexpr.core.interfaces import Explainer, Fold
from microexpr.core.progress import track
from microexpr.data.cache import Views
from microexpr.learning.training import tensor
from microexpr.runs.experiment import Result
from microexpr.runs.explain import _stored as stored
from microexpr.runs.explain import overlays
from microexpr.runs.explain._randomised import INSENSITIVE as INSENSITIVE
from microexpr.runs.explain._randomised import random_model, randomised, rank_correlations, trained
from microexpr.runs.explain._regions import REGIONS as REGIONS
from microexpr.runs.explain._regions import face, shares
from microexpr.runs.explain._stored import FoldMaps
from microexpr.runs.plan import Plan, Workspace
from microexpr.runs.store import Results

ORDER = ("grad_cam", "attention_rollout", "occlusion")
"""Explainers that auto tries, in this order."""
BATCH = 16
"""Views explained together."""
FORMAT = 2
"""Raised whenever stored maps, faces or randomised models change without a new revision of an explainer."""


@dataclass(frozen=True)
class ExplainedClip:
    """A clip displayed on the page."""

    clip: str
    fold: str
    y_true: int
    y_pred: int
    probability: float
    titles: tuple[str, ...]
    to_random: float | None
    """Mean rank correlation of its maps with those of randomised models; None if undefined."""
    strongest: float
    """The largest value of its maps, drawn at full strength."""
    overlaid: UInt8[np.ndarray, "h w 3"]
    """The map over onset, apex and flow."""
    alone: UInt8[np.ndarray, "h2 w2 3"]
    """The map over the outlines of the regions, with the flow if there is one."""


@dataclass(frozen=True)
class Explained:
    """Attribution maps of one model."""

    name: str
    """Its name in `explanations.of`."""
    plan: Plan
    explainer: Explainer
    component: Component
    folds: tuple[FoldMaps, ...]
    folder: Path
    shown: tuple[ExplainedClip, ...]

    @cached_property
    def to_random(self) -> pd.Series[float]:
        """Mean rank correlation of each clip's maps with those of randomised models; clips without one are left out."""
        return self._by_clip("to_random")

    @cached_property
    def among_random(self) -> pd.Series[float]:
        """The same between pairs of randomised models."""
        return self._by_clip("among_random")

    @property
    def flagged(self) -> bool:
        """Whether randomised models give about the same maps, on average over clips."""
        return len(self.to_random) > 0 and bool(self.to_random.mean() >= INSENSITIVE)

    def _by_clip(self, name: str) -> pd.Series[float]:
        return _clip_means(
            (clip, value)
            for fold in self.folds
            for clip, values in zip(fold.clips, getattr(fold, name).T, strict=True)
            for value in values
        )

    @property
    def clips(self) -> int:
        """Number of clips with a map."""
        return len({clip for fold in self.folds for clip in fold.clips})

    @property
    def empty(self) -> int:
        """Number of maps (one per view) that are 0 everywhere."""
        return int(sum(fold.empty.sum() for fold in self.folds))

    @property
    def views(self) -> int:
        """Number of maps, one per view."""
        return sum(len(fold.clips) for fold in self.folds)

    @property
    def without_face(self) -> int:
        """Number of maps of views without a known face, which have no regions."""
        return int(sum(np.isnan(fold.boxes).any(1).sum() for fold in self.folds))

    def regions(self) -> Mapping[str, tuple[float, float]]:
        """Return, by region, the mean share of the maps and of the image area, each clip counted once.

        Maps that are 0 everywhere, and those of views without a face, are left out.
        """
        each = [
            (clip, *np.concatenate(shares(maps, box)))
            for fold in self.folds
            for clip, maps, box in zip(fold.clips, fold.maps, fold.boxes, strict=True)
            if not np.isnan(box).any()
        ]
        known = pd.DataFrame(each).dropna()
        if not len(known):
            return {}
        share, area = np.split(known.groupby(0).mean().mean().to_numpy(), 2)
        return {name: (float(share[at]), float(area[at])) for at, name in enumerate(REGIONS)}


def _clip_means(values: Iterable[tuple[str, float]]) -> pd.Series[float]:
    """Return the mean of each clip's values that are not NaN."""
    known = pd.DataFrame(values, columns=["clip", "value"]).dropna()
    return known.groupby("clip")["value"].mean()


def select_explainer(plan: Plan, settings: Explanations, name: str) -> Component:
    """Return the explainer for a model, checked on the untrained model; raises ConfigError if none fits."""
    model, method = random_model(plan, 0).model, settings.method
    *first, last = [method] if method.name != AUTO else [Component(name=each) for each in ORDER]
    for component in first:
        with suppress(ConfigError):
            _explainer(component).check(model, plan.spec, name)
            return component
    try:
        _explainer(last).check(model, plan.spec, name)
    except ConfigError as error:
        raise ConfigError(error.code, f"explanations.of: {error}") from None
    return last


def folds_without_maps(plan: Plan, settings: Explanations, component: Component, out: Path) -> frozenset[str]:
    """Return the folds whose maps are not stored yet, so that their weights are needed."""
    folder = _folder(plan, settings, component, out)
    return frozenset(fold.name for fold in _folds(plan, settings) if not _file(folder, fold.name).is_file())


def explain(
    name: str, plan: Plan, result: Result, settings: Explanations, component: Component, workspace: Workspace
) -> Explained:
    """Return the maps of a model; stored maps are read, others are made with the folds' weights and stored."""
    out, explainer = workspace.options.out, _explainer(component)
    folder = _folder(plan, settings, component, out)
    predictions = result.of_repeat(result.repeats[0]).predictions().set_index("clip")
    missing = folds_without_maps(plan, settings, component, out)
    if todo := [fold for fold in _folds(plan, settings) if fold.name in missing]:
        views, weights = plan.embedded(), workspace.results(plan).weights
        make_folder(folder)
        for fold in track(todo, len(todo), f"maps of {name}", workspace.progress):
            file = _file(folder, fold.name)
            with held(folder, wait=True):
                if not file.is_file():  # otherwise another process has made them
                    made = _fold_maps(plan, fold, views, explainer, predictions, weights(fold.name), settings.seeds)
                    stored.write(file, made)
    maps = tuple(stored.read(_file(folder, fold.name)) for fold in _folds(plan, settings))
    selected = _select_clips(maps, predictions, settings.clips)
    clips = tuple(_explained_clip(plan, predictions, clip, *where) for clip, where in selected.items())
    for each in clips:
        write_atomically(folder / f"{each.clip.replace('/', '__')}.png", overlays.png(each.overlaid))
    return Explained(name, plan, explainer, component, maps, folder, clips)


def _explainer(component: Component) -> Explainer:
    explainer: Explainer = component.build(interfaces.explainers)
    return explainer


def _folds(plan: Plan, settings: Explanations) -> list[Fold]:
    """Return the first folds of the first repeat."""
    return [fold for fold in plan.folds if fold.repeat == plan.folds[0].repeat][: settings.folds]


def _folder(plan: Plan, settings: Explanations, component: Component, out: Path) -> Path:
    """Return the folder of the maps; it depends on the data, the explainer and the randomised models."""
    registry = interfaces.explainers
    content = {
        "format": FORMAT,
        "explainer": [registry.revision(component.name), registry.bind(component.name, component.params)],
        "seeds": settings.seeds,
        "fingerprint": plan.data.cache.fingerprint,
        "clips": [clip.key for clip in plan.data.clips],
    }
    return Results(out / "results", plan.key).folder / "explanations" / f"{component.name}-{digest(content)}"


def _file(folder: Path, fold: str) -> Path:
    return folder / f"fold-{fold}.npz"


def _fold_maps(
    plan: Plan,
    fold: Fold,
    views: Views,
    explainer: Explainer,
    predictions: pd.DataFrame,
    weights: Path,
    seeds: int,
) -> FoldMaps:
    rows = views.of(fold.test)
    keys = [views.clips[row].key for row in views.clip_rows[rows]]
    classes = predictions.loc[keys, "y_pred"].to_numpy(int)
    learnt = [trained(plan, weights), *randomised(plan, views, fold, weights, seeds)]
    models = [learner.ready() for learner in learnt]
    attributions, correlations = [], []
    for at in range(0, len(rows), BATCH):
        batch = slice(at, at + BATCH)
        x = tensor(views, rows[batch])
        own, *others = [explainer(model, x, classes[batch], views.spec) for model in models]
        attributions.append(own)
        correlations.append(rank_correlations(own.maps, [other.maps for other in others]))
    to_random, among_random = (np.concatenate(parts, 1) for parts in zip(*correlations, strict=True))
    windows = views.windows()
    return FoldMaps(
        fold=fold.name,
        clips=tuple(keys),
        frames=tuple(tuple(int(number) for number in views.numbers[row]) for row in rows),
        maps=np.concatenate([part.maps for part in attributions]),
        classes=classes,
        boxes=np.array([face(plan, int(views.clip_rows[row]), views.numbers[row], windows[row]) for row in rows]),
        places=attributions[0].places,
        to_random=to_random,
        among_random=among_random,
    )


def _select_clips(
    maps: Sequence[FoldMaps], predictions: pd.DataFrame, clips: int
) -> dict[str, tuple[FoldMaps, Int[np.ndarray, "v"]]]:
    """Return the clips for the page, with their fold and its rows: the first correct and wrong ones of each class."""
    where = {clip: (mapped, np.flatnonzero(np.array(mapped.clips) == clip)) for mapped in maps for clip in mapped.clips}
    table = predictions.loc[sorted(where)]
    groups = table.groupby(["y_true", table["y_true"] != table["y_pred"]], sort=True)
    return {str(clip): where[clip] for _, group in groups for clip in group.index[:clips]}


def _explained_clip(
    plan: Plan, predictions: pd.DataFrame, clip: str, mapped: FoldMaps, rows: Int[np.ndarray, "v"]
) -> ExplainedClip:
    known = {each.key: each for each in plan.data.clips}[clip]
    frames = [mapped.frames[row] for row in rows]
    panels = overlays.panels(plan, overlays.Mapped(known, frames, list(mapped.maps[rows]), list(mapped.boxes[rows])))
    correlation = _clip_means((clip, value) for value in mapped.to_random[:, rows].T.flat)
    row, strongest = predictions.loc[clip].to_dict(), float(mapped.maps[rows].max())
    return ExplainedClip(
        clip=clip,
        fold=mapped.fold,
        y_true=int(row["y_true"]),
        y_pred=int(row["y_pred"]),
        probability=float(row[f"p_{int(row['y_pred'])}"]),
        titles=tuple(panel.title for panel in panels),
        to_random=float(correlation.iloc[0]) if len(correlation) else None,
        strongest=strongest,
        overlaid=overlays.strip(panels, strongest),
        alone=overlays.outlined(panels[-1], strongest),
    )
