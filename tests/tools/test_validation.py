import json

import numpy as np
import pytest

from microexpr.components.datasets.synthetic import SyntheticSpec, make
from microexpr.config.component import titles
from microexpr.config.study import Study, load
from microexpr.core.errors import ConfigError, MicroexprError
from microexpr.core.interfaces import datasets
from microexpr.core.progress import Silent
from refusal import refuses
from tools.validation import __main__ as command
from tools.validation import planted
from tools.validation.planted import CONDITIONS, Condition, judge, trials
from tools.validation.rendered import Rendered

SMALL = {"subjects": 4, "clips": 16, "emotions": ("happiness", "surprise"), "expression_size": 0.0, "quirks": False}


@pytest.fixture
def study(root):
    return load(Study, root / "tools/validation/planted.toml")


@pytest.fixture
def root(request):
    return request.config.rootpath


def test_frames_drawn_on_demand_are_those_that_a_copy_on_disk_has(tmp_path):
    spec = SyntheticSpec(subjects=2, clips=2, seed=3, colour_cue=20.0, position_jitter=9.0, quirks=False)
    make(tmp_path / "disk", spec, workers=1)
    disk, drawn = datasets.get("casme2")(tmp_path / "disk"), Rendered(tmp_path / "table", spec)
    assert list(drawn.clips()) == list(disk.clips())
    assert drawn.modalities() == disk.modalities()
    assert not drawn.faults()
    assert drawn.metadata()["synthetic"] == disk.metadata()["synthetic"]
    for clip in disk.clips():
        numbers = [clip.onset, clip.apex, clip.offset]
        assert np.array_equal(drawn.frames(clip, numbers, "colour"), disk.frames(clip, numbers, "colour"))
    assert drawn.fingerprint() != Rendered(tmp_path / "other", SyntheticSpec(subjects=2, clips=2, seed=4)).fingerprint()


def test_a_planted_colour_is_claimed_as_colour_and_trials_are_kept(tmp_path, study, monkeypatch):
    monkeypatch.setattr(planted, "SHARED_OPTIONS", {**SMALL, "subjects": 8, "clips": 40})
    face = study.grid["preprocessing"][2:]
    grid = {"preprocessing": face, "preprocessing.size": [32], "preprocessing.colour": ["rgb", "grey"]}
    small = study.model_copy(update={"grid": grid})
    condition = Condition("colour", {"colour_cue": 100.0}, "preprocessing.colour", ("grey", "rgb"), "preprocessing")
    found = trials(small, 1, tmp_path / "kept.jsonl", 1, Silent(), [condition])
    (effect,) = found[0]["effects"]
    assert effect["effect"] == "colour"
    assert effect["claimed"]
    assert effect["contrasts"][0]["words"] == "grey − rgb"
    assert effect["contrasts"][0]["value"] < -0.2
    monkeypatch.setattr(planted, "_of_seed", lambda *_: pytest.fail("this database was tried before"))
    assert trials(small, 1, tmp_path / "kept.jsonl", 1, Silent(), [condition]) == found


def test_nothing_is_kept_of_a_study_that_cannot_be_analysed(tmp_path, study, monkeypatch):
    monkeypatch.setattr(planted, "SHARED_OPTIONS", {**SMALL, "subjects": 1, "clips": 4})
    with pytest.raises(MicroexprError):
        trials(study, 1, tmp_path / "kept.jsonl", 1, Silent(), CONDITIONS[:1])
    assert not (tmp_path / "kept.jsonl").exists()


def claim(condition, claims=(), value=-0.3):
    effects = [
        {"effect": name, "claimed": name in claims, "contrasts": [{"words": words, "value": value}]}
        for name, words in (("preprocessing", "face onset − none"), ("colour", "grey − rgb"))
    ]
    return {"condition": condition, "effects": effects}


def test_what_was_claimed_is_counted(study):
    named = titles(study.grid)
    found = [claim("nothing")] * 3 + [claim("nothing", ["colour"])]
    found += [claim("colour", ["colour"])] * 2 + [claim("colour", ["colour", "preprocessing"])]
    found += [claim("colour", ["colour"], value=0.3), claim("colour")]
    found += [claim("jitter", ["preprocessing"]), claim("jitter", ["preprocessing"], value=0.3)]
    rows = {(row["condition"], row["what"]): row for row in judge(found, named)}
    assert rows["nothing", "claims anything"]["share"] == 1 / 4
    assert rows["colour", "claims colour"]["share"] == 3 / 5, "a claim of the wrong sign does not count"
    assert rows["colour", "claims colour, not preprocessing"]["share"] == 2 / 5
    assert rows["jitter", "claims preprocessing"]["share"] == 1 / 2
    wrong = rows["nothing", "claims anything"]
    assert (round(wrong["low"], 4), round(wrong["high"], 4)) == (0.0063, 0.8059)  # Clopper and Pearson, 1 of 4


@pytest.mark.slow
def test_the_command_measures_once_and_writes_its_tables(tmp_path, root, monkeypatch, capsys):
    monkeypatch.setattr(planted, "SHARED_OPTIONS", {**SMALL, "subjects": 3, "clips": 9})
    monkeypatch.setattr(command, "SCENARIOS", {145: command.SCENARIOS[145]})
    page, study = tmp_path / "page.md", tmp_path / "study.toml"
    page.write_text((root / "docs" / "validation.md").read_text("utf-8"), "utf-8")
    whole = (root / "tools/validation/planted.toml").read_text("utf-8")
    study.write_text(
        whole.replace("[32, 48]", "[32]").replace('    { name = "crop", crop = "centre" },\n', ""), "utf-8"
    )
    asked = [str(study), str(tmp_path / "out"), str(page)]
    asked += ["--simulations", "2", "--sets", "1", "--jobs", "1"]
    command.main(asked)
    written = page.read_text("utf-8")
    kept = sorted(file.name for file in (tmp_path / "out").iterdir())
    simulated = [json.loads(file.read_text("utf-8")) for file in (tmp_path / "out").glob("simulated-*.json")]
    assert len(kept) == 4
    assert "| permutation by subject | " in written
    (row,) = [row for row in simulated if row["clips"] == 145 and row.get("subject_effects")]
    (share,) = [r["share"] for r in row["rows"] if (r["quantity"], r["way"]) == ("rejects", "McNemar")]
    line = next(line for line in written.splitlines() if line.startswith("| McNemar |"))
    assert f"{share:.3f}" in line
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("this was measured before"))
    command.main(asked)
    assert page.read_text("utf-8") == written
    capsys.readouterr()


def test_a_page_without_its_marks_is_refused():
    with refuses("E106", "rejects", "0 times", kind=ConfigError):
        command.filled("nothing here", {"rejects": "table"})
