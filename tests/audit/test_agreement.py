"""Two codings of the same videos: measures against published examples, brute force and other libraries."""

from __future__ import annotations

import doctest
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from microexpr import audit_agreement
from microexpr.audit.agreement import measures
from microexpr.audit.agreement.measures import Kappa, intraclass, matched, overlap, spotting_scores
from microexpr.core.errors import ConfigError, DataError
from refusal import refuses
from shell import microexpr

HEADER = "video,onset,apex,offset,label,action_units,subject\n"
A = HEADER + (
    "v1,10,15,22,happiness,6+12,p1\n"
    "v1,60,66,80,disgust,4,p1\n"
    "v2,5,9,14,surprise,1+2,p2\n"
    "v3,7,12,18,disgust,4+L7,p3\n"
    "v4,,,,,,p4\n"
    "v5,3,6,9,happiness,12,p5\n"
)
B = HEADER + (
    "v1,11,15,23,happiness,12,p1\n"
    "v1,70,76,99,others,4+9,p1\n"
    "v2,5,10,14,surprise,1+2,p2\n"
    "V03,7,12,19,disgust,4,p3\n"
    "v4,3,6,9,happiness,12,p4\n"
    "v6,3,6,9,happiness,12,p5\n"
)


MANY = pytest.mark.parametrize("cases", [400, pytest.param(2_000, marks=pytest.mark.slow)])


@pytest.fixture
def codings(tmp_path):
    files = tmp_path / "a.csv", tmp_path / "b.csv"
    for file, text in zip(files, (A, B), strict=True):
        file.write_text(text, "utf-8")
    return files


def written(tmp_path, text, name="c.csv"):
    file = tmp_path / name
    file.write_text(text, "utf-8")
    return file


def test_two_codings_counted_by_hand(codings):
    found = audit_agreement(*codings, resamples=200)
    assert (found["videos"], found["events"], found["paired"]) == (4, [4, 5], 4)
    assert (found["only_first"], found["only_second"]) == (["v5"], ["v6"])
    assert any("Videos only in a.csv (1), left out: v5" in note for note in found["notes"])
    assert any("Expressions without a counterpart: 0 of a.csv, 1 of b.csv" in note for note in found["notes"])
    spotting = found["spotting"]
    # v1 overlaps by 12 of 14 frames and by 11 of 40; v2 whole; v3 12 of 13; v4 was found by one alone.
    assert (spotting["tp"], spotting["fp"], spotting["fn"]) == (3, 2, 1)
    assert spotting["mean_iou"] == pytest.approx((12 / 14 + 1 + 12 / 13) / 3)
    labels = found["labels"]
    assert (labels["pairs"], labels["agreed"]) == (4, 3)
    assert labels["kappa"] == pytest.approx(cohen_kappa_score(["h", "d", "s", "d"], ["h", "o", "s", "d"]))
    assert labels["unit"] == "subject"
    onset = found["times"]["onset"]
    assert (onset["mean_difference"], onset["mean_absolute_difference"], onset["same"]) == (2.75, 2.75, 2)
    units = found["action_units"]
    assert units["ratio"] == pytest.approx(2 * 5 / (7 + 6))
    assert units["by_unit"]["4"] == {**units["by_unit"]["4"], "first": 2, "second": 2, "both": 2, "kappa": 1.0}
    assert units["by_unit"]["7"]["kappa"] == 0
    assert "one coding uses only one class" in units["by_unit"]["7"]["sentence"]


def test_an_action_descriptor_is_no_action_unit(tmp_path):
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file, units in zip(files, ("4+AD38", "4+38"), strict=True):
        file.write_text(f"{HEADER}v1,1,2,3,h,{units},p\nv2,1,2,3,d,4,p\n", "utf-8")
    found = audit_agreement(*files, resamples=200)["action_units"]["by_unit"]
    assert (found["38"]["first"], found["38"]["second"]) == (0, 1)


def test_videos_that_one_coding_lacks_can_count_as_nothing_found(codings):
    found = audit_agreement(*codings, all_videos=True, resamples=200)
    assert (found["spotting"]["tp"], found["spotting"]["fp"], found["spotting"]["fn"]) == (3, 3, 2)
    assert any("counted as if the other coding had found nothing: v6" in note for note in found["notes"])


def test_a_coding_agrees_with_itself(codings):
    found = audit_agreement(codings[0], codings[0], resamples=200)
    assert found["labels"]["kappa"] == 1
    assert found["spotting"]["f1"] == found["spotting"]["mean_iou"] == 1
    assert found["times"]["apex"]["icc_2_1"] == {"value": 1, "low": 1, "high": 1}
    assert all(unit["kappa"] == 1 for unit in found["action_units"]["by_unit"].values())
    assert found["notes"] == []


# --- intraclass correlation -------------------------------------------------------------------------------------------
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def test_intraclass_correlations_are_those_of_shrout_and_fleiss():
    """Shrout & Fleiss (1979), tables 2 and 4: ICC(2,1) = .29, .71; intervals as R's psych::ICC gives them."""
    two, three = intraclass(SHROUT)
    assert (two.value, three.value) == pytest.approx((0.29, 0.71), abs=0.005)
    assert (two.low, two.high) == pytest.approx((0.019, 0.76), abs=0.005)
    assert (three.low, three.high) == pytest.approx((0.34, 0.95), abs=0.005)


@MANY
def test_intraclass_correlations_follow_from_an_analysis_of_variance(cases):
    """Random tables in one long frame: sums of squares by pandas, intervals of ICC(3,1) by scipy."""
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(cases):
        n, num_classes = int(rng.integers(4, 12)), int(rng.integers(2, 5))
        tables.append(rng.normal(size=(n, 1)) * 3 + rng.normal(size=(n, num_classes)) + rng.normal(size=num_classes))
    long = pd.concat(
        [pd.DataFrame(table).melt(ignore_index=False).reset_index() for table in tables], keys=range(cases)
    )
    long = long.set_axis(["target", "rater", "rating"], axis=1).rename_axis(["case", None]).reset_index("case")
    mean, by_target, by_rater = (
        long.groupby(keys)["rating"].transform("mean") for keys in (["case"], ["case", "target"], ["case", "rater"])
    )
    squares = pd.DataFrame(
        {
            "target": (by_target - mean) ** 2,
            "rater": (by_rater - mean) ** 2,
            "rest": (long["rating"] - by_target - by_rater + mean) ** 2,
        }
    )
    squares = squares.groupby(long["case"]).sum()
    n, num_classes = (long.groupby("case")[name].nunique() for name in ("target", "rater"))
    msr, msc, mse = (
        squares["target"] / (n - 1),
        squares["rater"] / (num_classes - 1),
        squares["rest"] / ((n - 1) * (num_classes - 1)),
    )
    absolute = (msr - mse) / (msr + (num_classes - 1) * mse + num_classes * (msc - mse) / n)
    consistent = (msr - mse) / (msr + (num_classes - 1) * mse)
    low = msr / mse / stats.f.ppf(0.975, n - 1, (n - 1) * (num_classes - 1))
    high = msr / mse * stats.f.ppf(0.975, (n - 1) * (num_classes - 1), n - 1)
    found = [intraclass(table) for table in tables]
    assert [two.value for two, _ in found] == pytest.approx(absolute.tolist())
    assert [three.value for _, three in found] == pytest.approx(consistent.tolist())
    assert [three.low for _, three in found] == pytest.approx(((low - 1) / (low + num_classes - 1)).tolist())
    assert [three.high for _, three in found] == pytest.approx(((high - 1) / (high + num_classes - 1)).tolist())
    assert all(two.low < two.value < two.high for two, _ in found)


def test_a_constant_shift_is_consistent_and_not_absolute():
    ratings = np.array([[1.0, 6.0], [4.0, 9.0], [9.0, 14.0], [11.0, 16.0]])
    two, three = intraclass(ratings)
    assert three.value == 1
    assert two.value < 0.7
    assert two.low <= two.value <= two.high


def test_intervals_of_intraclass_correlations_cover():
    """Ratings with a known ICC(3,1) of 0.8: about 95 % of 400 intervals hold it."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(400):
        ratings = rng.normal(size=(30, 1)) * 2 + rng.normal(size=(30, 2)) + [0.0, 1.0]
        _, three = intraclass(ratings)
        held += three.low <= 0.8 <= three.high
    assert 0.92 < held / 400 < 0.98


def test_no_correlation_without_two_expressions_that_differ():
    assert intraclass(np.array([[1.0, 2.0]])) is None
    assert intraclass(np.ones((4, 2))) is None
    assert intraclass(np.array([[1.0, 2.0], [1.0, 2.0]])) is None
    assert intraclass(np.array([[0.0, 1.0], [1.0, 0.0]])) is None


def test_random_ratings_of_any_kind_give_finite_values():
    rng = np.random.default_rng(2)
    for _ in range(300):
        ratings = rng.integers(0, 4, size=(int(rng.integers(2, 6)), 2)).astype(float)
        found = intraclass(ratings)
        assert found is None or all(np.isfinite(icc.value) and icc.value <= 1 + 1e-9 for icc in found)


def test_examples_in_the_text_are_true():
    assert doctest.testmod(measures).failed == 0


# --- overlap and spotting ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("tp", "fp", "fn", "f1"),
    [(18, 327, 39, 0.0896), (91, 348, 209, 0.2463), (41, 323, 118, 0.1568), (60, 231, 273, 0.1923)],
)
def test_f1_of_spotting_as_softnet_counts_it(tp, fp, fn, f1):
    """The authors' code (genbing99/SoftNet-SpotME) states these counts for pre-trained weights."""
    scores = spotting_scores(tp, fp, fn)
    assert scores["f1"] == pytest.approx(f1, abs=5e-5)
    assert scores["precision"] == tp / (tp + fp)
    assert scores["recall"] == tp / (tp + fn)


def test_nothing_spotted_has_no_score():
    assert spotting_scores(0, 0, 0) == {"precision": None, "recall": None, "f1": None}
    assert spotting_scores(0, 0, 3) == {"precision": None, "recall": 0.0, "f1": 0.0}


def test_overlap_counts_frames_as_sets_do():
    rng = np.random.default_rng(0)
    first, second = (np.sort(rng.integers(0, 30, size=(20, 2)), axis=1).astype(float) for _ in range(2))
    found = overlap(first, second, frames=True)
    for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second)):
        one, other = (set(range(int(x[0]), int(x[1]) + 1)) for x in (a, b))
        assert found[i, j] == pytest.approx(len(one & other) / len(one | other))
    assert overlap(np.array([[0.0, 1.0]]), np.array([[0.5, 1.5]]), frames=False)[0, 0] == pytest.approx(1 / 3)


@MANY
def test_matching_finds_as_many_pairs_as_there_can_be(cases):
    rng = np.random.default_rng(0)
    for _ in range(cases):
        iou = rng.random((int(rng.integers(1, 5)), int(rng.integers(1, 5))))
        found = matched(iou, 0.5)
        assert len({r for r, _ in found}) == len({p for _, p in found}) == len(found)
        assert all(iou[pair] >= 0.5 for pair in found)
        short, long = sorted(iou.shape)
        wide = iou if iou.shape[0] == short else iou.T
        best = max(
            sum(wide[at, place] >= 0.5 for at, place in enumerate(way))
            for way in itertools.permutations(range(long), short)
        )
        assert len(found) == best


def test_durations_are_compared_and_not_only_places(tmp_path):
    """Onsets far apart correlate whatever the coders do; durations drawn apart do not."""
    rng = np.random.default_rng(0)
    onset = np.arange(40) * 100
    for name in "ab":
        lines = [f"v{at},{at},{at + rng.integers(8, 30)}\n" for at in onset]
        written(tmp_path, "video,onset,offset\n" + "".join(lines), f"{name}.csv")
    times = audit_agreement(tmp_path / "a.csv", tmp_path / "b.csv")["times"]
    assert list(times) == ["onset", "offset", "duration"]
    assert times["offset"]["icc_2_1"]["value"] > 0.99
    assert times["duration"]["icc_2_1"]["low"] < 0 < times["duration"]["icc_2_1"]["high"]
    lengths = [
        [
            int(line.split(",")[2]) - int(line.split(",")[1])
            for line in (tmp_path / f"{name}.csv").read_text().split()[1:]
        ]
        for name in "ab"
    ]
    assert times["duration"]["mean_difference"] == pytest.approx(np.mean(lengths[1]) - np.mean(lengths[0]))


def test_an_expression_may_match_once(tmp_path):
    a = written(tmp_path, "video,onset,offset\nv,10,20\n", "a.csv")
    b = written(tmp_path, "video,onset,offset\nv,10,19\nv,11,20\n", "b.csv")
    spotting = audit_agreement(a, b)["spotting"]
    assert (spotting["tp"], spotting["fp"], spotting["fn"]) == (1, 1, 0)
    assert audit_agreement(a, b, iou=0.95)["spotting"]["tp"] == 0


# --- kappa ------------------------------------------------------------------------------------------------------------
@MANY
def test_kappa_is_scikit_learns(cases):
    rng = np.random.default_rng(0)
    for _ in range(cases):
        num_classes = int(rng.integers(2, 5))
        a, b = rng.integers(num_classes, size=(2, 30))
        confusion = np.zeros((num_classes, num_classes), dtype=int)
        np.add.at(confusion, (a, b), 1)
        assert Kappa().of_confusion(confusion, np.ones(num_classes, dtype=bool)) == pytest.approx(
            cohen_kappa_score(a, b)
        )


def test_the_interval_is_over_videos_where_no_subject_is_told(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.choice(["x", "y", "z"], size=60)
    second = np.where(rng.random(60) < 0.7, first, rng.choice(["x", "y", "z"], size=60))
    files = [
        written(tmp_path, "video,label\n" + "".join(f"v{n},{word}\n" for n, word in enumerate(words)), name)
        for name, words in (("a.csv", first), ("b.csv", second))
    ]
    found = audit_agreement(*files)
    labels = found["labels"]
    assert labels["unit"] == "video"
    assert labels["low"] < labels["kappa"] < labels["high"]
    assert (found["spotting"], found["times"], found["action_units"]) == (None, {}, None)
    assert found == audit_agreement(*files)


def test_one_class_and_one_video_get_a_sentence(tmp_path):
    same = written(tmp_path, "video,label\nv1,x\nv2,x\n", "same.csv")
    assert audit_agreement(same, same)["labels"]["sentence"] == "only one class is used, so there is no kappa"
    one = written(tmp_path, "video,onset,offset,label\nv1,1,5,x\nv1,9,12,y\n", "one.csv")
    labels = audit_agreement(one, one)["labels"]
    assert (labels["kappa"], labels["low"], labels["sentence"]) == (1, None, "no interval: all pairs are of one video")


# --- bad input --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("clip_name,onset\nv,1\n", "E930", "has no column 'video'"),
        ("video\nv\n", "E930", "'video'; its columns are video"),
        ("video,onset,offset\n,1,2\n", "E930", "line 2: names no video"),
        ("video,onset,apex,offset\nv,1,5,10\nw,1,30,10\n", "E931", "line 3: the apex (30) is outside 1 to 10"),
        ("video,onset,apex\nv,9,3\n", "E931", "line 2: the apex (3) is outside 9 to ?"),
        ("video,onset,offset\nv,9,2\n", "E931", "line 2: the offset (2) is before the onset (9)"),
        ("video,onset,offset\nv,x,2\n", "E931", "line 2: the onset is 'x'"),
        ("video,onset,offset\nv,1,2\nv,1,2\n", "E932", "line 2-3: an expression of v"),
        ("video,onset,offset\n", "E930", "header"),
        ("", "E201", "is empty"),
    ],
)
def test_a_file_that_is_no_coding_is_told(codings, tmp_path, text, code, says):
    file = written(tmp_path, text)
    with refuses(code, file, says, kind=DataError):
        audit_agreement(codings[0], file)
    answer = microexpr("audit", "agreement", codings[0], file)
    assert (answer.code, answer.out) == (1, "")


def test_begin_and_end_are_read_and_said(codings, tmp_path):
    """Several expressions a video, so that only times can pair them."""
    text = A.replace("onset", "Begin").replace("offset", "end_frame")
    other = written(tmp_path, text, "other.csv")
    found, wanted = audit_agreement(codings[0], other, resamples=200), audit_agreement(codings[0], codings[0])
    assert (found["paired"], found["spotting"]) == (5, wanted["spotting"])
    assert found["notes"] == ["other.csv: Begin was read as onset, end_frame was read as offset."]


def test_columns_that_are_not_read_are_named(codings, tmp_path):
    other = written(tmp_path, A.replace("onset", "t0").replace("offset", "t1"), "other.csv")
    found = audit_agreement(codings[0], other, resamples=200)
    assert found["notes"][0].startswith("other.csv: columns ignored: t0, t1 (known: video, onset, apex,")
    assert found["paired"] == 3  # the only expressions of their videos


def test_where_nothing_can_be_paired_the_columns_are_named(codings, tmp_path):
    text = "video,t0,t1,label\nv1,10,22,happiness\nv1,60,80,disgust\n"
    other = written(tmp_path, text, "other.csv")
    answer = microexpr("audit", "agreement", codings[0], other)
    assert (answer.code, answer.out) == (1, "")
    assert "other.csv: has no column onset or offset; its columns are video, t0, t1, label" in answer.err
    assert "name the columns video, onset, apex, offset" in answer.err
    assert "a.csv: has" not in answer.err


def test_codings_that_overlap_nowhere_exit_with_1(codings, tmp_path):
    seconds = written(tmp_path, "video,onset,offset\nv1,0.3,0.7\nv1,2.1,2.6\n", "seconds.csv")
    answer = microexpr("audit", "agreement", codings[0], seconds)
    assert (answer.code, answer.err) == (1, "")
    assert "0 pairs" in answer.out
    assert "Check that both files give times in the same unit" in " ".join(answer.out.split())


def test_other_videos_and_impossible_overlaps_are_told(codings, tmp_path):
    with refuses("E933", "a.csv", "v1, v2, v3 and 2 more against w1", kind=DataError):
        audit_agreement(codings[0], written(tmp_path, "video,onset,offset\nw1,1,5\n"))
    with refuses("E935", "iou = 0", kind=ConfigError):
        audit_agreement(*codings, iou=0.0)


def test_the_command(codings):
    answer = microexpr("audit", "agreement", *codings, "--resamples", 200)
    assert (answer.code, answer.err) == (0, "")
    assert "TP 3, FP 2 (only in b.csv), FN 1: precision 0.600, recall 0.750, F1 0.6667" in answer.out
    assert "Cohen's kappa 0.6667" in answer.out
    assert "intervals: expanded percentile bootstrap, 95%, 200 resamples" in answer.out
    assert "\nduration " in answer.out
    one = written(codings[0].parent, "video,onset,offset\nv1,1,5\n", "one.csv")
    assert "1 video, 1 and 1 expression\n" in microexpr("audit", "agreement", one, one).out
    stated = json.loads(microexpr("audit", "agreement", *codings, "--resamples", 200, "--json").out)
    assert stated == audit_agreement(*codings, resamples=200)
