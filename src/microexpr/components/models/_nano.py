"""Members of about half a million parameters, small enough to train from scratch on a CPU.

Each keeps its family's way of mixing patches and leaves what needs large data to learn. Trained on the flow images of
46 subjects for up to 30 epochs, timm's settings left the two transformers near chance: normalising each patch by itself
forgets how strong its motion is, and positions that start at 0.02 grow more slowly than such a training lasts.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import GroupNorm1, PatchEmbed, build_sincos2d_pos_embed
from timm.models.metaformer import MetaFormer
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


def vit_nano(**options: Any) -> nn.Module:
    """Return a ViT of patches of 8 that averages its tokens; its learnt positions start as sines and cosines."""
    sizes = {"patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 3}
    net = VisionTransformer(**sizes, class_token=False, global_pool="avg", **options)
    with torch.no_grad():
        net.pos_embed.copy_(build_sincos2d_pos_embed(net.patch_embed.grid_size, 96)[None])
    return net  # type: ignore[no-any-return]


def swin_nano(**options: Any) -> nn.Module:
    """Return a Swin of three stages, whose patches are told their place and are not normalised one by one."""
    sizes = {"embed_dim": 32, "depths": (2, 2, 2), "num_heads": (1, 2, 4)}
    return SwinTransformer(**sizes, embed_layer=_PlacedPatches, **options)  # type: ignore[no-any-return]


def poolformer_nano(**options: Any) -> nn.Module:
    """Return a PoolFormer without layer scale, whose 1e-5 would leave the blocks asleep in a short training."""
    sizes = {"depths": (1, 1, 2, 1), "dims": (32, 64, 96, 128)}
    blocks = {"norm_layers": GroupNorm1, "mlp_act": nn.GELU, "mlp_bias": True, "res_scale_init_values": None}
    return MetaFormer(**sizes, **blocks, downsample_norm=None, use_mlp_head=False, **options)  # type: ignore[no-any-return]


class _PlacedPatches(PatchEmbed):  # type: ignore[misc]
    place: Tensor

    def __init__(self, *, embed_dim: int, norm_layer: object, **options: Any) -> None:
        super().__init__(embed_dim=embed_dim, norm_layer=None, **options)
        place = build_sincos2d_pos_embed(self.grid_size, embed_dim).view(1, *self.grid_size, embed_dim)
        # Fixed and made anew, so that weights go from one image size to another.
        self.register_buffer("place", place, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = super().forward(x)
        return patches + self.place
