"""PoolFormer over the frames of a clip, joined in time by an LSTM or a GRU: what the paper leaves for the future."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._body import Body, build_body, each_frame
from microexpr.components.models._net import HeadedNet
from microexpr.components.models._sequences import one_frame
from microexpr.components.models._start import Start, usual
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec, models

Cell = Literal["lstm", "gru"]
Size = Literal["nano", "s12", "m36", "m48"]
Rate = Annotated[float, Field(ge=0, lt=1)]
CELLS: Mapping[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class FrameSequence(nn.Module):
    """Every frame through one body, then through a recurrent layer in their order; its last state is the feature."""

    def __init__(self, frames: Body, cell: Cell, units: int, layers: int) -> None:
        super().__init__()
        self.frames = frames
        features = frames.net.num_features
        assert isinstance(features, int)
        self.over_time = CELLS[cell](features, units, layers, batch_first=True)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        states: Tensor = self.over_time(each_frame(self.frames, x))[0]
        return states[:, -1]


@dataclass(frozen=True)
class PoolFormerSequence:
    """PoolFormer and a recurrent layer; what its parameters mean stands at the registered factories."""

    cell: Cell
    size: Size
    weights: str | None
    units: int
    layers: int
    drop_path: float
    dropout: float
    frozen_stages: int
    grey: Literal["sum", "copy"]
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "attention-free pooling, recurrence over frames"

    @property
    def architecture(self) -> Architecture:
        """The PoolFormer."""
        return ARCHITECTURES[f"poolformer_{self.size}"]

    @property
    def label(self) -> str:
        """The name that papers use."""
        return f"{self.architecture.label} + {self.cell.upper()}"

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return self._start.tags

    @property
    def _start(self) -> Start:
        return Start(self.architecture, self.weights or usual(self.architecture))

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        """Raise ConfigError or WeightsError if it could not be built; return the name and sha256 of its weights."""
        if view.shape[0] < 2:
            raise ConfigError(
                "E104",
                f"poolformer_{self.cell} reads frames one after the other, and these views have one. Sample several in "
                "one view: sampling uniform (with count), onset_apex_offset or onset_apex.",
            )
        self.architecture.check(one_frame(view), self.frozen_stages, self._start.weights != "random")
        return self._start.metadata(view)

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        file = self._start.file(view)
        frames = build_body(self.architecture, one_frame(view), file, self.drop_path, self.frozen_stages, self.grey)
        body = FrameSequence(frames, self.cell, self.units, self.layers)
        head = nn.Sequential(nn.Dropout(self.dropout), nn.Linear(self.units, num_classes))
        return HeadedNet(body, head, self.units, aux)


def _factory(cell: Cell, named: str) -> Callable[..., PoolFormerSequence]:
    def build(
        size: Size = "m36",
        weights: str | None = None,
        units: Annotated[int, Field(ge=1, le=4096)] = 128,
        layers: Annotated[int, Field(ge=1, le=4)] = 1,
        drop_path: Rate = 0.1,
        dropout: Rate = 0.1,
        frozen_stages: Annotated[int, Field(ge=-1)] = 0,
        grey: Literal["sum", "copy"] = "sum",
    ) -> PoolFormerSequence:
        return PoolFormerSequence(cell, size, weights, units, layers, drop_path, dropout, frozen_stages, grey)

    build.__name__ = build.__qualname__ = f"poolformer_{cell}"
    build.__doc__ = f"""PoolFormer features of every frame, then {named} over the frames in their order.

    The paper names PoolFormer with LSTM or GRU as future work (sections V and VI) and says nothing of how. This is the
    plainest way: each frame passes through the same PoolFormer (Yu et al., CVPR 2022), whose averaged and normalised
    last map is the frame's feature; one recurrent layer reads the features from the first frame to the last, and a
    linear layer its last state, as in LRCN (Donahue et al., CVPR 2015) and, for micro-expressions, ELRCN (Khor et al.,
    FG 2018). Steps are frames, however far apart the sampling takes them.

    `size`: nano and s12, m36, m48 of the authors. `weights`: of the PoolFormer, as in poolformer_m36: ``imagenet``,
    ``hub``, ``random`` or the path of a .safetensors file (timm's, or of a model saved here, of which only the
    PoolFormer is taken); left out, imagenet, and random for nano, which has none. `units` and `layers` of the
    recurrent part; `dropout` before the head. `drop_path`, `frozen_stages` and `grey` as in poolformer_m36; memory
    grows with frames times batch, and frozen_stages = -1 needs least of it.
    """
    return build


models.register("poolformer_lstm")(_factory("lstm", "an LSTM (Hochreiter and Schmidhuber, 1997)"))
models.register("poolformer_gru")(_factory("gru", "a GRU (Cho et al., EMNLP 2014)"))
