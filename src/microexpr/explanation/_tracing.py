"""Follow a prediction back to the last maps of features that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

PREFIX = 5
"""Tokens before those of the places, at most: a class token and registers."""
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)


@dataclass(frozen=True)
class Last:
    """One of the last maps: its layer, and its values ``n c h w`` (``n h w c`` with channels last) or ``n c t h w``."""

    module: nn.Module
    tensor: Tensor
    channels_last: bool

    @property
    def places(self) -> tuple[int, int]:
        """How many there are down and across."""
        height, width = self.tensor.shape[1:3] if self.channels_last else self.tensor.shape[-2:]
        return int(height), int(width)

    def channels_first(self, tensor: Tensor) -> Float[Tensor, "n c *places"]:
        """Return a tensor of the map's shape (itself, its gradient) with channels second."""
        return tensor.movedim(-1, 1) if self.channels_last else tensor


@dataclass
class Trace:
    """What a forward pass left behind."""

    maps: list[Last] = field(default_factory=list)
    attended: list[tuple[Tensor, int]] = field(default_factory=list)
    """What attention gave, and between how many tokens."""

    def last(self, score: Tensor) -> tuple[list[Last], list[int]]:
        """Return the maps that the score was made of without another in between, and the tokens met on the way.

        Several streams have one each; a layer that was run once a frame has one a frame, in that order.
        """
        maps = {_node(found.tensor): found for found in reversed(self.maps)}
        attended = {_node(tensor): tokens for tensor, tokens in self.attended}
        met: list[Last] = []
        tokens: list[int] = []
        seen, ahead = set(), [score.grad_fn]
        while ahead:
            node = ahead.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in attended:
                tokens.append(attended[node])
            if node in maps:
                met.append(maps[node])
                continue
            ahead += [before for before, _ in node.next_functions]
        order = {id(found): at for at, found in enumerate(self.maps)}
        return sorted(met, key=lambda found: order[id(found)]), tokens


def _node(tensor: Tensor) -> Any:
    return tensor.grad_fn


@contextmanager
def traced(model: nn.Module) -> Iterator[Trace]:
    """Note the maps of every layer with a convolution, of those behind it, and of stages that keep channels last."""
    trace = Trace()
    last = {part for net in model.modules() if getattr(net, "output_fmt", "") == "NHWC" for part in net.modules()}
    started = [False]

    def note(module: nn.Module, _: object, output: object) -> None:
        started[0] |= isinstance(module, _CONVOLUTIONS)
        for tensor in _tensors(output):
            if _attends(module) and tensor.dim() == 3:
                trace.attended.append((tensor, tensor.shape[1]))
            if not started[0] or tensor.dim() not in (4, 5) or tensor.grad_fn is None:
                continue
            # A convolution within stages of channels last is the patches', and has its channels second.
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
    """Say whether attention went on mixing the places of these maps as tokens."""
    places = [height * width for height, width in (found.places for found in maps)]
    return any(0 <= count - number <= PREFIX for count in tokens for number in places)


def _attends(module: nn.Module) -> bool:
    return hasattr(module, "fused_attn") or "attention" in type(module).__name__.lower()


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, _CONVOLUTIONS) for part in module.modules())


def _tensors(output: object) -> list[Tensor]:
    found = output if isinstance(output, tuple | list) else [output]
    return [tensor for tensor in found if isinstance(tensor, Tensor)]
