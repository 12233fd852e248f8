"""A hierarchical vision transformer with attention through the positions of highest entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn
from torch.nn import functional

from microexpr.components.models._layers import HeadedNet, MotionInput, linear_head
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate, Size, label_of_size
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec, models

Share = Annotated[float, Field(gt=0, le=1)]
Levels = Annotated[int, Field(ge=2, le=256)]


class Sizes(NamedTuple):
    """Patch side in pixels, and width, heads and layers at each of the three levels."""

    patch: int
    dims: tuple[int, int, int]
    heads: tuple[int, int, int]
    depths: tuple[int, int, int]

    @property
    def step(self) -> int:
        """What must divide the sides of an image: the first level has 4x4 areas."""
        return self.patch << len(self.dims) - 1


SIZES: Mapping[Size, Sizes] = {
    "nano": Sizes(4, (32, 64, 128), (1, 2, 4), (1, 1, 2)),
    "base": Sizes(7, (256, 512, 1024), (4, 8, 16), (2, 2, 10)),
}


@models.register("entropy_vit")
@dataclass(frozen=True)
class EntropyVit:
    """A transformer over ever larger areas of the face, with attention through the positions of highest entropy.

    After Zhang, Lin, Zhang, Xu and Xu, "Leveraging vision transformers and entropy-based attention for accurate
    micro-expression recognition", Scientific Reports 15:13711, 2025. Only their abstract was available. It names three
    parts: HTNet with learnable absolute positions ("LAPE"), an "entropy-based selection agent attention" that saves
    parameters and time, and more training clips from a diffusion model. There is no public code. Implemented here:

    - HTNet (Wang, Zhang, Luo and Sankaranarayana, "HTNet for micro-expression recognition", Neurocomputing 2024; layers
      as in github.com/wangzhifengharrison/HTNet): patches become tokens, transformer layers attend within each of 4x4
      areas, a 3x3 convolution, layer normalisation and max pooling merge neighbours to half the grid; then 2x2 areas,
      then the whole grid; a mean over positions and a linear layer.
    - Positions: every position of each level's grid has its own learnt vector; HTNet has one number per position, the
      same in all areas. They start as sines and cosines, since values that start near 0 hardly grow in a short
      training.
    - Attention in each area through agents (`AgentAttention`): the share `kept` of its positions, at least one.

    How entropy selects is our interpretation: the entropy of a position is that of the values in its patch (Shannon's,
    of a histogram with `levels` bins over the image's range), averaged over channels, and the positions of highest
    entropy are the agents. A flat patch, or one without motion in optical flow, has no information and is not an agent.
    Larger positions have the mean of the ones they cover. Entropy is computed from the images and not learnt.

    `size`: ``base`` has HTNet's widths 256, 512 and 1024, its 2, 2 and 10 layers and patches of 7 pixels (sides
    divisible by 28), with 4, 8 and 16 heads, since HTNet's 3, 6 and 12 do not divide the widths (140 million
    parameters); ``nano`` has widths 32, 64 and 128, 1, 1 and 2 layers and patches of 4 (sides divisible by 16; 0.6
    million). An area needs at least 2x2 positions, as a single one has no other to attend to; HTNet's own images of
    28x28 have one.

    Departures: HTNet crops four areas around eyes and lips by landmarks; here, areas are those of the cropped image.
    Channels are standardised by the training views (`MotionInput`). The authors' input is optical flow (representation
    ``flow`` with a `size`); pixels are accepted as well, and several steps of a view are stacked as channels. There is
    no data generation by diffusion.
    """

    size: Size = "nano"
    kept: Share = 0.25
    levels: Levels = 32
    dropout: Rate = 0.1
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "hierarchical attention through places of high entropy"
    not_exported_to: ClassVar[Mapping[str, str]] = {
        "openvino": "it rounds divisions differently, so that values fall into other bins of the entropy and other "
        "positions are selected (a probability changed by up to 0.002)"
    }

    @property
    def label(self) -> str:
        """Name used in papers."""
        return label_of_size("entropy-agent ViT, after Zhang et al.", self.size)

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        height, width = view.shape[1:3]
        step = SIZES[self.size].step
        if height % step or width % step or min(height, width) < 2 * step:
            near = max(2, round(min(height, width) / step)) * step
            raise ConfigError(
                "E407",
                f"entropy_vit of size {self.size} needs sides divisible by {step}, at least {2 * step}, but these "
                f"views have {height}x{width} pixels. Set representation.size = {near} if the representation has a "
                f"size (flow), otherwise preprocessing.size = {near}.",
            )
        return RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        features = SIZES[self.size].dims[-1]
        head = linear_head(features, num_classes, self.dropout)
        return HeadedNet(EntropyBody(view, SIZES[self.size], self.kept, self.levels), head, features, aux)


class EntropyBody(nn.Module):
    """From images to features, through levels of ever fewer and larger areas."""

    def __init__(self, view: ViewSpec, sizes: Sizes, kept: float, levels: int) -> None:
        super().__init__()
        self.seen = MotionInput(view)
        self.patch, self.levels = sizes.patch, levels
        self.embed = nn.Conv2d(self.seen.maps, sizes.dims[0], sizes.patch, stride=sizes.patch)
        grid, last = (view.shape[1] // sizes.patch, view.shape[2] // sizes.patch), len(sizes.dims) - 1
        self.stages = nn.ModuleList(
            Level(sizes.dims[n], sizes.heads[n], sizes.depths[n], (grid[0] >> n, grid[1] >> n), 2 ** (last - n), kept)
            for n in range(last + 1)
        )
        self.joins = nn.ModuleList(Join(*pair) for pair in zip(sizes.dims, sizes.dims[1:], strict=False))
        self.norm = nn.LayerNorm(sizes.dims[-1])

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        maps = self.seen(x)
        entropy = entropies(maps.detach(), self.patch, self.levels)
        grid = self.stages[0](self.embed(maps), entropy)
        for join, level in zip(self.joins, self.stages[1:], strict=True):
            entropy = functional.avg_pool2d(entropy[:, None], 2)[:, 0]
            grid = level(join(grid), entropy)
        features: Tensor = self.norm(grid.flatten(2).transpose(1, 2)).mean(1)
        return features


class Level(nn.Module):
    """Transformer layers within each of `areas` x `areas` parts of a grid, with shared weights."""

    def __init__(self, dim: int, heads: int, depth: int, grid: tuple[int, int], areas: int, kept: float) -> None:
        super().__init__()
        self.areas, self.area = areas, (grid[0] // areas, grid[1] // areas)
        self.agents = max(1, round(kept * self.area[0] * self.area[1]))
        self.place = nn.Parameter(build_sincos2d_pos_embed(list(grid), dim).T.reshape(1, dim, *grid).clone())
        self.blocks = nn.ModuleList(AgentBlock(dim, heads) for _ in range(depth))

    def forward(
        self, grid: Float[Tensor, "b d gh gw"], entropy: Float[Tensor, "b gh gw"]
    ) -> Float[Tensor, "b d gh gw"]:
        tokens = self._by_area(grid + self.place)
        agents = highest(self._by_area(entropy[:, None])[..., 0], self.agents)
        for block in self.blocks:
            tokens = block(tokens, agents, self.area)
        rows = tokens.reshape(grid.shape[0], self.areas, self.areas, *self.area, -1)
        return rows.permute(0, 5, 1, 3, 2, 4).reshape(grid.shape)

    def _by_area(self, grid: Float[Tensor, "b d gh gw"]) -> Float[Tensor, "m n d"]:
        rows = grid.reshape(*grid.shape[:2], self.areas, self.area[0], self.areas, self.area[1])
        return rows.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)


class Join(nn.Module):
    """Merge neighbouring positions: 3x3 convolution, layer normalisation, 3x3 max pooling with a stride of 2."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(incoming, outgoing, 3, padding=1)
        self.norm = nn.LayerNorm(outgoing)

    def forward(self, grid: Float[Tensor, "b d h w"]) -> Float[Tensor, "b e h2 w2"]:
        mixed = self.norm(self.mix(grid).movedim(1, 3)).movedim(3, 1)
        return functional.max_pool2d(mixed, 3, stride=2, padding=1)


# --- attention through agents -----------------------------------------------------------------------------------------
def entropies(x: Float[Tensor, "b c h w"], patch: int, levels: int) -> Float[Tensor, "b gh gw"]:
    """Return the Shannon entropy of the values in each patch, in bits, averaged over channels.

    Values are sorted into `levels` equal bins between the minimum and maximum of their image and channel. A constant
    patch has entropy 0; one whose values are spread evenly over all bins has the largest possible, log2(levels).
    """
    low = x.amin((2, 3), keepdim=True)
    span = x.amax((2, 3), keepdim=True) - low
    # A constant image has no span, and zero entropy everywhere.
    places = ((x - low) / torch.where(span > 0, span, 1) * levels).floor().clamp(max=levels - 1)
    total = x.new_zeros(x.shape[0], x.shape[1], x.shape[2] // patch, x.shape[3] // patch)
    for level in range(levels):
        share = functional.avg_pool2d((places == level).to(x.dtype), patch)
        total = total - share * share.clamp(min=1e-9).log2()
    return total.mean(1)


def highest(entropy: Float[Tensor, "m n"], count: int) -> Float[Tensor, "m k n"]:
    """Return the `count` positions of highest entropy (the first of equal ones), one-hot encoded.

    >>> highest(torch.tensor([[0.0, 3.0, 1.0, 3.0]]), 2).tolist()
    [[[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]]
    """
    first = entropy.argsort(dim=1, descending=True, stable=True)[:, :count]
    # One-hot rows instead of an index: the gradient of a matrix product is deterministic on a GPU too.
    return functional.one_hot(first, entropy.shape[1]).to(entropy.dtype)


class AgentAttention(nn.Module):
    """Softmax attention through a few agent tokens, which gather from all tokens and pass the result on to all tokens.

    Han, Ye, Han, Xia, Pan, Wan, Song and Huang, "Agent attention: on the integration of softmax and linear attention",
    ECCV 2024: ``softmax(Q A') (softmax(A K') V)`` with agents A, plus a depthwise 3x3 convolution of V, which restores
    the detail that few agents lose. There, agents are pooled queries and both softmaxes have learnt positional biases;
    here, agents are the queries of the selected positions, and there are no such biases.
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
        near = self.near(value.transpose(1, 2).reshape(value.shape[0], -1, *grid)).flatten(2).transpose(1, 2)
        joined: Tensor = self.join(answered.transpose(1, 2).flatten(2) + near)
        return joined

    def _by_head(self, x: Float[Tensor, "m n d"]) -> Float[Tensor, "m a n e"]:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class AgentBlock(nn.Module):
    """A transformer layer with agent attention: pre-normalised attention and MLP, both with residual connections."""

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
