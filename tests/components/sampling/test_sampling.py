from __future__ import annotations

import pytest

from microexpr.core.clip import Clip
from microexpr.core.errors import DataError
from microexpr.core.interfaces import samplers
from refusal import refuses


def clip(onset, apex, offset):
    return Clip(dataset="d", subject_id="1", namespace="d", video="v", onset=onset, apex=apex, offset=offset)


def numbers(name, a_clip, **params):
    return [view[0] for view in samplers.build(name, params)(a_clip)]


def test_key_frames():
    assert numbers("af", clip(46, 59, 86)) == [59]
    assert numbers("kfs", clip(46, 59, 86)) == [46, 59, 86]
    assert numbers("kfs", clip(46, 46, 86)) == [46, 46, 86]  # three views even where the apex is the onset


def test_mfs_takes_the_papers_windows():
    assert numbers("mfs", clip(46, 59, 86)) == [46, 47, 48, 49, 57, 58, 59, 60, 61, 83, 84, 85, 86]
    assert samplers.build("mfs", {}).nominal == 13


def test_mfs_drops_repeats_and_frames_outside_the_clip():
    assert numbers("mfs", clip(10, 10, 20)) == [10, 11, 12, 13, 17, 18, 19, 20]
    assert numbers("mfs", clip(10, 10, 20), drop=False) == [10, 11, 12, 13, 8, 9, 10, 11, 12, 17, 18, 19, 20]


def test_mfs_without_any_frame_is_told():
    with refuses("E113", "mfs", "apex = [0]"):
        samplers.build("mfs", {"onset": [], "apex": [], "offset": []})
    assert numbers("mfs", clip(10, 15, 20), onset=[], offset=[]) == [13, 14, 15, 16, 17]
    with refuses("E404", "d/1/v", "mfs", "10 to 20", kind=DataError):
        numbers("mfs", clip(10, 15, 20), onset=[], apex=[40], offset=[])


def test_clips_that_a_sampling_cannot_take():
    with refuses("E402", "d/1/v", kind=DataError):
        numbers("af", clip(1, None, 9))
    with refuses("E419", 'sampling = "image"', kind=DataError):
        numbers("kfs", clip(None, None, None))
    with refuses("E403", "d/1/v", "af, kfs or mfs", "onset_apex, clip or uniform", kind=DataError):
        numbers("image", clip(1, 2, 3))
    assert numbers("image", clip(None, None, None)) == [0]


@pytest.mark.parametrize(
    ("name", "shown"), [("af", [(14,)]), ("kfs", [(10,), (14,), (19,)]), ("mfs", [(n,) for n in range(10, 20)])]
)
def test_the_middle_stands_in_for_an_apex_where_it_is_asked_for(name, shown):
    without = Clip(dataset="smic", subject_id="s1", namespace="smic", video="s1_ne_01", onset=10, apex=None, offset=19)
    with refuses("E402", without.key, 'missing_apex = "middle"', kind=DataError):
        samplers.build(name, {})(without)
    taken = samplers.build(name, {"missing_apex": "middle"})
    assert list(taken(without)) == shown
    with_apex = Clip(dataset="x", subject_id="1", namespace="x", video="v", onset=10, apex=18, offset=19)
    assert list(taken(with_apex)) == list(samplers.build(name, {})(with_apex))
