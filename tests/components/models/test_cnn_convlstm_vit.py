"""CNN, ConvLSTM and ViT: the cell against torch's LSTM, what is fused, each member's gradient, and order in time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from microexpr.components.models._layers import ConvLstm
from microexpr.components.models.cnn_convlstm_vit import fused, most_changed
from microexpr.core import pretrained
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec, models, representations, samplers
from moving import accuracy, films, shuffled, train
from nets import GREY, RGB, built, count, pixels, still
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread", "no_weights")
NAME = "cnn_convlstm_vit"
MEMBERS = ("cnn", "convlstm", "vit")

net = partial(built, NAME)


def view(frames: int = 4, size: tuple[int, int] = (32, 32), channels: tuple[str, ...] = GREY) -> ViewSpec:
    return ViewSpec((frames, *size, len(channels)), channels)


# --- the cell ---------------------------------------------------------------------------------------------------------
def test_on_maps_of_one_place_a_convlstm_is_an_lstm():
    torch.manual_seed(0)
    cell, reference = ConvLstm(5, 7, kernel=1), nn.LSTM(5, 7, batch_first=True)
    with torch.no_grad():  # both keep their gates in the order enter, forget, change, leave
        reference.weight_ih_l0.copy_(cell.from_input.weight[:, :, 0, 0])
        reference.weight_hh_l0.copy_(cell.from_state.weight[:, :, 0, 0])
        reference.bias_ih_l0.copy_(cell.from_input.bias)
        reference.bias_hh_l0.zero_()
        x = torch.randn(3, 6, 5)
        torch.testing.assert_close(cell(x[..., None, None])[..., 0, 0], reference(x)[0][:, -1])


def test_a_convlstm_starts_by_remembering():
    bias = ConvLstm(2, 3).from_input.bias
    assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6


def test_a_convlstm_moves_with_its_input():
    """Convolutions treat all places alike: maps shifted by a pixel give hidden maps shifted by a pixel."""
    torch.manual_seed(0)
    cell = ConvLstm(2, 4)
    x = torch.zeros(1, 3, 2, 16, 16)
    x[:, :, :, 6:9, 6:9] = torch.randn(1, 3, 2, 3, 3)
    with torch.no_grad():
        here, there = cell(x), cell(x.roll(1, 4))
    torch.testing.assert_close(here.roll(1, 3)[..., 4:12, 4:12], there[..., 4:12, 4:12])


# --- members and their fusion -----------------------------------------------------------------------------------------
def test_the_nano_has_half_a_million_parameters():
    model = net(view(8, (64, 64)))
    assert count(model.cnn) == 9 * (1 * 16 + 16 * 32 + 32 * 32) + 2 * (16 + 32 + 32)
    assert count(model.convlstm) == 9 * (32 + 32) * 128 + 128
    assert {name: part[1].in_features for name, part in model.scorers.items()} == {
        "cnn": 32 * 16,
        "convlstm": 32 * 16,
        "vit": 96,
    }
    assert 0.5e6 < count(model) < 0.6e6


def test_the_base_has_the_sizes_of_the_literature():
    spec = view(8, (224, 224), RGB)
    with torch.device("meta"):
        model = net(spec, size="base")
    # ResNet-18 has 11,689,512 parameters: 8,393,728 in its last stage and 513,000 in its classifier.
    assert count(model.cnn) == 11_689_512 - 8_393_728 - 513_000
    assert round(count(model.vit) / 1e6, 1) == 87.5
    assert count(model.convlstm) == 9 * 512 * 1024 + 1024
    assert model.cells.down.shape == (4, 14)


@pytest.mark.slow
def test_the_base_trains_at_its_own_size():
    spec = view(3, (224, 224), RGB)
    model, y = net(spec, size="base"), torch.tensor([0, 2])
    x = pixels(spec, 2)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    lost = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x).logits, y)
        loss.backward()
        optimizer.step()
        lost.append(loss.item())
    assert lost[-1] < lost[0] / 2


@pytest.mark.parametrize(
    "spec",
    [view(2), view(8, (64, 64), RGB), view(5, (40, 56), ("u", "v")), view(3, (96, 32), (*RGB, "depth"))],
)
def test_lengths_sizes_and_channels_are_free(spec: ViewSpec):
    output = net(spec, action_units=5)(pixels(spec, 4))
    assert output.logits.shape == (4, 3)
    assert output.aux["action_units"].shape == (4, 5)
    torch.testing.assert_close(output.logits.exp().sum(1), torch.ones(4))


def test_logits_are_the_logarithm_of_the_mean_probability():
    spec = view()
    model = net(spec).eval()
    x = pixels(spec, 4)
    each = [model.scorers[name](features).softmax(1) for name, features in model.features(x).items()]
    torch.testing.assert_close(model(x).logits.exp(), torch.stack(each).mean(0))


def test_the_fused_logits_are_finite_however_sure_a_member_is():
    sure = torch.tensor([[1e4, -1e4, 0.0]])
    assert fused([sure, sure, sure]).isfinite().all()
    assert fused([sure, -sure, sure]).exp()[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert fused([sure.bfloat16()] * 3).dtype == torch.float32


def test_each_member_gets_its_own_gradient_by_its_share_of_the_true_class():
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(5, 4, generator=generator, requires_grad=True) for _ in MEMBERS]
    y = torch.tensor([0, 3, 1, 2, 2])
    nn.functional.cross_entropy(fused(scores), y, reduction="sum").backward()
    proba = [each.detach().softmax(1) for each in scores]
    true = torch.stack([each[torch.arange(5), y] for each in proba])
    truth = nn.functional.one_hot(y, 4)
    for each, p, share in zip(scores, proba, true / true.sum(0), strict=True):
        torch.testing.assert_close(each.grad, share[:, None] * (p - truth))


@pytest.mark.parametrize("size", ["nano", "base"])
def test_a_gradient_reaches_every_layer_of_every_member(size: str):
    spec = view(3, (64, 64)) if size == "base" else view()
    model = net(spec, action_units=2, size=size)
    output = model(pixels(spec, 4))
    loss = nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 2, 0]))
    (loss + output.aux["action_units"].square().mean()).backward()
    assert still(model) == []
    shares = [max(part.grad.abs().max().item() for part in model.scorers[name].parameters()) for name in MEMBERS]
    assert min(shares) > 0.01 * max(shares), "no member starves at the start"


def test_action_units_hang_on_all_members():
    model = net(view(), action_units=7)
    assert model.heads["action_units"].weight.shape == (7, 512 + 512 + 96)


def test_single_frames_are_those_that_differ_most_from_the_first():
    x = torch.zeros(3, 5, 1, 4, 4)
    x[0, 3], x[0, 4] = 9, 5
    x[1, 1], x[1, 4] = -7, 7
    assert most_changed(x).tolist() == [3, 1, 0]
    spec = view(5)
    model = net(spec).eval()
    x = pixels(spec, 4)
    x[:, 2] = 255 - x[:, 0]
    shown, other = model.features(x), x.clone()
    other[:, [1, 3, 4]] = x[:, [0, 0, 0]]
    again = model.features(other)
    for name, same in (("cnn", True), ("vit", True), ("convlstm", False)):
        assert torch.allclose(again[name], shown[name], rtol=1e-4, atol=1e-5) == same


# --- order ------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_which_way_something_moves_is_learnt_and_lost_without_the_order_of_frames():
    spec = view(8)
    (x, y), (new, truth) = films(512), films(64, seed=1)
    model = train(net(spec, 2), x, y, 120)
    assert accuracy(model, new, truth) > 0.85
    assert accuracy(model, new.flip(1), truth) < 0.2, "a film played backwards moves the other way"
    assert accuracy(model, shuffled(new), truth) < 0.7
    with torch.inference_mode():
        scores = {name: model.scorers[name](each) for name, each in model.features(new).items()}
    right = {name: (each.argmax(1) == truth).float().mean().item() for name, each in scores.items()}
    assert right["convlstm"] > 0.9
    assert max(right["cnn"], right["vit"]) < 0.75, "a single frame does not tell"
    blind = train(net(spec, 2), shuffled(x), y, 40)
    assert accuracy(blind, shuffled(new, 1), truth) < 0.7


# --- weights ----------------------------------------------------------------------------------------------------------
def test_a_vit_that_was_saved_here_starts_the_branch(tmp_path: Path):
    spec = view(4, (64, 64))
    torch.manual_seed(5)
    saved = models.build("vit_nano", {})(view(1, (64, 64)), 7, {})
    file = tmp_path / "vit.safetensors"
    save_file(saved.state_dict(), file)
    assert models.build(NAME, {"weights": str(file)}).check(spec) == {
        "weights": "vit",
        "sha256": pretrained.sha256(file),
    }
    model = net(spec, weights=str(file))
    for key, value in saved.body.net.state_dict().items():
        assert torch.equal(model.vit.net.state_dict()[key], value)


def test_without_weights_a_check_says_so_before_anything_is_built():
    base = {"size": "base", "weights": "imagenet"}
    with refuses("E501", "microexpr weights fetch vit_base_patch32_224"):
        models.build(NAME, base).check(view(4, (224, 224), RGB))
    with refuses("E506", "vit_base_patch32_224"):
        models.build(NAME, {**base, "weights": "hub"}).check(view(4, (224, 224), RGB))
    with refuses("E503", "vit.pt", "safetensors"):
        models.build(NAME, {"weights": "vit.pt"}).check(view())
    assert models.build(NAME, {}).tags[0].startswith("vit_base_patch32_224")


# --- what is refused --------------------------------------------------------------------------------------------------
def test_a_single_frame_is_refused_with_ways_out_that_work():
    with refuses("E408", NAME, "at least 2 frames", "have 1.", "uniform", "count = 2", "frames = 2"):
        models.build(NAME, {}).check(view(1))
    samplers.build("uniform", {"count": 2})
    representations.build("tim", {"frames": 2})
    assert models.build(NAME, {}).check(view(2)) == {"weights": "random"}


@pytest.mark.parametrize(
    ("params", "spec", "code", "named"),
    [
        ({}, view(4, (24, 32)), "E406", (NAME, 32, "24x32", "preprocessing.size")),
        ({}, view(4, (36, 40)), "E407", ("vit_nano", "divisible by 8", "36x40", "64 or 96 or 224")),
        ({"size": "base"}, view(4, (48, 64)), "E407", ("vit_b32", "divisible by 32", "48x64", "224 or 384")),
        ({"weights": "imagenet"}, view(4), "E512", ("vit_nano",)),
        (
            {"size": "base", "weights": "imagenet"},
            view(4, (224, 224), ("u", "v")),
            "E514",
            ("vit_b32", "one or three channels", "have 2"),
        ),
    ],
)
def test_views_that_it_cannot_take_are_refused(
    params: dict[str, object], spec: ViewSpec, code: str, named: tuple[object, ...]
):
    with refuses(code, *named):
        models.build(NAME, params).check(spec)


def test_sizes_have_names():
    with pytest.raises(ConfigError):
        models.build(NAME, {"size": "huge"})
    assert models.build(NAME, {}).label == "CNN + ConvLSTM + ViT, after Faciaformer (nano)"
    assert models.build(NAME, {"size": "base"}).label == "CNN + ConvLSTM + ViT, after Faciaformer"
