"""Losses for few and imbalanced classes, weighted by inverse class frequency (paper, section II.D).

Both return one value per row, of which training takes the plain mean. So every row counts by its own weight, a batch of
rare rows weighs more than a batch of common ones, and the mean over a fold does not depend on the division into
batches. `torch.nn.CrossEntropyLoss` with class indices instead divides the weighted sum by the sum of the batch's
weights: ``reduction = "weights"`` of `cross_entropy`. For focal loss there is no such convention (torchvision's
``sigmoid_focal_loss`` also takes the plain mean), so it has no such parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from microexpr.core.interfaces import AddedLater, Batch, Output, losses

Gamma = Annotated[float, Field(ge=0, le=10)]
Reduction = Annotated[Literal["rows", "weights"], AddedLater("rows")]


def class_weights(class_counts: Float[Tensor, "k"]) -> Float[Tensor, "k"]:
    """Return weights proportional to 1 / count, with mean 1 over the classes present; absent classes have 0.

    >>> class_weights(torch.tensor([30.0, 10.0, 0.0]))
    tensor([0.5000, 1.5000, 0.0000])
    """
    present = class_counts > 0
    inverse = torch.where(present, 1 / class_counts.clamp(min=torch.finfo(class_counts.dtype).tiny), 0)
    return inverse * present.sum() / inverse.sum()


@losses.register("cross_entropy")
@dataclass(frozen=True)
class CrossEntropy:
    """``-sum_c w_c y_c log p_c`` with soft targets y; `weighted = false` sets every w to 1.

    `reduction`: the sum over a batch is divided by the number of rows (``rows``), or by the sum of their weights
    ``sum_c w_c y_c`` (``weights``). The latter is `torch.nn.CrossEntropyLoss` with class indices. For soft targets,
    where torch divides by the number of rows, the weight of a row is that of its target's classes: after mixup, and
    after label smoothing. A batch in which all rows have weight 0 has the loss 0, where torch gives NaN.
    """

    weighted: bool = True
    reduction: Reduction = "rows"

    def __call__(self, output: Output, batch: Batch, class_counts: Float[Tensor, "k"]) -> Float[Tensor, "b"]:
        targets = _targets(output, batch, class_counts, self.weighted)
        rows = -(targets * output.logits.log_softmax(1)).sum(1)
        if self.reduction == "rows":
            return rows
        total = targets.sum()
        return rows * (len(rows) / total) if total > 0 else rows


@losses.register("focal")
@dataclass(frozen=True)
class Focal:
    """``-sum_c w_c y_c (1 - p_c)^gamma log p_c``: well-classified rows count less; gamma 0 is cross-entropy.

    Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection, ICCV 2017, equation 5. Theirs is binary
    with one alpha; here p is the softmax over all classes and alpha the inverse class frequency.
    """

    gamma: Gamma = 2.0
    weighted: bool = True

    def __call__(self, output: Output, batch: Batch, class_counts: Float[Tensor, "k"]) -> Float[Tensor, "b"]:
        log_p = output.logits.log_softmax(1)
        # expm1 keeps 1 - p exact near p = 1; the clamp keeps the gradient of the power finite for gamma < 1.
        miss = (-torch.expm1(log_p)).clamp(min=1e-12)
        return -(_targets(output, batch, class_counts, self.weighted) * miss**self.gamma * log_p).sum(1)


def _targets(output: Output, batch: Batch, class_counts: Tensor, weighted: bool) -> Tensor:
    return batch.y * class_weights(class_counts.to(output.logits)) if weighted else batch.y
