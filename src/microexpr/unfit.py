"""What methods ask of data that do not have it, in words with the way out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from microexpr import contracts, ops
from microexpr.clip import Clip
from microexpr.config import Experiment
from microexpr.contracts import ViewSpec
from microexpr.errors import ConfigError, DataError, MicroexprError, NoFrameError, UnfitError, of_clip


def are_ready(clips: Sequence[Clip]) -> bool:
    """Say whether all clips are ready images, without frames and times."""
    return all(clip.onset is None for clip in clips)


@contextlib.contextmanager
def fitting(clips: Sequence[Clip] = ()) -> Iterator[None]:
    """Say of an error in here that the method does not fit these data, and of ready images what cannot be had."""
    try:
        yield
    except UnfitError:
        raise
    except ConfigError as error:
        ready = (
            " These clips are ready images: nothing that needs frames can be made of them, such as flow, lbp_top or "
            'bi_woof; models of pictures, such as pca_svm and logistic, take them by representation = "pixels".'
        )
        raise UnfitError(f"{error}{ready if clips and are_ready(clips) else ''}") from None


def no_view(
    experiment: Experiment, least: int, clips: Sequence[Clip], failed: tuple[Clip, DataError] | None
) -> MicroexprError:
    """Return why no clip gives a view of `least` frames; `failed` is the last one that could not be preprocessed."""
    representation, sampling = experiment.representation.label, experiment.sampling.label
    if failed is None and clips and are_ready(clips):
        return UnfitError(
            f"representation {representation} is made of {least} frames or more, and these clips are ready images "
            'without time; take representation = "pixels" with a model that looks at pictures. Of images that are '
            "optical flow say what their channels hold, as in datasets = "
            '[{name = "manifest", channels = {onset_apex = ["strain", "v", "u"]}}].'
        )
    if failed is None and clips:
        return UnfitError(
            f"representation {representation} needs {least} frames, and sampling {sampling} gives fewer in every clip; "
            "take another sampling."
        )
    told = f"{failed[0].key}: {of_clip(failed[1], failed[0].key)}" if failed else "no clip is left"
    told = f"{told.removesuffix('.')}."
    if failed and isinstance(failed[1], NoFrameError):
        return UnfitError(f"sampling {sampling} fits no clip; the last one tried is {told}")
    return DataError(
        f"preprocessing {experiment.preprocessing.label} works on no clip of this database; the last one tried is "
        f"{told} Look at its frames, or take another preprocessing: m1 and as_is look for no face."
    )


def check_colour(experiment: Experiment, held: Sequence[str], spec: ViewSpec) -> None:
    """Raise ConfigError where the study file itself asks for colour that the pictures do not have.

    What the file does not name is a default, and on pictures without colour it does nothing.
    """
    shown: Mapping[str, Any] = experiment.preprocessing.params
    while isinstance(shown.get("of"), Mapping):
        shown = shown["of"]
    coloured = set(held) == set(ops.RGB)
    if shown.get("colour") == "rgb" and not coloured:
        raise ConfigError(
            f"preprocessing {experiment.preprocessing.label} asks for colour, and these pictures hold "
            f"{', '.join(held)}; leave colour out, or take a modality in colour."
        )
    for item in experiment.augmentation:
        asked = "saturation" in item.params and contracts.augmentations.bind(item.name, item.params)["saturation"] > 0
        if asked and spec.channels == ("grey",):
            way = ', or take colour = "rgb" in the preprocessing' if coloured else ""
            raise ConfigError(
                f"augmentation {item.label} asks for saturation, and these views are grey, which have none; set "
                f"saturation = 0{way}."
            )
