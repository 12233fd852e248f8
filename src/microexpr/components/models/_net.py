"""A network as the house knows it: ``head(body(x))``, and beside it a linear head for every auxiliary target."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from microexpr.core.interfaces import Output


class HeadedNet(nn.Module):
    """``head(body(x))``; `features` is the length of what the body gives, `aux` target -> number of its outputs."""

    def __init__(self, body: nn.Module, head: nn.Module, features: int, aux: Mapping[str, int]) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.heads = target_heads(features, aux)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        features = self.body(x)
        return Output(self.head(features), {name: head(features) for name, head in self.heads.items()})


def target_heads(features: int, aux: Mapping[str, int]) -> nn.ModuleDict:
    """Return a linear layer for each auxiliary target, made after the network so that it starts as without them."""
    return nn.ModuleDict({name: nn.Linear(features, outputs) for name, outputs in aux.items()})
