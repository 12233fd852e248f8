"""A light CNN for composite databases: EfficientNet-B0 truncated after its fifth stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import timm
from torch import nn

from microexpr.components.models._checks import check_side
from microexpr.components.models._layers import HeadedNet, MotionInput, linear_head
from microexpr.components.models._parameters import RANDOM_WEIGHTS, Rate
from microexpr.core import pretrained
from microexpr.core.errors import WeightsError
from microexpr.core.interfaces import ViewSpec, models

SMALLEST = 32
"""The network divides sides by 16; with a single position, batch normalisation could not be trained on one row."""
STAGES = 5
"""Of seven, not counting the stem."""
MAPS = 112
"""Channels of the fifth stage."""
PREFIX = "body."


@models.register("composite_cnn")
@dataclass(frozen=True)
class CompositeCnn:
    """EfficientNet-B0 up to its fifth stage, global average, dropout, linear.

    After Ab Razak and Sahran, "Lightweight micro-expression recognition on composite database", Applied Sciences
    13(3):1846, 2023: a truncated EfficientNet-B0 (Tan and Le, ICML 2019) of 15 layers and 867 thousand parameters on
    static images, trained on the macro-expressions of FER 2013 and then fine-tuned on the composite database of MEGC
    2019, with a loss that gives rare classes more weight. Where it is truncated follows from these numbers: the stem
    and the eleven blocks of five stages have 851,808 parameters and 16,160 running statistics of batch normalisation,
    together 867,968; with average, dropout and linear layer they are 15 layers.

    `weights`: ``random``, or the path of a .safetensors file of this model saved by this package. For transfer learning
    as in the paper, fit it to FER 2013 (static images, for instance through the reader manifest) and give that file;
    the classes may differ, channels and steps may not. Do not fit it to subjects or clips that are tested afterwards: a
    file that was fitted to the composite database itself has seen every test clip, and scores that start from it are
    too high. The file records what it was trained on; `microexpr check` and the report warn (ME002).

    `drop_path`: stochastic depth of EfficientNet-B0's last block; earlier blocks have less. `dropout`: before the
    linear layer. The losses give rare classes more weight unless `weighted = false`.

    Departures: there is no public code, and only the abstract was available, so that input size, dropout rates (here
    those of EfficientNet-B0) and whether the training on FER 2013 itself started from ImageNet are unknown. No weights
    of theirs were found, so it starts at random. Channels are standardised by the training views (`MotionInput`). Any
    channels are accepted, flow too; several steps of a view are stacked as channels.

    With this many batch normalisations it takes some 50 steps until their running statistics follow what was learnt;
    after a shorter training its predictions are at chance level.
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
        return {"weights": file.stem, "sha256": pretrained.sha256(file)} if file else RANDOM_WEIGHTS

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        inputs = MotionInput(view)
        whole = timm.create_model("efficientnet_b0", in_chans=inputs.maps, drop_path_rate=self.drop_path)
        layers = (whole.conv_stem, whole.bn1, *whole.blocks[:STAGES])
        body = nn.Sequential(inputs, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        file = self._file()
        if file is not None:
            _load(body, file)
        return HeadedNet(body, linear_head(MAPS, num_classes, self.dropout), MAPS, aux)

    def _file(self) -> Path | None:
        return None if self.weights == "random" else pretrained.local(self.weights)


def _load(body: nn.Module, file: Path) -> None:
    """Load the body, including means and deviations of the input, which a training measures anew."""
    state = pretrained.load(file)
    part = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    try:
        body.load_state_dict(part)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            "E505",
            f"{file} does not hold weights of composite_cnn for these views ({reason[:300]}). Give a file of this "
            'model that was trained on views with the same channels and steps, or set weights = "random".',
        ) from None
