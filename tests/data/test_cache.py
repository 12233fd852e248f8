from __future__ import annotations

import numpy as np
import pytest

from microexpr.core.errors import DataError
from microexpr.core.interfaces import Dataset, datasets, detectors, preprocessors, representations, samplers
from microexpr.core.progress import Silent
from microexpr.data.cache import Cache, DatasetFrames

M1 = ("m1", preprocessors.build("m1", {"size": 32}))


class Counting:
    """A dataset that counts the frames it is asked for."""

    def __init__(self, dataset):
        self.dataset, self.read = dataset, []

    def __getattr__(self, name):
        return getattr(self.dataset, name)

    def frames(self, clip, numbers, modality):
        self.read += [(clip.key, number) for number in numbers]
        return self.dataset.frames(clip, numbers, modality)


Dataset.register(Counting)


@pytest.fixture
def cache(database, tmp_path):
    return Cache(Counting(datasets.get("manifest")(database)), "colour", tmp_path, "f" * 64)


def prepare(cache, clips, *numbers):
    return cache.prepare([(*M1, dict.fromkeys(range(len(clips)), numbers))], clips, 1)


def views(cache, clips, sampling="kfs"):
    return cache.views(M1[0], clips, samplers.build(sampling, {}), representations.build("pixels", {}))


def test_every_frame_is_preprocessed_once(cache, database):
    clips = cache.dataset.clips()
    assert prepare(cache, clips, 1, 4) == []
    assert len(cache.dataset.read) == 2 * len(clips)
    prepare(cache, clips, 1, 4, 7)
    assert len(cache.dataset.read) == 3 * len(clips)
    other = Cache(cache.dataset, "colour", cache.folder, "f" * 64)
    prepare(other, clips, 1, 4, 7)
    assert len(cache.dataset.read) == 3 * len(clips)
    changed = Cache(cache.dataset, "colour", cache.folder, "0" * 64)
    prepare(changed, clips, 1)
    assert len(cache.dataset.read) == 4 * len(clips)


def test_views_show_what_the_preprocessing_gives(cache):
    clips = cache.dataset.clips()
    prepare(cache, clips, 4)
    prepare(cache, clips, 1, 7)
    shown = views(cache, clips)
    assert len(shown) == 3 * len(clips)
    assert shown.spec.shape == (1, 32, 32, 3)
    direct = M1[1](DatasetFrames(cache.dataset, clips[5], "colour"), [1, 4, 7])
    assert np.array_equal(shown.take(shown.of(np.array([5])))[:, 0], direct.pixels)
    assert shown.numbers[:3] == ((1,), (4,), (7,))


@pytest.mark.parametrize("represented", ["pixels", "flow"])
def test_views_can_be_read_into_a_buffer(cache, represented):
    """Pixels directly; computed and stored views as well."""
    clips = cache.dataset.clips()
    prepare(cache, clips, 1, 4)
    kind = representations.build(represented, {})
    shown = cache.views(M1[0], clips, samplers.build("onset_apex", {}), kind)
    rows = np.array([3, 0, 7])
    expected = shown.take(rows)
    room = np.full((5, *expected.shape[1:]), 7, expected.dtype)
    assert shown.take(rows, room[:3]) is not expected
    assert np.array_equal(room[:3], expected)
    assert (room[3:] == 7).all()
    if represented == "flow":
        cache.represent(shown, "flow", 1, Silent())
        stored = cache.views(M1[0], clips, samplers.build("onset_apex", {}), kind, "flow")
        assert stored.computed is not None
        room[:] = 7
        stored.take(rows, room[:3])
        assert np.array_equal(room[:3], expected)


def test_a_kill_while_writing_loses_only_that_frame(cache):
    clips = cache.dataset.clips()
    prepare(cache, clips, 4)
    before = views(cache, clips, "af").take(np.arange(len(clips)))
    store = cache.store(M1[0])
    data, index = store.folder / "data.bin", store.folder / "index.jsonl"
    data.write_bytes(data.read_bytes()[:-1000])
    index.write_text(index.read_text()[:-10])
    count = len(cache.dataset.read)
    again = Cache(cache.dataset, "colour", cache.folder, "f" * 64)
    prepare(again, clips, 4)
    assert len(cache.dataset.read) == count + 1
    assert np.array_equal(views(again, clips, "af").take(np.arange(len(clips))), before)


def test_images_of_two_sizes_are_told(tmp_path, cache):
    clips = cache.dataset.clips()
    store = cache.store("as_is")
    frames = preprocessors.build("as_is", {})(cache.frames(clips[0]), [1])
    store.add([(clips[0].key, 1)], frames)
    with pytest.raises(DataError, match="resize them to one size"):
        store.add([(clips[1].key, 1)], frames._replace(pixels=frames.pixels[:, :10]))


def test_faces_are_detected_once_for_all_preprocessings(faces, tmp_path, monkeypatch):
    from microexpr.components.detection import dlib_hog

    calls = []
    real = dlib_hog.DlibHog.__call__
    monkeypatch.setattr(dlib_hog.DlibHog, "__call__", lambda self, frame: calls.append(1) or real(self, frame))
    dataset = datasets.get("casme2")(faces)
    clips = list(dataset.clips())[:2]
    cache = Cache(dataset, "colour", tmp_path, dataset.fingerprint())
    apex = {row: [clip.apex] for row, clip in enumerate(clips)}
    wanted = [(name, preprocessors.build("m2", {"size": size}), apex) for name, size in (("a", 64), ("b", 32))]
    assert cache.prepare(wanted, clips, 1) == []
    assert len(calls) == 2
    assert Cache(dataset, "colour", tmp_path, dataset.fingerprint()).boxes == cache.boxes


def test_clips_without_a_face_are_all_named(database, tmp_path):
    dataset = datasets.get("manifest")(database)
    clips = list(dataset.clips())[:3]
    cache = Cache(dataset, "colour", tmp_path, "f" * 64)
    faults = cache.prepare([("m2", preprocessors.build("m2", {}), {0: [4], 2: [4]})], clips, 1)
    assert [fault.clip for fault in faults] == [clips[0].key, clips[2].key]
    assert "finds no face in frame 4" in faults[0].problem
    assert 'box = "onset"' in faults[0].fix


def test_a_detector_of_another_revision_looks_again(faces, tmp_path, monkeypatch):
    dataset = datasets.get("casme2")(faces)
    clip = dataset.clips()[0]
    cache = Cache(dataset, "colour", tmp_path, dataset.fingerprint())
    before = cache.frames(clip)
    before.boxes([clip.apex], "dlib_hog")
    monkeypatch.setitem(detectors._revisions, "dlib_hog", 2)
    before.boxes([clip.apex], "dlib_hog")
    assert len(before.known) == 2
