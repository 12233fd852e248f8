"""The reader of CSV files: folders of frames, ready images, and every way of getting them wrong."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import TESTS
from example_databases import write_example
from microexpr.components.datasets.manifest import Manifest
from microexpr.core.clip import ActionUnit
from microexpr.core.errors import DataError, Fault, FrameError
from microexpr.core.interfaces import Modality, datasets
from refusal import refuses

REAL = Path(os.environ.get("MICROEXPR_REAL_DATA", TESTS.parents[1] / "shared/real")) / "megc2019_flow"
BLUE, GREEN, RED = 30, 100, 200
FRAMES = "dataset,subject,clip,emotion,frames,onset,apex,offset,fps,action_units\n"
READY = "dataset,subject,clip,emotion,flow,lab\n"


def picture(file: Path, image: object = (BLUE, GREEN, RED), size: tuple[int, int] = (6, 8)) -> None:
    """Write a picture of one colour (blue, green, red), or an array."""
    array = image if isinstance(image, np.ndarray) else np.full((*size, 3), image, np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(cv2.imencode(file.suffix, array)[1].tobytes())


def framed(root: Path, *lines: str, header: str = FRAMES) -> Path:
    """Write a folder a/img8..img12 and a CSV file."""
    for number in range(8, 13):
        picture(root / f"a/img{number}.png", (number, GREEN, RED))
    lines = lines or ("own,p1,smile,happiness,a,8,10,12,100,6+L12",)
    (root / "manifest.csv").write_text(header + "\n".join(lines) + "\n", "utf-8")
    return root


def ready(root: Path, *lines: str, header: str = READY) -> Path:
    """Write three images of flow and a CSV file."""
    for name in ("one", "two", "three"):
        picture(root / f"flow/{name}.png")
    lines = lines or tuple(
        f"own,p{n},{name},{word},flow/{name}.png,Oulu"
        for n, (name, word) in enumerate([("one", "positive"), ("two", "Negative "), ("three", "surprise")])
    )
    (root / "manifest.csv").write_text(header + "\n".join(lines) + "\n", "utf-8")
    return root


def only(root: Path, *words: str, **options: object) -> Fault:
    faults = Manifest(root, **options).faults()
    assert len(faults) == 1, list(map(str, faults))
    assert all(word in str(faults[0]) for word in words), f"{faults[0]} does not say {words}"
    return faults[0]


# --- folders of frames ------------------------------------------------------------------------------------------------
def test_clips_of_frames(tmp_path):
    reader = Manifest(framed(tmp_path))
    (clip,) = reader.clips()
    assert (clip.key, clip.subject, clip.dataset) == ("own/p1/smile/8-12", "own/p1", "own")
    assert (clip.onset, clip.apex, clip.offset, clip.fps, clip.emotion) == (8, 10, 12, 100.0, "happiness")
    assert clip.action_units == (ActionUnit(6), ActionUnit(12, side="L"))
    assert clip.labels == {"action_units": ("6+L12",)}
    assert reader.modalities() == {"colour": Modality(("r", "g", "b"))}
    assert reader.faults() == ()
    assert reader.metadata()["images"] == "folders of frames"


def test_frames_come_by_number_not_by_name_and_as_rgb(tmp_path):
    reader = Manifest(framed(tmp_path))
    frames = reader.frames(reader.clips()[0], [12, 8, 9], "colour")
    assert frames.shape == (3, 6, 8, 3)
    assert frames[:, 0, 0].tolist() == [[RED, GREEN, 12], [RED, GREEN, 8], [RED, GREEN, 9]]


def test_names_and_separators_as_spreadsheets_write_them(tmp_path):
    header = "Remark;Dataset;SUBJECT;Clip;Emotion;Frames;Onset;Apex;Offset\n"
    framed(tmp_path, '"a; b";own;1;smile;HAPPINESS;a;8;;12', header="\ufeff" + header)
    (tmp_path / "a/img8.png").rename(tmp_path / "a/006_00008_x.png")
    reader = Manifest(tmp_path)
    assert reader.faults() == ()
    (clip,) = reader.clips()
    assert (clip.apex, clip.fps, clip.action_units, clip.labels) == (None, None, (), {"Remark": ("a; b",)})
    assert reader.frames(clip, [8], "colour")[0, 0, 0].tolist() == [RED, GREEN, 8]


def test_grey_and_16_bit_are_kept(tmp_path):
    framed(tmp_path)
    for number in range(8, 13):
        picture(tmp_path / f"a/img{number}.png", np.full((6, 8), 1000 * number, np.uint16))
    reader = Manifest(tmp_path)
    assert reader.modalities() == {"colour": Modality(("grey",), 0.0, 65535.0)}
    frames = reader.frames(reader.clips()[0], [9], "colour")
    assert (frames.shape, frames.dtype, int(frames.max())) == ((1, 6, 8, 1), np.uint16, 9000)


@pytest.mark.parametrize(
    ("line", "words", "key"),
    [
        ("own,p1,x,joyful,a,8,10,12,,", ("row 2", "unknown emotion 'joyful'", "others, disgust"), "own/p1/x/8-12"),
        (
            "own,p1,x,fear,a,8,13,12,,",
            ("[E223]", "apex 13", "8-12"),
            "own/p1/x/8-12",
        ),
        (
            "own,p1,x,fear,a,12,,8,,",
            ("[E223]", "offset 8", "onset 12"),
            "own/p1/x/12-8",
        ),
        (
            "own,p1,x,fear,a,a,,8,,",
            ("[E221]", "onset cell ", "'a'"),
            "own/p1/x",
        ),
        ("own,p1,x,fear,a,8,,12,fast,", ("[E221]", "fps cell ", "'fast'", "200"), "own/p1/x/8-12"),
        ("own,,x,fear,a,8,,12,,", ("subject cell is empty",), "own//x/8-12"),
        ("own,p1,x,fear,,8,,12,,", ("frames cell is empty",), "own/p1/x/8-12"),
        ("own,p1,x,fear,a,7,,13,,", ("lacks the frames 7, 13 of 7-13 (it has 8-12)",), "own/p1/x/7-13"),
        ("own,p1,x,fear,b,8,,12,,", ("manifest.csv: b", "folder is missing"), "own/p1/x/8-12"),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_place(tmp_path, line, words, key):
    framed(tmp_path, line, "own,p2,y,fear,c,8,,12,,")
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    assert only(tmp_path, "manifest.csv", *words).clip == key
    assert "own/p2/y/8-12" in [clip.key for clip in Manifest(tmp_path).clips()]


def test_the_same_line_twice(tmp_path):
    line = "own,p1,x,fear,a,8,,9,,"
    framed(tmp_path, line, line.replace("8,,9", "10,,12"), line.replace("fear", "anger"))
    assert only(tmp_path, "row 4", "in the file twice", "delete one").clip == "own/p1/x/8-9"


# --- listed twice -----------------------------------------------------------------------------------------------------
def stated(root: Path, **options: object) -> list[str]:
    return [f"{fault.where}: {fault.problem}" for fault in Manifest(root, **options).faults()]


def test_an_image_of_two_rows_is_a_fault_of_both(tmp_path):
    ready(tmp_path, "own,p1,x,positive,flow/one.png,", "own,p2,y,negative,flow/two.png,", "own,p3,z,fear,flow/one.png,")
    assert stated(tmp_path) == [
        "manifest.csv, row 2 (p1/x): flow/one.png is also listed in row 4",
        "manifest.csv, row 4 (p3/z): flow/one.png is also listed in row 2",
    ]
    assert [fault.clip for fault in Manifest(tmp_path).faults(table_only=True)] == ["own/p1/x", "own/p3/z"]


@pytest.mark.parametrize("written", ["flow/../flow/two.png", "link/two.png", "linked.png", "{root}/flow/two.png"])
def test_an_image_is_one_however_it_is_written(tmp_path, written):
    lines = ["own,p1,x,positive,flow/two.png,", f"own,p2,y,negative,{written.format(root=tmp_path)},"]
    ready(tmp_path, *lines)
    (tmp_path / "link").symlink_to(tmp_path / "flow")
    (tmp_path / "linked.png").symlink_to("flow/two.png")
    assert len(stated(tmp_path)) == 2


def test_an_image_in_two_columns_is_listed_twice_where_two_rows_name_it(tmp_path):
    header = "dataset,subject,clip,emotion,first,second\n"
    same = "own,p1,x,positive,flow/one.png,flow/one.png"  # of one clip: nothing is in training and test
    assert stated(ready(tmp_path, same, header=header)) == []
    crossed = ("own,p1,x,fear,flow/one.png,flow/two.png", "own,p2,y,fear,flow/three.png,flow/one.png")
    assert [line.split(": ")[1] for line in stated(ready(tmp_path, *crossed, header=header))] == [
        "flow/one.png is also listed in row 3",
        "flow/one.png is also listed in row 2",
    ]


def test_a_folder_under_two_subjects_is_a_fault_even_where_the_clips_are_apart(tmp_path):
    framed(tmp_path, "own,p1,x,fear,a,8,,9,,", "own,p2,y,fear,a,11,,12,,", "own,p2,z,fear,./a,10,,10,,")
    assert stated(tmp_path) == [
        "manifest.csv, row 2 (p1/x): the folder a is listed for another subject in rows 3, 4",
        "manifest.csv, row 3 (p2/y): the folder a is listed for another subject in row 2",
        "manifest.csv, row 4 (p2/z): the folder ./a is listed for another subject in row 2",
    ]


@pytest.mark.parametrize(
    ("times", "faults"), [(("8,,9", "10,,12"), 0), (("8,,10", "10,,12"), 2), (("8,,12", "9,,11"), 2)]
)
def test_clips_of_one_folder_may_not_share_a_frame(tmp_path, times, faults):
    first, second = times
    framed(tmp_path, f"own,p1,x,fear,a,{first},,", f"own,p1,y,fear,a,{second},,")
    assert len(stated(tmp_path)) == faults
    if faults:
        onset, offset = first.split(",,")
        assert stated(tmp_path)[0].endswith(f"the frames {onset}-{offset} of a overlap those of row 3")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}")
def test_casme_ii_listed_again_under_other_subjects(tmp_path):
    """145 real images of flow, each listed again for another subject: the score would rise without a warning."""
    header, *lines = (REAL / "manifest.csv").read_text().splitlines()
    own = [line.split(",") for line in lines if line.startswith("casme2,")]
    subjects = [cells[1] for cells in own]
    again = [
        [cells[0], other, f"again_{cells[1]}_{cells[2]}", *cells[3:]]
        for cells, other in zip(own, subjects[7:] + subjects[:7], strict=True)
    ]
    rows = [[*cells[:4], *(str(REAL / path) for path in cells[4:])] for cells in (*own, *again)]
    (tmp_path / "manifest.csv").write_text("\n".join([header, *map(",".join, rows)]) + "\n")
    assert len(stated(tmp_path)) == 2 * len(own) == 290
    assert Manifest(REAL).faults() == ()


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "img9.png is empty"), (None, "img9.png is truncated"), (b"text", "is not an image")]
)
def test_broken_frames(tmp_path, content, problem):
    framed(tmp_path)
    file = tmp_path / "a/img9.png"
    file.write_bytes(file.read_bytes()[:-12] if content is None else content)
    assert only(tmp_path, problem, "copy").clip == "own/p1/smile/8-12"
    reader = Manifest(tmp_path)
    with pytest.raises(FrameError, match=problem.removeprefix("img9.png ")):
        reader.frames(reader.clips()[0], [9], "colour")


def test_two_files_with_one_number(tmp_path):
    framed(tmp_path)
    picture(tmp_path / "a/copy_of_9.png")
    only(tmp_path, "[E232]", "copy_of_9.png and img9.png")


def test_grey_frames_among_coloured_ones(tmp_path):
    framed(tmp_path, "own,p1,x,fear,a,8,,12,,", "own,p2,y,fear,b,1,,1,,")
    picture(tmp_path / "b/1.png", np.zeros((6, 8), np.uint8))
    assert only(tmp_path, "1.png is 8x6, 1 channel, uint8, but colour has r, g, b").clip == "own/p2/y/1-1"


# --- ready images -----------------------------------------------------------------------------------------------------
def test_ready_images_are_frame_0_of_clips_without_time(tmp_path):
    reader = Manifest(ready(tmp_path))
    assert reader.faults() == ()
    assert [clip.key for clip in reader.clips()] == ["own/p0/one", "own/p1/two", "own/p2/three"]
    clip = reader.clips()[1]
    assert (clip.onset, clip.apex, clip.offset) == (None, None, None)
    assert (clip.emotion, clip.labels) == ("negative", {"lab": ("Oulu",)})
    assert reader.modalities() == {"flow": Modality(("r", "g", "b"))}
    assert reader.frames(clip, [0], "flow")[0, 0, 0].tolist() == [RED, GREEN, BLUE]
    with refuses("E241", "own/p1/two", "(flow)", "only frame 0", "not frame 3", "count = 1", kind=FrameError):
        reader.frames(clip, [3], "flow")
    with pytest.raises(DataError, match=r"no modality 'colour'.*flow"):
        reader.frames(clip, [0], "colour")


def test_named_channels_are_as_stored_in_opencv_order(tmp_path):
    reader = Manifest(ready(tmp_path), channels={"flow": ("strain", "v", "u")})
    assert reader.modalities()["flow"].channels == ("strain", "v", "u")
    assert reader.frames(reader.clips()[0], [0], "flow")[0, 0, 0].tolist() == [BLUE, GREEN, RED]
    assert reader.metadata()["channels of flow"] == "strain, v, u"


def test_channels_that_do_not_fit(tmp_path):
    ready(tmp_path)
    assert (
        only(
            tmp_path, "one.png: is 8x6, 3 channels, uint8, but `channels` names u, v", channels={"flow": ("u", "v")}
        ).clip
        is None
    )
    assert only(tmp_path, "[E211]", "'depth'", "`channels`", "flow", channels={"depth": ("z",)}).clip is None


def test_names_that_stand_twice_are_refused(tmp_path):
    ready(tmp_path)
    only(tmp_path, "[E211]", "`channels` names 'u' twice for flow", channels={"flow": ("u", "u", "v")})
    only(tmp_path, "[E211]", "`series` names 'flow' twice for both", series={"both": ("flow", "flow")})
    assert Manifest(tmp_path, channels={"flow": ("u", "v", "strain")}).faults() == ()


def test_a_series_is_of_ready_images(tmp_path):
    fault = only(framed(tmp_path), "has folders of frames", "leave `series` out", series={"both": ("colour",)})
    assert fault.clip is None
    with refuses("E211", "`series`", "folders of frames"):
        Manifest(tmp_path, series={"both": ("colour", "colour")}).modalities()


def test_transparency_is_dropped_and_windows_paths_are_understood(tmp_path):
    ready(tmp_path, "own,p1,x,positive,flow\\one.png,")
    picture(tmp_path / "flow/one.png", np.full((6, 8, 4), (BLUE, GREEN, RED, 9), np.uint8))
    reader = Manifest(tmp_path)
    assert reader.faults() == ()
    assert reader.frames(reader.clips()[0], [0], "flow")[0, 0, 0].tolist() == [RED, GREEN, BLUE]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.unlink(), ("two.png cannot be opened",)),
        (lambda file: file.write_bytes(b""), ("two.png is empty",)),
        (lambda file: picture(file, size=(8, 8)), ("is 8x8, 3 channels, uint8, but most are 8x6, 3 channels",)),
        (lambda file: picture(file, np.zeros((6, 8), np.uint8)), ("is 8x6, 1 channel",)),
    ],
)
def test_an_image_that_is_not_like_the_others(tmp_path, spoil, words):
    ready(tmp_path)
    spoil(tmp_path / "flow/two.png")
    assert only(tmp_path, "manifest.csv: flow/two.png", *words).clip == "own/p1/two"


def test_a_cell_without_its_image(tmp_path):
    ready(tmp_path, "own,p1,x,positive,,", "own,p2,y,positive,flow/one.png,")
    assert only(tmp_path, "row 2", "flow cell is empty").clip == "own/p1/x"


def test_paths_that_all_lead_nowhere_are_one_fault(tmp_path):
    ready(tmp_path)
    (tmp_path / "flow").rename(tmp_path / "elsewhere")
    fault = only(tmp_path, "[E209]", "none of the 3 paths of flow exists", "flow/one.png", str(tmp_path))
    assert fault.clip is None
    (tmp_path / "elsewhere").rename(tmp_path / "flow")
    for file in (tmp_path / "flow").iterdir():
        file.write_bytes(b"")
    assert only(tmp_path, "[E233]", "flow", "copy the images again").clip is None


def test_emotions_may_be_missing_where_clips_are_only_predicted(tmp_path):
    ready(tmp_path)
    for text in (
        "dataset,subject,clip,flow\nown,p1,x,flow/one.png\n",
        "dataset,subject,clip,emotion,flow\nown,p1,x,,flow/one.png\n",
    ):
        (tmp_path / "manifest.csv").write_text(text)
        reader = Manifest(tmp_path)
        assert (reader.faults(table_only=True), [clip.emotion for clip in reader.clips()]) == ((), [None])


# --- files that cannot be used ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dataset,clip,flow\nown,x,flow/one.png\n", ("lacks the column subject; it has dataset, clip",)),
        ("dataset,subject,clip,emotion,frames,onset\n", ("lacks the columns apex, offset",)),
        ("dataset,subject,clip,emotion,lab\nown,p1,x,fear,Oulu\n", ("[E208]", "lab", "add the column frames")),
        ("dataset,subject,clip,emotion,flow\n", ("lists no clip",)),
        ("", ("[E207]", "is empty")),
        ("dataset,subject,clip,emotion,flow\nown,p1,x,fear\n", ("4 cells in line 2, but 5 columns",)),
        ("dataset,subject,clip,clip\n", ("column 'clip' more than once",)),
        ('dataset,subject,clip,emotion,flow\n"own,p1\n', ("[E207]", "line 2", "quotation marks")),
        ("dataset,subject,clip,emotion,flow\nown,p1,Müller,fear,a.png\n".encode("latin-1"), ("UTF-8",)),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, words):
    ready(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert only(tmp_path, "manifest.csv", *words).clip is None
    with pytest.raises(DataError, match=r"manifest\.csv"):
        Manifest(tmp_path).clips()


def test_roots_that_are_wrong(tmp_path):
    root = ready(tmp_path / "mine")
    only(tmp_path, f"give {root} instead, which contains manifest.csv")
    only(root / "flow", f"give {root} instead")
    only(root / "manifest.csv", "is a file", f"{root}")
    only(tmp_path / "mina", "does not exist (did you mean 'mine'?)")
    only(root, "[E205]", "file clips.csv", "flow, manifest.csv", file="clips.csv")
    (root / "manifest.csv").rename(root / "clips.csv")
    assert Manifest(root, file="clips.csv").faults() == ()


def test_all_faults_are_told_at_once(tmp_path):
    ready(tmp_path, "own,p1,x,joy,flow/one.png,", "own,p2,,fear,flow/two.png,", "own,p3,z,fear,flow/three.png,")
    picture(tmp_path / "flow/four.png", size=(3, 3))
    with (tmp_path / "manifest.csv").open("a") as stream:
        stream.write("own,p4,w,fear,flow/gone.png,\nown,p5,v,fear,flow/two.png,\nown,p6,u,fear,flow/four.png,\n")
    stated = [str(fault) for fault in Manifest(tmp_path).faults()]
    assert len(stated) == 4
    for words in ("emotion 'joy'", "clip cell is empty", "gone.png cannot be opened", "four.png: is 3x3"):
        assert any(words in text for text in stated), words


def test_fingerprint_follows_the_file_and_the_pictures(tmp_path):
    reader = Manifest(framed(tmp_path / "a"))
    before = reader.fingerprint()
    assert Manifest(framed(tmp_path / "b")).fingerprint() == before
    (tmp_path / "a/a/img99.png").write_bytes(b"new")
    assert Manifest(tmp_path / "a").fingerprint() != before
    assert Manifest(framed(tmp_path / "b", "own,p1,smile,fear,a,8,10,12,100,")).fingerprint() != before


# --- the registry, the example, the real images -----------------------------------------------------------------------
def test_the_registry_binds_lists_of_a_study_file():
    bound = datasets.bind("manifest", {"channels": {"flow": ["strain", "v", "u"]}})
    assert bound["channels"] == {"flow": ("strain", "v", "u")}


def test_the_example_is_sound(tmp_path):
    write_example("manifest", tmp_path / "new")
    reader = Manifest(tmp_path / "new")
    assert reader.faults() == ()
    assert len({clip.subject for clip in reader.clips()}) == 4
    assert len({clip.emotion for clip in reader.clips()}) == 3
    clip = reader.clips()[0]
    assert reader.frames(clip, [clip.onset, clip.apex, clip.offset], "colour").shape == (3, 64, 64, 3)


@pytest.mark.skipif(not REAL.is_dir(), reason="the MEGC 2019 flow images are not beside the repository")
def test_the_442_flow_images_of_megc_2019():
    names = ("strain", "v", "u")
    reader = Manifest(REAL, channels={"onset_apex": names, "apex_offset": names})
    assert reader.faults() == ()
    clips = reader.clips()
    assert (len(clips), len({clip.subject for clip in clips})) == (442, 68)
    assert Counter(clip.dataset for clip in clips) == {"smic": 164, "casme2": 145, "samm": 133}
    assert Counter(clip.emotion for clip in clips) == {"negative": 250, "positive": 109, "surprise": 83}
    assert dict(reader.modalities()) == dict.fromkeys(("onset_apex", "apex_offset"), Modality(names))
    first = reader.frames(clips[0], [0], "onset_apex")
    assert (first.shape, first.dtype) == ((1, 28, 28, 3), np.uint8)
    stored = cv2.imread(str(REAL / "onset_apex" / "casme2_sub01_EP02_01f.png"))
    assert np.array_equal(first[0], stored)
