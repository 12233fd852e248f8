"""Frames that are seen twice: copies between training and test, and starting weights trained on what is tested."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from safetensors import safe_open
from safetensors.torch import save_file

import microexpr
from conftest import recipe, write_database
from microexpr.core.errors import DataError
from microexpr.core.lineage import Lineage, TrainedOn, image_hash
from microexpr.data.cache import FrameStore
from microexpr.learning.checkpoint import lineage_of
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace
from shell import microexpr as command

pytestmark = pytest.mark.usefixtures("no_figures")

SUBJECTS = 3


def listed(root: Path, rows: list[list[object]]) -> Path:
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "subject", "clip", "emotion", "frames", "onset", "apex", "offset"])
        writer.writerows(rows)
    return root


def rows_of(root: Path) -> list[list[str]]:
    with (root / "manifest.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def made(root: Path, subjects: int = SUBJECTS) -> Path:
    """Write a small database: `subjects` with three clips each."""
    return write_database(root, subjects=subjects, clips=3, frames=5)


def quick(**values: object) -> microexpr.Experiment:
    return recipe().with_values({"model": "vit_nano", "training.epochs": 1, **values})


def starting(file: Path, **values: object) -> microexpr.Experiment:
    return quick(model={"name": "vit_nano", "weights": str(file)}, **values)


def ran(experiment: microexpr.Experiment, root: Path, out: Path) -> None:
    """Run an experiment without its report."""
    space = Workspace(Options({"manifest": root}, out))
    plan = space.plan(experiment)
    space.prepare([plan])
    run(plan, space)


def found(out: Path, code: str) -> list[microexpr.audit.checks.Finding]:
    return [finding for finding in microexpr.check_results(out) if finding.code == code]


def caveats(done: microexpr.Finished) -> dict[str, str]:
    return {caveat.code: f"{caveat.line} {caveat.text}" for caveat in done.summary.caveats}


# --- copies -----------------------------------------------------------------------------------------------------------
def test_hashes_tell_images_apart_and_skip_those_of_one_value():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (8, 9, 3), dtype=np.uint8)
    assert image_hash(image) == image_hash(image.copy()) == image_hash(np.asfortranarray(image))
    changed = image.copy()
    changed[7, 8, 2] ^= 1
    others = [changed, image[:, ::-1], image.reshape(9, 8, 3), image.astype(np.int16), image.view(np.int8)]
    assert len({image_hash(each) for each in (image, *others)}) == 6
    assert image_hash(np.full((8, 9, 3), (128, 128, 0), np.uint8)) == ""
    row = np.zeros((8, 9, 1), np.uint8)
    row[5, 5] = 1  # the first row is of one value, the image is not
    assert image_hash(row)


def test_a_clip_listed_again_for_another_subject_is_refused(tmp_path):
    root = made(tmp_path / "data")
    rows = rows_of(root)
    listed(root, [*rows, *([row[0], rows[at - 3][1], f"again{at}", *row[3:]] for at, row in enumerate(rows))])
    with pytest.raises(DataError, match="18 clips") as error:
        microexpr.run_experiment(quick(), root, tmp_path / "out", workers=1)
    assert "is listed for another subject in row 11" in error.value.faults[0].problem


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A database in which the clips of two subjects are copied, under other names, to two others."""
    tmp = tmp_path_factory.mktemp("copied")
    root = made(tmp / "data")
    rows = rows_of(root)
    again = []
    for row in rows[:6]:
        folder = f"copies/{row[4].replace('/', '_')}"
        shutil.copytree(root / row[4], root / folder)
        again.append([row[0], f"t{row[1]}", row[2], row[3], folder, *row[5:]])
    listed(root, [*rows, *again])
    done = microexpr.run_experiment(quick(sampling="kfs"), root, tmp / "out", workers=1)
    return root, tmp / "out", done


def test_copied_files_of_other_subjects_are_found(copied, tmp_path):
    _, out, done = copied
    (finding,) = found(out, "ME016")
    assert finding.level == "warning"
    assert "12 of 15 test clips, 12 of them with frames of another subject" in finding.evidence
    assert "own/s0/c0/1-5 (own/s0) and own/ts0/c0/1-5 (own/ts0)" in finding.evidence
    assert "Only exact copies are detected" in finding.sentence
    assert "12 of 15 test clips" in caveats(done)["copied_frames"]
    assert "copied_frames" not in caveats(microexpr.run_experiment(quick(), made(tmp_path / "data"), tmp_path))
    assert command("check", out).code == 1


def test_results_from_before_hashes_are_read_and_the_note_stands_once(copied, tmp_path):
    out = Path(shutil.copytree(copied[1], tmp_path / "out"))
    import pyarrow.parquet as pq

    for file in out.rglob("*.views.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.drop_columns(["hashes"]), file)
    (finding,) = found(out, "ME016")
    assert (finding.level, finding.sentence) == (
        "note",
        "It is not known whether frames of test clips are also in training.",
    )


def test_a_cache_from_before_hashes_gives_the_same(copied, tmp_path):
    root, out, _ = copied
    shutil.copytree(out / "cache", tmp_path / "cache")
    index = next((tmp_path / "cache").glob("frames-*/index.jsonl"))
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    assert all(len(line["hash"]) == 16 for line in lines)
    index.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "hash"}) + "\n" for line in lines))
    ran(quick(sampling="kfs"), root, tmp_path)
    for file in out.rglob("*.views.parquet"):
        before, after = (pd.read_parquet(each)["hashes"] for each in (file, tmp_path / file.relative_to(out)))
        assert [list(each) for each in before] == [list(each) for each in after]


def test_frames_that_clips_of_one_subject_share_count_where_the_split_parts_them(tmp_path):
    root = made(tmp_path / "data")
    for number in (1, 2):
        shutil.rmtree(root / f"s0/c{number}")
        shutil.copytree(root / "s0/c0", root / f"s0/c{number}")
    ran(quick(protocol="clip_kfold"), root, tmp_path / "out")
    (finding,) = found(tmp_path / "out", "ME016")
    assert "0 of them with frames of another subject" in finding.evidence
    ran(quick(), root, tmp_path / "apart")
    assert found(tmp_path / "apart", "ME016") == []


def test_blank_images_are_no_copies(tmp_path):
    import cv2

    root = made(tmp_path / "data")
    for subject in range(SUBJECTS):
        cv2.imwrite(str(root / f"s{subject}/c0/3.png"), np.full((48, 64, 3), 128, np.uint8))
        cv2.imwrite(str(root / f"s{subject}/c0/4.png"), np.full((48, 64, 3), 128, np.uint8))
    ran(quick(), root, tmp_path / "out")
    assert found(tmp_path / "out", "ME016") == []


def test_the_cache_of_views_holds_no_hashes(tmp_path):
    root = made(tmp_path / "data")
    flow = quick(sampling="onset_apex", representation={"name": "flow", "size": 32})
    ran(flow, root, tmp_path / "out")
    for kind, hashed in (("frames", True), ("views", False)):
        (folder,) = (tmp_path / "out/cache").glob(f"{kind}-*")
        assert bool(FrameStore(folder).hashes) == hashed
    table = pd.read_parquet(next((tmp_path / "out").rglob("*.views.parquet")))
    assert {len(hashes) for hashes in table["hashes"]} == {2}  # of the frames, taken before the flow


# --- starting weights -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return made(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def fitted(root, tmp_path_factory):
    """Weights that were trained on all clips."""
    return microexpr.fit(quick(), root, tmp_path_factory.mktemp("fitted"), workers=1)


def test_a_file_of_weights_says_what_it_was_trained_on_and_names_no_subject(root, fitted, tmp_path):
    lineage = lineage_of(fitted)
    (training,) = lineage.trainings
    assert lineage.complete
    assert (len(training.images), len(training.subjects)) == (9, 3)
    assert all(lineage.knows(f"own/s{subject}") for subject in range(SUBJECTS))
    assert not lineage.knows("own/s9")
    assert not lineage.knows("other/s0")
    with safe_open(fitted, "pt") as stored:
        written = json.loads(stored.metadata()["microexpr"])["trained on"]
    assert "own" not in json.dumps(written)
    assert written["trainings"][0]["salt"]
    again = microexpr.fit(quick(), root, tmp_path / "again", workers=1)
    assert again.read_bytes() == fitted.read_bytes()


def test_weights_that_chose_on_validation_know_its_subjects_too(root, tmp_path):
    file = microexpr.fit(quick(**{"training.patience": 1, "validation": 0.3}), root, tmp_path, workers=1)
    assert json.loads((tmp_path / "card.json").read_text())["data"]["subjects"] < SUBJECTS
    assert all(lineage_of(file).knows(f"own/s{subject}") for subject in range(SUBJECTS))


def test_weights_fitted_to_the_test_clips_are_told(root, fitted, tmp_path):
    done = microexpr.run_experiment(starting(fitted), root, tmp_path, workers=1)
    (finding,) = found(tmp_path, "ME002")
    assert finding.level == "warning"
    assert "frames of 9 of 9 test clips, 3 of 3 test subjects, for instance own/s0" in finding.evidence
    assert "9 of 9 test clips" in caveats(done)["weights_saw_test"]
    fitted_elsewhere = fitted.with_name("gone.safetensors")
    shutil.rmtree(tmp_path / "cache")  # neither frames nor the file are needed
    moved = fitted.rename(fitted_elsewhere)
    assert found(tmp_path, "ME002") == [finding]
    moved.rename(fitted)
    answer = command("check", tmp_path)
    assert (answer.code, "ME002" in answer.out) == (1, True)


def test_a_dry_run_warns_of_subjects(root, fitted, tmp_path):
    (warning,) = microexpr.dry_run(grid(starting(fitted)), root)["warnings"]
    assert "the starting weights model were trained on 3 test subjects, for instance own/s0" in warning
    assert microexpr.dry_run(grid(quick()), root)["warnings"] == []
    file = tmp_path / "study.toml"
    file.write_text(tomli_w.dumps({"name": "s", "title": "s", "experiment": starting(fitted).to_dict()}))
    assert "! the starting weights" in command("study", file, "--data", root, "--dry-run").out


def grid(experiment: microexpr.Experiment) -> microexpr.Study:
    return microexpr.Study(name="s", title="s", experiment=experiment)


def test_what_weights_knew_is_inherited(root, fitted, tmp_path):
    """Weights that are fine-tuned on other people still know those that their parent was trained on."""
    other = made(tmp_path / "other")
    listed(other, [["other", *row[1:]] for row in rows_of(other)])
    for number, file in enumerate(sorted(other.rglob("*.png"))):  # other frames, too
        file.write_bytes(changed(file, number))
    child = microexpr.fit(starting(fitted), other, tmp_path / "child", workers=1)
    assert [len(training.subjects) for training in lineage_of(child).trainings] == [3, 3]
    ran(starting(child), root, tmp_path / "out")
    (finding,) = found(tmp_path / "out", "ME002")
    assert "frames of 9 of 9 test clips, 3 of 3 test subjects" in finding.evidence
    grown_alone = microexpr.fit(quick(), other, tmp_path / "alone", workers=1)
    done = microexpr.run_experiment(starting(grown_alone), root, tmp_path / "sound", workers=1)
    assert found(tmp_path / "sound", "ME002") == []
    assert "weights_saw_test" not in caveats(done)


def changed(file: Path, number: int) -> bytes:
    import cv2

    image = cv2.imread(str(file))
    image[0, 0] = number % 255
    image[:, 1::2] ^= 3
    return cv2.imencode(".png", image)[1].tobytes()


def test_weights_of_another_fold_know_the_test_clips_of_this_one(root, tmp_path):
    done = microexpr.run_experiment(quick(), root, tmp_path / "first", keep_weights=True, workers=1)
    file = tmp_path / "first/results" / done.summary.cells[0].key / "fold-own-s0.safetensors"
    assert not lineage_of(file).knows("own/s0")
    ran(starting(file), root, tmp_path / "out")
    (finding,) = found(tmp_path / "out", "ME002")
    assert "frames of 6 of 9 test clips, 2 of 3 test subjects, for instance own/s1" in finding.evidence


def test_frames_under_another_name_and_subjects_in_other_frames_are_both_found(root, fitted, tmp_path):
    renamed = made(tmp_path / "renamed")
    listed(renamed, [["new", f"p{row[1]}", *row[2:]] for row in rows_of(renamed)])
    ran(starting(fitted), renamed, tmp_path / "frames")
    assert "frames of 9 of 9 test clips, 0 of 3 test subjects" in found(tmp_path / "frames", "ME002")[0].evidence
    larger = starting(fitted, **{"preprocessing.size": 40})
    ran(larger, root, tmp_path / "subjects")
    assert "frames of 0 of 9 test clips, 3 of 3 test subjects" in found(tmp_path / "subjects", "ME002")[0].evidence


def test_weights_that_do_not_say_are_a_note(root, fitted, tmp_path):
    with safe_open(fitted, "pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
    silent = tmp_path / "silent.safetensors"
    save_file(tensors, silent)
    assert lineage_of(silent) == Lineage(complete=False)
    ran(starting(silent), root, tmp_path / "out")
    (finding,) = found(tmp_path / "out", "ME002")
    assert (finding.level, finding.evidence.endswith("the weights file does not say.")) == ("note", True)
    child = microexpr.fit(starting(silent), root, tmp_path / "child", workers=1)
    assert not lineage_of(child).complete
    assert len(lineage_of(child).trainings) == 1


@pytest.mark.parametrize(
    ("model", "values", "fitted_to"),
    [
        ({"name": "poolformer_vit", "size": "nano"}, {"sampling": "onset_apex"}, None),
        ({"name": "cnn_convlstm_vit", "size": "nano"}, {"sampling": "onset_apex"}, "vit_nano"),
        ({"name": "composite_cnn"}, {}, None),
    ],
)
def test_every_model_that_starts_from_a_file_is_checked(model, values, fitted_to, root, tmp_path):
    chosen = quick(model=model, **values, **{"preprocessing.size": 64})
    first = chosen if fitted_to is None else quick(model=fitted_to, **{"preprocessing.size": 64})
    file = microexpr.fit(first, root, tmp_path / "fitted", workers=1)
    again = chosen.with_values(
        {"model": {**model, "weights": str(file)}, "protocol": {"name": "subject_kfold", "k": 2}}
    )
    ran(again, root, tmp_path / "out")
    (finding,) = found(tmp_path / "out", "ME002")
    assert "frames of 9 of 9 test clips, 3 of 3 test subjects" in finding.evidence


def test_a_lineage_is_read_as_it_was_written():
    one, two = TrainedOn.of(["a/1"], ["x", ""]), TrainedOn.of(["b/1"], ["y"])
    lineage = Lineage(complete=False).after(one).after(two).after(one)
    assert Lineage.from_json(json.loads(json.dumps(lineage.to_json()))) == lineage
    assert lineage.trainings == (one, two)
    assert one.images == {"x"}
    assert (lineage.has_any(["y", ""]), lineage.has_any(["", "z"]), lineage.knows("b/1")) == (True, False, True)
