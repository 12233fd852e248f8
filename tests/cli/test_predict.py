"""`microexpr fit` and `microexpr predict`: what is printed, what is written, and what is left after an error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import microexpr as package
from conftest import recipe, write_database
from microexpr.core.error_codes import CODES
from shell import Answer, microexpr

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("one_thread")]

SCORES = ["p_disgust", "p_happiness", "p_surprise"]
COLUMNS = ["key", "subject", "coded", "label", *SCORES, "notes"]
FRAMES = "trained on these frames"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Two subjects with three clips each."""
    return write_database(tmp_path_factory.mktemp("small"), subjects=2, clips=3)


@pytest.fixture(scope="module")
def fitted(small, tmp_path_factory) -> tuple[Path, Answer]:
    """A model that needs no annotated apex, and what `fit` printed."""
    folder = tmp_path_factory.mktemp("fitted")
    return folder / "model", fit(small, folder, sampling={"name": "kfs", "missing_apex": "middle"})


def fit(data: Path, folder: Path, *options: object, **values: object) -> Answer:
    """Fit a small network, whose recipe is a file in the folder, into the folder's `model`."""
    file = folder / "recipe.toml"
    file.write_text(recipe().with_values({"training.epochs": 1, **values}).to_toml(), "utf-8")
    return microexpr("fit", file, "--data", data, "--out", folder / "model", "--workers", 1, *options)


def predict(model: Path, *words: object) -> Answer:
    return microexpr("predict", model, *words, "--workers", 1)


def one_line(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


@pytest.fixture
def clip(tmp_path) -> Path:
    """A folder of frames that no model has seen."""
    folder = tmp_path / "clip"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(1, 4):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 250, (48, 64, 3), dtype=np.uint8))
    return folder


# --- fit --------------------------------------------------------------------------------------------------------------
def test_fit_says_where_the_model_is_and_once_what_binds_its_use(fitted):
    model, answer = fitted
    assert answer.code == 0, answer.err
    assert f"model: {model / 'model.safetensors'}\n" in answer.out
    assert f"card:  {model / 'card.json'}\n" in answer.out
    caveat = json.loads((model / "card.json").read_text("utf-8"))["licence"]["caveat"]
    assert one_line(answer.out + answer.err).count(one_line(caveat)) == 1


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """One subject with six clips."""
    return write_database(tmp_path_factory.mktemp("alone"), subjects=1, clips=6)


def test_one_subject_can_be_fitted_whatever_the_protocol(alone, tmp_path):
    answer = fit(alone, tmp_path, protocol="loso")
    assert answer.code == 0, answer.err
    card = json.loads((tmp_path / "model" / "card.json").read_text("utf-8"))
    assert (card["validation"], card["data"]["clips"], card["data"]["validation clips"]) == ("none", 6, 0)


@pytest.mark.parametrize("values", [{"training.patience": 2}, {"loss": "best_on_validation"}])
def test_with_one_subject_whole_clips_are_set_aside_for_validation(alone, tmp_path, values):
    answer = fit(alone, tmp_path, protocol="loso", **{"training.epochs": 2, **values})
    assert answer.code == 0, answer.err
    card = json.loads((tmp_path / "model" / "card.json").read_text("utf-8"))
    assert card["validation"] == "whole clips"
    assert (card["data"]["clips"] + card["data"]["validation clips"], card["data"]["subjects"]) == (6, 1)
    assert card["data"]["validation clips"] > 0
    assert set(card["scores"]) == {"train_score", "val_score"}
    # Clips that chose the epoch are known to the model as well.
    assert set(package.predict(tmp_path / "model", alone, workers=1)["notes"]) == {FRAMES}


def test_with_several_subjects_whole_subjects_are_set_aside_for_validation(small, tmp_path):
    answer = fit(small, tmp_path, **{"training.epochs": 2, "training.patience": 2})
    assert answer.code == 0, answer.err
    card = json.loads((tmp_path / "model" / "card.json").read_text("utf-8"))
    assert card["validation"] == "whole subjects"
    assert (card["data"]["clips"], card["data"]["validation clips"], card["data"]["subjects"]) == (3, 3, 1)


# --- predict ----------------------------------------------------------------------------------------------------------
def test_the_database_that_was_fitted_is_predicted_with_a_warning(fitted, small):
    answer = predict(fitted[0], small)
    assert answer.code == 0, answer.err
    text = one_line(answer.out)
    assert text.startswith("6 clips predicted: ")
    assert "trained on the frames of 6 clips" in text
    found = package.predict(fitted[0], small, workers=1)
    counts = found["label"].value_counts()
    assert all(f"{label} {count}" in answer.out.splitlines()[0] for label, count in counts.items())
    for key in found["key"]:
        assert sum(line.startswith(key) for line in answer.out.splitlines()) == 1


def test_new_frames_are_predicted_without_a_warning(fitted, clip):
    answer = predict(fitted[0], clip, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("1 clip predicted: ")
    assert "trained" not in answer.out
    assert "! " not in answer.out


def test_clips_that_cannot_be_used_are_counted(fitted, small, tmp_path):
    data = Path(shutil.copytree(small, tmp_path / "data"))
    for number in (1, 2):
        (data / "s0" / f"c{number}" / "4.png").write_bytes(b"no image")
    answer = predict(fitted[0], data)
    assert answer.code == 0, answer.err
    text = one_line(answer.out)
    assert text.startswith("4 clips predicted: ")
    assert "2 clips could not be used" in text
    assert "[E233]" in answer.out


def test_the_printed_table_has_ten_rows_of_numbers_that_can_be_read(fitted, tmp_path):
    data = write_database(tmp_path / "data", subjects=2, clips=6)
    lines = predict(fitted[0], data).out.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("key"))
    assert lines[head].split() == ["key", "coded", "label", *SCORES, "notes"]
    assert len([line for line in lines[head + 1 :] if line.startswith("own/")]) == 10
    assert "12 rows" in lines[-1]
    printed = [word for word in lines[head + 1].split() if word.startswith("0.")]
    assert len(printed) == 3
    assert max(map(len, printed)) <= 6
    expected = package.predict(fitted[0], data, workers=1).loc[0, SCORES]
    np.testing.assert_allclose([float(word) for word in printed], expected.to_numpy(float), atol=5e-3)


def test_one_row_is_one_row(fitted, clip):
    answer = predict(fitted[0], clip)
    assert answer.code == 0, answer.err
    assert "1 rows" not in answer.out


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_a_file_has_one_row_per_clip(fitted, small, clip, tmp_path, suffix):
    out = tmp_path / "new" / f"predictions{suffix}"
    answer = predict(fitted[0], small, clip, "--out", out)
    assert answer.code == 0, answer.err
    assert f"predictions: {out}" in answer.out
    assert "own/s0/c0/1-7" not in answer.out
    read = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out, keep_default_na=False)
    assert list(read.columns) == COLUMNS
    expected = package.predict(fitted[0], [small, clip], workers=1)
    pd.testing.assert_frame_equal(read, expected, check_dtype=False)
    assert len(read) == 7


def test_json_is_all_that_is_printed(fitted, small, clip, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").write_bytes(b"no image")
    out = tmp_path / "predictions.csv"
    answer = predict(fitted[0], small, clip, tmp_path / "broken", "--json", "--out", out)
    assert (answer.code, answer.err) == (0, "")
    rows = json.loads(answer.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert len(rows) == len(pd.read_csv(out)) == 8
    assert [list(row) for row in rows] == [COLUMNS] * 8
    assert [row["label"] != "" for row in rows] == [True] * 7 + [False]
    assert [rows[-1][name] for name in SCORES] == [None] * 3
    assert all(sum(row[name] for name in SCORES) == pytest.approx(1) for row in rows[:-1])


def test_clips_of_known_subjects_are_counted(fitted, small, clip, tmp_path):
    data = Path(shutil.copytree(small, tmp_path / "data"))
    for number in (1, 4, 7):
        shutil.copy(clip / f"{(number + 2) // 3}.png", data / "s1" / "c2" / f"{number}.png")
    text = one_line(predict(fitted[0], data).out)
    assert "frames of 5 clips" in text
    assert "1 clip shows a subject" in text


def test_databases_may_be_named_with_their_reader(fitted, small):
    answer = predict(fitted[0], f"manifest={small}", small / "manifest.csv", "--json")
    assert answer.code == 0, answer.err
    keys = [row["key"] for row in json.loads(answer.out)]
    assert keys[:6] == keys[6:]
    assert len(keys) == 12


def test_progress_is_on_the_other_stream(fitted, small):
    loud, quiet = predict(fitted[0], small), predict(fitted[0], small, "--quiet")
    assert "clips" in loud.err
    assert (quiet.out, quiet.err) == (loud.out, "")


def test_help_names_every_kind_of_input():
    answer = microexpr("predict", "--help")
    assert (answer.code, answer.err) == (0, "")
    for word in ("MODEL", "INPUT", "NAME=DIR", ".csv", ".parquet", "--json"):
        assert word in answer.out


# --- errors -----------------------------------------------------------------------------------------------------------
def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def places(small, tmp_path_factory) -> dict[str, Path]:
    """What is predicted, or with what, by mistake."""
    root = tmp_path_factory.mktemp("places")
    deep = cv2.imencode(".png", np.full((48, 64, 3), 1000, np.uint16))[1].tobytes()
    return {
        "small": small,
        "empty": write(root / "empty", {}),
        "text": write(root / "text", {"frame1.txt": b"no image"}),
        "film": write(root / "film", {"film.avi": b"RIFF"}) / "film.avi",
        "deep": write(root / "deep", {"1.png": deep, "2.png": deep}),
        "broken": write(root / "broken", {"1.png": b"no image"}),
        "list": write(root / "list", {"list.csv": b"dataset,subject\nown,s0\n"}) / "list.csv",
        "none": root / "none",
    }


@pytest.mark.parametrize(
    ("what", "code", "named"),
    [
        (["{empty}"], "E135", ["{empty}"]),
        (["{text}"], "E135", ["{text}"]),
        (["{film}"], "E135", ["{film}"]),
        (["{none}"], "E101", ["{none}"]),
        (["{small}", "{none}"], "E101", ["{none}"]),
        (["manifst={small}"], "E103", ["manifst", "'manifest'"]),
        (["casme2={small}"], "E467", ["{small}", "E205"]),
        (["manifest={none}"], "E467", ["{none}", "E204"]),
        (["{list}"], "E467", ["list.csv", "E208"]),
        (["{deep}"], "E470", ["deep", "E275", "uint16"]),
        (["{broken}"], "E470", ["broken", "E233"]),
    ],
)
def test_one_error_names_the_input_and_nothing_is_written(fitted, places, tmp_path, what, code, named):
    words, named = [word.format(**places) for word in what], [word.format(**places) for word in named]
    answer = predict(fitted[0], *words, "--out", tmp_path / "new" / "predictions.csv", "--quiet")
    assert_error(answer, code, named)
    assert list(tmp_path.iterdir()) == []


def assert_error(answer: Answer, code: str, named: list[str]) -> None:
    """One error on the error stream, with its code, and nothing else."""
    assert code in CODES
    assert (answer.code in (1, 2), answer.out) == (True, "")
    assert answer.err.startswith(f"microexpr: {code}: "), answer.err
    assert answer.err.count("microexpr: E") == 1
    assert "Traceback" not in answer.err
    for text in named:
        assert text in answer.err


@pytest.mark.parametrize("name", ["empty", "text", "none", "small"])
def test_a_folder_that_is_no_model_is_refused(places, small, tmp_path, name):
    answer = predict(places[name], small, "--out", tmp_path / "predictions.csv", "--quiet")
    assert_error(answer, "E606", [str(places[name]), "model.safetensors"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["predictions.txt", "predictions", "predictions.csv.gz", ".csv"])
def test_a_file_of_another_type_is_refused_before_the_model_is_read(small, tmp_path, name):
    answer = predict(tmp_path / "none", small, "--out", tmp_path / name)
    assert_error(answer, "E105", [name, ".csv", ".parquet"])
    assert list(tmp_path.iterdir()) == []


def test_another_model_beside_the_weights_is_refused(fitted, small, tmp_path):
    model = Path(shutil.copytree(fitted[0], tmp_path / "model", ignore=shutil.ignore_patterns("cache")))
    card = json.loads((model / "card.json").read_text("utf-8"))
    (model / "card.json").write_text(json.dumps(card | {"key": "another"}), "utf-8")
    answer = predict(model, small, "--out", tmp_path / "predictions.csv", "--quiet")
    assert_error(answer, "E651", [str(model / "card.json")])
    assert not (tmp_path / "predictions.csv").exists()


def test_a_file_that_cannot_be_written_is_named(fitted, small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    answer = predict(fitted[0], small, "--out", tmp_path / "file" / "predictions.csv", "--quiet")
    assert_error(answer, "E601", [str(tmp_path / "file")])


def test_without_an_input_the_usage_is_shown(fitted):
    answer = microexpr("predict", fitted[0])
    assert (answer.code, answer.out) == (2, "")
    assert "INPUT" in answer.err


@pytest.mark.parametrize("workers", [0, -2])
def test_at_least_one_process_is_needed(fitted, small, workers):
    answer = microexpr("predict", fitted[0], small, "--workers", workers)
    assert (answer.code, answer.out) == (2, "")
    assert "--workers" in answer.err
