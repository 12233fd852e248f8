"""timm's model families and the registered members: what views they accept, and which published weights there are."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import timm
import torch
from timm.layers import GroupNorm1, PatchEmbed, build_sincos2d_pos_embed
from timm.models import get_pretrained_cfg
from timm.models.metaformer import MetaFormer
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from microexpr.core import image
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec

LARGEST_WINDOW = 16


@dataclass(frozen=True)
class Family:
    """One of timm's model files, and the names of the parts that are adapted or frozen."""

    module: str
    mixing: str
    stem: tuple[str, ...]
    stages: str
    reference: str
    """Weights whose data config (mean, std) and layer names are used for members without published weights."""

    def config(self, tag: str | None) -> Any:
        """Return timm's config of a tag: mean, std, and the names of the first layer and the classifier."""
        return get_pretrained_cfg(tag or self.reference)

    @property
    def checkpoint_filter(self) -> Callable[[dict[str, Any], nn.Module], dict[str, Any]]:
        """timm's conversion of a state dict: it resizes position embeddings and bias tables to the model."""
        filtered: Callable[[dict[str, Any], nn.Module], dict[str, Any]]
        filtered = importlib.import_module(f"timm.models.{self.module}").checkpoint_filter_fn
        return filtered


VIT = Family(
    "vision_transformer",
    "global attention",
    ("cls_token", "pos_embed", "patch_embed"),
    "blocks",
    "vit_base_patch32_224.augreg_in21k_ft_in1k",
)
SWIN = Family(
    "swin_transformer",
    "hierarchical window attention",
    ("patch_embed",),
    "layers",
    "swin_base_patch4_window7_224.ms_in22k_ft_in1k",
)
MOBILEVIT = Family("byobnet", "convolution and attention", ("stem",), "stages", "mobilevit_xs.cvnets_in1k")
POOLFORMER = Family("metaformer", "attention-free pooling", ("stem",), "stages", "poolformer_m36.sail_in1k")


@dataclass(frozen=True)
class Architecture:
    """One member; `patch`: image pixels per cell of the coarsest grid, `stages`: how many stages can be frozen."""

    name: str
    label: str
    family: Family
    stages: int
    patch: int
    any_size: bool = False
    tags: Mapping[int, str] = field(default_factory=dict)
    """Published weights by the image size that they were trained at."""
    nano: Callable[..., nn.Module] | None = None

    def tag(self, view: ViewSpec) -> str | None:
        """Return the weights trained at the size nearest to the view's; None if there are no published weights."""
        size = max(view.shape[1:3])
        nearest = min(self.tags, key=lambda trained: (abs(trained - size), trained), default=None)
        return None if nearest is None else self.tags[nearest]

    def trained_at(self, size: int | None) -> Architecture:
        """Return this member with only the weights trained at `size`; unchanged for None."""
        if size is None:
            return self
        if size not in self.tags:
            known = " or ".join(map(str, self.tags))
            fix = f"set it to {known}, or leave it out" if known else "leave it out"
            raise ConfigError(
                "E513", f"{self.name}: there are no published weights for checkpoint_size = {size}; {fix}."
            )
        return replace(self, tags={size: self.tags[size]})

    def check(self, view: ViewSpec, frozen_stages: int, pretrained: bool) -> None:
        """Raise ConfigError if the network cannot take the view, or has fewer stages than are to be frozen."""
        frames, height, width, channels = view.shape
        if frozen_stages > self.stages:
            raise ConfigError(
                "E113", f"{self.name}: frozen_stages = {frozen_stages}, but it has only {self.stages} stages to freeze."
            )
        if pretrained and channels not in (1, 3) and view.channels != image.RGB_DEPTH:
            raise ConfigError(
                "E514",
                f"pretrained weights of {self.name} take one or three channels, or r, g, b and depth, but these views "
                f'have {channels}; choose another representation, or set weights = "random".',
            )
        if frames != 1:
            raise ConfigError(
                "E408",
                f"{self.name} takes single frames, but these views have {frames} frames. Set sampling to af, kfs or "
                "mfs, or choose a model for sequences.",
            )
        near = " or ".join(str(size) for size in sorted({*self.tags} or {64, 96, 224}))
        step = 1 if self.any_size else self.patch
        if min(height, width) < self.patch or height % step or width % step:
            rule = f"at least {self.patch} pixels a side" if self.any_size else f"sides divisible by {self.patch}"
            raise ConfigError(
                "E407",
                f"{self.name} needs {rule}, but these views have {height}x{width} pixels; set preprocessing.size to "
                f"{near}.",
            )
        if self.family is SWIN and self.window(height, width) < 2:
            raise ConfigError(
                "E407",
                f"no attention window of {self.name} fits {height}x{width} pixels; set preprocessing.size to {near}.",
            )

    def window(self, height: int, width: int) -> int:
        """Return the largest window that divides the coarsest grid: for Swin-B 7 at 224 and 12 at 384, as trained."""
        grid = math.gcd(height, width) // self.patch
        return max(size for size in range(1, LARGEST_WINDOW + 1) if grid % size == 0)

    def build(self, view: ViewSpec, in_chans: int, drop_path: float) -> nn.Module:
        """Return the network without a classifier, with random weights."""
        size = view.shape[1:3]
        options: dict[str, Any] = {"num_classes": 0, "in_chans": in_chans, "drop_path_rate": drop_path}
        if self.family in (VIT, SWIN):
            options["img_size"] = size
        if self.family is SWIN:
            options["window_size"] = self.window(*size)
        net = self.nano(**options) if self.nano else timm.create_model(self.tag(view), **options)
        assert isinstance(net, nn.Module)
        return net


# --- nano members -----------------------------------------------------------------------------------------------------
# Members of about half a million parameters, small enough to train from scratch on a CPU.
#
# Each keeps its family's way of mixing patches and drops what needs large data. With timm's settings, trained on the
# flow images of 46 subjects for up to 30 epochs, the two transformers stayed near chance: normalising each patch
# separately removes the strength of its motion, and positions initialised at 0.02 grow too slowly for such a short
# training.
#
def vit_nano(**options: Any) -> nn.Module:
    """Return a ViT with patches of 8 and average pooling; its learnt positions start as sines and cosines."""
    sizes = {"patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 3}
    net = VisionTransformer(**sizes, class_token=False, global_pool="avg", **options)
    with torch.no_grad():
        net.pos_embed.copy_(build_sincos2d_pos_embed(net.patch_embed.grid_size, 96)[None])
    return net  # type: ignore[no-any-return]


def swin_nano(**options: Any) -> nn.Module:
    """Return a Swin of three stages, with fixed positions and without the normalisation of each patch."""
    sizes = {"embed_dim": 32, "depths": (2, 2, 2), "num_heads": (1, 2, 4)}
    return SwinTransformer(**sizes, embed_layer=_PlacedPatches, **options)  # type: ignore[no-any-return]


def poolformer_nano(**options: Any) -> nn.Module:
    """Return a PoolFormer without layer scale, whose 1e-5 would keep the blocks inactive in a short training."""
    sizes = {"depths": (1, 1, 2, 1), "dims": (32, 64, 96, 128)}
    blocks = {"norm_layers": GroupNorm1, "mlp_act": nn.GELU, "mlp_bias": True, "res_scale_init_values": None}
    return MetaFormer(**sizes, **blocks, downsample_norm=None, use_mlp_head=False, **options)  # type: ignore[no-any-return]


class _PlacedPatches(PatchEmbed):  # type: ignore[misc]
    place: Tensor

    def __init__(self, *, embed_dim: int, norm_layer: object, **options: Any) -> None:
        super().__init__(embed_dim=embed_dim, norm_layer=None, **options)
        place = build_sincos2d_pos_embed(self.grid_size, embed_dim).view(1, *self.grid_size, embed_dim)
        # Fixed and not stored, so that weights can be transferred to another image size.
        self.register_buffer("place", place, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = super().forward(x)
        return patches + self.place


# --- registered members -----------------------------------------------------------------------------------------------
VIT_TAGS = "vit_{}_patch32_{}.augreg_in21k_ft_in1k"
SWIN_B_TAGS = {
    224: "swin_base_patch4_window7_224.ms_in22k_ft_in1k",
    384: "swin_base_patch4_window12_384.ms_in22k_ft_in1k",
}
ARCHITECTURES: Mapping[str, Architecture] = {
    member.name: member
    for member in (
        Architecture(
            "vit_b32", "ViT-B/32", VIT, 12, 32, tags={size: VIT_TAGS.format("base", size) for size in (224, 384)}
        ),
        Architecture(
            "vit_s32", "ViT-S/32", VIT, 12, 32, tags={size: VIT_TAGS.format("small", size) for size in (224, 384)}
        ),
        Architecture("vit_nano", "ViT-nano/8", VIT, 4, 8, nano=vit_nano),
        Architecture("swin_b", "Swin-B", SWIN, 4, 32, tags=SWIN_B_TAGS),
        Architecture("swin_t", "Swin-T", SWIN, 4, 32, tags={224: "swin_tiny_patch4_window7_224.ms_in22k_ft_in1k"}),
        Architecture("swin_nano", "Swin-nano", SWIN, 3, 16, nano=swin_nano),
        *(
            Architecture(
                f"poolformer_{size}",
                f"PoolFormer-{size}",
                POOLFORMER,
                4,
                32,
                any_size=True,
                tags={224: f"poolformer_{size}.sail_in1k"},
            )
            for size in ("m36", "m48", "s12")
        ),
        *(
            Architecture(
                f"mobilevit_{size}",
                f"MobileViT-{size.upper()}",
                MOBILEVIT,
                5,
                32,
                any_size=True,
                tags={256: f"mobilevit_{size}.cvnets_in1k"},
            )
            for size in ("xxs", "xs", "s")
        ),
        Architecture("poolformer_nano", "PoolFormer-nano", POOLFORMER, 4, 32, any_size=True, nano=poolformer_nano),
    )
}
