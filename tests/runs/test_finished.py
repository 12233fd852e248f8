"""A finished study that is run again: nothing is computed, unless something that its summary depends on has changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import tomli_w
import torch

from conftest import recipe, write_database
from microexpr import run_study
from microexpr.api import Finished
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core import interfaces
from microexpr.core.errors import DataError, TrainingError
from microexpr.runs import experiment as experiments
from microexpr.runs import finished as record
from microexpr.runs import study as studies
from refusal import refuses
from shell import microexpr

pytestmark = pytest.mark.usefixtures("no_figures")


def content(**changes: Any) -> dict[str, Any]:
    """A study of two estimators and a prespecified experiment that names a file of folds."""
    experiment = recipe().with_values({"model": "pca_svm", "bootstrap.n": 200})
    return {
        "name": "small",
        "title": "A small study",
        "experiment": experiment.to_dict(),
        "grid": {"model": ["pca_svm", "logistic"]},
        "baselines": ["majority"],
    } | changes


def of(**changes: Any) -> Study:
    return parse(Study, content(**changes), "small")


@dataclass
class Place:
    """A database and the folder of a study that is finished on it."""

    data: Path
    out: Path
    first: Finished
    computed: list[Study]

    def again(self, study: Study | None = None, **options: Any) -> Finished:
        """Run the study again; `computed` is then the study, if it was computed."""
        self.computed.clear()
        return run_study(study or of(), self.data, self.out, workers=1, **options)

    @property
    def fold(self) -> Path:
        """The predictions of one fold of the first cell."""
        return sorted((self.out / "results" / self.first.summary.cells[0].key).glob("*.views.parquet"))[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("finished")
    data = write_database(root / "data", subjects=3, clips=3)
    return Place(data, root / "out", run_study(of(), data, root / "out", workers=1), [])


@pytest.fixture
def place(finished: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy of it that a test may change."""
    shutil.copytree(finished.out, tmp_path / "out")
    shutil.copytree(finished.data, tmp_path / "data")  # with the times of the files
    found, real = Place(tmp_path / "data", tmp_path / "out", finished.first, []), studies.run
    monkeypatch.setattr(studies, "run", lambda study, *rest: found.computed.append(study) or real(study, *rest))
    return found


def files(out: Path) -> dict[str, bytes]:
    found = (file for file in out.rglob("*") if file.is_file() and not file.name.endswith(".lock"))
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in found}


def test_nothing_is_computed_again(place: Place) -> None:
    before = files(place.out)
    again = place.again()
    assert not place.computed
    assert again.summary.lasting == place.first.summary.lasting
    assert (again.run.trained, again.run.reused) == (0, place.first.run.trained)
    assert not again.failed
    changed = {name for name, found in files(place.out).items() if before.get(name) != found}
    assert changed <= {"summary.json", "report.html", "details.html"}  # they state the time, and what was reused


def test_the_second_run_is_what_computing_it_again_gives(place: Place) -> None:
    again = place.again()
    shortcut = files(place.out)
    (place.out / record.FILE).unlink()
    computed = place.again()
    assert place.computed
    assert computed.summary.model_dump(exclude={"created"}) == again.summary.model_dump(exclude={"created"})
    pages = {"summary.json", "report.html", "details.html", "study.json"}  # with the time of the run
    assert {k: v for k, v in files(place.out).items() if k not in pages} == {
        k: v for k, v in shortcut.items() if k not in pages
    }


def test_predictions_are_read_where_they_are_used(place: Place) -> None:
    again = place.again()
    assert not place.computed
    found = [cell.result.predictions() for cell in again.result.cells]
    assert len(place.computed) == 1
    for mine, other in zip(found, place.first.result.cells, strict=True):
        assert mine.equals(other.result.predictions())


# --- what the study was computed from ---------------------------------------------------------------------------------
def test_a_changed_prediction_changes_the_report(place: Place) -> None:
    table = pq.read_table(place.fold)
    frame = table.to_pandas()
    before = place.first.summary.cells[0].score
    scores = frame[["p_0", "p_1", "p_2"]].to_numpy()
    frame[["p_0", "p_1", "p_2"]] = np.roll(scores, 1, axis=1)
    changed = type(table).from_pandas(frame, preserve_index=False).replace_schema_metadata(table.schema.metadata)
    pq.write_table(changed, place.fold)
    again = place.again()
    assert place.computed
    assert again.summary.cells[0].score != before
    assert json.loads((place.out / "summary.json").read_text())["cells"][0]["score"] == again.summary.cells[0].score
    assert place.again().summary.lasting == again.summary.lasting
    assert not place.computed


def test_a_damaged_prediction_is_refused(place: Place) -> None:
    place.fold.write_bytes(place.fold.read_bytes()[:-50])
    with refuses("E605", place.fold):
        place.again()


def test_a_missing_fold_is_trained(place: Place) -> None:
    place.fold.unlink()
    assert place.again().run.trained == 1
    assert place.again().run.trained == 0
    assert not place.computed


@pytest.mark.parametrize("name", ["experiment.json", "folds.json"])
def test_missing_records_of_an_experiment_are_written(name: str, place: Place) -> None:
    (place.fold.parent / name).unlink()
    place.again()
    assert place.computed
    assert (place.fold.parent / name).is_file()


def test_a_further_file_of_results_is_looked_at(place: Place) -> None:
    shutil.copy(place.fold, place.fold.with_name("fold-further.views.parquet"))
    place.again()
    assert place.computed


# --- the database -----------------------------------------------------------------------------------------------------
def test_another_database_is_refused(place: Place) -> None:
    frame = sorted(place.data.rglob("*.png"))[0]
    cv2.imwrite(str(frame), np.zeros((48, 64, 3), np.uint8))
    with refuses("E603"):
        place.again()


def test_a_missing_frame_is_refused(place: Place) -> None:
    sorted(place.data.rglob("4.png"))[0].unlink()
    with refuses("E468", "4"):
        place.again()


def test_a_database_with_faults_leaves_no_record(place: Place) -> None:
    sorted(place.data.rglob("4.png"))[0].unlink()
    shutil.rmtree(place.out)
    for _ in range(2):
        place.again(skip_invalid=True)
        assert place.computed
        assert not (place.out / record.FILE).exists()


def test_a_changed_label_is_refused(place: Place) -> None:
    table = place.data / "manifest.csv"
    table.write_text(table.read_text().replace("happiness", "disgust", 1))
    with refuses("E603"):
        place.again()


def test_a_missing_database_is_refused(place: Place) -> None:
    shutil.rmtree(place.data)
    with pytest.raises(DataError, match=place.data.name):
        place.again()


def test_a_moved_database_is_the_same(place: Place, tmp_path: Path) -> None:
    shutil.move(place.data, tmp_path / "elsewhere")
    place.data = tmp_path / "elsewhere"
    place.again()
    assert not place.computed


# --- the study, the code, the machine ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Another title"},
        {"grid": {"model": ["logistic", "pca_svm"]}},
        {"baselines": []},
        {"experiment": recipe().with_values({"model": "pca_svm", "bootstrap.n": 201}).to_dict()},
        {"experiment": recipe().with_values({"model": "pca_svm", "bootstrap.n": 200, "scores": ["uar"]}).to_dict()},
    ],
    ids=["title", "order", "baselines", "resamples", "scores"],
)
def test_another_study_is_computed(changes: dict[str, Any], place: Place) -> None:
    again = place.again(of(**changes))
    assert place.computed
    assert again.run.trained == 0
    assert [cell.model for cell in again.summary.cells] == content(**changes)["grid"]["model"]


def test_other_options_are_computed(place: Place) -> None:
    place.again(with_frames=True)
    assert place.computed
    place.again(keep_weights=True)
    assert place.computed
    weights = sorted(place.out.rglob("*.safetensors"))
    assert weights
    place.again(keep_weights=True)
    assert not place.computed
    weights[0].unlink()
    assert place.again(keep_weights=True).run.trained == 1


def test_a_changed_file_that_the_study_names_is_looked_at(place: Place, tmp_path: Path) -> None:
    folds = tmp_path / "folds.json"
    shutil.copy(place.fold.with_name("folds.json"), folds)
    named = {"model": "pca_svm", "bootstrap.n": 200, "protocol": {"name": "from_file", "file": str(folds)}}
    study = of(experiment=recipe().with_values(named).to_dict())
    assert place.again(study).run.trained > 0
    place.again(study)
    assert not place.computed
    given = json.loads(folds.read_text())
    given["folds"] = given["folds"][:-1]
    folds.write_text(json.dumps(given))
    again = place.again(study)
    assert place.computed
    assert again.summary.cells[0].n_test < place.first.summary.cells[0].n_test


@pytest.mark.parametrize("what", ["package_digest", "versions", "processor", "entry_points"])
def test_other_code_or_another_machine_is_computed(what: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(record, what)
    changed: Callable[..., Any] = {
        "package_digest": lambda: real() + "0",
        "versions": lambda names: real(names) | {"torch": "0"},
        "processor": lambda: "another",
        "entry_points": lambda group: ["new = plugin"] if group == "microexpr.metrics" else real(group=group),
    }[what]
    monkeypatch.setattr(record, what, changed)
    place.again()
    assert place.computed


def test_other_threads_are_computed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    place.again()
    assert place.computed


def test_other_weights_are_looked_at(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROEXPR_WEIGHTS", str(tmp_path / "weights"))
    place.again()
    assert place.computed
    place.again()
    assert not place.computed
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "weights.json").write_text("{}")
    place.again()
    assert place.computed


def test_components_from_outside_are_computed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(interfaces.samplers._factories, "mine", object)
    monkeypatch.setitem(interfaces.samplers._outside, "mine", "1234")
    place.again()
    assert place.computed
    assert not (place.out / record.FILE).exists()


def test_what_failed_is_tried_again_on_request(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(place.fold.parent)
    with monkeypatch.context() as patch:

        def failing(*_: object) -> None:
            raise TrainingError("E721", "no memory")

        patch.setattr(experiments, "run_fold", failing)
        assert place.again().failed
    assert not (place.out / record.FILE).exists()
    assert place.again().failed  # only if it is requested
    again = place.again(retry_failed=True)
    assert place.computed
    assert not again.failed


# --- what it wrote ----------------------------------------------------------------------------------------------------
def test_an_edited_summary_is_not_believed(place: Place) -> None:
    file = place.out / "summary.json"
    summary = json.loads(file.read_text())
    true = summary["cells"][0]["score"]
    summary["cells"][0]["score"] = 0.999
    file.write_text(json.dumps(summary))
    assert place.again().summary.cells[0].score == true
    assert json.loads(file.read_text())["cells"][0]["score"] == true


@pytest.mark.parametrize("name", ["summary.json", "tables/predictions.csv"])
@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_damaged_output_is_computed_again(name: str, damage: str, place: Place) -> None:
    file = place.out / name
    before = file.read_bytes()
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(before[:-100])
    place.again()
    assert place.computed
    assert len(file.read_bytes()) >= len(before) - 100
    assert name == "summary.json" or file.read_bytes() == before


def test_pages_that_are_missing_are_written(place: Place) -> None:
    for name in ("report.html", "details.html", "tables/main_results.csv"):
        (place.out / name).unlink(missing_ok=True)
    before = files(place.out)
    place.again()
    assert not place.computed
    assert set(files(place.out)) > set(before)


@pytest.mark.parametrize("text", ["{", '{"format": 2}'])
def test_a_damaged_record_is_written_again(text: str, place: Place) -> None:
    (place.out / record.FILE).write_text(text)
    place.again()
    assert place.computed
    place.again()
    assert not place.computed


def test_a_record_of_another_study_is_not_believed(place: Place, tmp_path: Path) -> None:
    other = of(grid={"model": ["logistic"]})
    run_study(other, place.data, tmp_path / "other", workers=1)
    shutil.copy(tmp_path / "other" / record.FILE, place.out / record.FILE)
    place.computed.clear()
    again = place.again()
    assert place.computed
    assert [cell.model for cell in again.summary.cells] == ["pca_svm", "logistic"]


# --- the command ------------------------------------------------------------------------------------------------------
LOADED = """
import sys
from microexpr.cli import main
sys.argv[0] = "microexpr"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("torch", "timm", "sklearn", "scipy", "pandas", "matplotlib", "joblib") if name in sys.modules])
"""


def test_the_command_says_the_same_and_loads_no_network(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(tomli_w.dumps(content()))
    words = ["study", str(file), "--data", str(place.data), "--out", str(place.out), "-q"]
    first = microexpr(*words)
    second = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True)
    *printed, loaded = second.stdout.splitlines()
    assert first.out.splitlines() == printed
    assert "trained 0, reused" in second.stdout
    assert loaded == "[]"


def test_a_mistake_in_a_finished_study_names_its_file(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(tomli_w.dumps(content(grid={"model": ["pca_svm", "no_such_model"]})))
    found = microexpr("study", str(file), "--data", str(place.data), "--out", str(place.out), "-q")
    assert found.code == 1
    assert "small.toml" in found.err
    assert "no_such_model" in found.err
