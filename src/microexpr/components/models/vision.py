"""Image models of three families that differ in how patches exchange information (paper, section II.C).

ViT (Dosovitskiy et al., ICLR 2021), Swin (Liu et al., ICCV 2021) and PoolFormer (Yu et al., CVPR 2022) as implemented
in timm, each with a smaller version and a nano version to train from scratch on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._backbone import StartingWeights, build_backbone, default_weights
from microexpr.components.models._layers import HeadedNet, linear_head
from microexpr.components.models._parameters import FrozenStages, Grey, Rate
from microexpr.core.interfaces import AddedLater, ViewSpec, models

Units = Annotated[int, Field(ge=0)]
CheckpointSize = Annotated[int | None, AddedLater(None)]


@dataclass(frozen=True)
class VisionModel:
    """An image model of timm with our head; the registered factories document its parameters."""

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
        """The member of the family, with the published weights that it may start from."""
        return ARCHITECTURES[self.name].trained_at(self.checkpoint_size)

    @property
    def label(self) -> str:
        """Name used in papers."""
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
        """Return name and sha256 of its weights; raises ConfigError or WeightsError if it cannot be built."""
        self.architecture.check(view, self.frozen_stages, self.weights != "random")
        return self._start.metadata(view)

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        file = self._start.file(view)
        body = build_backbone(self.architecture, view, file, self.drop_path, self.frozen_stages, self.grey)
        features = body.num_features
        hidden: list[nn.Module] = []
        if self.head_units:
            hidden = [nn.Dropout(self.dropout), nn.Linear(features, self.head_units), nn.GELU()]
        head = nn.Sequential(*hidden, *linear_head(self.head_units or features, num_classes, self.dropout))
        return HeadedNet(body, head, features, aux)

    @property
    def _start(self) -> StartingWeights:
        return StartingWeights(self.architecture, self.weights)


def _factory(name: str) -> Callable[..., VisionModel]:
    architecture = ARCHITECTURES[name]

    def build(
        weights: str = default_weights(architecture),
        drop_path: Rate = 0.1,
        dropout: Rate = 0.1,
        frozen_stages: FrozenStages = 0,
        head_units: Units = 0,
        grey: Grey = "sum",
        checkpoint_size: CheckpointSize = None,
    ) -> VisionModel:
        architecture.trained_at(checkpoint_size)  # raises here if there are no such weights
        return VisionModel(name, weights, drop_path, dropout, frozen_stages, head_units, grey, checkpoint_size)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""{architecture.label} ({architecture.family.mixing}).

    `weights`: ``imagenet`` (from the folder of weights), ``hub`` (that folder, downloaded if missing), ``random``, or
    the path of a .safetensors file (timm's, or a model saved by this package).
    `drop_path`: stochastic depth of the last block. `dropout`: before each linear layer of the head.
    `frozen_stages`: the stem and this many of {architecture.stages} stages are not trained; -1 freezes the whole body.
    `head_units`: units of a hidden layer in the head, 0 for a linear head.
    `grey`: for one channel, the first layer's weights are ``sum``med over colours, or the image is ``copy``ed to three.
    `checkpoint_size`: the image size at which the published weights were trained; by default the size nearest to the
    view's, so that two image sizes may start from two checkpoints. Positions and windows are adapted to the view.
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
