"""MobileViT features with a support vector machine, as in the transfer learning of the paper's Table VI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from microexpr.components.models._architectures import ARCHITECTURES, Architecture
from microexpr.components.models._body import Body, build_body
from microexpr.components.models._parts import need_two, refuse
from microexpr.components.models._start import Start
from microexpr.core.interfaces import Output, ViewSpec, models

NEVER = -1e4
"""Score of a class that was not in training: its probability is 0."""


@models.register("mobilevit_svm")
@dataclass(frozen=True)
class MobileVitSvm:
    """A linear support vector machine on the features of a MobileViT whose weights stay as they are.

    The MobileViT line of Table VI: Liu, Li, Yi, Hu, Zhang and Liu, "Lightweight ViT model for micro-expression
    recognition enhanced by transfer learning", Frontiers in Neurorobotics 16:922761, 2022; the network: Mehta and
    Rastegari, "MobileViT", ICLR 2022, whose members have 1.3, 2.3 and 5.6 million parameters (with their classifiers).
    Features (320, 384 or 640) are the last map averaged over places, standardised by the training clips; machines of
    one class against all others, classes weighted by the inverse of their training clips.

    Departures: the authors train the network on three databases of macro-expressions first, then on the
    micro-expressions, and choose its hyperparameters and the machine's by grid search; their code is not public. Here
    it comes with its ImageNet weights and nothing but the machine learns. `weights = "random"` are those of one seed,
    whatever the seed of the experiment: random features, which show what the machine makes of the pictures alone.
    `grey` as for the vision models; `size` the member. Probabilities are the softmax of the machines' margins and are
    not calibrated.
    """

    size: Literal["xxs", "xs", "s"] = "xs"
    weights: str = "imagenet"
    C: Annotated[float, Field(gt=0)] = 0.01
    grey: Literal["sum", "copy"] = "sum"
    trains_in_epochs: ClassVar[bool] = False
    label: ClassVar[str] = "MobileViT features + SVM"
    mixing: ClassVar[str] = "convolution and attention between unfolded patches"

    @property
    def architecture(self) -> Architecture:
        """The family's member."""
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
        refuse(aux, "mobilevit_svm")
        with torch.random.fork_rng(devices=[]):  # one body for all folds, which is run once
            torch.manual_seed(0)
            body = build_body(self.architecture, view, self._start.file(view), 0.0, -1, self.grey)
        features = body.net.num_features
        assert isinstance(features, int)
        return MachineOnBody(body, features, num_classes, self.C)

    @property
    def _start(self) -> Start:
        return Start(self.architecture, self.weights)


class MachineOnBody(nn.Module):
    """A frozen body and linear machines on its standardised features (contracts.FittedOnce)."""

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, body: Body, features: int, num_classes: int, C: float) -> None:
        super().__init__()
        self.body = body
        self.C = C
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("weight", torch.zeros(num_classes, features))
        self.register_buffer("bias", torch.zeros(num_classes))

    def forward(self, x: Float[Tensor, "b t c h w"]) -> Output:
        return self.classify(self.embed(x))

    def embed(self, x: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b f"]:
        return self.body(x)  # type: ignore[no-any-return]

    def fit_head(self, features: Float[Tensor, "n f"], y: Int[np.ndarray, "n"]) -> None:
        need_two(y, "mobilevit_svm")
        machines = LinearSVC(C=self.C, class_weight="balanced", dual=False, max_iter=10_000)
        scaler = StandardScaler()
        make_pipeline(scaler, machines).fit(features.double().cpu().numpy(), y)
        # Two classes have one machine, which speaks for the second.
        both = len(machines.classes_) > 2
        coef, intercept = (
            values if both else np.concatenate([-values, values]) for values in (machines.coef_, machines.intercept_)
        )
        self.mean.copy_(torch.as_tensor(scaler.mean_))
        self.std.copy_(torch.as_tensor(scaler.scale_))
        self.weight.zero_()
        self.bias.fill_(NEVER)
        self.weight[machines.classes_] = torch.as_tensor(coef).to(self.weight)
        self.bias[machines.classes_] = torch.as_tensor(intercept).to(self.bias)

    def classify(self, features: Float[Tensor, "n f"]) -> Output:
        with torch.autocast(features.device.type, enabled=False):  # margins need all their digits
            standard = (features.float() - self.mean) / self.std
            return Output(nn.functional.linear(standard, self.weight, self.bias), {})
