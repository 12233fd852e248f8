"""What users get wrong, through the real command: one clear message, everything at once, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import openpyxl
import pandas as pd
import pytest

from casme2_files import TABLE, row, write_table
from microexpr.components.datasets.casme2 import Casme2
from microexpr.config.experiment import Experiment
from microexpr.core.claims import held
from microexpr.core.error_codes import CODES
from microexpr.core.errors import DataError, Fault
from microexpr.core.labels import LABEL_SETS
from microexpr.runs.plan import Options, Workspace
from refusal import refuses
from shell import Answer, microexpr

pytestmark = pytest.mark.usefixtures("no_figures")

RECIPE = """
datasets = "casme2"
labels = "casme2_7"
preprocessing = { name = "m1", size = 16 }
model = "majority"
loss = "cross_entropy"
protocol = "loso"
"""
EMOTIONS = ("disgust", "happiness", "surprise")
RAW = "CASME2_RAW_selected"


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """CASME II's layout: four subjects with three clips of five frames each."""
    root = tmp_path_factory.mktemp("sound")
    rng = np.random.default_rng(0)
    rows = [
        row(f"{subject:02d}", f"EP0{n}", 1, 3, 5, 4, emotion)
        for subject in range(1, 5)
        for n, emotion in enumerate(EMOTIONS, start=1)
    ]
    write_table(root / TABLE, rows)
    for subject, video in ((cells[0], cells[1]) for cells in rows):
        folder = root / RAW / f"sub{subject}" / video
        folder.mkdir(parents=True)
        for number in range(1, 6):
            cv2.imwrite(str(folder / f"img{number}.jpg"), rng.integers(0, 256, (24, 32, 3), np.uint8))
    return root


@pytest.fixture
def casme2(sound, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(sound, tmp_path / "casme2"))


@pytest.fixture
def recipe(tmp_path):
    return write(tmp_path / "recipe.toml", RECIPE)


def write(file: Path, text: str) -> Path:
    file.write_text(text, "utf-8")
    return file


def change(root: Path, line: int, **cells: object) -> None:
    """Change cells of one row of the table, by the names of its columns."""
    book = openpyxl.load_workbook(root / TABLE)
    sheet = book["Sheet1"]
    names = [cell.value for cell in sheet[1]]
    for name, value in cells.items():
        sheet.cell(line, names.index(name.replace("_", " ")) + 1, value)
    book.save(root / TABLE)


def repeat(root: Path, line: int) -> None:
    book = openpyxl.load_workbook(root / TABLE)
    book["Sheet1"].append([cell.value for cell in book["Sheet1"][line]])
    book.save(root / TABLE)


def refused(answer: Answer, code: str, *named: object, out: Path | None = None, status: int = 1) -> None:
    """One error of this code that names these values on the error stream, nothing on the other, no result on disk.

    Wrong usage that typer finds itself has no code: "".
    """
    assert answer.code == status, answer
    assert answer.out == ""
    assert "Traceback" not in answer.err
    if code:
        assert answer.err.startswith(f"microexpr: {code}"), answer.err
        codes = re.findall(r"(?:^microexpr: |\[)(E\d{3})(?:: |\]$)", answer.err, flags=re.MULTILINE)
        assert codes
        assert set(codes) <= set(CODES)
    lacking = [value for value in named if str(value) not in answer.err]
    assert not lacking, f"{answer.err}\ndoes not name {lacking}"
    if out is not None and out.exists():
        assert [path.name for path in out.rglob("*") if path.is_file()] == []


def run(file: Path, data: Path, out: Path, *options: str) -> Answer:
    return microexpr("run", file, "--data", data, "--out", out, "--quiet", *options)


def test_the_sound_database_runs(sound, recipe, tmp_path):
    """What the others here spoil is whole."""
    assert run(recipe, sound, tmp_path / "out").code == 0


# --- the database ---------------------------------------------------------------------------------------------------
CLIP = f"{RAW}/sub02/EP01"


def frame(root: Path, number: int = 3) -> Path:
    return root / CLIP / f"img{number}.jpg"


SPOILT: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "no table": (lambda root: (root / TABLE).unlink(), "E205", ["CASME2-coding-*.xlsx"]),
    "wrong sheet": (
        lambda root: write_table(root / TABLE, [], ("Clip", "Class")),
        "E208",
        [TABLE, "'Sheet1'", "Clip, Class", "Subject, Filename"],
    ),
    "a column is missing": (
        lambda root: change(root, 1, ApexFrame="Peak"),
        "E208",
        [TABLE, "'Sheet1'", "Subject, Filename, OnsetFrame, Peak", "ApexFrame"],
    ),
    "no frames": (lambda root: shutil.rmtree(root / RAW), "E467", [RAW]),
    "a folder is missing": (lambda root: shutil.rmtree(root / CLIP), "E468", [CLIP]),
    "a folder is short": (lambda root: frame(root, 5).unlink(), "E468", [CLIP, "frames 5 of 1-5", "1-4"]),
    "a broken JPEG": (
        lambda root: frame(root).write_bytes(frame(root).read_bytes()[:-20]),
        "E468",
        [CLIP, "img3.jpg"],
    ),
    "an empty JPEG": (lambda root: frame(root).write_bytes(b""), "E468", [CLIP, "img3.jpg is empty"]),
    "an apex outside its clip": (
        lambda root: change(root, 5, ApexFrame=9),
        "E468",
        [TABLE, "row 5", "02/EP01", "apex 9", "1-5"],
    ),
    "no apex": (lambda root: change(root, 5, ApexFrame="/"), "E468", ["casme2/02/EP01/1-5", "apex", "[E451]"]),
    "a duplicate row": (lambda root: repeat(root, 5), "E468", [TABLE, "row 14", "02/EP01", "twice"]),
    "an unknown emotion": (
        lambda root: change(root, 5, Estimated_Emotion="disgusted"),
        "E468",
        [TABLE, "row 5", "02/EP01", "'disgusted' (did you mean 'disgust'?)", "others"],
    ),
    "a number that is none": (
        lambda root: change(root, 5, OnsetFrame="one"),
        "E468",
        [TABLE, "row 5", "02/EP01", "onset", "'one'"],
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_database_is_refused(casme2, recipe, tmp_path, what):
    spoil, code, named = SPOILT[what]
    spoil(casme2)
    answer = run(recipe, casme2, tmp_path / "out")
    refused(answer, code, *named, out=tmp_path / "out")
    assert ("--skip-invalid" in answer.err) == (code == "E468")  # only where it can help


def test_a_picture_that_only_reading_finds_broken(casme2, recipe, tmp_path):
    """Its first and last bytes are those of a JPEG, so that the quick check of the whole database passes it."""
    frame(casme2).write_bytes(b"\xff\xd8" + bytes(50) + b"\xff\xd9")
    refused(run(recipe, casme2, tmp_path / "out"), "E468", "casme2/02/EP01/1-5", "img3.jpg")
    assert not (tmp_path / "out/results").exists()
    assert not (tmp_path / "out/summary.json").exists()


def test_all_faults_are_told_at_once(casme2, recipe, tmp_path):
    change(casme2, 2, ApexFrame=9)
    change(casme2, 3, Estimated_Emotion="joy")
    frame(casme2).write_bytes(b"")
    shutil.rmtree(casme2 / RAW / "sub04/EP03")
    answer = run(recipe, casme2, tmp_path / "out")
    refused(
        answer,
        "E468",
        "4 faults",
        casme2,
        "row 2 (",
        "row 3 (",
        "img3.jpg is empty",
        "sub04/EP03",
        out=tmp_path / "out",
    )
    assert answer.err.count("->") == 4


def test_all_clips_without_an_apex_are_told_at_once(casme2, recipe, tmp_path):
    change(casme2, 2, ApexFrame="/")
    change(casme2, 7, ApexFrame="/")
    refused(run(recipe, casme2, tmp_path / "out"), "E468", "2 faults", "casme2/01/EP01/1-5", "casme2/02/EP03/1-5")


def test_the_correction_of_the_slash_apex_can_be_switched_off(casme2, tmp_path):
    change(casme2, 2, Subject="04", Filename="EP12_01f", ApexFrame="/")
    (casme2 / RAW / "sub01/EP01").rename(casme2 / RAW / "sub04/EP12_01f")
    with_it = write(tmp_path / "with.toml", RECIPE)
    without = write(tmp_path / "without.toml", RECIPE.replace('"casme2"', '{ name = "casme2", corrections = false }'))
    assert run(with_it, casme2, tmp_path / "a").code == 0
    assert "04/EP12_01f: apex" in (tmp_path / "a/details.html").read_text("utf-8")
    refused(run(without, casme2, tmp_path / "b"), "E468", "casme2/04/EP12_01f/1-5", "[E451]", out=tmp_path / "b")


def test_data_that_is_not_there(sound, recipe, tmp_path):
    answer = run(recipe, tmp_path / "nowhere", tmp_path / "out")
    refused(answer, "E204", tmp_path / "nowhere", out=tmp_path / "out")
    assert "--skip-invalid" not in answer.err
    near = sound.parent / (sound.name + "x")
    refused(run(recipe, near, tmp_path / "out"), "E204", f"did you mean '{sound.name}'?")
    refused(run(recipe, sound / TABLE, tmp_path / "out"), "E204", sound / TABLE, f"{sound}")


def test_data_of_a_database_with_another_name(sound, recipe, tmp_path):
    named = run(recipe, f"casme22={sound}", tmp_path / "out")  # type: ignore[arg-type]
    refused(named, "E103", "'casme22'", "did you mean 'casme2'?", out=tmp_path / "out")
    other = run(recipe, f"manifest={sound}", tmp_path / "out")  # type: ignore[arg-type]
    refused(other, "E130", "--data manifest=", "casme2", status=2, out=tmp_path / "out")


def test_a_folder_with_an_equals_sign_in_its_name(sound, recipe, tmp_path):
    folder = tmp_path / "copy=2"
    folder.symlink_to(sound)
    assert run(recipe, folder, tmp_path / "out").code == 0


def test_a_class_with_too_few_clips_to_split(sound, tmp_path):
    file = write(tmp_path / "e.toml", RECIPE.replace("loso", "paper_holdout"))
    answer = run(file, sound, tmp_path / "out")
    refused(answer, "E308", "1 of 12", "disgust (class 1) 4", "'loso'", out=tmp_path / "out")


def test_one_subject_cannot_be_left_out(casme2, recipe, tmp_path):
    book = openpyxl.load_workbook(casme2 / TABLE)
    book["Sheet1"].delete_rows(5, 9)
    book.save(casme2 / TABLE)
    refused(run(recipe, casme2, tmp_path / "out"), "E303", "'casme2/01'", "paper_holdout", out=tmp_path / "out")


# --- faces ----------------------------------------------------------------------------------------------------------
M2 = """
datasets = "casme2"
labels = "casme2_7"
preprocessing = { name = "m2", size = 32 }
sampling = "af"
model = "majority"
loss = "cross_entropy"
protocol = "loso"
"""


@pytest.fixture(scope="module")
def faceless(faces, tmp_path_factory):
    """Rendered faces, but grey pictures where two clips have their apex."""
    root = tmp_path_factory.mktemp("faceless") / "data"
    shutil.copytree(faces, root, copy_function=os.link)
    names = []
    for line in (3, 9):
        cells = [cell.value for cell in openpyxl.load_workbook(root / "CASME2-coding-20140508.xlsx")["Sheet1"][line]]
        picture = root / RAW / f"sub{int(cells[0]):02d}" / cells[1] / f"img{cells[4]}.jpg"
        picture.unlink()
        cv2.imwrite(str(picture), np.full((480, 640, 3), 128, np.uint8))
        names.append((f"{int(cells[0]):02d}/{cells[1]}", cells[4]))
    return root, names


def test_clips_without_a_face(faceless, tmp_path):
    root, names = faceless
    file, out = write(tmp_path / "m2.toml", M2), tmp_path / "out"
    answer = run(file, root, out)
    refused(answer, "E468", "2 faults", *(f"frame {frame}" for _, frame in names), "--skip-invalid", 'box = "onset"')
    assert all(name in answer.err for name, _ in names)
    assert not (out / "results").exists()
    # On with the others: in this run, and in one that knows already which frames have no face.
    for _ in range(2):
        assert run(file, root, out, "--skip-invalid").code == 0
        summary = json.loads((out / "summary.json").read_text())
        assert (summary["data"]["n_clips"], summary["cells"][0]["n_test"]) == (14, 14)
        assert [name in item["clip"] for (name, _), item in zip(names, summary["data"]["skipped"], strict=True)]
    page = (out / "details.html").read_text("utf-8")
    assert all(name in page for name, _ in names)
    # Whoever comes after a clip left out keeps its own name, label and subject.
    views = pd.concat(map(pd.read_parquet, out.rglob("*.views.parquet")))
    truth = {clip.key: clip for clip in Casme2(root).clips()}
    classes = LABEL_SETS["casme2_7"].classes
    assert [classes[y] for y in views["y_true"]] == [truth[key].emotion for key in views["clip"]]
    assert [frames.tolist() for frames in views["frames"]] == [[truth[key].apex] for key in views["clip"]]
    assert views["subject"].tolist() == [truth[key].subject for key in views["clip"]]


def test_the_face_of_the_onset_needs_no_face_at_the_apex(faceless, tmp_path):
    root, _ = faceless
    file = write(tmp_path / "m2.toml", M2.replace("size = 32", 'size = 32, box = "onset"'))
    assert run(file, root, tmp_path / "out").code == 0


# --- going on without -------------------------------------------------------------------------------------------------
def test_faulty_clips_are_left_out_and_listed(casme2, recipe, tmp_path):
    change(casme2, 2, ApexFrame=9)
    change(casme2, 3, Estimated_Emotion="joy")
    change(casme2, 4, ApexFrame="/")
    repeat(casme2, 7)
    frame(casme2).write_bytes(b"")
    frame(casme2).with_name("img1.jpg").write_bytes(b"")
    out = tmp_path / "out"
    assert run(recipe, casme2, out, "--skip-invalid").code == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["data"]["n_clips"] == summary["cells"][0]["n_test"] == 7
    stated = {item["where"]: item["problem"] for item in summary["data"]["skipped"]}
    assert len(stated) == 5
    assert f"{TABLE}, row 14 (02/EP03)" in stated
    page = (out / "details.html").read_text("utf-8")
    assert all(words in page for words in ("row 2 (01/EP01)", "row 3 (01/EP02)", "01/EP03/1-5", "sub02/EP01"))
    assert "skipped" in [caveat["code"] for caveat in summary["caveats"]]


def test_a_table_that_cannot_be_read_is_never_skipped(casme2, recipe, tmp_path):
    (casme2 / TABLE).unlink()
    refused(
        run(recipe, casme2, tmp_path / "out", "--skip-invalid"), "E205", "CASME2-coding-*.xlsx", out=tmp_path / "out"
    )


def test_where_every_clip_is_faulty_nothing_is_run(casme2, recipe, tmp_path):
    for line in range(2, 14):
        change(casme2, line, Estimated_Emotion="joy")
    answer = run(recipe, casme2, tmp_path / "out", "--skip-invalid")
    refused(answer, "E467", "all 12 clips", out=tmp_path / "out")


def test_where_every_clip_lacks_its_apex_nothing_is_run(casme2, recipe, tmp_path):
    for line in range(2, 14):
        change(casme2, line, ApexFrame="/")
    refused(run(recipe, casme2, tmp_path / "out", "--skip-invalid"), "E450", "sampling af", out=tmp_path / "out")


def test_where_every_clip_has_a_fault_one_message_says_so(casme2, recipe, tmp_path):
    for line in range(2, 14):
        change(casme2, line, OffsetFrame="1", OnsetFrame="4")
    for options in ((), ("--skip-invalid",)):
        answer = run(recipe, casme2, tmp_path / "out", *options)
        refused(answer, "E467", "all 12 clips", "row 2 (01/EP01)", out=tmp_path / "out")
        assert "--skip-invalid" not in answer.err


def test_where_no_frame_can_be_read_one_message_says_so(casme2, recipe, tmp_path):
    for file in casme2.rglob("*.jpg"):
        file.write_bytes(b"no image")
    for options in ((), ("--skip-invalid",)):
        answer = run(recipe, casme2, tmp_path / "out", *options)
        refused(answer, "E467", "all 12 clips", f"{RAW}/sub01/EP01", out=tmp_path / "out")
        assert "--skip-invalid" not in answer.err


def test_where_every_clip_fails_while_frames_are_prepared_one_message_says_so(casme2, tmp_path):
    """Noise has no face: only preprocessing can find that out."""
    file = write(tmp_path / "m2.toml", M2)
    for options in ((), ("--skip-invalid",)):
        answer = run(file, casme2, tmp_path / "out", *options)
        refused(answer, "E454", "preprocessing m2(size=32)", "casme2/04/EP03/1-5", out=tmp_path / "out")
        assert "--skip-invalid" not in answer.err


def test_clips_that_fail_while_frames_are_prepared_can_be_all_that_are_left(sound, tmp_path):
    """One view of the first clip was possible, frames of all clips are not."""
    recipe = Experiment.model_validate(tomllib.loads(RECIPE))
    for skip in (False, True):
        workspace = Workspace(Options({"casme2": sound}, tmp_path / "out", skip_invalid=skip))
        plan = workspace.plan(recipe)
        faults = [Fault("E201", clip.key, "no face", "look at its frames", clip.key) for clip in plan.data.clips]
        with (
            mock.patch.object(type(plan.data.cache), "prepare", return_value=faults),
            refuses("E467", "all 12 clips", kind=DataError) as caught,
        ):
            workspace.prepare([plan])
        assert "--skip-invalid" not in str(caught.value)


# --- files of experiments and studies -------------------------------------------------------------------------------
SET = {"datasets": '"casme2"', "labels": '"casme2_7"', "model": '"vit_b32"'}
"""What has no default."""


def and_the_rest(text: str, *without: str) -> str:
    """Return the text of an experiment, with what has no default where the text does not set it."""
    lines = [f"{key} = {value}" for key, value in SET.items() if f"{key} = " not in text and key not in without]
    return "\n".join([*lines, text, ""])


@pytest.mark.parametrize("missing", [("model",), ("labels",), ("datasets",), ("datasets", "labels", "model")])
@pytest.mark.parametrize("command", ["run", "fit", "tune"])
def test_an_experiment_without_database_labels_or_model_says_what_to_write(sound, tmp_path, command, missing):
    file, out = write(tmp_path / "e.toml", and_the_rest('name = "mine"', *missing)), tmp_path / "out"
    answer = microexpr(command, file, "--data", sound, "--out", out)
    known = {"datasets": "data list", "labels": "casme2_5", "model": "pca_svm"}
    refused(answer, "E119", file, "'mine'", *missing, *(known[name] for name in missing), out=out)
    assert not [known[name] for name in known if name not in missing and known[name] in answer.err]


@pytest.mark.parametrize("missing", SET)
def test_a_study_without_them_is_refused_before_the_data_are_opened(tmp_path, missing):
    text = f'name = "s"\ntitle = "S"\n[experiment]\n{and_the_rest("", missing)}'
    file = write(tmp_path / "s.toml", text + '[grid]\nsampling = ["af", "kfs"]\n')
    for option in (["--out", tmp_path / "out"], ["--dry-run"]):
        answer = microexpr("study", file, "--data", tmp_path / "nowhere", *option)
        refused(answer, "E119", file, "'af'", missing, "[experiment]", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ('modle = "vit_b32"', "E102", ["e.toml", "'modle' (did you mean 'model'?)", "name, datasets"]),
        ("[training]\nepoch = 3", "E102", ["e.toml", "'training.epoch' (did you mean 'epochs'?)"]),
        ('[bootstrap]\nunit = "clips"', "E102", ["e.toml", "bootstrap.unit", "'clip' or 'subject'"]),
        ("seed = -1", "E102", ["e.toml", "seed", "greater than or equal to 0"]),
        ('model = "vit_b23"', "E103", ["e.toml", "model 'vit_b23' (did you mean 'vit_b32'?)", "pca_svm"]),
        (
            'preprocessing = { name = "m1", siez = 96 }',
            "",
            ["e.toml", "preprocessing 'm1'", "'siez' (did you mean 'size'?)", "size, colour"],
        ),
        ('preprocessing = { name = "m1", size = 4 }', "E112", ["e.toml", "size = 4", "greater than or equal to 8"]),
        ("model = { drop_path = 0.1 }", "E102", ["e.toml", "model.name"]),
        ('labels = "casme2_9"', "E103", ["e.toml", "label set 'casme2_9'", "casme2_7"]),
        ('labels = { joy = "good" }', "E262", ["emotion 'joy'", "happiness"]),
        ("datasets = []", "E119", ["e.toml", "datasets"]),
        ("loss = []", "E102", ["e.toml", "loss"]),
        ('model = "vit_b32', "E106", ["e.toml", "TOML"]),
        ("model: vit_b32", "E106", ["e.toml", "TOML"]),
    ],
)
def test_an_experiment_file_that_is_wrong(sound, tmp_path, text, code, named):
    answer = run(write(tmp_path / "e.toml", and_the_rest(text)), sound, tmp_path / "out")
    refused(answer, code, *named, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("gird = {}", "E102", ["s.toml", "'gird' (did you mean 'grid'?)"]),
        ("[experiment]\nmodle = 3", "E102", ["s.toml", "'experiment.modle' (did you mean 'model'?)"]),
        ('[grid]\nmodle = ["vit_b32"]', "E102", ["s.toml", "'modle' (did you mean 'model'?)"]),
        ('[grid]\nmodel = ["vit_b23"]', "E103", ["s.toml", "model 'vit_b23' (did you mean 'vit_b32'?)"]),
        ('[grid]\nmodel = "majority"', "E102", ["s.toml", "grid.model", "list"]),
        ("[grid]\nmodel = []", "E102", ["s.toml", "grid.model"]),
        ('[named_cell]\nset = { protocl = "loso" }', "E102", ["s.toml", "'protocl' (did you mean 'protocol'?)"]),
        ('[named_cell]\nset = { "model.x" = 1 }', "E110", ["s.toml", "'x'"]),
    ],
)
def test_a_study_file_that_is_wrong(sound, tmp_path, text, code, named):
    text = text if "[experiment]" in text else f"{text}\n[experiment]\n{and_the_rest('')}"
    file = write(tmp_path / "s.toml", f'name = "s"\ntitle = "S"\nbaselines = ["majority"]\n{text}\n')
    answer = microexpr("study", file, "--data", sound, "--out", tmp_path / "out", "--quiet")
    refused(answer, code, *named, out=tmp_path / "out")
    assert microexpr("study", file, "--data", sound, "--dry-run").code == 1


def test_files_that_are_not_there_or_no_text(sound, tmp_path):
    refused(run(tmp_path / "none.toml", sound, tmp_path / "out"), "E101", "none.toml", "paradox")
    (tmp_path / "e.toml").write_bytes(b"\xff\xfe\x00")
    refused(run(tmp_path / "e.toml", sound, tmp_path / "out"), "E106", tmp_path / "e.toml", out=tmp_path / "out")
    refused(run(tmp_path, sound, tmp_path / "out"), "E106", tmp_path, out=tmp_path / "out")


def test_a_study_file_given_to_run_says_so(sound, tmp_path):
    file = write(tmp_path / "s.toml", 'name = "s"\ntitle = "S"\n[grid]\nmodel = ["majority"]\n')
    refused(run(file, sound, tmp_path / "out"), "E108", "s.toml is a study", "microexpr study", out=tmp_path / "out")
    file = write(tmp_path / "e.toml", RECIPE)
    answer = microexpr("study", file, "--data", sound, "--out", tmp_path / "out")
    refused(answer, "E108", "e.toml is an experiment", "microexpr run", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("setting", "code", "named"),
    [
        ("epochs", "E107", ["key=value", "'epochs'"]),
        ("training.epoch=2", "E102", ["'training.epoch' (did you mean 'epochs'?)"]),
        ("seed.x=2", "E102", ["seed", "valid integer"]),
        ("preprocessing.siez=9", "E110", ["'siez'"]),
    ],
)
def test_settings_that_are_wrong(sound, recipe, tmp_path, setting, code, named):
    refused(run(recipe, sound, tmp_path / "out", "--set", setting), code, *named, out=tmp_path / "out")


# --- weights --------------------------------------------------------------------------------------------------------
def test_without_weights_nothing_is_trained_and_the_ways_on_are_told(sound, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "weights"))
    file = write(tmp_path / "e.toml", and_the_rest('preprocessing = { name = "m1", size = 224 }'))
    answer = run(file, sound, tmp_path / "out")
    ways = ["microexpr weights fetch vit_base_patch32_224", "microexpr weights unbundle", 'weights = "/path']
    refused(answer, "E501", "vit_base_patch32_224", *ways, 'weights = "random"', out=tmp_path / "out")


# --- where results go -------------------------------------------------------------------------------------------------
def test_a_place_that_cannot_be_written(sound, recipe, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file/out"):
        refused(run(recipe, sound, out), "E601", out, "--out")
        answer = microexpr("fit", recipe, "--data", sound, "--out", out, "--quiet")
        refused(answer, "E601", out, "--out")
        answer = microexpr("data", "make", "synthetic", "--out", out, "--subjects", 1, "--clips", 1, "--quiet")
        refused(answer, "E116" if out.name == "file" else "E601", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(sound, recipe, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    refused(run(recipe, sound, tmp_path / "locked/out"), "E601", "Permission denied")


def test_results_of_other_data_are_not_mixed(casme2, recipe, tmp_path):
    assert run(recipe, casme2, tmp_path / "out").code == 0
    change(casme2, 2, Estimated_Emotion="fear")
    answer = run(recipe, casme2, tmp_path / "out")
    refused(answer, "E603", tmp_path / "out", "fingerprint", "--out")


# --- usage ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        ["runn"],
        ["run"],
        ["run", "e.toml"],
        ["run", "e.toml", "--data", "d", "--out", "o", "--epochs", "2"],
        ["run", "e.toml", "--data", "d", "--out", "o", "--workers", "0"],
        ["study", "e.toml", "--data", "d", "--dry-rum"],
        ["data", "make", "photographs", "--out", "o"],
        ["data", "make", "synthetic", "--out", "o", "--clips", "many"],
        ["weights", "fetch"],
    ],
)
def test_a_command_that_is_wrong_exits_with_2(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(microexpr(*words), "", "Usage: microexpr", status=2)
    assert list(tmp_path.iterdir()) == []


def test_usage_that_only_the_file_tells_is_wrong(sound, recipe, tmp_path):
    answer = microexpr("run", recipe, "--data", sound, "--data", sound, "--out", tmp_path / "out")
    refused(answer, "E193", "--data casme2=DIR", status=2, out=tmp_path / "out")
    study = write(tmp_path / "s.toml", f'name = "s"\ntitle = "S"\n[experiment]\n{RECIPE}')
    refused(microexpr("study", study, "--data", sound), "E190", "--out DIR", status=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--subjects", "5", "--clips", "3"], ["clips = 3", "5 subjects"]),
        (["--expression-size", "9"], ["expression_size = 9", "0 to 5"]),
        (["--emotions", "joy"], ["unknown emotion 'joy'", "happiness"]),
    ],
)
def test_options_of_synthetic_data_that_are_wrong(tmp_path, options, words):
    answer = microexpr("data", "make", "synthetic", "--out", tmp_path / "made", *options)
    refused(answer, "E112", *words, out=tmp_path / "made")


def test_two_runs_do_not_draw_into_one_folder(tmp_path):
    out = tmp_path / "made"
    out.mkdir()
    with held(out):
        answer = microexpr("data", "make", "synthetic", "--out", out, "--subjects", "1", "--clips", "1")
    refused(answer, "E610", out)
    assert microexpr("data", "make", "synthetic", "--out", out, "--subjects", "1", "--clips", "1").code == 0
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_synthetic_database_is_not_put_among_other_things(sound, tmp_path):
    before = sorted(path.name for path in sound.iterdir())
    answer = microexpr("data", "make", "synthetic", "--out", sound, "--subjects", "1", "--clips", "1")
    refused(answer, "E116", sound)
    assert sorted(path.name for path in sound.iterdir()) == before
