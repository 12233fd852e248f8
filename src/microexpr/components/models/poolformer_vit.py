"""PoolFormer on all frames and a ViT on the apex: future work of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._backbone import (
    Backbone,
    StartingWeights,
    build_backbone,
    default_weights,
    each_frame,
    joined_metadata,
)
from microexpr.components.models._checks import one_frame
from microexpr.components.models._layers import HeadedNet, fused, linear_head, target_heads
from microexpr.components.models._parameters import FrozenStages, Grey, Rate, Size
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Output, ViewSpec, models

MEMBERS: Mapping[str, tuple[str, str]] = {
    "nano": ("poolformer_nano", "vit_nano"),
    "base": ("poolformer_m36", "vit_b32"),
}
"""The PoolFormer and the ViT of each size."""
APEX = 1
"""Position of the apex in views of onset_apex and onset_apex_offset, counted from 0."""


class Parts(NamedTuple):
    """Features of the PoolFormer and of the ViT."""

    pool: Float[Tensor, "b f"]
    vit: Float[Tensor, "b g"]


class OverTime(nn.Module):
    """Frames ``b t f`` -> ``b f``: their mean with learnt attention weights, which start equal."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(features))

    def forward(self, frames: Float[Tensor, "b t f"]) -> Float[Tensor, "b f"]:
        shares = (frames @ self.score).softmax(1)
        return (shares[..., None] * frames).sum(1)


class TwoBodies(nn.Module):
    """The PoolFormer's features of all frames, pooled over time, and the ViT's of the apex."""

    def __init__(self, pool: Backbone, vit: Backbone, apex: int, learnt: bool) -> None:
        super().__init__()
        self.pool, self.vit, self.apex = pool, vit, apex
        self.lengths = pool.num_features, vit.num_features
        self.over_time = OverTime(self.lengths[0]) if learnt else None

    def parts(self, x: Float[Tensor, "b t c h w"]) -> Parts:
        """Return the features of both networks."""
        frames = each_frame(self.pool, x)
        return Parts(self.over_time(frames) if self.over_time else frames.mean(1), self.vit(x[:, [self.apex]]))

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        return torch.cat(self.parts(x), 1)


class ScoreFusion(nn.Module):
    """A head for each backbone; logits are the logarithm of their mean class probabilities, always finite."""

    def __init__(self, body: TwoBodies, num_classes: int, dropout: float, aux: Mapping[str, int]) -> None:
        super().__init__()
        self.body = body
        self.pool_head, self.vit_head = (linear_head(length, num_classes, dropout) for length in body.lengths)
        self.heads = target_heads(sum(body.lengths), aux)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        parts = self.body.parts(x)
        mean = fused([self.pool_head(parts.pool), self.vit_head(parts.vit)])
        features = torch.cat(parts, 1)
        return Output(mean, {name: head(features) for name, head in self.heads.items()})


@models.register("poolformer_vit")
@dataclass(frozen=True)
class PoolFormerViT:
    """PoolFormer features of all frames, pooled over time, fused with a ViT's features of the apex frame.

    The paper names it as future work (section VI: PoolFormer's temporal aggregation with ViT's peak intensity capture)
    without details. Every frame passes through one PoolFormer (Yu et al., CVPR 2022); the apex frame also passes
    through a ViT (Dosovitskiy et al., ICLR 2021).

    `time`: the frames' features are averaged (``mean``), as the paper does with their votes, or weighted by a learnt
    score of each frame (``attention``, as in Ilse et al., ICML 2018, without the hidden layer), which starts as the
    mean. Neither depends on the order of the frames: poolformer_lstm and poolformer_gru do.
    `fusion`: ``feature`` concatenates both vectors before one head; ``score`` gives each its own head and averages
    their class probabilities. The loss is that of the average, so that its gradient reaches each part through that
    part's probabilities, and is stronger for the part that is closer to the true class.
    `apex`: position of the apex in a view, counted from 0. By default it is the second of two or three frames, as in
    sampling onset_apex and onset_apex_offset; for views with more frames it must be set. With apex_offset it is 0. With
    the samplings uniform and clip no position is always the apex, which cannot be detected for views of three frames.
    `size`: ``nano`` (PoolFormer-nano and ViT-nano/8) or ``base`` (PoolFormer-m36 and ViT-B/32).
    `weights`: ``imagenet``, ``hub``, ``random``, or the path of a .safetensors file of this model saved by this
    package; by default imagenet, and random for nano. `drop_path` and `grey` apply to both networks, `dropout` before
    each head. `frozen_stages` of the PoolFormer (up to 4) and `frozen_blocks` of the ViT (up to 12; nano 4) are not
    trained, nor is the stem before them; -1 freezes all.
    """

    size: Size = "base"
    fusion: Literal["feature", "score"] = "feature"
    time: Literal["mean", "attention"] = "mean"
    apex: Annotated[int, Field(ge=0)] | None = None
    weights: str | None = None
    drop_path: Rate = 0.1
    dropout: Rate = 0.1
    frozen_stages: FrozenStages = 0
    frozen_blocks: FrozenStages = 0
    grey: Grey = "sum"
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "attention-free pooling of all frames, global attention on the apex"

    @property
    def label(self) -> str:
        """Name used in papers."""
        return " + ".join(member.label for member, _ in self._members)

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return tuple(tag for start in self._starts for tag in start.tags)

    @property
    def _members(self) -> tuple[tuple[Architecture, int], ...]:
        """Both networks, each with the number of frozen stages."""
        pool, vit = (ARCHITECTURES[name] for name in MEMBERS[self.size])
        return (pool, self.frozen_stages), (vit, self.frozen_blocks)

    @property
    def _starts(self) -> tuple[StartingWeights, ...]:
        return tuple(StartingWeights(member, self.weights or default_weights(member)) for member, _ in self._members)

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Return names and sha256 of its weights; raises ConfigError or WeightsError if it cannot be built."""
        self._apex(view.shape[0])
        for (member, frozen), start in zip(self._members, self._starts, strict=True):
            member.check(one_frame(view), frozen, start.weights != "random")
        return joined_metadata([start.metadata(view) for start in self._starts])

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        pool, vit = (
            build_backbone(member, one_frame(view), start.file(view), self.drop_path, frozen, self.grey)
            for (member, frozen), start in zip(self._members, self._starts, strict=True)
        )
        body = TwoBodies(pool, vit, self._apex(view.shape[0]), self.time == "attention")
        if self.fusion == "score":
            return ScoreFusion(body, num_classes, self.dropout, aux)
        features = sum(body.lengths)
        return HeadedNet(body, linear_head(features, num_classes, self.dropout), features, aux)

    def _apex(self, frames: int) -> int:
        """Return the position of the apex in views with this many frames; raises ConfigError if it is unknown."""
        fix = "set sampling to onset_apex_offset or onset_apex"
        if frames < 2:
            raise ConfigError(
                "E408", f"poolformer_vit needs the apex among other frames, but these views have one frame; {fix}."
            )
        if self.apex is None and frames > 3:
            raise ConfigError(
                "E414",
                f"poolformer_vit does not know which of the {frames} frames of these views is the apex; {fix}, or set "
                "model.apex to its position, counted from 0.",
            )
        place = APEX if self.apex is None else self.apex
        if place >= frames:
            raise ConfigError(
                "E414",
                f"poolformer_vit: apex = {place}, counted from 0, but these views have {frames} frames; {fix} and "
                f"leave apex out, or set it to 0 to {frames - 1}.",
            )
        return place
