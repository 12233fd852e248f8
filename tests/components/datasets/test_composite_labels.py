"""The composite of MEGC 2019, rebuilt by rule from annotations of three databases in full size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import recipe, write_database
from full_tables import samm_rows, samm_table, smic_folders
from microexpr import api
from microexpr.audit.checks import check
from microexpr.components.datasets.casme2 import Casme2
from microexpr.components.datasets.samm import Samm
from microexpr.components.datasets.smic import Smic
from microexpr.components.datasets.synthetic import ClipPlan, SyntheticSpec, plan
from microexpr.components.datasets.synthetic.writing import table
from microexpr.config.experiment import Experiment
from microexpr.config.study import Study
from microexpr.core.clip import Clip
from microexpr.core.labels import LABEL_SETS, VOCABULARY, clip_table, label_set
from shell import microexpr

pytestmark = pytest.mark.usefixtures("no_figures")

COMPOSITE = LABEL_SETS["megc2019_3"]
ONLY_OTHERS = ("10", "18")
"""The subjects of CASME II who have no clip in the organisers' list."""
COUNTS = {"casme2": (88, 32, 25), "samm": (92, 26, 15), "smic": (70, 51, 43)}
SUBJECTS = {"casme2": 24, "samm": 28, "smic": 16}


def casme2_clips() -> list[ClipPlan]:
    """Return 255 clips with CASME II's quirks; two subjects swap words with the rest until theirs are all 'others'."""
    clips = list(plan(SyntheticSpec()))
    spare = [n for n, clip in enumerate(clips) if clip.emotion == "others" and clip.subject not in ONLY_OTHERS]
    for number, clip in enumerate(clips):
        if clip.subject in ONLY_OTHERS and clip.emotion != "others":
            other = spare.pop()
            clips[number], clips[other] = (
                replace(clip, emotion="others"),
                replace(clips[other], emotion=clip.emotion),
            )
    return clips


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Sequence[Clip]:
    root: Path = tmp_path_factory.mktemp("composite")
    for name in ("casme2", "samm"):
        (root / name).mkdir()
    (root / "casme2/CASME2-coding-20140508.xlsx").write_bytes(table(casme2_clips()))
    samm_table(root / "samm", samm_rows())
    readers = (Casme2(root / "casme2"), Samm(root / "samm"), Smic(smic_folders(root / "smic")))
    assert [reader.faults(table_only=True) for reader in readers[:2]] == [(), ()]
    return [clip for reader in readers for clip in reader.clips()]


@pytest.mark.parametrize("name", ["casme2", "samm", "smic"])
def test_each_database_has_the_organisers_counts(clips, name):
    kept = [clip for clip in clips if clip.dataset == name and COMPOSITE.of(clip)]
    counts = Counter(COMPOSITE.of(clip) for clip in kept)
    assert tuple(counts[word] for word in COMPOSITE.classes) == COUNTS[name]
    assert len(kept) == {"casme2": 145, "samm": 133, "smic": 164}[name]
    assert len({clip.subject for clip in kept}) == SUBJECTS[name]


def test_the_composite_has_442_clips_of_68_subjects(clips):
    rows = clip_table(clips, COMPOSITE)
    assert COMPOSITE.classes == ("negative", "positive", "surprise")
    assert (len(clips), len(rows)) == (255 + 159 + 164, 442)
    assert rows["label"].value_counts().to_dict() == {0: 250, 1: 109, 2: 83}
    assert rows["subject"].nunique() == 68
    assert rows["key"].is_unique


def test_two_clips_without_a_usable_apex_are_left_out(clips):
    names = (("04", "EP12_01f"), ("05", "EP09_05f"))
    uncoded, on_onset = [clip for clip in clips if (clip.subject_id, clip.video) in names]
    assert uncoded.labels["estimated"] == ("apex",)
    assert on_onset.apex == on_onset.onset
    assert COMPOSITE.of(uncoded) is None
    assert COMPOSITE.of(on_onset) is None


# --- what a label set does not keep -----------------------------------------------------------------------------------
def image(dataset: str, number: int, emotion: str) -> Clip:
    return Clip(dataset=dataset, subject_id="1", namespace=dataset, video=f"c{number}", emotion=emotion)


def listed() -> list[Clip]:
    """Return the organisers' list: precomputed images, whose words are the classes."""
    counts = {name: dict(zip(COMPOSITE.classes, numbers, strict=True)) for name, numbers in COUNTS.items()}
    words = [(name, word) for name, own in counts.items() for word, n in own.items() for _ in range(n)]
    return [image(name, number, word) for number, (name, word) in enumerate(words)]


def test_words_that_are_the_classes_already_are_accepted():
    rows = clip_table(listed(), COMPOSITE)
    assert {name: tuple(own["label"].value_counts()[n] for n in range(3)) for name, own in rows.groupby("dataset")} == (
        COUNTS
    )
    assert COMPOSITE.count_warnings(listed()) == []


@pytest.mark.parametrize("name", [name for name, labels in LABEL_SETS.items() if set(labels.classes) <= {*VOCABULARY}])
def test_every_rule_accepts_the_words_of_its_own_classes(name):
    labels = LABEL_SETS[name]
    for rule in (rule for rule in labels.rules if rule.mapping and rule.reads == "emotion"):
        assert {word: rule.mapping.get(word) for word in labels.classes} == {word: word for word in labels.classes}


def test_a_database_of_which_nothing_is_kept_is_named():
    clips = [*listed(), image("dfme", 0, "anger"), image("dfme", 1, "anger"), image("dfme", 2, "fear")]
    (stated,) = COMPOSITE.count_warnings(clips)
    assert stated.clips == 0
    assert stated.text.startswith("label set megc2019_3 keeps none of the 3 clips of dfme (emotions: anger 2, fear 1)")
    assert COMPOSITE.count_warnings(clips, synthetic=True) == [stated]
    own = label_set({"anger": "a"}, clips)
    assert [kept.text.partition(" (")[0] for kept in own.count_warnings(clips)] == [
        f"label set own keeps none of the {sum(COUNTS[name])} clips of {name}" for name in COUNTS
    ]


@pytest.mark.parametrize(("table_of", "kept"), [("20140508", 246), ("20190701", 249)])
def test_five_classes_of_the_later_table_are_not_those_published(tmp_path, table_of, kept):
    (tmp_path / f"CASME2-coding-{table_of}.xlsx").write_bytes(table(plan(SyntheticSpec(labels=table_of))))
    clips, labels = Casme2(tmp_path).clips(), LABEL_SETS["casme2_5"]
    assert sum(labels.of(clip) is not None for clip in clips) == kept
    stated = [f"label set casme2_5 keeps {kept} clips of casme2, where 246 were published"] if kept != 246 else []
    assert [kept.text.partition(":")[0] for kept in labels.count_warnings(clips)] == stated


@pytest.fixture(scope="module")
def partly(tmp_path_factory) -> Path:
    """The small database, half of whose subjects are in one that the composite does not know."""
    root = write_database(tmp_path_factory.mktemp("partly"))
    lines = (root / "manifest.csv").read_text("utf-8").splitlines()
    named = [line.replace("own", "casme2" if line[5] in "012" else "dfme", 1) for line in lines[1:]]
    (root / "manifest.csv").write_text("\n".join([lines[0], *named]) + "\n", "utf-8")
    return root


NONE = "abel set megc2019_3 keeps none of the 18 clips of dfme (emotions: happiness 6, surprise 6, disgust 6)"
FEW = "abel set megc2019_3 keeps 18 clips of casme2, where 145 were published"


def test_dry_run_says_so(partly, tmp_path):
    study = Study(name="s", title="s", experiment=composite())
    found = api.dry_run(study, partly)
    assert [text.partition(":")[0] for text in found["warnings"]] == [f"l{FEW}", f"l{NONE.partition(':')[0]}"]
    study_file = tmp_path / "study.toml"
    study_file.write_text(
        'name = "s"\ntitle = "s"\n[experiment]\ndatasets = "manifest"\nlabels = "megc2019_3"\nsampling = "af"\n'
        'preprocessing = {name = "m1", size = 32}\nmodel = "majority"\nprotocol = "loso"\n',
        "utf-8",
    )
    answer = microexpr("study", study_file, "--data", partly, "--dry-run")
    assert f"! l{NONE}" in " ".join(answer.out.split()), answer.err


def test_run_report_and_check_say_so(partly, tmp_path):
    done = api.run_experiment(composite(), partly, tmp_path, workers=1)
    caveats = [f"{caveat.line} {caveat.text}" for caveat in done.summary.caveats if caveat.code == "counts_differ"]
    assert [text.startswith(start) for text, start in zip(caveats, (f"L{FEW}", f"L{NONE}"), strict=True)] == [
        True,
        True,
    ]
    assert f"L{NONE}" in done.paths.html.read_text("utf-8")
    none, few = [finding for finding in check(tmp_path) if finding.code == "ME019"]
    assert (none.level, few.level) == ("warning", "note")
    assert none.evidence.startswith(f"L{NONE}")
    assert few.evidence.startswith(f"L{FEW}")


def composite() -> Experiment:
    return recipe().with_values({"labels": "megc2019_3", "model": "majority"})
