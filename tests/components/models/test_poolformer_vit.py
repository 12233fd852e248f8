"""PoolFormer over all frames beside a ViT on the apex: both fusions, the apex's place, weights, what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from microexpr import api
from microexpr.components.models._backbone import each_frame
from microexpr.core import pretrained
from microexpr.core.clip import Clip
from microexpr.core.interfaces import ViewSpec, models, samplers
from moving import accuracy, learn
from nets import GREY, RGB, built, count, pixels, saved, still
from refusal import refuses

pytestmark = pytest.mark.usefixtures("one_thread", "no_weights")
TAGS = ["poolformer_m36.sail_in1k", *(f"vit_base_patch32_{size}.augreg_in21k_ft_in1k" for size in (224, 384))]


def view(frames: int = 3, size: int = 32, channels: tuple[str, ...] = RGB) -> ViewSpec:
    return ViewSpec((frames, size, size, len(channels)), channels)


net = partial(built, "poolformer_vit", size="nano")


# --- what is built ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fusion", ["feature", "score"])
@pytest.mark.parametrize("time", ["mean", "attention"])
@pytest.mark.parametrize(
    "spec", [view(2, 64), view(3, 72, GREY), view(3, 64, (*RGB, "depth")), view(3, 64, ("u", "v"))]
)
def test_scores_and_auxiliary_outputs_reach_all_parameters(fusion: str, time: str, spec: ViewSpec) -> None:
    model = net(spec, action_units=6, fusion=fusion, time=time, drop_path=0.0)
    output = model(pixels(spec))
    assert (output.logits.shape, output.aux["action_units"].shape) == ((2, 3), (2, 6))
    (output.logits[:, 0].sum() + output.aux["action_units"].sum()).backward()
    assert still(model) == []  # at 32 pixels PoolFormer's last map would be one cell, with nothing to pool


def test_features_are_joined_before_one_head() -> None:
    model, x = net(view()).eval(), pixels(view())
    assert model.head[1].weight.shape == (3, 128 + 96)
    with torch.no_grad():
        both = torch.cat([each_frame(model.body.pool, x).mean(1), model.body.vit(x[:, [1]])], 1)
        torch.testing.assert_close(model(x).logits, model.head(both))


def test_score_fusion_is_the_mean_of_both_heads_probabilities() -> None:
    model, x = net(view(), fusion="score").eval(), pixels(view())
    with torch.no_grad():
        parts = model.body.parts(x)
        expected = (model.pool_head(parts.pool).softmax(1) + model.vit_head(parts.vit).softmax(1)) / 2
        logits = model(x).logits
    torch.testing.assert_close(logits.exp(), expected)
    torch.testing.assert_close(logits.softmax(1), expected)


def test_score_fusion_is_finite_where_both_heads_are_certain_and_keeps_a_gradient() -> None:
    model, x = net(view(), fusion="score").train(), pixels(view())
    with torch.no_grad():
        for head in (model.pool_head, model.vit_head):
            head[1].bias.copy_(torch.tensor([500.0, -500.0, -500.0]))
    logits = model(x).logits
    assert torch.isfinite(logits).all()
    nn.functional.cross_entropy(logits, torch.tensor([1, 2])).backward()
    for part in (model.pool_head, model.vit_head):
        assert torch.isfinite(part[1].weight.grad).all()
        assert part[1].weight.grad.abs().sum() > 0


def test_each_head_follows_its_own_probabilities() -> None:
    """d(-log of the mean) by a head's logits is its share in the true class's probability times its own error."""
    model, x, y = net(view(), fusion="score", dropout=0.0, drop_path=0.0), pixels(view(), 1), torch.tensor([2])
    parts = [part.detach() for part in model.body.parts(x)]
    heads = (model.pool_head, model.vit_head)
    nn.functional.cross_entropy(model(x).logits, y).backward()
    proba = [head(part).softmax(1)[0].detach() for head, part in zip(heads, parts, strict=True)]
    for head, own in zip(heads, proba, strict=True):
        share = own[2] / (proba[0][2] + proba[1][2])
        torch.testing.assert_close(head[1].bias.grad, share * (own - nn.functional.one_hot(y, 3)[0]))


def test_attention_over_time_begins_as_the_mean_and_can_choose_a_frame() -> None:
    plain, x = net(view(4), apex=1).eval(), pixels(view(4), 6)
    model = net(view(4), apex=1, time="attention", dropout=0.0, drop_path=0.0).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x).logits, plain(x).logits)
        frames = each_frame(model.body.pool, x)
        liked = frames[:, 2].mean(0) - frames.mean((0, 1))
        model.body.over_time.score.copy_(1e6 * liked)
        chosen = (frames @ liked).argmax(1)
        torch.testing.assert_close(model.body.parts(x).pool, frames[range(6), chosen])


def test_the_vit_sees_the_apex_alone_and_the_poolformer_all_frames_in_any_order() -> None:
    model, x = net(view()).eval(), pixels(view())
    other, turned = x.clone(), x[:, [2, 1, 0]]
    other[:, 0] = 255 - other[:, 0]
    with torch.no_grad():
        before, changed, reordered = (model.body.parts(each) for each in (x, other, turned))
    assert torch.equal(before.vit, changed.vit)
    assert (before.pool - changed.pool).abs().max() > 1e-3
    torch.testing.assert_close(before, reordered)


@pytest.mark.parametrize(
    ("sampling", "params"), [("onset_apex", {}), ("onset_apex_offset", {}), ("apex_offset", {"apex": 0})]
)
def test_the_apex_is_where_its_samplings_have_it(sampling: str, params: dict) -> None:
    clip = Clip(dataset="d", subject_id="1", namespace="d", video="v", fps=200.0, onset=3, apex=8, offset=20)
    (numbers,) = samplers.build(sampling, {})(clip)
    model = net(view(len(numbers)), **params)
    assert numbers[model.body.apex] == clip.apex


def test_full_size_parts_have_the_parameters_of_the_literature() -> None:
    with torch.device("meta"):
        model = models.build("poolformer_vit", {"weights": "random"})(view(3, 224), 7, {})
    millions = [count(part) / 1e6 for part in (model.body.pool, model.body.vit)]
    assert millions == pytest.approx([55.4, 87.5], abs=0.1)
    assert model.head[1].weight.shape == (7, 768 + 768)


# --- what it learns ---------------------------------------------------------------------------------------------------
def two_bits(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One in the stripes of the apex, one in the brightness of the other frames."""
    bits = torch.randint(2, (2, rows), generator=generator)
    x = torch.full((rows, 3, 3, 32, 32), 128.0)
    stripes = 60.0 * (torch.arange(32) // 4 % 2 * 2 - 1)
    x[:, 1] += torch.where(bits[0].view(-1, 1, 1, 1) == 1, stripes.view(1, 1, 1, 32), stripes.view(1, 1, 32, 1))
    x[:, [0, 2]] += (bits[1].view(-1, 1, 1, 1, 1) * 2.0 - 1) * 60
    return x + 10 * torch.randn(x.shape, generator=generator), bits


@pytest.mark.parametrize(("fusion", "task"), [("feature", "both"), ("score", "others")])
def test_it_learns_what_is_told_by_the_apex_and_by_the_other_frames(fusion: str, task: str) -> None:
    """Of both joined neither part of a score fusion could speak alone; a head over both features can."""

    def drawn(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, bits = two_bits(rows, generator)
        return x, {"both": bits.sum(0), "apex": bits[0], "others": bits[1]}[task]

    model = learn(net(view(), fusion=fusion, dropout=0.0, drop_path=0.0), drawn, steps=60, rate=1e-3)
    assert accuracy(model, *drawn(60, torch.Generator().manual_seed(9))) > 0.9


# --- weights ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fusion", ["feature", "score"])
def test_both_parts_start_from_a_file_of_this_model(fusion: str, tmp_path: Path) -> None:
    source = net(view(), seed=5, fusion=fusion)
    file = saved(source, tmp_path / "own.safetensors")
    model = net(view(), seed=1, weights=file, fusion="score" if fusion == "feature" else "feature").eval()
    x = pixels(view())
    with torch.no_grad():
        torch.testing.assert_close(model.body.parts(x), source.eval().body.parts(x))
    metadata = models.build("poolformer_vit", {"size": "nano", "weights": file}).check(view())
    assert metadata == {"weights": "own", "sha256": pretrained.sha256(Path(file))}


def test_a_file_of_one_part_is_refused_with_the_other_parts_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = saved(models.build("poolformer_nano", {})(view(1), 3, {}), tmp_path / "pool.safetensors")
    with refuses("E505", "pool.safetensors", "vit_nano"):
        net(view(), weights=file)


def test_published_weights_of_both_are_named_and_told_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nano models stand in for the published ones, under their tags."""
    assert api.weights_tags(["poolformer_vit"]) == TAGS
    assert models.build("poolformer_vit", {}).label == "PoolFormer-m36 + ViT-B/32"
    monkeypatch.setattr(
        "microexpr.components.models._architectures.Architecture.tag",
        lambda self, spec: TAGS[0] if self.name.startswith("pool") else TAGS[1],
    )
    root, sums = tmp_path / "weights", []
    root.mkdir()
    for tag, name in zip(TAGS, ("poolformer_nano", "vit_nano"), strict=False):
        torch.manual_seed(7)
        file = Path(saved(models.build(name, {})(view(1), 3, {}), root / f"{tag}.safetensors"))
        sums.append(pretrained.sha256(file))
        pretrained._record(tag, pretrained.Entry("timm/x", file.stat().st_size, sums[-1], "test"))
    metadata = models.build("poolformer_vit", {"size": "nano", "weights": "imagenet"}).check(view())
    assert metadata == {"weights": f"{TAGS[0]} + {TAGS[1]}", "sha256": f"{sums[0]} + {sums[1]}"}
    assert net(view(), weights="imagenet")(pixels(view())).logits.shape == (2, 3)


def test_without_weights_a_check_says_so() -> None:
    with refuses("E501", "microexpr weights fetch poolformer_m36"):
        models.build("poolformer_vit", {}).check(view(3, 224))
    assert models.build("poolformer_vit", {"weights": "random"}).check(view(3, 224)) == {"weights": "random"}


def test_each_part_is_frozen_by_its_own_number() -> None:
    model = net(view(), frozen_stages=-1, frozen_blocks=2)
    free = {key for key, value in model.named_parameters() if value.requires_grad}
    assert not any(key.startswith("body.pool.") for key in free)
    assert {key.split(".")[4] for key in free if key.startswith("body.vit.net.blocks")} == {"2", "3"}


# --- what is refused --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "spec", "code", "named"),
    [
        ({}, view(1), "E408", ("one frame", "onset_apex_offset")),
        ({}, view(4), "E414", ("the 4 frames", "onset_apex_offset or onset_apex", "model.apex")),
        ({"apex": 3}, view(3), "E414", ("apex = 3", "3 frames")),
        ({}, view(3, 44), "E407", ("vit_nano", "divisible by 8", "44x44")),
        ({}, view(3, 24), "E407", ("poolformer_nano", "at least 32 pixels", "24x24")),
        ({"frozen_blocks": 5}, view(), "E113", ("vit_nano", 5, "4 stages")),
        ({"weights": "hub"}, view(), "E512", ("poolformer_nano",)),
        ({"size": "base"}, view(3, 200), "E407", ("vit_b32", "divisible by 32", "200x200")),
        ({"size": "base"}, view(3, 224, ("u", "v")), "E514", ("one or three channels", "have 2")),
    ],
)
def test_what_does_not_fit_is_refused_before_training(params: dict, spec: ViewSpec, code: str, named: tuple) -> None:
    with refuses(code, *named):
        models.build("poolformer_vit", {"size": "nano", **params}).check(spec)


def test_a_named_apex_is_taken_in_longer_views() -> None:
    assert models.build("poolformer_vit", {"size": "nano", "apex": 4}).check(view(9)) == {"weights": "random"}
