"""Agent attention whose agents are the places of highest entropy, and the entropy of places."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def entropies(x: Float[Tensor, "b c h w"], patch: int, levels: int) -> Float[Tensor, "b gh gw"]:
    """Return the Shannon entropy of the values in each patch, in bits, mean over channels.

    Values are sorted into `levels` equal bins between the least and the largest of their picture and channel. A patch
    of one value has the entropy 0, one whose values fall evenly into all bins the largest, log2(levels).
    """
    low = x.amin((2, 3), keepdim=True)
    span = x.amax((2, 3), keepdim=True) - low
    # A picture of a single value has no span, and no entropy anywhere.
    places = ((x - low) / torch.where(span > 0, span, 1) * levels).floor().clamp(max=levels - 1)
    total = x.new_zeros(len(x), x.shape[1], x.shape[2] // patch, x.shape[3] // patch)
    for level in range(levels):
        share = functional.avg_pool2d((places == level).to(x.dtype), patch)
        total = total - share * share.clamp(min=1e-9).log2()
    return total.mean(1)


def chosen(entropy: Float[Tensor, "m n"], count: int) -> Float[Tensor, "m k n"]:
    """Return which places are agents, the `count` of highest entropy (of equal ones the first), as rows of 0 and one 1.

    >>> chosen(torch.tensor([[0.0, 3.0, 1.0, 3.0]]), 2).tolist()
    [[[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]]
    """
    first = entropy.argsort(dim=1, descending=True, stable=True)[:, :count]
    # Rows of a matrix and not an index: the gradient of a product is the same every time on a GPU too.
    return functional.one_hot(first, entropy.shape[1]).to(entropy.dtype)


class AgentAttention(nn.Module):
    """Softmax attention through a few agents: they gather from all tokens, and all tokens ask them.

    Han, Ye, Han, Xia, Pan, Wan, Song and Huang, "Agent attention: on the integration of softmax and linear attention",
    ECCV 2024: ``softmax(Q A') (softmax(A K') V)`` with agents A, plus a depthwise 3x3 convolution of V, which gives
    back what the few agents blur. There agents are pooled queries and both softmaxes have learnt biases for places;
    here agents are the queries of the chosen places, and there are no such biases.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.query, self.value = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.near = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.join = nn.Linear(dim, dim)

    def forward(
        self, tokens: Float[Tensor, "m n d"], agents: Float[Tensor, "m k n"], grid: tuple[int, int]
    ) -> Float[Tensor, "m n d"]:
        value = self.value(tokens)
        query, key, held = (self._by_head(each) for each in (self.query(tokens), self.key(tokens), value))
        agent = agents[:, None] @ query
        gathered = (agent @ key.transpose(2, 3) * self.scale).softmax(3) @ held
        answered = (query @ agent.transpose(2, 3) * self.scale).softmax(3) @ gathered
        near = self.near(value.transpose(1, 2).reshape(len(value), -1, *grid)).flatten(2).transpose(1, 2)
        joined: Tensor = self.join(answered.transpose(1, 2).flatten(2) + near)
        return joined

    def _by_head(self, x: Float[Tensor, "m n d"]) -> Float[Tensor, "m a n e"]:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class AgentBlock(nn.Module):
    """A transformer layer with agent attention: both parts normalise their input and add to it."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(dim), AgentAttention(dim, heads)
        self.dense = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(
        self, tokens: Float[Tensor, "m n d"], agents: Float[Tensor, "m k n"], grid: tuple[int, int]
    ) -> Float[Tensor, "m n d"]:
        tokens = tokens + self.attention(self.attention_norm(tokens), agents, grid)
        added: Tensor = tokens + self.dense(tokens)
        return added
