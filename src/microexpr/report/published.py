"""The paper's published numbers, read from `paper.toml` beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

FAMILIES = {"vit": "vit_b32", "swin": "swin_b", "poolformer": "poolformer_m36"}
"""The paper's model that stands beside a smaller sibling of the same family."""

NAMES = {
    "vit_b32": "ViT-p32",
    "swin_b": "SwinT",
    "poolformer_m36": "Pool-m36",
    "poolformer_m48": "Pool-m48",
    "poolformer": "PoolFormer",
}
"""The paper's names of the models."""


@cache
def paper() -> Mapping[str, Any]:
    """Return the paper's tables as plain data."""
    return tomllib.loads(files("microexpr.report").joinpath("paper.toml").read_text(encoding="utf-8"))


def sibling(model: str) -> str | None:
    """Return the paper's model of the same family: itself, or the one that a smaller sibling stands for.

    >>> sibling("poolformer_m48"), sibling("swin_nano"), sibling("pca_svm")
    ('poolformer_m48', 'swin_b', None)
    """
    if model == "poolformer_m48":
        return model
    return next((name for family, name in FAMILIES.items() if model.startswith(family)), None)
