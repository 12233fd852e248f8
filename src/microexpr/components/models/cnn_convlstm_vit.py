"""A CNN, a ConvLSTM on its maps and a ViT, whose scores are fused, after Faciaformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import timm
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from microexpr.components.models._architectures import ARCHITECTURES
from microexpr.components.models._backbone import Backbone, StartingWeights, build_backbone
from microexpr.components.models._checks import check_frames, check_side, one_frame
from microexpr.components.models._layers import ConvLstm, Grid, Scaled, fused, linear_head, target_heads
from microexpr.components.models._parameters import Rate, Size, label_of_size
from microexpr.core.interfaces import Output, ViewSpec, models

MIN_FRAMES = 2
"""A recurrent network learns nothing about time from one frame."""
SMALLEST = 32
SIDE = 4
"""Maps are averaged to SIDE x SIDE cells before the linear layers."""
NANO = (16, 32, 32)
"""Maps of the small CNN's convolutions."""
HIDDEN: Mapping[Size, int] = {"nano": 32, "base": 256}
"""Hidden maps of the ConvLSTM."""
VITS: Mapping[Size, str] = {"nano": "vit_nano", "base": "vit_b32"}
DROP_PATH = 0.1


@models.register("cnn_convlstm_vit")
@dataclass(frozen=True)
class CnnConvLstmVit:
    """A CNN, a ConvLSTM on its maps and a ViT; their class probabilities are averaged.

    After the idea of Zheng and Blasch, "Facial micro-expression recognition enhanced by score fusion and a hybrid model
    from convolutional LSTM and vision transformer", Sensors 23(12):5650, 2023 (Faciaformer in the paper's Table VI). A
    CNN computes maps of every frame. Its own scores are linear in the maps of one frame; a ConvLSTM runs over the maps
    of all frames and its scores come from its last hidden maps; a ViT scores the frame itself. Maps are averaged to 4x4
    cells before their linear layer. The frame is the one that differs most from the view's first (mean absolute
    difference), which is near the apex if the first is the onset. Logits are
    ``log((p_cnn + p_convlstm + p_vit) / 3)``.

    Training: the only loss is that of the fused scores. Its gradient reaches each member as that of the member's own
    cross-entropy, times ``p_member / (p_cnn + p_convlstm + p_vit)`` of the true class; initially that is about a third
    each.

    `size`: ``nano`` has three strided convolutions of 16, 32 and 32 maps, 32 hidden maps and ViT-nano/8 (0.6 million
    parameters), for CPUs; ``base`` has ResNet-18 up to its third stage, 256 hidden maps and ViT-B/32 (95 million).
    `weights`: ``random``, or those of the ViT: ``imagenet`` (size base only, from the folder of weights), ``hub`` (that
    folder, downloaded if missing), or the path of a .safetensors file (timm's, or a ViT saved by this package); all
    other parts start at random. `dropout` is applied before each member's linear layer.

    Departures: there is no public code, and only the abstract and the section titles were available. They name a hybrid
    of CNN, LSTM and ViT on short videos, ResNet, Xception, ViT and ConvLSTM as single networks, and score fusion.
    How the hybrid joins its parts, sizes, frames and the fusion rule are ours, and Xception is left out. According to
    the abstract they fuse networks that were trained separately; here all are trained jointly, and members of an
    ensemble then rely on each other (Jeffares et al., "Joint training of deep ensembles fails due to learner
    collusion", NeurIPS 2023).
    """

    size: Size = "nano"
    weights: str = "random"
    dropout: Rate = 0.1
    trains_in_epochs: ClassVar[bool] = True
    mixing: ClassVar[str] = "convolution, recurrence and global attention"

    @property
    def label(self) -> str:
        """Name used in papers."""
        return label_of_size("CNN + ConvLSTM + ViT, after Faciaformer", self.size)

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return StartingWeights(ARCHITECTURES[VITS["base"]], "imagenet").tags

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        check_frames("cnn_convlstm_vit", view, MIN_FRAMES)
        check_side("cnn_convlstm_vit", view, SMALLEST)
        self._start.architecture.check(one_frame(view), 0, self.weights != "random")
        return self._start.metadata(view)

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        start = self._start
        vit = build_backbone(start.architecture, one_frame(view), start.file(view), DROP_PATH, 0, "sum")
        cnn = _nano_cnn(view.shape[3]) if self.size == "nano" else _resnet(view.shape[3])
        return FusedNet(view, num_classes, aux, cnn, HIDDEN[self.size], vit, self.dropout)

    @property
    def _start(self) -> StartingWeights:
        return StartingWeights(ARCHITECTURES[VITS[self.size]], self.weights)


class FusedNet(nn.Module):
    """`CnnConvLstmVit`'s network; auxiliary heads are linear in the features of all members."""

    def __init__(
        self,
        view: ViewSpec,
        num_classes: int,
        aux: Mapping[str, int],
        cnn: nn.Module,
        hidden: int,
        vit: Backbone,
        dropout: float,
    ) -> None:
        super().__init__()
        self.scaled = Scaled(view)
        self.cnn = cnn
        maps, height, width = _shape_of(cnn, view)
        self.convlstm = ConvLstm(maps, hidden)
        self.vit = vit
        self.cells = Grid(height, width, SIDE)
        lengths = {"cnn": maps * SIDE**2, "convlstm": hidden * SIDE**2, "vit": vit.num_features}
        self.scorers = nn.ModuleDict({name: linear_head(each, num_classes, dropout) for name, each in lengths.items()})
        self.heads = target_heads(sum(lengths.values()), aux)

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        features = self.features(x)
        joined = torch.cat(list(features.values()), 1)
        aux = {name: head(joined) for name, head in self.heads.items()}
        return Output(fused([self.scorers[name](each) for name, each in features.items()]), aux)

    def features(self, x: Float[Tensor, "b t c h w"]) -> dict[str, Float[Tensor, "b f"]]:
        """Return the features from which each member's scores are computed linearly."""
        rows, chosen = torch.arange(x.shape[0], device=x.device), most_changed(x)
        each: Tensor = self.cnn(self.scaled(x).flatten(0, 1))
        maps = each.view(*x.shape[:2], *each.shape[1:])
        return {
            "cnn": self.cells(maps[rows, chosen]),
            "convlstm": self.cells(self.convlstm(maps)),
            "vit": self.vit(x[rows, chosen][:, None]),
        }


def most_changed(x: Float[Tensor, "b t c h w"]) -> Int[Tensor, "b"]:
    """Return the index of the frame that differs most from the first; the earliest of equal ones."""
    return (x - x[:, :1]).abs().mean((2, 3, 4)).argmax(1)


def _shape_of(cnn: nn.Module, view: ViewSpec) -> tuple[int, int, int]:
    """Return number, height and width of the CNN's maps of a frame."""
    _, height, width, channels = view.shape
    mode = cnn.training
    with torch.no_grad():
        # Evaluation mode leaves the statistics of batch normalisation unchanged.
        output = cnn.eval()(torch.zeros(1, channels, height, width))
    cnn.train(mode)
    _, maps, down, across = output.shape
    return maps, down, across


def _nano_cnn(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for incoming, outgoing in zip((channels, *NANO), NANO, strict=False):
        convolution = nn.Conv2d(incoming, outgoing, 3, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outgoing), nn.ReLU()]
    return nn.Sequential(*layers)


def _resnet(channels: int) -> nn.Sequential:
    """Return ResNet-18 (He et al., CVPR 2016) without its last stage, whose maps are too coarse for a ConvLSTM."""
    # timm initialises the residual branches at zero; here every layer learns from the first step.
    net = timm.create_model("resnet18", in_chans=channels, zero_init_last=False)
    return nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool, net.layer1, net.layer2, net.layer3)
