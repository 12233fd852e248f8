"""MobileViT features with a support vector machine: the transfer learning of the paper's Table VI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._backbone import Backbone, StartingWeights, build_backbone
from microexpr.components.models._checks import refuse_targets
from microexpr.components.models._estimators import need_two_classes
from microexpr.components.models._parameters import Grey, Penalty
from microexpr.core.interfaces import Output, ViewSpec, models

NEVER = -1e4
"""Score of a class that was not in training, so that its probability is 0."""


@models.register("mobilevit_svm")
@dataclass(frozen=True)
class MobileVitSvm:
    """A linear support vector machine on the features of a MobileViT with frozen weights.

    The MobileViT line of Table VI: Liu, Li, Yi, Hu, Zhang and Liu, "Lightweight ViT model for micro-expression
    recognition enhanced by transfer learning", Frontiers in Neurorobotics 16:922761, 2022; the network: Mehta and
    Rastegari, "MobileViT", ICLR 2022, whose members have 1.3, 2.3 and 5.6 million parameters (with their classifiers).
    Features (320, 384 or 640) are the last map averaged over positions and standardised by the training clips; there is
    one machine per class against all others, with classes weighted by the inverse of their number of training clips.

    Departures: the authors first train the network on three databases of macro-expressions, then on the
    micro-expressions, and choose its hyperparameters and the machine's by grid search; their code is not public. Here
    the network has its ImageNet weights and only the machine is trained. `weights = "random"` always uses the same
    seed, whatever the seed of the experiment: random features, which show what the machine learns from the images
    alone. `grey` as for the vision models; `size`: the member. Probabilities are the softmax of the machines' margins
    and are not calibrated.
    """

    size: Literal["xxs", "xs", "s"] = "xs"
    weights: str = "imagenet"
    C: Penalty = 0.01
    grey: Grey = "sum"
    trains_in_epochs: ClassVar[bool] = False
    head_parameters: ClassVar[tuple[str, ...]] = ("C",)
    label: ClassVar[str] = "MobileViT features + SVM"
    mixing: ClassVar[str] = "convolution and attention between unfolded patches"

    @property
    def architecture(self) -> Architecture:
        """The member of the family."""
        return ARCHITECTURES[f"mobilevit_{self.size}"]

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the published weights, for ``microexpr weights fetch``."""
        return self._start.tags

    def check(self, view: ViewSpec) -> Mapping[str, str]:
        self.architecture.check(view, 0, self.weights != "random")
        return self._start.metadata(view)

    def __call__(self, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> nn.Module:
        self.check(view)
        refuse_targets(aux, "mobilevit_svm")
        file = self._start.file(view)
        changed = file.stat().st_mtime_ns if file is not None else 0
        where = str(torch.get_default_device())
        return SvmOnBackbone(_backbone(self.size, view, file, changed, self.grey, where), num_classes, self.C)

    @property
    def _start(self) -> StartingWeights:
        return StartingWeights(self.architecture, self.weights)


@lru_cache(maxsize=1)
def _backbone(size: str, view: ViewSpec, file: Path | None, changed: int, grey: str, where: str) -> Backbone:
    """Return the one backbone of all folds; building it takes as long as fitting a support vector machine.

    `changed`: when `file` was written last; `where`: the device on which torch makes tensors at present.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_backbone(ARCHITECTURES[f"mobilevit_{size}"], view, file, 0.0, -1, grey)


class SvmOnBackbone(nn.Module):
    """A `FrozenBackbone`, and linear support vector machines on its standardised features."""

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, body: Backbone, num_classes: int, C: float) -> None:
        super().__init__()
        self.body = body
        self.C = C
        features = body.num_features
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("weight", torch.zeros(num_classes, features))
        self.register_buffer("bias", torch.zeros(num_classes))

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        return self.classify(self.embed(x))

    def embed(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        return self.body(x)  # type: ignore[no-any-return]

    def fit_head(self, features: Float[Tensor, "n f"], y: Int[np.ndarray, "n"]) -> None:
        need_two_classes(y, "mobilevit_svm")
        machines = LinearSVC(C=self.C, class_weight="balanced", dual=False, max_iter=10_000)
        scaler = StandardScaler()
        make_pipeline(scaler, machines).fit(features.double().cpu().numpy(), y)
        # For two classes there is one machine; the other class has the opposite score.
        several = len(machines.classes_) > 2
        coef, intercept = (
            values if several else np.concatenate([-values, values]) for values in (machines.coef_, machines.intercept_)
        )
        self.mean.copy_(torch.as_tensor(scaler.mean_))
        self.std.copy_(torch.as_tensor(scaler.scale_))
        self.weight.zero_()
        self.bias.fill_(NEVER)
        self.weight[machines.classes_] = torch.as_tensor(coef).to(self.weight)
        self.bias[machines.classes_] = torch.as_tensor(intercept).to(self.bias)

    def classify(self, features: Float[Tensor, "n f"]) -> Output:
        with torch.autocast(features.device.type, enabled=False):  # margins need full precision
            standard = (features.float() - self.mean) / self.std
            return Output(nn.functional.linear(standard, self.weight, self.bias), {})
