"""The entropy of places, attention through agents, areas and positions, and what the model refuses."""

from __future__ import annotations

import doctest
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from microexpr.components.models import entropy_vit
from microexpr.components.models.entropy_vit import SIZES, AgentAttention, EntropyBody, Level, Sizes, entropies, highest
from microexpr.core.interfaces import Output, ViewSpec, models
from nets import FLOW, built, count, still
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread")


def view(height: int = 64, width: int | None = None, steps: int = 1, channels: tuple[str, ...] = FLOW) -> ViewSpec:
    return ViewSpec((steps, height, width or height, len(channels)), channels, -3.0, 3.0, "centred")


def net(spec: ViewSpec | None = None, **params: Any) -> nn.Module:
    return built("entropy_vit", spec or view(), **params)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_its_documents_are_true():
    assert doctest.testmod(entropy_vit, extraglobs={"torch": torch}).failed == 0


# --- entropy ----------------------------------------------------------------------------------------------------------
def test_entropy_is_that_of_the_histogram_of_each_patch():
    picture = torch.zeros(1, 1, 4, 16)
    picture[..., 4:8] = torch.tensor([0.0, 1.0, 0.0, 1.0])  # two values, half each
    picture[..., 8:12] = torch.arange(16).view(4, 4) / 15  # all sixteen levels
    picture[..., 12:] = 1.0
    picture[0, 0, 0, 12] = 0.0
    rare = 1 / 16
    expected = [0.0, 1.0, 4.0, -rare * math.log2(rare) - (1 - rare) * math.log2(1 - rare)]
    assert entropies(picture, 4, 16)[0, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_a_textured_patch_stands_above_a_flat_one_whatever_the_light():
    x = torch.full((1, 2, 8, 16), 5.0)
    x[:, :, :, 8:] += random(1, 2, 8, 8)
    flat, textured = entropies(x, 8, 32)[0, 0].tolist()
    assert flat == pytest.approx(0, abs=1e-6)
    assert textured > 3
    assert entropies(4 * x - 7, 8, 32)[0, 0].tolist() == pytest.approx([flat, textured], rel=0.1, abs=1e-6)


def test_a_picture_without_contrast_has_no_entropy():
    assert entropies(torch.full((2, 3, 8, 8), 7.0), 4, 32).abs().max() < 1e-6


def test_entropy_is_the_mean_over_channels():
    x = random(1, 2, 8, 8)
    each = [entropies(x[:, [channel]], 4, 8) for channel in (0, 1)]
    torch.testing.assert_close(entropies(x, 4, 8), (each[0] + each[1]) / 2)


# --- agents -----------------------------------------------------------------------------------------------------------
def test_the_places_of_highest_entropy_are_the_agents():
    entropy = torch.tensor([[0.1, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert highest(entropy, 2).argmax(2).tolist() == [[1, 3], [0, 1]]
    assert highest(entropy, 2).sum(2).tolist() == [[1, 1], [1, 1]]


def test_agents_gather_from_all_places_and_all_places_ask_them():
    torch.manual_seed(0)
    attention, tokens = AgentAttention(8, 2), random(3, 6, 8)
    agents = highest(random(3, 6, seed=1), 2)
    with torch.no_grad():
        found = attention(tokens, agents, (2, 3))
        near = attention.near(attention.value(tokens).transpose(1, 2).reshape(3, 8, 2, 3)).flatten(2).transpose(1, 2)
        for row in range(3):
            heads = []
            for own in (slice(0, 4), slice(4, 8)):
                q, k, v = (part(tokens[row])[:, own] for part in (attention.query, attention.key, attention.value))
                a = q[agents[row].argmax(1)]
                held = (a @ k.T / 2).softmax(1) @ v
                heads.append((q @ a.T / 2).softmax(1) @ held)
            expected = attention.join(torch.cat(heads, 1) + near[row])
            torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_other_agents_give_other_features():
    x = random(2, 1, 3, 64, 64)
    model = net().eval()
    seen: list[Tensor] = []
    level = model.body.stages[2]
    level.blocks[0].register_forward_pre_hook(lambda block, given: seen.append(given[1]))
    with torch.no_grad():
        model(x)
        level.blocks[0].attention.join.weight.mul_(20)
        few = model(x).logits
        level.agents = 16
        all_ = model(x).logits
    assert seen[0].shape == (2, 4, 16)
    assert seen[-1].shape == (2, 16, 16)
    assert (few - all_).abs().max() > 1e-3


def test_where_something_moves_becomes_an_agent_and_where_nothing_moves_does_not():
    x = torch.zeros(1, 1, 3, 64, 64)
    x[..., 20:28, 36:44] = random(1, 1, 3, 8, 8)
    model, seen = net().eval(), []
    model.body.stages[2].blocks[0].register_forward_pre_hook(lambda block, given: seen.append(given[1]))
    model.body.stages[0].blocks[0].register_forward_pre_hook(lambda block, given: seen.append(given[1]))
    with torch.no_grad():
        model(x)
    first, last = seen
    # The whole, 4x4 places of 16 pixels: the moving ones are (1, 2) alone.
    assert last[0, 0].argmax() == 1 * 4 + 2
    # 4x4 areas of 4x4 places of 4 pixels: the agents of area (1, 2) are the places at rows 20..27 and columns 36..43.
    assert sorted(first[1 * 4 + 2].argmax(1).tolist()) == [1 * 4 + 1, 1 * 4 + 2, 2 * 4 + 1, 2 * 4 + 2]


# --- areas and positions ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("areas", "side"), [(4, 2), (2, 4), (1, 8)])
def test_places_stay_where_they_are_and_areas_do_not_see_each_other(areas, side):
    torch.manual_seed(0)
    level = Level(8, 2, 1, (8, 8), areas, 0.25)
    grid, entropy = random(2, 8, 8, 8), random(2, 8, 8, seed=1)
    other = grid.clone()
    other[:, :, 5, 2] += 3 * random(8, seed=2)
    with torch.no_grad():
        moved = (level(other, entropy) - level(grid, entropy)).abs().amax((0, 1)) > 1e-6
    top, left = 5 // side * side, 2 // side * side
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[top : top + side, left : left + side] = True
    assert not (moved & ~inside).any()
    assert moved[5, 2]
    assert moved.sum() > 1
    nothing = Level(8, 2, 0, (8, 8), areas, 0.25)
    nn.init.zeros_(nothing.place)
    assert torch.equal(nothing(grid, entropy), grid)


def test_every_place_has_a_position_of_its_own():
    level = Level(8, 2, 0, (8, 8), 4, 0.25)
    shown = level(torch.zeros(1, 8, 8, 8), torch.zeros(1, 8, 8))[0].flatten(1)
    assert len(torch.unique(shown, dim=1).T) == 64


def toy(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Flow that is noise in one of two areas and weaker noise elsewhere: where it moves is the class."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 2
    x = torch.randn(rows, 1, 3, 32, 32, generator=rng) * 0.1
    for row in range(rows):
        top = 4 if y[row] else 20
        x[row, :, :, top : top + 8, 8:16] += torch.randn(1, 3, 8, 8, generator=rng)
    return x, y


def test_it_learns_where_something_moves():
    model, (x, y), (other, truth) = net(view(32)), toy(48, 0), toy(48, 1)
    model.body.seen.fit_statistics([x])
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4)
    for epoch in range(6):
        for rows in torch.randperm(48, generator=torch.Generator().manual_seed(epoch)).split(12):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]).logits, y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        assert (model.eval()(other).logits.argmax(1) == truth).float().mean() > 0.9


# --- the whole --------------------------------------------------------------------------------------------------------
def parameters(sizes: Sizes, maps: int, side: int) -> int:
    def block(d: int) -> int:
        return 3 * d * d + 10 * d + d * d + d + 2 * d + 2 * d + 8 * d * d + 5 * d

    total, grid = sizes.patch**2 * maps * sizes.dims[0] + sizes.dims[0], side // sizes.patch
    for n, (d, depth) in enumerate(zip(sizes.dims, sizes.depths, strict=True)):
        total += d * (grid >> n) ** 2 + depth * block(d)
    for before, after in ((0, 1), (1, 2)):
        total += 9 * sizes.dims[before] * sizes.dims[after] + 3 * sizes.dims[after]
    return total + 2 * sizes.dims[2] + 3 * sizes.dims[2] + 3


@pytest.mark.parametrize(("size", "side", "number"), [("nano", 64, 570_979), ("base", 224, 140_333_571)])
def test_sizes_have_the_parameters_that_their_layers_give(size, side, number):
    with torch.device("meta"):
        model = net(view(side), size=size)
    assert count(model) == parameters(SIZES[size], 3, side) == number


@pytest.mark.parametrize(
    "spec",
    [view(), view(32, 48), view(steps=3), ViewSpec((1, 64, 64, 1), ("grey",)), ViewSpec((1, 64, 64, 3), tuple("rgb"))],
)
def test_a_gradient_reaches_every_parameter_and_rows_do_not_depend_on_each_other(spec):
    t, h, w, c = spec.shape
    model, x = net(spec, action_units=4), random(6, t, c, h, w)
    output = model(x)
    assert isinstance(output, Output)
    assert output.aux["action_units"].shape == (6, 4)
    (output.logits.square().sum() + output.aux["action_units"].square().sum()).backward()
    assert still(model) == []
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x[:1]).logits, model(x).logits[:1], rtol=1e-3, atol=1e-4)


def test_fewer_agents_may_be_kept_but_one_remains():
    assert [level.agents for level in EntropyBody(view(), SIZES["nano"], 0.01, 8).stages] == [1, 1, 1]
    assert [level.agents for level in EntropyBody(view(), SIZES["nano"], 1.0, 8).stages] == [16, 16, 16]
    with refuses("E112", "kept"):
        models.build("entropy_vit", {"kept": 0.0})


@pytest.mark.parametrize(
    ("size", "side", "named"),
    [
        ("nano", 28, ("divisible by 16", "at least 32", "28x28", "representation.size = 32")),
        ("nano", 16, ("divisible by 16", "at least 32", "16x16", "representation.size = 32")),
        ("nano", 70, ("representation.size = 64", "preprocessing.size = 64")),
        ("base", 28, ("divisible by 28", "at least 56", "28x28", "representation.size = 56")),
        ("base", 230, ("representation.size = 224",)),
    ],
)
def test_it_says_which_sizes_it_takes(size, side, named):
    with refuses("E407", *named):
        models.build("entropy_vit", {"size": size}).check(view(side))
    assert models.build("entropy_vit", {"size": size}).check(view(224)) == {"weights": "random"}
