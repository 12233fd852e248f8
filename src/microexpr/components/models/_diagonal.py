"""Parts of Micron-BERT: an encoder with a token of interest, and diagonal micro-attention between two frames."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

FLOOR = 1e-4
"""Change that a patch counts with at least, so that a face that stands still gives its patches alike."""
EPS = 1e-6
"""Of the encoder's layer normalisation, as in the authors' code."""


class InterestedEncoder(nn.Module):
    """A vision transformer whose first token says which patches are of interest.

    Pictures become patches by a linear layer, places are told by fixed sines and cosines, and blocks of attention
    follow. A patch's interest is the attention that the token pays it in the last block: a softmax over patches, mean
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
        # Fixed by the size of the grid, so no part of the state.
        self.register_buffer("place", build_sincos2d_pos_embed(list(grid), dim)[None], persistent=False)
        self.apply(start)
        nn.init.xavier_uniform_(self.embed.weight.view(dim, -1))
        nn.init.normal_(self.interest, std=0.02)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n"]]:
        patches = self.embed(x).flatten(2).transpose(1, 2) + self.place
        tokens = torch.cat((self.interest.expand(len(x), -1, -1), patches), 1)
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
    """How much each patch of a frame has changed since another frame: cross-attention of which the diagonal is kept.

    Queries are the patches of the later frame, keys those of the earlier one, softmax over the earlier frame's patches.
    The i-th number of the diagonal says how surely patch i finds itself where it was. `change` is one minus that number
    over the number that the later frame has with itself: 0 where nothing changed, near 1 where the patch is not found.
    Queries and keys have the length 1 (times the fourth root of their width each, so that scores are as large as those
    of a usual attention), and keys start as the queries' layer: nothing is then more alike to a patch than itself.

    All of it computes in 32 bits whatever the precision around it: a change is the small difference of two logarithms,
    which the 8 significant bits of bf16 cannot hold.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.value, self.join = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        # A bias of keys would add the same to all scores of a query, and the softmax takes it away again.
        self.key = nn.Linear(dim, dim, bias=False)
        self.apply(start)
        with torch.no_grad():
            self.key.weight.copy_(self.query.weight)

    def change(self, earlier: Float[Tensor, "b n d"], later: Float[Tensor, "b n d"]) -> Float[Tensor, "b n"]:
        """Return the change of every patch, 0..1."""
        with torch.autocast(later.device.type, enabled=False):
            earlier, later = earlier.float(), later.float()
            query = functional.normalize(self.query(later), dim=2) * later.shape[2] ** 0.5
            keys = (functional.normalize(self.key(frame), dim=2) for frame in (earlier, later))
            found, itself = (_diagonal(query, key) for key in keys)
            # Equal frames may differ by a rounding; trained keys may find a patch better in the other frame.
            return (1 - (found - itself).exp()).relu()

    def forward(
        self, earlier: Float[Tensor, "b n d"], later: Float[Tensor, "b n d"], interest: Float[Tensor, "b n"]
    ) -> Float[Tensor, "b d"]:
        """Return the later frame's values, averaged by change times interest."""
        with torch.autocast(later.device.type, enabled=False):
            weights = weighted(self.change(earlier, later), interest.float())
            pooled: Tensor = self.join((weights[:, None] @ self.value(later.float())).squeeze(1))
            return pooled


def weighted(change: Float[Tensor, "b n"], interest: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Return the share of each patch: its change, `FLOOR` at least, times its interest; sums to 1."""
    weights = (change + FLOOR) * interest
    return weights / weights.sum(1, keepdim=True)


def start(module: nn.Module) -> None:
    """Give linear layers the first weights of the authors' code (Xavier, no bias)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _diagonal(query: Float[Tensor, "b n d"], key: Float[Tensor, "b n d"]) -> Float[Tensor, "b n"]:
    """Return the logarithm of the diagonal of ``softmax(query key')``."""
    scores = query @ key.transpose(1, 2)
    return scores.diagonal(dim1=1, dim2=2) - scores.logsumexp(2)
