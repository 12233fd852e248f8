"""What methods ask of data that do not have it, in words with the way out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from microexpr.config.experiment import Experiment
from microexpr.config.settings import LATER
from microexpr.core import image as ops
from microexpr.core import interfaces as contracts
from microexpr.core.clip import Clip
from microexpr.core.errors import (
    ConfigError,
    DataError,
    Fault,
    IncompatibleError,
    MicroexprError,
    NoFrameError,
    of_clip,
)
from microexpr.core.interfaces import Fold, Sampler, ViewSpec
from microexpr.core.multitask import TargetValues


def are_ready(clips: Sequence[Clip]) -> bool:
    """Say whether all clips are ready images, without frames and times."""
    return all(clip.onset is None for clip in clips)


@contextlib.contextmanager
def fitting(clips: Sequence[Clip] = ()) -> Iterator[None]:
    """Say of an error in here that the method does not fit these data, and of ready images what cannot be had."""
    try:
        yield
    except IncompatibleError:
        raise
    except ConfigError as error:
        ready = (
            " These clips are ready images: nothing that needs frames can be made of them, such as flow, lbp_top or "
            'bi_woof; models of pictures, such as pca_svm and logistic, take them by representation = "pixels".'
        )
        raise IncompatibleError("E401", f"{error}{ready if clips and are_ready(clips) else ''}") from None


def no_view(
    experiment: Experiment, min_frames: int, clips: Sequence[Clip], failed: tuple[Clip, DataError] | None
) -> MicroexprError:
    """Return why no clip gives a view of `least` frames; `failed` is the last one that could not be preprocessed."""
    representation, sampling = experiment.representation.label, experiment.sampling.label
    if failed is None and clips and are_ready(clips):
        return IncompatibleError(
            "E401",
            f"representation {representation} is made of {min_frames} frames or more, and these clips are ready images "
            'without time; take representation = "pixels" with a model that looks at pictures. Of images that are '
            "optical flow say what their channels hold, as in datasets = "
            '[{name = "manifest", channels = {onset_apex = ["strain", "v", "u"]}}].',
        )
    if failed is None and clips:
        return IncompatibleError(
            "E401",
            f"representation {representation} needs {min_frames} frames, and sampling {sampling} gives fewer in every "
            f"clip; "
            "take another sampling.",
        )
    told = f"{failed[0].key}: {of_clip(failed[1], failed[0].key)}" if failed else "no clip is left"
    told = f"{told.removesuffix('.')}."
    if failed and isinstance(failed[1], NoFrameError):
        return IncompatibleError("E401", f"sampling {sampling} fits no clip; the last one tried is {told}")
    return DataError(
        "E201",
        f"preprocessing {experiment.preprocessing.label} works on no clip of this database; the last one tried is "
        f"{told} Look at its frames, or take another preprocessing: m1 and as_is look for no face.",
    )


def check_colour(experiment: Experiment, held: Sequence[str], spec: ViewSpec) -> None:
    """Raise ConfigError where the study file itself asks for colour that the pictures do not have.

    What the file does not name is a default, and on pictures without colour it does nothing.
    """
    shown: Mapping[str, Any] = experiment.preprocessing.params
    while isinstance(shown.get("of"), Mapping):
        shown = shown["of"]
    coloured = set(ops.RGB) <= set(held)
    if shown.get("colour") == "rgb" and not coloured:
        raise ConfigError(
            "E104",
            f"preprocessing {experiment.preprocessing.label} asks for colour, and these pictures hold "
            f"{', '.join(held)}; leave colour out, or take a modality in colour.",
        )
    for item in experiment.augmentation:
        asked = "saturation" in item.params and contracts.augmentations.bind(item.name, item.params)["saturation"] > 0
        if asked and spec.channels == ("grey",):
            way = ', or take colour = "rgb" in the preprocessing' if coloured else ""
            raise ConfigError(
                "E104",
                f"augmentation {item.label} asks for saturation, and these views are grey, which have none; set "
                f"saturation = 0{way}.",
            )


def check_training(experiment: Experiment, model: contracts.ModelFn, spec: ViewSpec) -> None:
    """Raise ConfigError where the file asks for what this model, or an augmentation for these views, cannot do."""
    if experiment.augmentation and not model.trains_in_epochs:
        raise ConfigError(
            "E104",
            f"model {experiment.model.label} is fitted once, on the training clips as they are; leave augmentation "
            "out, or take a network.",
        )
    if experiment.target and not model.trains_in_epochs:
        raise ConfigError(
            "E104",
            f"model {experiment.model.label} is fitted once, to the classes alone, and cannot learn the target "
            f"{experiment.target[0].label} beside them; leave target out, or take a network.",
        )
    if experiment.training.gains and not model.trains_in_epochs:
        asked = experiment.training.gains[0]
        raise ConfigError(
            "E104",
            f"training.{asked} does nothing for model {experiment.model.label}, which is fitted once; set it back to "
            f"{LATER[asked]!r}, or take a network.",
        )
    for item in experiment.augmentation:
        item.build(contracts.augmentations).check(spec)


def misshapen(experiment: Experiment, clips: Sequence[Clip], sampler: Sampler) -> list[Fault]:
    """Return the clips too short for the representation; raises UnfitError where lengths differ that must not."""
    representation = experiment.representation.build(contracts.representations)
    lengths = {clip.key: [len(view) for view in sampler(clip)] for clip in clips}
    faults = [
        Fault(
            "E201",
            key,
            f"gives {min(mine)} frame{'s' * (min(mine) > 1)}, and representation {experiment.representation.label} "
            f"needs {representation.min_frames}",
            "take a sampling with more frames, or another representation",
            key,
        )
        for key, mine in lengths.items()
        if min(mine) < representation.min_frames
    ]
    kept = {length for mine in lengths.values() for length in mine if min(mine) >= representation.min_frames}
    if len(kept) > 1 and not representation.fixed_length:
        raise IncompatibleError(
            "E401",
            f"sampling {experiment.sampling.label} gives {min(kept)} to {max(kept)} frames, and representation "
            f"{experiment.representation.label} keeps them all; take one that makes clips alike, such as tim or "
            "dynamic_image, or a sampling of a fixed number.",
        )
    return faults


def known_targets(experiment: Experiment, clips: Sequence[Clip]) -> dict[str, TargetValues]:
    """Return what is to be learnt beside the class; raises UnfitError where the clips say nothing of one."""
    found = {}
    for item in experiment.target:
        target = item.build(contracts.targets)
        values, names = target(clips)
        if np.isnan(values).all():
            raise IncompatibleError(
                "E401",
                f"target {item.label}: none of the {len(values)} clips says anything of it. Action units are read from "
                "the databases' tables where coders wrote them (a manifest has the column action_units); leave the "
                "target out, or take a database that has them.",
            )
        found[item.name] = TargetValues(values, names, target.weight)
    return found


def check_targets(targets: Mapping[str, TargetValues], folds: Sequence[Fold]) -> None:
    """Raise UnfitError where the training clips of a fold could teach nothing of a target."""
    for name, target in targets.items():
        for fold in folds:
            if not target.balance(fold.train).any():
                raise IncompatibleError(
                    "E401",
                    f"target {name}: of {', '.join(target.names)} there is none that some training clips of fold "
                    f"{fold.name} have and others lack, so nothing can be learnt; name other units, or leave the "
                    "target out.",
                )
