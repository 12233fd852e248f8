"""Losses for few and unequal classes, weighted by inverse class frequency (paper, section II.D).

Both return one value a row, which training joins by a plain mean. So every row counts its own weight, a batch of rare
rows weighs more than a batch of common ones, and the mean over a fold does not depend on how it was cut into batches.
`torch.nn.CrossEntropyLoss` with class indices divides the weighted sum by the sum of the batch's weights instead:
``reduction = "weights"`` of `cross_entropy`. Focal loss has no such convention (torchvision's ``sigmoid_focal_loss``
takes the plain mean too), so it has no such parameter.
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
    """Return weights proportional to 1 / count: their mean is 1 over the classes present, and 0 stands for the others.

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

    `reduction`: the mean over a batch is the sum of its rows divided by their number (``rows``), or by their weights
    ``sum_c w_c y_c`` (``weights``). The latter is `torch.nn.CrossEntropyLoss` with class indices. For soft targets, of
    which torch divides by the number of rows, a row weighs what the classes of its target weigh: those of mixup, and
    of label smoothing after it was spread. A batch whose rows all weigh 0 has the loss 0, where torch has NaN.
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
    """``-sum_c w_c y_c (1 - p_c)^gamma log p_c``: rows that are told well count less; gamma 0 is cross-entropy.

    Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection, ICCV 2017, equation 5. Theirs is binary
    with one alpha; here p is the softmax over all classes and alpha the inverse class frequency.
    """

    gamma: Gamma = 2.0
    weighted: bool = True

    def __call__(self, output: Output, batch: Batch, class_counts: Float[Tensor, "k"]) -> Float[Tensor, "b"]:
        log_p = output.logits.log_softmax(1)
        # expm1 keeps 1 - p exact near p = 1; the floor keeps the gradient of the power finite for gamma < 1.
        miss = (-torch.expm1(log_p)).clamp(min=1e-12)
        return -(_targets(output, batch, class_counts, self.weighted) * miss**self.gamma * log_p).sum(1)


def _targets(output: Output, batch: Batch, class_counts: Tensor, weighted: bool) -> Tensor:
    return batch.y * class_weights(class_counts.to(output.logits)) if weighted else batch.y
