"""The size study: nested training sets, the curves made of them, and where two of them cross."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t

from conftest import recipe
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import metrics
from microexpr.evaluation.statistics._units import units_of
from microexpr.evaluation.statistics.bootstrap import resampled
from microexpr.evaluation.statistics.sizes import last_crossing, size_curves
from microexpr.report.page import ReportPaths
from microexpr.report.summary import StudySummary
from microexpr.report.view import StudyView
from microexpr.runs.plan import Options, Workspace
from pages import read
from refusal import refuses
from shell import microexpr

pytestmark = pytest.mark.usefixtures("no_figures")


def folds(database, tmp_path, **values):
    changed: Mapping[str, object] = values
    plan = Workspace(Options({"manifest": database}, tmp_path)).plan(recipe().with_values(changed))
    return plan, plan.folds


@pytest.mark.parametrize(("what", "numbers"), [("train_clips", (6, 12, 24, 30)), ("train_subjects", (1, 2, 4, 5))])
@pytest.mark.parametrize("selects", [False, True])
def test_larger_trainings_contain_smaller_ones(database, tmp_path, what, numbers, selects):
    chosen = {"training.patience": 2, "validation": 0.15} if selects else {}
    numbers = numbers[:-1] if selects else numbers
    whole, full = folds(database, tmp_path, **chosen)
    before: list[set[int]] = [set() for _ in full]
    for number in numbers:
        plan, cut = folds(database, tmp_path, **chosen, **{what: number})
        subject = plan.table["subject"].to_numpy()
        for at, (fold, uncut) in enumerate(zip(cut, full, strict=True)):
            rows = set(fold.train.tolist())
            size = len(rows) if what == "train_clips" else len(set(subject[fold.train]))
            assert size == number
            assert before[at] < rows <= set(uncut.train.tolist())
            if what == "train_subjects":  # whole subjects
                assert rows == {row for row in uncut.train.tolist() if subject[row] in set(subject[fold.train])}
            assert np.array_equal(fold.test, uncut.test)
            assert (fold.val is None) == (uncut.val is None) == (not selects)
            if selects:
                assert np.array_equal(fold.val, uncut.val)
            before[at] = rows
        assert plan.key != whole.key
    if not selects:
        assert before == [set(fold.train.tolist()) for fold in full]  # the largest number was all of them


def test_folds_draw_each_their_own_and_seeds_differ(database, tmp_path):
    _, first = folds(database, tmp_path, train_clips=12)
    _, again = folds(database, tmp_path, train_clips=12)
    _, other = folds(database, tmp_path, train_clips=12, seed=1)
    assert [fold.train.tolist() for fold in first] == [fold.train.tolist() for fold in again]
    assert [fold.train.tolist() for fold in first] != [fold.train.tolist() for fold in other]
    assert len({tuple(fold.train.tolist()) for fold in first}) == len(first)


@pytest.mark.parametrize(
    ("values", "code", "named"),
    [
        ({"train_clips": 31}, "E464", ["train_clips = 31", " 30 training clips"]),
        ({"train_subjects": 6}, "E464", ["train_subjects = 6", " 5 training subjects"]),
        ({"train_subjects": 5, "training.patience": 2}, "E464", ["train_subjects = 5", "without its validation set"]),
        ({"train_clips": 0}, "E102", ["train_clips"]),
    ],
)
def test_more_than_there_is_cannot_be_trained_on(database, tmp_path, values, code, named):
    with refuses(code, *named, kind=ConfigError):
        folds(database, tmp_path, **values)


# --- curves and crossings ---------------------------------------------------------------------------------------------
X = np.array([10.0, 20.0, 40.0, 80.0])


def curve_cells(levels=("a", "b"), sizes=("80", "40", "20", "10")):
    return [{"colour": level, "train clips": size} for level in levels for size in sizes]


def simulated(chances, subjects=16, clips=15, seed=0, paired=True):
    """Predictions that are right with the chance of their cell, subject by subject harder or easier."""
    rng, n = np.random.default_rng(seed), subjects * clips
    y, who = rng.integers(3, size=n), np.repeat(np.arange(subjects), clips)
    shift, luck = rng.normal(0, 0.05, subjects)[who], rng.random(n)
    drawn = [luck if paired else rng.random(n) for _ in chances]
    guesses = [np.where(own < chance + shift, y, (y + 1) % 3) for own, chance in zip(drawn, chances, strict=True)]
    return y, guesses, who


def curves_of(chances, **options):
    y, guesses, who = simulated(chances, **options)
    sizes = {word: float(word) for word in ("10", "20", "40", "80")}
    return size_curves(
        metrics.build("accuracy", {}),
        y,
        guesses,
        curve_cells(),
        "train clips",
        sizes,
        num_classes=3,
        averaged_classes=np.ones(3, bool),
        subjects=who,
        rng=np.random.default_rng(1),
        n=800,
    )


def test_a_crossing_lies_where_the_lines_meet_over_the_logarithm():
    gaps = np.array(
        [
            [0.3, 0.1, -0.1, -0.3],  # once, halfway between 20 and 40
            [0.1, 0.1, 0.3, -0.1],  # three quarters from 40 to 80
            [-0.1, 0.1, -0.1, 0.1],  # three times: the last counts
            [0.2, 0.0, -0.2, -0.2],  # through a point
            [0.1, 0.2, 0.3, 0.0],  # ends alike, which is no change of sign
            [0.2, 0.1, 0.3, 0.2],
            [0.0, 0.0, 0.0, 0.0],
        ]
    )
    at, before, after = last_crossing(X, gaps)
    half = 2**0.5
    expected = [20 * half, 40 * 2**0.75, 40 * half, 20, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(at, expected, equal_nan=True)
    assert before.tolist() == [1, 1, -1, 1, 1, 1, 0]
    assert after.tolist() == [-1, -1, 1, -1, 1, 1, 0]


def test_curves_hold_the_scores_of_their_cells_and_cross_where_chances_do():
    chances = [0.90, 0.72, 0.54, 0.36, 0.70, 0.66, 0.62, 0.58]  # a rises from below b, crossing halfway from 20 to 40
    curves, (crossing,) = curves_of(chances)
    y, guesses, _ = simulated(chances)
    assert [curve.level for curve in curves] == ["a", "b"]
    assert curves[0].sizes == (10.0, 20.0, 40.0, 80.0)
    assert curves[0].scores == pytest.approx([float((guess == y).mean()) for guess in guesses[3::-1]])
    assert all(
        low < score < high for low, score, high in zip(curves[1].low, curves[1].scores, curves[1].high, strict=True)
    )
    assert (crossing.small, crossing.large) == ("b", "a")
    assert crossing.low < crossing.at < crossing.high
    assert crossing.low < 20 * 2 ** (0.08 / 0.14) < crossing.high
    assert 20 < crossing.at < 40
    assert crossing.share == 1
    assert crossing.sentence("training clips", 10.0, 80.0).startswith(
        f"colour: a and b cross at {crossing.at:.0f} training"
    )


def test_curves_that_do_not_cross_are_told_so():
    _, (crossing,) = curves_of([0.9, 0.85, 0.8, 0.75, 0.5, 0.45, 0.4, 0.35])
    assert (crossing.at, crossing.low, crossing.high, crossing.share) == (None, None, None, 0.0)
    assert crossing.sentence("training clips", 10.0, 80.0) == (
        "colour: a and b do not cross: a scores higher from 10 to 80 training clips (they cross in 0 % of the "
        "resamples)."
    )
    _, (same,) = curves_of([0.9, 0.85, 0.8, 0.75] * 2)
    assert "have the same score" in same.sentence("training clips", 10.0, 80.0)


def test_a_crossing_at_the_edge_is_open_on_that_side():
    # b is ahead but for the largest size, where chance decides which of them is.
    _, (crossing,) = curves_of([0.73, 0.55, 0.45, 0.35, 0.70, 0.65, 0.60, 0.55], paired=False, seed=2)
    assert 40 < crossing.low < crossing.at < 80
    assert crossing.high is None
    assert f"[{crossing.low:.0f}, above 80]: b scores higher" in crossing.sentence("training clips", 10.0, 80.0)
    assert 0.5 < crossing.share < 1


def test_intervals_of_crossings_hold_the_truth():
    """The chances cross at 20 * 2^(4/7) clips; about 95 of 100 intervals hold it."""
    chances, truth, held = [0.90, 0.72, 0.54, 0.36, 0.70, 0.66, 0.62, 0.58], 20 * 2 ** (0.08 / 0.14), 0
    studies = 60
    for seed in range(studies):
        _, (crossing,) = curves_of(chances, seed=seed, paired=False)
        held += (crossing.low or 0) <= truth <= (crossing.high or np.inf)
    assert binomtest(held, studies, 0.95, alternative="less").pvalue > 0.01, held


def test_few_subjects_widen_curves_and_crossings():
    """Six subjects of fifteen clips: five degrees of freedom; plain percentiles of the same resamples lie inside."""
    chances = [0.90, 0.72, 0.54, 0.36, 0.70, 0.66, 0.62, 0.58]
    curves, (crossing,) = curves_of(chances, subjects=6, seed=3)
    y, guesses, who = simulated(chances, subjects=6, seed=3)
    metric = metrics.build("accuracy", {})
    drawn = [metric.of_confusion(m, np.ones(3, bool)) for m in resampled(units_of(y, guesses, 3, who), 800, rng())]
    outwards = t.ppf(0.975, 5) * np.sqrt(6 / 5)
    expanded = norm.cdf([-outwards, outwards])
    a, b = np.concatenate(drawn)[:, 3::-1], np.concatenate(drawn)[:, :3:-1]
    for curve, values in zip(curves, (a, b), strict=True):
        low, high = np.quantile(values, expanded, axis=0)
        assert (curve.low, curve.high) == (pytest.approx(low), pytest.approx(high))
        plain = np.quantile(values, [0.025, 0.975], axis=0)
        assert (low < plain[0]).all()
        assert (plain[1] < high).all()
    at, before, after = last_crossing(X, a - b)
    assert (before < after).all()  # every resample crosses, and the same way round
    assert (crossing.low, crossing.high) == pytest.approx(np.quantile(at, expanded, method="inverted_cdf"))
    low, high = np.quantile(at, [0.025, 0.975], method="inverted_cdf")
    assert crossing.low < low < high <= crossing.high  # at a trained size, where resamples pile up


def rng():
    return np.random.default_rng(1)


def test_one_size_makes_no_curve():
    y, guesses, who = simulated([0.5, 0.6])
    cells = [{"colour": level, "train clips": "10"} for level in "ab"]
    with refuses("E810", 1, kind=ConfigError):
        size_curves(
            metrics.build("accuracy", {}), y, guesses, cells, "train clips", {"10": 10.0}, num_classes=3,
            averaged_classes=np.ones(3, bool), subjects=who, rng=np.random.default_rng(0),
        )  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------------
STUDY = """
name = "sizes"
title = "Sizes"
latency = false
[experiment]
datasets = ["manifest"]
labels = "as_given"
sampling = "af"
model = "pca_svm"
loss = "cross_entropy"
protocol = "loso"
[experiment.bootstrap]
n = 200
[grid]
"preprocessing" = [{ name = "crop", crop = "centre" }, { name = "crop", crop = "none" }]
"preprocessing.size" = [16, 24]
"""


@pytest.fixture(scope="module")
def finished(database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    (folder / "study.toml").write_text(STUDY, "utf-8")
    arguments = ("study", folder / "study.toml", "--data", database, "--train-sizes", "8,30,16", "--workers", "1")
    planned = microexpr(*arguments, "--dry-run", "--json")
    done = microexpr(*arguments, "--out", folder / "out", "-q")
    return planned, done, folder / "out"


def test_the_command_trains_every_cell_at_every_size(finished):
    planned, done, out = finished
    assert (planned.code, done.code) == (0, 0), planned.err + done.err
    rows = json.loads(planned.out)["cells"]
    assert [row["further"] for row in rows[:3]] == [{"train clips": word} for word in ("30", "16", "8")]
    assert len({row["key"] for row in rows}) == len(rows) == 12
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert {(cell["factors"]["train clips"], cell["train_clips"]) for cell in summary["cells"]} == {
        ("30", 30.0), ("16", 16.0), ("8", 8.0),
    }  # fmt: skip
    assert {curve["factor"] for curve in summary["sizes"]["curves"]} == {"preprocessing", "size"}
    for curve in summary["sizes"]["curves"]:
        assert curve["sizes"] == [8.0, 16.0, 30.0]
        level = [cell for cell in summary["cells"] if cell["factors"][curve["factor"]] == curve["level"]]
        for size, score in zip(curve["sizes"], curve["scores"], strict=True):
            there = [cell["macro_f1"] for cell in level if cell["train_clips"] == size]
            assert score == pytest.approx(np.mean(there))
    assert len(summary["sizes"]["crossings"]) == 2
    assert "train clips" in done.out


def test_the_report_draws_the_curves(finished):
    out = finished[2]
    page = read(ReportPaths(out / "report.html", (), (), out / "details.html")).text
    assert {"sizes.svg", "effects.svg", "levels.svg"} <= {file.name for file in (finished[2] / "figures").iterdir()}
    assert {"crossings.csv", "effects.csv"} <= {file.name for file in (finished[2] / "tables").iterdir()}
    assert "Scores by size of the training set" in page
    intervals = "95 % intervals: expanded percentile bootstrap by subject, 2,000 resamples"
    for what in ("effects", "crossings"):
        assert intervals in (finished[2] / "tables" / f"{what}.tex").read_text("utf-8").replace("\\", "")
    assert f"{intervals}." in page
    assert "Larger training sets contain the smaller ones." in page
    summary = StudySummary.read(out / "summary.json")
    with (out / "tables" / "all_cells.csv").open(newline="", encoding="utf-8") as file:
        listed = [row["factor_train clips"] for row in csv.DictReader(file)]
    assert [listed.count(size) for size in ("30", "16", "8")] == [4, 4, 4]
    note = "Only cells with train clips 30; the table of all cells lists the others."
    assert StudyView(summary).default_cells_note == note


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--train-sizes", "8,many"), ["E192: ", "--train-sizes", "'many'"]),
        (("--train-sizes", "0,8"), ["E192: ", "--train-sizes", "'0'"]),
        (("--train-sizes", "8,31"), ["train_clips = 31: fold"]),
        (("--train-subjects", "9"), ["train_subjects = 9: fold"]),
        (("--train-sizes", "8", "--train-subjects", "2"), ["E102: ", "train_clips", "train_subjects"]),
    ],
)
def test_sizes_that_cannot_be(database, tmp_path, words, named):
    (tmp_path / "study.toml").write_text(STUDY, "utf-8")
    answer = microexpr("study", tmp_path / "study.toml", "--data", database, "--dry-run", *words)
    assert answer.code != 0
    assert all(word in answer.err for word in named), answer.err
    assert "Traceback" not in answer.err


def test_subjects_and_all_of_them(database, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY, "utf-8")
    answer = microexpr(
        "study", tmp_path / "study.toml", "--data", database, "--dry-run", "--json", "--train-subjects", "2,all"
    )
    rows = json.loads(answer.out)["cells"]
    assert [row["further"] for row in rows[:2]] == [{"train subjects": "all"}, {"train subjects": "2"}]
