"""Methods set against each other: the nested choice, means over seeds, the contrast of groups, and what is told."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tomli_w
from typer.testing import CliRunner

from conftest import recipe
from microexpr import run_study
from microexpr.cli import app
from microexpr.config.loading import parse
from microexpr.config.study import Study
from microexpr.core.errors import ConfigError
from microexpr.core.interfaces import metrics, protocols
from microexpr.evaluation.statistics.bootstrap import resample_sums
from microexpr.evaluation.statistics.comparison import compare
from microexpr.evaluation.statistics.methods import Clips, contrast, standings
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.nested_choice import choose, chosen_rows
from microexpr.evaluation.statistics.paired import Predictions
from microexpr.evaluation.statistics.paired_permutation import paired_permutation
from microexpr.evaluation.statistics.permutation import permutation_null, permutation_nulls
from microexpr.evaluation.statistics.power import precision
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report import write_report
from microexpr.report.blocks.leaderboard import findings
from microexpr.report.blocks.leaderboard import table as board_table
from microexpr.report.pages.methods import verdict
from microexpr.report.summary.methods import leaderboard
from microexpr.report.view import StudyView
from refusal import refuses

pytestmark = pytest.mark.usefixtures("no_figures")

ACCURACY, UF1 = (metrics.build(name, {}) for name in ("accuracy", "uf1"))


# --- the choice -------------------------------------------------------------------------------------------------------
def judged(right):
    """Return the predictions of one method; `right` says how many of a subject's two clips (classes 0, 1) are right."""
    rows = []
    for pair in itertools.combinations("abcd", 2):
        fold = "-".join(pair)
        for subject in pair:
            for clip in (0, 1):
                hit = clip < right[fold, subject]
                rows.append((f"x/{subject}/{clip}", subject, fold, clip, clip if hit else 1 - clip))
    return pd.DataFrame(rows, columns=["clip", "subject", "fold", "y_true", "y_pred"])


def by_hand():
    keys = [(f"{a}-{b}", p) for a, b in itertools.combinations("abcd", 2) for p in (a, b)]
    steady = judged(dict.fromkeys(keys, 1))  # half of everybody
    # Right on a and b wherever they are tested, wrong on c and d: what a is chosen by, b, c and d, is 2 of 6.
    moody = judged({key: 2 if key[1] in "ab" else 0 for key in keys})
    return {"moody": moody, "steady": steady}


def test_a_choice_that_was_worked_out_by_hand():
    # For a (and b) the others give moody 2 of 6 and steady 3 of 6; for c (and d) moody has a and b right: 4 of 6.
    found = {each.subjects: each for each in choose(ACCURACY, by_hand(), 2)}
    assert {subjects: each.method for subjects, each in found.items()} == {
        ("a",): "steady", ("b",): "steady", ("c",): "moody", ("d",): "moody",
    }  # fmt: skip
    assert found["a",].scores == {"moody": pytest.approx(2 / 6), "steady": pytest.approx(3 / 6)}
    assert found["c",].scores == {"moody": pytest.approx(4 / 6), "steady": pytest.approx(3 / 6)}
    assert found["a",].clips == 6
    # On all clips moody is as good as steady: the choice gives each subject the one that is worse for him.
    tested = {name: table.drop_duplicates("clip") for name, table in by_hand().items()}
    pooled = chosen_rows(tuple(found.values()), tested)
    assert len(pooled) == 8
    assert (pooled["y_true"] == pooled["y_pred"]).groupby(pooled["subject"]).sum().to_dict() == {
        "a": 1, "b": 1, "c": 0, "d": 0,
    }  # fmt: skip


def simulated(rng, subjects=13, groups=4, num_classes=3):
    """Return three methods' predictions under pairs of groups, and the groups."""
    table = pd.DataFrame(
        [
            (f"d/{p:02}/{c}", f"{p:02}", int(rng.integers(num_classes)))
            for p in range(subjects)
            for c in range(rng.integers(1, 5))
        ],
        columns=["key", "subject", "label"],
    )
    table.loc[: num_classes - 1, "label"] = range(num_classes)
    folds = list(protocols.build("group_pairs", {"groups": groups})(table, np.random.default_rng(1)))
    made = {}
    for name in ("one", "two", "three"):
        parts = []
        for fold in folds:
            rows = table.iloc[fold.test]
            guess = np.where(rng.random(len(rows)) < 0.5, rows["label"], rng.integers(num_classes, size=len(rows)))
            parts.append(rows.rename(columns={"key": "clip", "label": "y_true"}).assign(fold=fold.name, y_pred=guess))
        made[name] = pd.concat(parts, ignore_index=True)
    return made


def straight(tables, subject, num_classes):
    """Choose for one subject by the definition, clip by clip."""
    first = next(iter(tables.values()))
    mine = {fold for fold, rows in first.groupby("fold") if subject in set(rows["subject"])}
    group = {
        p for p in first["subject"].unique() if all(p in set(first.loc[first["fold"] == f, "subject"]) for f in mine)
    }
    scores = {}
    for name, table in tables.items():
        rows = table[table["fold"].isin(mine) & ~table["subject"].isin(group)]
        assert rows["clip"].is_unique
        assert set(rows["subject"]) == set(first["subject"]) - group
        y_true = rows["y_true"].to_numpy(int)
        averaged_classes = np.isin(np.arange(num_classes), y_true)
        scores[name] = UF1(y_true, rows["y_pred"].to_numpy(int), np.eye(num_classes)[y_true], averaged_classes)
    return max(scores, key=scores.get), scores, group


@pytest.mark.parametrize("seed", range(5))
def test_every_subject_gets_what_the_others_choose(seed):
    tables = simulated(np.random.default_rng(seed))
    found = choose(UF1, tables, 3)
    assert sorted(subject for each in found for subject in each.subjects) == sorted(tables["one"]["subject"].unique())
    for each in found:
        for subject in each.subjects:
            best, scores, group = straight(tables, subject, 3)
            assert set(each.subjects) == group
            assert each.method == best
            assert dict(each.scores) == pytest.approx(scores)


@pytest.mark.parametrize("seed", range(5))
def test_labels_and_predictions_of_a_subjects_group_have_no_word_in_his_choice(seed):
    rng = np.random.default_rng(seed)
    tables = simulated(rng)
    before = choose(UF1, tables, 3)
    for each in before:
        relabelled = dict(zip(sorted(tables["one"]["clip"].unique()), rng.integers(3, size=1000), strict=False))
        scrambled = {}
        for name, table in tables.items():
            mine = table["subject"].isin(each.subjects)
            scrambled[name] = table.assign(
                y_true=table["y_true"].where(~mine, table["clip"].map(relabelled)),
                y_pred=table["y_pred"].where(~mine, rng.integers(3, size=len(table))),
            )
            assert not scrambled[name].equals(table)
        after = next(found for found in choose(UF1, scrambled, 3) if found.subjects == each.subjects)
        assert after == each


def test_of_equals_the_first_is_chosen():
    tables = by_hand()
    alike = {"later": tables["steady"], "earlier": tables["steady"].sample(frac=1, random_state=0)}
    assert {each.method for each in choose(ACCURACY, alike, 2)} == {"later"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"one": t["moody"]}, "1 method"),
        (lambda t: t | {"steady": t["steady"].iloc[1:]}, "same folds"),
        (lambda t: {name: table[table["fold"].isin(["a-b", "c-d"])] for name, table in t.items()}, None),
        (lambda t: {name: table.assign(fold=table["fold"].str[0]) for name, table in t.items()}, "more than once"),
        (
            lambda t: {name: table.assign(fold=table["subject"]) for name, table in t.items()},
            "never",
        ),
    ],
)
def test_folds_that_no_choice_can_rest_on_are_refused(change, message):
    if message is None:  # two folds: the partner of a is in a's group, and nobody is left to judge
        message = "never"
    with refuses("E817", message, kind=ConfigError):
        choose(ACCURACY, change(by_hand()), 2)


# --- statistics -------------------------------------------------------------------------------------------------------
def material(rng, subjects=5, clips=6, num_classes=3, methods=3, seeds=2):
    who = np.repeat(np.arange(subjects), clips).astype(str)
    y_true = rng.integers(num_classes, size=who.size)
    y_true[:num_classes] = range(num_classes)
    made = [
        {
            str(seed): np.where(rng.random(who.size) < 0.5, y_true, rng.integers(num_classes, size=who.size))
            for seed in range(seeds)
        }
        for _ in range(methods)
    ]
    return Clips(UF1, y_true, who, num_classes, np.ones(num_classes, bool)), made


def plain(clips, guess, rows=None):
    rows = np.arange(clips.y_true.size) if rows is None else rows
    truth = clips.y_true[rows]
    return UF1(truth, guess[rows], np.eye(clips.num_classes)[truth], clips.averaged_classes)


def mean_score(clips, method, rows=None):
    return float(np.mean([plain(clips, guess, rows) for guess in method.values()]))


def test_seeds_are_swapped_together_in_all_ways():
    clips, (a, b, _) = material(np.random.default_rng(0))
    found = contrast(clips, [a], [b], rng=np.random.default_rng(0), n=200)
    people, drawn = np.unique(clips.subjects), []
    for flips in itertools.product([False, True], repeat=people.size):
        swap = np.isin(clips.subjects, people[list(flips)])
        drawn.append(
            np.mean([plain(clips, np.where(swap, b[s], a[s])) - plain(clips, np.where(swap, a[s], b[s])) for s in a])
        )
    observed = mean_score(clips, a) - mean_score(clips, b)
    assert found.value == pytest.approx(observed)
    assert found.exact
    assert found.permutations == 16  # a swapping and its mirror image are one
    assert found.p_value == pytest.approx(np.mean(np.abs(drawn) >= abs(observed) - 1e-12))


def test_groups_are_swapped_in_every_pair_of_methods():
    clips, (a, b, c) = material(np.random.default_rng(1), subjects=4)
    found = contrast(clips, [a, b], [c], rng=np.random.default_rng(0), n=200)
    people, drawn = np.unique(clips.subjects), []
    for flips in itertools.product([False, True], repeat=people.size):
        swap = np.isin(clips.subjects, people[list(flips)])
        pairs = [(x[s], c[s]) for x in (a, b) for s in c]
        drawn.append(
            np.mean([plain(clips, np.where(swap, y, x)) - plain(clips, np.where(swap, x, y)) for x, y in pairs])
        )
    observed = (mean_score(clips, a) + mean_score(clips, b)) / 2 - mean_score(clips, c)
    assert found.value == pytest.approx(observed)
    assert found.p_value == pytest.approx(np.mean(np.abs(drawn) >= abs(observed) - 1e-12))


def test_resampled_means_are_those_of_the_subjects_clips():
    clips, methods = material(np.random.default_rng(2))
    rows = [guess for method in methods for guess in method.values()]
    weights = np.array([[0.5, 0.5, 0, 0, 0, 0], [0.5, 0.5, -0.5, -0.5, 0, 0]])
    drawn = resample_sums(
        UF1,
        clips.y_true,
        rows,
        weights,
        num_classes=3,
        averaged_classes=clips.averaged_classes,
        rng=np.random.default_rng(5),
        n=40,
        subjects=clips.subjects,
    )
    counts = np.random.default_rng(5).multinomial(np.array([5]), np.full((1, 5), 0.2), size=(40, 1)).reshape(40, 5)
    for at, times in enumerate(counts):
        picked = np.concatenate(
            [np.flatnonzero(clips.subjects == str(p)) for p, many in enumerate(times) for _ in range(many)]
        )
        first, second = (mean_score(clips, method, picked) for method in methods[:2])
        assert drawn[0].scores[at] == pytest.approx(first)
        assert drawn[1].scores[at] == pytest.approx(first - second)


def test_an_interval_stands_around_the_mean_and_moves_with_nothing_else():
    clips, methods = material(np.random.default_rng(3), subjects=12)
    settings = {"n": 300, "permutations": 99}
    found = standings(clips, methods, rng=np.random.default_rng(0), **settings)
    for each, method in zip(found, methods, strict=True):
        assert each.score == pytest.approx(mean_score(clips, method))
        assert each.low < each.score < each.high
    # Three seeds that are one say what the one says.
    one, three = (dict.fromkeys(names, methods[0]["0"]) for names in ("0", "012"))
    alone, tripled = (standings(clips, [m], rng=np.random.default_rng(0), **settings)[0] for m in (one, three))
    assert tripled.low == pytest.approx(alone.low)
    assert tripled.high == pytest.approx(alone.high)
    assert tripled.permuted.level == pytest.approx(alone.permuted.level)
    pair = [
        contrast(clips, [m], [dict.fromkeys(m, methods[1]["0"])], rng=np.random.default_rng(0), n=300)
        for m in (one, three)
    ]
    assert pair[0].p_value == pair[1].p_value
    assert pair[0].low == pytest.approx(pair[1].low)
    assert pair[0].detectable == pytest.approx(pair[1].detectable)


def test_permuted_means_are_those_of_single_predictions():
    clips, methods = material(np.random.default_rng(4))
    rows = list(methods[0].values())
    given = {"num_classes": 3, "averaged_classes": clips.averaged_classes, "subjects": clips.subjects, "n": 500}
    both = permutation_nulls(UF1, clips.y_true, rows, np.array([[1.0, 0], [0, 1.0], [0.5, 0.5]]),
                             rng=np.random.default_rng(0), **given)  # fmt: skip
    for at in (0, 1):
        alone = permutation_null(UF1, clips.y_true, rows[at], rng=np.random.default_rng(0), **given)
        assert both[at] == alone
    assert both[2].mean == pytest.approx((both[0].mean + both[1].mean) / 2)
    assert both[2].level <= max(both[0].level, both[1].level) + 1e-12  # a mean varies less than each


def test_several_predictions_of_one_row_are_one_prediction():
    clips, (a, b, _) = material(np.random.default_rng(6))
    given = {"num_classes": 3, "averaged_classes": clips.averaged_classes, "subjects": clips.subjects}
    flat, stacked = (a["0"], b["0"]), (a["0"][None], b["0"][None])
    one, other = (
        paired_permutation(UF1, clips.y_true, *y, rng=np.random.default_rng(0), n=9, **given) for y in (flat, stacked)
    )
    assert one == other
    assert precision(UF1, clips.y_true, *flat, **given) == precision(UF1, clips.y_true, *stacked, **given)


def test_methods_without_a_seed_in_common_are_not_paired():
    clips, (a, b, _) = material(np.random.default_rng(0))
    later = {str(2 + int(seed)): guess for seed, guess in b.items()}
    with refuses("E811", "0, 1", "2, 3", kind=ConfigError):
        contrast(clips, [a], [later], rng=np.random.default_rng(0))


def test_a_method_of_one_seed_stands_beside_every_seed_of_the_other():
    clips, (a, b, _) = material(np.random.default_rng(0))
    one = {"7": b["1"]}
    found = contrast(clips, [a], [one], rng=np.random.default_rng(0))
    assert found.value == pytest.approx(mean_score(clips, a) - mean_score(clips, one))
    twice = contrast(clips, [a], [{"0": b["1"], "1": b["1"]}], rng=np.random.default_rng(0))
    assert found == twice


def grouped(rng, subjects=30, clips=6, shared=0.8):
    """Return five methods of two groups that are equally good, whose errors are mostly those of their group."""
    who = np.repeat(np.arange(subjects), clips).astype(str)
    y_true = rng.integers(3, size=who.size)
    skill = 0.55 + 0.25 * rng.standard_normal((2, subjects)).repeat(clips, axis=1)  # what a group makes of a subject
    common = rng.random((2, who.size))
    made = []
    for group in (0, 0, 0, 1, 1):
        luck = np.where(rng.random(who.size) < shared, common[group], rng.random(who.size))
        wrong = (y_true + 1 + (rng.random(who.size) < 0.5)) % 3
        made.append({"": np.where(luck < skill[group], y_true, wrong)})
    return Clips(UF1, y_true, who, 3, np.ones(3, bool)), made


def one_by_one(clips, methods, rng, n=199):
    """Return the p-value of a test that exchanges single methods between the groups, which `contrast` does not do."""
    guesses = np.stack([method[""] for method in methods])
    people = np.unique(clips.subjects, return_inverse=True)[1]

    def differ(table):
        scores = [plain(clips, row) for row in table]
        return np.mean(scores[:3]) - np.mean(scores[3:])

    observed, count = differ(guesses), 0
    for _ in range(n):
        order = rng.permuted(np.tile(np.arange(5), (people.max() + 1, 1)), axis=1)[people]
        count += abs(differ(np.take_along_axis(guesses, order.T, axis=0))) >= abs(observed) - 1e-12
    return (1 + count) / (n + 1)


@pytest.mark.slow
def test_the_contrast_of_groups_errs_as_often_as_it_says_and_exchanging_methods_does_not():
    claims, covered, naive = [], [], []
    for seed in range(400):
        rng = np.random.default_rng([7, seed])
        clips, methods = grouped(rng)
        found = contrast(clips, methods[:3], methods[3:], rng=rng, n=400, permutations=399)
        claims.append(found.significant)
        covered.append(found.low <= 0 <= found.high)
        if seed < 60:
            naive.append(one_by_one(clips, methods, rng) <= 0.05)
    assert 0.02 <= np.mean(claims) <= 0.085  # 0.05 and three standard errors of 400 draws
    assert 0.91 <= np.mean(covered) <= 0.985
    assert np.mean(naive) > 0.2


@pytest.mark.slow
def test_a_mean_over_seeds_is_covered_and_its_comparison_claims_no_more_than_it_says():
    truth = None
    claims, covered = [], []
    for seed in range(401):
        rng = np.random.default_rng([8, seed])
        subjects = 2_000 if truth is None else 40
        clips, methods = grouped(rng, subjects=subjects)
        # Two seeds of one method share most errors; the two methods are equally good.
        first, second = ({"0": methods[at][""], "1": methods[at + 1][""]} for at in (0, 3))
        if truth is None:
            truth = mean_score(clips, first)
            continue
        found = standings(clips, [first], rng=rng, n=400, permutations=9)[0]
        covered.append(found.low <= truth <= found.high)
        claims.append(contrast(clips, [first], [second], rng=rng, n=100, permutations=399).significant)
    assert 0.91 <= np.mean(covered) <= 0.985
    assert 0.02 <= np.mean(claims) <= 0.085


# --- a study ----------------------------------------------------------------------------------------------------------
METHODS = {
    "pca": {"model": "pca_svm"},
    "small": {"model": {"name": "pca_svm", "components": 1}},
    "blind": {"model": "majority"},
    "image": {"model": "pca_svm", "sampling": "image"},
}
BOARD = {
    "reference": "pca",
    "choice": {"of": ["small", "pca"], "groups": 4},
    "contrast": {"linear": ["pca", "small"], "unseeing": ["blind", "image"]},
}


def methods(**content):
    experiment = recipe().with_values({"bootstrap.n": 200}).to_dict()
    base = {"name": "m", "title": "Methods", "latency": False, "experiment": experiment, "methods": METHODS}
    return parse(Study, {**base, "grid": {"seed": [0, 1]}, "leaderboard": BOARD, **content}, "study")


@pytest.fixture(scope="module")
def done(database, tmp_path_factory):
    return run_study(methods(), database, tmp_path_factory.mktemp("board"), workers=1)


def row_of(done, method):
    return next(row for row in done.summary.leaderboard.rows if row.method == method)


def said_of(summary):
    """Return the verdict and the findings of the page, as one text."""
    view = StudyView(summary)
    return " ".join([*verdict(view), *findings(view).paragraphs])


def cells_of(done, method):
    return [cell for cell in done.result.cells if cell.factors["method"] == method]


def test_rows_are_means_over_seeds_the_best_first(done):
    board = done.summary.leaderboard
    scores = [row.score for row in board.rows]
    assert scores == sorted(scores, reverse=True)
    assert [row.best for row in board.rows] == [True, False, False]
    for row in board.rows:
        mine = [cell.result.scores() for cell in cells_of(done, row.method)]
        assert row.scores == [each["uf1"] for each in mine]
        for name in ("uf1", "uar", "accuracy", "macro_f1"):
            assert row.means[name] == pytest.approx(np.mean([each[name] for each in mine]))
        assert row.low <= row.score <= row.high
        metadata = [fold.metadata for fold in cells_of(done, row.method)[0].result.folds]
        assert row.seconds == pytest.approx(sum(fact["seconds"] for fact in metadata))
        assert row.parameters is None
        assert row.ms_a_clip > 0
        assert row.ms_threads == "1", "all of them are estimators"
    assert row_of(done, "pca").reference
    assert row_of(done, "pca").paired is None


def test_the_comparison_with_the_reference_is_the_one_that_compare_makes(done):
    classes = done.result.cells[0].plan.data.labels.classes
    named = [(name, cell.factors["seed"], cell) for name in ("small", "pca") for cell in cells_of(done, name)]
    tables = {(name, seed): Predictions.of(name, cell.result.predictions(), classes) for name, seed, cell in named}
    first = tables["pca", "0"]
    clips = Clips(UF1, first.y_true, first.subjects, 3, np.ones(3, bool))
    small, pca = ({seed: tables[name, seed].y_pred for seed in "01"} for name in ("small", "pca"))
    alone = contrast(clips, [{"0": small["0"]}], [{"0": pca["0"]}], rng=np.random.default_rng(0), n=200)
    other = compare(tables["small", "0"], first, "uf1", rng=np.random.default_rng(0), n=200)
    assert (alone.value, alone.p_value, alone.differing) == (other.difference, other.p_value, other.differing)
    assert (alone.low, alone.high, alone.detectable) == (other.ci_low, other.ci_high, other.detectable)
    both = contrast(clips, [small], [pca], rng=np.random.default_rng(0), n=200)
    found = row_of(done, "small").paired
    assert (found.value, found.p_value, found.detectable) == (both.value, both.p_value, both.detectable)
    family = [row.paired for row in done.summary.leaderboard.rows if row.paired]
    assert {pair.family for pair in family} == {2}
    assert min(pair.p_holm for pair in family) == pytest.approx(2 * min(pair.p_value for pair in family))


def test_the_choice_is_made_by_the_judging_folds_and_pooled(done):
    found = done.summary.leaderboard.choice
    judging = {cell.factors["method"]: cell.result for cell in done.result.judging}
    tables = {
        name: pd.concat([judging[name].of_repeat(at).predictions() for at in judging[name].repeats])
        for name in ("small", "pca")
    }
    right = total = 0
    for subject in sorted(tables["pca"]["subject"].unique()):
        best, _, _ = straight(tables, subject, 3)
        rows = cells_of(done, best)[0].result.predictions()
        rows = rows[rows["subject"] == subject]
        right, total = right + int((rows["y_true"] == rows["y_pred"]).sum()), total + len(rows)
    assert total == 36
    assert found.result.means["accuracy"] == pytest.approx(right / total)
    assert sum(row.subjects for row in found.chosen) == 6
    assert sum(row.groups for row in found.chosen) == 4
    assert found.result.low <= found.result.score <= found.result.high
    assert found.result.paired.p_holm is None
    assert len(found.result.scores) == 2
    # All that the choice rests on is stored: nothing is trained again, and the same comes out.
    assert leaderboard(done.result).choice == found


def choices_of(result):
    rounds = {
        cell.factors["method"]: pd.concat([cell.result.of_repeat(at).predictions() for at in cell.result.repeats])
        for cell in result.judging
    }
    return {each.subjects: each for each in choose(UF1, rounds, 3)}


def test_a_choice_stays_as_it_was_when_all_is_trained_anew_on_other_labels_of_the_group(done, database, tmp_path):
    before = choices_of(done.result)
    group = next(iter(before))
    root = tmp_path / "relabelled"
    shutil.copytree(database, root)
    table = pd.read_csv(root / "manifest.csv")
    mine = [
        f"own/{name}" in group or any(subject.endswith(f"/{name}") for subject in group) for name in table["subject"]
    ]
    assert 0 < sum(mine) < len(table)
    # The subjects of the group show one thing only now: were groups divided by classes, others would be with them.
    labels = table["emotion"].where(~np.array(mine), "surprise")
    assert (labels != table["emotion"]).any()
    table.assign(emotion=labels).to_csv(root / "manifest.csv", index=False)
    alone = methods(grid={}, leaderboard={"choice": BOARD["choice"]}, methods={n: METHODS[n] for n in ("pca", "small")})
    after = choices_of(run_study(alone, root, tmp_path / "out", workers=1).result)
    assert list(after) == list(before)
    assert after[group] == before[group]
    assert after != before  # to the other groups these labels matter


def test_the_contrast_leaves_out_what_could_not_be_run(done):
    found = done.summary.leaderboard.contrast
    assert found.groups == {"linear": ["pca", "small"], "unseeing": ["blind"]}
    assert found.left_out == ["image"]
    means = [np.mean([row_of(done, name).score for name in names]) for names in found.groups.values()]
    assert found.difference.value == pytest.approx(means[0] - means[1])
    assert [*found.scores.values()] == pytest.approx(means)


def test_the_page_tells_the_methods_and_leaves_out_what_makes_no_sense_of_them(done):
    pages = (done.paths.html, done.paths.details)
    page, names = "".join(file.read_text("utf-8") for file in pages), {file.name for file in done.paths.tables}
    for name in ("leaderboard", "leaderboard_choice", "leaderboard_databases", "leaderboard_tests"):
        assert {f"{name}.csv", f"{name}.tex"} <= names
        assert f'id="table-{name}"' in page
    assert 'id="figure-leaderboard"' in page
    for name in ("table3_main_results", "table4_evolution", "table5_per_class", "effects", "paired", "nested"):
        assert f"{name}.csv" not in names
    assert "Table 1.</b> Leaderboard" in page
    assert "so its score is the one to report" in page
    assert "It was selected on the test subjects, so it is optimistically biased." in page
    assert "precomputed images" in page  # why a method was not run
    assert "Method has a significant effect" not in page
    assert done.summary.factors is None


def test_tables_as_files_hold_all_digits(done):
    folder = done.paths.html.parent / "tables"
    table = pd.read_csv(folder / "leaderboard.csv")
    assert list(table["name"])[-1] == "nested selection"
    assert table["score"].iloc[0] == row_of(done, str(table["name"].iloc[0]).rstrip("*")).score
    tex = (folder / "leaderboard.tex").read_text("utf-8")
    assert tex.count("\\midrule") == 2  # the choice stands below a rule
    assert "$-$ pca" in tex


def test_the_command_prints_a_short_leaderboard(done, database, tmp_path, monkeypatch):
    from microexpr.cli import show

    lines = []
    monkeypatch.setattr("typer.echo", lambda text="", **_: lines.append(text))
    show.summary(done.summary, done.paths.html)
    start = next(at for at, line in enumerate(lines) if line.startswith("method "))
    assert "- pca" in lines[start]
    assert lines[start + 4].startswith("nested selection")
    assert any("not run: image" in line for line in lines)


def test_a_dry_run_tells_the_methods_that_are_left_out(database, tmp_path):
    file = tmp_path / "study.toml"
    content = methods().model_dump(mode="json", exclude_none=True)
    content["experiment"] = methods().experiment.to_dict()
    file.write_text(tomli_w.dumps(content))
    ran = CliRunner().invoke(app, ["study", str(file), "--data", str(database), "--dry-run"])
    assert ran.exit_code == 0, ran.output
    assert "method image is excluded" in ran.output


def test_checks_say_that_a_choice_was_made_inside_the_training_subjects(done):
    found = {each.code: each for each in done.summary.checks}
    assert found["ME003"].level == "note"
    assert "3 cells were scored on the same test clips; one of 2 was also chosen within" in found["ME003"].evidence
    assert "ME006" not in found
    assert "ME008" not in found


def test_a_leaderboard_of_a_hold_out_speaks_of_trained_models(database, tmp_path):
    experiment = recipe().with_values({"bootstrap.n": 200, "protocol": "paper_holdout"}).to_dict()
    board = {"reference": "pca", "contrast": BOARD["contrast"]}
    plainly = methods(leaderboard=board, grid={}, experiment=experiment)
    done = run_study(plainly, database, tmp_path, workers=1)
    assert done.summary.leaderboard.trained == Trained(1, networks=False)
    said = said_of(done.summary)
    assert "these trained models" in said
    assert "Hold-out with one seed" in said
    assert "other methods" not in said


def test_without_choice_and_reference_the_page_says_that_nothing_may_be_claimed(database, tmp_path):
    plainly = methods(leaderboard={}, grid={}, methods={name: METHODS[name] for name in ("pca", "blind")})
    done = run_study(plainly, database, tmp_path, workers=1)
    said = said_of(done.summary)
    assert "no method was selected within the training subjects" in said
    assert "The study names no reference" in said
    assert "1 of 2 methods score significantly above permuted labels after Holm's correction. Without it, 1 do" in said
    assert "(0.1 expected by chance); blind does not, which does not show that nothing is recognised." in said
    assert "nothing was recognised" not in said
    found = {each.code: each for each in done.summary.checks}
    assert found["ME003"].level == "warning"
    assert "leaderboard.choice" in found["ME003"].fix
    assert "leaderboard.reference" in found["ME006"].fix
    table = pd.read_csv(tmp_path / "tables" / "leaderboard.csv")
    assert not [name for name in table if name.startswith("pair")]


def test_one_method_alone_has_a_leaderboard_of_one_row(database, tmp_path):
    named = {"set": {"model": "majority"}, "permutations": 99, "shuffled_runs": 0}
    alone = methods(
        leaderboard={"reference": "pca"},
        grid={},
        methods={"pca": METHODS["pca"]},
        named_cell=named,
        baselines=["majority"],
    )
    done = run_study(alone, database, tmp_path, workers=1)
    (row,) = done.summary.leaderboard.rows
    assert (row.method, row.paired, row.seeds) == ("pca", None, [""])
    assert "ME003" not in {each.code for each in done.summary.checks}
    page = done.paths.html.read_text("utf-8")
    assert "The prespecified experiment, " in page
    assert "Majority class" in done.paths.details.read_text("utf-8")


def test_seeds_that_test_other_clips_are_not_compared_and_the_page_says_why(database, tmp_path):
    holdout = methods(leaderboard=BOARD | {"choice": None}, grid={"seed": [0, 1]})
    holdout = holdout.model_copy(update={"experiment": holdout.experiment.with_values({"protocol": "paper_holdout"})})
    done = run_study(holdout, database, tmp_path, workers=1)
    board = done.summary.leaderboard
    assert "not tested on the same clips" in board.problem
    assert board.rows[0].low is None
    page = done.paths.html.read_text("utf-8")
    assert "The methods were not compared" in page
    assert "No intervals or comparisons" in page


def test_further_axes_make_a_row_of_each_setting(database, tmp_path):
    sizes = methods(grid={"preprocessing.size": [32, 24]}, methods={name: METHODS[name] for name in ("pca", "small")},
                    leaderboard={"reference": "pca", "choice": {"of": ["small", "pca"], "groups": 4}})  # fmt: skip
    done = run_study(sizes, database, tmp_path, workers=1)
    rows = {row.label: row for row in done.summary.leaderboard.rows}
    assert set(rows) == {f"{name} · size {size}" for name in ("pca", "small") for size in (32, 24)}
    assert [label for label, row in rows.items() if row.reference] == ["pca · size 32"]
    assert rows["pca · size 24"].paired.family == 3
    assert done.summary.leaderboard.choice.result is not None
    assert {"size"} == {name for effect in done.summary.factors.effects for name in effect.factors}
    assert done.summary.factors.averaged == ["method"]


def test_a_choice_that_could_not_be_made_says_why(done):
    lost = leaderboard(type(done.result)(**{**done.result.__dict__, "judging": done.result.judging[:1]}))
    assert "1 method could be evaluated" in lost.choice.problem
    said = said_of(done.summary.model_copy(update={"leaderboard": lost}))
    assert "No method could be selected within the training subjects: there is nothing to choose from" in said


def test_a_method_that_nothing_pairs_with_the_reference_costs_no_other_its_comparison(done):
    # The cells of blind that have the reference's seeds could not be trained.
    cells = [
        replace(cell, factors={**cell.factors, "seed": f"7{cell.factors['seed']}"})
        if cell.factors["method"] == "blind"
        else cell
        for cell in done.result.cells
    ]
    board = leaderboard(replace(done.result, cells=tuple(cells)))
    rows = {row.method: row for row in board.rows}
    assert board.problem is None
    assert rows["small"].paired.family == 1
    assert rows["blind"].paired is None
    assert "no seed in common" in rows["blind"].problem
    assert rows["blind"].low is not None
    notes = board_table(StudyView(done.summary.model_copy(update={"leaderboard": board}))).notes
    assert any(note.startswith("blind was not compared: ") for note in notes)


def test_the_same_summary_gives_the_same_page(done, tmp_path):
    again = write_report(type(done.summary).model_validate_json(done.summary.model_dump_json()), tmp_path)
    assert again.html.read_bytes() == done.paths.html.read_bytes()


def test_p_values_are_corrected_for_the_family():
    clips, (a, b, c) = material(np.random.default_rng(0))
    made = [contrast(clips, [x], [c], rng=np.random.default_rng(0), n=200) for x in (a, b)]
    small, large = sorted(with_family(made), key=lambda each: each.p_value)
    assert small.p_holm == pytest.approx(min(1, 2 * small.p_value))
    assert large.p_holm == pytest.approx(max(small.p_holm, large.p_value))
