"""What each representation computes: known motion, slow references, and frames that it must refuse."""

from __future__ import annotations

import csv
import doctest
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from microexpr.components.representation import over_time
from microexpr.components.representation.bi_woof import BiWoof
from microexpr.components.representation.lbp_top import joint_codes
from microexpr.components.representation.over_time import rank_pooling
from microexpr.config.published import load_published
from microexpr.config.study import Study, load
from microexpr.core import flow as motion
from microexpr.core.clip import Clip
from microexpr.core.interfaces import Frames, Modality, representations
from microexpr.report.summary.options import options
from microexpr.runs.experiment import Result
from microexpr.runs.plan import Options, Workspace
from microexpr.runs.study import Cell, StudyResult, planned
from motions import moved, pair, texture
from refusal import refuses
from shell import Answer, microexpr

pytestmark = pytest.mark.usefixtures("no_figures")

CLIP = Clip(dataset="d", subject_id="1", namespace="d", video="v", fps=200.0, onset=1, apex=2, offset=99)
READY = Clip(dataset="d", subject_id="1", namespace="d", video="v")
RGB, GREY = Modality(("r", "g", "b")), Modality(("grey",))
OF_MOTION = [name for name in representations.names() if name != "pixels"]


def show(name, frames, clip=CLIP, /, **params):
    frames = frames if frames.ndim == 4 else frames[..., None]
    channels = ("grey",) if frames.shape[3] == 1 else ("r", "g", "b")
    view = Frames(frames, channels, np.zeros((len(frames), 4)))
    return representations.build(name, params)(view, tuple(range(1, len(frames) + 1)), clip)


def output_spec(name, incoming=GREY, **params):
    return representations.build(name, params).output_spec(incoming)


def film(frames=12, side=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, side, side + 3), np.uint8)


# --- all of them ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OF_MOTION)
@pytest.mark.parametrize("incoming", [Modality(("u", "v", "strain"), scaling="minmax"), Modality(("u", "v"))])
def test_flow_is_not_asked_of_flow(name, incoming):
    with refuses("E410", name, "u, v", 'representation = "pixels"'):
        output_spec(name, incoming)


@pytest.mark.parametrize("name", OF_MOTION)
def test_ready_images_without_names_are_refused_as_well(name):
    with refuses("E419", name, "d/1/v", 'representation = "pixels"'):
        show(name, film(), READY)


@pytest.mark.parametrize("name", ["flow", "flow_polar", "lbp_top", "bi_woof"])
def test_what_needs_one_brightness_says_so(name):
    with refuses("E409", name, "one channel", "r, g, b, depth"):
        output_spec(name, Modality(("r", "g", "b", "depth")))
    with refuses("E409", name, "b, g, r", "`channels`"):
        output_spec(name, Modality(("b", "g", "r")))
    assert output_spec(name, Modality(("depth",), 0, 65535)) == output_spec(name, RGB)


# --- flow -------------------------------------------------------------------------------------------------------------
def test_centred_flow_is_in_per_cent_of_the_width():
    (shown,) = show("flow", pair(3.0, -2.0, side=150))
    inside = shown[20:-20, 20:-20]
    assert shown.shape == (150, 150, 3)
    assert shown.dtype == np.float32
    assert inside[..., 0].mean() == pytest.approx(100 * 3.0 / 150, rel=0.05)
    assert inside[..., 1].mean() == pytest.approx(100 * -2.0 / 150, rel=0.05)
    assert inside[..., 2].mean() < 0.3
    assert output_spec("flow") == Modality(("u", "v", "strain"), -3.0, 3.0, "centred")


def test_strain_is_taken_before_resizing_and_means_the_same_at_every_size():
    x = np.mgrid[:160, :160][1] - 80.0
    frames = pair(0.04 * x, 0 * x, side=160)
    for size in (None, 40):
        (shown,) = show("flow", frames, size=size, limit=50)
        quarter = shown.shape[0] // 4
        inside = shown[quarter:-quarter, quarter:-quarter, 2]
        assert inside.mean() == pytest.approx(10 * 0.04, rel=0.25)
    full, small = show("flow", frames)[0], show("flow", frames, size=40)[0]
    np.testing.assert_allclose(small, cv2.resize(full, (40, 40), interpolation=cv2.INTER_AREA), atol=1e-6)


def test_large_motion_is_clipped_at_the_limit():
    (shown,) = show("flow", pair(6.0, 0.0), limit=2.0)
    assert shown[20:-20, 20:-20, 0].mean() == pytest.approx(2, abs=0.02)
    assert shown.max() == 2
    assert output_spec("flow", limit=2.0)[1:3] == (-2, 2)


def test_consecutive_frames_give_both_directions():
    first, apex = pair(2.0, 0.0)
    there, back = show("flow", np.stack([first, apex, first]))
    assert there[20:-20, 20:-20, 0].mean() > 1 > -1 > back[20:-20, 20:-20, 0].mean()
    assert np.array_equal(there, show("flow", np.stack([first, apex]))[0])


def test_an_apex_that_is_the_onset_has_no_motion():
    still = pair(0, 0)[[0, 0]]
    for method in ("dis", "farneback"):
        assert not show("flow", still, method=method).any()
        assert not show("flow_polar", still, method=method).any()
        assert not show("bi_woof", still, method=method).any()
    spread = show("flow", still, scaling="minmax")
    assert (spread[..., :2] == 127.5).all()
    assert not spread[..., 2].any()


def test_minmax_spreads_each_channel_of_each_picture_before_resizing():
    frames = np.stack([*pair(2.0, -1.0), pair(0, 0, seed=3)[0]])
    shown = show("flow", frames, scaling="minmax")
    assert output_spec("flow", scaling="minmax") == Modality(("u", "v", "strain"), 0.0, 255.0, "minmax")
    assert shown.min(axis=(1, 2)).tolist() == [[0, 0, 0]] * 2
    np.testing.assert_allclose(shown.max(axis=(1, 2)), 255, rtol=1e-6)
    raw = motion.flows(frames)
    full = np.concatenate([raw, np.stack(list(map(motion.strain, raw)))[..., None]], axis=3)
    low, high = full.min(axis=(1, 2), keepdims=True), full.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(shown, 255 * (full - low) / (high - low), atol=1e-2)
    small = show("flow", frames, scaling="minmax", size=28)
    np.testing.assert_allclose(small[0], cv2.resize(shown[0], (28, 28), interpolation=cv2.INTER_AREA), atol=1e-3)
    assert small.max() < 255  # as in the ready images, whose maxima are hardly ever 255


def test_mirrored_frames_give_what_flip_makes_of_the_flow():
    y, x = np.mgrid[:96, :96]
    near = [np.exp(-((x - at) ** 2 + (y - 50) ** 2) / 450) for at in (28, 62)]
    frames = pair(2 * near[0] - 1.2 * near[1], -1.5 * near[1], side=96)
    for scaling in ("centred", "minmax"):
        spec = output_spec("flow", scaling=scaling)
        there = show("flow", frames, scaling=scaling)[0]
        mirrored = show("flow", np.ascontiguousarray(frames[:, :, ::-1]), scaling=scaling)[0]
        expected = there[:, ::-1].copy()
        expected[..., 0] = spec.low + spec.high - expected[..., 0]
        gap = np.abs(mirrored - expected)[10:-10, 10:-10].mean(axis=(0, 1))
        unturned = np.abs(mirrored - there[:, ::-1])[10:-10, 10:-10, 0].mean()
        assert gap[0] < 0.3 * unturned


def test_colour_is_turned_into_the_luma_that_ops_has():
    frames = pair(2.0, 1.0)
    colour = np.stack([frames // 2, frames, 255 - frames], axis=-1)
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in colour])
    for name in ("flow", "lbp_top", "bi_woof"):
        assert np.array_equal(show(name, colour), show(name, luma))


def test_depth_of_sixteen_bits_is_spread_first():
    frames = pair(2.0, 1.0)
    deep = (frames.astype(np.uint16) - frames.min()) * 40 + 1000
    assert np.abs(show("flow", deep)[0] - show("flow", frames)[0])[20:-20, 20:-20].mean() < 0.1


def test_polar_flow():
    (shown,) = show("flow_polar", pair(-3.0, 3.0, side=150), limit=4.0)
    magnitude, cos, sin = shown[20:-20, 20:-20].mean(axis=(0, 1))
    assert magnitude == pytest.approx(np.hypot(2, 2) / 4, rel=0.05)
    assert cos == pytest.approx(-np.sqrt(0.5), rel=0.05)
    assert sin == pytest.approx(np.sqrt(0.5), rel=0.05)
    np.testing.assert_allclose(np.hypot(shown[..., 1], shown[..., 2])[20:-20, 20:-20], 1, rtol=1e-5)
    little = show("flow_polar", pair(0.3, 0.0, side=150), still=2.0)[0]
    assert little[20:-20, 20:-20, 0].mean() > 0.02
    assert not little[20:-20, 20:-20, 1:].any()
    assert output_spec("flow_polar") == Modality(("magnitude", "cos", "sin"), -1.0, 1.0, "centred")


# --- pictures over time -----------------------------------------------------------------------------------------------
def test_frame_difference_is_signed():
    frames = np.array([[[10, 200]], [[12, 190]], [[0, 255]]], np.uint8)
    assert show("frame_difference", frames)[..., 0].tolist() == [[[2, -10]], [[-12, 65]]]
    assert output_spec("frame_difference", RGB) == Modality(
        ("r change", "g change", "b change"), -255.0, 255.0, "centred"
    )


def test_rank_pooling_weights():
    """Both published forms of the full weights, and the simple ones."""
    assert rank_pooling(2).tolist() == [-0.5, 0.5]
    np.testing.assert_allclose(rank_pooling(3), [-4 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(rank_pooling(5), [-3.7, 0.3, 1.3, 1.3, 0.8])
    for n in (2, 3, 5, 17):
        code = [sum((2 * j - n - 1) / j for j in range(i, n + 1)) for i in range(1, n + 1)]
        np.testing.assert_allclose(rank_pooling(n), code, atol=1e-12)
        assert rank_pooling(n).sum() == pytest.approx(0, abs=1e-10)
    assert rank_pooling(4, averaged=False).tolist() == [-3, -1, 1, 3]
    assert doctest.testmod(over_time).failed == 0


def test_dynamic_images():
    frames = film(5)[..., None]
    pooled = np.tensordot(rank_pooling(5), frames.astype(float), axes=1)
    spread = 255 * (pooled - pooled.min()) / (pooled.max() - pooled.min())
    np.testing.assert_allclose(show("dynamic_image", frames)[0], spread, atol=1e-2)
    np.testing.assert_allclose(show("dynamic_image", frames, scaling="centred")[0], pooled / 3.7, atol=1e-3)
    switched = np.zeros((2, 3, 3), np.uint8)
    switched[1] = 255
    assert (show("dynamic_image", switched, scaling="centred") == 255).all()
    assert output_spec("dynamic_image", scaling="centred")[1:] == (-255.0, 255.0, "centred")
    still = np.repeat(film(1), 7, axis=0)
    assert (show("dynamic_image", still) == 127.5).all()
    assert np.abs(show("dynamic_image", still, scaling="centred")).max() < 1e-3
    assert show("dynamic_image", film(31)).shape == show("dynamic_image", film(3)).shape == (1, 30, 33, 1)


def test_tim_makes_clips_of_any_length_alike():
    for length in (2, 7, 10, 31):
        made = show("tim", film(length))
        assert made.shape == (10, 30, 33, 1)
        assert made.dtype == np.uint8
        assert np.array_equal(made[[0, -1], ..., 0], film(length)[[0, -1]])
    assert output_spec("tim", RGB) == RGB


# --- LBP-TOP ----------------------------------------------------------------------------------------------------------
def slow_lbp_top(volume: np.ndarray, radii: tuple[int, int, int], blocks: int) -> np.ndarray:
    """LBP-TOP pixel by pixel, as its definition reads."""
    (rx, ry, rt), (frames, height, width) = radii, volume.shape
    rings = {
        "xy": [(0, 0, rx), (0, -ry, 0), (0, 0, -rx), (0, ry, 0)],
        "xt": [(0, 0, rx), (-rt, 0, 0), (0, 0, -rx), (rt, 0, 0)],
        "yt": [(0, ry, 0), (-rt, 0, 0), (0, -ry, 0), (rt, 0, 0)],
    }
    counts = np.zeros((3, blocks, blocks, 16))
    rows = [row * (height - 2 * ry) // blocks for row in range(blocks + 1)]
    columns = [column * (width - 2 * rx) // blocks for column in range(blocks + 1)]
    for t, y, x in itertools.product(range(rt, frames - rt), range(ry, height - ry), range(rx, width - rx)):
        row = next(i for i in range(blocks) if rows[i] <= y - ry < rows[i + 1])
        column = next(i for i in range(blocks) if columns[i] <= x - rx < columns[i + 1])
        for plane, ring in enumerate(rings.values()):
            bits = [volume[t + dt, y + dy, x + dx] >= volume[t, y, x] for dt, dy, dx in ring]
            counts[plane, row, column, sum(int(bit) << p for p, bit in enumerate(bits))] += 1
    shares = counts / counts.sum(axis=3, keepdims=True)
    return shares.reshape(3, blocks * blocks, 16)


def by_plane(shown: np.ndarray) -> np.ndarray:
    return np.moveaxis(shown[0], -1, 0)


def turns(code: int) -> int:
    bits = [code >> p & 1 for p in range(4)]
    return sum(bits[p] != bits[p - 1] for p in range(4))


@pytest.mark.parametrize("radii", [(1, 1, 4), (1, 1, 1), (2, 1, 3)])
def test_lbp_top_is_its_definition(radii):
    """Which neighbour is which bit is free; the histograms must be the same up to one order of codes a plane."""
    volume = cv2.GaussianBlur(film(11, 26).reshape(11, -1), (3, 3), 1).reshape(11, 26, 29)
    shown = by_plane(show("lbp_top", volume, frames=0, radii=radii, blocks=5))
    slow = slow_lbp_top(volume, radii, 5)
    for plane in range(3):
        orders = [
            [sum((code >> order[p] & 1) << p for p in range(4)) for code in range(16)]
            for order in itertools.permutations(range(4))
        ]
        fitting = [order for order in orders if np.allclose(shown[plane][:, order], slow[plane], atol=1e-6)]
        assert fitting, f"plane {plane}"
        # Bits go round, or codes 5 and 10 would not be those of four changes.
        assert all(turns(order[code]) == turns(code) for order in fitting for code in range(16))


def test_lbp_top_after_interpolation_codes_two_frames():
    volume = film(23)
    assert np.array_equal(show("lbp_top", volume), show("lbp_top", motion.interpolate(volume, 10), frames=0))
    assert joint_codes(motion.interpolate(volume, 10), (1, 1, 4)).shape == (2, 28, 31)


def test_lbp_top_sizes_and_sums():
    shown = show("lbp_top", film())
    assert shown.shape == (1, 25, 16, 3)
    assert shown.size == 1200
    np.testing.assert_allclose(shown.sum(axis=2), 1, rtol=1e-6)
    uniform = show("lbp_top", film(), uniform=True)
    assert uniform.shape == (1, 25, 15, 3)
    np.testing.assert_allclose(uniform.sum(axis=2), 1, rtol=1e-6)
    np.testing.assert_allclose(uniform[:, :, 5], shown[:, :, 5] + shown[:, :, 10], atol=1e-7)
    np.testing.assert_array_equal(uniform[:, :, 10:], shown[:, :, 11:])
    assert [code for code in range(16) if turns(code) == 4] == [5, 10]


def test_flat_pictures_have_all_bits_set():
    shown = show("lbp_top", np.full((12, 20, 20), 77, np.uint8))
    assert (shown[0, :, 15] == 1).all()


def test_lbp_top_sees_motion_in_the_planes_of_time_only():
    still = np.repeat(texture(40)[None], 12, axis=0).astype(np.uint8)
    moves = np.stack([moved(texture(40), 0.8 * step, 0) for step in range(12)]).astype(np.uint8)
    gap = np.abs(by_plane(show("lbp_top", moves, frames=0)) - by_plane(show("lbp_top", still, frames=0))).mean((1, 2))
    assert gap[1:].min() > 1.5 * gap[0]


def test_lbp_top_says_what_does_not_fit():
    with refuses("E113", "lbp_top", "frames = 8", "frames = 9"):
        representations.build("lbp_top", {"frames": 8})
    with refuses("E406", "lbp_top", "6x6", "5x5 blocks"):
        show("lbp_top", np.zeros((10, 6, 6), np.uint8))
    assert representations.build("lbp_top", {}).min_frames == 2
    assert representations.build("lbp_top", {"frames": 0}).min_frames == 9
    assert representations.build("lbp_top", {"frames": 0, "radii": (1, 1, 2)}).min_frames == 5


# --- Bi-WOOF ----------------------------------------------------------------------------------------------------------
def slow_bi_woof(flow: np.ndarray, blocks: int, bins: int) -> np.ndarray:
    """Bi-WOOF block by block and pixel by pixel."""
    height, width = flow.shape[:2]
    strain = motion.strain(flow)
    table = np.zeros((blocks, blocks, bins))
    for row, column in itertools.product(range(blocks), range(blocks)):
        ys = range(row * height // blocks, (row + 1) * height // blocks)
        xs = range(column * width // blocks, (column + 1) * width // blocks)
        for y, x in itertools.product(ys, xs):
            degrees = np.degrees(np.arctan2(flow[y, x, 1], flow[y, x, 0]))
            edges = np.linspace(-180, 180, bins + 1)
            bin_ = next((b for b in range(bins) if edges[b] <= degrees < edges[b + 1]), 0)
            table[row, column, bin_] += np.hypot(*flow[y, x])
        total = table[row, column].sum()
        table[row, column] *= np.mean([strain[y, x] for y in ys for x in xs]) / total if total else 0
    length = np.sqrt((table**2).sum())
    return table / length if length else table


@pytest.mark.parametrize(("blocks", "bins"), [(5, 8), (3, 12), (1, 4)])
def test_bi_woof_is_its_definition(blocks, bins):
    flow = np.random.default_rng(0).normal(size=(33, 41, 2)).astype(np.float32)
    flow[:9, :11] = 0
    found = BiWoof(blocks=blocks, bins=bins).histograms(flow)
    np.testing.assert_allclose(found, slow_bi_woof(flow, blocks, bins), atol=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1, rel=1e-5)


def test_bi_woof_directions():
    y, x = np.mgrid[:50, :50].astype(np.float32)
    names = output_spec("bi_woof").channels
    assert names == ("-180", "-135", "-90", "-45", "0", "45", "90", "135")
    grows = np.float32(0.01)
    for towards, name in (((1, 0.01), "0"), ((0.01, 1), "45"), ((-0.01, 1), "90"), ((-1, -0.01), "-180")):
        flow = np.stack([towards[0] * (1 + grows * x), towards[1] * (1 + grows * x)], axis=-1).astype(np.float32)
        found = BiWoof().histograms(flow).sum(axis=(0, 1))
        assert names[found.argmax()] == name
        assert found.max() == pytest.approx(found.sum())
    west = np.stack([-1 - grows * x, 0 * x], axis=-1)  # exactly 180 degrees
    assert names[BiWoof().histograms(west).sum(axis=(0, 1)).argmax()] == "-180"
    assert y.shape == x.shape


def test_bi_woof_of_frames():
    frames = pair(1.0, 0.5)
    shown = show("bi_woof", frames)
    assert shown.shape == (1, 5, 5, 8)
    assert shown.size == 200
    np.testing.assert_allclose(shown[0], slow_bi_woof(motion.flows(frames)[0], 5, 8), atol=1e-5)
    assert show("bi_woof", np.stack([*frames, frames[0]])).shape == (2, 5, 5, 8)
    with refuses("E406", "bi_woof", "32x32 blocks"):
        show("bi_woof", film(2, 20), blocks=32)


# --- through the command ----------------------------------------------------------------------------------------------
RECIPE = """
datasets = "manifest"
labels = "as_given"
preprocessing = {{ name = "m1", size = 48 }}
sampling = {sampling}
representation = {representation}
model = "pca_svm"
loss = "cross_entropy"
protocol = "loso"
bootstrap = {{ n = 100 }}
"""
KINDS = {"happiness": (1.5, 0.0), "surprise": (-1.5, 0.0)}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Four subjects, two clips each of 6 and 8 frames in which a texture goes right or left; the last has no apex."""
    root = tmp_path_factory.mktemp("films")
    rows = []
    for subject, (at, (emotion, (u, v))) in itertools.product(range(4), enumerate(KINDS.items())):
        name, frames = f"s{subject}c{at}", 6 + 2 * at
        folder = root / name
        folder.mkdir()
        rest = texture(52, seed=10 * subject + at)
        for number in range(1, frames + 1):
            step = min(number - 1, 3)
            cv2.imwrite(str(folder / f"{number}.png"), moved(rest, u * step / 3, v).astype(np.uint8))
        rows.append(["own", f"s{subject}", f"c{at}", emotion, name, 1, 4, frames])
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"]])
        csv.writer(file).writerows(rows)
    with (root / "apexless.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"]])
        csv.writer(file).writerows([*rows[:-1], [*rows[-1][:6], "", rows[-1][7]]])
    return root


def run(films: Path, tmp_path: Path, sampling: str, representation: str, *options: object) -> Answer:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(sampling=sampling, representation=representation), "utf-8")
    return microexpr("run", recipe, "--data", films, "--out", tmp_path / "out", "--quiet", *options)


@pytest.mark.parametrize(
    ("sampling", "representation"),
    [
        ('"onset_apex"', '{ name = "flow", size = 16 }'),
        ('"onset_apex_offset"', '{ name = "flow", size = 16, scaling = "minmax" }'),
        ('"onset_apex"', '"bi_woof"'),
        ('"clip"', '"lbp_top"'),
    ],
)
def test_recipes_run(films, tmp_path, sampling, representation):
    first = run(films, tmp_path, sampling, representation, "--json")
    assert first.code == 0, first.err
    if "flow" in representation and "minmax" not in representation:
        assert '"uf1": 1.0' in first.out.replace("\n", " "), first.out


def test_a_scale_of_flow_that_small_frames_do_not_allow_is_stated(films, tmp_path):
    """Frames of 48 pixels can be halved once."""
    study = tmp_path / "study.toml"
    recipe = RECIPE.format(sampling='"onset_apex"', representation='"flow"').replace("pca_svm", "majority")
    levels = '"flow", "flow_polar", "bi_woof", { name = "flow", finest = 1 }, { name = "flow", method = "farneback" }'
    study.write_text(f'name = "s"\ntitle = "s"\n[grid]\nrepresentation = [{levels}]\n[experiment]\n{recipe}')
    words = ("study", study, "--data", films)
    cells = json.loads(microexpr(*words, "--dry-run", "--json").out)["cells"]
    assert [row["dis_finest"] for row in cells] == [*["1 (set to 2)"] * 3, None, None]
    assert "1 (set to 2)" in microexpr(*words, "--dry-run").out
    grid = load(Study, study)
    jobs, *_ = planned(grid, Workspace(Options({"manifest": films}, tmp_path / "out")))
    cells = tuple(Cell(job.plan, Result(job.plan.experiment, job.plan.key, job.plan.data.labels, ())) for job in jobs)
    rows = options(StudyResult(grid, cells, (), None, (), {}, ()), load_published("paper"))
    (said,) = (row.value for row in rows if "DIS" in row.choice)
    assert said == "1 (set to 2; frames of 48x48 allow no more), 1"


@pytest.mark.parametrize(
    ("sampling", "representation", "words"),
    [
        ('"af"', '"flow"', ["flow", "2 frames", "af"]),
        ('"clip"', '"flow"', ["clip", "6 to 8 frames", "tim or dynamic_image"]),
        ('"clip"', '{ name = "lbp_top", frames = 0 }', ["lbp_top", "9 frames", "clip"]),
        ('"clip"', '{ name = "lbp_top", frames = 0, radii = [1, 1, 3] }', ["4 ", "6 frames", "7"]),
        ('"clip"', '{ name = "lbp_top", frames = 5 }', ["frames = 5", "frames = 9 or more"]),
        ('"onset_apex"', '{ name = "flow", method = "tvl1" }', ["opencv-contrib-python-headless"]),
        ('"onset_apex"', '{ name = "flow", method = "lk" }', ["'dis', 'farneback' or 'tvl1'"]),
        ('"onset_apex"', '{ name = "flow", size = 4 }', ["size = 4", "greater than or equal to 8"]),
        ('{ name = "image" }', '"flow"', ["sampling image", "af, kfs or mfs"]),
    ],
)
def test_what_cannot_be_is_said_before_the_first_fold(films, tmp_path, sampling, representation, words, monkeypatch):
    monkeypatch.delattr(cv2, "optflow", raising=False)
    answer = run(films, tmp_path, sampling, representation)
    assert answer.code == 1
    assert "Traceback" not in answer.err
    lacking = [word for word in words if word not in answer.err]
    assert not lacking, answer.err
    out = tmp_path / "out"
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_machines_for_features_do_not_take_frames_for_ready_images(films, tmp_path):
    answer = run(films, tmp_path, '"onset_apex"', '"flow"', "--set", "model=bi_woof_svm")
    assert answer.code == 1
    assert 'representation = "bi_woof"' in answer.err
    assert "eady images" not in answer.err
    assert "precomputed" not in answer.err


def test_a_clip_without_apex_is_named_with_the_ways_out(films, tmp_path):
    without = ("--set", 'datasets={name="manifest", file="apexless.csv"}')
    answer = run(films, tmp_path, '"onset_apex"', '"flow"', *without)
    assert answer.code == 1
    assert all(word in answer.err for word in ("own/s3/c1", "no apex", 'missing_apex = "middle"', "uniform"))
    filled = run(films, tmp_path, '{ name = "onset_apex", missing_apex = "middle" }', '"flow"', *without)
    assert filled.code == 0, filled.err


def ready(root: Path) -> Path:
    """Ready images of three subjects, that are perhaps flow."""
    root.mkdir()
    lines = ["dataset,subject,clip,emotion,flow"]
    for subject, (at, emotion) in itertools.product(range(3), enumerate(KINDS)):
        file = f"{subject}{at}.png"
        cv2.imwrite(str(root / file), texture(28, seed=subject * 2 + at).astype(np.uint8)[..., None].repeat(3, axis=2))
        lines.append(f"own,p{subject},c{at},{emotion},{file}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("name", OF_MOTION)
@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        ('"image"', ["2 frames", "channels = {onset_apex"]),
        ('{ name = "image", count = 2 }', ["image(count=2)", "count = 1", "`series`"]),
        ('"onset_apex"', ["sampling onset_apex", 'sampling = "image"']),
    ],
)
def test_ready_images_without_channels_do_not_send_one_in_a_circle(tmp_path, name, sampling, words):
    root = ready(tmp_path / "ready")
    answer = run(root, tmp_path, sampling, f'"{name}"', "--set", "preprocessing=as_is")
    assert answer.code == 1
    lacking = [word for word in words if word not in answer.err.replace("\n", " ")]
    assert not lacking, answer.err
    if "count" not in sampling:
        assert 'representation = "pixels"' in answer.err
        assert "another sampling" not in answer.err


def test_the_sampling_is_blamed_for_images_that_there_are_not(tmp_path):
    root = ready(tmp_path / "ready")
    answer = run(root, tmp_path, '{ name = "image", count = 3 }', '"pixels"', "--set", "preprocessing=as_is")
    assert answer.code == 1
    assert "sampling image(count=3)" in answer.err
    assert 'sampling = {name = "image", count = 1}' in answer.err
    assert "preprocessing as_is" not in answer.err


def test_of_ready_images_features_cannot_be_made(tmp_path):
    root = ready(tmp_path / "ready")
    settings = ("--set", "preprocessing=as_is", "--set", "model=lbp_top_svm")
    answer = run(root, tmp_path, '"image"', '"pixels"', *settings)
    assert answer.code == 1
    assert "features of lbp_top" in answer.err
    assert "pca_svm and logistic" in answer.err


def test_ready_images_of_flow_are_told_apart(tmp_path):
    root = ready(tmp_path / "ready")
    for name in OF_MOTION:
        settings = 'datasets={name="manifest", channels={flow=["strain", "v", "u"]}}'
        answer = run(
            root, tmp_path, '{ name = "image" }', f'"{name}"', "--set", settings, "--set", "preprocessing=as_is"
        )
        assert answer.code == 1
        assert f"representation {name}" in answer.err
        assert "already optical flow" in answer.err
        assert 'representation = "pixels"' in answer.err
