"""Eulerian magnification: what the filter passes, by how much, and that no frame knows which others were asked for."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from conftest import recipe
from films import FPS, Film, clip
from microexpr.components.preprocessing.magnify import EulerianMagnification, _collapsed, _pyramid
from microexpr.config.component import Component
from microexpr.core import flow as motion
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError
from microexpr.core.interfaces import preprocessors
from microexpr.runs.plan import Options, Workspace, preprocessing_id
from motions import moved, texture
from refusal import refuses

AS_IS = "as_is"


def brightness(amplitude, hertz, side=64, grain=5.0):
    """A soft texture whose contrast swings in time: the same at the onset, whatever the frequency."""
    rest = texture(side, grain=grain) - 127

    def draw(number):
        swing = amplitude * np.sin(2 * np.pi * hertz * (number - 3) / FPS)
        return (127 + (0.5 + swing) * rest).round().clip(0, 255).astype(np.uint8)[..., None]

    return draw


def evm(film, numbers, **params):
    return preprocessors.build("evm", {"of": AS_IS, **params})(film, numbers).pixels.astype(float)


def swing(draw, **params):
    """How much larger the change of contrast is after magnification, from the standard deviation over time."""
    numbers = range(3, 63)
    before = np.stack([draw(number) for number in numbers]).astype(float)
    after = evm(Film(draw), numbers, **params)
    return after.std(axis=0).mean() / before.std(axis=0).mean()


def test_the_band_is_magnified_and_what_is_slower_or_faster_is_less_so():
    inside, slow, fast = (swing(brightness(0.03, hertz)) for hertz in (6, 0.3, 60))
    assert inside > 4
    assert inside > 2 * slow
    assert inside > 2 * fast


def test_nothing_is_added_without_amplification_and_more_with_more():
    draw = brightness(0.03, 6)
    numbers = range(3, 63)
    plain = np.stack([draw(number) for number in numbers])
    assert np.array_equal(evm(Film(draw), numbers, alpha=0.0), plain)
    assert swing(draw, alpha=4.0) < swing(draw, alpha=8.0) < swing(draw, alpha=16.0)


def test_the_onset_comes_out_as_it_is_and_a_still_clip_too():
    draw = brightness(0.03, 6)
    assert np.array_equal(evm(Film(draw), [3])[0], draw(3))
    assert np.array_equal(evm(Film(lambda number: draw(3)), [3, 30, 62])[1], draw(3))


def test_small_motion_becomes_larger():
    rest = texture(96, grain=8.0)

    def draw(number):
        return moved(rest, 0.25 * np.sin(2 * np.pi * 6 * (number - 3) / FPS), 0).round().astype(np.uint8)[..., None]

    numbers = [3, 11]  # a quarter of a wave later
    plain = motion.flows(np.stack([draw(number) for number in numbers])[..., 0])[0][16:-16, 16:-16, 0].mean()
    large = motion.flows(evm(Film(draw), numbers).astype(np.uint8)[..., 0])[0][16:-16, 16:-16, 0].mean()
    assert plain == pytest.approx(0.24, abs=0.08)
    assert large > 2.5 * plain


def test_a_frame_depends_on_the_clip_alone():
    draw = brightness(0.05, 7)
    together = evm(Film(draw), [5, 20, 40, 62])
    for row, number in enumerate([5, 20, 40, 62]):
        film = Film(draw)
        assert np.array_equal(evm(film, [number])[0], together[row])
        assert film.asked == list(range(3, number + 1))
    assert np.array_equal(evm(Film(draw), [40, 5, 40]), together[[2, 0, 2]])


def test_the_filter_is_the_written_one():
    """One frame after a step: the band is alpha times the difference of both coefficients, on levels that count."""
    first, second = (
        brightness(0.05, hertz)(number)[..., 0].astype(np.float32)[..., None] for hertz, number in ((7, 3), (7, 9))
    )
    film = Film(lambda number: (first if number == 3 else second).astype(np.uint8))
    fast, slow = 1 - np.exp(-2 * np.pi * np.array([16.0, 1.6]) / FPS)
    assert (fast, slow) == pytest.approx((0.395, 0.049), abs=1e-3)
    # 64 pixels are halved to 32, 16, 8 and 4; the ends are left alone.
    band = [(fast - slow) * (b - a) for a, b in zip(_pyramid(first, 5), _pyramid(second, 5), strict=True)]
    lengths = np.hypot(64, 64) / 3 / 2 ** np.arange(4, -1, -1)
    gains = [0, *(min(10, 2 * (length * 11 / 16 - 1)) for length in lengths[1:4]), 0]
    assert gains == pytest.approx([0, 3.185, 8.371, 10, 0], abs=1e-3)
    band = [gain * level for gain, level in zip(gains, band, strict=True)]
    expected = (second + _collapsed(band)).round().clip(0, 255)
    assert np.abs(evm(film, [4])[0] - expected).max() <= 1
    assert np.abs(expected - second).max() > 3


@pytest.mark.parametrize("shape", [(64, 48, 1), (37, 51, 3)])
def test_a_pyramid_gives_its_picture_back(shape):
    picture = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    np.testing.assert_allclose(_collapsed(_pyramid(picture, 3)), picture, atol=1e-3)


def test_the_band_is_in_hertz_not_in_frames():
    """The same motion filmed twice as fast is magnified alike at the same instants."""
    draw = brightness(0.06, 6)

    def fast(number):
        return draw((number - 3) / 2 + 3)

    slow_film = evm(Film(draw), [3, 13, 33])
    fast_film = evm(Film(fast, clip(fps=2 * FPS, offset=122)), [3, 23, 63])
    added = np.abs(slow_film - np.stack([draw(number) for number in (3, 13, 33)])).mean()
    assert added > 3
    assert np.abs(slow_film - fast_film).mean() < 0.25 * added


def test_colour_is_magnified_less_than_brightness():
    rest = texture(64, grain=5.0)

    def draw(number):
        change = 0.15 * np.sin(2 * np.pi * 6 * (number - 3) / FPS) * (rest - 127)
        return (127 + np.stack([change, -0.51 * change, 0 * change], axis=-1)).round().astype(np.uint8)  # luma stays

    film = Film(draw, channels=("r", "g", "b"))
    changes = [np.abs(evm(film, [11], chroma=chroma)[0] - draw(11)).mean() for chroma in (0.0, 0.5, 1.0)]
    assert changes[0] < 1 < changes[1] < changes[2]


def test_with_depth_beside_them_colours_are_magnified_as_without_it():
    def draw(number):
        colours = [brightness(0.03, hertz)(number) for hertz in (6, 7, 8)]
        return np.concatenate([*colours, brightness(0.05, 6)(number)], axis=2)

    deep = evm(Film(draw, channels=("r", "g", "b", "depth")), [11], chroma=0.2)
    bare = evm(Film(lambda number: draw(number)[..., :3], channels=("r", "g", "b")), [11], chroma=0.2)
    depth = evm(Film(lambda number: draw(number)[..., 3:], channels=("depth",)), [11])
    np.testing.assert_array_equal(deep, np.concatenate([bare, depth], axis=3))


def test_what_it_wraps():
    film = Film(brightness(0.03, 6, side=80))
    shown = preprocessors.build("evm", {"of": {"name": "crop", "size": 40}})(film, [3, 9])
    assert shown.pixels.shape == (2, 40, 40, 1)
    assert shown.window.tolist() == [[0, 0, 80, 80]] * 2
    assert preprocessors.build("evm", {"of": AS_IS}).requires_uncropped is False
    assert preprocessors.build("evm", {}).requires_uncropped is True
    with refuses("E416", "evm", 'box = "onset" or "median"'):
        preprocessors.build("evm", {"of": {"name": "m2", "margin": 0}})(film, [3, 9])
    held = preprocessors.build("evm", {"of": {"name": "m2", "box": "onset", "size": 32}})(film, [3, 9])
    assert held.pixels.shape == (2, 32, 32, 1)


@pytest.mark.parametrize(
    ("params", "code", "named"),
    [
        ({"low": 16.0, "high": 2.0}, "E113", ("low = 16 ", "high = 2 ")),
        ({"of": "mm2"}, "E103", ("preprocessing 'mm2'",)),
        ({"of": {"name": "m2", "sise": 3}}, "E110", ("preprocessing 'm2'", "'sise'")),
        ({"of": {"size": 3}}, "E112", ("preprocessing 'crop'", "size = 3 ")),
        ({"of": {"name": ""}}, "E103", ("preprocessing ''",)),
        ({"of": {"name": 3}}, "E112", ("of.name = 3 ", 'of = { name = "crop" }')),
        ({"of": 3}, "E112", ("of = 3 ",)),
        ({"alpha": -1.0}, "E112", ("alpha = -1.0",)),
    ],
)
def test_what_it_cannot_be(params, code, named):
    with refuses(code, *named):
        preprocessors.build("evm", params)


def test_clips_that_it_cannot_take():
    draw = brightness(0.03, 6)
    with refuses("E405", "d/1/v", "fps", "preprocessing.fps = 200", kind=DataError):
        evm(Film(draw, clip(fps=None)), [3, 9])
    assert np.array_equal(evm(Film(draw, clip(fps=None)), [9], fps=FPS), evm(Film(draw), [9]))
    with refuses("E404", "d/1/v", "3 to 62", "drop = true", kind=DataError):
        evm(Film(draw), [1, 9])
    with refuses("E419", "evm", kind=DataError):
        evm(Film(draw, Clip(dataset="d", subject_id="1", namespace="d", video="v")), [0])


def test_small_pictures():
    assert evm(Film(brightness(0.1, 6, side=16)), [3, 9]).shape == (2, 16, 16, 1)
    assert isinstance(preprocessors.build("evm", {}), EulerianMagnification)


# --- keys -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("changed", ["crop", "dlib_hog"])
def test_a_key_names_what_is_inside(changed, monkeypatch):
    """A revision of the preprocessing inside, or of the detector inside that, makes another experiment and cache."""
    from microexpr.core import interfaces

    inside = {"name": "evm", "of": {"name": "crop", "crop": "face", "box": "onset"}}
    whole = recipe().with_values({"preprocessing": inside})
    before = whole.key(), preprocessing_id(whole.preprocessing)
    registry = interfaces.preprocessors if changed == "crop" else interfaces.detectors
    registry.get(changed)
    monkeypatch.setitem(registry._revisions, changed, 99)
    after = whole.key(), preprocessing_id(whole.preprocessing)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_defaults_of_what_is_inside_change_no_key():
    short, long = (
        recipe().with_values({"preprocessing": {"name": "evm", "of": of}})
        for of in ("crop", {"name": "crop", "size": 384})
    )
    assert short.key() == long.key()
    assert preprocessing_id(short.preprocessing) == preprocessing_id(long.preprocessing)
    other = short.with_values({"preprocessing.of": {"name": "crop", "size": 32}})
    assert other.key() != short.key()
    assert other.with_values({"preprocessing.of.size": 384}).key() == short.key()
    assert Component.model_validate(other.preprocessing.to_toml()) == other.preprocessing
    assert other.preprocessing.label == "evm(of=crop(size=32))"


def test_what_is_inside_needs_no_name():
    parts = {"preprocessing": "evm", "preprocessing.of.size": 64}
    short, long = recipe().with_values(parts), recipe().with_values({**parts, "preprocessing.of.name": "crop"})
    short.check()
    assert short.key() == long.key()
    assert preprocessing_id(short.preprocessing) == preprocessing_id(long.preprocessing)
    shown = short.preprocessing.build(preprocessors)(Film(brightness(0.1, 6)), [3])
    assert shown.pixels.shape == (1, 64, 64, 1)
    with refuses("E110", "'crop'", "'sise'"):
        recipe().with_values({"preprocessing": "evm", "preprocessing.of.sise": 64}).check()


def test_what_is_inside_is_checked_without_a_registry():
    with refuses("E103", "'mm2'"):
        EulerianMagnification(of="mm2")


def test_a_database_without_frame_rates_is_told_before_anything_is_read(database, tmp_path):
    experiment = recipe().with_values({"preprocessing": {"name": "evm", "of": {"name": "m1", "size": 32}}})
    workspace = Workspace(Options({"manifest": database}, tmp_path))
    with pytest.raises(DataError, match=r"evm.*column fps of a manifest"):
        workspace.plan(experiment)
    planned = workspace.plan(experiment.with_values({"preprocessing.fps": 200}))
    workspace.prepare([planned])
    assert planned.views().take(np.arange(3)).shape == (3, 1, 32, 32, 3)


def test_clips_without_a_frame_rate_are_all_named_and_can_be_left_out(database, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(database, root)
    head, *lines = (root / "manifest.csv").read_text().split()
    rates = ["", "200", *["100"] * (len(lines) - 3), ""]
    rows = [f"{line},{rate}" for line, rate in zip(lines, rates, strict=True)]
    (root / "manifest.csv").write_text("\n".join([f"{head},fps", *rows]) + "\n")
    experiment = recipe().with_values({"preprocessing": {"name": "evm", "of": {"name": "m1", "size": 32}}})
    strict = Workspace(Options({"manifest": root}, tmp_path / "out"))
    planned = strict.plan(experiment)  # the first clip without a rate does not speak for all
    with pytest.raises(DataError) as caught:
        strict.prepare([planned])
    assert [fault.clip for fault in caught.value.faults] == ["own/s0/c0/1-7", "own/s5/c5/1-7"]
    assert all("evm filters in Hz" in fault.problem for fault in caught.value.faults)
    assert "--skip-invalid" in str(caught.value)
    lenient = Workspace(Options({"manifest": root}, tmp_path / "out", skip_invalid=True))
    planned = lenient.plan(experiment)
    (planned,) = lenient.prepare([planned])
    assert len(planned.data.clips) == len(lines) - 2
    assert len(planned.views()) == len(lines) - 2
