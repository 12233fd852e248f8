"""The field's shallow networks and linear machines: the layers of their papers, and what they must not depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microexpr.components.models._layers import Dropout, MotionInput
from microexpr.config.settings import Training
from microexpr.core.interfaces import Scaling, ViewSpec, losses, models
from microexpr.learning import learners
from nets import FLOW, built, count, pixels, still
from refusal import refuses
from small_training import Trained, learner_of, train

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.numeric]
NETWORKS = ("ststnet", "off_apexnet", "sssnet", "rcn")
IMAGES = ("strain", "v", "u")
"""The order of blue, green and red in ready flow images."""


def view(size: int = 28, channels: tuple[str, ...] = FLOW, steps: int = 1, scaling: Scaling = "minmax") -> ViewSpec:
    return ViewSpec((steps, size, size, len(channels)), channels, scaling=scaling)


def net(name: str, spec: ViewSpec | None = None, *args: Any, **params: Any) -> nn.Module:
    return built(name, spec or view(), *args, **params)


def shapes(module: nn.Module) -> list[tuple[int, ...]]:
    """Weights of convolutions and dense layers, in the order in which they are applied."""
    return [tuple(part.weight.shape) for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


# --- the papers' layers -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "params", "number"),
    [
        ("ststnet", {}, 1_683),
        ("off_apexnet", {}, 2_664_475),
        ("sssnet", {}, 169_603),
        ("rcn", {}, 15_235),
        ("rcn", {"variant": "attention"}, 15_235),
        # The authors' convolutions have biases, which batch normalisation takes away: three times the width less here.
        ("rcn", {"width": 64}, 51_139 - 3 * 64),
    ],
)
def test_the_papers_sizes(name, params, number):
    assert count(net(name, **params)) == number


def test_the_papers_layers():
    assert shapes(net("ststnet")) == [(3 + 5 + 8, 3, 3, 3), (3, 400)]
    # Two groups: a kernel sees one map of its own stream, then the six of its own stream.
    assert shapes(net("off_apexnet")) == [(12, 1, 5, 5), (32, 6, 5, 5), (1024, 1568), (1024, 1024), (3, 1024)]
    assert shapes(net("sssnet")) == [(32, 3, 5, 5), (64, 32, 3, 3), (256, 3 * 3 * 64), (3, 256)]
    assert shapes(net("sssnet", view(64)))[2] == (256, 9 * 9 * 64)
    assert shapes(net("rcn")) == [(32, 3, 5, 5), (32, 32, 1, 1), (32, 32, 3, 3), (3, 5 * 5 * 32)]


def reference_ststnet(model: nn.Module, x: Tensor) -> Tensor:
    """Three streams one after the other, as the paper draws them, with the weights of the joined one."""
    seen, convolution, _, normalisation, *_ = model.body
    pooled = []
    for start, stop in ((0, 3), (3, 8), (8, 16)):
        stream = nn.functional.conv2d(seen(x), convolution.weight[start:stop], convolution.bias[start:stop], padding=2)
        own = [getattr(normalisation, part)[start:stop] for part in ("running_mean", "running_var", "weight", "bias")]
        stream = nn.functional.batch_norm(stream.relu(), *own)
        pooled.append(nn.functional.max_pool2d(stream, 3, stride=3, padding=1))
    joined = torch.cat(pooled, 1)
    assert joined.shape[1:] == (16, 10, 10)
    return model.head(nn.functional.avg_pool2d(joined, 2).flatten(1))


def test_ststnet_is_three_streams_side_by_side():
    model, x = net("ststnet"), pixels(view(), 4)
    model.train()(x)  # running statistics that are not those of the beginning
    torch.testing.assert_close(reference_ststnet(model.eval(), x), model(x).logits)


def test_off_apexnets_streams_do_not_see_each_other_and_not_the_strain():
    model, x = net("off_apexnet").eval(), pixels(view(), 4)
    streams = model.body[:9]
    before, other = streams(x), x.clone()
    assert before.shape == (4, 1568)
    other[:, :, 0] = 255 - other[:, :, 0]
    changed = (streams(other) != before).any(0)
    assert changed[:784].any()
    assert not changed[784:].any()
    other[:, :, 2] = 255 - other[:, :, 2]
    assert torch.equal(streams(other)[:, 784:], before[:, 784:])


def test_rcn_applies_the_same_convolution_twice():
    model, x, calls = net("rcn"), pixels(view(), 4), []
    model.recurrent_step.register_forward_hook(lambda *_: calls.append(1))
    model.eval()(x)
    assert len(calls) == 2
    # A hand-made second convolution with the same weights gives the same numbers; another one does not.
    maps = model.stem(x)
    once = model.recurrent_step(maps + model.forward_step(maps))
    twice = model.head(model.pool(model.recurrent_step(maps + once)).flatten(1))
    torch.testing.assert_close(model(x).logits, twice)
    assert not torch.allclose(model.head(model.pool(once).flatten(1)), twice)


def test_rcn_attention_is_the_mean_of_class_activation_maps():
    assert [models.build("rcn", {"variant": variant}).label for variant in ("plain", "attention")] == ["RCN", "RCN-A"]
    plain, attentive, x = net("rcn"), net("rcn", variant="attention"), pixels(view(), 4)
    attentive.load_state_dict(plain.state_dict())
    assert (plain.eval()(x).logits - attentive.eval()(x).logits).abs().max() > 1e-4
    maps = nn.functional.adaptive_avg_pool2d(attentive.stem(x), 5)
    shown = []
    for weights in attentive.head.weight:
        cam = (weights.view(32, 5, 5) * maps).mean(1)
        cam = cam - cam.flatten(1).min(1).values[:, None, None]
        shown.append(cam / cam.flatten(1).max(1).values[:, None, None])
    expected = torch.stack(shown).mean(0)[:, None]
    torch.testing.assert_close(attentive._attention(maps), expected)
    assert 0 <= float(expected.detach().min()) < float(expected.detach().max()) <= 1
    with torch.no_grad():
        attentive.head.weight.zero_()  # nothing stands out: 0/0 in the authors' code
    assert torch.equal(attentive._attention(maps), torch.zeros(4, 1, 5, 5))
    assert torch.isfinite(attentive(x).logits).all()


# --- all of them ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("order", [IMAGES, ("v", "strain", "u")])
def test_the_order_of_channels_does_not_matter(name, order):
    x = pixels(view(), 4)
    turned = x[:, :, [FLOW.index(channel) for channel in order]]
    same, model = net(name), net(name, view(channels=order))
    # Shown the training views or not.
    for shown in (False, True):
        if shown:
            same.body[0].fit_statistics([x]) if name != "rcn" else same.stem[0].fit_statistics([x])
            model.body[0].fit_statistics([turned]) if name != "rcn" else model.stem[0].fit_statistics([turned])
        assert torch.equal(same.eval()(x).logits, model.eval()(turned).logits)


@pytest.mark.parametrize(
    ("name", "spec"),
    [(name, spec) for name in NETWORKS for spec in (view(28), view(61), view(28, ("u", "v"), 2))]
    + [(name, view(28, ("cos", "magnitude", "sin"))) for name in NETWORKS if name != "off_apexnet"],
)
def test_gradient_reaches_every_parameter_and_a_batch_may_be_one_row(name, spec):
    model = net(name, spec, 5)
    for rows in (4, 1):
        logits = model.train()(pixels(spec, rows)).logits
        assert logits.shape == (rows, 5)
        assert torch.isfinite(logits).all()
    generator = torch.Generator().manual_seed(3)
    model.zero_grad()
    (model(pixels(spec, 8)).logits * torch.randn(8, 5, generator=generator)).sum().backward()
    assert still(model) == []


def test_dropout_is_that_of_torch():
    layer, x = Dropout(0.3), torch.full((200, 500), 2.0)
    torch.manual_seed(0)
    dropped = layer(x)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.005)
    torch.testing.assert_close(dropped[dropped != 0].unique(), torch.tensor([2 / 0.7]))
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("name", NETWORKS)
def test_large_pictures_keep_the_number_of_parameters_in_bounds(name):
    with torch.inference_mode():
        model = net(name, view(224)).eval()
        assert model(pixels(view(224), 1)).logits.shape == (1, 3)
    assert count(model) == count(net(name, view(64)))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_they_refuse(name):
    model = models.build(name, {})
    assert model.check(view()) == {"weights": "random"}
    with refuses("E409", name, "optical flow", "r, g, b", 'representation = "flow"', 'sampling = "onset_apex"'):
        model.check(view(channels=("r", "g", "b")))
    with refuses("E409", name, "u, strain"):
        model.check(view(channels=("u", "strain")))
    with refuses("E406", name, "at least 28", "27x27", "representation.size = 28", "preprocessing.size"):
        model.check(view(27))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_target_has_a_head_of_its_own_and_changes_nothing_else(name):
    torch.manual_seed(0)
    plain = models.build(name, {})(view(), 3, {})
    torch.manual_seed(0)
    both = models.build(name, {})(view(), 3, {"action_units": 4})
    assert {key: value for key, value in both.state_dict().items() if not key.startswith("heads.")}.keys() == (
        plain.state_dict().keys()
    )
    x = pixels(view(), 2)
    with torch.inference_mode():
        output = both.eval()(x)
        torch.testing.assert_close(output.logits, plain.eval()(x).logits, rtol=0, atol=0)
    assert output.aux["action_units"].shape == (2, 4)


def test_off_apexnet_asks_for_both_directions():
    with refuses("E409", "off_apexnet", "channels u and v", "cos, sin"):
        models.build("off_apexnet", {}).check(view(channels=("cos", "sin")))


# --- learning ---------------------------------------------------------------------------------------------------------
class Images:
    """Made-up flow images of three classes: which half moves, and where to; strain is dark."""

    spec = view(channels=IMAGES)

    features = None

    def __init__(self, rows: int = 60) -> None:
        rng = np.random.default_rng(0)
        self.y = np.arange(rows) % 3
        self.x = rng.normal(128, 20, (rows, 1, 28, 28, 3))
        self.x[..., 0] = rng.normal(8, 2, (rows, 1, 28, 28))
        self.x[self.y == 0, :, :14, :, 1] += 40
        self.x[self.y == 1, :, 14:, :, 2] -= 40
        self.x[self.y == 2, :, 8:20, 8:20, 0] += 6
        self.x = self.x.clip(0, 255).round().astype(np.uint8)

    def __len__(self):
        return len(self.x)

    def take(self, indices, out=None):
        return np.take(self.x, indices, axis=0, out=out)


def trained(name: str, epochs: int = 60, rows: int = 60, **params: object) -> Trained:
    images = Images()
    task = learners.Task(
        images, images.y, 3, np.arange(rows), np.arange(0), lambda p, i: float((p.argmax(1) == images.y[i]).mean())
    )
    training = Training(epochs=epochs, batch=20, learning_rate=3e-3, weight_decay=0.0, patience=0)
    build = models.build(name, params)
    cross_entropy = losses.build("cross_entropy", {})
    return train(lambda: build(images.spec, 3, {}), task, {"cross_entropy": cross_entropy}, training, 0)


@pytest.mark.parametrize(
    ("name", "epochs", "params"),
    [("ststnet", 60, {}), ("off_apexnet", 10, {"units": 128}), ("sssnet", 20, {})]
    + [("rcn", 20, {"variant": variant}) for variant in ("plain", "attention")],
)
def test_networks_learn(name, epochs, params):
    assert trained(name, epochs, **params).history["train_score"].iloc[-1] > 0.9


def test_training_shows_the_training_views_and_no_others(tmp_path: Path):
    images = Images()
    seen = trained("ststnet", epochs=1, rows=30).model.body[0]
    for place, channel in enumerate(FLOW):
        values = images.x[:30, ..., IMAGES.index(channel)].astype(float)
        assert seen.mean.flatten()[place] == pytest.approx(values.mean(), rel=1e-6)
        assert seen.std.flatten()[place] == pytest.approx(values.std(), rel=1e-6)
    assert seen.std.flatten()[2] < 6 < 20 < seen.std.flatten()[0]


def test_what_was_seen_is_kept_with_the_weights(tmp_path: Path):
    images, file = Images(), tmp_path / "model.safetensors"
    model = trained("ststnet", epochs=2).model
    learner_of(model).save(file, {})
    fresh = net("ststnet", images.spec)
    learner_of(fresh).load(file)
    x = torch.as_tensor(images.x).movedim(-1, 2).float()
    assert torch.equal(fresh.eval()(x).logits, model.eval()(x).logits)
    assert not torch.equal(fresh.body[0].mean, net("ststnet", images.spec).body[0].mean)


def test_standardising_is_exact_in_parts_and_takes_maps_that_do_not_vary():
    spec = ViewSpec((2, 28, 28, 3), IMAGES, low=-2.0, high=2.0, scaling="centred")
    x = pixels(spec, 10) / 255 * 0.01 + 1.5
    x[:, :, 0] = 0.25
    whole, parts = MotionInput(spec), MotionInput(spec)
    torch.testing.assert_close(whole(x), x[:, :, [2, 1, 0]].transpose(1, 2).flatten(1, 2) / 2)
    whole.fit_statistics([x])
    parts.fit_statistics(x[start : start + 3] for start in range(0, 10, 3))
    torch.testing.assert_close(whole.mean, parts.mean)
    torch.testing.assert_close(whole.std, parts.std)
    shown = whole(x).double()
    torch.testing.assert_close(shown.mean((0, 2, 3)), torch.zeros(6).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(shown.std((0, 2, 3), correction=0)[:4], torch.ones(4).double(), atol=1e-3, rtol=0)
    assert torch.equal(shown[:, 4:], torch.zeros(10, 2, 28, 28).double())


# --- linear machines --------------------------------------------------------------------------------------------------
RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 3], [30, 15, 5])
X = np.abs(RNG.normal(size=(50, 40)) + 3 * np.eye(40)[Y]).astype(np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)
LINEAR = {
    "lbp_top_svm": ("xy", "xt", "yt"),
    "bi_woof_svm": ("-180", "-135", "-90", "-45", "0", "45", "90", "135"),
    "logistic": ("grey",),
}


def features(name: str) -> ViewSpec:
    return ViewSpec((1, 5, 5, len(LINEAR[name])), LINEAR[name], low=0.0, high=1.0)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_machines_learn_and_are_restored(name, tmp_path):
    build = models.build(name, {"C": 10.0})
    estimator = build(features(name), 4, {}).fit(X, Y)
    assert (estimator.predict(X) == Y).mean() > 0.9
    proba = estimator.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert np.array_equal(estimator.classes_[proba.argmax(1)], estimator.predict(X))
    learner_of(estimator).save(tmp_path / "m.safetensors", {"a": 1})
    again = build(features(name), 4, {})
    assert learner_of(again).load(tmp_path / "m.safetensors") == {"a": 1}
    assert np.array_equal(again.predict_proba(X), proba)
    # Two classes have one decision value a row.
    two = build(features(name), 4, {}).fit(X[:45], Y[:45])
    assert two.predict_proba(X).shape == (50, 2)
    assert (two.predict(X[:45]) == Y[:45]).mean() > 0.8
    with refuses("E702"):
        build(features(name), 4, {}).fit(X[:10], Y[:10])


@pytest.mark.parametrize("name", LINEAR)
def test_a_larger_penalty_parameter_fits_closer_and_classes_are_balanced(name):
    loose, tight = (models.build(name, {"C": C})(features(name), 4, {}).fit(X, Y) for C in (1e-6, 1e3))
    assert (tight.predict(X) == Y).mean() > (loose.predict(X) == Y).mean()
    # Rows of the rare class alone are not swallowed by the frequent one.
    weak = models.build(name, {"C": 0.5})(features(name), 4, {}).fit(X, Y)
    assert (weak.predict(X[Y == 3]) == 3).all()


@pytest.mark.parametrize(
    ("name", "representation", "sampling"),
    [("lbp_top_svm", "lbp_top", "clip"), ("bi_woof_svm", "bi_woof", "onset_apex")],
)
def test_machines_for_features_refuse_pictures(name, representation, sampling):
    model = models.build(name, {})
    assert model.check(features(name)) == {"weights": "none"}
    named = (f'representation = "{representation}"', f'sampling = "{sampling}"')
    for channels in (("r", "g", "b"), FLOW, LINEAR[name][::-1], LINEAR[name][:-1]):
        with refuses("E409", name, ", ".join(channels), *named) as caught:
            model.check(view(channels=channels))
        assert "precomputed" not in str(caught.value)  # a view does not say whether it was made of frames
        with refuses("E409", name, ", ".join(channels), *named):
            model(view(channels=channels), 3, {})
    with refuses("E413", name, "action_units"):
        model(features(name), 3, {"action_units": 2})


def test_the_numbers_of_another_machine_are_told(tmp_path):
    learner_of(models.build("logistic", {})(features("logistic"), 4, {}).fit(X, Y)).save(tmp_path / "m.safetensors", {})
    with refuses("E651", "m.safetensors"):
        learner_of(models.build("lbp_top_svm", {})(features("lbp_top_svm"), 4, {})).load(tmp_path / "m.safetensors")
