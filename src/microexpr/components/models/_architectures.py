"""timm's families and the members that are registered: what a view must be for each, and which weights there are."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import timm
from timm.models import get_pretrained_cfg
from torch import nn

from microexpr.components.models._nano import poolformer_nano, swin_nano, vit_nano
from microexpr.core import image as ops
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec

LARGEST_WINDOW = 16


@dataclass(frozen=True)
class Family:
    """One of timm's model files: the names of the parts that are adapted or frozen."""

    module: str
    mixing: str
    stem: tuple[str, ...]
    stages: str
    reference: str
    """Weights whose data config (mean, std) and part names stand for members that have none."""

    def config(self, tag: str | None) -> Any:
        """Return timm's config of a tag: mean, std, and the names of the first layer and of the classifier."""
        return get_pretrained_cfg(tag or self.reference)

    @property
    def checkpoint_filter(self) -> Callable[[dict[str, Any], nn.Module], dict[str, Any]]:
        """timm's own conversion of a state: it resizes position embeddings and bias tables to the model."""
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
    """One member: `patch` is the side that the coarsest grid's cells have in the image, `stages` what can be frozen."""

    name: str
    label: str
    family: Family
    stages: int
    patch: int
    any_size: bool = False
    tags: Mapping[int, str] = field(default_factory=dict)
    """Weights by the image size they were trained at."""
    nano: Callable[..., nn.Module] | None = None

    def tag(self, view: ViewSpec) -> str | None:
        """Return the weights trained at the size nearest to the view's, None where nobody has published any."""
        size = max(view.shape[1:3])
        nearest = min(self.tags, key=lambda trained: (abs(trained - size), trained), default=None)
        return None if nearest is None else self.tags[nearest]

    def trained_at(self, size: int | None) -> Architecture:
        """Return this member with the weights trained at `size` for views of any size; unchanged for None."""
        if size is None:
            return self
        if size not in self.tags:
            known = " or ".join(map(str, self.tags))
            ways = f"take {known}, or leave it out" if known else "leave it out"
            raise ConfigError(
                "E104", f"{self.name}: there are no published weights of checkpoint_size = {size}; {ways}."
            )
        return replace(self, tags={size: self.tags[size]})

    def check(self, view: ViewSpec, frozen_stages: int, pretrained: bool) -> None:
        """Raise ConfigError where the network cannot take the view, or has not so many stages."""
        frames, height, width, channels = view.shape
        if frozen_stages > self.stages:
            raise ConfigError(
                "E104", f"{self.name} has {self.stages} stages to freeze, and {frozen_stages} were asked for."
            )
        if pretrained and channels not in (1, 3) and view.channels != ops.RGB_DEPTH:
            raise ConfigError(
                "E104",
                f"Pretrained weights of {self.name} take one or three channels, or r, g, b and depth, and these views "
                f'have {channels}: take another representation, or weights = "random".',
            )
        if frames != 1:
            raise ConfigError(
                "E104",
                f"{self.name} looks at one frame at a time, and these views have {frames}. Sample single frames "
                "(sampling af, kfs or mfs), or take a model of sequences.",
            )
        near = " or ".join(str(size) for size in sorted({*self.tags} or {64, 96, 224}))
        step = 1 if self.any_size else self.patch
        if min(height, width) < self.patch or height % step or width % step:
            wants = f"at least {self.patch} pixels a side" if self.any_size else f"sides that {self.patch} divides"
            raise ConfigError("E104", f"{self.name} needs {wants}, and these views have {height}x{width}; take {near}.")
        if self.family is SWIN and self.window(height, width) < 2:
            raise ConfigError("E104", f"No attention window of {self.name} fits {height}x{width} pixels; take {near}.")

    def window(self, height: int, width: int) -> int:
        """Return the largest window that divides the coarsest grid: 7 at 224 and 12 at 384 for Swin-B, as trained."""
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
