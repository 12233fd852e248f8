"""Micron-BERT: what its two mechanisms compute, its sizes, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microexpr.components.models._layers import HeadedNet
from microexpr.components.models.micron_bert import (
    DiagonalMicroAttention,
    FramePair,
    InterestedEncoder,
    Sizes,
    weighted,
)
from microexpr.core.interfaces import Output, ViewSpec, models
from motions import moved, texture
from nets import GREY, RGB, built, count, still
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread")
PLACE = 3 * 8 + 5
"""The patch, of 8x8 in a picture of 64x64, that changes in these tests."""


def view(size: int = 64, channels: tuple[str, ...] = GREY, frames: int = 2) -> ViewSpec:
    return ViewSpec((frames, size, size, len(channels)), channels)


def net(spec: ViewSpec | None = None, **params: Any) -> nn.Module:
    return built("micron_bert", spec or view(), **params)


def faces(rows: int = 4, size: int = 64) -> Tensor:
    """Pairs of frames, both alike: [b, 2, 1, size, size]."""
    pictures = np.stack([texture(size, seed) for seed in range(rows)])
    return torch.as_tensor(pictures)[:, None, None].repeat(1, 2, 1, 1, 1)


def with_a_changed_patch(x: Tensor, strength: float = 20.0) -> Tensor:
    changed = x.clone()
    noise = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    changed[:, 1, 0, 24:32, 40:48] += noise * strength
    return changed


def looked_at(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Change and interest of every patch of the second frame."""
    with torch.no_grad():
        patches, interest = model.body.encoder(model.body.scaled(x).flatten(0, 1))
        onset, apex = patches.unflatten(0, (-1, 2)).unbind(1)
        return model.body.dma.change(onset, apex), interest[1::2]


# --- diagonal micro-attention -----------------------------------------------------------------------------------------
def test_the_diagonal_is_that_of_a_softmax_over_the_other_frames_patches():
    torch.manual_seed(0)
    dma, rng = DiagonalMicroAttention(6), torch.Generator().manual_seed(0)
    nn.init.normal_(dma.key.weight)
    earlier, later = torch.randn(2, 5, 6, generator=rng), torch.randn(2, 5, 6, generator=rng)

    def diagonal(frame: Tensor, row: int, place: int) -> Tensor:
        unit = [key / key.norm() for key in dma.key(frame[row])]
        query = dma.query(later[row, place])
        scores = torch.stack([query / query.norm() @ key * 6**0.5 for key in unit])
        return scores.softmax(0)[place]

    for row in range(2):
        for place in range(5):
            share = diagonal(earlier, row, place) / diagonal(later, row, place)
            expected = max(0.0, 1 - share.item())
            assert dma.change(earlier, later)[row, place].item() == pytest.approx(expected, abs=1e-5)


def test_nothing_has_changed_where_both_frames_are_alike_and_all_patches_count_by_interest_alone():
    model = net()
    change, interest = looked_at(model, faces())
    assert change.max() < 1e-5
    torch.testing.assert_close(weighted(change, interest), interest, rtol=0.05, atol=0)
    even = torch.full_like(interest, 1 / 64)
    torch.testing.assert_close(weighted(change, even), even, rtol=0.05, atol=0)


@pytest.mark.parametrize("strength", [2.0, 20.0, 60.0])
def test_a_patch_that_changes_stands_out_before_anything_is_trained(strength):
    change, _ = looked_at(net(), with_a_changed_patch(faces(), strength))
    others = torch.cat([change[:, :PLACE], change[:, PLACE + 1 :]], 1)
    assert (change[:, PLACE] > others.max(1).values).all()
    assert change[:, PLACE].mean() > 5 * others.mean()


def test_the_change_grows_with_how_much_a_patch_changed():
    found = [looked_at(net(), with_a_changed_patch(faces(), s))[0][:, PLACE].mean() for s in (2.0, 5.0, 20.0, 60.0)]
    assert found == sorted(found)
    assert found[-1] > 0.3


def test_skin_that_moves_by_a_pixel_is_found_where_it_moves():
    y, x = np.mgrid[:64, :64]
    bump = np.exp(-((y - 28.0) ** 2 + (x - 44.0) ** 2) / 50)
    pairs = faces(8)
    for row in range(8):
        pairs[row, 1, 0] = torch.as_tensor(moved(pairs[row, 0, 0].numpy(), bump, bump * 0))
    change = looked_at(net(), pairs)[0].mean(0)
    assert int(change.argmax()) == PLACE
    assert change[PLACE] > 5 * change.median()


@pytest.mark.numeric
@pytest.mark.parametrize("size", ["nano", "base"])
def test_bf16_sees_the_motion_that_32_bits_see(size):
    """At the authors' 224 pixels, where skin moves by two pixels at most."""
    y, x = np.mgrid[:224, :224]
    pairs, truth = faces(3, 224), []
    for row, (down, across) in enumerate([(70, 120), (110, 80), (150, 150)]):
        bump = 2 * np.exp(-((y - down) ** 2 + (x - across) ** 2) / 1250)
        pairs[row, 1, 0] = torch.as_tensor(moved(pairs[row, 0, 0].numpy(), bump, bump * 0))
        truth.append(bump.reshape(28, 8, 28, 8).mean((1, 3)).ravel())
    model = net(view(224), size=size)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = looked_at(model, pairs)[0].float()
    exact = looked_at(model, pairs)[0]
    for row in range(3):
        seen, seen_exactly = (np.corrcoef(found[row], truth[row])[0, 1] for found in (rounded, exact))
        assert seen_exactly > 0.55
        assert seen > seen_exactly - 0.05


def test_what_changed_is_pooled_in_32_bits():
    torch.manual_seed(0)
    dma, rng = DiagonalMicroAttention(6), torch.Generator().manual_seed(0)
    earlier, later = (torch.randn(2, 5, 6, generator=rng).bfloat16() for _ in range(2))
    interest = torch.rand(2, 5, generator=rng).softmax(1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = dma(earlier, later, interest)
    assert torch.equal(inside, dma(earlier.float(), later.float(), interest))


def test_what_stands_still_hardly_weighs():
    change, interest = looked_at(net(), with_a_changed_patch(faces()))
    weights = weighted(change, interest)
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert (weights[:, PLACE] > 20 / 64).all()
    assert weights[:, :8].max() < 2 / 64


def test_a_patch_of_no_interest_weighs_nothing_however_much_it_changes():
    change = torch.tensor([[0.9, 0.1, 0.0]])
    weights = weighted(change, torch.tensor([[0.0, 0.5, 0.5]]))
    assert weights[0, 0] == 0
    assert weights[0, 1] > 0.99


def test_features_are_the_later_frames_values_by_weight():
    torch.manual_seed(0)
    dma, rng = DiagonalMicroAttention(6), torch.Generator().manual_seed(0)
    earlier, later = torch.randn(2, 5, 6, generator=rng), torch.randn(2, 5, 6, generator=rng)
    interest = torch.rand(2, 5, generator=rng).softmax(1)
    weights = weighted(dma.change(earlier, later), interest)
    expected = torch.stack([weights[row] @ dma.value(later[row]) for row in range(2)])
    torch.testing.assert_close(dma(earlier, later, interest), dma.join(expected))


# --- patch of interest ------------------------------------------------------------------------------------------------
def test_interest_is_the_attention_that_the_token_pays_to_patches_in_the_last_block():
    torch.manual_seed(0)
    encoder, x = InterestedEncoder(1, (4, 4), 8, 16, 2, 4).eval(), torch.randn(2, 1, 32, 32)
    kept: list[Tensor] = []
    last = encoder.blocks[-1]
    last.attn.fused_attn = False
    last.attn.attn_drop.register_forward_hook(lambda module, given, shares: kept.append(shares))
    with torch.no_grad():
        patches, interest = encoder(x)
    assert patches.shape == (2, 16, 16)
    (shares,) = kept
    to_patches = shares[:, :, 0, 1:]
    expected = (to_patches / to_patches.sum(2, keepdim=True)).mean(1)
    torch.testing.assert_close(interest, expected)


def distracted(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise of 32x32 in which one of two patches changes, which is the class, and another one changes always."""
    rng = torch.Generator().manual_seed(seed)
    x = (torch.rand(rows, 1, 1, 32, 32, generator=rng) * 200).repeat(1, 2, 1, 1, 1)
    y = torch.randint(0, 2, (rows,), generator=rng)
    for row in range(rows):
        top = 8 if y[row] else 16
        x[row, 1, 0, top : top + 8, 8:16] = torch.rand(8, 8, generator=rng) * 200
        x[row, 1, 0, :8, 24:] = torch.rand(8, 8, generator=rng) * 200
    return x, y


def test_it_learns_where_something_changed_and_loses_interest_in_what_always_does():
    """Each frame alone is noise, so that only what differs between both can tell the class."""
    torch.manual_seed(0)
    model, (x, y) = HeadedNet(FramePair(view(32), Sizes(48, 2, 4)), nn.Linear(48, 2), 48, {}), distracted(128, 1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for epoch in range(12):
        for rows in torch.randperm(128, generator=torch.Generator().manual_seed(epoch)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]).logits, y[rows]).backward()
            optimizer.step()
    x, y = distracted(128, 2)
    with torch.no_grad():
        right = (model.eval()(x).logits.argmax(1) == y).float().mean()
        one_frame = (model(x[:, 1:].repeat(1, 2, 1, 1, 1)).logits.argmax(1) == y).float().mean()
    assert right > 0.7
    assert one_frame < 0.6
    change, interest = looked_at(model, x)
    distraction, telling = 0 * 4 + 3, [1 * 4 + 1, 2 * 4 + 1]
    assert change[:, distraction].mean() > 3 * change.mean(1).median()
    assert interest[:, distraction].mean() < 0.9 * interest[:, telling].mean()


# --- the whole --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "channels", "pixels", "number"), [("nano", GREY, 64, 491_523), ("base", RGB, 224, 13_762_563)]
)
def test_sizes_have_the_parameters_that_their_layers_give(size, channels, pixels, number):
    model = net(view(pixels, channels), size=size)
    d = {"nano": 96, "base": 512}[size]
    block = 3 * d * d + 3 * d + d * d + d + 8 * d * d + 5 * d + 4 * d
    encoder = 64 * len(channels) * d + d + d + 4 * block + 2 * d
    attention = 4 * d * d + 3 * d
    assert count(model) == encoder + attention + 2 * d + 3 * d + 3 == number
    assert models.build("micron_bert", {"size": size}).label == "after Micron-BERT" + " (nano)" * (size == "nano")


@pytest.mark.parametrize("channels", [GREY, RGB])
def test_a_gradient_reaches_every_parameter_and_rows_do_not_depend_on_each_other(channels):
    model = net(view(channels=channels), action_units=4)
    x = torch.rand(6, 2, len(channels), 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    output = model(x)
    assert isinstance(output, Output)
    assert output.logits.shape == (6, 3)
    assert output.aux["action_units"].shape == (6, 4)
    (output.logits.square().sum() + output.aux["action_units"].square().sum()).backward()
    assert still(model) == []
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x[:1]).logits, model(x).logits[:1], rtol=1e-3, atol=1e-4)


def test_a_face_that_stands_still_has_finite_gradients():
    model = net()
    model(faces()).logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_frames_are_not_exchangeable():
    x = with_a_changed_patch(faces())
    with torch.no_grad():
        model = net().eval()
        assert (model(x).logits - model(x.flip(1)).logits).abs().max() > 0.01


def test_pictures_need_not_be_square_and_weights_do_not_hold_places():
    x = torch.rand(2, 2, 1, 32, 64) * 255
    model = net(ViewSpec((2, 32, 64, 1), GREY))
    assert model(x).logits.shape == (2, 3)
    net(view(64)).load_state_dict(model.state_dict())


def test_values_are_read_in_the_range_of_the_view():
    x = with_a_changed_patch(faces())
    with torch.no_grad():
        of_bytes = net().eval()(x).logits
        of_depth = net(ViewSpec((2, 64, 64, 1), ("depth",), 0.0, 2550.0)).eval()(x * 10).logits
    torch.testing.assert_close(of_bytes, of_depth, rtol=1e-3, atol=1e-4)


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_it_says_which_views_it_takes():
    assert models.build("micron_bert", {}).check(view()) == {"weights": "random"}
    model = models.build("micron_bert", {})
    for frames in (1, 3):
        with refuses("E408", f"have {frames}.", 'sampling = "onset_apex"', 'representation = "pixels"'):
            model.check(view(frames=frames))
    for size in (60, 24):
        with refuses("E407", "divisible by 8", "at least 32", f"{size}x{size}", "preprocessing.size = 64"):
            model.check(view(size))
    for motion in (ViewSpec((2, 64, 64, 2), ("u", "v")), ViewSpec((2, 64, 64, 1), ("r change",), scaling="centred")):
        with refuses("E410", ", ".join(motion.channels), 'representation = "pixels" and sampling = "onset_apex"'):
            model.check(motion)
