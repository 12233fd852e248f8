"""The composite of MEGC 2019, rebuilt by rule from annotations of three databases in full size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from full_tables import samm_rows, samm_table, smic_folders
from microexpr.clip import Clip
from microexpr.datasets.casme2 import Casme2
from microexpr.datasets.samm import Samm
from microexpr.datasets.smic import Smic
from microexpr.datasets.synthetic import ClipPlan, SyntheticSpec, plan
from microexpr.datasets.synthetic.writing import table
from microexpr.labels import LABEL_SETS, clip_table

COMPOSITE = LABEL_SETS["megc2019_3"]
ONLY_OTHERS = ("10", "18")
"""The persons of CASME II who have no clip in the organisers' list."""
COUNTS = {"casme2": (88, 32, 25), "samm": (92, 26, 15), "smic": (70, 51, 43)}
PERSONS = {"casme2": 24, "samm": 28, "smic": 16}


def casme2_clips() -> list[ClipPlan]:
    """Return 255 clips with CASME II's quirks; two persons swap words with the rest until theirs are all 'others'."""
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
    assert len({clip.person for clip in kept}) == PERSONS[name]


def test_the_composite_has_442_clips_of_68_persons(clips):
    rows = clip_table(clips, COMPOSITE)
    assert COMPOSITE.classes == ("negative", "positive", "surprise")
    assert (len(clips), len(rows)) == (255 + 159 + 164, 442)
    assert rows["label"].value_counts().to_dict() == {0: 250, 1: 109, 2: 83}
    assert rows["person"].nunique() == 68
    assert rows["key"].is_unique


def test_two_clips_without_a_usable_apex_are_left_out(clips):
    names = (("04", "EP12_01f"), ("05", "EP09_05f"))
    uncoded, on_onset = [clip for clip in clips if (clip.subject, clip.video) in names]
    assert uncoded.labels["estimated"] == ("apex",)
    assert on_onset.apex == on_onset.onset
    assert COMPOSITE.of(uncoded) is None
    assert COMPOSITE.of(on_onset) is None
