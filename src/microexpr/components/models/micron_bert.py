"""Micron-BERT: changes between two frames, from the diagonal of a cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from microexpr.components.models._layers import HeadedNet, Scaled, linear_head
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate, Size, label_of_size
from microexpr.core.errors import ConfigError
from microexpr.core.flow import MOTION
from microexpr.core.interfaces import ViewSpec, models

PATCH = 8
MIN_CHANGE = 1e-4
"""Smallest change of a patch, so that all patches of a still face have equal weights."""
EPS = 1e-6
"""Epsilon of the encoder's layer normalisation, as in the authors' code."""
SMALLEST = 32
"""4x4 patches; with fewer, positions can hardly be distinguished."""


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
    Onset and apex pass through one encoder: patches of 8x8, fixed sine-cosine positions, four blocks with four heads.
    Diagonal micro-attention (DMA) is a cross-attention with one head. Its queries are the apex's patches and its keys
    the onset's, with a softmax over the onset's patches; only the diagonal is kept, which says how strongly a patch
    matches its own position, and it weights the values, which are the apex's. Patch of interest (PoI): a token of the
    encoder attends to all patches in the last block, and that attention weights the patches. The weighted sum of values
    is followed by DMA's output layer, a layer normalisation, dropout and a linear layer.

    `size`: ``base`` has the original's 512 dimensions (13.8 million parameters; images of 224x224 there), ``nano`` 96
    (0.5 million), for training on a CPU at 64x64.

    Departures: the original is pretrained on 8 million unlabelled frames of CAS(ME)^3: patches of one frame are swapped
    with those of another a few frames away, and a decoder (not implemented here) restores the frame. Here, nothing is
    swapped and everything is learnt from the labels, from random weights; the authors' checkpoint is a pickle, which is
    not loaded. In that pretraining the diagonal is high where a patch was swapped in. Here, changes are sought, so
    values are weighted by 1 - diagonal / the apex's diagonal with itself; the authors' maps of changes are
    1 - diagonal / its maximum, which is not 0 without motion. Queries and keys are normalised, and the key layer starts
    as a copy of the query layer without a bias, so that at first no patch matches another better than itself. The
    original's token of interest learns to give the same for crops of a face as for the whole face (as in DINO), which
    makes it attend to faces; here only the labels teach it, as a model has no loss of its own. The product of both
    weights is normalised to sum to 1, and a patch has a change of at least 0.0001. How the original's features are
    classified is unknown (its code ends with the encoder's tokens of one frame). Pixels are scaled to -1..1 by their
    range, not by ImageNet's mean and deviation.
    """

    size: Size = "nano"
    dropout: Rate = 0.1
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "global attention, diagonal between two frames"

    @property
    def label(self) -> str:
        """Name used in papers."""
        return label_of_size("after Micron-BERT", self.size)

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        frames, height, width, _ = view.shape
        if view.scaling or MOTION & set(view.channels):
            raise ConfigError(
                "E410",
                f"micron_bert compares two frames, but these views have the channels {', '.join(view.channels)}, which "
                'are already motion. Set representation = "pixels" and sampling = "onset_apex".',
            )
        if frames != 2:
            raise ConfigError(
                "E408",
                f"micron_bert compares two frames, onset and apex, but these views have {frames}. Set sampling = "
                '"onset_apex" and representation = "pixels".',
            )
        if min(height, width) < SMALLEST or height % PATCH or width % PATCH:
            raise ConfigError(
                "E407",
                f"micron_bert needs sides divisible by {PATCH}, at least {SMALLEST}, but these views have "
                f"{height}x{width} pixels. Set preprocessing.size = 64, or 224 as in the paper.",
            )
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        dim = SIZES[self.size].dim
        head = linear_head(dim, num_classes, self.dropout)
        return HeadedNet(FramePair(view, SIZES[self.size]), head, dim, aux)


class FramePair(nn.Module):
    """From two frames to features: one encoder for both, and the change between them in the patches of interest."""

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
        # The interest of the frame in which the expression is visible.
        features: Tensor = self.norm(self.dma(onset, apex, interest.unflatten(0, (-1, 2))[:, 1]))
        return features


class InterestedEncoder(nn.Module):
    """A vision transformer whose first token scores the patches by interest.

    Images are split into patches by a linear layer, with fixed sine-cosine positions, followed by attention blocks. The
    interest of a patch is the attention that the token pays to it in the last block: a softmax over patches, averaged
    over heads.
    """

    place: Tensor

    def __init__(self, channels: int, grid: tuple[int, int], patch: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Conv2d(channels, dim, patch, stride=patch)
        self.interest = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(
            Block(dim, heads, 4.0, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=EPS)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=EPS)
        # Determined by the size of the grid, so not part of the state.
        self.register_buffer("place", build_sincos2d_pos_embed(list(grid), dim)[None], persistent=False)
        self.apply(initialise)
        nn.init.xavier_uniform_(self.embed.weight.view(dim, -1))
        nn.init.normal_(self.interest, std=0.02)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n"]]:
        patches = self.embed(x).flatten(2).transpose(1, 2) + self.place
        tokens = torch.cat((self.interest.expand(x.shape[0], -1, -1), patches), 1)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = self.blocks[-1]
        interest = self._interest(last, tokens)
        return self.norm(last(tokens))[:, 1:], interest

    def _interest(self, block: Any, tokens: Float[Tensor, "b m d"]) -> Float[Tensor, "b n"]:
        joint = block.attn.qkv(block.norm1(tokens))
        query, key, _ = joint.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (query[:, :, :1] @ key[:, :, 1:].transpose(2, 3)) * query.shape[3] ** -0.5
        found: Tensor = scores.softmax(3).mean(1).squeeze(1)
        return found


class DiagonalMicroAttention(nn.Module):
    """Change of each patch of a frame since another frame: the diagonal of a cross-attention between the two.

    Queries are the patches of the later frame, keys those of the earlier one, with a softmax over the earlier frame's
    patches. Element i of the diagonal says how strongly patch i matches its own position. `change` is one minus that
    element divided by the one of the later frame with itself: 0 if nothing changed, near 1 if the patch has no match.
    Queries and keys are normalised to length 1 (each times the fourth root of their dimension, so that scores are as
    large as in ordinary attention), and the key layer starts as a copy of the query layer: at first no patch matches
    another better than itself.

    Everything is computed in 32 bits whatever the surrounding precision: a change is the small difference of two
    logarithms, which the 8 significant bits of bf16 cannot represent.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.value, self.join = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        # A bias of the keys would add the same to all scores of a query, which the softmax cancels.
        self.key = nn.Linear(dim, dim, bias=False)
        self.apply(initialise)
        with torch.no_grad():
            self.key.weight.copy_(self.query.weight)

    def change(self, earlier: Float[Tensor, "b n d"], later: Float[Tensor, "b n d"]) -> Float[Tensor, "b n"]:
        """Return the change of every patch, 0..1."""
        with torch.autocast(later.device.type, enabled=False):
            earlier, later = earlier.float(), later.float()
            query = functional.normalize(self.query(later), dim=2) * later.shape[2] ** 0.5
            keys = (functional.normalize(self.key(frame), dim=2) for frame in (earlier, later))
            found, itself = (_diagonal(query, key) for key in keys)
            # Equal frames may differ by rounding; trained keys may match a patch better in the other frame.
            return (1 - (found - itself).exp()).relu()

    def forward(
        self, earlier: Float[Tensor, "b n d"], later: Float[Tensor, "b n d"], interest: Float[Tensor, "b n"]
    ) -> Float[Tensor, "b d"]:
        """Return the later frame's values, weighted by change times interest."""
        with torch.autocast(later.device.type, enabled=False):
            weights = weighted(self.change(earlier, later), interest.float())
            pooled: Tensor = self.join((weights[:, None] @ self.value(later.float())).squeeze(1))
            return pooled


def weighted(change: Float[Tensor, "b n"], interest: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Return the weight of each patch: its change, at least MIN_CHANGE, times its interest; they sum to 1."""
    weights = (change + MIN_CHANGE) * interest
    return weights / weights.sum(1, keepdim=True)


def initialise(module: nn.Module) -> None:
    """Initialise linear layers as the authors' code does (Xavier weights, zero biases)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _diagonal(query: Float[Tensor, "b n d"], key: Float[Tensor, "b n d"]) -> Float[Tensor, "b n"]:
    """Return the logarithm of the diagonal of ``softmax(query key')``."""
    scores = query @ key.transpose(1, 2)
    # Every (n + 1)th score: the diagonal in a form that can be exported.
    return scores.flatten(1)[:, :: scores.shape[2] + 1] - scores.logsumexp(2)
