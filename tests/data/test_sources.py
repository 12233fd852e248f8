"""What a stored model can predict: how each kind of input is opened, what its frames are, and what is refused."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from casme2_files import TABLE, jpeg, row, write_table
from conftest import SIDE, write_database
from microexpr.config.component import Component
from microexpr.core.clip import Clip
from microexpr.core.errors import DataError, FrameError, UnknownComponentError, UsageError
from microexpr.core.interfaces import ViewSpec, datasets, preprocessors, representations, samplers
from microexpr.data.reading import AHEAD, Reading
from microexpr.data.sources import ArrayClips, FrameFolders, open_sources
from refusal import refuses

READERS = [Component(name="manifest")]
RGB = ("r", "g", "b")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Two subjects with two clips each; their frames are numbered from 1 to 7."""
    return write_database(tmp_path_factory.mktemp("small"), subjects=2, clips=2)


@pytest.fixture(scope="module")
def casme2(tmp_path_factory) -> Path:
    """One clip in CASME II's layout."""
    root = tmp_path_factory.mktemp("casme2")
    write_table(root / TABLE, [row("01", "EP02_01f", 46, 47, 48, "4", "disgust")])
    frames = root / "CASME2_RAW_selected" / "sub01" / "EP02_01f"
    frames.mkdir(parents=True)
    for number in range(46, 49):
        (frames / f"img{number}.jpg").write_bytes(jpeg())
    return root


def opened(what, readers=READERS):
    """The only source that an input gives."""
    (source,) = open_sources(what, readers)
    return source


def keys(what, readers=READERS):
    return [clip.key for source in open_sources(what, readers) for clip in source.clips()]


def write_images(folder: Path, numbers, *, shape=(40, 48, 3), dtype=np.uint8, name="{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for number in numbers:
        cv2.imwrite(str(folder / name.format(number)), rng.integers(0, 250, shape).astype(dtype))
    return folder


# --- databases --------------------------------------------------------------------------------------------------------
ALL = [f"own/s{subject}/c{clip}/1-7" for subject in range(2) for clip in range(2)]


def test_an_open_database_is_used_as_it_is(small):
    dataset = datasets.get("manifest")(small)
    assert opened(dataset) is dataset
    assert open_sources([dataset, small / "s0" / "c0"], READERS)[0] is dataset


@pytest.mark.parametrize("form", [Path, str, lambda place: f"manifest={place}", lambda place: place / "manifest.csv"])
def test_a_database_is_opened_by_its_folder_by_its_reader_or_by_its_manifest(small, form):
    assert keys(form(small)) == ALL


def test_a_manifest_needs_no_reader_of_the_model_and_any_name(small, tmp_path):
    others = [Component(name="casme2")]
    assert keys(small, others) == ALL
    copy = Path(shutil.copytree(small, tmp_path / "copy"))
    (copy / "manifest.csv").rename(copy / "mine.CSV")
    assert keys(copy / "mine.CSV", others) == ALL
    # The model's reader, with the parameters that it was trained with, finds the table under its own name.
    assert keys(copy, [Component(name="manifest", params={"file": "mine.CSV"})]) == ALL


def test_the_readers_of_the_model_are_tried_in_turn(casme2):
    found = keys(casme2, [Component(name="manifest"), Component(name="casme2")])
    assert found == ["casme2/01/EP02_01f/46-48"]
    assert keys(f"casme2={casme2}", READERS) == found


def test_parameters_of_the_model_reach_its_reader_and_no_other(casme2):
    """With a table that does not exist, a reader cannot read its database."""
    wrong = {"table": "none.xlsx"}
    with refuses("E467", "none.xlsx", kind=DataError):
        open_sources(f"casme2={casme2}", [Component(name="casme2", params=wrong)])
    assert len(keys(f"casme2={casme2}", [Component(name="samm", params=wrong)])) == 1


def test_a_folder_whose_name_has_an_equals_sign_is_a_folder(small, tmp_path):
    folder = Path(shutil.copytree(small, tmp_path / "size=32"))
    assert keys(folder) == ALL
    assert keys(folder / "s0" / "c0") == ["c0"]


def test_home_is_understood_with_and_without_a_reader(small, monkeypatch):
    monkeypatch.setenv("HOME", str(small.parent))
    assert keys(f"~/{small.name}") == ALL
    assert keys(f"manifest=~/{small.name}") == ALL


# --- folders of frames ------------------------------------------------------------------------------------------------
def test_a_folder_of_numbered_images_is_one_clip_from_its_lowest_to_its_highest_number(small):
    source = opened(small / "s0" / "c1")
    (clip,) = source.clips()
    assert isinstance(source, FrameFolders)
    assert (clip.key, clip.subject, clip.emotion) == ("c1", "", None)
    assert (clip.onset, clip.apex, clip.offset) == (1, None, 7)
    assert (next(iter(source.modalities())), source.faults()) == ("colour", ())
    assert source.modalities()["colour"].channels == RGB


@pytest.mark.parametrize("form", [".", "../c1", "../c1/"])
def test_a_folder_has_its_own_name_however_it_is_written(small, monkeypatch, form):
    monkeypatch.chdir(small / "s0" / "c1")
    assert keys(form) == keys(Path(form)) == ["c1"]


def test_nested_folders_are_one_clip_each(tmp_path):
    for name, numbers in (("b/raw", (3, 5)), ("a", (10, 9, 2)), ("a/inner", (0,)), ("none", ()), (".hidden", ())):
        write_images(tmp_path / name, numbers)
    (tmp_path / "a" / "notes1.txt").write_text("no image")
    clips = opened(tmp_path).clips()
    assert [(clip.key, clip.onset, clip.offset) for clip in clips] == [("a", 2, 10), ("a/inner", 0, 0), ("b/raw", 3, 5)]


def test_folders_in_a_folder_of_the_same_name_stay_apart(tmp_path):
    """Both would be called x."""
    write_images(tmp_path / "x", (1, 2))
    write_images(tmp_path / "x" / "x", (1, 2))
    assert len(set(keys(tmp_path / "x"))) == 2


def test_frames_are_red_green_blue_in_the_requested_order(small):
    source = opened(small / "s1" / "c0")
    found = source.frames(source.clips()[0], [7, 2, 7], "colour")
    stored = [cv2.imread(str(small / "s1" / "c0" / f"{number}.png"))[..., ::-1] for number in (7, 2, 7)]
    assert np.array_equal(found, stored)
    same = datasets.get("manifest")(small)
    clip = next(clip for clip in same.clips() if clip.key == "own/s1/c0/1-7")
    assert np.array_equal(found, same.frames(clip, [7, 2, 7], "colour"))


@pytest.mark.parametrize("shape", [(40, 48), (40, 48, 3), (40, 48, 4)])
def test_grey_and_transparent_images_become_three_channels(tmp_path, shape):
    source = opened(write_images(tmp_path / "clip", (1, 2), shape=shape))
    found = source.frames(source.clips()[0], [1, 2], "colour")
    stored = cv2.imread(str(tmp_path / "clip" / "1.png"), cv2.IMREAD_UNCHANGED)
    assert found.shape == (2, 40, 48, 3)
    expected = np.repeat(stored[..., None], 3, axis=-1) if len(shape) == 2 else stored[..., 2::-1]
    assert np.array_equal(found[0], expected)


def test_images_of_more_than_eight_bits_are_refused(tmp_path):
    source = opened(write_images(tmp_path / "clip", (1, 2), dtype=np.uint16))
    with refuses("E275", tmp_path / "clip" / "2.png", "uint16", kind=FrameError):
        source.frames(source.clips()[0], [2], "colour")


def test_a_number_that_the_folder_lacks_is_named(tmp_path):
    source = opened(write_images(tmp_path / "clip", (1, 4)))
    with refuses("E231", tmp_path / "clip", "3", kind=FrameError):
        source.frames(source.clips()[0], [1, 3], "colour")


def test_images_of_two_sizes_are_refused(tmp_path):
    write_images(tmp_path / "clip", (1,))
    source = opened(write_images(tmp_path / "clip", (2,), shape=(41, 48, 3)))
    with refuses("E234", tmp_path / "clip" / "2.png", "48x41", "48x40", kind=FrameError):
        source.frames(source.clips()[0], [1, 2], "colour")


def test_two_images_with_one_number_are_refused(tmp_path):
    """The frames of two recordings in one folder are no clip; databases refuse them, too."""
    write_images(tmp_path / "clip", (1, 2), name="left{}.png")
    source = opened(write_images(tmp_path / "clip", (1, 2), name="right{}.png"))
    with refuses("E232", "left1.png", "right1.png", kind=FrameError):
        source.frames(source.clips()[0], [1, 2], "colour")


# --- arrays -----------------------------------------------------------------------------------------------------------
def test_a_folder_with_a_table_that_cannot_be_read_is_not_taken_for_images(small, tmp_path):
    """Without the table's times, other frames would be predicted."""
    root = Path(shutil.copytree(small, tmp_path / "data"))
    (root / "manifest.csv").rename(root / "clips.csv")
    with refuses("E135", root, "clips.csv", "NAME=DIR", kind=DataError):
        open_sources(root, READERS)


def test_the_manifest_of_a_folder_is_read_whatever_file_the_training_read(small, tmp_path):
    root = Path(shutil.copytree(small, tmp_path / "data"))
    lines = (root / "manifest.csv").read_text().splitlines()
    (root / "train.csv").write_text("\n".join(lines[:3]))
    reader = Component(name="manifest", params={"file": "train.csv"})
    (source,) = open_sources(root, [reader])
    assert len(source.clips()) == len(lines) - 1


@pytest.mark.parametrize("what", [None, 5, [5], [object()]])
def test_what_is_no_input_is_refused(what):
    with refuses("E135", kind=UsageError):
        open_sources(what, READERS)


def test_a_single_image_is_not_taken_for_grey_frames():
    """Its rows would be frames, three pixels wide."""
    with refuses("E276", "40x48x3", kind=DataError):
        open_sources(np.zeros((40, 48, 3), np.uint8), READERS)


def test_hidden_folders_hold_no_clips(tmp_path):
    write_images(tmp_path / "clip", (1, 2))
    write_images(tmp_path / ".thumbs" / "clip", (1, 2))
    assert keys(tmp_path) == ["clip"]


def test_arrays_are_clips_by_name_by_number_or_alone(small):
    film = np.zeros((5, 40, 48, 3), np.uint8)
    assert keys({"smile": film, "frown": film}) == ["smile", "frown"]
    assert keys([film, film]) == ["0", "1"]
    assert keys(film) == ["array"]
    assert keys(ArrayClips({"smile": film})) == ["smile"]
    assert keys((film,)) == ["0"]


def test_several_inputs_of_every_kind_are_opened_together(small):
    film = np.zeros((5, 40, 48, 3), np.uint8)
    what = [str(small), {"smile": film}, small / "s0" / "c0", ArrayClips({"frown": film}), film]
    assert sorted(keys(what)) == sorted([*ALL, "smile", "c0", "frown", "4"])


def test_the_frames_of_an_array_count_from_0_and_its_apex_may_be_given():
    source = ArrayClips({"a": np.zeros((5, 40, 48, 3), np.uint8), "b": np.zeros((1, 40, 48), np.uint8)}, apex={"a": 3})
    found = [(clip.key, clip.onset, clip.apex, clip.offset, clip.subject) for clip in source.clips()]
    assert found == [("a", 0, 3, 4, ""), ("b", 0, None, 0, "")]
    assert (source.modalities()["colour"].channels, source.faults(table_only=True)) == (RGB, ())


def test_grey_arrays_become_three_channels_and_colours_keep_their_order():
    film = np.random.default_rng(2).integers(0, 255, (5, 40, 48, 3), dtype=np.uint8)
    source = ArrayClips({"colour": film, "grey": film[..., 0], "one": film[..., :1]})
    colour, grey, one = (source.frames(clip, [4, 0], "colour") for clip in source.clips())
    assert np.array_equal(colour, film[[4, 0]])
    assert np.array_equal(grey, np.repeat(film[[4, 0], ..., :1], 3, axis=-1))
    assert np.array_equal(one, grey)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((5, 40, 48, 3), np.float64),
        ((5, 40, 48, 3), np.int64),
        ((5, 40, 48, 3), np.uint16),
        ((5, 40, 48, 3), bool),
        ((40, 48), np.uint8),
        ((5, 40, 48, 2), np.uint8),
        ((5, 40, 48, 4), np.uint8),
        ((5, 3, 40, 48), np.uint8),
        ((2, 5, 40, 48, 3), np.uint8),
        ((0, 40, 48, 3), np.uint8),
        ((5, 0, 48, 3), np.uint8),
        ((), np.uint8),
    ],
)
def test_arrays_that_are_no_series_of_images_are_refused(shape, dtype):
    size = "x".join(map(str, shape))
    for what in ({"smile": np.zeros(shape, dtype)}, [np.zeros(shape, dtype)], np.zeros(shape, dtype)):
        with refuses("E276", size, np.dtype(dtype), kind=DataError) as caught:
            open_sources(what, READERS)
        assert "smile" in str(caught.value) or not isinstance(what, dict)


@pytest.mark.parametrize(("name", "frame"), [("smile", 5), ("smile", -1), ("frown", 0)])
def test_an_apex_outside_its_array_is_refused(name, frame):
    with refuses("E276", name, frame, kind=DataError):
        ArrayClips({"smile": np.zeros((5, 40, 48, 3), np.uint8)}, apex={name: frame})


# --- what is refused --------------------------------------------------------------------------------------------------
def test_a_path_that_does_not_exist_is_named(tmp_path):
    for what in (tmp_path / "none", str(tmp_path / "none.csv"), [tmp_path / "none"]):
        with refuses("E101", tmp_path / "none", kind=UsageError):
            open_sources(what, READERS)


def test_a_path_that_does_not_exist_is_no_reader_because_it_has_an_equals_sign(tmp_path):
    with refuses("E101", tmp_path / "size=32" / "clips", kind=UsageError):
        open_sources(tmp_path / "size=32" / "clips", READERS)


def test_a_file_that_is_no_manifest_is_named(tmp_path):
    (tmp_path / "film.avi").write_bytes(b"RIFF")
    with refuses("E135", tmp_path / "film.avi", kind=UsageError):
        open_sources(tmp_path / "film.avi", READERS)


def test_a_folder_in_which_nothing_is_found_is_named_with_what_each_reader_lacks(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "frame1.txt").write_text("no image")
    (tmp_path / "text" / "average.png").write_bytes(b"no number")
    for folder in ("empty", "text"):
        with refuses("E135", tmp_path / folder, "casme2", "CASME2-coding", kind=DataError):
            open_sources(tmp_path / folder, [Component(name="casme2")])


def test_an_unknown_reader_is_named_with_one_like_it(small):
    with refuses("E103", "casme_2", "casme2", kind=UnknownComponentError):
        open_sources(f"casme_2={small}", READERS)


def test_a_database_that_another_reader_would_read_is_refused_by_the_reader_that_is_named(small):
    with refuses("E467", small, "casme2", "E205", kind=DataError):
        open_sources(f"casme2={small}", READERS)
    with refuses("E467", small.parent / "none", "E204", kind=DataError):
        open_sources(f"manifest={small.parent / 'none'}", READERS)


@pytest.mark.parametrize("content", ["", "dataset,subject\nown,s0\n", "dataset,subject,clip,emotion,frames\n"])
def test_a_manifest_that_cannot_be_read_is_refused_though_there_are_images(tmp_path, content):
    write_images(tmp_path / "clip", (1, 2))
    (tmp_path / "manifest.csv").write_text(content)
    with refuses("E467", tmp_path, "manifest.csv", kind=DataError):
        open_sources(tmp_path, READERS)


@pytest.mark.parametrize("what", [[], {}, [{}, {}]])
def test_no_input_at_all_is_refused(what):
    with refuses("E135", kind=DataError):
        open_sources(what, READERS)


# --- reading ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Counted:
    """Arrays that leave a file behind whenever one is read, so that other processes count, too."""

    arrays: ArrayClips
    place: Path

    def modalities(self):
        return self.arrays.modalities()

    def clips(self):
        return self.arrays.clips()

    def faults(self, *, table_only: bool = False):
        return ()

    def frames(self, clip: Clip, numbers, modality: str):
        (self.place / clip.key).touch()
        return self.arrays.frames(clip, numbers, modality)

    def count(self) -> int:
        return len(list(self.place.iterdir()))


@pytest.mark.parametrize("workers", [1, 2])
def test_frames_are_read_only_a_little_ahead(tmp_path, workers):
    number = AHEAD * workers * 3
    films = {f"{clip:03}": np.full((3, SIDE, SIDE, 3), clip, np.uint8) for clip in range(number)}
    source = Counted(ArrayClips(films, apex=dict.fromkeys(films, 1)), tmp_path)
    reading = Reading(
        source,
        "colour",
        preprocessors.build("m1", {"size": 32}),
        samplers.build("kfs", {}),
        representations.build("pixels", {}),
        ViewSpec((1, 32, 32, 3), RGB),
    )
    yielded = []
    for clip in reading.read(source.clips(), workers):
        yielded.append(clip)
        if len(yielded) == 1 and workers > 1:
            time.sleep(0.5)  # the model is slower than the disk, so that processes could read on
        assert len(yielded) <= source.count() <= len(yielded) + AHEAD * workers
    assert [clip.clip.key for clip in yielded] == list(films)
    assert [int(clip.inputs[0].max()) for clip in yielded] == list(range(number))
    assert {(len(clip.inputs), clip.problem) for clip in yielded} == {(3, "")}
