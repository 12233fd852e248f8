"""Occlusion: the loss of probability when a patch of the image is covered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.explainers._parts import prepared
from microexpr.core.errors import ConfigError
from microexpr.core.flow import PLANES
from microexpr.core.interfaces import Attribution, ViewSpec, explainers

if TYPE_CHECKING:
    from microexpr.core.interfaces import Predictor

Share = Annotated[float, Field(gt=0, le=0.5)]
Step = Annotated[float, Field(gt=0, le=1)]
TOGETHER = 64
"""Number of covered views that are predicted at once."""


@explainers.register("occlusion")
@dataclass(frozen=True)
class Occlusion:
    """Occlusion: the loss of the class's probability when a patch is covered, averaged over the patches at a position.

    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014. It needs only predictions, so
    that it works for every model, including scikit-learn's. A square with a side of `patch` times the short side is
    covered, then moved by `stride` times its side (the last one touches the border). The value of a position is the
    mean loss over the patches that cover it; negative values (covering raises the probability) become 0. A patch covers
    its position in all frames of a view, so that they share one map.

    `fill`: patches are covered by the ``mean`` of the view's channel, or by the ``middle`` of the range; ``auto`` uses
    the middle for flow scaled by ``centred``, where it means no motion, and the mean otherwise. A model may respond to
    the patch itself, which the map then also shows. If a prediction rests on several positions, or has a probability
    near 1, covering one of them changes little.
    """

    patch: Share = 0.25
    stride: Step = 0.5
    fill: Literal["auto", "mean", "middle"] = "auto"
    label: ClassVar[str] = "occlusion"
    scale: ClassVar[str] = "probability lost"
    by_class: ClassVar[bool] = True

    def check(self, model: Predictor, view: ViewSpec, name: str) -> None:
        """Raise ConfigError for views that are not images."""
        if view.channels == PLANES:
            raise ConfigError(
                "E412",
                f"{name} has histograms as input (LBP-TOP), in which no position can be covered. Leave it out of "
                "explanations.of.",
            )

    def __call__(
        self, model: Predictor, x: Float[Tensor, "b t c h w"], classes: Int[np.ndarray, "b"], view: ViewSpec
    ) -> Attribution:
        _, height, width, _ = view.shape
        side = max(1, round(self.patch * min(height, width)))
        downs, acrosses = (_starts(length, side, max(1, round(self.stride * side))) for length in (height, width))
        patches = [(slice(y, y + side), slice(x0, x0 + side)) for y in downs for x0 in acrosses]
        maps = np.zeros((len(x), *view.shape[:3]), np.float32)
        for row, number, values in zip(x, classes, maps, strict=True):
            uncovered = _probability(model, row[None], int(number))[0]
            lost = np.concatenate(
                [uncovered - _probability(model, some, int(number)) for some in self._covered(row, patches, view)]
            )
            total, times = np.zeros((height, width)), np.zeros((height, width))
            for place, loss in zip(patches, lost, strict=True):
                total[place] += loss
                times[place] += 1
            values[:] = np.maximum(total / times, 0)
        return Attribution(maps, (len(downs), len(acrosses)))

    def _covered(
        self, row: Float[Tensor, "t c h w"], patches: list[tuple[slice, slice]], view: ViewSpec
    ) -> Iterator[Float[Tensor, "p t c h w"]]:
        cover = row.mean((0, 2, 3), keepdim=True)
        if self.fill == "middle" or (self.fill == "auto" and view.scaling == "centred"):
            cover = torch.full_like(cover, (view.low + view.high) / 2)
        for start in range(0, len(patches), TOGETHER):
            some = patches[start : start + TOGETHER]
            views = row.repeat(len(some), 1, 1, 1, 1)
            for covered, (down, across) in zip(views, some, strict=True):
                covered[:, :, down, across] = cover
            yield views


def _starts(length: int, side: int, step: int) -> list[int]:
    """Return where patches begin: every `step` pixels, with the last at the border.

    >>> _starts(10, 4, 3), _starts(10, 4, 4)
    ([0, 3, 6], [0, 4, 6])
    """
    return sorted({*range(0, length - side + 1, step), length - side})


def _probability(model: Predictor, x: Float[Tensor, "p t c h w"], number: int) -> Float[np.ndarray, "p"]:
    if isinstance(model, nn.Module):
        with prepared(model), torch.no_grad():
            proba = torch.softmax(model(x).logits.double(), 1)[:, number]
        return np.asarray(proba.cpu().numpy())
    rows = x.movedim(2, -1).flatten(1).cpu().numpy().astype(np.float32)  # in the order in which training flattens them
    known = list(model.classes_)
    found = np.asarray(model.predict_proba(rows), float)
    return found[:, known.index(number)] if number in known else np.zeros(len(rows))
