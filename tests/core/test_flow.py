"""Flow of known motion, strain of known flow, and interpolation in time against the model it stands for."""

from __future__ import annotations

import doctest

import cv2
import numpy as np
import pytest

from microexpr.core import flow as motion
from motions import pair, texture
from refusal import refuses

METHODS = [("dis", preset, finest) for preset in ("ultrafast", "fast", "medium") for finest in (0, 1, 2)]
METHODS += [("farneback", "medium", 2)]
if hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"):
    METHODS += [("tvl1", "medium", 2)]
WIDE = [(16, 200), (24, 200), (40, 200), (60, 128), (90, 91), (45, 46)]
Y, X = np.mgrid[:40, :50].astype(float)


def test_its_documents_are_true():
    assert doctest.testmod(motion).failed == 0


def inner(flow):
    return flow[16:-16, 16:-16]


# --- flow -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("u", "v"), [(3.0, -2.0), (-1.5, 2.5)])
def test_a_texture_that_moves_gives_its_motion(method, u, v):
    found = inner(motion.flows(pair(u, v), *method)[0])
    assert found.dtype == np.float32
    assert found[..., 0].mean() == pytest.approx(u, rel=0.05)
    assert found[..., 1].mean() == pytest.approx(v, rel=0.05)
    assert np.abs(found - (u, v)).mean() < 0.15


@pytest.mark.parametrize("method", METHODS)
def test_nothing_that_moves_is_no_flow(method):
    still = np.repeat(pair(0, 0)[:1], 3, axis=0)
    found = motion.flows(still, *method)
    assert found.shape == (2, 128, 128, 2)
    assert not found.any()


@pytest.mark.parametrize("method", METHODS)
def test_a_mirrored_pair_gives_the_mirrored_flow_with_u_turned(method):
    frames = pair(1.2, -0.7)
    flow, mirrored = (motion.flows(each, *method)[0] for each in (frames, np.ascontiguousarray(frames[:, :, ::-1])))
    expected = flow[:, ::-1] * (-1, 1)
    assert np.abs(inner(mirrored - expected)).mean() < 0.1
    assert np.abs(inner(mirrored - flow[:, ::-1])).mean() > 1  # u is not what it was


def test_consecutive_pairs_not_all_from_the_first():
    first, second = pair(2, 0)
    out, back = motion.flows(np.stack([first, second, first]))
    assert inner(out)[..., 0].mean() == pytest.approx(2, rel=0.05)
    assert inner(back)[..., 0].mean() == pytest.approx(-2, rel=0.05)
    assert np.array_equal(back, motion.flows(np.stack([second, first]))[0])


def test_full_resolution_follows_fine_textures_better_and_coarse_flow_is_steadier_under_noise():
    fine, noisy = pair(0.6, -0.4, grain=1.5), pair(0.0, 0.0, noise=2.5, grain=8)
    error = [np.abs(inner(motion.flows(fine, "dis", "medium", finest)[0]) - (0.6, -0.4)).mean() for finest in (0, 2)]
    unrest = [np.abs(motion.flows(noisy, "dis", "medium", finest)[0]).mean() for finest in (0, 2)]
    assert error[0] < 0.7 * error[1]
    assert unrest[1] < 0.4 * unrest[0]


def test_flow_does_not_depend_on_the_number_of_threads():
    before, found = cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            found.append(motion.flows(pair(1, 1, side=224, noise=2), "dis", "medium", 0))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_the_smallest_pictures():
    assert motion.flows(pair(0, 0, side=16)).shape == (1, 16, 16, 2)
    with refuses("E406", "16x16", "15x15"):
        motion.flows(pair(0, 0, side=15))


def opencv(frames, finest):
    """OpenCV's own flow of two pictures, and the scale it took after all."""
    dis = cv2.DISOpticalFlow.create(2)
    dis.setFinestScale(finest)
    return dis.calc(*frames, None), dis.getFinestScale()


@pytest.mark.parametrize("finest", [1, 2, 3])
def test_the_finest_scale_is_the_most_that_opencv_honours(finest):
    sides = (16, 31, 32, 33, 44, 45, 46, 47, 63, 64, 65, 89, 90, 91, 92, 127, 128, 129, 180, 181, 182, 183)
    sizes = [*((side, side) for side in sides), *WIDE, *((width, height) for height, width in WIDE)]
    picture, other = texture(200), texture(200, seed=1)
    for height, width in sizes:
        frames = [each[:height, :width].astype(np.uint8) for each in (picture, other)]
        allowed = motion.finest_scale(height, width, finest)
        assert opencv(frames, allowed)[1] == allowed, (height, width)
        # OpenCV's replacement looks at the width alone, and ends the process where the height is short.
        if allowed < finest and width <= height:
            assert opencv(frames, allowed + 1)[1] != allowed + 1, (height, width)


@pytest.mark.parametrize(("side", "finest", "taken"), [(40, 3, 0), (46, 2, 1), (64, 2, 1), (90, 3, 1), (128, 3, 2)])
def test_small_pictures_are_halved_as_often_as_they_allow(side, finest, taken):
    frames = pair(1.2, -0.7, side=side)
    found = motion.flows(frames, "dis", "medium", finest)[0]
    assert np.array_equal(found, opencv(frames, taken)[0])
    assert np.array_equal(found, motion.flows(frames, "dis", "medium", taken)[0])
    assert not np.array_equal(found, opencv(frames, finest)[0])


def test_wide_pictures_do_not_end_the_process():
    frames = pair(0.5, 0.2, side=200)[:, :20]
    assert np.array_equal(motion.flows(frames)[0], motion.flows(frames, finest=1)[0])


@pytest.mark.parametrize(("side", "finest"), [(46, 1), (91, 2), (182, 3), (224, 1), (224, 2), (224, 3), (32, 0)])
def test_pictures_that_are_large_enough_have_opencvs_own_flow(side, finest):
    frames = pair(1.2, -0.7, side=side, noise=2)
    assert np.array_equal(motion.flows(frames, "dis", "medium", finest)[0], opencv(frames, finest)[0])


def test_tvl1_says_what_to_install_where_it_is_missing(monkeypatch):
    monkeypatch.delattr(cv2, "optflow", raising=False)
    with refuses("E115", "tvl1", "pip install opencv-contrib-python-headless"):
        motion.check_method("tvl1")
    with refuses("E115", "tvl1"):
        motion.flows(pair(0, 0), "tvl1")
    motion.check_method("dis")
    motion.check_method("farneback")


# --- strain -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("u", "v", "expected"),
    [
        (0.03 * X, 0 * X, 0.03),
        (-0.03 * X, 0 * X, 0.03),
        (0 * X, 0.02 * Y, 0.02),
        (0.03 * Y, 0 * X, 0.03 / np.sqrt(2)),
        (0 * X, -0.03 * X, 0.03 / np.sqrt(2)),
        (0.02 * X, 0.02 * Y, 0.02 * np.sqrt(2)),
        (-0.02 * Y, 0.02 * X, 0),
        (0 * X + 3, 0 * X - 2, 0),
    ],
    ids=["stretch", "squeeze", "down", "shear", "shear the other way", "growth", "rotation", "translation"],
)
def test_strain_of_known_flow(u, v, expected):
    np.testing.assert_allclose(motion.strain(np.stack([u, v], axis=-1)), expected, atol=1e-12)


def test_strain_does_not_know_which_way_round_the_frame_is():
    flow = np.random.default_rng(0).normal(size=(30, 40, 2))
    mirrored = flow[:, ::-1] * (-1, 1)
    np.testing.assert_allclose(motion.strain(mirrored), motion.strain(flow)[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(motion.strain(-flow), motion.strain(flow), atol=1e-12)


# --- interpolation in time --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("frames", "wanted"), [(2, 10), (7, 10), (10, 10), (64, 10), (5, 2), (1, 3)])
def test_the_matrix_keeps_sums_and_both_ends(frames, wanted):
    weights = motion.tim_matrix(frames, wanted)
    assert weights.shape == (wanted, frames)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(weights[0], np.eye(frames)[0], atol=1e-12)
    np.testing.assert_allclose(weights[-1], np.eye(frames)[-1], atol=1e-12)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)  # time reversed
    if frames == wanted:
        np.testing.assert_array_equal(weights.round(12), np.eye(frames))


def original_tim(frames: np.ndarray, wanted: int) -> np.ndarray:
    """The model as Zhou et al. write it: a linear map onto the eigenvectors of a path graph, and back."""
    n = len(frames)
    mean = frames.mean(axis=0)
    U, S, Vt = np.linalg.svd((frames - mean).T, full_matrices=False)
    U, Q = U[:, : n - 1], (S[:, None] * Vt)[: n - 1]
    laplacian = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1
    vectors = np.linalg.eigh(laplacian)[1][:, 1:]
    W = np.linalg.solve(Q @ Q.T, Q @ vectors)
    k = np.arange(1, n)

    def curve(t: float) -> np.ndarray:
        return np.sin(np.pi * k * t + np.pi * (n - k) / (2 * n))

    m = (Q[:, 0] @ W) / curve(1 / n)
    inverse = np.linalg.inv(W.T)
    return np.array([U @ inverse @ (m * curve(t)) + mean for t in np.linspace(1 / n, 1, wanted)])


@pytest.mark.parametrize(("frames", "wanted"), [(7, 10), (10, 10), (25, 10), (5, 3)])
def test_the_matrix_is_the_original_model(frames, wanted):
    clip = np.random.default_rng(frames).uniform(0, 255, (frames, 200))
    np.testing.assert_allclose(motion.tim_matrix(frames, wanted) @ clip, original_tim(clip, wanted), atol=1e-6)


def test_interpolation_keeps_the_type_and_its_limits():
    clip = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (7, 5, 6, 3))
    made = motion.interpolate(clip, 20)
    exact = np.tensordot(motion.tim_matrix(7, 20), clip.astype(float), axes=1)
    assert made.dtype == np.uint8
    assert exact.min() < -1  # it swings past black
    assert np.abs(made - exact.clip(0, 255)).max() <= 0.5 + 1e-3
    assert np.array_equal(motion.interpolate(clip, 7), clip)
    depth = motion.interpolate(clip.astype(np.uint16) * 200, 20)
    assert depth.dtype == np.uint16
    assert depth.max() > 255 * 200  # sixteen bits have room above
    assert motion.interpolate(clip.astype(np.float32), 20).min() < -1


def test_frames_that_repeat_are_no_trouble():
    still = np.full((6, 4, 4, 1), 90, np.uint8)
    assert (motion.interpolate(still, 10) == 90).all()


@pytest.mark.parametrize("shape", [(2, 2), (16, 16), (129, 128), (384, 384), (3, 9000), (257, 64), (5, 20_000)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_strips_give_the_same_bits_as_the_whole(shape, kind):
    flow = np.random.default_rng(0).normal(size=(*shape, 2)).astype(kind)
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    whole = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
    found = motion.strain(flow)
    assert found.dtype == whole.dtype == kind
    assert np.array_equal(found, whole)
