"""Trace a prediction back to the last feature maps from which it was computed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

PREFIX = 5
"""Largest number of tokens before those of the patches: a class token and registers."""
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)


@dataclass(frozen=True)
class Last:
    """One of the last maps: its layer, and its values ``n c h w``, ``n h w c`` (channels last) or ``n c t h w``."""

    module: nn.Module
    tensor: Tensor
    channels_last: bool

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns."""
        height, width = self.tensor.shape[1:3] if self.channels_last else self.tensor.shape[-2:]
        return int(height), int(width)

    def channels_first(self, tensor: Tensor) -> Float[Tensor, "n c *places"]:
        """Return a tensor of the map's shape (the map or its gradient) with channels second."""
        return tensor.movedim(-1, 1) if self.channels_last else tensor


@dataclass
class Trace:
    """What was recorded during a forward pass."""

    maps: list[Last] = field(default_factory=list)
    attended: list[tuple[Tensor, int]] = field(default_factory=list)
    """Output of attention layers, and their number of tokens."""

    def last(self, score: Tensor) -> tuple[list[Last], list[int]]:
        """Return the last maps from which the score was computed, and the numbers of tokens attended to after them.

        Each stream has its own last map; a layer that was applied once per frame has one per frame, in that order. A
        map from which another one of them was computed is not a last map, even if a shortcut leads from it to the
        score: its contribution through the later map would count twice.
        """
        maps: dict[Any, Last] = {found.tensor.grad_fn: found for found in reversed(self.maps)}
        attended = {tensor.grad_fn: tokens for tensor, tokens in self.attended}
        passed = _behind([score.grad_fn], stop=maps)
        met = [node for node in maps if node in passed]
        earlier = _behind([before for node in met for before, _ in node.next_functions])
        last = {id(maps[node]) for node in met if node not in earlier}
        return [found for found in self.maps if id(found) in last], [attended[node] for node in passed & set(attended)]


def _behind(ahead: list[Any], stop: Collection[Any] = ()) -> set[Any]:
    """Return these nodes of the graph and all that they depend on; the search does not go beyond those in `stop`."""
    seen: set[Any] = set()
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node not in stop:
            ahead += [before for before, _ in node.next_functions]
    return seen


@contextmanager
def traced(model: nn.Module) -> Iterator[Trace]:
    """Record the outputs of layers with a convolution, of normalisations after it, and of channels-last stages."""
    trace = Trace()
    last = {part for net in model.modules() if getattr(net, "output_fmt", "") == "NHWC" for part in net.modules()}
    started = False

    def note(module: nn.Module, _: object, output: object) -> None:
        nonlocal started
        started |= isinstance(module, _CONVOLUTIONS)
        for tensor in _tensors(output):
            if _attends(module) and tensor.dim() == 3:
                trace.attended.append((tensor, tensor.shape[1]))
            if not started or tensor.dim() not in (4, 5) or tensor.grad_fn is None:
                continue
            # A convolution inside a channels-last stage is the patch embedding, with channels second.
            behind = module in last and tensor.dim() == 4 and not _convolves(module)
            if behind or _convolves(module) or isinstance(module, _NORMS):
                found = Last(module, tensor, behind)
                if min(found.places) > 1:
                    trace.maps.append(found)

    with ExitStack() as hooks:
        for module in model.modules():
            if _attends(module) or next(module.parameters(), None) is not None:
                hooks.callback(module.register_forward_hook(note).remove)
        yield trace


def mixed_after(maps: Sequence[Last], tokens: Sequence[int]) -> bool:
    """Whether attention mixed the positions of these maps, as tokens, after them."""
    places = [height * width for height, width in (found.places for found in maps)]
    return any(0 <= count - number <= PREFIX for count in tokens for number in places)


def _attends(module: nn.Module) -> bool:
    return hasattr(module, "fused_attn") or "attention" in type(module).__name__.lower()


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, _CONVOLUTIONS) for part in module.modules())


def _tensors(output: object) -> list[Tensor]:
    found = output if isinstance(output, tuple | list) else [output]
    return [tensor for tensor in found if isinstance(tensor, Tensor)]
