"""Micron-BERT: what changed between two frames, found by the diagonal of an attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._diagonal import DiagonalMicroAttention, InterestedEncoder
from microexpr.components.models._net import HeadedNet
from microexpr.components.models._parts import RANDOM_WEIGHTS
from microexpr.components.models._sequences import Scaled
from microexpr.core.errors import ConfigError
from microexpr.core.flow import MOTION
from microexpr.core.interfaces import ViewSpec, models

Rate = Annotated[float, Field(ge=0, lt=1)]
Size = Literal["nano", "base"]
PATCH = 8
SMALLEST = 32
"""4x4 patches: in fewer there is hardly a place to tell from another."""


class Sizes(NamedTuple):
    """Width of the tokens, blocks and heads."""

    dim: int
    depth: int
    heads: int


SIZES: Mapping[Size, Sizes] = {"nano": Sizes(96, 4, 4), "base": Sizes(512, 4, 4)}


@models.register("micron_bert", revision=2)
@dataclass(frozen=True)
class MicronBert:
    """After Micron-BERT: patches of two frames, diagonal micro-attention between them, and patches of interest.

    Nguyen, Duong, Li, Gauch, Seo and Luu, "Micron-BERT: BERT-based facial micro-expression recognition", CVPR 2023
    (arXiv 2304.03195); layers as in the authors' code, github.com/uark-cviu/Micron-BERT (`mae_vit_small_patch8`).
    Onset and apex go through one encoder: patches of 8x8, fixed sines and cosines for their places, four blocks with
    four heads. Diagonal micro-attention (DMA) is a cross-attention with one head whose queries are the apex's patches
    and whose keys are the onset's, softmax over the onset's patches; only its diagonal is kept, which says how surely a
    patch finds itself where it was, and it weights the values, which are the apex's. Patch of interest (PoI): a token
    of the encoder attends to all patches in the last block, and that attention weights the patches. The weighted sum of
    values goes through DMA's output layer, a layer normalisation, dropout and a linear layer.

    `size`: ``base`` has the original's 512 numbers a patch (13.8 million parameters; 224x224 there), ``nano`` 96 (0.5
    million), to train on a CPU at 64x64.

    Departures: the original learns from 8 million unlabelled frames of CAS(ME)^3: it swaps patches of one frame with
    those of another a few frames away, and a decoder (not built here) puts the frame back together. Nothing is swapped
    here and all is learnt from the labels, from random weights; the authors' checkpoint is a pickle, which is not
    loaded. In that training the diagonal is high where a patch was swapped in. Here changes are sought, so values are
    weighted by 1 - diagonal / the apex's diagonal with itself; the authors draw their maps of changes as 1 - diagonal /
    its maximum, which is not 0 where nothing moves. Queries and keys are divided by their length, and keys start as the
    queries' layer without a bias, so that nothing is more alike to a patch than itself. The original's token of
    interest learns that crops of a face give what the whole face gives (as DINO does), which makes it look at faces;
    here the labels alone teach it, as a model has no loss of its own. The product of both weights is normalised to sum
    to 1, a patch counting as changed by 0.0001 at least. How the original's features are classified is open (its code
    stops at the encoder's tokens of one frame). Pixels become -1..1 by their range, not by ImageNet's mean and
    deviation.
    """

    size: Size = "nano"
    dropout: Rate = 0.1
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "global attention, diagonal between two frames"

    @property
    def label(self) -> str:
        return "after Micron-BERT" + (" (nano)" if self.size == "nano" else "")

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        frames, height, width, _ = view.shape
        if view.scaling or MOTION & set(view.channels):
            raise ConfigError(
                "E104",
                f"micron_bert compares two frames, and these views hold {', '.join(view.channels)}, which is motion "
                'already; set representation = "pixels" and sampling = "onset_apex".',
            )
        if frames != 2:
            raise ConfigError(
                "E104",
                f"micron_bert compares two frames, onset and apex, and these views have {frames}; set sampling = "
                '"onset_apex" and representation = "pixels".',
            )
        if min(height, width) < SMALLEST or height % PATCH or width % PATCH:
            raise ConfigError(
                "E104",
                f"micron_bert needs sides that {PATCH} divides, {SMALLEST} at least, and these views have "
                f"{height}x{width}; set preprocessing.size = 64, or 224 as the authors.",
            )
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        dim = SIZES[self.size].dim
        head = nn.Sequential(nn.Dropout(self.dropout), nn.Linear(dim, num_classes))
        return HeadedNet(FramePair(view, SIZES[self.size]), head, dim, aux)


class FramePair(nn.Module):
    """From two frames to features: one encoder for both, and what changed between them where it is of interest."""

    def __init__(self, view: ViewSpec, sizes: Sizes) -> None:
        super().__init__()
        grid = (view.shape[1] // PATCH, view.shape[2] // PATCH)
        self.scaled = Scaled(view)
        self.encoder = InterestedEncoder(view.shape[3], grid, PATCH, *sizes)
        self.dma = DiagonalMicroAttention(sizes.dim)
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        patches, interest = self.encoder(self.scaled(x).flatten(0, 1))
        onset, apex = patches.unflatten(0, (-1, 2)).unbind(1)
        # The token looks at the frame in which the expression shows.
        features: Tensor = self.norm(self.dma(onset, apex, interest.unflatten(0, (-1, 2))[:, 1]))
        return features
