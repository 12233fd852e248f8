"""Events: how many, of which polarity and when; and who can take them."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch
from torch import nn

from microexpr.components.representation import temporal_polarity
from microexpr.components.representation.temporal_polarity import TemporalPolarity, elapsed, events
from microexpr.core.clip import Clip
from microexpr.core.interfaces import Batch, Frames, Modality, ViewSpec, augmentations, models, representations
from refusal import refuses

CLIP = Clip(dataset="d", subject_id="1", namespace="d", video="v", fps=200.0, onset=1, apex=2, offset=99)
READY = Clip(dataset="d", subject_id="1", namespace="d", video="v")
GREY = Modality(("grey",))


def film(*values: float, side: int = 8) -> np.ndarray:
    """Flat frames of these grey levels."""
    return np.stack([np.full((side, side, 1), value, np.uint8) for value in values])


def noise(frames: int = 6, side: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, side, side, 1), np.uint8)


def show(frames, numbers=None, clip=CLIP, /, **params):
    channels = ("grey",) if frames.shape[3] == 1 else ("r", "g", "b")
    view = Frames(frames, channels, np.zeros((len(frames), 4)))
    built = representations.build("temporal_polarity", params)
    return built(view, numbers or tuple(range(1, len(frames) + 1)), clip)


def counts(frames, numbers=None, /, **params):
    """Positive events, negative events and times of every step, summed over the picture and divided by its pixels."""
    built, numbers = TemporalPolarity(**params), numbers or tuple(range(len(frames)))
    return built.counted(frames[..., 0], elapsed(numbers)).mean((2, 3))


def test_its_documents_are_true():
    assert doctest.testmod(temporal_polarity).failed == 0


# --- how many, and of which polarity ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("dark", "bright"), [(100, 101), (100, 108), (50, 200), (0, 255), (10, 17)])
@pytest.mark.parametrize("threshold", [0.05, 0.2])
def test_a_change_fires_the_whole_number_of_thresholds_in_it(dark, bright, threshold):
    expected = math.floor(math.log((bright + 20) / (dark + 20)) / threshold)
    positive, negative, _ = counts(film(dark, bright), bins=1, threshold=threshold)
    assert (positive.item(), negative.item()) == (expected, 0)
    positive, negative, _ = counts(film(bright, dark), bins=1, threshold=threshold)
    assert (positive.item(), negative.item()) == (0, expected)


def test_a_pixel_that_brightens_fires_where_it_is_and_nowhere_else():
    frames = film(100, 100)
    frames[1, 2, 5] = 130
    (shown,) = show(frames, bins=1)
    assert np.argwhere(shown[..., 0]).tolist() == [[2, 5]]
    assert not shown[..., 1].any()
    assert np.argwhere(shown[..., 2]).tolist() == [[2, 5]]


def test_nothing_that_changes_fires_nothing():
    assert not show(np.repeat(noise(1), 5, axis=0)).any()


def test_one_grey_level_never_fires_by_itself_however_dark_it_is():
    for level in (0, 1, 60, 254):
        assert not show(film(level, level + 1)).any()
    assert show(film(0, 2)).any()


def test_slow_changes_add_up_and_what_is_left_counts_on():
    """Steps below the threshold fire once their sum passes it, and a change in parts fires as much as one in one."""
    steps = film(*range(100, 131))
    positive, negative, _ = counts(steps, bins=1)
    assert positive.item() == math.floor(math.log(150 / 120) / 0.05) == 4
    assert negative.item() == 0
    for step in (2, 3, 5):
        assert counts(steps[::step], bins=1)[0].item() == 4


def test_flicker_below_the_threshold_fires_nothing_and_above_it_both_polarities():
    assert not show(film(*[100, 104] * 5)).any()
    positive, negative, _ = counts(film(*[100, 110] * 5), bins=1)
    # 110 is 1.6 thresholds above 100: an event, and one back each time that the first level is reached again.
    assert (positive.item(), negative.item()) == (5, 4)
    assert not counts(film(*[100, 110] * 5), bins=1, threshold=0.1).any()


def test_the_level_follows_as_in_a_sensor_written_pixel_by_pixel():
    frames, threshold = noise(7, 6), 0.13
    built = TemporalPolarity(threshold=threshold, bins=1)
    positive, negative, _ = built.counted(frames[..., 0], elapsed(tuple(range(7))))
    for y in range(6):
        for x in range(6):
            level, fired = math.log(float(frames[0, y, x, 0]) + 20), {1: 0, -1: 0}
            for value in frames[1:, y, x, 0]:
                for sign in (1, -1):
                    while sign * (math.log(float(value) + 20) - level) >= threshold * (1 - 1e-6):
                        level += sign * threshold
                        fired[sign] += 1
            assert (positive[0, y, x], negative[0, y, x]) == (fired[1], fired[-1])


def test_time_run_backwards_swaps_the_polarities():
    frames = np.sort(noise(4), axis=0)
    frames[:, ::2] = frames[::-1, ::2]  # some pixels darken, the others brighten
    forth, back = (
        TemporalPolarity(bins=1).counted(each[..., 0], elapsed((0, 1, 2, 3))) for each in (frames, frames[::-1])
    )
    np.testing.assert_array_equal(forth[0], back[1])
    np.testing.assert_array_equal(forth[1], back[0])
    assert forth[0].any()
    assert forth[1].any()


# --- when -------------------------------------------------------------------------------------------------------------
def test_an_event_fires_when_the_brightness_between_two_frames_crosses_its_threshold():
    levels = np.log(np.array([[120.0], [150.0]]))
    pixel, sign, time = events(levels, np.array([0.0, 1.0]), 0.05)
    change = math.log(150 / 120)
    assert time.tolist() == pytest.approx([count * 0.05 / change for count in (1, 2, 3, 4)])
    assert pixel.tolist() == [0] * 4
    assert sign.tolist() == [1] * 4


def test_steps_of_time_hold_the_events_of_their_time():
    frames = film(100, 100, 130, 130, 100)  # brighter in the second quarter, darker in the last
    positive, negative, _ = counts(frames, bins=4)
    assert positive.tolist() == [0, 4, 0, 0]
    assert negative.tolist() == [0, 0, 0, 4]
    shown = show(frames, bins=4)
    assert shown.shape == (4, 8, 8, 3)
    middle = 0.25 + 0.25 * np.mean([count * 0.05 / math.log(150 / 120) for count in (1, 2, 3, 4)])
    assert shown[1, 0, 0].tolist() == pytest.approx([4 / 8, 0, middle])
    assert not shown[[0, 2]].any()
    assert 0.75 < shown[3, 0, 0, 2] <= 1


def test_times_are_those_of_the_frames_numbers():
    frames = film(100, 100, 130)
    assert counts(frames, (10, 12, 18), bins=4)[0].tolist() != counts(frames, (10, 16, 18), bins=4)[0].tolist()
    assert counts(frames, (10, 16, 18), bins=4)[0].tolist() == [0, 0, 0, 4]
    assert elapsed((5, 5, 5)).tolist() == [0, 0, 0]
    assert show(film(100, 100), (7, 7)).shape == (4, 8, 8, 3)


def test_recency_is_later_where_the_skin_changes_later():
    frames = film(100, 100, 100, 100, 100)
    frames[1:, :, :4] = 140
    frames[3:, :, 4:] = 140
    (shown,) = show(frames, bins=1)
    assert shown[0, 0, 2] < 0.25 < 0.5 < shown[0, 7, 2] < 0.75


@pytest.mark.parametrize("frames", [2, 3, 17])
def test_any_number_of_frames_gives_the_same_number_of_pictures(frames):
    shown = show(noise(frames), bins=5)
    assert shown.shape == (5, 12, 12, 3)
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1


# --- normalisation, size, input ---------------------------------------------------------------------------------------
def test_as_many_events_as_most_are_one_and_more_are_cut():
    frames = film(100, 130)
    assert [show(frames, bins=1, most=most)[0, 0, 0, 0] for most in (2, 4, 8)] == [1, 1, 0.5]


def test_resizing_averages_counts_and_leaves_the_time_of_what_fired():
    frames = film(100, 130, side=16)
    frames[1, :, ::2] = 100  # every second column changes
    (large,), (small,) = show(frames, bins=1), show(frames, bins=1, size=8)
    assert small.shape == (8, 8, 3)
    assert small[..., 0] == pytest.approx(large[..., 0].max() / 2)
    assert small[..., 2] == pytest.approx(large[..., 2].max())


def test_colour_counts_by_its_grey_and_depth_by_the_views_own_range():
    rgb = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    grey = np.rint(rgb @ weights).astype(np.uint8)[..., None]
    assert np.abs(show(rgb) - show(grey)).mean() < 0.01
    depth = noise(3).astype(np.uint16)
    depth[0, 0, 0], depth[1, 0, 0] = 0, 255
    np.testing.assert_array_equal(show(depth * 257), show(depth.astype(np.uint8)))


def test_what_it_gives_and_refuses():
    built = representations.build("temporal_polarity", {})
    assert (
        built.output_spec(GREY)
        == built.output_spec(Modality(("r", "g", "b")))
        == Modality(temporal_polarity.CHANNELS, 0.0, 1.0)
    )
    with refuses("E410", "temporal_polarity", "u, v", 'representation = "pixels"'):
        built.output_spec(Modality(("u", "v")))
    with refuses("E409", "temporal_polarity", "one channel", "r, g, b, depth"):
        built.output_spec(Modality(("r", "g", "b", "depth")))
    with refuses("E419", "temporal_polarity", READY.key):
        show(film(1, 2), (1, 2), READY)
    for wrong in ({"threshold": 0}, {"offset": 0}, {"bins": 0}, {"most": 0}, {"size": 4}):
        with refuses("E112", next(iter(wrong))):
            representations.build("temporal_polarity", wrong)


# --- who takes it -----------------------------------------------------------------------------------------------------
def spec(bins: int = 4, size: int = 32) -> ViewSpec:
    return ViewSpec((bins, size, size, 3), temporal_polarity.CHANNELS, 0.0, 1.0)


@pytest.mark.parametrize("name", ["small_cnn", "entropy_vit"])
def test_networks_of_pictures_take_all_steps_at_once(name):
    x = torch.as_tensor(show(noise(5, 32))).movedim(3, 1)[None].repeat(2, 1, 1, 1, 1)
    torch.manual_seed(0)
    model = models.build(name, {})(spec(), 3, {})
    assert isinstance(model, nn.Module)
    assert model.eval()(x).logits.shape == (2, 3)


@pytest.mark.parametrize("name", ["ststnet", "off_apexnet", "sssnet", "rcn"])
def test_networks_of_optical_flow_refuse_it_in_words(name):
    with refuses("E409", name, "positive, negative, recency", 'representation = "flow"'):
        models.build(name, {}).check(spec())


def test_a_mirrored_film_gives_mirrored_events_as_the_augmentation_does():
    frames = noise(5, 32)
    shown, mirrored = show(frames), show(np.ascontiguousarray(frames[:, :, ::-1]))
    np.testing.assert_array_equal(mirrored, shown[:, :, ::-1])
    flip = augmentations.build("flip", {"share": 1.0})
    flip.check(spec())
    x = torch.as_tensor(shown).movedim(3, 1)[None]
    flipped = flip(Batch(x, torch.ones(1, 3), {}), spec(), torch.Generator().manual_seed(0)).x
    np.testing.assert_array_equal(flipped[0].movedim(1, 3).numpy(), mirrored)


def test_playing_it_backwards_is_not_offered():
    with refuses("E409", "reverse", "positive, negative, recency"):
        augmentations.build("reverse", {}).check(spec())
