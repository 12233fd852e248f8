"""Several databases in one experiment: read by their own readers, told apart in every result."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from conftest import recipe, write_database
from microexpr import run_experiment
from microexpr.components.datasets.manifest import Manifest
from microexpr.core import interfaces as contracts
from microexpr.core.errors import ConfigError, DataError
from microexpr.core.interfaces import Modality
from microexpr.data.composite import Composite
from microexpr.runs.plan import Options, Workspace
from refusal import refuses
from shell import microexpr

pytestmark = pytest.mark.usefixtures("no_figures")


def renamed(root: Path, name: str) -> Path:
    """Give a database of the tests another name in its own file."""
    rows = list(csv.reader((root / "manifest.csv").read_text("utf-8").splitlines()))
    for row in rows[1:]:
        row[0] = name
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    one = renamed(write_database(tmp_path_factory.mktemp("one"), subjects=3), "one")
    two = renamed(write_database(tmp_path_factory.mktemp("two"), subjects=2), "two")
    return one, two


@pytest.fixture
def joined(pair):
    return Composite({"one": Manifest(pair[0]), "two": Manifest(pair[1])})


def test_clips_of_both_are_there_and_read_from_their_own_folder(joined, pair):
    assert [clip.dataset for clip in joined.clips()] == ["one"] * 18 + ["two"] * 12
    assert len({clip.subject for clip in joined.clips()}) == 5
    for clip in (joined.clips()[0], joined.clips()[-1]):
        own = Manifest(pair[clip.dataset == "two"])
        assert np.array_equal(joined.frames(clip, [1, 4], "colour"), own.frames(clip, [1, 4], "colour"))
    assert joined.modalities() == {"colour": Modality(("r", "g", "b"))}
    assert isinstance(joined, contracts.ClipSource)


def test_facts_say_whose_they_are(joined):
    assert joined.metadata()["one, databases"] == "one 18"
    assert joined.metadata()["two, databases"] == "two 12"
    assert not joined.cropped()
    assert (joined.faults(), joined.notes(), joined.applied()) == ((), (), ())


def test_the_fingerprint_is_that_of_both(joined, pair, tmp_path):
    before = joined.fingerprint()
    assert (
        before
        == Composite({name: Manifest(root) for name, root in zip(("one", "two"), pair, strict=True)}).fingerprint()
    )
    assert before != Composite({"one": Manifest(pair[0])}).fingerprint()
    assert before != Composite({"one": Manifest(pair[1]), "two": Manifest(pair[0])}).fingerprint()


def test_one_clip_in_two_databases_is_refused(pair):
    with refuses("E270", "a, b", "18 clips", "one/s0/c0"):
        Composite({"a": Manifest(pair[0]), "b": Manifest(pair[0])}).clips()


def test_what_only_one_records_is_no_modality(joined, monkeypatch):
    monkeypatch.setattr(joined.members["two"], "modalities", lambda: {"depth": Modality(("depth",), 0, 65535)})
    assert joined.modalities() == {}


def casme2_and_manifest(faces, database, **values):
    experiment = recipe().with_values(
        {
            "datasets": ["casme2", "manifest"],
            "model": "pca_svm",
            "labels": {"happiness": "good", "disgust": "bad"},
            **values,
        }
    )
    return experiment, {"casme2": faces, "manifest": database}


def test_an_experiment_joins_databases(faces, database, tmp_path):
    experiment, data = casme2_and_manifest(faces, database)
    finished = run_experiment(experiment, data, tmp_path, workers=1)
    found = finished.summary.data
    assert found.datasets == ["casme2", "manifest"]
    assert found.metadata["casme2, label version"].startswith("imitates")
    subjects = finished.result.cells[0].result.predictions()["subject"]
    assert {subject.split("/")[0] for subject in subjects} == {"own", "synthetic-0"}
    assert finished.summary.protocol.folds == subjects.nunique()
    assert [caveat.code for caveat in finished.summary.caveats].count("synthetic") == 1


def test_databases_must_be_named_and_differ(faces, database, tmp_path):
    experiment, data = casme2_and_manifest(faces, database)
    with pytest.raises(ConfigError, match="--data manifest=DIR"):
        Workspace(Options({"casme2": faces})).plan(experiment)
    twice = experiment.with_values({"datasets": ["casme2", "casme2"]})
    with pytest.raises(ConfigError, match=r"casme2 \+ casme2 .*twice"):
        Workspace(Options(data)).plan(twice)


def test_faults_of_all_databases_are_told_at_once(faces, database, tmp_path):
    import shutil

    broken = [Path(shutil.copytree(root, tmp_path / root.name)) for root in (faces, database)]
    next(broken[0].rglob("*.jpg")).write_bytes(b"")
    next(broken[1].rglob("*.png")).write_bytes(b"")
    experiment, _ = casme2_and_manifest(*broken)
    with pytest.raises(DataError) as caught:
        Workspace(Options({"casme2": broken[0], "manifest": broken[1]})).plan(experiment)
    assert {fault.clip.split("/")[0] for fault in caught.value.faults} == {"casme2", "own"}


def test_tables_can_be_read_raw(faces, tmp_path):
    experiment = recipe().with_values({"datasets": "casme2", "model": "majority", "sampling": "kfs"})
    file = tmp_path / "e.toml"
    file.write_text(experiment.to_toml(), "utf-8")
    out = tmp_path / "out"
    words = ("run", file, "--data", faces, "--out", out, "--quiet")
    assert microexpr(*words).code == 0
    answer = microexpr(*words, "--no-corrections")
    assert answer.code == 0
    assert "Tables were read without corrections" in answer.out
    assert len(list((out / "results").iterdir())) == 2  # another experiment, not the same results
    # A database whose reader knows no corrections stays as it is beside one that does.
    both = recipe().with_values({"datasets": ["casme2", "smic"]}).uncorrected()
    assert [item.params for item in both.datasets] == [{"corrections": False}, {}]
    with pytest.raises(ConfigError, match=r"manifest \+ smic .*no corrections"):
        recipe().with_values({"datasets": ["manifest", "smic"]}).uncorrected()
