"""Checks of views and targets that several models need; each names the model and the fix."""

from __future__ import annotations

from collections.abc import Mapping

from microexpr.core.errors import ConfigError
from microexpr.core.flow import ACROSS, DOWN
from microexpr.core.interfaces import ViewSpec

SMALLEST = 28
"""Image side in the papers. With smaller images the last maps would be smaller than the dense layer expects."""


def check_side(name: str, view: ViewSpec, smallest: int) -> None:
    """Raise ConfigError for views with a side of fewer pixels."""
    height, width = view.shape[1:3]
    if min(height, width) < smallest:
        raise ConfigError(
            "E406",
            f"{name} needs at least {smallest} pixels a side, but these views have {height}x{width}. Set "
            f"representation.size = {smallest} if the representation has a size (flow), otherwise preprocessing.size.",
        )


def check_frames(name: str, view: ViewSpec, min_frames: int) -> None:
    """Raise ConfigError for views of fewer frames."""
    frames = view.shape[0]
    if frames < min_frames:
        raise ConfigError(
            "E408",
            f"{name} needs at least {min_frames} frames, but these views have {frames}. Set sampling = {{name = "
            f'"uniform", count = {min_frames}}} (more if the representation makes one image of several frames, as flow '
            f'and frame_difference do), or sampling = "clip" with representation = {{name = "tim", frames = '
            f"{min_frames}}}.",
        )


def one_frame(view: ViewSpec) -> ViewSpec:
    """Return the view with a single frame, for a network that takes the frames one by one."""
    return view._replace(shape=(1, *view.shape[1:]))


def check_motion(name: str, view: ViewSpec, needed: tuple[str, ...] = ()) -> None:
    """Raise ConfigError for views that are small or lack motion across and down (or the channels `needed`)."""
    channels = set(view.channels)
    if not channels >= set(needed) or channels.isdisjoint(ACROSS) or channels.isdisjoint(DOWN):
        what = f"the channels {' and '.join(needed)} of optical flow" if needed else "optical flow"
        raise ConfigError(
            "E409",
            f"{name} needs {what}, but these views have the channels {', '.join(view.channels)}. Set representation = "
            '"flow" and sampling = "onset_apex". For precomputed flow images, name the channels, as in '
            'datasets = [{name = "manifest", channels = {onset_apex = ["strain", "v", "u"]}}].',
        )
    check_side(name, view, SMALLEST)


def refuse_targets(aux: Mapping[str, int], name: str) -> None:
    """Raise ConfigError if auxiliary outputs are requested from a model without any."""
    if aux:
        raise ConfigError("E413", f"{name} has no auxiliary outputs ({', '.join(aux)}); leave the targets out.")
