"""The device on which networks compute, and their precision there: bf16 where it is native and large networks gain."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from microexpr.config.settings import Precision, Training
from microexpr.core.interfaces import ModelFn, ViewSpec
from microexpr.core.processor import native_bf16

LARGE = 1e8
"""Floating-point operations for one view above which bf16 is faster than float32; small networks gain nothing."""


def device() -> torch.device:
    """Return the accelerator of this machine, or its CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16() -> bool:
    """Return whether this device computes bf16 itself."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if torch.cuda.is_available() else native_bf16()


def placed(model: nn.Module, training: Training) -> nn.Module:
    """Return a network on this device; in bf16, convolutions have their channels last, which is faster."""
    if training.precision == "bf16":
        for part in model.modules():
            if isinstance(part, nn.Conv2d):
                part.to(memory_format=torch.channels_last)
    return model.to(device())


def autocast(training: Training) -> torch.autocast:
    """Return the context in which a network computes in the precision of its training; "auto" is float32 here.

    An experiment's plan has replaced "auto" by what it means for its network and processor.
    """
    return torch.autocast(device().type, torch.bfloat16, enabled=training.precision == "bf16")


def fastest_precision(model: ModelFn, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> Precision:
    """Return what `training.precision` "auto" means for a network on this device; `model` builds random weights."""
    return "bf16" if has_bf16() and operations(model, view, num_classes, aux) > LARGE else "float32"


def operations(model: ModelFn, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> int:
    """Return the floating-point operations of a network for one view: those of matrix products and convolutions.

    An estimator has none.
    """
    try:
        return _operations("meta", model, view, num_classes, aux)
    except (NotImplementedError, RuntimeError):  # networks that ask for their device need memory for their weights
        return _operations("cpu", model, view, num_classes, aux)


def _operations(where: str, model: ModelFn, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> int:
    time, height, width, channels = view.shape
    with torch.random.fork_rng(devices=[]), torch.device(where):
        network = model(view, num_classes, aux)
        if not isinstance(network, nn.Module):
            return 0
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network.eval()(torch.zeros(1, time, channels, height, width))
    return int(counter.get_total_flops())
