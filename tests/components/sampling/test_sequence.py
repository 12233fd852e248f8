"""Samplings of several frames in one view."""

from __future__ import annotations

import pytest

from microexpr.core.clip import Clip
from microexpr.core.errors import DataError
from microexpr.core.interfaces import samplers
from refusal import refuses

KEYED = ("onset_apex", "apex_offset", "onset_apex_offset")


def clip(onset, apex, offset):
    return Clip(dataset="d", subject_id="1", namespace="d", video="v", onset=onset, apex=apex, offset=offset)


def view(name, a_clip, **params):
    (only,) = samplers.build(name, params)(a_clip)
    return only


def test_key_frames_in_one_view():
    assert view("onset_apex", clip(46, 59, 86)) == (46, 59)
    assert view("apex_offset", clip(46, 59, 86)) == (59, 86)
    assert view("onset_apex_offset", clip(46, 59, 86)) == (46, 59, 86)


def test_an_apex_at_an_end_gives_a_pair_without_motion():
    assert view("onset_apex", clip(46, 46, 86)) == (46, 46)
    assert view("apex_offset", clip(46, 86, 86)) == (86, 86)
    assert view("onset_apex_offset", clip(5, 5, 5)) == (5, 5, 5)


def test_the_whole_clip():
    assert view("clip", clip(8, None, 12)) == (8, 9, 10, 11, 12)
    assert view("clip", clip(8, 8, 8)) == (8,)


def test_frames_evenly_over_the_clip():
    assert view("uniform", clip(1, None, 10)) == tuple(range(1, 11))
    assert view("uniform", clip(10, 12, 50), count=5) == (10, 20, 30, 40, 50)
    assert view("uniform", clip(0, 3, 100), count=2) == (0, 100)


def test_clips_shorter_than_the_number_of_frames_show_some_twice():
    shown = view("uniform", clip(3, None, 5), count=6)
    assert shown == (3, 3, 4, 4, 5, 5)
    assert view("uniform", clip(3, None, 3), count=4) == (3, 3, 3, 3)


@pytest.mark.parametrize("name", KEYED)
def test_a_clip_without_apex_is_told_the_ways_out(name):
    without = clip(10, None, 19)
    with refuses("E402", "d/1/v", 'missing_apex = "middle"', "clip or uniform", kind=DataError):
        samplers.build(name, {})(without)
    assert set(view(name, without, missing_apex="middle")) <= {10, 14, 19}
    assert 14 in view(name, without, missing_apex="middle")
    assert view(name, clip(10, 18, 19), missing_apex="middle") == view(name, clip(10, 18, 19))


@pytest.mark.parametrize("name", [*KEYED, "clip", "uniform"])
def test_ready_images_have_no_time(name):
    with refuses("E419", 'sampling = "image"', kind=DataError):
        samplers.build(name, {})(clip(None, None, None))


def test_one_frame_is_no_sequence():
    with refuses("E112", "count = 1"):
        samplers.build("uniform", {"count": 1})
