"""Image models of three families that differ in how patches exchange information (paper, section II.C).

ViT (Dosovitskiy et al., ICLR 2021), Swin (Liu et al., ICCV 2021) and PoolFormer (Yu et al., CVPR 2022) as timm builds
them, each with a smaller sibling and a nano one to train from scratch on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._body import build_body
from microexpr.components.models._net import HeadedNet
from microexpr.components.models._start import Start, usual
from microexpr.core.interfaces import AddedLater, ViewSpec, models

Rate = Annotated[float, Field(ge=0, lt=1)]
Stages = Annotated[int, Field(ge=-1)]
Units = Annotated[int, Field(ge=0)]
Grey = Literal["sum", "copy"]
CheckpointSize = Annotated[int | None, AddedLater(None)]


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
    checkpoint_size: int | None
    trains_in_epochs: ClassVar[bool] = True

    @property
    def architecture(self) -> Architecture:
        """The family's member, with the weights that may be taken."""
        return ARCHITECTURES[self.name].trained_at(self.checkpoint_size)

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
        return self._start.tags

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Raise ConfigError or WeightsError if it could not be built; return the name and sha256 of its weights."""
        self.architecture.check(view, self.frozen_stages, self.weights != "random")
        return self._start.metadata(view)

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        file = self._start.file(view)
        body = build_body(self.architecture, view, file, self.drop_path, self.frozen_stages, self.grey)
        features = body.net.num_features
        assert isinstance(features, int)
        return HeadedNet(body, _head(features, self.head_units, num_classes, self.dropout), features, aux)

    @property
    def _start(self) -> Start:
        return Start(self.architecture, self.weights)


def _head(features: int, units: int, num_classes: int, dropout: float) -> nn.Sequential:
    # Dropout stands here, where it is the same in every family.
    hidden = [nn.Dropout(dropout), nn.Linear(features, units), nn.GELU()] if units else []
    return nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(units or features, num_classes))


def _factory(name: str) -> Callable[..., VisionModel]:
    architecture = ARCHITECTURES[name]

    def build(
        weights: str = usual(architecture),
        drop_path: Rate = 0.1,
        dropout: Rate = 0.1,
        frozen_stages: Stages = 0,
        head_units: Units = 0,
        grey: Grey = "sum",
        checkpoint_size: CheckpointSize = None,
    ) -> VisionModel:
        architecture.trained_at(checkpoint_size)  # refused here if there is none
        return VisionModel(name, weights, drop_path, dropout, frozen_stages, head_units, grey, checkpoint_size)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""{architecture.label} ({architecture.family.mixing}).

    `weights`: ``imagenet`` (from the folder of weights), ``hub`` (that folder, else downloaded), ``random``, or the
    path of a .safetensors file (timm's, or a model that was saved here).
    `drop_path`: stochastic depth of the last block. `dropout`: before each linear layer of the head.
    `frozen_stages`: the stem and so many of {architecture.stages} stages keep their weights, -1 the whole body.
    `head_units`: units of a hidden layer in the head, 0 for a linear head.
    `grey`: one channel meets the first layer's weights ``sum``med over colours, or is ``copy``ed to three.
    `checkpoint_size`: the image size that the published weights were trained at; without it they are those of the size
    nearest to the view's, so that two sizes may start from two checkpoints. Positions and windows are adapted to the
    view.
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
