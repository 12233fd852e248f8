"""CAS(ME)^2's reader against small databases in its layout: no header, offsets of 0, recordings and expressions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from example_databases import write_example
from example_databases.files import xlsx
from microexpr.components.datasets.casme_squared import CasmeSquared
from microexpr.core.errors import DataError, Fault
from microexpr.core.interfaces import datasets
from microexpr.core.labels import LABEL_SETS

TABLE = "CAS(ME)^2code_final.xlsx"
MICRO, MACRO = "micro-expression", "macro-expression"
PEOPLE = (15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40)
RULE1 = [(number, f"s{number}", place) for place, number in enumerate(PEOPLE, start=1)]
RULE2 = [("0101", "disgust1"), ("0102", "disgust2"), (401, "anger1"), ("0502", "happy1"), ("0503", "happy2")]
TITLES = {
    "0101": "disgustingteeth",
    "0102": "eatingworms",
    "0401": "girlcrashing",
    "0502": "funnyerrors",
    "0503": "unnyfarting",
}

ROWS = (
    (1, "anger1_1", 557, 562, 570, "4+7", "negative", MICRO, "anger"),
    (1, "disgust1_2", 3.0, "5", 0, 4, "negative", MACRO, "disgust"),
    (1, "anger1_2", 580, 583, 0, "R12", "others", MICRO, "helpless"),
    (22, "happy1_10", 2, 5, 9, None, "Positive ", MICRO, None),
)


def write_table(root: Path, rows: Sequence[Sequence[Any]] = ROWS, name: str = TABLE) -> None:
    xlsx(root / name, {"CASFEcode_final": rows, "naming rule1": RULE1, "naming rule2": RULE2})


def write_frames(folder: Path, numbers: Iterable[int], name: str = "img{:03d}.jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = cv2.imencode(".jpg", np.full((16, 24, 3), 90, np.uint8))[1].tobytes()
    for number in numbers:
        (folder / name.format(number)).write_bytes(picture)


def build(root: Path, rows: Sequence[Sequence[Any]] = ROWS, kind: str = "raw") -> Path:
    """Write a table and every frame that it names."""
    write_table(root, rows)
    codes = {word: str(code).zfill(4) for code, word in RULE2}
    for subject, video, onset, apex, offset, *_ in rows:
        number, code = PEOPLE[subject - 1], codes[video.split("_")[0]]
        place = {
            "raw": f"rawpic/s{number}/{number}_{code}{TITLES[code]}",
            "selected": f"selectedpic/s{number}/{video}",
            "cropped": f"cropped/{number}/{video}",
        }[kind]
        write_frames(root / place, range(int(onset), int(offset or apex) + 1))
    return root


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, list(map(str, faults))
    return faults[0]


def says(fault: Fault, *words: str) -> None:
    assert all(word in str(fault) for word in words), f"{fault} does not say {words}"


# --- the table --------------------------------------------------------------------------------------------------------
def test_reads_a_sheet_without_header(tmp_path):
    reader = CasmeSquared(build(tmp_path), kind="both")
    assert list(map(str, reader.faults())) == []
    first, second, third, fourth = reader.clips()
    assert (first.key, first.apex, first.fps) == ("casme_squared/s15/anger1_1/557-570", 562, 30.0)
    assert (first.subject, first.emotion, first.kind) == ("casme_squared/s15", "negative", "micro")
    assert first.labels == {"action_units": ("4+7",), "self-report": ("anger",), "recording": ("0401",)}
    assert (second.onset, second.apex, second.offset, second.kind) == (3, 5, 5, "macro")
    assert (third.emotion, str(third.action_units[0])) == ("others", "R12")
    assert (fourth.subject_id, fourth.video, fourth.emotion) == ("s40", "happy1_10", "positive")
    assert fourth.labels == {"recording": ("0502",)}
    assert [LABEL_SETS["valence_2"].of(clip) for clip in reader.clips()] == ["negative", "negative", None, "positive"]


def test_an_offset_of_0_is_the_apex_and_said_to_be_estimated(tmp_path):
    reader = CasmeSquared(build(tmp_path))
    clip = reader.clips()[1]
    assert (clip.onset, clip.apex, clip.offset) == (580, 583, 583)
    assert clip.labels["estimated"] == ("offset",)
    # It is a rule of the format, not a slip: no correction.
    assert reader.applied() == ()
    says(only(reader.notes(table_only=True)), clip.key, "[E250]", "offset", "583")


def test_an_apex_of_0_is_none(tmp_path):
    write_table(tmp_path, [*ROWS, (2, "happy1_1", 4, 0, 9, 12, "positive", MICRO, "")])
    assert CasmeSquared(tmp_path).clips()[-1].apex is None


@pytest.mark.parametrize(("kind", "count"), [("micro", 57), ("macro", 300), ("both", 357)])
def test_the_published_counts(tmp_path, kind, count):
    words = [word for _, word in RULE2]
    rows = [
        (n % 22 + 1, f"{words[n % 5]}_{n}", n + 1, n + 4, n + 9, 4, "negative", MACRO if n % 357 >= 57 else MICRO, "")
        for n in range(357)
    ]
    write_table(tmp_path, rows)
    reader = CasmeSquared(tmp_path, kind=kind)
    assert reader.faults(table_only=True) == ()
    assert (len(reader.clips()), len({clip.subject for clip in reader.clips()})) == (count, 22)
    assert reader.metadata()["label version"] == "as published (57 micro- and 300 macro-expressions)"
    write_table(tmp_path, rows[1:])
    stated = CasmeSquared(tmp_path, kind=kind).metadata()["label version"]
    assert stated == "not as published (56 micro- and 300 macro-expressions, not 57 and 300)"


@pytest.mark.parametrize(
    "name", ["code_final.xlsx", "CAS(ME)^2code_final(Updated).xlsx", "CAS(ME)2code_final.xlsx", "CODE_FINAL.XLSX"]
)
def test_names_of_the_table(tmp_path, name):
    write_table(tmp_path, name=name)
    assert len(CasmeSquared(tmp_path).clips()) == 3
    write_table(tmp_path)
    says(only(CasmeSquared(tmp_path).faults()), "[E206]", "2 tables", TABLE, name, "table = ")
    assert len(CasmeSquared(tmp_path, table=name).clips()) == 3


def test_other_tables_are_not_taken_for_it(tmp_path):
    reader = CasmeSquared(tmp_path)
    for name in ("CASME2-coding-20140508.xlsx", "Eventos_CODE_Final.xlsx", "CAS(ME)^2code_final.csv"):
        assert not reader._is_table(name)


HEADER = ("subject", "video", "onset", "apex", "offset", "au", "emotion", "type", "selfReport")


def test_a_header_that_somebody_added_is_read(tmp_path):
    write_table(tmp_path, ROWS)
    plain = CasmeSquared(tmp_path, kind="both").clips()
    write_table(tmp_path, [("CAS(ME)^2",), HEADER, *ROWS])
    assert CasmeSquared(tmp_path, kind="both").clips() == plain
    # In another order, and without what people said.
    write_table(tmp_path, [[row[at] for at in (7, 0, 1, 2, 3, 4, 6, 5)] for row in (HEADER, *ROWS)])
    other = CasmeSquared(tmp_path, kind="both")
    assert [clip.key for clip in other.clips()] == [clip.key for clip in plain]
    assert all("self-report" not in clip.labels for clip in other.clips())


def test_a_header_that_nobody_knows_is_refused(tmp_path):
    write_table(tmp_path, [[f"column {letter}" for letter in "abcdefghi"], *ROWS])
    says(only(CasmeSquared(tmp_path).faults()), TABLE, "'CASFEcode_final' has column a", "lacks subject, video, onset")


def test_a_first_row_that_is_data_is_never_eaten(tmp_path):
    write_table(tmp_path, [(None,) * 9, *ROWS[:1]])
    assert [clip.key for clip in CasmeSquared(tmp_path).clips()] == ["casme_squared/s15/anger1_1/557-570"]


def test_rows_keep_their_number_in_the_spreadsheet(tmp_path):
    write_table(tmp_path, [ROWS[0], (), (2, "happy1_1", 9, 4, 8, 12, "positive", MICRO, "")])
    says(only(CasmeSquared(tmp_path).faults(table_only=True)), f"{TABLE}, row 3 (s16/happy1_1)", "[E223]", "offset 8")


def test_shifted_columns_without_header_are_refused(tmp_path):
    write_table(tmp_path, [(n, *row) for n, row in enumerate(ROWS)])
    fault = only(CasmeSquared(tmp_path).faults())
    says(fault, "has no header", "not in column 8", "write a header: subject, video, onset, apex, offset, au, emotion")
    with pytest.raises(DataError, match="column 8"):
        CasmeSquared(tmp_path).clips()


@pytest.mark.parametrize(
    ("sheets", "words"),
    [
        ({"Sheet1": []}, ("[E208]", "'Sheet1'")),
        ({"a": ROWS, "b": RULE2}, ("[E208]", "folder (s15 ...)", "'naming rule1'")),
        ({"a": ROWS, "b": RULE1}, ("[E208]", "recording (0101 ...)", "'naming rule2'")),
    ],
)
def test_sheets_that_lack_are_named(tmp_path, sheets, words):
    xlsx(tmp_path / TABLE, sheets)
    says(only(CasmeSquared(tmp_path).faults()), TABLE, *words)


def test_sheets_in_another_order_and_with_headers(tmp_path):
    sheets = {"r2": [("code", "name"), *RULE2], "r1": [("number", "folder", "subject"), *RULE1], "x": ROWS}
    xlsx(tmp_path / TABLE, sheets)
    assert [clip.subject_id for clip in CasmeSquared(tmp_path).clips()] == ["s15", "s15", "s40"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((99, "anger1_1", 1, 2, 3, 4, "negative", MICRO, ""), ("subject '99' is not in the naming sheets", "1, 2, 3")),
        ((None, "anger1_1", 1, 2, 3, 4, "negative", MICRO, ""), ("subject cell is empty",)),
        ((1, "angr1_1", 1, 2, 3, 4, "negative", MICRO, ""), ("recording 'angr1' is not in the naming", "anger1")),
        ((1, None, 1, 2, 3, 4, "negative", MICRO, ""), ("video cell is empty",)),
        ((1, "anger1_1", 1, 0, 0, 4, "negative", MICRO, ""), ("its offset and its apex are both 0",)),
        (
            (1, "anger1_1", "x", 2, 0, 4, "negative", MICRO, ""),
            ("[E221]", "onset cell ", "'x'"),
        ),
        (
            (1, "anger1_1", 5, 2, 0, 4, "negative", MICRO, ""),
            ("[E223]", "offset 2", "onset 5"),
        ),
        (
            (1, "anger1_1", 1, 9, 3, 4, "negative", MICRO, ""),
            ("[E223]", "apex 9"),
        ),
        ((1, "anger1_1", 1, 2, 3, 4, "negtive", MICRO, ""), ("unknown emotion 'negtive' (did you mean 'negative'?)",)),
        (
            (1, "anger1_1", 1, 2, 3, 4, "negative", "mcro", ""),
            ("[E221]", "type cell ", "'mcro'"),
        ),
        (ROWS[0], ("in the table twice",)),
    ],
)
def test_a_row_that_is_wrong_is_told_with_its_place(tmp_path, cells, words):
    write_table(tmp_path, [*ROWS, cells])
    reader = CasmeSquared(tmp_path)
    says(only(reader.faults(table_only=True)), f"{TABLE}, row 5", *words)
    assert len(reader.clips()) == 3


def test_subjects_by_folder_and_with_zeros(tmp_path):
    rows = [("01", *ROWS[0][1:]), ("S16", "happy1_1", 1, 2, 3, 12, "positive", "Micro", "")]
    write_table(tmp_path, rows)
    assert [clip.subject_id for clip in CasmeSquared(tmp_path).clips()] == ["s15", "s16"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 8), st.sampled_from([None, "", "x", -3, 0, 1e9, 2.5, "0", MICRO])),
        max_size=5,
    )
)
def test_a_mangled_table_gives_a_message_or_the_right_clips(tmp_path, changes):
    rows = [list(cells) for cells in ROWS]
    for y, x, value in changes:
        rows[y][x] = value
    write_table(tmp_path, rows)
    reader = CasmeSquared(tmp_path, kind="both")
    faults = reader.faults(table_only=True)
    try:
        clips = reader.clips()
    except DataError:
        assert faults
        return
    assert len(clips) + len(faults) >= sum(any(map(str.strip, map(str, filter(None, row)))) for row in rows)
    for clip in clips:
        assert clip.subject_id in {f"s{number}" for number in PEOPLE}
        assert clip.emotion in {"positive", "negative", "surprise", "others"}
        assert clip.onset is not None
        assert clip.offset is not None
        assert clip.apex is None or clip.onset <= clip.apex <= clip.offset


# --- the frames -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "folder"), [("raw", "rawpic"), ("selected", "selectedpic"), ("cropped", "cropped")])
def test_the_three_folders(tmp_path, kind, folder):
    reader = CasmeSquared(build(tmp_path, kind=kind), kind="both")
    assert list(map(str, reader.faults())) == []
    assert (reader.metadata()["folder"], reader.metadata()["cropped"]) == (folder, "yes" if kind == "cropped" else "no")
    assert reader.frames(reader.clips()[0], [570, 557], "colour").shape == (2, 16, 24, 3)


def test_a_folder_in_itself_as_it_is_unpacked(tmp_path):
    build(tmp_path)
    (tmp_path / "rawpic").rename(tmp_path / "inner")
    (tmp_path / "rawpic").mkdir()
    (tmp_path / "inner").rename(tmp_path / "rawpic/rawpic")
    reader = CasmeSquared(tmp_path, kind="both")
    assert reader.faults() == ()
    assert reader.metadata()["folder"] == "rawpic/rawpic"


def test_faces_of_whole_recordings(tmp_path):
    write_table(tmp_path, ROWS[:1])
    place = tmp_path / "CAS(ME)2_longVideoFaceCropped/longVideoFaceCropped/s15/15_0401girlcrashing"
    write_frames(place, range(550, 600), "img_{:05d}.jpg")
    reader = CasmeSquared(tmp_path)
    assert (reader.faults(), reader.notes(), reader.cropped()) == ((), (), True)


def test_raw_is_preferred_and_others_can_be_chosen(tmp_path):
    build(tmp_path, kind="cropped")
    says(only(CasmeSquared(tmp_path, folder="raw").faults()), "[E209]", "raw", "--set folder=cropped ")
    build(tmp_path)
    assert not CasmeSquared(tmp_path).cropped()
    assert CasmeSquared(tmp_path, folder="cropped").cropped()


def test_frames_between_expressions_are_nothing_unusual_in_a_recording(tmp_path):
    build(tmp_path, ROWS[:1])
    write_frames(tmp_path / "rawpic/s15/15_0401girlcrashing", range(1, 700))
    assert CasmeSquared(tmp_path).notes() == ()
    build(tmp_path / "selected", ROWS[:1], "selected")
    write_frames(tmp_path / "selected/selectedpic/s15/anger1_1", range(1, 4))
    says(only(CasmeSquared(tmp_path / "selected").notes()), "[E257]", ": 1-3")


def test_folders_of_the_other_kind_are_no_strangers(tmp_path):
    build(tmp_path, [*ROWS[:2], ROWS[3]], "selected")
    write_frames(tmp_path / "selectedpic/s15/anger1_9", [1])
    says(only(CasmeSquared(tmp_path).notes()), "selectedpic/s15/anger1_9", "no row of the table refers to this folder")
    assert "selectedpic/s15/anger1_9" in [remark.where for remark in CasmeSquared(tmp_path, kind="macro").notes()]


def test_a_recording_under_another_number_is_taken_by_its_place_and_said(tmp_path):
    build(tmp_path, [(3, "happy1_1", 2, 3, 4, 12, "positive", MICRO, "")])
    (tmp_path / "rawpic/s19/19_0502funnyerrors").rename(tmp_path / "rawpic/s19/23_0502funnyerrors")
    reader = CasmeSquared(tmp_path)
    assert reader.faults() == ()
    says(only(reader.notes()), "s19/23_0502funnyerrors", "[E260]", "number 23")
    # A folder of the subject's own number comes first; two of others' are nobody's.
    write_frames(tmp_path / "rawpic/s19/19_0502funnyerrors", range(2, 5))
    assert CasmeSquared(tmp_path).notes() == ()
    (tmp_path / "rawpic/s19/19_0502funnyerrors").rename(tmp_path / "rawpic/s19/24_0502funnyerrors")
    says(only(CasmeSquared(tmp_path).faults()), "rawpic/s19/19_0502: the clip's folder is missing")


def test_missing_frames_and_folders_are_told(tmp_path):
    build(tmp_path)
    (tmp_path / "rawpic/s15/15_0401girlcrashing/img560.jpg").unlink()
    (tmp_path / "rawpic/s40/40_0502funnyerrors").rename(tmp_path / "rawpic/s40/40_0503funnyerrors")
    lacking, missing = CasmeSquared(tmp_path).faults()
    says(lacking, "rawpic/s15/15_0401girlcrashing", "lacks the frames 560 of 557-570")
    says(missing, "rawpic/s40/40_0502: the clip's folder is missing")
    assert missing.clip == "casme_squared/s40/happy1_10/2-9"


def test_no_frames_at_all(tmp_path):
    write_table(tmp_path)
    says(only(CasmeSquared(tmp_path).faults()), "[E209]", "rawpic/s15/15_0101disgustingteeth/img001.jpg")


# --- the example ------------------------------------------------------------------------------------------------------
def test_the_registry_finds_and_binds_it():
    bound = {"kind": "macro", "folder": "auto", "table": None}
    assert datasets.bind("casme_squared", {"kind": "macro"}) == bound


def test_the_example_has_the_owners_layout(tmp_path):
    write_example("casme_squared", tmp_path)
    reader = CasmeSquared(tmp_path, kind="both")
    assert list(map(str, reader.faults())) == []
    assert (tmp_path / "rawpic/s15/15_0401girlcrashing/img001.jpg").is_file()
    assert [clip.subject_id for clip in reader.clips()] == ["s15", "s15", "s16", "s16", "s19", "s19"]
    assert [clip.kind for clip in reader.clips()].count("macro") == 2
    assert [note.code for note in reader.notes()] == ["E250", "E260"]
    assert reader.frames(reader.clips()[0], [3, 10], "colour").shape == (2, 240, 320, 3)
