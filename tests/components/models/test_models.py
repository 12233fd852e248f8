from __future__ import annotations

import csv
import os
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from timm.layers import resample_abs_pos_embed
from timm.models import get_pretrained_cfg
from torch import nn

from microexpr.components.models._architectures import ARCHITECTURES
from microexpr.components.models._estimators import PrincipalAxes
from microexpr.components.models.linear import LogisticClassifier
from microexpr.core import pretrained
from microexpr.core.interfaces import ViewSpec, models
from nets import RGB, built, count, pixels, saved
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread", "no_weights")
NANOS = ("vit_nano", "swin_nano", "poolformer_nano")
NETWORKS = (*NANOS, "small_cnn")
OWN = tuple(name for name in ARCHITECTURES if name in models.names())
"""Members that are models by themselves; others serve in models of several parts."""
PRETRAINED = tuple(name for name in OWN if ARCHITECTURES[name].tags)


def view(size: int | tuple[int, int] = 64, channels: tuple[str, ...] = RGB, frames: int = 1) -> ViewSpec:
    height, width = (size, size) if isinstance(size, int) else size
    return ViewSpec((frames, height, width, len(channels)), channels)


def net(name: str, spec: ViewSpec | None = None, **params: Any) -> nn.Module:
    return built(name, spec or view(), 5, **params)


def lively(module: nn.Module) -> nn.Module:
    """Move every weight, so that what an initialisation leaves at zero is seen too."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return module.eval()


# --- what is built ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("spec", [view(64), view(96, ("grey",)), view((64, 96), ("u", "v", "strain"))])
def test_networks_give_scores_that_train(name: str, spec: ViewSpec) -> None:
    model = net(name, spec)
    output = model(pixels(spec))
    assert output.logits.shape == (2, 5)
    assert output.aux == {}
    torch.testing.assert_close(model.eval()(pixels(spec)).logits, model.head(model.body(pixels(spec))))
    output.logits.logsumexp(1).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", NANOS)
def test_nanos_also_take_the_papers_size(name: str) -> None:
    with torch.no_grad():
        assert net(name, view(224))(pixels(view(224), 1)).logits.shape == (1, 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_callers_seed_decides(name: str) -> None:
    first, same, other = (net(name, seed=seed).eval()(pixels(view())).logits for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("vit_b32", 87.5),
        ("vit_s32", 22.5),
        ("swin_b", 86.8),
        ("swin_t", 27.5),
        ("poolformer_m36", 55.4),
        ("poolformer_m48", 72.7),
        ("poolformer_s12", 11.4),
        *((name, 0.5) for name in NANOS),
        ("small_cnn", 0.1),
    ],
)
def test_parameter_counts(name: str, millions: float) -> None:
    """The paper gives 56 and 73 million for PoolFormer, with a head for 1,000 classes (0.8 million)."""
    params = {} if name == "small_cnn" else {"weights": "random"}
    with torch.device("meta"):
        model = net(name, view(224), **params)
    assert count(model) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(("name", "head"), [("poolformer_m36", 56), ("poolformer_m48", 73)])
def test_the_papers_parameter_counts_follow_with_1000_classes(name: str, head: int) -> None:
    with torch.device("meta"):
        model = models.build(name, {"weights": "random"})(view(384), 1000, {})
    assert count(model) / 1e6 == pytest.approx(head, abs=0.6)


@pytest.mark.parametrize("name", sorted(OWN))
def test_labels_and_tags(name: str) -> None:
    model = models.build(name, {})
    assert model.label == ARCHITECTURES[name].label
    assert model.mixing in ("global attention", "hierarchical window attention", "attention-free pooling")
    for size, tag in ARCHITECTURES[name].tags.items():
        config = get_pretrained_cfg(tag)
        assert config.hf_hub_id == f"{pretrained.OWNER}/{tag}"
        assert config.input_size == (3, size, size)


def test_the_tag_follows_the_size() -> None:
    vit, swin, pool = (ARCHITECTURES[name] for name in ("vit_b32", "swin_b", "poolformer_m48"))
    assert vit.tag(view(384)) == "vit_base_patch32_384.augreg_in21k_ft_in1k"
    assert vit.tag(view(256)) == "vit_base_patch32_224.augreg_in21k_ft_in1k"
    assert [swin.window(size, size) for size in (224, 384, 256, 96)] == [7, 12, 8, 3]
    assert swin.tag(view(384)) == "swin_base_patch4_window12_384.ms_in22k_ft_in1k"
    assert pool.tag(view(384)) == "poolformer_m48.sail_in1k"


def test_one_checkpoint_for_every_size() -> None:
    vit, swin = (models.build(name, {"checkpoint_size": 224}) for name in ("vit_b32", "swin_b"))
    for size in (224, 384):
        assert vit.architecture.tag(view(size)) == "vit_base_patch32_224.augreg_in21k_ft_in1k"
        assert swin.architecture.tag(view(size)) == "swin_base_patch4_window7_224.ms_in22k_ft_in1k"
        with refuses("E501", "fetch vit_base_patch32_224.augreg"):
            vit.check(view(size))
    assert vit.tags == ("vit_base_patch32_224.augreg_in21k_ft_in1k",)
    with refuses("E513", "vit_b32", "checkpoint_size = 256", "224 or 384"):
        models.build("vit_b32", {"checkpoint_size": 256})
    with refuses("E513", "vit_nano", "checkpoint_size = 224", "leave it out"):
        models.build("vit_nano", {"checkpoint_size": 224})


@pytest.mark.parametrize("size", [224, 384])
def test_a_checkpoint_is_adapted_to_another_size(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest member with two checkpoints, with random weights under the tags of both."""
    tags = ARCHITECTURES["vit_s32"].tags
    for trained, tag in tags.items():
        torch.manual_seed(trained)
        whole = timm.create_model(tag, pretrained=False)
        save_file(whole.state_dict(), tmp_path / f"{tag}.safetensors")
    monkeypatch.setattr(pretrained, "locate", lambda tag: tmp_path / f"{tag}.safetensors")
    other = 608 - size
    source = load_file(tmp_path / f"{tags[other]}.safetensors")
    taken = net("vit_s32", view(size), checkpoint_size=other).body.net
    assert torch.equal(taken.blocks[0].attn.qkv.weight, source["blocks.0.attn.qkv.weight"])
    grid = [size // 32, size // 32]
    torch.testing.assert_close(taken.pos_embed, resample_abs_pos_embed(source["pos_embed"], grid))
    usual = load_file(tmp_path / f"{tags[size]}.safetensors")
    as_the_view = net("vit_s32", view(size)).body.net
    assert torch.equal(as_the_view.blocks[0].attn.qkv.weight, usual["blocks.0.attn.qkv.weight"])
    assert not torch.equal(as_the_view.blocks[0].attn.qkv.weight, taken.blocks[0].attn.qkv.weight)


# --- regularisation and freezing --------------------------------------------------------------------------------------
@pytest.mark.parametrize("active", [{"dropout": 0.5}, {"dropout": 0.5, "head_units": 16}, {"drop_path": 0.5}, {}])
@pytest.mark.parametrize("name", NANOS)
def test_dropout_and_drop_path_are_active_in_training_only(name: str, active: dict[str, float]) -> None:
    """In timm 0.9.16 to 1.0.22 PoolFormer's drop_rate did nothing."""
    model, x = lively(net(name, **{"dropout": 0.0, "drop_path": 0.0, **active})), pixels(view(), 6)
    assert torch.equal(model(x).logits, model(x).logits)
    model.train()
    assert torch.equal(model(x).logits, model(x).logits) is (not active)


@pytest.mark.parametrize("name", NANOS)
def test_stages_freeze_from_the_stem_up(name: str) -> None:
    member = ARCHITECTURES[name]
    free = []
    for stages in (0, 1, member.stages, -1):
        model = net(name, frozen_stages=stages).train()
        free.append({name for name, parameter in model.named_parameters() if parameter.requires_grad})
        assert all(module.training for module in model.head.modules())
    assert free[0] > free[1] > free[2] > free[3]
    stem = {name for name in free[0] - free[1] if f".{member.family.stages}." not in name}
    assert stem == {name for name in free[0] if name.split(".")[2] in member.family.stem}
    assert all(name.startswith("head.") for name in free[3])


@pytest.mark.parametrize("name", NANOS)
def test_a_frozen_body_gives_the_same_features_in_training(name: str) -> None:
    model = lively(net(name, frozen_stages=-1, drop_path=0.5)).train()
    x = pixels(view(), 6)
    assert torch.equal(model.body(x), model.body(x))
    assert not model.body(x).requires_grad


def test_a_hidden_layer_is_built() -> None:
    linear, hidden = net("vit_nano").head, net("vit_nano", head_units=7).head
    assert [type(layer).__name__ for layer in linear] == ["Dropout", "Linear"]
    assert [type(layer).__name__ for layer in hidden] == ["Dropout", "Linear", "GELU", "Dropout", "Linear"]


# --- the view's range and channels ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NETWORKS)
def test_the_range_of_the_view_is_normalised_inside(name: str) -> None:
    depth = ViewSpec((1, 64, 64, 3), RGB, 1000.0, 9000.0)
    x = pixels(view())
    eight, sixteen = lively(net(name)), lively(net(name, depth))
    torch.testing.assert_close(eight(x).logits, sixteen(1000 + x * 8000 / 255).logits, rtol=1e-4, atol=1e-4)


def test_colour_uses_timms_statistics_and_flow_does_not() -> None:
    config = get_pretrained_cfg("poolformer_m36.sail_in1k")
    x = pixels(view())
    body, seen = net("poolformer_nano").body, []
    body.net = nn.Module()
    body.net.forward = lambda frame: seen.append(frame) or frame.flatten(1)
    body(x)
    expected = (x[:, 0] / 255 - torch.tensor(config.mean).view(3, 1, 1)) / torch.tensor(config.std).view(3, 1, 1)
    torch.testing.assert_close(seen[0], expected)
    flow = net("poolformer_nano", ViewSpec((1, 64, 64, 3), ("u", "v", "strain"), -4.0, 4.0)).body
    assert flow.centre.flatten().tolist() == [0, 0, 0]
    assert flow.scale.flatten().tolist() == [0.25] * 3


@pytest.mark.parametrize(("name", "tolerance"), [("vit_nano", 1e-5), ("swin_nano", 1e-5), ("poolformer_nano", 0.03)])
def test_one_grey_channel_gives_the_features_of_grey_in_three(name: str, tolerance: float, tmp_path: Path) -> None:
    """PoolFormer's stem pads after normalisation: only the ring of its first map differs, see the next test."""
    rgb = lively(net(name))
    file = saved(rgb, tmp_path / "rgb.safetensors")
    grey = pixels(view(64, ("grey",)))
    in_three = rgb.body(grey.expand(-1, -1, 3, -1, -1))
    one = net(name, view(64, ("grey",)), weights=file).eval()
    copied = net(name, view(64, ("grey",)), weights=file, grey="copy").eval()
    assert (one.body(grey) - in_three).norm() / in_three.norm() < tolerance
    torch.testing.assert_close(copied.body(grey), in_three)


def test_poolformers_first_map_is_exact_inside_its_ring(tmp_path: Path) -> None:
    rgb = lively(net("poolformer_nano"))
    one = net("poolformer_nano", view(64, ("grey",)), weights=saved(rgb, tmp_path / "rgb.safetensors"))
    grey = pixels(view(64, ("grey",)))[:, 0]
    of_three = rgb.body.net.stem((grey.expand(-1, 3, -1, -1) - rgb.body.centre) * rgb.body.scale)
    of_one = one.body.net.stem((grey - one.body.centre) * one.body.scale)
    torch.testing.assert_close(of_one[..., 1:-1, 1:-1], of_three[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-5)


def test_flow_in_one_channel_folds_too(tmp_path: Path) -> None:
    rgb = lively(net("swin_nano", view(64, ("u", "v", "strain"))))
    file = saved(rgb, tmp_path / "flow.safetensors")
    one = net("swin_nano", view(64, ("strain",)), weights=file).eval()
    strain = pixels(view(64, ("strain",)))
    torch.testing.assert_close(one.body(strain), rgb.body(strain.expand(-1, -1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


# --- depth as a fourth channel ----------------------------------------------------------------------------------------
DEEP = (*RGB, "depth")


@pytest.mark.parametrize("name", NANOS)
def test_colour_is_answered_as_before_where_depth_is_at_its_mean(name: str, tmp_path: Path) -> None:
    rgb = lively(net(name))
    four = net(name, view(64, DEEP), weights=saved(rgb, tmp_path / "rgb.safetensors")).eval()
    colour, mean = pixels(view()), four.body.centre.flatten()[3]
    depth = torch.full_like(colour[:, :, :1], float(mean))
    torch.testing.assert_close(four.body(torch.cat([colour, depth], 2)), rgb.body(colour), rtol=1e-4, atol=1e-4)
    moved = four.body(torch.cat([colour, depth + 40], 2))
    assert (moved - rgb.body(colour)).abs().max() > 1e-3


@pytest.mark.parametrize("name", NANOS)
def test_the_fourth_channel_begins_with_the_mean_of_the_colours(name: str, tmp_path: Path) -> None:
    config = ARCHITECTURES[name].family.config(None)
    rgb = lively(net(name))
    four = net(name, view(64, DEEP), weights=saved(rgb, tmp_path / "rgb.safetensors"))
    before, after = (model.body.net.get_parameter(f"{config.first_conv}.weight") for model in (rgb, four))
    assert torch.equal(after[:, :3], before)
    torch.testing.assert_close(after[:, 3], before.mean(1))
    # The colours keep their statistics; depth has the mean of each.
    torch.testing.assert_close(four.body.centre.flatten()[:3], rgb.body.centre.flatten())
    assert four.body.centre.flatten()[3] == pytest.approx(255 * sum(config.mean) / 3)
    assert 1 / four.body.scale.flatten()[3] == pytest.approx(255 * sum(config.std) / 3, rel=1e-5)
    again = net(name, view(64, DEEP), weights=saved(four, tmp_path / "four.safetensors"), seed=4)
    assert torch.equal(again.body.net.get_parameter(f"{config.first_conv}.weight"), after)


@pytest.mark.parametrize("name", NANOS)
def test_weights_of_four_channels_are_none_of_three(name: str, tmp_path: Path) -> None:
    file = saved(net(name, view(64, DEEP)), tmp_path / "four.safetensors")
    with refuses("E505", "four.safetensors", name):
        net(name, weights=file)


@pytest.mark.parametrize("channels", [("r", "g", "b", "x"), ("depth", "r", "g", "b"), ("u", "v", "strain", "depth")])
def test_no_other_four_channels_take_published_weights(channels: tuple[str, ...]) -> None:
    with refuses("E514", "one or three channels, or r, g, b and depth", "have 4"):
        models.build("poolformer_m36", {}).check(view(224, channels))
    with refuses("E501", "microexpr weights fetch"):
        models.build("poolformer_m36", {}).check(view(224, DEEP))


def test_a_model_saved_with_other_parts_gives_the_part_that_fits(tmp_path: Path) -> None:
    vit, pool = net("vit_nano").body.net, net("poolformer_nano").body.net
    parts = {
        f"body.{part}.net.{key}": value
        for part, each in (("vit", vit), ("pool", pool))
        for key, value in each.state_dict().items()
    }
    save_file({**parts, "head.1.weight": torch.zeros(2, 2)}, tmp_path / "two.safetensors")
    for name, source in (("vit_nano", vit), ("poolformer_nano", pool)):
        found = net(name, seed=3, weights=str(tmp_path / "two.safetensors")).body.net.state_dict()
        assert all(torch.equal(found[key], value) for key, value in source.state_dict().items())


# --- weights ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NANOS)
def test_a_model_saved_here_or_a_timm_file_gives_its_body(name: str, tmp_path: Path) -> None:
    source = lively(net(name))
    file = saved(source, tmp_path / "own.safetensors")
    body = {key.removeprefix("body.net."): value for key, value in load_file(file).items() if key.startswith("body.")}
    head = f"{ARCHITECTURES[name].family.config(None).classifier}.weight"
    save_file({**body, head: torch.zeros(1000, 4)}, tmp_path / "timms.safetensors")
    for stem in ("own", "timms"):
        params = {"weights": str(tmp_path / f"{stem}.safetensors")}
        model = net(name, seed=3, **params).eval()
        torch.testing.assert_close(model.body(pixels(view())), source.body(pixels(view())))
        metadata = models.build(name, params).check(view())
        assert metadata == {"weights": stem, "sha256": pretrained.sha256(tmp_path / f"{stem}.safetensors")}


def test_position_embeddings_are_resized(tmp_path: Path) -> None:
    source = lively(net("vit_nano", view(64)))
    file = saved(source, tmp_path / "at64.safetensors")
    larger = net("vit_nano", view(96), weights=file).body.net
    assert larger.pos_embed.shape == (1, 144, 96)
    corner, same = larger.pos_embed[0, 0], source.body.net.pos_embed[0, 0]
    assert torch.cosine_similarity(corner, same, dim=0) > 0.8
    torch.testing.assert_close(larger.blocks[0].attn.qkv.weight, source.body.net.blocks[0].attn.qkv.weight)


def test_vit_b32_goes_from_224_to_384() -> None:
    """timm's own filter, at the paper's sizes, on position embeddings alone: building ViT-B/32 would be slow."""
    member = ARCHITECTURES["vit_b32"]
    with torch.device("meta"):
        large = member.build(view(384), 3, 0.0)
    state = {"pos_embed": torch.randn(1, 50, 768), "patch_embed.proj.weight": torch.zeros(768, 3, 32, 32)}
    resized = member.family.checkpoint_filter(state, large)["pos_embed"]
    assert resized.shape == large.pos_embed.shape == (1, 145, 768)
    assert torch.equal(resized[:, 0], state["pos_embed"][:, 0])


def test_swin_takes_another_window(tmp_path: Path) -> None:
    source = lively(net("swin_nano", view(64)))
    file = saved(source, tmp_path / "window4.safetensors")
    model = net("swin_nano", view(96), weights=file)
    old, new = (part.body.net.layers[0].blocks[0].attn for part in (source, model))
    assert (old.window_size, new.window_size) == ((4, 4), (6, 6))
    assert new.relative_position_bias_table.shape == (11 * 11, 1)
    torch.testing.assert_close(old.qkv.weight, new.qkv.weight)
    # The bias of looking at oneself stands in the middle of both tables.
    torch.testing.assert_close(new.relative_position_bias_table[60], old.relative_position_bias_table[24])


@pytest.mark.parametrize("name", NANOS)
@pytest.mark.parametrize("damage", ["missing", "shape", "other"])
def test_a_file_of_another_model_is_named(name: str, damage: str, tmp_path: Path) -> None:
    state = net(name).body.net.state_dict()
    last = [key for key in state if key.endswith("weight")][-1]
    if damage == "missing":
        del state[last]
    elif damage == "shape":
        state[last] = torch.zeros(3)
    else:
        state = {"layers.9.blocks.0.attn.relative_position_bias_table": torch.zeros(3, 3), "x": torch.zeros(2)}
    save_file(state, tmp_path / "wrong.safetensors")
    with refuses("E505", "wrong.safetensors", name):
        net(name, weights=str(tmp_path / "wrong.safetensors"))


@pytest.mark.parametrize("name", PRETRAINED)
def test_without_weights_a_check_says_so_before_anything_is_built(name: str) -> None:
    with refuses("E501", "microexpr weights fetch"):
        models.build(name, {}).check(view(224))
    with refuses("E506"):
        models.build(name, {"weights": "hub"}).check(view(224))
    assert models.build(name, {"weights": "random"}).check(view(224)) == {"weights": "random"}


def test_weights_at_hand_are_used_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nano model stands in for a published one, under its tag."""
    tag = "vit_base_patch32_224.augreg_in21k_ft_in1k"
    monkeypatch.setattr("microexpr.components.models._architectures.Architecture.tag", lambda self, spec: tag)
    source = lively(net("vit_nano"))
    root = tmp_path / "weights"
    root.mkdir()
    file = Path(saved(source, root / f"{tag}.safetensors"))
    pretrained._record(tag, pretrained.Entry("timm/x", file.stat().st_size, pretrained.sha256(file), "test"))
    for way in ("imagenet", "hub"):
        model = models.build("vit_nano", {"weights": way})
        assert model.check(view()) == {"weights": tag, "sha256": pretrained.sha256(file)}
        torch.testing.assert_close(model(view(), 5, {}).eval().body(pixels(view())), source.body(pixels(view())))


# --- what is refused --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "spec", "code", "named"),
    [
        ("vit_b32", view(224, frames=3), "E408", ("3 frames", "af, kfs or mfs")),
        ("vit_b32", view(200), "E407", ("divisible by 32", "200x200", "224 or 384")),
        ("vit_nano", view(100), "E407", ("divisible by 8", "100x100")),
        ("swin_b", view(32), "E407", ("attention window", "32x32")),
        ("swin_b", view(544), "E407", ("attention window", "544x544")),
        ("swin_nano", view((64, 72)), "E407", ("divisible by 16", "64x72")),
        ("poolformer_m36", view(24), "E407", ("at least 32 pixels", "24x24")),
        ("small_cnn", view(16), "E406", ("at least 24 pixels", "16x16")),
    ],
)
def test_views_that_do_not_fit_are_refused_early(name: str, spec: ViewSpec, code: str, named: tuple[str, ...]) -> None:
    params = {} if name == "small_cnn" else {"weights": "random"}
    with refuses(code, name, *named):
        models.build(name, params).check(spec)


def test_parameters_that_do_not_fit_are_refused() -> None:
    with refuses("E113", "swin_b", "frozen_stages = 5", "4 stages"):
        models.build("swin_b", {"frozen_stages": 5, "weights": "random"}).check(view(224))
    with refuses("E512", "vit_nano"):
        models.build("vit_nano", {"weights": "imagenet"}).check(view())
    with refuses("E514", "vit_b32", "one or three channels", "have 2"):
        models.build("vit_b32", {}).check(view(224, ("u", "v")))
    with refuses("E112", "grey = 'mean'", "'sum' or 'copy'"):
        models.build("vit_nano", {"grey": "mean"})
    with refuses("E503", "model.pt"):
        models.build("vit_b32", {"weights": "model.pt"}).check(view(224))
    for name in ("majority", "class_frequency", "pca_svm"):
        with refuses("E413", name, "action_units"):
            models.build(name, {})(view(), 5, {"action_units": 4})
    for name in NETWORKS:
        assert models.build(name, {})(view(), 5, {"action_units": 4})(pixels(view())).aux["action_units"].shape == (
            2,
            4,
        )


@pytest.mark.parametrize(("name", "value"), [("drop_path", -0.1), ("dropout", 1.5), ("frozen_stages", -2)])
def test_ranges_stand_in_the_signature(name: str, value: float) -> None:
    annotation = typing.get_type_hints(models.get("vit_b32"), include_extras=True)[name]
    with pytest.raises(ValidationError):
        TypeAdapter(annotation).validate_python(value)


def test_all_names_are_found_without_an_import() -> None:
    families = {f"{family}_nano" for family in ("vit", "swin", "poolformer")}
    large = {"vit_b32", "vit_s32", "swin_b", "swin_t", "poolformer_m36", "poolformer_m48", "poolformer_s12"}
    assert families | large | {"small_cnn", "majority", "class_frequency", "pca_svm"} <= {*models.names()}


def test_small_cnn_stacks_frames() -> None:
    spec = view(32, ("u", "v"), frames=3)
    assert net("small_cnn", spec, width=4)(pixels(spec)).logits.shape == (2, 5)


# --- estimators -------------------------------------------------------------------------------------------------------
RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 3], [30, 15, 5])
X = (RNG.normal(size=(50, 40)) + 2 * np.eye(40)[Y]).astype(np.float32)


@pytest.mark.parametrize("name", ["majority", "class_frequency", "pca_svm"])
def test_estimators_predict_their_most_probable_class(name: str) -> None:
    estimator = models.build(name, {})(view(), 4, {}).fit(X, Y)
    proba = estimator.predict_proba(X)
    assert estimator.classes_.tolist() == [0, 1, 3]
    assert proba.shape == (50, 3)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert np.array_equal(estimator.classes_[proba.argmax(1)], estimator.predict(X))
    again = models.build(name, {})(view(), 4, {}).fit(X, Y)
    assert np.array_equal(again.predict_proba(X), proba)
    assert dict(models.build(name, {}).check(view())) == {"weights": "none"}


def test_majority_gives_the_shares_of_training() -> None:
    estimator = models.build("majority", {})(view(), 4, {}).fit(X, Y)
    np.testing.assert_allclose(estimator.predict_proba(X[:2]), [[0.6, 0.3, 0.1]] * 2)


def test_guesses_follow_the_shares_and_differ_by_row_fold_and_seed_but_not_by_batch() -> None:
    rows = RNG.normal(size=(2000, 3)).astype(np.float32)
    build = models.build("class_frequency", {})
    guess = build(view(), 4, {}).fit(X, Y)
    np.testing.assert_allclose(guess.predict_proba(rows).mean(0), [0.6, 0.3, 0.1], atol=0.04)
    assert np.array_equal(guess.predict(rows)[:7], guess.predict(rows[:7]))
    folds = [build(view(), 4, {}).fit(X[k:], Y[k:]).predict(rows[:1])[0] for k in range(20)]
    assert len(set(folds)) > 1
    other = models.build("class_frequency", {"seed": 1})(view(), 4, {}).fit(X, Y)
    assert not np.array_equal(other.predict(rows), guess.predict(rows))


@pytest.mark.parametrize(("rows", "values"), [(50, 400), (50, 20_000), (60, 40)])
def test_principal_axes_are_those_of_a_full_decomposition(rows: int, values: int) -> None:
    """Of few rows of many values, in blocks of columns, and of many rows; signs are arbitrary."""
    drawn = np.random.default_rng(1).normal(size=(rows, values)) * np.geomspace(1, 0.01, values) + 3
    for components in (10, min(rows - 1, values)):
        ours = PrincipalAxes(components, svd_solver="full")
        reference = PCA(components, svd_solver="full").fit(drawn)
        scores = ours.fit_transform(drawn)
        np.testing.assert_allclose(np.abs(scores), np.abs(reference.transform(drawn)), atol=1e-8)
        for name in (
            "mean_",
            "explained_variance_",
            "explained_variance_ratio_",
            "singular_values_",
            "noise_variance_",
        ):
            np.testing.assert_allclose(getattr(ours, name), getattr(reference, name), rtol=1e-6, atol=1e-10)
        assert set(vars(ours)) == set(vars(reference))  # stored models of earlier versions have the same attributes


@pytest.mark.parametrize("values", [30, 400])
def test_logistic_regression_is_that_of_scikit_learn_on_few_and_on_many_values(values: int) -> None:
    """With more values than rows it is fitted to coordinates of the rows, and its weights are turned back."""
    rng = np.random.default_rng(2)
    rows = (rng.normal(size=(50, values)) + np.eye(values)[Y]).astype(np.float32)
    ours = LogisticClassifier(C=0.01).fit(rows, Y)
    exact = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=10_000, tol=1e-10)
    )
    new = rng.normal(size=(20, values)).astype(np.float32)
    expected = exact.fit(rows.astype(float), Y).predict_proba(new.astype(float))
    np.testing.assert_allclose(ours.predict_proba(new), expected, atol=2e-3)
    assert ours.pipeline_[-1].coef_.shape == (3, values)


def test_pca_svm_learns_caps_its_components_and_takes_two_classes_but_not_one() -> None:
    svm = models.build("pca_svm", {"components": 1000})(view(), 4, {}).fit(X, Y)
    assert svm.pca_.n_components_ == 40
    assert (svm.predict(X) == Y).mean() > 0.9
    two = models.build("pca_svm", {"C": 1, "gamma": 0.01})(view(), 4, {}).fit(X[:45], Y[:45])
    assert two.predict_proba(X).shape == (50, 2)
    assert (two.predict(X[:45]) == Y[:45]).mean() > 0.8
    with refuses("E702", "pca_svm"):
        models.build("pca_svm", {})(view(), 4, {}).fit(X[:10], Y[:10])


@pytest.mark.parametrize("gamma", ["scale", "auto", 0.02])
def test_pca_svm_decides_as_scikit_learns_classes_do(gamma: float | str) -> None:
    rng = np.random.default_rng(3)
    rows = (rng.normal(size=(50, 400)) + 2 * np.eye(400)[Y]).astype(np.float32)
    ours = models.build("pca_svm", {"components": 20, "gamma": gamma})(view(), 4, {}).fit(rows, Y)
    svm = SVC(C=3.0, gamma=gamma, class_weight="balanced", break_ties=True)
    theirs = make_pipeline(StandardScaler(), PCA(20, svd_solver="full"), svm).fit(rows.astype(float), Y)
    new = rng.normal(size=(30, 400)).astype(np.float32)
    expected = softmax(theirs.decision_function(new.astype(float)), axis=1)
    np.testing.assert_allclose(ours.predict_proba(new), expected, atol=1e-5)


def test_pca_svm_on_real_flow() -> None:
    """UF1 0.7105, UAR 0.7156 over 68 subjects and 442 flow images of the MEGC 2019 composite database."""
    import cv2
    from sklearn.metrics import f1_score, recall_score

    root = Path(os.environ.get("MICROEXPR_MEGC2019_FLOW", "none"))
    if not root.is_dir():
        pytest.skip("set MICROEXPR_MEGC2019_FLOW to the folder of manifest.csv and onset_apex/")
    rows = list(csv.DictReader((root / "manifest.csv").read_text("utf-8").splitlines()))
    x = np.stack([cv2.imread(str(root / row["onset_apex"])).ravel() for row in rows]).astype(np.float32)
    y = np.array([("negative", "positive", "surprise").index(row["emotion"]) for row in rows])
    subjects = np.array([row["dataset"] + row["subject"] for row in rows])
    predicted = np.empty_like(y)
    for subject in np.unique(subjects):
        test = subjects == subject
        estimator = models.build("pca_svm", {})(view(28), 3, {}).fit(x[~test], y[~test])
        predicted[test] = estimator.predict_proba(x[test]).argmax(1)
    assert f1_score(y, predicted, average="macro") == pytest.approx(0.7105, abs=0.01)
    assert recall_score(y, predicted, average="macro") == pytest.approx(0.7156, abs=0.01)
