"""The dual-stream 3-D network: its layers, both streams, both tasks, and that it sees in which order frames come."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from microexpr.components.models._layers import Grid
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec, models, representations, samplers
from moving import accuracy, films, shuffled, train
from nets import GREY, RGB, built, count, pixels
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "dual_stream_3dcnn"

net = partial(built, NAME)


def view(frames: int = 8, size: tuple[int, int] = (32, 32), channels: tuple[str, ...] = GREY) -> ViewSpec:
    return ViewSpec((frames, *size, len(channels)), channels)


# --- layers -----------------------------------------------------------------------------------------------------------
def test_each_stream_has_three_convolutions_and_both_share_a_dense_layer():
    model = net(view(), action_units=12)
    shapes = [tuple(part.weight.shape) for part in model.modules() if isinstance(part, nn.Conv3d | nn.Linear)]
    stream = [(16, 1, 3, 3, 3), (32, 16, 3, 3, 3), (64, 32, 3, 3, 3)]
    assert shapes == [*stream, *stream, (128, 2 * 64 * 16), (3, 128), (12, 128)]


def test_the_number_of_parameters_is_that_of_its_layers():
    stream = 27 * (3 * 16 + 16 * 32 + 32 * 64) + 2 * (16 + 32 + 64)
    assert count(net(view(channels=RGB))) == 2 * stream + (2048 * 128 + 128) + (128 * 3 + 3)
    half = 27 * (3 * 8 + 8 * 16 + 16 * 32) + 2 * (8 + 16 + 32)
    small = net(view(channels=RGB), width=8, action_units=2)
    assert count(small) == 2 * half + (1024 * 128 + 128) + (128 * 3 + 3) + (128 * 2 + 2)


@pytest.mark.parametrize(
    "spec",
    [
        view(8),
        view(9, (32, 47)),
        view(16, (64, 64), RGB),
        view(8, (33, 40))._replace(low=-4.0, high=4.0, channels=("u",)),
        view(12, (112, 80), (*RGB, "depth")),
    ],
)
def test_any_length_from_eight_and_any_size_from_32_is_taken(spec: ViewSpec):
    output = net(spec, action_units=5, width=4)(pixels(spec, 4))
    assert output.logits.shape == (4, 3)
    assert output.aux["action_units"].shape == (4, 5)
    assert output.logits.isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 8), (5, 7), (14, 10), (28, 9)])
def test_the_cells_are_those_of_an_adaptive_average(height: int, width: int):
    maps = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        Grid(height, width, 4)(maps), nn.functional.adaptive_avg_pool2d(maps, 4).flatten(1), rtol=1e-5, atol=1e-6
    )


# --- two streams and two tasks ----------------------------------------------------------------------------------------
def test_a_gradient_of_either_task_reaches_every_layer_of_both_streams():
    spec = view()
    for task in ("class", "action units"):
        model = net(spec, action_units=4)
        output = model(pixels(spec, 4))
        wanted = torch.tensor([0, 1, 2, 0])
        if task == "class":
            nn.functional.cross_entropy(output.logits, wanted).backward()
        else:
            units = torch.tensor([[0.0, 1, 0, 1]]).repeat(4, 1)
            nn.functional.binary_cross_entropy_with_logits(output.aux["action_units"], units).backward()
        other = "heads." if task == "class" else "head."
        reached = {name for name, each in model.named_parameters() if each.grad is not None and each.grad.abs().sum()}
        assert reached == {name for name, _ in model.named_parameters() if not name.startswith(other)}


def test_the_stream_of_motion_sees_the_change_since_the_first_frame_and_no_face():
    spec = view()
    body = net(spec).eval().body[0]
    half = 64 * 16
    x = pixels(spec, 4)
    shown = body(x)
    # Another face under the same change: the motion stream cannot tell them apart, appearance can.
    other = body(x + 20.0 * torch.rand(4, 1, 1, 32, 32, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(other[:, half:], shown[:, half:], rtol=1e-3, atol=1e-5)
    assert (other[:, :half] - shown[:, :half]).abs().max() > 1e-3
    still = body(x[:, :1].expand(-1, 8, -1, -1, -1))
    torch.testing.assert_close(still[:, half:], still[:1, half:].expand(4, -1))
    assert (still[0, :half] - still[1, :half]).abs().max() > 1e-3


def test_the_range_of_values_makes_no_difference():
    spec = view()
    shifted = spec._replace(low=-1.0, high=1.0)
    x = pixels(spec, 4)
    one, other = net(spec).eval()(x).logits, net(shifted).eval()(x / 127.5 - 1).logits
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_action_units_are_learnt_beside_the_class():
    """A unit that is a bright spot above or below, which the class does not tell."""
    x, y = films(64)
    above = torch.arange(64) // 2 % 2
    for row, where in enumerate(above.tolist()):
        x[row, :, :, 24 * (1 - where) : 24 * (1 - where) + 8, 8:24] = 255
    units = torch.stack([above, 1 - above], 1).float()
    model = net(view(), 2, action_units=2, width=8).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(40):
        rows = torch.arange(16) + 16 * (step % 4)
        output = model(x[rows])
        loss = nn.functional.cross_entropy(output.logits, y[rows])
        loss = loss + nn.functional.binary_cross_entropy_with_logits(output.aux["action_units"], units[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        output = model.eval()(x)
    assert ((output.aux["action_units"] > 0) == units.bool()).float().mean() > 0.95
    assert (output.logits.argmax(1) == y).float().mean() > 0.9


# --- order ------------------------------------------------------------------------------------------------------------
def test_which_way_something_moves_is_learnt_and_lost_without_the_order_of_frames():
    (x, y), (new, truth) = films(96), films(64, seed=1)
    model = train(net(view(), 2, width=8), x, y, 60)
    assert accuracy(model, new, truth) > 0.9
    assert accuracy(model, new.flip(1), truth) < 0.1, "a film played backwards moves the other way"
    assert accuracy(model, shuffled(new), truth) < 0.7
    blind = train(net(view(), 2, width=8), shuffled(x), y, 60)
    assert accuracy(blind, shuffled(new, 1), truth) < 0.7


# --- what is refused --------------------------------------------------------------------------------------------------
def test_too_few_frames_are_refused_with_ways_out_that_work():
    named = (NAME, "at least 8 frames", "have 7.", '{name = "uniform", count = 8}', '{name = "tim", frames = 8}')
    model = models.build(NAME, {})
    with refuses("E408", *named):
        model.check(view(7))
    with refuses("E408", *named):
        model(view(7), 3, {})
    samplers.build("uniform", {"count": 8})
    representations.build("tim", {"frames": 8})
    assert model.check(view(8)) == {"weights": "random"}


def test_pictures_that_are_too_small_are_refused():
    with refuses("E406", NAME, 32, "31x40", "preprocessing.size"):
        models.build(NAME, {}).check(view(8, (31, 40)))


@pytest.mark.parametrize("params", [{"width": 0}, {"dropout": 1.0}, {"units": 0}])
def test_parameters_have_limits(params: dict[str, object]):
    with pytest.raises(ConfigError):
        models.build(NAME, params)
