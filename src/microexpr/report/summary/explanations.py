"""Attribution maps in the summary."""

from __future__ import annotations

import base64

import pandas as pd

from microexpr.report.summary import Explanations, Maps, Region, ShownMap
from microexpr.report.summary.data import is_synthetic
from microexpr.runs.explain import INSENSITIVE, Explained, ExplainedClip, overlays
from microexpr.runs.study import StudyResult


def explanations(result: StudyResult) -> Explanations | None:
    """Return the attribution maps of a study; None where none were requested."""
    if not result.explained:
        return None
    return Explanations(
        threshold=INSENSITIVE,
        seeds=result.study.explanations.seeds,
        per_class=result.study.explanations.clips,
        folds=max(len(each.folds) for each in result.explained),
        bar=base64.b64encode(overlays.png(overlays.bar())).decode(),
        rows=[_maps(each) for each in result.explained],
    )


def _maps(found: Explained) -> Maps:
    synthetic, made = is_synthetic(found.plan.data.dataset), found.plan.experiment
    return Maps(
        name=found.name,
        key=found.plan.key,
        model=found.plan.model.label,
        shows=", ".join([part.label for part in (made.preprocessing, made.sampling, made.representation)]),
        seed=made.seed,
        explainer=found.explainer.label,
        component=found.component.label,
        scale=found.explainer.scale,
        by_class=found.explainer.by_class,
        folds=[fold.fold for fold in found.folds],
        clips=found.clips,
        maps=found.views,
        empty=found.empty,
        without_face=found.without_face,
        places=found.folds[0].places,
        to_random=_mean(found.to_random),
        among_random=_mean(found.among_random),
        compared=len(found.to_random),
        flagged=found.flagged,
        permuted=not found.plan.model.trains_in_epochs,
        regions={name: Region(share=mine, area=area) for name, (mine, area) in found.regions().items()},
        folder="/".join(found.folder.parts[-4:]),
        overlaid=synthetic,
        shown=[_shown(found, each, overlaid=synthetic) for each in found.shown],
    )


def _mean(by_clip: pd.Series[float]) -> float | None:
    return float(by_clip.mean()) if len(by_clip) else None


def _shown(found: Explained, each: ExplainedClip, *, overlaid: bool) -> ShownMap:
    classes = found.plan.data.labels.classes
    return ShownMap(
        clip=each.clip,
        fold=each.fold,
        true=classes[each.y_true],
        predicted=classes[each.y_pred],
        probability=each.probability,
        strongest=each.strongest,
        to_random=each.to_random,
        panels=list(each.titles if overlaid else each.titles[-1:]),
        jpeg_base64=base64.b64encode(overlays.jpeg(each.overlaid if overlaid else each.alone)).decode(),
    )
