"""What the models of a study look at: maps of test clips, how they lie in the face, and whether they mean anything.

Maps are made with the weights of the fold that did not train on the clip, for the class that was predicted, and kept
with the experiment's results, so that whoever removes these removes them. A second run reads them.
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
from microexpr.core import interfaces as contracts
from microexpr.core.errors import ConfigError
from microexpr.core.files import digest, make_folder, write_atomically
from microexpr.core.interfaces import Explainer, Fold
from microexpr.core.progress import track
from microexpr.data.cache import Views
from microexpr.learning import learners as engine
from microexpr.learning.training import tensor
from microexpr.runs.experiment import Result, embedded
from microexpr.runs.explain import _stored as stored
from microexpr.runs.explain import pictures
from microexpr.runs.explain._randomised import ALIKE as ALIKE
from microexpr.runs.explain._randomised import alike, built, randomised, trained
from microexpr.runs.explain._regions import REGIONS as REGIONS
from microexpr.runs.explain._regions import face, shares
from microexpr.runs.explain._stored import FoldMaps
from microexpr.runs.plan import Plan, Workspace
from microexpr.runs.store import Results

ORDER = ("grad_cam", "attention_rollout", "occlusion")
"""What auto tries, one after the other."""
AT_ONCE = 16
"""Views that are handed to an explainer together."""
FORMAT = 1
"""Raised whenever maps, faces or randomised models come out otherwise without a new revision of an explainer."""


@dataclass(frozen=True)
class Shown:
    """One clip of the page."""

    clip: str
    fold: str
    y_true: int
    y_pred: int
    probability: float
    titles: tuple[str, ...]
    to_random: float | None
    """Mean rank correlation of its maps with those of randomised models; None if undefined."""
    strongest: float
    """The largest value of its maps: what is drawn in full strength."""
    overlaid: UInt8[np.ndarray, "h w 3"]
    """The map over onset, apex and flow."""
    alone: UInt8[np.ndarray, "h2 w2 3"]
    """The map over the outlines of the regions, with the flow where there is one."""


@dataclass(frozen=True)
class Explained:
    """What one model looks at."""

    name: str
    """As `explanations.of` calls it."""
    plan: Plan
    explainer: Explainer
    component: Component
    folds: tuple[FoldMaps, ...]
    folder: Path
    shown: tuple[Shown, ...]

    @cached_property
    def to_random(self) -> pd.Series[float]:
        """Mean rank correlation of each clip's maps with those of randomised models; without clips that have none."""
        return self._by_clip("to_random")

    @cached_property
    def among_random(self) -> pd.Series[float]:
        """The same of randomised models among themselves."""
        return self._by_clip("among_random")

    @property
    def flagged(self) -> bool:
        """Whether randomised models give about the same maps, in the mean over clips."""
        return len(self.to_random) > 0 and bool(self.to_random.mean() >= ALIKE)

    def _by_clip(self, name: str) -> pd.Series[float]:
        return _clip_means(
            (clip, value)
            for fold in self.folds
            for clip, values in zip(fold.clips, getattr(fold, name).T, strict=True)
            for value in values
        )

    @property
    def clips(self) -> int:
        """Clips with a map."""
        return len({clip for fold in self.folds for clip in fold.clips})

    @property
    def empty(self) -> int:
        """Maps that are 0 everywhere, one a view."""
        return int(sum(fold.empty.sum() for fold in self.folds))

    @property
    def views(self) -> int:
        """Maps, one a view."""
        return sum(len(fold.clips) for fold in self.folds)

    @property
    def without_face(self) -> int:
        """Maps of views in which nobody knows a face: nothing can be said of its regions."""
        return int(sum(np.isnan(fold.boxes).any(1).sum() for fold in self.folds))

    def regions(self) -> Mapping[str, tuple[float, float]]:
        """Return by region the mean share of the maps and that of the picture, each clip counted once.

        Maps that are 0 everywhere, and those of views without a face, are left out.
        """
        each = [
            (clip, *np.concatenate(shares(maps, box)))
            for fold in self.folds
            for clip, maps, box in zip(fold.clips, fold.maps, fold.boxes, strict=True)
            if not np.isnan(box).any()
        ]
        told = pd.DataFrame(each).dropna()
        if not len(told):
            return {}
        mine, area = np.split(told.groupby(0).mean().mean().to_numpy(), 2)
        return {name: (float(mine[at]), float(area[at])) for at, name in enumerate(REGIONS)}


def _clip_means(values: Iterable[tuple[str, float]]) -> pd.Series[float]:
    """Return each clip's mean of what is known."""
    known = pd.DataFrame(values, columns=["clip", "value"]).dropna()
    return known.groupby("clip")["value"].mean()


def chosen(plan: Plan, settings: Explanations, name: str) -> Component:
    """Return the explainer of a model, tried on it as it is before training; raises ConfigError where it has none."""
    model, asked = built(plan, 0), settings.method
    *tried, last = [asked] if asked.name != AUTO else [Component(name=each) for each in ORDER]
    for component in tried:
        with suppress(ConfigError):
            _explainer(component).check(model, plan.spec, name)
            return component
    try:
        _explainer(last).check(model, plan.spec, name)
    except ConfigError as error:
        raise ConfigError("E104", f"explanations.of: {error}") from None
    return last


def needed(plan: Plan, settings: Explanations, component: Component, out: Path) -> frozenset[str]:
    """Return the folds whose weights are needed: those whose maps are not kept yet."""
    folder = _folder(plan, settings, component, out)
    return frozenset(fold.name for fold in _folds(plan, settings) if not _file(folder, fold.name).is_file())


def explain(
    name: str, plan: Plan, result: Result, settings: Explanations, component: Component, workspace: Workspace
) -> Explained:
    """Return what a model looks at; maps that are kept are read, others made with the folds' weights and kept."""
    out, explainer = workspace.options.out, _explainer(component)
    folder = _folder(plan, settings, component, out)
    predictions = result.of_repeat(result.repeats[0]).predictions().set_index("clip")
    missing = needed(plan, settings, component, out)
    if todo := [fold for fold in _folds(plan, settings) if fold.name in missing]:
        views, weights = embedded(plan), Results(out / "results", plan.key).weights
        make_folder(folder)
        for fold in track(todo, len(todo), f"maps of {name}", workspace.progress):
            found = _fold_maps(plan, fold, views, explainer, predictions, weights(fold.name), settings.seeds)
            stored.write(_file(folder, fold.name), found)
    maps = tuple(stored.read(_file(folder, fold.name)) for fold in _folds(plan, settings))
    taken = _to_show(maps, predictions, settings.clips)
    shown = tuple(_shown(plan, predictions, clip, *where) for clip, where in taken.items())
    for each in shown:
        write_atomically(folder / f"{each.clip.replace('/', '__')}.png", pictures.png(each.overlaid))
    return Explained(name, plan, explainer, component, maps, folder, shown)


def _explainer(component: Component) -> Explainer:
    explainer: Explainer = component.build(contracts.explainers)
    return explainer


def _folds(plan: Plan, settings: Explanations) -> list[Fold]:
    """Return the first folds of the first division of the clips."""
    folds = plan.folds()
    return [fold for fold in folds if fold.repeat == folds[0].repeat][: settings.folds]


def _folder(plan: Plan, settings: Explanations, component: Component, out: Path) -> Path:
    """Return where maps lie: results of other data, explainers or randomised models lie elsewhere."""
    registry = contracts.explainers
    made = {
        "format": FORMAT,
        "explainer": [registry.revision(component.name), registry.bind(component.name, component.params)],
        "seeds": settings.seeds,
        "fingerprint": plan.data.cache.fingerprint,
        "clips": [clip.key for clip in plan.data.clips],
    }
    return Results(out / "results", plan.key).folder / "explanations" / f"{component.name}-{digest(made)}"


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
    models = [trained(plan, weights), *randomised(plan, views, fold, weights, seeds)]
    models = [model.to(engine.device()) if hasattr(model, "to") else model for model in models]
    made, likeness = [], []
    for at in range(0, len(rows), AT_ONCE):
        some = slice(at, at + AT_ONCE)
        x = tensor(views, rows[some])
        mine, *others = [explainer(model, x, classes[some], views.spec) for model in models]
        made.append(mine)
        likeness.append(alike(mine.maps, [other.maps for other in others]))
    to_random, among_random = (np.concatenate(parts, 1) for parts in zip(*likeness, strict=True))
    windows = views.windows()
    return FoldMaps(
        fold=fold.name,
        clips=tuple(keys),
        frames=tuple(tuple(int(number) for number in views.numbers[row]) for row in rows),
        maps=np.concatenate([part.maps for part in made]),
        classes=classes,
        boxes=np.array([face(plan, int(views.clip_rows[row]), views.numbers[row], windows[row]) for row in rows]),
        places=made[0].places,
        to_random=to_random,
        among_random=among_random,
    )


def _to_show(
    maps: Sequence[FoldMaps], predictions: pd.DataFrame, clips: int
) -> dict[str, tuple[FoldMaps, Int[np.ndarray, "v"]]]:
    """Return the clips that are shown, with their fold and its rows: of each class the first right and wrong by key."""
    where = {clip: (mapped, np.flatnonzero(np.array(mapped.clips) == clip)) for mapped in maps for clip in mapped.clips}
    table = predictions.loc[sorted(where)]
    groups = table.groupby(["y_true", table["y_true"] != table["y_pred"]], sort=True)
    return {str(clip): where[clip] for _, group in groups for clip in group.index[:clips]}


def _shown(plan: Plan, predictions: pd.DataFrame, clip: str, mapped: FoldMaps, rows: Int[np.ndarray, "v"]) -> Shown:
    known = {each.key: each for each in plan.data.clips}[clip]
    frames = [mapped.frames[row] for row in rows]
    drawn = pictures.panels(plan, pictures.Mapped(known, frames, list(mapped.maps[rows]), list(mapped.boxes[rows])))
    likeness = _clip_means((clip, value) for value in mapped.to_random[:, rows].T.flat)
    row, strongest = predictions.loc[clip].to_dict(), float(mapped.maps[rows].max())
    return Shown(
        clip=clip,
        fold=mapped.fold,
        y_true=int(row["y_true"]),
        y_pred=int(row["y_pred"]),
        probability=float(row[f"p_{int(row['y_pred'])}"]),
        titles=tuple(panel.title for panel in drawn),
        to_random=float(likeness.iloc[0]) if len(likeness) else None,
        strongest=strongest,
        overlaid=pictures.strip(drawn, strongest),
        alone=pictures.outlined(drawn[-1], strongest),
    )
