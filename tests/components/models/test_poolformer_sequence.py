"""PoolFormer with an LSTM or a GRU over the frames: what is built, what it learns, and what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from microexpr import api
from microexpr.components.models._backbone import each_frame
from microexpr.core import pretrained
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import ViewSpec, models
from moving import learn
from nets import GREY, RGB, built, count, pixels, saved, still
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread", "no_weights")
BOTH = ("poolformer_lstm", "poolformer_gru")
GATES = {"poolformer_lstm": 4, "poolformer_gru": 3}


def view(frames: int = 3, size: int = 32, channels: tuple[str, ...] = RGB, high: float = 255.0) -> ViewSpec:
    return ViewSpec((frames, size, size, len(channels)), channels, 0.0, high)


net = partial(built, size="nano")


# --- what is built ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    "spec", [view(2, 64), view(5, 64, GREY), view(3, 65, (*RGB, "depth")), view(4, 64, ("u", "v"))]
)
def test_scores_and_auxiliary_outputs_of_any_view_reach_all_parameters(name: str, spec: ViewSpec) -> None:
    model = net(name, spec, action_units=6, layers=2, drop_path=0.0)
    output = model(pixels(spec))
    assert (output.logits.shape, output.aux["action_units"].shape) == ((2, 3), (2, 6))
    (output.logits.square().sum() + output.aux["action_units"].sum()).backward()
    assert still(model) == []  # at 32 pixels PoolFormer's last map would be one cell, with nothing to pool


@pytest.mark.parametrize("name", BOTH)
def test_the_recurrent_part_has_the_parameters_of_its_equations(name: str) -> None:
    model, gates, units = net(name, view(), units=16, layers=2), GATES[name], 16
    over_time = count(model.body.over_time)
    assert over_time == gates * (units * (128 + units + 2) + units * (units + units + 2))
    assert [type(layer).__name__ for layer in model.head] == ["Dropout", "Linear"]
    assert model.head[1].weight.shape == (3, 16)


@pytest.mark.parametrize(("size", "millions"), [("s12", 11.4 + 0.46), ("m36", 55.4 + 0.46), ("m48", 72.7 + 0.46)])
def test_parameter_counts(size: str, millions: float) -> None:
    """A PoolFormer (768 features in m36 and m48, 512 in s12) and an LSTM of 128 units: 4 (128 (768 + 128) + 256)."""
    with torch.device("meta"):
        model = models.build("poolformer_lstm", {"size": size, "weights": "random"})(view(3, 224), 3, {})
    assert count(model) / 1e6 == pytest.approx(millions, abs=0.15)


@pytest.mark.parametrize("name", BOTH)
def test_frames_share_one_body_and_are_seen_as_by_the_model_of_single_frames(name: str) -> None:
    spec = view(3, 64)
    model, x = net(name, spec).eval(), pixels(spec)
    single = models.build("poolformer_nano", {})(view(1, 64), 3, {}).eval()
    single.body.net.load_state_dict(model.body.frames.net.state_dict())
    with torch.no_grad():
        features = each_frame(model.body.frames, x)
        torch.testing.assert_close(features, torch.stack([single.body(x[:, [t]]) for t in range(3)], 1))
        states = model.body.over_time(features)[0]
        torch.testing.assert_close(model(x).logits, model.head(states[:, -1]))


@pytest.mark.parametrize("name", BOTH)
def test_the_range_of_the_view_is_normalised_inside(name: str) -> None:
    x, wide = pixels(view()), view(high=65535.0)
    with torch.no_grad():
        torch.testing.assert_close(net(name, view()).eval()(x).logits, net(name, wide).eval()(x * 257).logits)


def test_labels_and_tags() -> None:
    lstm, gru = models.build("poolformer_lstm", {}), models.build("poolformer_gru", {"size": "s12"})
    assert (lstm.label, gru.label) == ("PoolFormer-m36 + LSTM", "PoolFormer-s12 + GRU")
    assert lstm.trains_in_epochs
    assert api.weights_tags(["poolformer_lstm"]) == ["poolformer_m36.sail_in1k"]
    assert (gru.tags, models.build("poolformer_gru", {"size": "nano"}).tags) == (("poolformer_s12.sail_in1k",), ())


# --- what it learns ---------------------------------------------------------------------------------------------------
def ordered(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Views of a bright, a middling and a dark frame: it grows darker or brighter, and no average can tell which."""
    y = torch.arange(rows) % 2
    levels = torch.tensor([200.0, 130.0, 60.0])
    x = torch.stack([levels if label else levels.flip(0) for label in y]).view(rows, 3, 1, 1, 1).repeat(1, 1, 3, 32, 32)
    return x + 20 * torch.randn(x.shape, generator=generator), y


@pytest.mark.parametrize("name", BOTH)
def test_it_learns_the_order_of_frames_which_their_average_does_not_hold(name: str) -> None:
    model = learn(net(name, view(), dropout=0.0, drop_path=0.0, units=16), ordered, steps=40, rate=3e-3)
    x, y = ordered(40, torch.Generator().manual_seed(9))
    with torch.no_grad():
        assert (model(x).logits.argmax(1) == y).float().mean() > 0.95
        # The same frames the other way round are the other class, and have the same average.
        assert (model(x.flip(1)).logits.argmax(1) == 1 - y).float().mean() > 0.95
        means = [each_frame(model.body.frames, frames).mean(1) for frames in (x, x.flip(1))]
        torch.testing.assert_close(*means)


# --- weights and freezing ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("channels", [RGB, GREY, (*RGB, "depth")])
def test_the_poolformer_starts_from_a_file_of_its_own_or_of_a_single_frame_model(
    name: str, channels: tuple[str, ...], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    single = models.build("poolformer_nano", {})(view(1), 3, {})
    whole = net(name, view())
    whole.body.frames.net.load_state_dict(single.body.net.state_dict())
    spec = view(3, 32, channels)
    for stem, source in (("single", single), ("timms", single.body.net), ("own", whole)):
        file = saved(source, tmp_path / f"{stem}.safetensors")
        model = net(name, spec, weights=file)
        torch.testing.assert_close(
            model.body.frames.net.stages[0].blocks[0].mlp.fc1.weight, single.body.net.stages[0].blocks[0].mlp.fc1.weight
        )
        metadata = models.build(name, {"size": "nano", "weights": file}).check(spec)
        assert metadata == {"weights": stem, "sha256": pretrained.sha256(Path(file))}


@pytest.mark.parametrize("name", BOTH)
def test_without_weights_a_check_says_so_before_anything_is_built(name: str) -> None:
    with refuses("E501", "microexpr weights fetch poolformer_m36"):
        models.build(name, {}).check(view(3, 224))
    with refuses("E506", "poolformer_m36"):
        models.build(name, {"weights": "hub"}).check(view(3, 224))
    assert models.build(name, {"weights": "random"}).check(view(3, 224)) == {"weights": "random"}
    assert models.build(name, {"size": "nano"}).check(view()) == {"weights": "random"}


def test_a_frozen_body_gives_the_same_features_in_training_and_the_rest_learns() -> None:
    model, x = net("poolformer_gru", view(), frozen_stages=-1, drop_path=0.5).train(), pixels(view(), 6)
    assert torch.equal(each_frame(model.body.frames, x), each_frame(model.body.frames, x))
    model(x).logits.sum().backward()
    free = {
        key.split(".")[0] + "." + key.split(".")[1] for key, value in model.named_parameters() if value.requires_grad
    }
    assert free == {"body.over_time", "head.1"}
    assert all(value.grad is not None for value in model.parameters() if value.requires_grad)


# --- what is refused --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "spec", "code", "named"),
    [
        ({"size": "nano"}, view(1), "E408", ("uniform", "onset_apex_offset")),
        ({"size": "nano"}, view(3, 24), "E407", ("at least 32 pixels", "24x24")),
        ({"size": "nano", "weights": "imagenet"}, view(), "E512", ("poolformer_nano",)),
        ({"size": "nano", "frozen_stages": 5}, view(), "E113", ("frozen_stages = 5", "4 stages")),
        ({"weights": "imagenet"}, view(3, 224, ("u", "v")), "E514", ("one or three channels", "have 2")),
    ],
)
def test_what_does_not_fit_is_refused_before_training(params: dict, spec: ViewSpec, code: str, named: tuple) -> None:
    for name in BOTH:
        with refuses(code, *named):
            models.build(name, params).check(spec)


@pytest.mark.parametrize(
    "params", [{"size": "m12"}, {"units": 0}, {"layers": 9}, {"dropout": 1.0}, {"frozen_stages": -2}]
)
def test_parameters_have_limits(params: dict) -> None:
    with pytest.raises(ConfigError):
        models.build("poolformer_lstm", params)
