"""The pages of a comparison and of a tuning, made from summaries built by hand."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from microexpr.config.experiment import Experiment
from microexpr.core.errors import ConfigError
from microexpr.evaluation.statistics.bootstrap import bootstrap
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report import write_comparison, write_tuning
from microexpr.report.blocks.differences import Pair, detectable, differing, forest
from microexpr.report.blocks.pairs import sentence
from microexpr.report.page import ReportPaths
from microexpr.report.pages import comparison as page
from microexpr.report.pages import tuning as tuning_page
from microexpr.report.summary import ComparisonSummary, Paired, TuningSummary, cells
from microexpr.report.summary.tuning import _scores
from microexpr.report.view import StudyView
from microexpr.runs.tuning import Tuned
from pages import Page, make_summary, study

CLIPS, SUBJECTS = 60, 12
CLASSES = ["negative", "positive", "surprise"]
FOLDS = {"folds": 12, "seeds": 1, "networks": True}


def paired(difference: float, p: float, **changed: object) -> dict[str, Any]:
    """Return a comparison of two results."""
    made = {
        "a": "A", "b": "B", "metric": "macro_f1", "n_clips": CLIPS, "n_subjects": SUBJECTS, "score_a": 0.6,
        "score_b": 0.6 - difference, "difference": difference, "ci_low": difference - 0.1, "ci_high": difference + 0.1,
        "level": 0.95, "unit": "subject",
        "resamples": 2000, "permutations": 1999, "p_exact": False, "p_value": p, "p_holm": None, "family": 1,
        "significant": p <= 0.05, "differing": 9, "only_a": 8, "only_b": 3, "mcnemar_p": 0.2, "wilcoxon_p": 0.3,
        "detectable": 0.12, "power": 0.8, "changed": [], "notes": ["McNemar's test treats clips as independent."],
        "trained": FOLDS, "interval": "95 % intervals: expanded percentile bootstrap by subject, 2,000 resamples",
        "test": "p: paired permutation test by subject",
    }  # fmt: skip
    return made | changed


def comparison(count: int = 2, **changed: object) -> ComparisonSummary:
    """Return the comparison of so many results."""
    letters = "ABCDEF"[:count]
    titles = ["small_cnn, epochs 12", "pca_svm", "small_cnn, epochs 3", "majority", "hog_svm", "lbp_svm"]
    several = {"family": count - 1} if count > 2 else {}
    pairs = [paired([0.2, 0.03, -0.02, -0.15][at], [0.004, 0.4, 0.7, 0.03][at]) for at in range(count - 1)]
    for pair in pairs:
        pair |= several | ({"p_holm": pair["p_value"]} if several else {})
    results = [
        {"letter": letter, "title": title, "folder": f"out/{letter}", "key": f"{at:016x}", "preprocessing": "m1",
         "sampling": "af", "model": title, "protocol": "loso",
         "scores": {"macro_f1": 0.6 - 0.1 * at, "uar": 0.5, "accuracy": 0.55},
         "bounds": {"macro_f1": (0.5 - 0.1 * at, 0.7 - 0.1 * at)},
         "confusion": [[20 - at, at, 0], [2, 18, 0], [0, 0, 20]]}
        for at, (letter, title) in enumerate(zip(letters, titles, strict=False))
    ]  # fmt: skip
    influence = [
        {"letter": letter, "problem": None, "subjects": [
            {"subject": f"own/s{at:02}", "clips": 5, "score": pair["difference"] + 0.03 * (at - 4) / 3,
             "change": 0.03 * (at - 4) / 3, "lost": ["surprise"] if at == 0 else []} for at in range(SUBJECTS)
        ]}
        for letter, pair in zip(letters[1:], pairs, strict=True)
    ]  # fmt: skip
    shared = make_summary()
    made = {name: shared[name] for name in ("format", "version", "created", "caveats", "metrics", "environment")} | {
        "name": "comparison", "title": f"Comparison of {count} results", "command": "microexpr compare a b --out out",
        "metric": "macro_f1", "unit": "subject",
        "intervals": {"n": 2000, "unit": "subject", "method": "expanded percentile bootstrap", "level": 0.95},
        "data": {"datasets": ["manifest"], "n_clips": CLIPS, "n_subjects": SUBJECTS, "classes": CLASSES},
        "results": results, "settings": [{"name": "model", "values": titles[:count]}],
        "surroundings": [{"name": "torch", "values": ["2.9", *["2.8"] * (count - 1)]}],
        "comparisons": [{"letter": letter, "paired": pair} for letter, pair in zip(letters[1:], pairs, strict=True)],
        "changed": [{"clip": "own/s01/c3", "subject": "own/s01", "truth": "negative",
                     "predicted": ["negative", *["positive"] * (count - 1)]}],
        "influence": influence,
        "checks": [{"code": "ME003", "level": "note", "sentence": "One.", "evidence": "Two.", "fix": "Three."}],
    }  # fmt: skip
    return ComparisonSummary.model_validate(made | changed)


def tuning(**changed: object) -> TuningSummary:
    """Return the tuning of two parameters in two searches."""
    rng = np.random.default_rng(1)
    keys = ("model.dropout", "training.learning_rate")
    trials = [
        {"search": f"group-{group}", "trial": at, "values": {keys[0]: 0.1 * at, keys[1]: 10.0 ** -(at % 4 + 1)},
         "score": None if at == 5 else float(rng.uniform(0.3, 0.5)), "state": "failed" if at == 5 else "finished",
         "seconds": 3.0, "problem": "the loss is not finite" if at == 5 else None, "same_as": None, "best": at == 3,
         "untuned": at == 0}
        for group in (1, 2) for at in range(6)
    ]  # fmt: skip
    searches = [
        {"search": f"group-{group}", "folds": 6, "clips": 30, "subjects": 6, "tested_clips": 30, "tested_subjects": 6,
         "inner": [15, 15], "failed": 1, "stopped": 0, "running": 0, "finished": 5, "seconds": 18.0, "best": 3,
         "values": {keys[0]: 0.1 * group, keys[1]: 0.01}, "inner_score": 0.52, "untuned_inner_score": 0.4,
         "tuned": 0.45, "untuned": 0.41, "key": f"{group:016x}"}
        for group in (1, 2)
    ]  # fmt: skip
    shared = comparison().model_dump()
    scores = {"scores": {"macro_f1": 0.45, "uar": 0.44, "accuracy": 0.5}, "bounds": {"macro_f1": (0.3, 0.6)},
              "confusion": [[10, 5, 5], [5, 10, 5], [5, 5, 10]], "n_test": CLIPS, "n_subjects": SUBJECTS}  # fmt: skip
    names = ("format", "version", "created", "caveats", "metrics", "environment", "metric", "intervals", "data")
    share = {"shares": {keys[0]: 0.3, keys[1]: 0.7}, "problem": ""}
    few = {"shares": None, "problem": "too few trials: 5 are finished, and importance needs at least 10"}
    made = {name: shared[name] for name in names} | {
        "name": "tuned", "title": "small_cnn tuned on manifest", "command": "microexpr tune e.toml --out out",
        "experiment": {"model": "small_cnn", "protocol": "subject_kfold", "seed": "0"}, "trials_requested": 5,
        "inner": 2, "folds": 12, "space_source": "", "storage": "out/tuning.db", "search": "TPE",
        "evaluator": "fANOVA", "space": [{"parameter": keys[0], "values": "0 to 0.5"},
                  {"parameter": keys[1], "values": "1e-05 to 0.1, logarithmic"}],
        "searches": searches, "trials": trials, "importance": share, "importances": [share, few],
        "tuned": scores, "untuned": scores | {"scores": {"macro_f1": 0.41, "uar": 0.4, "accuracy": 0.48}},
        "comparison": paired(0.04, 0.3), "run": {"trained": 24, "reused": 0, "trials_tried": 12, "trials_reused": 0},
    }  # fmt: skip
    return TuningSummary.model_validate(made | changed)


def whole(paths: ReportPaths) -> Page:
    """Return a page after checking that it is complete, and that its identifiers are unique."""
    found = Page(paths.html.read_text("utf-8"))
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert not found.open
    assert len(ids) == len(set(ids))
    assert paths.details is None
    return found


# --- comparison -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [2, 4])
def test_the_page_of_a_comparison(tmp_path: Path, count: int) -> None:
    paths = write_comparison(comparison(count), tmp_path)
    found = whole(paths)
    for words in (
        f"{count} experiments were tested on the same 60 clips of 12 subjects (manifest).",
        "A scores higher than B (pca_svm) in macro-F1 (mean F1 of the classes; +0.200 [0.100, 0.300]), and the "
        "difference is significant",
        "8 clips are correct in A only and 3 in B only; the other 49 of 60",
        "Its sign is the same whichever subject is left out",
        "microexpr compare a b --out out",
        "A micro-expression is a short facial movement, not evidence of a lie",
    ):
        assert words in found.text, words
    names = {path.stem for path in (*paths.tables, *paths.figures)}
    assert all(name.startswith("comparison_") for name in names)
    assert {path.stem for path in paths.figures} == {"comparison_differences", "comparison_influence"}
    with (tmp_path / "tables" / "comparison_differences.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    given = [pair.paired for pair in comparison(count).comparisons]
    assert [float(row["difference"]) for row in rows] == [pair.difference for pair in given]


def test_few_differences_have_a_sentence_each_and_many_one_together() -> None:
    said = page.verdict(comparison(4))
    assert len(said) == 3
    assert said[1].endswith("(p = 0.400, Holm), which does not show that there is no difference.")
    (said,) = page.verdict(comparison(5))
    assert said.startswith(
        "A was compared with 4 other results. After Holm's correction, the difference is significant"
    )
    assert "in 2 of the comparisons (A scores higher than B and lower than E)" in said


def test_of_a_hold_out_two_trained_networks_are_spoken_of() -> None:
    held = {"trained": {"folds": 1, "seeds": 1, "networks": True}}
    for p, words in ((0.01, "these two trained networks differ"), (0.5, "these two trained networks do not differ")):
        pair = {"letter": "B", "paired": paired(0.2, p, **held)}
        (said,) = page.verdict(comparison(comparisons=[pair]))
        assert words in said
        assert "the difference is" not in said


def test_of_several_pairs_in_a_hold_out_the_networks_of_a_pair_are_spoken_of() -> None:
    made = comparison(5)
    held = [
        pair.model_copy(update={"paired": pair.paired.model_copy(update={"trained": Trained(1), "significant": False})})
        for pair in made.comparisons
    ]
    (said,) = page.verdict(made.model_copy(update={"comparisons": held}))
    assert "the two networks of a pair differ significantly in none of the comparisons" in said
    assert differing([pair.paired for pair in held]) == "the two networks of a pair differ significantly"


def test_of_several_preprocessings_in_a_hold_out_the_networks_of_a_pair_are_spoken_of() -> None:
    held = paired(0.1, 0.5, trained={"folds": 1, "seeds": 1, "networks": True})
    places = [{"model": cell["model"], "sampling": cell["sampling"], "factors": {}} for cell in make_summary()["cells"]]
    pairs = [place | {"a": "m1", "b": "m2", "paired": held, "problem": None} for place in places[:9]]
    said = sentence(StudyView(study(make_summary() | {"paired": pairs})))
    assert "the two networks of a pair differ significantly in none of them, which does not show" in said


@pytest.mark.parametrize("significant", [False, True])
def test_filled_markers_are_explained_where_there_are_any(significant: bool) -> None:
    found = Paired.model_validate(paired(0.1, 0.01 if significant else 0.5))
    drawn = forest([Pair("A − B", found)], ("B", "A"), "macro-F1", "differences")
    assert drawn
    assert ("Filled markers: the difference is significant." in drawn.notes) == significant


def test_pairs_in_which_nothing_would_be_detected_are_counted() -> None:
    assert detectable([0.12, None, None, None], 0.8) == (
        "Differences of 0.120 would be detected with 80 % power in 1 of 4 pairs; in the others, no difference would be."
    )
    assert detectable([0.12, 0.12], 0.8) == "Differences of 0.120 would be detected with 80 % power."


def test_a_copy_does_not_differ(tmp_path: Path) -> None:
    same = paired(0.0, 1.0, ci_low=0.0, ci_high=0.0, only_a=0, only_b=0, detectable=None)
    made = comparison(comparisons=[{"letter": "B", "paired": same}], settings=[], surroundings=[], changed=[],
                      influence=[{"letter": "B", "problem": "there is one subject only.", "subjects": []}], checks=[],
                      caveats=[])  # fmt: skip
    text = whole(write_comparison(made, tmp_path)).text
    for words in (
        "A and B (pca_svm) have the same macro-F1 (mean F1 of the classes), and the difference is not significant",
        "The experiments have the same settings, data, libraries and machine.",
        "A − B: there is one subject only.",
        "0 clips are correct in A only and 0 in B only; the other 60 of 60",
    ):
        assert words in text, words
    assert not (tmp_path / "tables" / "comparison_clips.csv").exists()


# --- tuning -----------------------------------------------------------------------------------------------------------
def test_the_page_of_a_tuning(tmp_path: Path) -> None:
    paths = write_tuning(tuning(), tmp_path)
    found = whole(paths)
    for words in (
        "Tuning had no significant effect on macro-F1 (mean F1 of the classes; +0.040 [−0.060, 0.140], p = 0.300).",
        "In 2 searches of at least 5 trials, dropout and learning rate of small_cnn were tuned on 60 clips",
        "No search used a clip that its result is tested on.",
        "it is the best of 5 or more on the clips that selected it",
        "The 12 folds were divided at random into 2 groups",
        "The 2 searches selected dropout from 0.1 to 0.2; learning rate 0.01 in all of them.",
        "70.0 % is due to learning rate",
        "too few trials: 5 are finished",
        "(1) The loss is not finite.",
        "Trials: tried 12, reused 0; folds: trained 24, reused 0",
    ):
        assert words in found.text, words
    names = {path.stem for path in (*paths.tables, *paths.figures)}
    assert all(name.startswith("tuning_") for name in names)
    assert {"tuning_difference", "tuning_history", "tuning_importance", "tuning_parameters"} <= names


@pytest.mark.parametrize(
    ("difference", "p", "folds", "held"),
    [
        (
            0.1,
            0.01,
            "Tuning improved macro-F1 significantly (",
            "differ significantly, and the tuned one has the higher",
        ),
        (-0.1, 0.01, "Tuning lowered macro-F1 significantly (", "differ significantly, and the untuned one has the"),
        (0.1, 0.5, "Tuning had no significant effect on macro-F1 (", "do not differ significantly in macro-F1 ("),
    ],
)
def test_the_verdict_follows_the_test_not_the_sign(difference: float, p: float, folds: str, held: str) -> None:
    found = Paired.model_validate(paired(difference, p))
    said = tuning_page.verdict(tuning().model_copy(update={"comparison": found}))[0]
    assert said.startswith(folds)
    holdout = found.model_copy(update={"trained": Trained(1)})
    said = tuning_page.verdict(tuning().model_copy(update={"comparison": holdout}))[0]
    assert said.startswith("The tuned and the untuned network ")
    assert held in said
    assert not said.startswith("Tuning")


def test_a_tuning_that_could_not_be_compared(tmp_path: Path) -> None:
    made = tuning(comparison=None, problem="all clips are of one subject.", searches=tuning().searches[:1],
                  importances=tuning().importances[:1], trials=[])  # fmt: skip
    text = whole(write_tuning(made, tmp_path)).text
    assert "Tuned and untuned parameters could not be compared: all clips are of one subject." in text
    assert "There is one search only" in text


def test_what_a_tuning_lacks_is_not_claimed(tmp_path: Path) -> None:
    made = tuning(experiment={"seed": "0"})
    bare = made.model_copy(update={"tuned": made.tuned.model_copy(update={"bounds": {}})})
    text = whole(write_tuning(bare, tmp_path)).text
    assert "dropout and learning rate of the model were tuned on 60 clips of 12 subjects (manifest)." in text
    assert "Undefined intervals: tuned." in text
    table = tuning_page.results(bare.model_copy(update={"untuned": bare.tuned}))
    assert table.columns[1].head == "Macro-F1"
    assert "intervals" not in table.method[0]
    assert "None" not in text


def test_intervals_of_a_tuning_fall_back_as_those_of_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*given: Any, **settings: Any) -> object:
        if settings["method"] == "bca":
            raise ConfigError("E806", "there is no BCa interval.")
        return bootstrap(*given, **settings)

    monkeypatch.setattr(cells, "bootstrap", refusing)
    truth = np.arange(12) % 3
    table = pd.DataFrame({"subject": [f"s{at % 4}" for at in range(12)], "fold": "a", "y_true": truth,
                          "y_pred": np.roll(truth, 5)} | {f"p_{at}": 0.3 for at in range(3)})  # fmt: skip
    experiment = Experiment().with_values({"labels": "as_given", "bootstrap.method": "bca", "bootstrap.n": 100})
    found = SimpleNamespace(plan=SimpleNamespace(experiment=experiment, data=SimpleNamespace(
        labels=SimpleNamespace(classes=CLASSES))))  # fmt: skip
    scores, used = _scores(cast(Tuned, found), table)
    assert used == {"expanded"}
    assert experiment.tuning.metric in scores.bounds
    _, used = _scores(cast(Tuned, found), table.assign(subject="s0"))
    assert not used, "one subject has no interval by any method"
