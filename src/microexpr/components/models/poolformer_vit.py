"""PoolFormer over all frames joined with a ViT on the apex: the hybrid that the paper leaves for the future."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._body import Body, build_body, each_frame
from microexpr.components.models._net import HeadedNet, target_heads
from microexpr.components.models._sequences import fused, one_frame
from microexpr.components.models._start import Start, joined, usual
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Output, ViewSpec, models

Rate = Annotated[float, Field(ge=0, lt=1)]
Stages = Annotated[int, Field(ge=-1)]
MEMBERS: Mapping[str, tuple[str, str]] = {
    "nano": ("poolformer_nano", "vit_nano"),
    "base": ("poolformer_m36", "vit_b32"),
}
"""The PoolFormer and the ViT of each size."""
APEX = 1
"""Where onset_apex and onset_apex_offset have the apex, counted from 0."""


class Parts(NamedTuple):
    """One for the PoolFormer, one for the ViT."""

    pool: Float[Tensor, "b f"]
    vit: Float[Tensor, "b g"]


class OverTime(nn.Module):
    """Frames ``b t f`` -> ``b f``: their mean, weighted by a learnt attention that begins as equal weights."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(features))

    def forward(self, frames: Float[Tensor, "b t f"]) -> Float[Tensor, "b f"]:
        shares = (frames @ self.score).softmax(1)
        return (shares[..., None] * frames).sum(1)


class TwoBodies(nn.Module):
    """The PoolFormer's features of all frames, joined in time, beside the ViT's of the apex."""

    def __init__(self, pool: Body, vit: Body, apex: int, learnt: bool) -> None:
        super().__init__()
        self.pool, self.vit, self.apex = pool, vit, apex
        self.lengths = tuple(int(body.net.num_features) for body in (pool, vit))  # type: ignore[arg-type]
        self.over_time = OverTime(self.lengths[0]) if learnt else None

    def parts(self, x: Float[Tensor, "b t c h w"]) -> Parts:
        """Return the features of both."""
        frames = each_frame(self.pool, x)
        return Parts(self.over_time(frames) if self.over_time else frames.mean(1), self.vit(x[:, [self.apex]]))

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        return torch.cat(self.parts(x), 1)


class ScoreFusion(nn.Module):
    """A head for each body; the mean of their class probabilities, as logarithms, which are never infinite."""

    def __init__(self, body: TwoBodies, num_classes: int, dropout: float, aux: Mapping[str, int]) -> None:
        super().__init__()
        self.body = body
        self.pool_head, self.vit_head = (_head(length, num_classes, dropout) for length in body.lengths)
        self.heads = target_heads(sum(body.lengths), aux)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        parts = self.body.parts(x)
        mean = fused([self.pool_head(parts.pool), self.vit_head(parts.vit)])
        features = torch.cat(parts, 1)
        return Output(mean, {name: head(features) for name, head in self.heads.items()})


def _head(features: int, num_classes: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))


@models.register("poolformer_vit")
@dataclass(frozen=True)
class PoolFormerViT:
    """PoolFormer features of all frames, joined in time, fused with a ViT's features of the apex frame.

    The paper names it as future work (section VI: PoolFormer's temporal aggregation with ViT's peak intensity capture)
    and says nothing of how. Every frame passes through one PoolFormer (Yu et al., CVPR 2022); the apex frame also
    through a ViT (Dosovitskiy et al., ICLR 2021).

    `time`: the frames' features are averaged (``mean``), which is what the paper does with their votes, or weighted by
    a learnt score of each frame (``attention``, as in Ilse et al., ICML 2018, without the hidden layer), which begins
    as the mean. Neither sees the frames' order: poolformer_lstm and poolformer_gru do.
    `fusion`: ``feature`` joins both vectors before one head; ``score`` gives each its own head and averages their class
    probabilities. The loss is that of the average, so that its gradient reaches each part through its own
    probabilities, and more strongly the part that is nearer to the true class.
    `apex`: place of the apex in a view, counted from 0. Left out, it is the second of two or three frames, as in
    sampling onset_apex and onset_apex_offset; views of more frames are refused until it is said. With apex_offset it is
    0. Samplings uniform and clip show no frame that is always the apex, and of three frames nobody can tell here.
    `size`: ``nano`` (PoolFormer-nano and ViT-nano/8) or ``base`` (PoolFormer-m36 and ViT-B/32).
    `weights`: ``imagenet``, ``hub``, ``random``, or the path of a .safetensors file of this very model, saved here;
    left out, imagenet, and random for nano. `drop_path` and `grey` hold for both, `dropout` before each head; of the
    PoolFormer `frozen_stages` (up to 4), of the ViT `frozen_blocks` (up to 12; nano 4) keep their weights with the
    stem, -1 all.
    """

    size: Literal["nano", "base"] = "base"
    fusion: Literal["feature", "score"] = "feature"
    time: Literal["mean", "attention"] = "mean"
    apex: Annotated[int, Field(ge=0)] | None = None
    weights: str | None = None
    drop_path: Rate = 0.1
    dropout: Rate = 0.1
    frozen_stages: Stages = 0
    frozen_blocks: Stages = 0
    grey: Literal["sum", "copy"] = "sum"
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "attention-free pooling of all frames, global attention on the apex"

    @property
    def label(self) -> str:
        """The name that papers use."""
        return " + ".join(member.label for member, _ in self._members)

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return tuple(tag for start in self._starts for tag in start.tags)

    @property
    def _members(self) -> tuple[tuple[Architecture, int], ...]:
        """Both networks, each with what of it is frozen."""
        pool, vit = (ARCHITECTURES[name] for name in MEMBERS[self.size])
        return (pool, self.frozen_stages), (vit, self.frozen_blocks)

    @property
    def _starts(self) -> tuple[Start, ...]:
        return tuple(Start(member, self.weights or usual(member)) for member, _ in self._members)

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Raise ConfigError or WeightsError if it could not be built; return names and sha256 of its weights."""
        self._apex(view.shape[0])
        for (member, frozen), start in zip(self._members, self._starts, strict=True):
            member.check(one_frame(view), frozen, start.weights != "random")
        return joined([start.metadata(view) for start in self._starts])

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        pool, vit = (
            build_body(member, one_frame(view), start.file(view), self.drop_path, frozen, self.grey)
            for (member, frozen), start in zip(self._members, self._starts, strict=True)
        )
        body = TwoBodies(pool, vit, self._apex(view.shape[0]), self.time == "attention")
        if self.fusion == "score":
            return ScoreFusion(body, num_classes, self.dropout, aux)
        features = sum(body.lengths)
        return HeadedNet(body, _head(features, num_classes, self.dropout), features, aux)

    def _apex(self, frames: int) -> int:
        """Return the place of the apex in views of so many frames; raises ConfigError where nobody can tell."""
        way = "take sampling onset_apex_offset or onset_apex"
        if frames < 2:
            raise ConfigError(
                "E104", f"poolformer_vit looks at the apex among other frames, and these views have one; {way}."
            )
        if self.apex is None and frames > 3:
            raise ConfigError(
                "E104",
                f"poolformer_vit cannot tell which of the {frames} frames of these views is the apex; {way}, or say "
                "where a sampling of your own has it: model.apex, counted from 0.",
            )
        place = APEX if self.apex is None else self.apex
        if place >= frames:
            raise ConfigError(
                "E104",
                f"poolformer_vit: apex = {place}, counted from 0, and these views have {frames} frames; {way} and "
                "leave apex out, or name one of them.",
            )
        return place
