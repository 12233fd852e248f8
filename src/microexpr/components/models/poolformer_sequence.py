"""PoolFormer on every frame of a clip, followed by an LSTM or a GRU: future work of the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._backbone import Backbone, StartingWeights, build_backbone, default_weights, each_frame
from microexpr.components.models._checks import one_frame
from microexpr.components.models._layers import HeadedNet, linear_head
from microexpr.components.models._parameters import FrozenStages, Grey, Rate, Units
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec, models

Cell = Literal["lstm", "gru"]
Size = Literal["nano", "s12", "m36", "m48"]
CELLS: Mapping[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class FrameSequence(nn.Module):
    """The same backbone for every frame, then a recurrent layer over the frames in order; returns its last state."""

    def __init__(self, frames: Backbone, cell: Cell, units: int, layers: int) -> None:
        super().__init__()
        self.frames = frames
        self.over_time = CELLS[cell](frames.num_features, units, layers, batch_first=True)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        states: Tensor = self.over_time(each_frame(self.frames, x))[0]
        return states[:, -1]


@dataclass(frozen=True)
class PoolFormerSequence:
    """PoolFormer and a recurrent layer; the registered factories document its parameters."""

    cell: Cell
    size: Size
    weights: str | None
    units: int
    layers: int
    drop_path: float
    dropout: float
    frozen_stages: int
    grey: Grey
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "attention-free pooling, recurrence over frames"

    @property
    def architecture(self) -> Architecture:
        """The PoolFormer."""
        return ARCHITECTURES[f"poolformer_{self.size}"]

    @property
    def label(self) -> str:
        """Name used in papers."""
        return f"{self.architecture.label} + {self.cell.upper()}"

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return self._start.tags

    @property
    def _start(self) -> StartingWeights:
        return StartingWeights(self.architecture, self.weights or default_weights(self.architecture))

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Return name and sha256 of its weights; raises ConfigError or WeightsError if it cannot be built."""
        if view.shape[0] < 2:
            raise ConfigError(
                "E408",
                f"poolformer_{self.cell} needs at least two frames, but these views have one. Choose a sampling with "
                "several frames per view: uniform (with count), onset_apex_offset or onset_apex.",
            )
        self.architecture.check(one_frame(view), self.frozen_stages, self._start.weights != "random")
        return self._start.metadata(view)

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        file = self._start.file(view)
        frames = build_backbone(self.architecture, one_frame(view), file, self.drop_path, self.frozen_stages, self.grey)
        body = FrameSequence(frames, self.cell, self.units, self.layers)
        return HeadedNet(body, linear_head(self.units, num_classes, self.dropout), self.units, aux)


def _factory(cell: Cell, named: str) -> Callable[..., PoolFormerSequence]:
    def build(
        size: Size = "m36",
        weights: str | None = None,
        units: Units = 128,
        layers: Annotated[int, Field(ge=1, le=4)] = 1,
        drop_path: Rate = 0.1,
        dropout: Rate = 0.1,
        frozen_stages: FrozenStages = 0,
        grey: Grey = "sum",
    ) -> PoolFormerSequence:
        return PoolFormerSequence(cell, size, weights, units, layers, drop_path, dropout, frozen_stages, grey)

    build.__name__ = build.__qualname__ = f"poolformer_{cell}"
    build.__doc__ = f"""PoolFormer features of every frame, then {named} over the frames in order.

    The paper names PoolFormer with LSTM or GRU as future work (sections V and VI) without details. This is the simplest
    way: each frame passes through the same PoolFormer (Yu et al., CVPR 2022), whose averaged and normalised last map is
    the frame's feature; a recurrent layer reads the features from the first frame to the last, and a linear layer its
    last state, as in LRCN (Donahue et al., CVPR 2015) and, for micro-expressions, ELRCN (Khor et al., FG 2018). Steps
    are frames, whatever the time between them in the sampling.

    `size`: nano, and the authors' s12, m36 and m48. `weights`: those of the PoolFormer, as in poolformer_m36:
    ``imagenet``, ``hub``, ``random`` or the path of a .safetensors file (timm's, or of a model saved by this package,
    of which only the PoolFormer is used); by default imagenet, and random for nano, which has none. `units` and
    `layers`: of the recurrent part; `dropout`: before the head. `drop_path`, `frozen_stages` and `grey` as in
    poolformer_m36; memory grows with frames times batch size, and is smallest with frozen_stages = -1.
    """
    return build


models.register("poolformer_lstm")(_factory("lstm", "an LSTM (Hochreiter and Schmidhuber, 1997)"))
models.register("poolformer_gru")(_factory("gru", "a GRU (Cho et al., EMNLP 2014)"))
