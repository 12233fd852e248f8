"""The synthetic database: its table and folders are CASME II's, its pictures are faces that move as asked."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import dlib
import numpy as np
import openpyxl
import pandas as pd
import pytest

from microexpr.components.datasets.synthetic import MARKER, SyntheticSpec, face, make, plan, render, writing
from microexpr.components.datasets.synthetic.action_units import displacement
from microexpr.components.datasets.synthetic.coding import CODES
from microexpr.components.datasets.synthetic.identity import identity
from microexpr.components.datasets.synthetic.motion import intensity, place, state
from microexpr.components.datasets.synthetic.relief import grid
from microexpr.components.datasets.synthetic.rendering import face_grid, room, stage
from refusal import refuses

DRAWN = sys.modules[face.__module__]._drawn
CLIPS_PER_SUBJECT = "9 13 7 5 19 5 9 3 14 14 10 12 8 4 3 4 36 3 16 11 2 2 12 10 7 17"
UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 25)
SMALL = SyntheticSpec(subjects=2, clips=3, seed=109, folders="both")  # a seed with short clips
STILL = SyntheticSpec(head_drift=0.0, lighting=0.0, noise=0.0, blinks=0.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "db"
    make(root, SMALL, workers=2)
    return root


def digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_table(content: bytes, folder: Path) -> pd.DataFrame:
    path = folder / "table.xlsx"
    path.write_bytes(content)
    return pd.read_excel(path, dtype={"Subject": str})


# --- table and plan -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("labels", "surprise", "sadness"), [("20140508", 25, 7), ("20190701", 28, 4)])
def test_the_default_plan_has_casme2s_counts(labels: str, surprise: int, sadness: int) -> None:
    clips = plan(SyntheticSpec(labels=labels))
    counts = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27}
    counts |= {"surprise": surprise, "sadness": sadness, "fear": 2}
    assert Counter(clip.emotion for clip in clips) == counts
    per_subject = Counter(clip.subject for clip in clips)
    assert [per_subject[f"{s:02d}"] for s in range(1, 27)] == [int(n) for n in CLIPS_PER_SUBJECT.split()]
    assert sum(clip.action_units == "?" for clip in clips) == (5 if labels == "20140508" else 0)
    assert len({(clip.subject, clip.filename) for clip in clips}) == 255


def test_the_labels_change_words_and_no_picture() -> None:
    old, new = plan(SyntheticSpec()), plan(SyntheticSpec(labels="20190701"))
    assert [replace(c, emotion="", action_units="") for c in old] == [
        replace(c, emotion="", action_units="") for c in new
    ]
    assert {(a.emotion, b.emotion) for a, b in zip(old, new, strict=True) if a.emotion != b.emotion} == {
        ("sadness", "surprise")
    }


def test_times_are_like_casme2() -> None:
    clips = plan(SyntheticSpec(quirks=False))
    lengths = [len(clip.numbers) for clip in clips]
    assert 62 <= np.median(lengths) <= 72
    assert min(lengths) >= 8
    assert max(lengths) <= 100
    assert all(clip.onset < clip.apex < clip.offset == clip.last and clip.apex == clip.peak for clip in clips)
    rise = [(clip.peak - clip.onset) / (clip.last - clip.onset) for clip in clips]
    assert 0.4 < np.median(rise) < 0.6


def test_the_odd_rows_are_there() -> None:
    rows = {(clip.subject, clip.filename): clip for clip in plan(SyntheticSpec())}
    assert rows["04", "EP12_01f"].apex is None
    cut = rows["16", "EP01_08"]
    assert (cut.onset, cut.offset, cut.last, len(cut.numbers)) == (73, 110, 96, 24)
    assert rows["05", "EP09_05f"].apex == rows["05", "EP09_05f"].onset < rows["05", "EP09_05f"].peak
    for key in (("05", "EP16_04f"), ("12", "EP09_06"), ("20", "EP16_01"), ("25", "EP18_04f")):
        assert rows[key].apex == rows[key].offset == rows[key].last
    times = {key: (c.onset, c.apex, c.offset) for key, c in rows.items()}
    assert times["07", "EP06_01"] == (15, 49, 68)
    assert times["12", "EP09_02"] == (16, 59, 101)
    for key in (("03", "EP01_2"), ("03", "EP08_1"), ("07", "EP06_02_01"), ("07", "EP06_02_02"), ("09", "EP09f")):
        assert key in rows
    plain = plan(SyntheticSpec(quirks=False))
    assert all(c.apex is not None and c.onset < c.apex < c.offset == c.last and c.action_units != "?" for c in plain)


@pytest.mark.parametrize(("subjects", "clips"), [(12, 96), (4, 40), (1, 1), (5, 7), (30, 300), (26, 60)])
def test_other_numbers_are_spread_evenly(subjects: int, clips: int) -> None:
    rows = plan(SyntheticSpec(subjects=subjects, clips=clips))
    each = Counter(row.subject for row in rows)
    assert (len(rows), len(each)) == (clips, subjects)
    assert max(each.values()) - min(each.values()) <= 1
    if clips >= 40:
        assert ("04", "EP12_01f", None) in {(row.subject, row.filename, row.apex) for row in rows}
        persons = {emotion: {r.subject for r in rows if r.emotion == emotion} for emotion in {r.emotion for r in rows}}
        assert len(persons) == 7
        assert all(len(who) >= 2 for who in persons.values()), "a class of one person cannot be learnt by LOSO"


def test_chosen_classes_keep_their_proportions() -> None:
    rows = plan(SyntheticSpec(subjects=10, clips=120, emotions=("happiness", "disgust", "surprise")))
    assert Counter(row.emotion for row in rows) == {"disgust": 63, "happiness": 32, "surprise": 25}
    for subject in {row.subject for row in rows}:
        assert {row.emotion for row in rows if row.subject == subject} == {"disgust", "happiness", "surprise"}


def test_the_table_is_casme2s(tmp_path: Path) -> None:
    frame = read_table(writing.table(plan(SyntheticSpec())), tmp_path)
    columns = ["Subject", "Filename", "Unnamed: 2", "OnsetFrame", "ApexFrame", "OffsetFrame", "Unnamed: 6"]
    assert list(frame.columns) == [*columns, "Action Units", "Estimated Emotion"]
    assert frame["Unnamed: 2"].isna().all()
    assert frame["Unnamed: 6"].isna().all()
    book = openpyxl.load_workbook(tmp_path / "table.xlsx")
    assert book.sheetnames[0] == "Sheet1"
    assert len(book.sheetnames) == 3
    assert all(sheet.max_row == 1 and sheet["A1"].value is None for sheet in book.worksheets[1:])
    rows = list(book["Sheet1"].iter_rows(min_row=2, values_only=True))
    assert len(rows) == 255
    assert {type(row[0]) for row in rows} == {str}
    assert rows[0][0] == "01"
    assert Counter(type(row[4]) for row in rows) == {int: 254, str: 1}
    assert {type(row[7]) for row in rows} == {int, str}
    assert {"4+7", "?", 4} <= {row[7] for row in rows}


# --- folders ------------------------------------------------------------------------------------------------------


def test_folders_hold_the_planned_frames(small: Path) -> None:
    found = {str(path.relative_to(small)) for path in small.rglob("*") if path.is_file()}
    wanted = {f"CASME2_RAW_selected/{c.folder}/img{n}.jpg" for c in plan(SMALL) for n in c.numbers}
    wanted |= {f"Cropped/{c.folder}/reg_img{n}.jpg" for c in plan(SMALL) for n in c.numbers}
    assert found == wanted | {"CASME2-coding-20140508.xlsx", MARKER}
    clip = plan(SMALL)[0]
    raw = cv2.imread(str(small / f"CASME2_RAW_selected/{clip.folder}/img{clip.peak}.jpg"))
    assert raw.shape == (480, 640, 3)
    drawn = render(face(SMALL, clip.subject), clip, clip.peak)
    assert np.abs(raw[..., ::-1].astype(float) - drawn).mean() < 3, "the file is the frame of its own number, in RGB"
    assert cv2.imread(str(small / f"Cropped/{clip.folder}/reg_img{clip.peak}.jpg")).shape == (340, 280, 3)
    stated = json.loads((small / MARKER).read_text())
    assert "synthetic" in stated["notice"]
    assert stated["spec"]["clips"] == SMALL.clips


def test_same_bytes_alone_or_with_two_workers(small: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    make(tmp_path / "again", SMALL, workers=1, progress=lambda done, total: heard.append((done, total)))
    assert digests(tmp_path / "again") == digests(small)
    assert heard == [(n, 3) for n in range(4)]


def test_a_killed_run_is_finished_with_the_same_bytes(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, drawn = tmp_path / "killed", []

    def dying(who: object, clip: object, number: int) -> np.ndarray:
        drawn.append(number)
        if len(drawn) > len(plan(SMALL)[0].numbers) + 5:
            raise KeyboardInterrupt
        return render(who, clip, number)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "render", dying)
        with pytest.raises(KeyboardInterrupt):
            make(root, SMALL, workers=1)
    first, second = (root / "CASME2_RAW_selected" / clip.folder for clip in plan(SMALL)[:2])
    assert first.is_dir()
    assert not second.exists(), "a clip appears when it is whole"
    assert not (root / MARKER).exists()
    kept = first.stat().st_ino
    with refuses("E116", root, "with other options"):
        make(root, replace(SMALL, seed=8), workers=1)
    make(root, SMALL, workers=1)
    assert digests(root) == digests(small)
    assert first.stat().st_ino == kept, "what was finished is not drawn again"


def test_a_finished_folder_is_left_and_another_spec_refused(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    make(small, SMALL)
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before
    with refuses("E116", small, "with other options"):
        make(small, replace(SMALL, expression_size=2.0))


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with refuses("E116", tmp_path, "other than a synthetic database"):
        make(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with refuses("E116", "thesis.txt", "is a file"):
        make(tmp_path / "thesis.txt", SMALL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"subjects": 0},
        {"clips": 3},
        {"clutter": 1.2},
        {"noise": -1.0},
        {"expression_size": float("nan")},
        {"emotions": ()},
        {"emotions": ("happines",)},
        {"jpeg_quality": 0},
    ],
)
def test_a_wrong_spec_is_told_at_once(wrong: dict) -> None:
    with refuses("E112", next(iter(wrong)).removesuffix("s")):
        SyntheticSpec(**wrong)


# --- movement -----------------------------------------------------------------------------------------------------


def test_the_curve_is_0_at_the_onset_and_1_at_the_peak() -> None:
    for clip in plan(SyntheticSpec()):
        curve = np.array([intensity(clip, n) for n in clip.numbers])
        top = clip.peak - clip.onset
        assert curve[0] == 0
        assert curve[top] == 1
        assert (np.diff(curve[: top + 1]) > 0).all()
        assert (np.diff(curve[top:]) < 0).all()
        assert clip.last == clip.peak or curve[-1] <= 0.1


@pytest.mark.parametrize("size", [1.0, 4.0])
def test_peak_displacement_is_the_clips_and_scales_with_the_dial(size: float) -> None:
    spec = SyntheticSpec(expression_size=size)
    peaks = []
    for clip in plan(spec)[::40]:
        bend = stage(face(spec, "01"), clip).bend
        length = np.hypot(bend[..., 0], bend[..., 1])
        peaks.append(length.max() / size)
        assert length.max() == pytest.approx(size * clip.amplitude, rel=1e-4)
    assert 1 <= min(peaks) < max(peaks) <= 4
    amplitudes = [clip.amplitude for clip in plan(spec)]
    assert 1 <= min(amplitudes) < 1.3
    assert 3.4 < max(amplitudes) <= 4


def test_the_largest_warp_never_folds_the_skin() -> None:
    person = min((identity(0, subject) for subject in range(1, 27)), key=lambda p: p.half_width)
    at, _ = face_grid(person, (0, 0))
    for cell in {cell for cells in CODES.values() for cell in cells}:
        field = 5 * 4 * displacement(at, person, tuple(cell.split("+")))
        (uy, ux), (vy, vx) = np.gradient(field[..., 0]), np.gradient(field[..., 1])
        assert ((1 - ux) * (1 - vy) - uy * vx).min() > 0, f"{cell} folds"


REGIONS = {"brow": (1, 2, 4), "eye": (5, 6, 7), "nose": (9, 10), "mouth": (12, 14, 15, 20, 25), "chin": (17,)}
ROWS = {"brow": (-1.35, -0.4), "eye": (-0.75, 0.1), "nose": (-0.45, 0.5), "mouth": (0.0, 0.85), "chin": (0.4, 1.1)}


@pytest.mark.parametrize(("region", "unit"), [(region, unit) for region, units in REGIONS.items() for unit in units])
def test_every_action_unit_changes_its_own_region(region: str, unit: int) -> None:
    who, clip = face(STILL, "01"), replace(plan(STILL)[0], moved=(str(unit),), amplitude=3.0)
    change = np.abs(render(who, clip, clip.peak).astype(float) - render(who, clip, clip.onset)).mean(2)
    y = grid(who.person, 0, 0, 640, 480).y
    low, high = ROWS[region]
    inside, outside = change[(y > low) & (y < high)], change[(y <= low) | (y >= high)]
    assert (inside > 6).sum() > 150, "it can be seen"
    assert inside.sum() > 6 * outside.sum(), "and it is there"


def test_a_sided_unit_moves_the_persons_side() -> None:
    who, clip = face(STILL, "01"), replace(plan(STILL)[0], moved=("L12",), amplitude=3.0)
    change = np.abs(render(who, clip, clip.peak).astype(float) - render(who, clip, clip.onset)).mean(2)
    x = grid(who.person, 0, 0, 640, 480).x
    assert change[x > 0].sum() > 8 * change[x < 0].sum(), "a person's left is the right of an unmirrored picture"


def test_the_size_dial_scales_movement_and_shading() -> None:
    clip, changes = plan(STILL)[0], []
    for size in (0.0, 1.0, 3.0):
        who = face(replace(STILL, expression_size=size), clip.subject)
        peak, onset = (render(who, clip, n).astype(float) for n in (clip.peak, clip.onset))
        changes.append(np.abs(peak - onset).mean())
    assert changes[0] == 0
    assert changes[2] > 1.8 * changes[1] > 0.05


# --- pictures -----------------------------------------------------------------------------------------------------


def test_a_frame_depends_on_nothing_but_its_arguments() -> None:
    clip = plan(SMALL)[0]
    alone = render(face(SMALL, clip.subject), clip, clip.peak)
    for cached in (stage, face, DRAWN):
        cached.cache_clear()
    others = [render(face(SMALL, clip.subject), clip, n) for n in (clip.onset, clip.last)]
    assert (render(face(SMALL, clip.subject), clip, clip.peak) == alone).all()
    assert not (others[0] == others[1]).all()
    assert alone.dtype == np.uint8


def test_dlib_finds_exactly_one_face() -> None:
    detector, found, frames = dlib.get_frontal_face_detector(), 0, 0
    spec = SyntheticSpec(subjects=5, clips=15)
    for clip in plan(spec)[::3]:
        for number in (clip.onset, clip.peak):
            found += len(detector(render(face(spec, clip.subject), clip, number), 0)) == 1
            frames += 1
    assert found == frames == 10


def test_persons_differ_and_stand_where_casme2s_do() -> None:
    persons = [face(STILL, "01").person, face(STILL, "02").person]
    assert persons[0] != persons[1]
    for person in persons:
        assert 230 <= 2 * person.half_width <= 300
        assert abs(person.centre[0] - 320) < 30
        assert abs(person.centre[1] - 303) < 25


def test_the_colour_cue_changes_colour_only_and_only_with_the_expression() -> None:
    clip = next(c for c in plan(STILL) if c.emotion == "happiness")
    plain = face(STILL, "01")
    flushed = face(replace(STILL, colour_cue=8.0), "01")
    at = grid(plain.person, 0, 0, 640, 480)
    cheeks = np.hypot(np.abs(at.x) - 0.5, at.y - 0.05) < 0.12
    without, with_ = (render(who, clip, clip.peak).astype(float) for who in (plain, flushed))
    redness = (with_ - without)[cheeks]
    assert 4 < redness[:, 0].mean() < 8.5
    assert abs((with_ - without) @ (0.299, 0.587, 0.114)).max() < 1.01, "luma stays, but for rounding"
    assert (render(plain, clip, clip.onset) == render(flushed, clip, clip.onset)).all()
    halfway = min(clip.numbers, key=lambda n: abs(intensity(clip, n) - 0.5))
    growing = render(flushed, clip, halfway).astype(float) - render(plain, clip, halfway)
    assert growing[cheeks][:, 0].mean() == pytest.approx(intensity(clip, halfway) * redness[:, 0].mean(), rel=0.1)
    pale = replace(clip, emotion="fear")
    assert (render(flushed, pale, clip.peak).astype(float) - without)[cheeks][:, 0].mean() < -4


def test_jitter_moves_the_person_between_clips_and_never_within() -> None:
    moving = replace(STILL, position_jitter=12.0)
    clips = plan(moving)[:200]
    shifts = np.array([stage_shift(moving, clip) for clip in clips])
    assert 9 < shifts[:, 0].std() < 15
    assert not np.array([stage_shift(STILL, clip) for clip in clips[:20]]).any()
    clip = next(c for c, (dx, dy) in zip(clips, shifts, strict=True) if abs(dx) > 5 and dy)
    dx, dy = stage_shift(moving, clip)
    still, moved = (render(face(spec, "01"), clip, clip.onset).astype(int) for spec in (STILL, moving))
    nose = np.s_[280:360, 280:360]
    assert (np.roll(still, (dy, dx), (0, 1))[nose] == moved[nose]).all()


def stage_shift(spec: SyntheticSpec, clip: object) -> tuple[int, int]:
    return place(spec, clip, room(face(spec, "01").person))


def test_clutter_fills_the_wall_and_leaves_the_face() -> None:
    one, two = plan(STILL)[:2]
    plain = render(face(STILL, "01"), one, one.onset).astype(float)
    full, half, other = (
        render(face(replace(STILL, clutter=amount), "01"), clip, clip.onset).astype(float)
        for amount, clip in ((1.0, one), (0.5, one), (1.0, two))
    )
    wall, middle = np.s_[:200, :120], np.s_[260:340, 270:370]
    assert np.abs(full - plain)[wall].mean() > 1.7 * np.abs(half - plain)[wall].mean() > 3
    assert np.abs(full - other)[wall].mean() > 5, "things stand elsewhere in another clip"
    assert (full[middle] == plain[middle]).all()


def test_nuisances_act_and_are_smooth_in_time() -> None:
    spec = SyntheticSpec(blinks=1.0)
    for clip in plan(spec)[:10]:
        states = [state(spec, clip, n) for n in clip.numbers]
        assert max(abs(np.diff([s.x for s in states]))) < 0.1, "pixels from frame to frame"
        assert max(abs(np.diff([s.gain for s in states]))) < 0.005
    closed = [max(state(spec, clip, n).lids for n in clip.numbers) for clip in plan(spec)[:30]]
    assert np.mean(np.array(closed) > 0.9) > 0.6
    assert max(state(STILL, plan(STILL)[0], n).lids for n in plan(STILL)[0].numbers) == 0
    clip = plan(STILL)[0]
    noisy = render(face(replace(STILL, noise=3.0), "01"), clip, clip.onset).astype(float)
    clean = render(face(STILL, "01"), clip, clip.onset)
    assert (noisy - clean)[:100, :100].std() == pytest.approx(3.0, rel=0.05)


def test_a_blink_shuts_the_eyes() -> None:
    spec = replace(STILL, blinks=1.0)
    clip = next(c for c in plan(spec) if max(state(spec, c, n).lids for n in c.numbers) > 0.95)
    number = max(clip.numbers, key=lambda n: state(spec, clip, n).lids)
    shut, open_ = (render(face(s, "01"), clip, number).astype(float) for s in (spec, STILL))
    at = grid(face(spec, "01").person, 0, 0, 640, 480)
    person = face(spec, "01").person
    eyes = (np.abs(np.abs(at.x) - person.eye_x) < 0.15) & (np.abs(at.y - person.eye_y) < 0.06)
    assert np.abs(shut - open_)[eyes].mean() > 25
    assert np.abs(shut - open_)[at.y > -0.2].max() == 0


def test_the_part_of_a_foreign_run_is_not_mixed_in(small: Path, tmp_path: Path) -> None:
    root = tmp_path / "begun"
    shutil.copytree(small, root)
    (root / MARKER).unlink()
    with refuses("E116", root, "other than a synthetic database"):
        make(root, SMALL)
