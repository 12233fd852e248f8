"""A light CNN for composite databases: EfficientNet-B0 cut off after its fifth stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import timm
from pydantic import Field
from torch import nn

from microexpr.components.models._motion import MotionInput
from microexpr.components.models._net import HeadedNet
from microexpr.components.models._parts import RANDOM_WEIGHTS, check_side
from microexpr.core import pretrained as at_hand
from microexpr.core.errors import WeightsError
from microexpr.core.interfaces import ViewSpec, models

Rate = Annotated[float, Field(ge=0, lt=1)]
SMALLEST = 32
"""The network divides sides by 16; of one place batch normalisation could not be trained on one row at a time."""
STAGES = 5
"""Of seven, the stem not counted."""
MAPS = 112
"""Of the fifth stage."""
PREFIX = "body."


@models.register("composite_cnn")
@dataclass(frozen=True)
class CompositeCnn:
    """EfficientNet-B0 up to its fifth stage, global average, dropout, linear.

    After Ab Razak and Sahran, "Lightweight micro-expression recognition on composite database", Applied Sciences
    13(3):1846, 2023: a truncated EfficientNet-B0 (Tan and Le, ICML 2019) of 15 layers and 867 thousand parameters that
    looks at static images, is trained on the macro-expressions of FER 2013 and then fine-tuned on the composite
    database of MEGC 2019, with a loss in which rare classes weigh more. Where it is cut follows from these numbers:
    the stem and the eleven blocks of five stages have 851,808 parameters and 16,160 running statistics of batch
    normalisation, together 867,968; with average, dropout and linear layer they are 15 layers.

    `weights`: ``random``, or the path of a .safetensors file of this model that was saved here. Transfer learning as in
    the paper: fit it to FER 2013 (ready images, for instance through the reader manifest) and give that file; the
    classes may differ, channels and steps may not. Fit it to none of the people, or clips, that are tested afterwards:
    a file that was fitted to the composite database itself has seen every test clip, and scores that start from it are
    too high. The file says what it was trained on; `microexpr check` and the report warn (ME002).

    `drop_path`: stochastic depth of EfficientNet-B0's last block, those before it have less. `dropout`: before the
    linear layer. The losses weight rare classes unless `weighted = false`.

    Departures: there is no public code, and only the abstract was at hand, so input size, rates of dropout (here those
    of EfficientNet-B0) and whether FER 2013 itself started from ImageNet are open. No weights of theirs were found, so
    it starts at random. Channels are standardised by the training views (`MotionInput`). Any channels are taken, flow
    too; several steps of a view are stacked as channels.

    So many batch normalisations need some 50 steps before their running statistics follow what was learnt; a shorter
    training predicts by chance.
    """

    weights: str = "random"
    drop_path: Rate = 0.2
    dropout: Rate = 0.2
    trains_in_epochs: ClassVar[bool] = True
    label: ClassVar[str] = "truncated EfficientNet-B0, after Ab Razak and Sahran"
    mixing: ClassVar[str] = "convolution"

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_side("composite_cnn", view, SMALLEST)
        file = self._file()
        return {"weights": file.stem, "sha256": at_hand.sha256(file)} if file else RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        seen = MotionInput(view)
        whole = timm.create_model("efficientnet_b0", in_chans=seen.maps, drop_path_rate=self.drop_path)
        layers = (whole.conv_stem, whole.bn1, *whole.blocks[:STAGES])
        body = nn.Sequential(seen, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        file = self._file()
        if file is not None:
            _load(body, file)
        head = nn.Sequential(nn.Dropout(self.dropout), nn.Linear(MAPS, num_classes))
        return HeadedNet(body, head, MAPS, aux)

    def _file(self) -> Path | None:
        return None if self.weights == "random" else at_hand.local(self.weights)


def _load(body: nn.Module, file: Path) -> None:
    """Fill the body, means and deviations of the input included; a training measures those anew."""
    state = at_hand.load(file)
    part = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    try:
        body.load_state_dict(part)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            "E501",
            f"{file} holds no weights of composite_cnn for these views ({reason[:300]}). Take a file of this model "
            'that was trained on views of the same channels and steps, or weights = "random".',
        ) from None
