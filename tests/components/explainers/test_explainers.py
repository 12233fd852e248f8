"""Explainers: whether their maps are of the model that is looked into, and which models they refuse."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import Attention
from torch import Tensor, nn

from microexpr.components.explainers._tracing import traced
from microexpr.core.interfaces import Output, ViewSpec, explainers, models
from microexpr.learning.learners import Ensemble
from nets import FLOW, pixels
from refusal import refuses


def view(size: int = 64, time: int = 1, channels: tuple[str, ...] = FLOW, scaling: Any = "centred") -> ViewSpec:
    return ViewSpec((time, size, size, len(channels)), channels, -3.0, 3.0, scaling)


def made(name: str, spec: ViewSpec, **params: object) -> Any:
    torch.manual_seed(0)
    params |= {"size": "nano"} if name in ("poolformer_lstm", "poolformer_gru") else {}
    return models.build(name, params)(spec, 3, {})


def look(name: str, model: Any, spec: ViewSpec, x: Tensor, classes: tuple[int, ...] = (0, 1), **params: object):
    return explainers.build(name, params)(model, x, np.array(classes[: len(x)]), spec)


# --- Grad-CAM ---------------------------------------------------------------------------------------------------------
class Plain(nn.Module):
    """A convolution, an average and a line: small enough to write Grad-CAM down by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=8, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Output:
        return Output(self.head(torch.tanh(self.first(x[:, 0])).mean((2, 3))), {})


def test_grad_cam_is_the_papers_formula():
    torch.manual_seed(0)
    model, spec = Plain().eval(), view(32)
    x = pixels(spec, 1)
    features = model.first(x[:, 0]).detach().requires_grad_()
    model.head(torch.tanh(features).mean((2, 3)))[0, 1].backward()
    weights = features.grad.mean((2, 3), keepdim=True)
    expected = (weights * features).sum(1, keepdim=True).clamp(min=0)
    expected = nn.functional.interpolate(expected, (32, 32), mode="bilinear", align_corners=False)
    found = look("grad_cam", model, spec, x, (1,))
    np.testing.assert_allclose(found.maps[0, 0], expected[0, 0].detach().numpy(), atol=1e-6)
    assert found.places == (4, 4)
    assert found.maps.max() > 0


@pytest.mark.parametrize(
    ("name", "size", "places"),
    [
        ("poolformer_nano", 64, (2, 2)),
        ("poolformer_nano", 128, (4, 4)),
        ("poolformer_nano", 32, (2, 2)),  # its last stage has one place there, and the one before is taken
        ("swin_nano", 64, (4, 4)),
        ("small_cnn", 64, (4, 4)),
        ("off_apexnet", 28, (14, 14)),
        ("rcn", 28, (12, 12)),
    ],
)
def test_grad_cam_finds_the_last_map_that_has_places(name, size, places):
    spec = view(size)
    model = made(name, spec)
    explainers.build("grad_cam", {}).check(model, spec, name)
    found = look("grad_cam", model, spec, pixels(spec))
    assert found.places == places
    assert found.maps.shape == (2, 1, size, size)
    assert found.maps.min() >= 0
    assert np.isfinite(found.maps).all()


def test_grad_cam_takes_swins_channels_from_the_end():
    spec = view()
    model = made("swin_nano", spec)
    x, kept = pixels(spec, 1), []
    hook = model.body.net.norm.register_forward_hook(lambda _, __, output: kept.append(output))
    found = look("grad_cam", model, spec, x, (2,))
    score = model.eval()(x).logits[0, 2]
    hook.remove()
    features = kept[-1]  # b h w c
    slopes = torch.autograd.grad(score, features)[0].mean((1, 2), keepdim=True)
    expected = (slopes * features).sum(3).clamp(min=0)[None]
    expected = nn.functional.interpolate(expected, (64, 64), mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(found.maps[0, 0], expected.detach().numpy(), atol=1e-6)


class Two(nn.Module):
    """Two streams: the left half of the picture and the right one."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 2, 4, stride=4), nn.Conv2d(3, 2, 8, stride=8)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Output:
        middle = x.shape[-1] // 2
        halves = torch.arange(x.shape[-1]) < middle
        left, right = self.left(x[:, 0] * halves), self.right(x[:, 0] * ~halves)
        return Output(self.head(torch.cat((left.amax((2, 3)), right.amax((2, 3))), 1)), {})


def test_grad_cam_of_two_streams_has_both_at_the_finer_of_their_sizes():
    torch.manual_seed(0)
    spec, model = view(32), Two()
    with torch.no_grad():  # both streams speak for class 0, and are never negative
        for part in (model.left, model.right):
            part.weight.abs_()
            part.bias.zero_()
        model.head.weight.fill_(1.0)
    x = pixels(spec, 1).abs()
    found = look("grad_cam", model, spec, x, (0,))
    assert found.places == (8, 8)
    assert found.maps[0, 0, :, :16].max() > 0
    assert found.maps[0, 0, :, 16:].max() > 0


def test_grad_cam_of_an_ensemble_is_of_the_mean_of_its_networks_scores_and_not_of_their_certainty():
    spec = view(48)
    model = made("small_cnn", spec)
    with torch.no_grad():
        model.head[-1].weight.mul_(100)  # so certain that its probabilities have no slope left
    x = pixels(spec)
    alone = look("grad_cam", model, spec, x).maps
    assert alone.max() > 0
    np.testing.assert_allclose(
        look("grad_cam", Ensemble([model, copy.deepcopy(model)]), spec, x).maps, alone, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "params"), [("rcn", {"variant": "attention"}), ("rcn", {}), ("off_apexnet", {}), ("small_cnn", {})]
)
def test_none_of_the_last_maps_is_made_of_another_so_that_nothing_counts_twice(name, params):
    spec = view(28)
    model = made(name, spec, **params).eval()
    with traced(model) as trace:
        last, _ = trace.last(model(pixels(spec, 1).requires_grad_()).logits[0, 0])
    assert last
    for one, other in itertools.permutations(last, 2):
        assert torch.autograd.grad(one.tensor.sum(), other.tensor, retain_graph=True, allow_unused=True) == (None,)


def test_a_model_that_runs_once_a_frame_has_a_map_for_every_frame():
    spec = view(64, time=3, channels=("grey",))
    model = made("poolformer_gru", spec)
    x = pixels(spec)
    x[:, 1] = x[:, 0]  # the same picture twice, then another
    found = look("grad_cam", model, spec, x)
    assert found.maps.shape == (2, 3, 64, 64)
    assert not np.allclose(found.maps[0, 0], found.maps[0, 2])


def test_a_model_that_stacks_its_frames_has_one_map_for_all():
    spec = view(48, time=3, channels=("grey",))
    found = look("grad_cam", made("small_cnn", spec), spec, pixels(spec))
    assert (found.maps[:, 0] == found.maps[:, 2]).all()


def test_maps_do_not_depend_on_what_else_is_in_the_batch():
    spec = view(64, time=3, channels=("grey",))
    model, x = made("poolformer_lstm", spec), pixels(spec, 3)
    together = look("grad_cam", model, spec, x, (0, 1, 2)).maps
    alone = look("grad_cam", model, spec, x[1:2], (1,)).maps
    np.testing.assert_allclose(together[1:2], alone, atol=1e-7)


def test_a_frozen_body_can_be_looked_into():
    spec = view()
    model = made("poolformer_nano", spec, frozen_stages=-1)
    assert look("grad_cam", model, spec, pixels(spec)).maps.max() > 0


# --- attention rollout ------------------------------------------------------------------------------------------------
def rolled_by_hand(net: Any, x: Tensor) -> np.ndarray:
    """Abnar and Zuidema's product, from queries and keys and without a hook."""
    tokens = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(x))))
    product = torch.eye(tokens.shape[1])
    for block in net.blocks:
        attn: Any = block.attn
        q, k, _ = attn.qkv(block.norm1(tokens)).unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (attn.q_norm(q) @ attn.k_norm(k).transpose(2, 3) * attn.scale).softmax(3).mean(1)[0]
        product = (weights + torch.eye(len(weights))) / 2 @ product
        tokens = block(tokens)
    return product.detach().numpy()


def test_rollout_without_class_token_is_the_mean_of_the_patches_rows():
    spec = view()
    model = made("vit_nano", spec).eval()
    x = pixels(spec, 1)
    expected = rolled_by_hand(model.body.net, (x[:, 0] - model.body.centre) * model.body.scale)
    assert expected.shape == (64, 64)
    found = look("attention_rollout", model, spec, x)
    assert found.places == (8, 8)
    # Where the picture is a multiple of the grid, the mean over a patch of what was interpolated is near the patch's.
    patches = found.maps[0, 0].reshape(8, 8, 8, 8).mean((1, 3))
    np.testing.assert_allclose(patches[1:-1, 1:-1], expected.mean(0).reshape(8, 8)[1:-1, 1:-1], rtol=0.05)
    assert patches.sum() == pytest.approx(1, rel=0.01)


class WithToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        self.net = VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2, num_classes=3, class_token=True
        )

    def forward(self, x: Tensor) -> Output:
        return Output(self.net(x[:, 0]), {})


def test_rollout_with_class_token_is_its_row():
    torch.manual_seed(0)
    spec, model = view(32), WithToken().eval()
    x = pixels(spec, 1)
    expected = torch.tensor(rolled_by_hand(model.net, x[:, 0])[0, 1:]).reshape(1, 1, 4, 4)
    expected = nn.functional.interpolate(expected, (32, 32), mode="bilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(
        look("attention_rollout", model, spec, x).maps[0, 0], expected.numpy(), rtol=1e-4, atol=1e-6
    )


def test_a_way_of_pooling_that_a_rollout_cannot_follow_is_refused():
    spec, model = view(32), WithToken().eval()
    model.net.global_pool = "max"
    with refuses("E418", "max", "occlusion"):
        explainers.build("attention_rollout", {}).check(model, spec, "vit")


def test_fused_attention_never_shows_itself_so_it_is_off_while_a_model_is_looked_into_and_on_again_afterwards():
    spec = view()
    model = made("vit_nano", spec).eval()
    blocks: list[Any] = [part for part in model.modules() if isinstance(part, Attention)]
    seen: list[Tensor] = []
    for part in blocks:
        part.fused_attn = True
        part.attn_drop.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(pixels(spec, 1))
    assert not seen  # this is what an explainer would have seen of it
    found = look("attention_rollout", model, spec, pixels(spec, 1))
    assert len(seen) == len(blocks) == 4
    assert found.maps.max() > 0
    assert all(part.fused_attn for part in blocks)


def test_fused_attention_is_on_again_after_an_error():
    spec = view()
    model = made("vit_nano", spec)
    blocks: list[Any] = [part for part in model.modules() if isinstance(part, Attention)]
    for part in blocks:
        part.fused_attn = True
    with pytest.raises(RuntimeError):
        look("attention_rollout", model, spec, torch.zeros(1, 1, 5, 64, 64))
    assert all(part.fused_attn for part in blocks)


def test_attention_that_stays_fused_is_an_error_and_no_empty_map(monkeypatch):
    spec = view()
    model = made("vit_nano", spec)
    monkeypatch.setattr(Attention, "fused_attn", property(lambda _: True, lambda *_: None), raising=False)
    for part in model.modules():
        part.__dict__.pop("fused_attn", None)
    with refuses("E418", "only 0 of 4 layers"):
        look("attention_rollout", model, spec, pixels(spec, 1))


# --- occlusion --------------------------------------------------------------------------------------------------------
class Corner(nn.Module):
    """The logit of class 1 is the mean of the upper left quarter."""

    def forward(self, x: Tensor) -> Output:
        height, width = x.shape[-2] // 2, x.shape[-1] // 2
        seen = x[..., :height, :width].mean((1, 2, 3, 4))
        return Output(torch.stack((torch.zeros_like(seen), 3 * seen), 1), {})


def test_occlusion_finds_the_only_quarter_that_counts():
    spec, x = view(32), torch.zeros(2, 1, 3, 32, 32)
    x[0, ..., :16, :16], x[1, ..., :16, :16] = 2.0, -2.0
    found = look("occlusion", Corner(), spec, x, (1, 1))
    assert found.maps[0, 0, 4, 4] > 0.005
    assert found.maps[0, 0, 24:, 24:].max() == 0
    assert found.maps[1].max() == 0  # covering raises the probability, which counts as nothing
    assert look("occlusion", Corner(), spec, x, (0, 0)).maps[1, 0, 4, 4] > 0.005


def test_occlusion_measures_the_loss_of_probability():
    spec, x = view(32), torch.full((1, 1, 3, 32, 32), 1.0)
    found = look("occlusion", Corner(), spec, x, (1,), patch=0.5, stride=1.0)
    usual = 1 / (1 + np.exp(-3.0))
    np.testing.assert_allclose(found.maps[0, 0, :16, :16], usual - 0.5, rtol=1e-5)  # 0.5 with nothing but the middle
    assert found.maps[0, 0, 16:].max() == 0
    assert found.places == (2, 2)


def test_what_covers_is_no_motion_in_centred_flow_and_the_mean_elsewhere():
    x = torch.full((1, 1, 3, 32, 32), 1.0)  # the mean covers nothing of a picture of one value
    assert look("occlusion", Corner(), view(32), x, (1,)).maps.max() > 0
    assert look("occlusion", Corner(), view(32, scaling=""), x, (1,)).maps.max() == pytest.approx(0, abs=1e-6)
    assert look("occlusion", Corner(), view(32, scaling=""), x, (1,), fill="middle").maps.max() > 0


def test_occlusion_asks_estimators_too_and_lays_rows_out_as_the_engine_does():
    spec = view(24, time=2)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.3, (60, 2, 24, 24, 3)).astype(np.float32)
    y = np.arange(60) % 2 * 2  # class 1 is never seen
    x[y == 2, :, 12:, 12:] += 1.0
    model = models.build("pca_svm", {})(spec, 3, {}).fit(x.reshape(60, -1), y)
    shown = torch.as_tensor(x[1:2]).movedim(-1, 2)
    found = look("occlusion", model, spec, shown, (2,))
    lower = found.maps[0, 0, 12:, 12:].sum() / found.maps[0, 0].sum()
    assert lower > 0.8
    assert (found.maps[0, 0] == found.maps[0, 1]).all()
    assert look("occlusion", model, spec, shown, (1,)).maps.max() == 0


# --- all of them ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("explainer", "name", "named"),
    [
        ("grad_cam", "vit_nano", ("vit_nano", "attention_rollout")),
        ("grad_cam", "pca_svm", ("pca_svm", "no gradient", "occlusion")),
        ("attention_rollout", "swin_nano", ("swin_nano", "grad_cam")),
        ("attention_rollout", "poolformer_nano", ("poolformer_nano", "occlusion")),
        ("attention_rollout", "pca_svm", ("pca_svm", "no attention", "occlusion")),
    ],
)
def test_a_model_without_such_a_map_is_refused_with_the_way_out(explainer, name, named):
    spec = view()
    with refuses("E418", *named):
        explainers.build(explainer, {}).check(made(name, spec), spec, name)


def test_two_ways_of_looking_are_not_told_by_one_of_them():
    spec = view(64, time=2, channels=("r", "g", "b"), scaling="")
    model = made("cnn_convlstm_vit", view(64, time=4, channels=("grey",)))
    with refuses("E418", "faciaformer", "occlusion"):
        explainers.build("attention_rollout", {}).check(model, view(64, time=4, channels=("grey",)), "faciaformer")
    bert = made("micron_bert", spec)
    for name in ("grad_cam", "attention_rollout"):
        with refuses("E418", "micron_bert", "occlusion"):
            explainers.build(name, {}).check(bert, spec, "micron_bert")
    assert look("occlusion", bert, spec, pixels(spec, 1)).maps.max() > 0


def test_a_network_of_dense_layers_has_no_map():
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3 * 32 * 32, 3)

        def forward(self, x: Tensor) -> Output:
            return Output(self.line(x.flatten(1)), {})

    with refuses("E418", "dense", "occlusion"):
        explainers.build("grad_cam", {}).check(Dense(), view(32), "dense")


def test_histograms_have_no_places_to_cover():
    spec = ViewSpec((1, 25, 15, 3), ("xy", "xt", "yt"), 0.0, 1.0)
    with refuses("E412", "lbp_top_svm"):
        explainers.build("occlusion", {}).check(models.build("lbp_top_svm", {})(spec, 3, {}), spec, "lbp_top_svm")


@pytest.mark.parametrize(("explainer", "name"), [("grad_cam", "swin_nano"), ("attention_rollout", "vit_nano")])
def test_a_model_is_left_as_it_was(explainer, name):
    spec = view()
    model = made(name, spec).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        look(explainer, model, spec, pixels(spec))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("name", explainers.names())
def test_an_explainer_says_what_its_values_are(name):
    explainer = explainers.build(name, {})
    assert explainer.label
    assert explainer.scale
    assert isinstance(explainer.by_class, bool)
