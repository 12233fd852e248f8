"""From frames to labels: a stored model predicts what was predicted when it was trained, and says what limits it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

import microexpr
from conftest import SIDE, recipe, write_database
from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, DataError, StoreError
from microexpr.core.interfaces import FrameSource, datasets, votes
from microexpr.core.lineage import Lineage
from microexpr.data.reading import AHEAD
from microexpr.data.sources import FrameFolders
from microexpr.learning import pipeline as pipelines
from microexpr.learning.pipeline import UNRECORDED, Pipeline
from microexpr.runs.jobs import run
from microexpr.runs.plan import Options, Workspace
from refusal import refuses

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("one_thread")]

MIDDLE = {"name": "kfs", "missing_apex": "middle"}
"""A sampling for frames without annotations."""
SCORES = ["p_disgust", "p_happiness", "p_surprise"]
FRAMES, SUBJECT = "trained on these frames", "trained on this subject"


def film(frames: int = 7, height: int = SIDE, width: int = SIDE + 16, *, seed: int = 0) -> np.ndarray:
    """Frames that no model has seen."""
    return np.random.default_rng([seed, frames]).integers(0, 250, (frames, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Three subjects with four clips each."""
    return write_database(tmp_path_factory.mktemp("small"), subjects=3, clips=4)


@dataclass(frozen=True)
class Some:
    """Some of the clips of a source."""

    source: FrameSource
    keys: Collection[str]

    def modalities(self):
        return self.source.modalities()

    def clips(self) -> Sequence[Clip]:
        return [clip for clip in self.source.clips() if clip.key in self.keys]

    def faults(self, *, table_only: bool = False):
        return self.source.faults(table_only=table_only)

    def frames(self, clip: Clip, numbers: Sequence[int], modality: str):
        return self.source.frames(clip, numbers, modality)


@dataclass(frozen=True)
class Folds:
    """All folds of an experiment, with their weights."""

    source: FrameSource
    predictions: pd.DataFrame
    views: pd.DataFrame
    files: Sequence[Path]


def train(values: Mapping[str, Any], data: Path, out: Path, reader: str = "manifest") -> Folds:
    chosen = recipe().with_values({"datasets": reader, "training.epochs": 1, **values})
    workspace = Workspace(Options({reader: data}, out, keep_weights=True))
    (plan,) = workspace.prepare([workspace.plan(chosen)])
    result = run(plan, workspace)
    views = pd.concat([fold.views for fold in result.folds], ignore_index=True)
    files = sorted(out.glob("results/*/*.safetensors"))
    assert len(files) == len(result.folds)
    return Folds(datasets.get(reader)(data), result.predictions(), views[views["part"] == "test"], files)


def compare(folds: Folds, atol: float) -> list[Pipeline]:
    """Predict the test clips of each fold with its own weights and compare them with what the run stored."""
    stored = folds.predictions.set_index("clip")
    numbers = [f"p_{number}" for number in range(len(folds.predictions.filter(regex="p_[0-9]+").columns))]
    assert (stored[numbers].nunique() > 1).all(), "the model ignores its input, so nothing is compared"
    loaded = [microexpr.load(file) for file in folds.files]
    for pipeline in loaded:
        expected = stored[stored["fold"] == pipeline.card["fold"]]
        found = pipeline.predict(Some(folds.source, set(expected.index))).set_index("key").loc[expected.index]
        scores = found[[f"p_{name}" for name in pipeline.classes]].to_numpy()
        assert list(found["label"]) == [pipeline.classes[number] for number in expected["y_pred"]]
        assert list(found["coded"]) == [pipeline.classes[number] for number in expected["y_true"]]
        assert list(found["subject"]) == list(expected["subject"])
        assert set(found["notes"]) == {""}
        if atol:
            np.testing.assert_allclose(scores, expected[numbers].to_numpy(), rtol=0, atol=atol)
        else:
            assert np.array_equal(scores, expected[numbers].to_numpy())
    return loaded


# --- a fold predicts again what it predicted --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "atol"),
    [
        pytest.param({}, 0, id="network"),
        pytest.param({"model": "pca_svm"}, 1e-6, id="estimator"),
        pytest.param(
            {"model": {"name": "mobilevit_svm", "weights": "random"}, "preprocessing.size": 64}, 1e-6, id="frozen"
        ),
        pytest.param({"training.ensemble": 2}, 0, id="ensemble"),
        pytest.param(
            {"sampling": "onset_apex", "representation": {"name": "flow", "size": 28}, "model": "ststnet"}, 0, id="flow"
        ),
    ],
)
def test_the_weights_of_a_fold_predict_its_test_clips_as_stored(values, atol, small, tmp_path):
    compare(train(values, small, tmp_path), atol)


def test_a_learnt_vote_is_stored_with_the_weights(small, tmp_path):
    for pipeline in compare(train({"sampling": "kfs", "vote": "learnt_temporal"}, small, tmp_path), 0):
        unfitted = pipeline.experiment.vote.build(votes)
        assert (unfitted.weights, len(pipeline.vote.weights)) == ((), 3)


def test_views_of_several_batches_are_predicted_as_in_the_fold(tmp_path):
    """Seven views a clip and six clips a fold: a batch ends within a clip."""
    data = write_database(tmp_path / "data", subjects=2, clips=6)
    folds = train({"sampling": "mfs"}, data, tmp_path / "out")
    for pipeline in compare(folds, 0):
        views = (folds.views["fold"] == pipeline.card["fold"]).sum()
        assert (views, pipeline.learner.batch) == (42, 32)


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory) -> Path:
    """Two subjects with three clips each, in CASME II's layout."""
    from microexpr.components.datasets.synthetic import SyntheticSpec, make

    root = tmp_path_factory.mktemp("faces")
    emotions = ("others", "disgust", "happiness")
    make(root, SyntheticSpec(subjects=2, clips=6, emotions=emotions, expression_size=3.0), workers=1)
    return root


def test_faces_are_detected_as_in_the_fold_and_a_clip_without_one_is_noted(two_faces, tmp_path):
    values = {"preprocessing": {"name": "m2", "size": 48}, "protocol": {"name": "clip_kfold", "k": 2}}
    folds = train(values, two_faces, tmp_path, "casme2")
    pipeline = compare_faces(folds)
    one = Some(folds.source, {folds.source.clips()[0].key})
    table = pipeline.predict([microexpr.ArrayClips({"noise": film()}, apex={"noise": 3}), one])
    noise, face = table.to_dict("records")
    assert (noise["key"], noise["label"], noise["coded"], noise["subject"]) == ("noise", "", "", "")
    assert "[E203]" in noise["notes"]
    assert np.isnan([noise[f"p_{name}"] for name in pipeline.classes]).all()
    assert face["label"] in pipeline.classes
    assert "E203" not in face["notes"]


def compare_faces(folds: Folds) -> Pipeline:
    """Clips of one subject are in training and test, which the notes say."""
    stored = folds.predictions.set_index("clip")
    for file in folds.files:
        pipeline = microexpr.load(file)
        expected = stored[stored["fold"] == pipeline.card["fold"]]
        found = pipeline.predict(Some(folds.source, set(expected.index))).set_index("key").loc[expected.index]
        numbers = [f"p_{number}" for number in range(len(pipeline.classes))]
        scores = found[[f"p_{name}" for name in pipeline.classes]].to_numpy()
        assert np.array_equal(scores, expected[numbers].to_numpy())
        assert set(found["notes"]) == {SUBJECT}
    return pipeline


# --- models for the other tests ---------------------------------------------------------------------------------------
def fit(data: Path, out: Path, **values: Any) -> Path:
    microexpr.fit(recipe().with_values({"training.epochs": 1, **values}), data, out, workers=1)
    return out


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory) -> Path:
    """A network that looks at the apex."""
    return fit(small, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder) -> Pipeline:
    return microexpr.load(folder)


@pytest.fixture(scope="module")
def middle(small, tmp_path_factory) -> Pipeline:
    """A network that needs no annotated apex."""
    return microexpr.load(fit(small, tmp_path_factory.mktemp("middle"), sampling=MIDDLE))


@pytest.fixture(scope="module")
def as_is(small, tmp_path_factory) -> Pipeline:
    """A network for frames of the size that it was trained on."""
    values = {"sampling": MIDDLE, "preprocessing": "as_is"}
    return microexpr.load(fit(small, tmp_path_factory.mktemp("as_is"), **values))


# --- inputs -----------------------------------------------------------------------------------------------------------
def scores(table: pd.DataFrame) -> np.ndarray:
    return table[SCORES].to_numpy()


def test_frames_from_a_folder_a_database_or_an_array_are_predicted_alike(middle, small):
    """Each alone, so that batches have one shape. Folder and array do not know the apex, which is the middle."""
    place = small / "s1" / "c0"
    frames = np.stack([cv2.imread(str(place / f"{number}.png"))[..., ::-1] for number in range(1, 8)])
    database = Some(datasets.get("manifest")(small), {"own/s1/c0/1-7"})
    tables = [middle.predict(what) for what in (database, place, str(place), {"c0": frames}, frames, [frames])]
    assert [table["key"].item() for table in tables] == ["own/s1/c0/1-7", "c0", "c0", "c0", "array", "0"]
    assert [table["coded"].item() for table in tables] == ["surprise", "", "", "", "", ""]
    assert {table["label"].item() for table in tables} < set(middle.classes)
    assert {table["notes"].item() for table in tables} == {FRAMES}
    for table in tables[1:]:
        assert np.array_equal(scores(table), scores(tables[0]))


def test_a_database_is_predicted_alike_however_it_is_named(middle, small):
    inputs = (small, str(small), f"manifest={small}", small / "manifest.csv", datasets.get("manifest")(small))
    tables = [middle.predict(what) for what in inputs]
    assert len(tables[0]) == 12
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


def test_several_inputs_give_one_table(middle, small):
    table = middle.predict([small, small / "s0", {"a": film(), "b": film(3)}, film(1)])
    assert list(table["key"][12:]) == ["c0", "c1", "c2", "c3", "a", "b", "3"]
    assert (table["label"] != "").all()
    assert list(table.index) == list(range(19))
    # The folders hold the first four clips of the database; batches of another size may round differently.
    np.testing.assert_allclose(scores(table[12:16]), scores(table[:4]), rtol=0, atol=1e-6)


def test_two_folders_of_one_name_can_be_told_apart(middle, small):
    table = middle.predict([small / "s0" / "c0", small / "s1" / "c0"])
    assert len(table) == 2
    assert table["key"].is_unique


def test_the_apex_of_an_array_is_used(model):
    frames = film()
    table = model.predict(microexpr.ArrayClips({"a": frames, "b": frames}, apex={"a": 2, "b": 5}))
    alone = model.predict(microexpr.ArrayClips({"c": frames[2:3], "d": frames[5:6]}, apex={"c": 0, "d": 0}))
    assert np.array_equal(scores(table), scores(alone))
    assert not np.array_equal(scores(table)[0], scores(table)[1])


def test_two_processes_give_the_same_table(middle, small):
    what = [small, {"a": film(), "b": film(3)}]
    pd.testing.assert_frame_equal(middle.predict(what, workers=2), middle.predict(what, workers=1))


@pytest.mark.parametrize("workers", [0, -1])
def test_without_a_process_nothing_can_be_read(folder, small, workers):
    with refuses("E131", workers, kind=ConfigError):
        microexpr.predict(folder, small, workers=workers)


# --- the table --------------------------------------------------------------------------------------------------------
def write_clip(root: Path, row: Sequence[object], frames: np.ndarray | None = None, broken: int = 0) -> None:
    """Add a clip to a manifest; `broken` is a frame that is no image."""
    with (root / "manifest.csv").open("a", newline="") as file:
        csv.writer(file).writerow(row)
    for number, frame in enumerate(frames if frames is not None else (), start=1):
        target = root / str(row[4]) / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"no image" if number == broken else cv2.imencode(".png", frame)[1].tobytes())


@pytest.fixture(scope="module")
def others(small, tmp_path_factory) -> Path:
    """A database with one clip of each kind that a model meets."""
    root = tmp_path_factory.mktemp("others")
    (root / "manifest.csv").write_text("dataset,subject,clip,emotion,frames,onset,apex,offset\n")
    known = np.stack([cv2.imread(str(small / "s0" / "c0" / f"{number}.png")) for number in range(1, 8)])
    write_clip(root, ["own", "s0", "known", "happiness", "known", 1, 4, 7], known)
    write_clip(root, ["own", "s1", "new", "disgust", "new", 1, 4, 7], film(seed=1))
    write_clip(root, ["own", "s9", "other", "surprise", "other", 1, 4, 7], film(seed=2))
    write_clip(root, ["else", "s1", "namesake", "fear", "namesake", 1, 4, 7], film(seed=3))
    write_clip(root, ["own", "s9", "flat", "disgust", "flat", 1, "", 7], film(seed=4))
    write_clip(root, ["own", "s9", "broken", "disgust", "broken", 1, 4, 7], film(seed=5), broken=4)
    write_clip(root, ["own", "s9", "short", "disgust", "short", 1, 4, 7], film(3, seed=6))
    write_clip(root, ["own", "s9", "odd", "nonsense", "odd", 1, 4, 7], film(seed=7))
    return root


def test_every_clip_has_a_row_and_a_note_says_what_limits_it(model, others):
    table = model.predict(others)
    assert list(table.columns) == ["key", "subject", "coded", "label", *SCORES, "notes"]
    assert table["key"].is_unique
    rows = table.set_index(table["key"].str.split("/").str[2])
    assert set(rows.index) == {"known", "new", "other", "namesake", "flat", "broken", "short", "odd"}
    assert dict(rows["notes"][:4]) == {"known": FRAMES, "new": SUBJECT, "other": "", "namesake": ""}
    assert dict(rows["coded"][:4]) == {"known": "happiness", "new": "disgust", "other": "surprise", "namesake": ""}
    assert dict(rows["subject"][:4]) == {"known": "own/s0", "new": "own/s1", "other": "own/s9", "namesake": "else/s1"}
    used, unused = rows[:4], rows[4:]
    assert set(used["label"]) <= set(model.classes)
    np.testing.assert_allclose(scores(used).sum(1), 1)
    assert list(used["label"]) == [model.classes[number] for number in scores(used).argmax(1)]
    assert set(unused["label"]) == {""}
    assert np.isnan(scores(unused)).all()
    codes = {"flat": "E402", "broken": "E233", "short": "E231", "odd": "E222"}
    assert {name: note.rpartition("[")[2] for name, note in unused["notes"].items()} == {
        name: f"{code}]" for name, code in codes.items()
    }
    assert dict(unused["coded"]) == {"flat": "disgust", "broken": "disgust", "short": "disgust", "odd": ""}


def test_clips_that_cannot_be_used_change_no_prediction_of_the_others(model, others):
    keys = model.predict(others)["key"]
    alone = model.predict(Some(datasets.get("manifest")(others), set(keys[:4])))
    alone = alone[alone["label"] != ""]
    assert len(alone) == 4
    assert np.array_equal(scores(alone), scores(model.predict(others)[:4]))


def test_a_database_none_of_whose_classes_the_model_knows_is_predicted_without_them(model, tmp_path):
    (tmp_path / "manifest.csv").write_text("dataset,subject,clip,emotion,frames,onset,apex,offset\n")
    write_clip(tmp_path, ["else", "s1", "a", "fear", "a", 1, 4, 7], film())
    write_clip(tmp_path, ["else", "s1", "b", "anger", "b", 1, 4, 7], film(seed=1))
    table = model.predict(tmp_path)
    assert list(table["coded"]) == ["", ""]
    assert set(table["label"]) <= set(model.classes)
    assert not np.isnan(scores(table)).any()


def test_the_class_of_the_table_is_mapped_as_in_training(small, tmp_path):
    labels = {"happiness": "good", "disgust": "bad"}
    pipeline = microexpr.load(fit(small, tmp_path, labels=labels))
    assert pipeline.classes == ("bad", "good")
    table = pipeline.predict(small)
    emotions = {clip.key: clip.emotion for clip in datasets.get("manifest")(small).clips()}
    assert list(table["coded"]) == [labels.get(emotions[key], "") for key in table["key"]]
    assert set(table["coded"]) == {"good", "bad", ""}
    # Clips with other classes were not trained on, but clips of their subjects were.
    assert dict(table.groupby("coded")["notes"].unique().map(list)) == {
        "good": [FRAMES],
        "bad": [FRAMES],
        "": [SUBJECT],
    }


def test_a_model_with_targets_predicts_them_too(tmp_path):
    data = write_database(tmp_path / "data", subjects=3, clips=4)
    table = pd.read_csv(data / "manifest.csv", dtype=str)
    table["action_units"] = table["emotion"].map({"happiness": "6+12", "surprise": "1+2", "disgust": "4"})
    table.to_csv(data / "manifest.csv", index=False)
    units = {"target": [{"name": "action_units", "units": [1, 4, 12]}], "sampling": "kfs"}
    folds = train(units, data, tmp_path / "out")
    names = [f"predicted:action_units:AU{unit}" for unit in (1, 4, 12)]
    stored = folds.views.groupby("clip")[names].mean()
    assert (stored.nunique() > 1).all()
    for pipeline in compare(folds, 0):
        tested = folds.views.loc[folds.views["fold"] == pipeline.card["fold"], "clip"].unique()
        frame = microexpr.ArrayClips({"none": film()})  # has no apex
        found = pipeline.predict([Some(folds.source, set(tested)), frame]).set_index("key")
        assert list(found.columns) == ["subject", "coded", "label", *SCORES, *names, "notes"]
        np.testing.assert_allclose(found.loc[tested, names], stored.loc[tested], rtol=0, atol=1e-12)
        assert found.loc["none", names].isna().all()


def test_a_vote_that_is_a_function_can_be_stored(small, tmp_path, monkeypatch):
    """Components may be plain functions; only what a vote has learnt must be stored."""

    def last(sharper: float = 1.0):
        def vote(views: pd.DataFrame):
            proba = views.filter(like="p_").to_numpy()[-1] ** sharper
            return int(proba.argmax()), proba / proba.sum()

        return vote

    for name in votes.names():  # what is imported first while the registry is patched would be lost
        votes.get(name)
    for known in ("_factories", "_revisions", "_sources", "_outside", "_registering"):
        monkeypatch.setattr(votes, known, dict(getattr(votes, known)))
    votes.register("last_view")(last)
    compare(train({"sampling": "kfs", "vote": {"name": "last_view", "sharper": 2.0}}, small, tmp_path), 0)


def test_frames_that_their_owners_cropped_are_noted_unless_the_model_was_trained_on_such(middle, small):

    class Cropped(type(datasets.get("manifest")(small))):
        def cropped(self):
            return True

    cropped = Cropped(small)
    assert all("cropped" in note and FRAMES in note for note in middle.predict(cropped)["notes"])
    alike = replace(middle, card={**middle.card, "cropped": True})
    assert set(alike.predict(cropped)["notes"]) == {FRAMES}


def test_a_model_of_a_component_that_is_not_registered_here_names_it(small, tmp_path):
    file = Path(fit(small, tmp_path, sampling=MIDDLE)) / "model.safetensors"
    with safe_open(file, "pt") as stored:
        metadata = json.loads(stored.metadata()["microexpr"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
    metadata["card"]["experiment"]["model"] = "plugged"
    save_file(tensors, file, {"microexpr": json.dumps(metadata)})
    with refuses("E653", file, "plugged", "registers", kind=StoreError):
        microexpr.load(file)


def test_a_model_that_does_not_record_its_training_says_so(middle, small):
    unknown = replace(middle, lineage=Lineage(complete=False))
    assert set(unknown.predict(small)["notes"]) == {UNRECORDED}


def test_a_manifest_without_emotions_is_predicted_with_its_apexes_and_subjects(middle, small, tmp_path):
    root = Path(shutil.copytree(small, tmp_path / "data"))
    lines = [line.split(",") for line in (root / "manifest.csv").read_text().splitlines()]
    (root / "manifest.csv").write_text("\n".join(",".join([*line[:3], *line[4:]]) for line in lines))
    found, coded = middle.predict(root), middle.predict(small)
    assert set(found["coded"]) == {""}
    assert found.drop(columns="coded").equals(coded.drop(columns="coded"))


def test_precomputed_images_are_read_with_the_parameters_of_training(small, tmp_path):
    """Their channels have names that only the reader's parameters give."""
    root = Path(shutil.copytree(small, tmp_path / "data"))
    table = pd.read_csv(root / "manifest.csv", dtype=str)
    table["flow"] = table["frames"] + "/4.png"
    table.drop(columns=["frames", "onset", "apex", "offset"]).to_csv(root / "manifest.csv", index=False)
    reader = {"name": "manifest", "channels": {"flow": ["strain", "v", "u"]}, "scaling": {"flow": "minmax"}}
    fit(root, tmp_path / "out", datasets=reader, sampling="image", preprocessing="as_is")
    pipeline = microexpr.load(tmp_path / "out")
    found = pipeline.predict([root, f"manifest={root}", root / "manifest.csv"])
    assert pipeline.spec.channels == ("strain", "v", "u")
    assert list(found["key"][:2]) == ["own/s0/c0", "own/s0/c1"]
    assert len(found) == 36
    assert set(found["notes"]) == {FRAMES}
    with refuses("E470", "E403", kind=DataError):
        pipeline.predict(film())


def test_a_model_of_several_databases_predicts_each(small, two_faces, tmp_path):
    chosen = recipe().with_values({"datasets": ["manifest", "casme2"], "training.epochs": 1, "sampling": MIDDLE})
    microexpr.fit(chosen, {"manifest": small, "casme2": two_faces}, tmp_path, workers=1)
    table = microexpr.load(tmp_path).predict([two_faces, small])
    assert list(table["key"].str.split("/").str[0]) == ["casme2"] * 6 + ["own"] * 12
    assert set(table["notes"]) == {FRAMES}


def test_progress_counts_the_clips(middle, small):
    steps, texts = [], []

    class Counting:
        def start(self, text: str, total: int) -> None:
            texts.append((text, total))

        def step(self, note: str = "") -> None:
            steps.append(note)

        def stop(self) -> None:
            pass

    middle.predict([small, small / "s0" / "c0"], progress=Counting())
    assert (texts, len(steps)) == ([("clips", 12), ("clips", 1)], 13)


# --- memory -----------------------------------------------------------------------------------------------------------
def test_memory_does_not_grow_with_the_number_of_clips(folder, monkeypatch):
    """At no time are more clips read than a batch needs and may be read ahead."""
    number = 200
    films = {f"{clip:03}": np.full((1, 8, 8, 3), clip, np.uint8) for clip in range(number)}
    arrays, read, predicted = microexpr.ArrayClips(films, apex=dict.fromkeys(films, 0)), [], []

    class Counted(Some):
        def frames(self, clip, numbers, modality):
            read.append(clip.key)
            return super().frames(clip, numbers, modality)

    pipeline = microexpr.load(folder)
    real = pipeline.learner.predict

    def predict(views, indices):
        assert len(read) - len(predicted) <= pipeline.learner.batch + AHEAD
        predicted.extend(indices)
        return real(views, indices)

    monkeypatch.setattr(pipeline.learner, "predict", predict)
    table = pipeline.predict(Counted(arrays, films), workers=1)
    assert (len(read), len(predicted), len(table)) == (number, number, number)
    assert list(table["key"]) == list(films)
    assert (table["label"] != "").all()


VIEWS = 3
"""Views of a clip under `middle`."""


# --- interrupted predictions ------------------------------------------------------------------------------------------
@pytest.fixture
def interrupted(middle, small, tmp_path, monkeypatch) -> tuple[Path, list[int]]:
    """A journal that was left by Ctrl-C after the first batch, and the number of views of each later batch."""
    file, batches, real = tmp_path / "out" / ".p.csv.journal", [], middle.learner.predict

    def predict(views, indices):
        if batches == [len(indices)]:
            raise KeyboardInterrupt
        batches.append(len(indices))
        return real(views, indices)

    monkeypatch.setattr(type(middle.learner), "batch", VIEWS)
    monkeypatch.setattr(middle.learner, "predict", predict)
    with pytest.raises(KeyboardInterrupt):
        middle.predict(small, workers=1, journal=file)
    batches.clear()
    monkeypatch.setattr(middle.learner, "predict", lambda views, rows: batches.append(len(rows)) or real(views, rows))
    return file, batches


def test_an_interrupted_prediction_continues_where_it_stopped(interrupted, middle, small):
    file, batches = interrupted
    whole = middle.predict(small, workers=1)
    batches.clear()
    table = middle.predict(small, workers=1, journal=file)
    assert sum(batches) == VIEWS * (len(table) - 1)
    pd.testing.assert_frame_equal(table, whole, rtol=0, atol=1e-6)


def test_a_journal_of_other_data_is_not_used(interrupted, middle, small, tmp_path):
    file, batches = interrupted
    other = Path(shutil.copytree(small, tmp_path / "other"))
    lines = (other / "manifest.csv").read_text().splitlines()
    (other / "manifest.csv").write_text("\n".join(lines[:-1]))
    table = middle.predict(other, workers=1, journal=file)
    assert sum(batches) == VIEWS * len(table)


def test_an_image_that_changed_is_another_folder(small, tmp_path):
    place = Path(shutil.copytree(small / "s0" / "c0", tmp_path / "c0"))
    before = FrameFolders(place).fingerprint()
    assert FrameFolders(place).fingerprint() == before
    cv2.imwrite(str(place / "1.png"), np.zeros((9, 9, 3), np.uint8))
    assert FrameFolders(place).fingerprint() != before


# --- frames that do not fit -------------------------------------------------------------------------------------------
def test_frames_of_another_size_are_refused_where_nothing_resizes_them(as_is):
    fitting = film()
    table = as_is.predict({"small": film(7, 40, 40), "fitting": fitting}).set_index("key")
    assert (table.loc["small", "label"], table.loc["fitting", "notes"]) == ("", "")
    for text in ("40x40", f"{SIDE + 16}x{SIDE}", "[E652]"):
        assert text in table.loc["small", "notes"]
    with refuses("E470", "small", "40x40", f"{SIDE + 16}x{SIDE}", "E652", kind=DataError):
        as_is.predict({"small": film(7, 40, 40)})


@pytest.fixture(scope="module")
def grey(small, tmp_path_factory) -> Path:
    """The small database in grey."""
    root = Path(shutil.copytree(small, tmp_path_factory.mktemp("grey") / "data"))
    for file in root.rglob("*.png"):
        cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    return root


@pytest.mark.parametrize("which", ["as_is", "middle"])
def test_grey_frames_are_refused_by_a_model_of_colour(which, grey, request):
    with refuses("E470", "grey", "r, g, b", "E652", kind=DataError):
        request.getfixturevalue(which).predict(grey)


def test_a_model_of_grey_frames_predicts_grey_folders_and_arrays(grey, tmp_path):
    """A folder says no less than the manifest that lists it: these very images were trained on."""
    pipeline = microexpr.load(fit(grey, tmp_path, sampling=MIDDLE))
    place = grey / "s1" / "c0"
    frames = np.stack([cv2.imread(str(place / f"{number}.png"), cv2.IMREAD_GRAYSCALE) for number in range(1, 8)])
    database = pipeline.predict(Some(datasets.get("manifest")(grey), {"own/s1/c0/1-7"}))
    for what in (place, frames):
        assert np.array_equal(scores(pipeline.predict(what)), scores(database))


def test_a_model_that_turns_colour_into_grey_predicts_grey_folders(small, grey, tmp_path):
    values = {"sampling": MIDDLE, "preprocessing": {"name": "m1", "size": 32, "colour": "grey"}}
    pipeline = microexpr.load(fit(small, tmp_path, **values))
    found = pipeline.predict([grey / "s1" / "c0", grey])
    assert (found["label"] != "").all()
    np.testing.assert_allclose(scores(found[:1]), scores(found[found["key"] == "own/s1/c0/1-7"]), rtol=0, atol=1e-6)


def test_images_of_more_than_eight_bits_are_refused_and_named(middle, small, tmp_path):
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 40, 3), 1000, np.uint16))
    table = middle.predict([small / "s0" / "c0", tmp_path])
    assert list(table["label"] != "") == [True, False]
    assert "[E275]" in table["notes"][1]
    with refuses("E470", "E275", tmp_path / "1.png", "uint16", kind=DataError):
        middle.predict(tmp_path)


@pytest.mark.parametrize("representation", ["dynamic_image", "tim"])
def test_one_frame_is_too_few_for_motion(representation, small, tmp_path):
    values = {"sampling": "clip", "representation": representation, "model": "majority"}
    pipeline = microexpr.load(fit(small, tmp_path, **values))
    table = pipeline.predict({"one": film(1), "two": film(2)})
    assert list(table["label"] != "") == [False, True]
    assert "[E452]" in table["notes"][0]
    with refuses("E470", "one", "E452", kind=DataError):
        pipeline.predict({"one": film(1)})


def test_a_crop_that_does_not_fit_is_noted(small, tmp_path):
    values = {"sampling": MIDDLE, "preprocessing": {"name": "m1", "size": 32, "centre": "raw"}, "model": "majority"}
    table = microexpr.load(fit(small, tmp_path, **values)).predict({"small": film(3, 20, 20), "large": film(3)})
    assert list(table["label"] != "") == [False, True]
    assert "[E415]" in table["notes"][0]


@pytest.mark.parametrize("wrong", [film().astype(np.float32), film()[0, 0], film().astype(np.uint16)])
def test_arrays_of_another_type_or_shape_are_refused(middle, wrong):
    with refuses("E276", wrong.dtype, kind=DataError):
        middle.predict([film(), wrong])


def test_nothing_at_all_is_refused(middle):
    with refuses("E135", kind=DataError):
        middle.predict([])


def test_a_database_without_its_frames_is_named_in_one_line(middle, two_faces, tmp_path):
    for file in two_faces.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    table = middle.predict([f"casme2={tmp_path}", film()])
    assert list(table["label"] != "") == [False] * 6 + [True]
    for note in table["notes"][:6]:
        assert "\n" not in note
        assert note.count("[E209]") == 1


# --- stored models ----------------------------------------------------------------------------------------------------
def rewritten(folder: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy a model with another card, in its weights and beside them."""
    target.mkdir(parents=True, exist_ok=True)
    with safe_open(folder / "model.safetensors", "pt") as stored:
        content = json.loads(stored.metadata()["microexpr"])
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  (not a dict)
    change(content["card"])
    save_file(tensors, target / "model.safetensors", {"microexpr": json.dumps(content)})
    (target / "card.json").write_text(json.dumps(content["card"]), "utf-8")
    return target


def as_format_2(card: dict[str, Any]) -> None:
    for name in ("vote", "modality", "licence"):
        del card[name]
    card["format"] = 2


def test_models_of_format_2_are_read_and_predict_the_same(folder, model, small, tmp_path):
    assert model.card["format"] == pipelines.FORMAT == 3
    old = microexpr.load(rewritten(folder, tmp_path, as_format_2))
    assert old.card["format"] == 2
    pd.testing.assert_frame_equal(old.predict(small), model.predict(small))


def test_weights_of_a_fold_of_format_2_are_read_without_a_card_beside_them(folder, small, tmp_path):
    file = rewritten(folder, tmp_path, as_format_2) / "model.safetensors"
    (tmp_path / "card.json").unlink()
    alone = file.rename(tmp_path / "fold-1.safetensors")
    assert (microexpr.load(alone).predict(small)["label"] != "").all()


def test_a_loaded_model_can_be_stored_again(small, tmp_path):
    loaded = microexpr.load(fit(small, tmp_path / "first", sampling="kfs", vote="learnt_temporal"))
    own = {"format", "experiment", "classes", "targets", "modality", "view", "vote", "normalisation"}
    further = {name: value for name, value in loaded.card.items() if name not in own}
    (tmp_path / "second").mkdir()
    card = loaded.save(tmp_path / "second" / "model.safetensors", further)
    assert json.loads(json.dumps(card)) == loaded.card
    assert len(card["vote"]["weights"]) == 3
    first, second = (tmp_path / name / "model.safetensors" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("number", [99, 4, 0, None, "3"])
def test_a_card_of_another_format_is_refused(folder, tmp_path, number):
    rewritten(folder, tmp_path, lambda card: card.update(format=number))
    with refuses("E602", tmp_path / "model.safetensors", "formats 1 to 3", kind=StoreError):
        microexpr.load(tmp_path)


def test_a_card_without_a_format_is_refused(folder, tmp_path):
    rewritten(folder, tmp_path, lambda card: card.pop("format"))
    with refuses("E602", tmp_path / "model.safetensors", kind=StoreError):
        microexpr.load(tmp_path)


DAMAGE: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "no view": lambda card: card.pop("view"),
    "no classes": lambda card: card.pop("classes"),
    "no experiment": lambda card: card.pop("experiment"),
    "a view that is a list": lambda card: card.update(view=[]),
    "half a range": lambda card: card["view"].update(range=[0]),
    "a range of words": lambda card: card["view"].update(range=["a", "b"]),
    "a shape that is a number": lambda card: card["view"].update(shape=5),
    "half a shape": lambda card: card["view"].update(shape=[1, 32]),
    "classes that are a number": lambda card: card.update(classes=3),
    "targets that are a list": lambda card: card.update(targets=[1]),
    "a vote that is a number": lambda card: card.update(vote=7),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_card_is_refused(folder, tmp_path, name):
    rewritten(folder, tmp_path, DAMAGE[name])
    with refuses("E605", tmp_path / "model.safetensors", kind=StoreError):
        microexpr.load(tmp_path)


OTHER: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "another network": lambda card: card["experiment"].update(model="vit_nano"),
    "an estimator": lambda card: card["experiment"].update(model="pca_svm"),
    "an ensemble": lambda card: card["experiment"].update(training={"ensemble": 2}),
    "two classes": lambda card: card.update(classes=["a", "b"]),
    "one channel": lambda card: card["view"].update(shape=[1, 32, 32, 1], channels=["grey"]),
}


@pytest.mark.parametrize("name", OTHER)
def test_weights_that_do_not_fit_their_card_are_refused(folder, tmp_path, name):
    rewritten(folder, tmp_path, OTHER[name])
    with refuses("E651", tmp_path / "model.safetensors", kind=StoreError):
        microexpr.load(tmp_path)


def test_the_card_of_another_model_beside_the_weights_is_refused(folder, tmp_path):
    Path(shutil.copytree(folder, tmp_path, dirs_exist_ok=True))
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    (tmp_path / "card.json").write_text(json.dumps(card | {"classes": ["disgust", "surprise", "happiness"]}), "utf-8")
    with refuses("E651", tmp_path / "card.json", "model.safetensors", kind=StoreError):
        microexpr.load(tmp_path)


@pytest.mark.parametrize("name", ["none", "none.safetensors", "version.2"])
def test_a_place_without_a_model_is_refused(tmp_path, name):
    wanted = name if name.endswith("safetensors") else "model.safetensors"
    for place in (tmp_path / name, str(tmp_path / name)):
        with refuses("E606", tmp_path / name, wanted, kind=StoreError):
            microexpr.load(place)
