"""``microexpr compare``: results on disk against the statistics themselves, its page, and what it refuses."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import recipe
from microexpr import compare_all, compare_results
from microexpr.audit.comparison import Compared, settings, surroundings
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError, StoreError, UsageError
from microexpr.core.interfaces import metrics
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.bootstrap import bootstrap
from microexpr.evaluation.statistics.comparison import compare
from microexpr.evaluation.statistics.influence import influence
from microexpr.evaluation.statistics.multiplicity import holm
from microexpr.evaluation.statistics.paired import Predictions
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report import write_comparison
from microexpr.report.summary.comparison import summarise_comparison
from microexpr.runs.store import FoldResult, Results
from pages import Page
from refusal import refuses
from shell import microexpr

CLASSES = ("negative", "positive", "surprise")
N, SUBJECTS = 60, 12
TRUTH = np.random.default_rng(0).integers(3, size=N)
SUBJECT = np.array([f"own/s{number % SUBJECTS:02}" for number in range(N)])
CLIPS = np.array([f"own/s{number % SUBJECTS:02}/c{number:02}" for number in range(N)])
QUICK = {"n": 400, "permutations": 299}


def guess(right: float, seed: int):
    """Predict so many of the clips right, the others at random."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(N) < right, TRUTH, rng.integers(3, size=N))


def store(
    out: Path,
    predicted,
    *,
    order=None,
    classes=CLASSES,
    subjects=SUBJECT,
    truth=TRUTH,
    metadata=None,
    folds=1,
    **values,
):
    """Write a result as `microexpr run` does, with these predictions instead of trained ones."""
    experiment = recipe().with_values(values)
    results, rows = Results(out / "results", experiment.key()), np.arange(len(predicted)) if order is None else order
    about = {"fingerprint": "f" * 16, "data": {"label version": "2014"}, "environment": {"torch": "2.9"}}
    about |= {"experiment": experiment.to_dict(), "canonical": experiment.canonical(), "classes": list(classes)}
    results.begin(about | (metadata or {}))
    views = pd.DataFrame({"part": "test", "clip": CLIPS[rows], "subject": subjects[rows], "y_true": truth[rows]})
    views["frames"] = [[1]] * len(rows)
    for number in range(len(classes)):
        views[f"p_{number}"] = np.where(predicted[rows] == number, 0.8, 0.1)
    for fold in range(folds):
        part = views[views["subject"].str[-2:].astype(int) % folds == fold]
        results.write(FoldResult(f"fold{fold}", part, pd.DataFrame({"epoch": [1]}), {"repeat": 1}))
    return out


GUESSES = {"a": guess(0.75, 1), "b": guess(0.1, 2), "c": guess(0.7, 3)}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A good result, a bad one, and one whose clips are stored in another order."""
    root = tmp_path_factory.mktemp("results")
    store(root / "a", GUESSES["a"])
    store(root / "b", GUESSES["b"], model={"name": "pca_svm", "components": 20})
    order = np.random.default_rng(4).permutation(N)
    about = {"environment": {"torch": "2.8"}}
    store(root / "c", GUESSES["c"], order=order, metadata=about, **{"training.epochs": 3, "seed": 1})
    return [root / name for name in "abc"]


@pytest.fixture(scope="module")
def compared(places) -> Compared:
    return compare_all(places, **QUICK)


@pytest.fixture(scope="module")
def summary(compared):
    return summarise_comparison(compared, "microexpr compare a b c --out out")


@pytest.fixture(scope="module")
def written(summary, tmp_path_factory):
    return write_comparison(summary, tmp_path_factory.mktemp("page"))


def rows_of(paths, name):
    return list(csv.DictReader(io.StringIO((paths.tables[0].parent / f"{name}.csv").read_text())))


# --- numbers ----------------------------------------------------------------------------------------------------------
def given(name):
    return Predictions(name, CLASSES, CLIPS, SUBJECT, TRUTH, GUESSES[name])


def test_results_are_compared_as_the_statistics_compare_them(places, compared):
    direct = [
        compare(given("a"), given(b), "macro_f1", rng=rng_for(0, "compare"), trained=trained, **QUICK)
        for b, trained in (("b", Trained(1, networks=False)), ("c", Trained(1)))
    ]
    unnamed = {"a": "", "b": ""}
    same = {**unnamed, "p_holm": None, "family": 1}
    assert [dataclasses.replace(one, **same) for one in compared.comparisons] == [
        dataclasses.replace(one, **same) for one in direct
    ]
    assert [one.p_holm for one in compared.comparisons] == list(holm([one.p_value for one in direct]))
    assert compared.letters == "ABC"
    alone = compare_results(*places[:2], **QUICK)
    assert dataclasses.replace(alone, **unnamed) == dataclasses.replace(direct[0], **unnamed)
    assert (alone.p_holm, alone.family) == (None, 1)


def test_the_summary_holds_what_the_statistics_give(compared, summary):
    averaged_classes = present(TRUTH, 3)
    for row, name in zip(summary.results, "abc", strict=True):
        seed = 1 if name == "c" else 0
        metric = metrics.build("macro_f1", {})
        drawn = {
            "num_classes": 3,
            "averaged_classes": averaged_classes,
            "rng": rng_for(seed, "bootstrap"),
            "n": 400,
            "subjects": SUBJECT,
        }
        found = bootstrap(metric, TRUTH, GUESSES[name], **drawn, method="expanded")
        assert (row.scores["macro_f1"], row.bounds["macro_f1"]) == (found.point, (found.low, found.high))
    for pair, one in zip(summary.comparisons, compared.comparisons, strict=True):
        assert pair.paired.significant == one.significant
    for found, name in zip(summary.influence, "bc", strict=True):
        given = (metrics.build("macro_f1", {}), TRUTH, GUESSES["a"], SUBJECT)
        direct = influence(*given, num_classes=3, averaged_classes=averaged_classes, against=GUESSES[name])
        assert [(one.subject, one.score) for one in found.subjects] == [(x.subject, x.score) for x in direct]
    right = np.stack([GUESSES[name] == TRUTH for name in "abc"])
    assert {row.clip for row in summary.changed} == set(CLIPS[(right != right[0]).any(axis=0)])
    for row in summary.changed:
        at = list(CLIPS).index(row.clip)
        assert row.predicted == [CLASSES[GUESSES[name][at]] for name in "abc"]


def test_changed_clips_are_those_of_one_side_alone(compared):
    one = compared.comparisons[0]
    right = {side: [clip for clip in one.changed if getattr(clip, side) == clip.truth] for side in ("a", "b")}
    assert (len(right["a"]), len(right["b"])) == (one.only_a, one.only_b)
    assert all(clip.clip.startswith(clip.subject) for clip in one.changed)


def test_settings_that_differ_are_named_and_no_others(compared, summary):
    found = {row.name: row.values for row in settings(compared.stored)}
    assert found["model"] == ("small_cnn", "pca_svm", "small_cnn")
    assert found["model.components"] == (None, "20", None)
    assert found["training.epochs"] == ("12", "12", "3")
    assert found["seed"] == ("0", "0", "1")
    assert not any(name.startswith(("protocol", "sampling", "preprocessing", "labels")) for name in found)
    assert "model revision" not in found  # of another model, it says nothing
    assert [(row.name, row.values) for row in summary.surroundings] == [("torch", ["2.9", "2.9", "2.8"])]
    assert [row.title for row in summary.results] == [
        "small_cnn, epochs 12",
        "pca_svm, epochs 12",
        "small_cnn, epochs 3",
    ]


def test_kernels_that_differ_are_named(places, tmp_path):
    haswell, skylake = (
        {"numpy BLAS": f"openblas {kernel}", "torch instructions": instructions}
        for kernel, instructions in (("Haswell", "AVX2"), ("SkylakeX", "AVX512"))
    )
    a, b, c = (
        store(tmp_path / name, GUESSES[name], metadata={"environment": {"torch": "2.9"} | kernel}, seed=seed)
        for name, kernel, seed in (("a", haswell, 0), ("b", skylake, 1), ("c", haswell, 2))
    )
    found = compare_all([a, b], **QUICK)
    assert [(row.name, row.values) for row in surroundings(found.stored)] == [
        ("numpy BLAS", ("openblas Haswell", "openblas SkylakeX")),
        ("torch instructions", ("AVX2", "AVX512")),
    ]
    (caveat,) = found.caveats
    words = "numpy BLAS: A openblas Haswell, B openblas SkylakeX; torch instructions: A AVX2, B AVX512."
    assert (caveat.level, words in caveat.text) == ("note", True)
    assert "different kernels" in microexpr("compare", a, b).out
    assert "different kernels" in json.dumps(json.loads(microexpr("compare", a, b, "--json").out)["caveats"])
    assert not compare_all([a, c], **QUICK).caveats
    # An older result does not say its kernel, which is no difference.
    assert not compare_all([places[1], a], **QUICK).caveats
    older = compare_all([a, places[1], b], **QUICK)
    assert any("A openblas Haswell, B not known, C openblas SkylakeX" in caveat.text for caveat in older.caveats)


def test_the_kernels_are_those_that_trained_the_folds(tmp_path):
    """A folder may be finished on another machine than the one that began it."""
    zen = {"environment": {"torch": "2.9", "numpy BLAS": "openblas Zen"}}
    out, other = (
        store(tmp_path / name, GUESSES[name], metadata=zen, seed=seed, folds=2) for seed, name in enumerate("ab")
    )
    (folder,) = (out / "results").iterdir()
    results = Results(folder.parent, folder.name)
    before_kernels_were_recorded = {"torch": "2.9"}
    haswell = {"torch": "2.9", "numpy BLAS": "openblas Haswell"}
    for fold, environment in zip(list(results.folds()), (before_kernels_were_recorded, haswell), strict=True):
        results.write(FoldResult(fold.name, fold.views, fold.history, {"repeat": 1, "environment": environment}))
    found = compare_all([out, other], **QUICK)
    assert [(row.name, row.values) for row in surroundings(found.stored)] == [
        ("numpy BLAS", ("openblas Haswell", "openblas Zen"))
    ]


def test_same_results_same_numbers(places, summary):
    again = summarise_comparison(compare_all(places, **QUICK), "")
    varying = {"created": "", "command": ""}
    assert again.model_copy(update=varying) == summary.model_copy(update=varying)


# --- the page ---------------------------------------------------------------------------------------------------------
def test_the_page_says_what_is_compared_and_what_came_out(summary, written):
    source = written.html.read_text("utf-8")
    page = Page(source)
    assert not page.open
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = [str(attrs["href"])[1:] for _, attrs in page.tags if str(attrs.get("href", "")).startswith("#")]
    assert set(used) | set(re.findall(r"url\(#([^)]+)\)", source)) <= set(ids)
    assert not {"link", "iframe", "img"} & {tag for tag, _ in page.tags}
    for words in (
        "3 experiments were tested on the same 60 clips of 12 subjects (manifest)",
        "A − B (pca_svm, epochs 12)",
        ", and these two trained models differ significantly (p ",
        "these two trained networks do not differ significantly (p = ",
        ", which does not show that there is no difference",
        "Hold-out with one seed: every test clip is predicted by the same trained networks",
        "p-values are corrected for all of these comparisons",
        "without any one subject, the difference is between",
        "Clips on which another result differs from A",
        "not evidence of a lie",
        "microexpr compare a b c --out out",
    ):
        assert words in page.text, words
    names = {path.stem for path in written.tables}
    assert all(name.startswith("comparison_") for name in names)  # a study's report may lie beside it
    assert {path.stem for path in written.figures} == {
        "comparison_differences",
        "comparison_influence",
    }


def test_tables_hold_the_summarys_numbers(summary, written):
    differences = rows_of(written, "comparison_differences")
    for row, one in zip(differences, summary.comparisons, strict=True):
        for key in ("difference", "ci_low", "ci_high", "p_value", "p_holm", "mcnemar_p", "detectable"):
            assert float(row[key]) == getattr(one.paired, key), key
    clips = {row["clip"]: row for row in rows_of(written, "comparison_clips")}
    assert len(clips) == len(summary.changed)
    for row in summary.changed:
        mine = clips[row.clip]
        assert [mine[letter] for letter in "ABC"] == row.predicted
        assert mine["right"].split(", ") == [x for x, y in zip("ABC", row.predicted, strict=True) if y == row.truth]
    *by_class, total = rows_of(written, "comparison_classes")
    assert [int(total[letter]) for letter in "ABC"] == [int((GUESSES[name] == TRUTH).sum()) for name in "abc"]
    for at, row in enumerate(by_class):
        here = at == TRUTH
        assert (row["class"], int(row["n"])) == (CLASSES[at], here.sum())
        assert int(row["B"]) == (here & (GUESSES["b"] == TRUTH)).sum()
    left = rows_of(written, "comparison_influence")
    assert len(left) == 2 * SUBJECTS


def test_two_results_with_all_that_must_be_read_first(places, tmp_path):
    about = {"data": {"synthetic": "drawn"}, "fingerprint": "0" * 16}
    first = store(tmp_path / "first", GUESSES["a"], shuffled=1)
    other = store(tmp_path / "other", GUESSES["b"], metadata=about, protocol="clip_kfold", shuffled=1)
    with refuses("E816", "was trained on shuffled labels"):
        compare_all([places[0], other], **QUICK)
    found = compare_all([first, other], unit="clip", metric="accuracy", out=tmp_path / "out", **QUICK)
    page = Page((tmp_path / "out" / "comparison.html").read_text("utf-8"))
    for words in (
        "B were generated, not recorded: drawn.",
        "B was trained on shuffled labels",
        "Trained under different protocols",
        "Resampling and swapping are by clip",
        "are for different copies of the data",
        "Clips that only one result classifies correctly",
    ):
        assert words in page.text, words
    assert re.search(rf"\b{found.comparisons[0].only_a} clips? (is|are) correct in A only", page.text)
    kept = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert kept["comparisons"][0]["paired"]["difference"] == found.comparisons[0].difference
    assert kept["unit"] == "clip"


def test_a_copy_does_not_differ(places, tmp_path):
    copy = Path(shutil.copytree(places[0], tmp_path / "copy"))
    found = compare_all([places[0], copy], out=tmp_path / "out", **QUICK)
    assert (found.comparisons[0].difference, found.comparisons[0].significant) == (0, False)
    text = Page((tmp_path / "out" / "comparison.html").read_text("utf-8")).text
    assert "A and B are the same experiment" in text
    assert "same class for every clip" in text
    assert not (tmp_path / "out" / "tables" / "comparison_clips.csv").exists()


def test_tables_and_figures_of_an_earlier_comparison_do_not_stay(summary, tmp_path):
    write_comparison(summary, tmp_path)
    (tmp_path / "tables" / "paired.csv").write_text("of a study")
    less = summary.model_copy(update={"changed": [], "influence": []})
    write_comparison(less, tmp_path)
    assert not list(tmp_path.rglob("comparison_clips.*"))
    assert not list(tmp_path.rglob("comparison_influence.*"))
    assert (tmp_path / "tables" / "paired.csv").exists()


# --- the command ------------------------------------------------------------------------------------------------------
def test_the_command_compares_several_with_the_first(places, tmp_path):
    answer = microexpr("compare", *places, "--out", tmp_path)
    assert (answer.code, answer.err) == (0, "")
    assert "A: m1(size=32) x af x small_cnn under loso" in answer.out
    assert "These two trained models differ significantly: A - B.\n" in answer.out, "one fold, and B is no network"
    assert answer.out.splitlines()[-1] == f"page: {tmp_path / 'comparison.html'}"
    stated = json.loads(microexpr("compare", *places, "--json", "--metric", "uar").out)
    assert [one["family"] for one in stated] == [2, 2]
    assert stated[0]["metric"] == "uar"
    assert {"clip", "subject", "truth", "a", "b"} == set(stated[0]["changed"][0])


@pytest.mark.parametrize("folds", [1, 4])
def test_of_a_hold_out_two_trained_networks_are_spoken_of_and_never_methods(tmp_path, folds):
    """The same predictions, of one split and of four folds: what differs is what may be concluded from them."""
    a = store(tmp_path / "a", GUESSES["a"], folds=folds)
    b = store(tmp_path / "b", GUESSES["b"], folds=folds, **{"training.epochs": 3})
    c = store(tmp_path / "c", GUESSES["c"], folds=folds, **{"training.epochs": 4})
    for others, stated in (([b], True), ([c], False), ([b, c], True)):
        shown = " ".join(microexpr("compare", a, *others, "--out", tmp_path / "out").out.split())
        text = Page((tmp_path / "out" / "comparison.html").read_text("utf-8")).text
        both = (shown, text)
        if folds == 1:
            words = (
                "these two trained networks differ significantly"
                if stated
                else "these two trained networks do not differ"
            )
            assert all(words in each.lower() for each in both)
            assert all("says nothing about the methods that trained them" in each for each in both)
            assert not any(re.search("the difference is (not )?significant", each) for each in both)
        else:
            words = "the difference is significant" if stated else "the difference is not significant"
            assert all(words in each.lower() for each in both)
            assert not any("these two trained networks" in each for each in both)
    assert ("these two trained networks differ" in str(compare_results(a, b, **QUICK))) == (folds == 1)


def test_two_are_told_as_before(places):
    answer = microexpr("compare", *places[:2])
    assert answer.code == 0
    assert "A minus B: +" in answer.out
    assert "Holm" not in answer.out
    assert json.loads(microexpr("compare", *places[:2], "--json").out)["p_holm"] is None


def test_what_cannot_be_compared_is_a_sentence(places, tmp_path):
    a = places[0]
    fewer = store(tmp_path / "fewer", GUESSES["b"], order=np.arange(N - 4), seed=2)
    names = ("negative", "positive", "happy")
    other = store(tmp_path / "other", GUESSES["b"], classes=names, seed=3)
    alone = [
        store(tmp_path / f"alone{seed}", guess(0.5, seed), subjects=np.full(N, "own/s00"), seed=seed) for seed in (4, 5)
    ]
    one_class = np.zeros(N, int)
    same = [store(tmp_path / f"same{seed}", guess(0.5, seed), truth=one_class, seed=seed) for seed in (4, 5)]
    (tmp_path / "empty").mkdir()
    (key,) = (a / "results").iterdir()
    for results, kind, code, words in (
        ([a, fewer], ConfigError, "E815", "4 only in m1"),
        ([a, other], ConfigError, "E814", "labels"),
        (alone, ConfigError, "E803", "own/s00"),
        (same, ConfigError, "E804", "number 0"),
        ([a, tmp_path / "empty"], StoreError, "E601", "empty holds no results"),
        ([a, tmp_path / "nowhere"], StoreError, "E601", "nowhere holds no results"),
        ([a, places[1], a], UsageError, "E819", "twice"),
        ([a, key], UsageError, "E819", "twice"),
        ([a], UsageError, "E819", "2 to 26 results to compare, not 1"),
    ):
        with refuses(code, words, kind=kind):
            compare_all(results, out=tmp_path / "out", **QUICK)
        answer = microexpr("compare", *results, "--out", tmp_path / "out")
        assert (answer.code, answer.out) == (kind.exit_code, "")
        assert code in answer.err
        assert words in answer.err
        assert "Traceback" not in answer.err
    with refuses("E818", "expected_calibration_error", kind=ConfigError):
        compare_all(places, metric="expected_calibration_error")
    assert not (tmp_path / "out").exists()


def test_of_several_repeats_the_first_is_compared_and_said(places, tmp_path):
    out = Path(shutil.copytree(places[1], tmp_path / "out"))
    (folder,) = (out / "results").iterdir()
    results = Results(folder.parent, folder.name)
    (fold,) = results.folds()
    results.write(FoldResult("again", fold.views, fold.history, {"repeat": 2}))
    found = compare_all([places[0], out], **QUICK)
    assert found.comparisons[0].n_clips == N
    lines = [caveat.line for caveat in summarise_comparison(found).caveats]
    assert any("B has 2 repeats" in line for line in lines)
