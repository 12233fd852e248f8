from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from microexpr.components.losses.imbalance import class_weights
from microexpr.core.interfaces import Batch, Output, losses
from refusal import refuses

COUNTS = torch.tensor([99.0, 63.0, 32.0, 0.0])
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 4, generator=GENERATOR)
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 2, 1])
HARD = nn.functional.one_hot(CLASSES, 4).float()
SOFT = torch.rand(12, 4, generator=GENERATOR).softmax(1)


def values(name: str, y: Tensor, logits: Tensor = LOGITS, **params: object) -> Tensor:
    batch = Batch(torch.zeros(len(y), 1), y, {})
    return losses.build(name, params)(Output(logits, {}), batch, COUNTS)


def test_weights_are_inverse_frequencies_with_mean_one_over_the_classes_present() -> None:
    weights = class_weights(COUNTS)
    assert weights[3] == 0
    assert weights[:3].mean().item() == pytest.approx(1)
    assert (weights[:3] * COUNTS[:3]).tolist() == pytest.approx([(weights[0] * 99).item()] * 3)
    assert class_weights(torch.tensor([5.0, 5.0])).tolist() == [1, 1]


@pytest.mark.parametrize("weighted", [True, False])
def test_cross_entropy_is_torchs_a_row_for_hard_and_soft_targets(weighted: bool) -> None:
    reference = nn.CrossEntropyLoss(weight=class_weights(COUNTS) if weighted else None, reduction="none")
    torch.testing.assert_close(values("cross_entropy", HARD, weighted=weighted), reference(LOGITS, CLASSES))
    torch.testing.assert_close(values("cross_entropy", SOFT, weighted=weighted), reference(LOGITS, SOFT))


@pytest.mark.parametrize("weighted", [True, False])
def test_reduction_weights_is_torchs_mean_over_class_indices(weighted: bool) -> None:
    ours, theirs = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    loss = values("cross_entropy", HARD, ours, weighted=weighted, reduction="weights")
    torchs = nn.CrossEntropyLoss(weight=class_weights(COUNTS) if weighted else None)(theirs, CLASSES)
    assert loss.shape == (12,)
    torch.testing.assert_close(loss.mean(), torchs)
    loss.mean().backward()
    torchs.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_reduction_rows_counts_rare_classes_more_than_reduction_weights() -> None:
    """Every row's share of the gradient is the same; the step of a batch of rare rows is not."""
    rare, common = torch.eye(4)[[2, 2, 2]], torch.eye(4)[[0, 0, 0]]
    flat = torch.zeros(3, 4)
    rows = [values("cross_entropy", y, flat).mean() for y in (rare, common)]
    weights = [values("cross_entropy", y, flat, reduction="weights").mean() for y in (rare, common)]
    torch.testing.assert_close(rows[0] / rows[1], torch.tensor(99 / 32))
    torch.testing.assert_close(weights[0], weights[1])


def test_reduction_weights_takes_soft_targets_by_the_weights_of_their_classes() -> None:
    weights = class_weights(COUNTS)
    by_hand = -(SOFT * weights * LOGITS.log_softmax(1)).sum() / (SOFT * weights).sum()
    torch.testing.assert_close(values("cross_entropy", SOFT, reduction="weights").mean(), by_hand)
    smoothed = 0.9 * HARD + 0.1 / 4
    even = nn.CrossEntropyLoss(label_smoothing=0.1)(LOGITS, CLASSES)
    torch.testing.assert_close(values("cross_entropy", smoothed, weighted=False, reduction="weights").mean(), even)


def test_a_batch_that_weighs_nothing_has_no_loss_and_no_gradient() -> None:
    logits = LOGITS[:2].clone().requires_grad_()
    loss = values("cross_entropy", torch.eye(4)[[3, 3]], logits, reduction="weights")
    assert loss.tolist() == [0, 0]
    loss.mean().backward()
    assert logits.grad is not None
    assert logits.grad.eq(0).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_is_the_formula(gamma: float) -> None:
    weights, p = class_weights(COUNTS), LOGITS.softmax(1)
    by_hand = torch.tensor(
        [-weights[c] * (1 - p[row, c]) ** gamma * torch.log(p[row, c]) for row, c in enumerate(CLASSES)]
    )
    torch.testing.assert_close(values("focal", HARD, gamma=gamma), by_hand)


def test_focal_with_gamma_zero_is_cross_entropy() -> None:
    torch.testing.assert_close(values("focal", SOFT, gamma=0.0), values("cross_entropy", SOFT))


def test_focal_counts_well_told_rows_less() -> None:
    logits = torch.tensor([[6.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]])
    y = torch.eye(4)[[0, 0]]
    focal, entropy = values("focal", y, logits), values("cross_entropy", y, logits)
    assert focal[0] / entropy[0] < 1e-3 < focal[1] / entropy[1]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients_stay_finite_where_the_model_is_certain(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0, 0.0], [-200.0, 0.0, 0.0, 0.0]], requires_grad=True)
    loss = values("focal", torch.eye(4)[[0, 0]], logits, gamma=gamma)
    loss.sum().backward()
    assert logits.grad is not None
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()


def test_a_row_of_an_absent_class_weighs_nothing_and_values_are_a_row_each() -> None:
    loss = values("cross_entropy", torch.eye(4), torch.zeros(4, 4))
    assert loss.shape == (4,)
    assert loss[3] == 0


def test_a_misspelt_parameter_is_refused() -> None:
    with refuses("E110", "'gama'", "did you mean 'gamma'"):
        losses.build("focal", {"gama": 2})
