"""The light CNN for composite databases: where EfficientNet-B0 is cut, its weights, and what it takes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from microexpr.core import pretrained
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import FitsStatistics, ViewSpec, models
from moving import accuracy, train
from nets import GREY, RGB, built, pixels, still
from refusal import refuses
from small_training import learner_of

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "composite_cnn"

net = partial(built, NAME)


def view(size: tuple[int, int] = (48, 48), channels: tuple[str, ...] = RGB, steps: int = 1) -> ViewSpec:
    return ViewSpec((steps, *size, len(channels)), channels)


# --- layers -----------------------------------------------------------------------------------------------------------
def test_it_has_the_papers_867_thousand_parameters_counted_with_running_statistics():
    body = net(view()).body
    parameters = sum(each.numel() for each in body.parameters())
    running = sum(each.numel() for name, each in body.named_buffers() if "running" in name)
    assert (parameters, parameters + running) == (851_808, 867_968)


def test_it_has_the_papers_15_layers():
    model = net(view())
    _, _, _, *stages, average, flat = model.body
    assert sum(len(stage) for stage in stages) == 11
    assert isinstance(average, nn.AdaptiveAvgPool2d)
    assert isinstance(flat, nn.Flatten)
    stem, blocks, ends = 1, 11, 3  # average, dropout, linear
    assert stem + blocks + ends == 15
    assert [type(part) for part in model.head] == [nn.Dropout, nn.Linear]
    assert model.head[1].weight.shape == (3, 112)


def test_it_computes_what_efficientnet_b0_computes_up_to_its_fifth_stage():
    spec = view((64, 64))
    model = net(spec).eval()
    whole = timm.create_model("efficientnet_b0", features_only=True, out_indices=(3,)).eval()
    mine = nn.ModuleDict({"conv_stem": model.body[1], "bn1": model.body[2], "blocks": nn.Sequential(*model.body[3:8])})
    missing, unexpected = whole.load_state_dict(mine.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith(("blocks.5", "blocks.6")) for name in missing)
    x = pixels(spec, 4)
    stacked = model.body[0](x)
    torch.testing.assert_close(model.body(x), whole(stacked)[0].mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "spec",
    [
        view((32, 32), GREY),
        view((48, 57), ("u", "v", "strain")),
        view((40, 40), ("u", "v"), steps=3),
        view((64, 64), (*RGB, "depth")),
        view((32, 33), ("u", "v"))._replace(low=-3.0, high=3.0),
    ],
)
def test_any_channels_steps_and_sizes_are_taken(spec: ViewSpec):
    model = net(spec, action_units=6)
    output = model(pixels(spec, 4))
    assert output.logits.shape == (4, 3)
    assert output.aux["action_units"].shape == (4, 6)
    assert model.body[1].in_channels == spec.shape[0] * spec.shape[3]
    assert model.eval()(pixels(spec, 1)).logits.isfinite().all()


def test_a_gradient_reaches_every_layer():
    spec = view()
    model = net(spec, action_units=2, drop_path=0.0)
    output = model(pixels(spec, 4))
    loss = nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 2, 0]))
    (loss + output.aux["action_units"].square().mean()).backward()
    assert still(model) == []


def test_the_last_block_is_dropped_most_often():
    rates = [part.drop_prob for part in net(view(), drop_path=0.4).body.modules() if hasattr(part, "drop_prob")]
    assert rates == sorted(rates)
    assert max(rates) < 0.4
    assert all(not hasattr(part, "drop_prob") for part in net(view(), drop_path=0.0).body.modules())


# --- learning ---------------------------------------------------------------------------------------------------------
def stripes(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Stripes across (0) or down (1) at any phase, weak in noise: only neighbouring places tell."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 2
    phase = torch.rand(rows, 1, 1, generator=generator) * 6.28
    wave = 128 + 30 * torch.sin(torch.arange(32)[None, None] * 0.8 + phase).expand(rows, 32, 32)
    picture = torch.where(y[:, None, None] == 1, wave, wave.transpose(1, 2))
    return (picture + 10 * torch.randn(rows, 32, 32, generator=generator))[:, None, None], y


@pytest.mark.slow
def test_it_learns_what_only_neighbouring_places_tell():
    (x, y), (new, truth) = stripes(64, 0), stripes(64, 1)
    model = net(view((32, 32), GREY), 2)
    model.body[0].fit_statistics([x])
    assert accuracy(model.eval(), new, truth) < 0.8
    assert accuracy(train(model, x, y, 60, rows=8), new, truth) > 0.95


def test_its_input_is_standardised_by_the_training_views():
    spec = view((32, 32), ("u", "v", "strain"))
    (seeing,) = [part for part in net(spec).modules() if isinstance(part, FitsStatistics)]
    x = pixels(spec, 4) / 10
    seeing.fit_statistics([x])
    shown = seeing(x)
    torch.testing.assert_close(shown.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(shown.square().mean((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


# --- weights ----------------------------------------------------------------------------------------------------------
def test_a_model_that_was_fitted_to_other_classes_starts_it(tmp_path: Path):
    spec = view((32, 32), GREY)
    x, y = stripes(16, 0)
    source = train(net(spec, 7, seed=3), x, y, 2)
    file = tmp_path / "fer.safetensors"
    learner_of(source).save(file, {})
    params = {"weights": str(file)}
    assert models.build(NAME, params).check(spec) == {"weights": "fer", "sha256": pretrained.sha256(file)}
    model = net(spec, 3, **params).eval()
    torch.testing.assert_close(model.body(x), source.body(x))
    assert model(x).logits.shape == (16, 3)


def test_a_file_of_another_model_or_of_other_views_is_refused(tmp_path: Path):
    file = tmp_path / "colour.safetensors"
    learner_of(net(view((32, 32)))).save(file, {})
    with refuses("E505", "colour.safetensors", NAME, "same channels and steps"):
        net(view((32, 32), GREY), weights=str(file))
    other = tmp_path / "small.safetensors"
    learner_of(models.build("small_cnn", {})(view((32, 32)), 3, {})).save(other, {})
    with refuses("E505", "small.safetensors", NAME):
        net(view((32, 32)), weights=str(other))
    for wrong, code in ((tmp_path / "none.safetensors", "E504"), (tmp_path / "x.pt", "E503")):
        with refuses(code, wrong):
            models.build(NAME, {"weights": str(wrong)}).check(view())


# --- what is refused --------------------------------------------------------------------------------------------------
def test_pictures_that_are_too_small_are_refused():
    with refuses("E406", NAME, 32, "28x28", "representation.size = 32"):
        models.build(NAME, {}).check(view((28, 28)))
    assert models.build(NAME, {}).check(view((32, 32))) == {"weights": "random"}


@pytest.mark.parametrize("params", [{"dropout": 1.0}, {"drop_path": -0.1}, {"weights": 3}])
def test_parameters_have_limits(params: dict[str, object]):
    with pytest.raises(ConfigError):
        models.build(NAME, params)
