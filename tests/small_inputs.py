"""Small inputs that every component takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LARGE = ("vit_b32", "vit_s32", "swin_b", "swin_t", "poolformer_m36", "poolformer_m48", "poolformer_s12")
"""Models of 11 to 88 million parameters: building one takes seconds. Their layout is checked without weights."""


VIEWS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(("ststnet", "off_apexnet", "sssnet", "rcn"), (("u", "v", "strain"), ("v", "u"))),
    "lbp_top_svm": (("xy", "xt", "yt"),),
    "bi_woof_svm": (("-180", "-90", "0", "90"),),
}
"""Channels of the views that a model is tested on, where they are not those of colour and of grey pictures."""


PICTURES = (("r", "g", "b"), ("grey",))


FRAMES: Mapping[str, int] = {
    "dual_stream_3dcnn": 8,
    "cnn_convlstm_vit": 8,
    "micron_bert": 2,
    "poolformer_lstm": 4,
    "poolformer_gru": 4,
    "poolformer_vit": 3,
}
"""Frames of the views of models that look at several."""


SMALL: Mapping[str, Mapping[str, Any]] = {
    "poolformer_lstm": {"size": "nano"},
    "poolformer_gru": {"size": "nano"},
    "poolformer_vit": {"size": "nano"},
    "mobilevit_svm": {"size": "xxs", "weights": "random"},
}
"""Parameters of models that are large, or ask for weights, with their defaults."""
