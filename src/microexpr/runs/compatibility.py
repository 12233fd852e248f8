"""Checks of whether methods fit the data, and errors that say how to make them fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from microexpr.config.experiment import Experiment
from microexpr.config.settings import ADDED_LATER
from microexpr.core import image as ops
from microexpr.core import interfaces
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
from microexpr.core.words import many


def are_precomputed(clips: Sequence[Clip]) -> bool:
    """Whether all clips are precomputed images, without frames and times."""
    return all(clip.onset is None for clip in clips)


@contextlib.contextmanager
def naming_the_method(clips: Sequence[Clip] = ()) -> Iterator[None]:
    """Turn a ConfigError of a component into an IncompatibleError, with advice if all clips are precomputed images."""
    try:
        yield
    except IncompatibleError:
        raise
    except ConfigError as error:
        advice = (
            " These clips are precomputed images, so methods that need frames, such as flow, lbp_top or bi_woof, "
            "cannot be used; models for images, such as pca_svm and logistic, accept them with "
            'representation = "pixels".'
        )
        raise IncompatibleError(error.code, f"{error}{advice if clips and are_precomputed(clips) else ''}") from None


def no_view_error(
    experiment: Experiment, min_frames: int, clips: Sequence[Clip], failed: tuple[Clip, DataError] | None
) -> MicroexprError:
    """Return the reason why no clip gives a view of `min_frames` frames.

    `failed` is the last clip that could not be preprocessed, with the error.
    """
    representation, sampling = experiment.representation.label, experiment.sampling.label
    if failed is None and clips and are_precomputed(clips):
        return IncompatibleError(
            "E453",
            f"representation {representation} needs {min_frames} frames or more, but these clips are precomputed "
            'images without time; use representation = "pixels" with a model for images. For images of optical flow, '
            "state what their channels hold, for example datasets = "
            '[{name = "manifest", channels = {onset_apex = ["strain", "v", "u"]}}].',
        )
    if failed is None and clips:
        return IncompatibleError(
            "E452",
            f"representation {representation} needs {min_frames} frames, but sampling {sampling} provides fewer in "
            "every clip; choose another sampling.",
        )
    reason = f"{failed[0].key}: {of_clip(failed[1], failed[0].key)}" if failed else "no clip is left"
    reason = f"{reason.removesuffix('.')}."
    if failed and isinstance(failed[1], NoFrameError):
        return IncompatibleError("E450", f"sampling {sampling} suits none of the clips; the last one tried: {reason}")
    return DataError(
        "E454",
        f"preprocessing {experiment.preprocessing.label} fails on every clip of this database; the last one tried: "
        f"{reason} Look at its frames, or choose another preprocessing: m1 and as_is do not detect faces.",
    )


def check_colour(experiment: Experiment, channels: Sequence[str], spec: ViewSpec) -> None:
    """Raise ConfigError if the study file explicitly requests colour that the images do not have.

    Defaults are not checked: on images without colour they have no effect.
    """
    params: Mapping[str, Any] = experiment.preprocessing.params
    while isinstance(params.get("of"), Mapping):
        params = params["of"]
    coloured = set(ops.RGB) <= set(channels)
    if params.get("colour") == "rgb" and not coloured:
        raise ConfigError(
            "E455",
            f"preprocessing {experiment.preprocessing.label} requests colour, but the channels of these images are "
            f"{', '.join(channels)}; remove colour, or choose a modality in colour.",
        )
    for item in experiment.augmentation:
        changes = (
            "saturation" in item.params and interfaces.augmentations.bind(item.name, item.params)["saturation"] > 0
        )
        if changes and spec.channels == ("grey",):
            alternative = ', or use colour = "rgb" in the preprocessing' if coloured else ""
            raise ConfigError(
                "E455",
                f"augmentation {item.label} changes the saturation, which grey views do not have; set "
                f"saturation = 0{alternative}.",
            )


def check_training(experiment: Experiment, model: interfaces.ModelFn, spec: ViewSpec) -> None:
    """Raise ConfigError for settings that this model, or augmentations that this model input, does not support."""
    if experiment.augmentation and not model.trains_in_epochs:
        raise ConfigError(
            "E456",
            f"model {experiment.model.label} is fitted once, to the training clips without augmentation; remove "
            "augmentation, or choose a network.",
        )
    if experiment.target and not model.trains_in_epochs:
        raise ConfigError(
            "E456",
            f"model {experiment.model.label} is fitted once, to the classes only, and cannot learn the target "
            f"{experiment.target[0].label} in addition; remove target, or choose a network.",
        )
    if experiment.training.techniques and not model.trains_in_epochs:
        name = experiment.training.techniques[0]
        raise ConfigError(
            "E456",
            f"training.{name} has no effect on model {experiment.model.label}, which is fitted once; set it back to "
            f"{ADDED_LATER[name]!r}, or choose a network.",
        )
    for item in experiment.augmentation:
        item.build(interfaces.augmentations).check(spec)


def check_lengths(experiment: Experiment, clips: Sequence[Clip], sampler: Sampler) -> list[Fault]:
    """Return the clips that are too short for the representation.

    Raises IncompatibleError if the lengths of views differ and the representation does not allow it.
    """
    representation = experiment.representation.build(interfaces.representations)
    lengths = {clip.key: [len(view) for view in sampler(clip)] for clip in clips}
    faults = [
        Fault(
            "E452",
            key,
            f"provides {many(min(mine), 'frame')}, but representation {experiment.representation.label} needs "
            f"{representation.min_frames}",
            "choose a sampling with more frames, or another representation",
            key,
        )
        for key, mine in lengths.items()
        if min(mine) < representation.min_frames
    ]
    kept = {length for mine in lengths.values() for length in mine if min(mine) >= representation.min_frames}
    if len(kept) > 1 and not representation.fixed_length:
        raise IncompatibleError(
            "E457",
            f"sampling {experiment.sampling.label} provides {min(kept)} to {max(kept)} frames, and representation "
            f"{experiment.representation.label} keeps them all; choose a representation that has the same "
            "length for all clips, such as tim or dynamic_image, or a sampling with a fixed number of frames.",
        )
    return faults


def known_targets(experiment: Experiment, clips: Sequence[Clip]) -> dict[str, TargetValues]:
    """Return the values of auxiliary targets by name; raises IncompatibleError if no clip has values for one."""
    found = {}
    for item in experiment.target:
        target = item.build(interfaces.targets)
        values, names = target(clips)
        if np.isnan(values).all():
            raise IncompatibleError(
                "E458",
                f"target {item.label}: none of the {len(values)} clips has values. Action units are read from the "
                "databases' tables if they were coded (in a manifest: column action_units); remove the target, or "
                "choose a database that has them.",
            )
        found[item.name] = TargetValues(values, names, target.weight)
    return found


def check_targets(targets: Mapping[str, TargetValues], folds: Sequence[Fold]) -> None:
    """Raise IncompatibleError if nothing about a target can be learnt from the training clips of a fold."""
    for name, target in targets.items():
        for fold in folds:
            if not target.balance(fold.train).any():
                raise IncompatibleError(
                    "E459",
                    f"target {name}: in the training clips of fold {fold.name}, each of {', '.join(target.names)} is "
                    "present in all or in none, so nothing can be learnt; choose other units, or remove the target.",
                )
