"""Augmentations: what each does to a batch, the same bytes from the same seed, and that only training sees them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from conftest import recipe
from microexpr import run_study
from microexpr.config.loading import parse
from microexpr.config.settings import Training
from microexpr.config.study import Study
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import Batch, Frames, Modality, Output, ViewSpec, augmentations, losses, representations
from microexpr.report.view import StudyView
from microexpr.runs import jobs
from microexpr.runs.plan import Options, Workspace
from motions import pair
from refusal import refuses
from small_training import PIXELS, SPEC, task, train

pytestmark = pytest.mark.usefixtures("no_figures")

RGB, GREY, FLOW = ("r", "g", "b"), ("grey",), ("u", "v", "strain")


def view(channels, low=0.0, high=255.0, scaling=""):
    return ViewSpec((1, 16, 16, len(channels)), channels, low, high, scaling)


def batch(rows=6, channels=3, frames=2, side=16):
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(0, 256, (rows, frames, channels, side, side), generator=generator).float()
    y = torch.nn.functional.one_hot(torch.arange(rows) % 3, 3).float()
    return Batch(x, y, {"au": torch.arange(rows).float()})


def change(name, the_batch, channels=RGB, seed=1, **params):
    generator = torch.Generator().manual_seed(seed)
    shown = view(channels, scaling="minmax" if name == "reverse" else "")
    return augmentations.build(name, params)(the_batch, shown, generator)


@pytest.mark.parametrize(
    ("name", "channels"),
    [(name, (FLOW if name == "reverse" else channels)) for name in augmentations.names() for channels in (RGB, GREY)],
)
def test_the_generator_alone_decides_and_the_batch_is_left_alone(name, channels):
    before = batch(channels=len(channels))
    kept = before.x.clone(), before.y.clone()
    torch.manual_seed(1)
    first = change(name, before, channels)
    torch.manual_seed(2)
    again, other = change(name, before, channels), change(name, before, channels, seed=9)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.y, again.y)
    assert not torch.equal(first.x, other.x)
    assert first.x.shape == before.x.shape
    assert first.x.dtype == before.x.dtype
    assert torch.equal(before.x, kept[0])
    assert torch.equal(before.y, kept[1])
    assert not torch.equal(first.x, before.x)
    assert first.x.min() >= 0
    assert first.x.max() <= 255


def test_a_shift_moves_whole_pixels_and_all_frames_of_a_view_together():
    before = batch()
    after = change("crop_jitter", before, percent=20)
    shifts = set()
    for old, new in zip(before.x, after.x, strict=True):
        fits = [
            (down, across)
            for down in range(-3, 4)
            for across in range(-3, 4)
            if torch.equal(new[..., 3:-3, 3:-3], old.roll((down, across), (-2, -1))[..., 3:-3, 3:-3])
        ]
        assert len(fits) == 1
        shifts.add(fits[0])
        down, _ = fits[0]
        if down > 0:  # the border repeats the outermost row
            assert torch.equal(new[..., 0, 3:-3], new[..., down, 3:-3])
    assert len(shifts) > 3


def test_shifts_reach_both_ends_of_their_range():
    x = torch.arange(9.0).repeat(2000, 1, 1, 9, 1)
    moved = change("crop_jitter", Batch(x, torch.eye(2)[torch.zeros(2000, dtype=int)], {}), GREY, percent=22)
    centre = moved.x[:, 0, 0, 4, 4]
    counts = torch.bincount((4 - centre).long() + 2)
    assert counts.tolist() == pytest.approx([400] * 5, abs=80)


@pytest.mark.parametrize(("height", "width", "most"), [(224, 224, (8, 8)), (384, 384, (13, 13)), (28, 57, (1, 2))])
def test_a_shift_is_the_same_share_of_every_size(height, width, most):
    rows = torch.arange(float(height))[:, None].expand(height, width)
    columns = torch.arange(float(width)).expand(height, width)
    x = torch.stack([rows, columns])[None, None].expand(200, 1, 2, height, width)
    moved = change("crop_jitter", Batch(x, torch.eye(2)[torch.zeros(200, dtype=int)], {}), ("grey", "depth"))
    centre = moved.x[:, 0, :, height // 2, width // 2] - torch.tensor([height // 2, width // 2])
    assert tuple(centre.abs().amax(0).int().tolist()) == most


def test_shifts_that_no_pixel_could_follow_and_the_old_parameter_are_refused():
    tiny = ViewSpec((1, 8, 32, 1), GREY)
    with refuses("E417", "crop_jitter", "3.5 %", "8x32", "percent = 0"):
        augmentations.build("crop_jitter", {}).check(tiny)
    augmentations.build("crop_jitter", {"percent": 0, "scale": 0.1}).check(tiny)
    with refuses("E110", "'pixels'", "percent, scale"):
        augmentations.build("crop_jitter", {"pixels": 8})


def test_a_zoom_keeps_the_middle_and_enlarges_what_it_says():
    ramp = torch.linspace(-8, 8, 33).repeat(64, 1, 1, 33, 1)
    moved = change("crop_jitter", Batch(ramp, torch.eye(2)[torch.zeros(64, dtype=int)], {}), GREY, percent=0, scale=0.2)
    slope = (moved.x[:, 0, 0, 16, 20] - moved.x[:, 0, 0, 16, 12]) / 4
    torch.testing.assert_close(moved.x[:, 0, 0, 16, 16], torch.zeros(64), atol=1e-5, rtol=0)
    assert 0.8 < (1 / slope).min() < 0.85  # the picture's slope is 1 / zoom
    assert 1.15 < (1 / slope).max() < 1.2


def test_without_zoom_and_with_one_of_nothing_shifts_are_alike():
    from microexpr.components.augmentation.crop_jitter import _resampled, _shifted

    x, shifts = batch().x.flatten(1, 2), torch.tensor([[0, 0], [1, -2], [3, 3], [-1, 0], [0, 2], [-3, -3]])
    torch.testing.assert_close(_resampled(x, shifts, torch.ones(6)), _shifted(x, shifts), atol=0.01, rtol=0)


def test_flips_mirror_a_share_of_the_views():
    before = batch(rows=400, side=4)
    after = change("flip", before, share=0.25)
    mirrored = (after.x == before.x.flip(-1)).flatten(1).all(1)
    same = (after.x == before.x).flatten(1).all(1)
    assert bool((mirrored ^ same).all())
    assert 70 < int(mirrored.sum()) < 130
    assert torch.equal(change("flip", before, share=1.0).x, before.x.flip(-1))
    assert torch.equal(change("flip", before, share=0.0).x, before.x)


def grown(low, high):
    """Return a made-up flow of five rows, and its mirror's, both scaled each channel of each picture by itself."""
    generator = torch.Generator().manual_seed(3)
    flow = torch.randn(5, 1, 3, 8, 8, generator=generator, dtype=torch.float64)
    mirrored = flow.flip(-1)
    mirrored[:, :, 0] *= -1

    def scaled(x):
        min_frames, most = x.amin((-1, -2), keepdim=True), x.amax((-1, -2), keepdim=True)
        return low + (high - low) * (x - min_frames) / (most - min_frames)

    return scaled(flow), scaled(mirrored)


def test_the_mirror_of_scaled_flow_is_the_scaled_flow_of_the_mirror():
    x, mirrored = grown(0, 255)
    flipped = augmentations.build("flip", {"share": 1.0})(
        Batch(x, torch.eye(5), {}), view(FLOW, scaling="minmax"), torch.Generator()
    )
    torch.testing.assert_close(flipped.x, mirrored)


def test_signed_flow_changes_its_sign_and_polar_flow_its_cosine():
    x = torch.randn(4, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    one = Batch(x, torch.eye(4), {})
    flip = augmentations.build("flip", {"share": 1.0})
    for channels, turned in ((FLOW, 0), (("magnitude", "cos", "sin"), 1)):
        signed = view(channels, -4.0, 4.0, "centred")
        expected = x.flip(-1).clone()
        expected[:, :, turned] *= -1
        torch.testing.assert_close(flip(one, signed, torch.Generator()).x, expected)


def bumps():
    """Two frames in which skin moves to the right on the left side, and up and to the left on the right side."""
    y, x = np.mgrid[:96, :96]
    near = [np.exp(-((x - at) ** 2 + (y - 50) ** 2) / 450) for at in (28, 62)]
    return pair(2 * near[0] - 1.2 * near[1], -1.5 * near[1], side=96)


def represented(name, frames):
    """What a representation makes of grey frames, as a network takes it, and its view."""
    clip = Clip(dataset="d", subject_id="1", namespace="d", video="v", onset=1, apex=2, offset=2)
    representation = representations.build(name, {})
    shown = representation(Frames(frames[..., None], GREY, np.zeros((2, 4))), (1, 2), clip).astype(np.float32)
    x = torch.as_tensor(np.ascontiguousarray(shown)).movedim(-1, 1)[None]
    return x, ViewSpec(shown.shape, *representation.output_spec(Modality(GREY)))


HISTOGRAMS = ("bi_woof", "lbp_top")
FLOWS = ("flow", "flow_polar")


@pytest.mark.parametrize("name", [name for name in representations.names() if name not in HISTOGRAMS])
def test_a_flipped_view_is_the_view_of_the_mirrored_film(name):
    (x, spec), frames = represented(name, bumps()), bumps()
    expected, _ = represented(name, np.ascontiguousarray(frames[:, :, ::-1]))
    flipped = augmentations.build("flip", {"share": 1.0})(Batch(x, torch.eye(1), {}), spec, torch.Generator()).x
    if name in FLOWS:  # which OpenCV finds a little otherwise from right to left
        moves = expected.abs().mean((0, 2, 3, 4))
        gap = (flipped - expected)[..., 10:-10, 10:-10].abs().mean((0, 2, 3, 4))
        assert (gap < 0.25 * moves).all(), (gap, moves)
    else:
        torch.testing.assert_close(flipped, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", HISTOGRAMS)
@pytest.mark.parametrize("augmentation", ["flip", "crop_jitter"])
def test_histograms_of_blocks_are_not_taken_for_pictures(name, augmentation):
    (x, spec), frames = represented(name, bumps()), bumps()
    mirrored, _ = represented(name, np.ascontiguousarray(frames[:, :, ::-1]))
    assert (x.flip(-1) - mirrored).abs().mean() > 0.5 * mirrored.abs().mean()  # turning the picture is not enough
    with refuses("E412", augmentation, f"channels {spec.channels[0]}, "):
        augmentations.build(augmentation, {}).check(spec)


def test_played_backwards_both_directions_turn_and_strain_stays():
    x = torch.randn(400, 1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    after = augmentations.build("reverse", {})(
        Batch(x, torch.eye(400), {}), view(FLOW, -4.0, 4.0, "centred"), torch.Generator().manual_seed(2)
    ).x
    turned = (after[:, :, :2] == -x[:, :, :2]).flatten(1).all(1)
    assert bool((turned ^ (after == x).flatten(1).all(1)).all())
    assert 150 < int(turned.sum()) < 250
    assert torch.equal(after[:, :, 2], x[:, :, 2])


def test_motion_of_unknown_scaling_is_not_turned_and_motion_is_not_zoomed():
    with refuses("E411", "flip must invert u,", '"minmax"', '"centred"'):
        change("flip", batch(), FLOW)
    with refuses("E411", "reverse must invert u and v,"):
        augmentations.build("reverse", {}).check(view(FLOW))
    with refuses("E409", "reverse", "r, g, b"):
        augmentations.build("reverse", {}).check(view(RGB))
    with refuses("E417", "crop_jitter", "u and v", "scale = 0"):
        change("crop_jitter", batch(), FLOW, scale=0.1)
    assert change("crop_jitter", batch(), FLOW).x.shape == batch().x.shape
    assert change("flip", batch(), ("v", "strain", "depth")).x.shape == batch().x.shape


def test_light_changes_as_its_formula_says():
    x = torch.full((1, 1, 3, 2, 2), 100.0)
    x[0, 0, :, 0, 0] = torch.tensor([10.0, 200.0, 90.0])
    one = Batch(x, torch.eye(2)[:1], {})
    draws = 1 + 0.5 * (2 * torch.rand(1, 3, generator=torch.Generator().manual_seed(1)) - 1)[0]
    light = change("colour", one, brightness=0.5, contrast=0.0, saturation=0.0).x
    torch.testing.assert_close(light, (x * draws[0]).clamp(0, 255))
    flat = change("colour", one, brightness=0.0, contrast=0.5, saturation=0.0).x
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    mean = (x * weights).sum(2).mean()
    torch.testing.assert_close(flat, (mean + (x - mean) * draws[1]).clamp(0, 255))
    pale = change("colour", one, brightness=0.0, contrast=0.0, saturation=0.5).x
    torch.testing.assert_close((pale * weights).sum(2), (x * weights).sum(2), atol=1e-3, rtol=0)  # luma stays
    grey = Batch(x[:, :, :1], one.y, {})
    assert torch.equal(change("colour", grey, GREY, brightness=0.0, contrast=0.0).x, grey.x)


@pytest.mark.parametrize("channels", [("depth",), FLOW, ("b", "g", "x")])
def test_what_is_no_colour_gets_no_other_light(channels):
    with refuses("E409", "colour", ", ".join(channels)):
        change("colour", batch(), channels)


def test_mixup_joins_pictures_and_labels_by_the_same_share():
    before = batch(rows=500, side=2, frames=1)
    x = before.x.clone()
    x[:] = torch.arange(500.0).reshape(-1, 1, 1, 1, 1)
    y = torch.eye(500)
    after = change("mixup", Batch(x, y, {"au": torch.arange(500.0)}), alpha=0.4)
    torch.testing.assert_close(after.y.sum(1), torch.ones(500))
    torch.testing.assert_close(after.x[:, 0, 0, 0, 0], after.y @ torch.arange(500.0), atol=0.01, rtol=1e-4)
    torch.testing.assert_close(after.aux["au"], after.x[:, 0, 0, 0, 0], atol=0.01, rtol=1e-4)
    shares = torch.diagonal(after.y)
    # Beta(0.4, 0.4): mean 1/2, variance 1/4 / (2 alpha + 1).
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.06)
    assert float(shares.var()) == pytest.approx(0.25 / 1.8, abs=0.02)


@pytest.mark.parametrize("name", losses.names())
def test_losses_take_soft_labels_as_shares_of_hard_ones(name):
    loss, counts = losses.build(name, {}), torch.tensor([5.0, 10.0, 20.0])
    logits = torch.tensor([[1.0, -2.0, 0.3], [0.0, 0.5, -1.0]])

    def of(y):
        return loss(Output(logits, {}), Batch(torch.empty(2, 0), y, {}), counts)

    first, second = torch.eye(3)[[0, 0]], torch.eye(3)[[2, 1]]
    torch.testing.assert_close(of(0.3 * first + 0.7 * second), 0.3 * of(first) + 0.7 * of(second))


@dataclass
class Spy:
    """Remember every batch, and spoil it, so that whoever is shown it would notice."""

    seen: list[torch.Tensor] = field(default_factory=list)

    def check(self, channels):
        pass

    def __call__(self, batch, channels, generator):
        self.seen.append(batch.x.clone())
        return batch._replace(x=torch.zeros_like(batch.x))


def test_only_training_batches_pass_through():
    spy, a_task = Spy(), task()
    settings = Training(epochs=3, learning_rate=3e-3, batch=8, patience=0)
    shown: list[float] = []

    def build():
        from microexpr.core.interfaces import models

        model = models.build("small_cnn", {})(SPEC, 3, {})
        model.register_forward_pre_hook(
            lambda module, inputs: None if module.training else shown.append(float(inputs[0].abs().sum()))
        )
        return model

    fitted = train(build, a_task, {"focal": losses.build("focal", {})}, settings, 1, [spy])
    fitted.proba()
    rows = torch.cat(spy.seen)
    assert len(rows) == 3 * len(a_task.train)
    trained = torch.as_tensor(PIXELS[a_task.train]).movedim(-1, 2).float()
    held = torch.as_tensor(PIXELS[a_task.val]).movedim(-1, 2).float()
    for row in rows[: len(a_task.train)]:
        assert any(torch.equal(row, one) for one in trained)
        assert not any(torch.equal(row, one) for one in held)
    assert len(shown) >= 3 * 2 + 1  # every epoch's look at both parts, and the prediction
    assert min(shown) > 0  # nothing that was evaluated had been spoilt


def fitted(augment):
    settings = Training(epochs=2, learning_rate=3e-3, batch=8, patience=0)
    from microexpr.core.interfaces import models

    factory = models.build("small_cnn", {})
    built = {"focal": losses.build("focal", {})}
    return train(lambda: factory(SPEC, 3, {}), task(), built, settings, 1, augment)


def test_same_seed_same_bytes_with_all_of_them():
    several = [augmentations.build(name, {}) for name in augmentations.names() if name != "reverse"]
    first, again, without = fitted(several), fitted(several), fitted([])
    for ours, theirs in zip(first.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert first.history.equals(again.history)
    assert not first.history["train_loss"].equals(without.history["train_loss"])


def test_clips_come_in_the_same_order_with_augmentation_and_without():
    unchanged = fitted([augmentations.build("flip", {"share": 0.0})])
    assert unchanged.history.equals(fitted([]).history)


def test_none_is_the_default_and_each_moves_the_key(database, tmp_path):
    assert recipe().augmentation == ()
    keys = {recipe().with_values({"augmentation": name}).key() for name in augmentations.names()}
    assert len({*keys, recipe().key()}) == len(augmentations.names()) + 1


def test_what_cannot_be_augmented_is_refused_before_training(database, tmp_path):
    workspace = Workspace(Options({"manifest": database}, tmp_path))
    with pytest.raises(ConfigError, match="pca_svm"):
        workspace.plan(recipe().with_values({"model": "pca_svm", "augmentation": "flip"}))
    with refuses("E112", "percent = -1"):
        workspace.plan(recipe().with_values({"augmentation": {"name": "crop_jitter", "percent": -1}}))
    plan = workspace.plan(
        recipe().with_values({"augmentation": ["crop_jitter", "colour"], "training.epochs": 1, "protocol": "loso"})
    )
    workspace.prepare([plan])
    assert len(jobs.run(plan, workspace).predictions()) == 36


# --- a study with augmentation as an axis -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def study(database, tmp_path_factory):
    experiment = recipe().with_values(
        {"protocol": "paper_holdout", "training.epochs": 2, "training.patience": 1, "loss": "best_on_validation"}
    )
    content = {
        "name": "augmented",
        "title": "Augmented",
        "published": "paper",
        "experiment": experiment.to_dict(),
        "grid": {
            "preprocessing": [{"name": "m1", "size": 32}, {"name": "m1", "size": 40}],
            "augmentation": [[], {"name": "crop_jitter", "percent": 10}],
            "sampling": ["af", "kfs"],
        },
        "latency": False,
    }
    out = tmp_path_factory.mktemp("augmented")
    return run_study(parse(Study, content, "augmented"), database, out, workers=1), out


def table(out, name):
    return list(csv.DictReader(io.StringIO((out / "tables" / f"{name}.csv").read_text("utf-8"))))


def test_cells_that_differ_in_augmentation_are_not_taken_for_one_another(study):
    finished, out = study
    summary = finished.summary
    assert len({cell.key for cell in summary.cells}) == 8
    assert [cell.factors["augmentation"] for cell in summary.cells] == ["none", "none", *["crop_jitter"] * 2] * 2
    places = {(cell.preprocessing, cell.sampling, cell.factors["augmentation"]): cell for cell in summary.cells}
    assert len(summary.paired) == 4  # 2 samplings x 2 augmentations, never one against the other
    for row in summary.paired:
        a, b = (places[side, row.sampling, row.factors["augmentation"]] for side in (row.a, row.b))
        assert row.paired.difference == pytest.approx(a.macro_f1 - b.macro_f1)
    view = StudyView(summary)
    assert view.other_axes == ["augmentation"]
    assert len(view.default_cells) == 4
    found = view.find("m1(size=40)", "kfs", "small_cnn")
    assert found is not None
    assert found.factors["augmentation"] == "none"
    jittered = places["m1(size=32)", "kfs", "crop_jitter"]
    assert view.find("m1(size=40)", "kfs", "small_cnn", jittered) == places["m1(size=40)", "kfs", "crop_jitter"]
    assert all(winner.factors["augmentation"] == "none" for winner in view.best_by_sampling.values())
    assert "augmentation crop_jitter" in view.title(jittered)
    for name in ("all_cells", "losses", "paired"):
        rows = table(out, name)
        assert {row["factor_augmentation"] for row in rows} == {"none", "crop_jitter"}


def test_the_papers_tables_say_which_cells_they_show(study):
    page = "".join((study[1] / f"{stem}.html").read_text("utf-8") for stem in ("report", "details"))
    assert page.count("Only cells with augmentation none; the table of all cells lists the others.") >= 4
    rows = table(study[1], "main_results")
    plain = {cell.macro_f1 for cell in study[0].summary.cells if cell.factors["augmentation"] == "none"}
    assert {float(row["m1(size=32)_score"]) for row in rows[:2]} <= plain


def test_the_factors_are_tested_over_all_cells(study):
    factors = study[0].summary.factors
    assert [effect.name for effect in factors.effects] == [
        "preprocessing", "augmentation", "sampling",
        "preprocessing × augmentation", "preprocessing × sampling", "augmentation × sampling",
    ]  # fmt: skip
    cells = study[0].summary.cells
    by = {
        level: np.mean([cell.macro_f1 for cell in cells if cell.factors["augmentation"] == level])
        for level in ("none", "crop_jitter")
    }
    (contrast,) = factors.effects[1].contrasts
    assert contrast.words == "crop_jitter − none"
    assert contrast.value == pytest.approx(by["crop_jitter"] - by["none"])


def test_m1_and_m2_are_said_to_differ_in_several_things(faces, tmp_path):
    content = {
        "name": "paper",
        "title": "Paper",
        "experiment": recipe().with_values({"datasets": "casme2", "model": "majority"}).to_dict(),
        "grid": {"preprocessing": [{"name": "m1", "size": 32}, {"name": "m2", "size": 24, "box": "onset"}]},
        "latency": False,
    }
    summary = run_study(parse(Study, content, "paper"), faces, tmp_path, workers=1).summary
    assert summary.factors.confounded == [
        "The levels of preprocessing differ in crop, size, colour and box at once, so their effects cannot be "
        "separated."
    ]
