"""Image models of three families that differ in how patches exchange information (paper, section II.C).

ViT (Dosovitskiy et al., ICLR 2021), Swin (Liu et al., ICCV 2021) and PoolFormer (Yu et al., CVPR 2022) as timm builds
them, each with a smaller sibling and a nano one to train from scratch on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr import weights as at_hand
from microexpr.contracts import Output, ViewSpec, models
from microexpr.errors import ConfigError
from microexpr.models._architectures import ARCHITECTURES, Architecture
from microexpr.models._body import Body, build_body

Rate = Annotated[float, Field(ge=0, lt=1)]
Stages = Annotated[int, Field(ge=-1)]
Units = Annotated[int, Field(ge=0)]
Grey = Literal["sum", "copy"]


@dataclass(frozen=True)
class VisionModel:
    """An image model of timm with a head of ours; what its parameters mean stands at the registered factories."""

    name: str
    weights: str
    drop_path: float
    dropout: float
    frozen_stages: int
    head_units: int
    grey: Grey
    trains_in_epochs: ClassVar[bool] = True

    @property
    def architecture(self) -> Architecture:
        """The family's member."""
        return ARCHITECTURES[self.name]

    @property
    def label(self) -> str:
        """The name that papers use."""
        return self.architecture.label

    @property
    def mixing(self) -> str:
        """How patches exchange information."""
        return self.architecture.family.mixing

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return tuple(self.architecture.tags.values())

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Raise ConfigError or WeightsError if it could not be built; return the name and sha256 of its weights."""
        self.architecture.check(view, self.frozen_stages, self.weights != "random")
        if self.weights == "hub":  # asked, not fetched: a check stays quick
            tag = self._tag(view)
            return {"weights": tag, "sha256": at_hand.expected(tag).sha256}
        file = self._file(view)
        return {"weights": file.stem, "sha256": at_hand.sha256(file)} if file else {"weights": "random"}

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        if aux:
            raise ConfigError(f"{self.name} has no auxiliary outputs ({', '.join(aux)}); leave the targets out.")
        body = build_body(self.architecture, view, self._file(view), self.drop_path, self.frozen_stages, self.grey)
        features = body.net.num_features
        assert isinstance(features, int)
        return VisionNet(body, _head(features, self.head_units, num_classes, self.dropout))

    def _tag(self, view: ViewSpec) -> str:
        tag = self.architecture.tag(view)
        if tag is None:
            raise ConfigError(
                f'Nobody has published weights of {self.name}: take weights = "random", or a file of your own.'
            )
        return tag

    def _file(self, view: ViewSpec) -> Path | None:
        if self.weights == "random":
            return None
        if self.weights == "hub":
            return at_hand.fetch([self._tag(view)])[0]
        return at_hand.locate(self._tag(view)) if self.weights == "imagenet" else at_hand.local(self.weights)


class VisionNet(nn.Module):
    """``head(body(x))``; dropout stands in the head, where it is the same in every family."""

    def __init__(self, body: Body, head: nn.Sequential) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        return Output(self.head(self.body(x)), {})


def _head(features: int, units: int, num_classes: int, dropout: float) -> nn.Sequential:
    hidden = [nn.Dropout(dropout), nn.Linear(features, units), nn.GELU()] if units else []
    return nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(units or features, num_classes))


def _factory(name: str) -> Callable[..., VisionModel]:
    architecture = ARCHITECTURES[name]

    def build(
        weights: str = "imagenet" if architecture.tags else "random",
        drop_path: Rate = 0.1,
        dropout: Rate = 0.1,
        frozen_stages: Stages = 0,
        head_units: Units = 0,
        grey: Grey = "sum",
    ) -> VisionModel:
        return VisionModel(name, weights, drop_path, dropout, frozen_stages, head_units, grey)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""{architecture.label} ({architecture.family.mixing}).

    `weights`: ``imagenet`` (from the folder of weights), ``hub`` (that folder, else downloaded), ``random``, or the
    path of a .safetensors file (timm's, or a model that was saved here).
    `drop_path`: stochastic depth of the last block. `dropout`: before each linear layer of the head.
    `frozen_stages`: the stem and so many of {architecture.stages} stages keep their weights, -1 the whole body.
    `head_units`: units of a hidden layer in the head, 0 for a linear head.
    `grey`: one channel meets the first layer's weights ``sum``med over colours, or is ``copy``ed to three.
    """
    return build


models.register("vit_b32")(_factory("vit_b32"))
models.register("vit_s32")(_factory("vit_s32"))
models.register("vit_nano")(_factory("vit_nano"))
models.register("swin_b")(_factory("swin_b"))
models.register("swin_t")(_factory("swin_t"))
models.register("swin_nano")(_factory("swin_nano"))
models.register("poolformer_m36")(_factory("poolformer_m36"))
models.register("poolformer_m48")(_factory("poolformer_m48"))
models.register("poolformer_s12")(_factory("poolformer_s12"))
models.register("poolformer_nano")(_factory("poolformer_nano"))
