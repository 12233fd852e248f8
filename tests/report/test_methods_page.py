"""The page of a study of methods, made from summaries built by hand."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from microexpr.evaluation.statistics.methods import Standing
from microexpr.report import write_report
from microexpr.report.blocks.curves import of_methods
from microexpr.report.blocks.leaderboard import findings, not_run
from microexpr.report.page import ReportPaths
from microexpr.report.pages.methods import counting, first, verdict
from microexpr.report.summary import methods
from microexpr.report.view import StudyView
from pages import CLASSES, LOSO, Page, make_summary, read, study

NAMES = ["flow + PCA-SVM", "ViT nano", "STSTNet", "raw pixels + SVM", "majority"]
SCORES = [0.61, 0.52, 0.47, 0.31, 0.11]
REFERENCE = "raw pixels + SVM"


def scores_of(rng: np.random.Generator, score: float) -> dict[str, Any]:
    """Return the scores of one line of a leaderboard."""
    drawn = rng.normal(score, 0.02, 3).tolist()
    means = {"macro_f1": score, "uf1": score - 0.02, "uar": score + 0.01, "accuracy": score + 0.1}
    p = {"p_value": 0.001, "p_holm": 0.005} if score > 0.2 else {"p_value": 0.6, "p_holm": 0.6}
    permuted = {"permutation_mean": 0.14, "permutation_level": 0.2, "permutation_quantile": 0.95,
                "permutations": 1999, **p}  # fmt: skip
    return {
        "score": score, "scores": drawn, "means": means, "low": score - 0.08, "high": score + 0.07, "seconds": 321.0,
        "databases": dict.fromkeys(("casme2", "samm"), means), "permuted": permuted, "seeds": ["0", "1", "2"],
    }  # fmt: skip


def difference(value: float, p: float) -> dict[str, Any]:
    """Return a difference from the reference."""
    return {
        "value": value, "low": value - 0.1, "high": value + 0.1, "level": 0.95, "exact": False, "permutations": 9999,
        "differing": 11, "detectable": 0.12, "p_value": p / 4, "p_holm": p, "family": 4, "significant": p <= 0.05,
    }  # fmt: skip


def leaderboard() -> dict[str, Any]:
    """Return a leaderboard with a reference, a nested selection, a contrast, and a method that could not be run."""
    rng = np.random.default_rng(0)
    rows = []
    for at, (name, score) in enumerate(zip(NAMES, SCORES, strict=True)):
        apart = score - SCORES[3]
        rows.append({
            **scores_of(rng, score), "method": name, "settings": {}, "label": name, "reference": name == REFERENCE,
            "group": {0: "motion", 2: "motion", 3: "appearance"}.get(at), "best": at == 0, "keys": [f"{at:016x}"],
            "confusion": (np.eye(7, dtype=int) * at).tolist(), "estimator": at in (0, 3), "fused": [], "folds": 12,
            "printed": {"value": 0.7, "metric": "uf1", "protocol": "another", "source": "A. Author, 2019", "here": 0.45}
            if at == 2 else None,
            "parameters": 120_000 if at in (1, 2) else None, "ms_a_clip": 3.2, "ms_threads": "1", "problem": None,
            "paired": None if name == REFERENCE else difference(apart, 0.01 if abs(apart) > 0.18 else 0.3),
        })  # fmt: skip
    chosen = [
        {"method": NAMES[0], "groups": 3, "subjects": 9, "inner": 0.6, "outer": 0.61},
        {"method": NAMES[1], "groups": 1, "subjects": 3, "inner": 0.55, "outer": 0.52},
    ]
    result = scores_of(rng, 0.57) | {"paired": difference(0.26, 0.004) | {"p_holm": None}}
    return {
        "metric": "macro_f1", "reference": REFERENCE, "requested_reference": REFERENCE, "level": 0.95, "n": 10000,
        "interval": "expanded percentile bootstrap by subject", "permutations": 1999, "paired_permutations": 9999,
        "power": 0.8, "trained": {"folds": 12, "seeds": 3, "networks": False}, "rows": rows,
        "skipped": [{"method": "VGG flow", "reason": "these data have no precomputed images."}],
        "choice": {"of": NAMES[:2], "left_out": [], "groups": 4, "one_subject_per_fold": True, "keys": [],
                   "inner": 0.59, "chosen": chosen, "result": result},
        "contrast": {"groups": {"motion": [NAMES[0], NAMES[2]], "appearance": [NAMES[3]]}, "left_out": [],
                     "scores": {"motion": 0.54, "appearance": 0.31}, "difference": difference(0.23, 0.02)},
    }  # fmt: skip


def summary_of(**board: object) -> dict[str, Any]:
    """Return the summary of a study of methods, with these parts of its leaderboard replaced."""
    made = make_summary()
    made |= {"name": "table6", "title": "Five methods under one protocol", "published": None, "named_cell": None}
    made["leaderboard"] = leaderboard() | board
    made["protocol"] = LOSO
    made["axes"] = {"method": {"part": "method", "levels": NAMES}}
    for part in ("cells", "curves"):
        rows = [row for row in made[part] if (row["preprocessing"], row["sampling"]) == ("m1", "af")]
        made[part] = [row | {"factors": {"method": name}} for row, name in zip(rows, NAMES, strict=False)]
    for at, cell in enumerate(made["cells"]):
        cell["key"] = f"{at:016x}"
    made["hard_clips"] = [
        {"clip": f"casme2/0{at}/EP1", "subject": f"casme2/0{at}", "truth": "fear", "right": at // 2, "of": 5,
         "among": "methods (first seeds)", "most": "others"} for at in range(4)
    ]  # fmt: skip
    return made


def view_of(**board: object) -> StudyView:
    return StudyView(study(summary_of(**board)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(study(summary_of()), tmp_path_factory.mktemp("methods"))


def rows_of(paths: ReportPaths, name: str) -> list[dict[str, str]]:
    with (paths.html.parent / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- the page ---------------------------------------------------------------------------------------------------------
def test_the_first_screen_has_the_score_that_counts_and_not_the_best_on_the_test_subjects() -> None:
    view = view_of()
    found = first(view)
    assert "macro-F1 0.570 (95 % interval 0.490 to 0.640)" in found.verdict[0]
    assert "recognises expressions better than chance in subjects it was not trained on" in found.verdict[0]
    assert "below 0.200 in 95 % of permutations (p = 0.005, corrected by Holm)" in found.verdict[1]
    assert next(iter(found.numbers)) == "Macro-F1, nested selection"
    assert len(found.numbers) <= 6
    assert not any("0.610" in text for text in (*found.verdict, *found.numbers.values()))
    assert found.limits == view.summary.caveats


def test_the_page_is_whole_and_short(written: ReportPaths) -> None:
    assert written.details
    for file in (written.html, written.details):
        page = Page(file.read_text("utf-8"))
        assert not page.open
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
    assert len(" ".join(Page(written.html.read_text("utf-8")).prose).split()) <= 1200


def test_every_method_leads_to_its_confusion_matrix(written: ReportPaths) -> None:
    assert written.details
    links = re.findall(r'href="details.html#(confusion-[^"]+)"', written.html.read_text("utf-8"))
    anchors = re.findall(r'id="(confusion-[^"]+)"', written.details.read_text("utf-8"))
    assert len(set(links)) == len(NAMES)
    assert set(links) <= set(anchors)


def test_tables_hold_all_digits_and_the_nested_selection_is_last(written: ReportPaths) -> None:
    rows = rows_of(written, "leaderboard")
    assert [row["name"] for row in rows] == [f"{NAMES[0]}*", *NAMES[1:], "nested selection"]
    given = leaderboard()
    assert [float(row["score"]) for row in rows] == [*SCORES, given["choice"]["result"]["score"]]
    assert float(rows[0]["pair_value"]) == given["rows"][0]["paired"]["value"]
    assert (rows[0]["pair_p"], rows[-1]["pair_p"]) == ("0.01", "0.001"), "the nested selection is no family"
    assert {"leaderboard_choice", "leaderboard_databases", "leaderboard_tests", "leaderboard_printed"} <= {
        path.stem for path in written.tables
    }


def test_what_is_said_further_below(written: ReportPaths) -> None:
    text = read(written).text
    for words in (
        "It was selected on the test subjects, so it is optimistically biased.",
        "4 of 5 methods score significantly above permuted labels",
        "majority does not, which does not show that nothing is recognised.",
        "Differences from raw pixels + SVM of 0.120 would be detected with 80 % power.",
        "In the comparison of motion (2 methods, mean macro-F1 0.540) with appearance (1 method",
        "VGG flow: these data have no precomputed images.",
        "casme2/00/EP1",
    ):
        assert words in text, words
    assert "Learning curves of the methods" in text


def test_learning_curves_need_eight_epochs() -> None:
    made = summary_of()
    for curve in made["curves"]:
        for name in ("epoch", "train_score", "val_score"):
            curve[name] = curve[name][:7]
    assert of_methods(StudyView(study(made))) is None


# --- sentences --------------------------------------------------------------------------------------------------------
def test_methods_are_named_by_their_significance() -> None:
    said = verdict(view_of())[-1]
    assert said.startswith("Of the 4 other methods, flow + PCA-SVM and ViT nano are significantly better and majority")
    assert "1 does not differ significantly" in said
    rows = [row | {"paired": row["paired"] and difference(0.01, 0.9)} for row in leaderboard()["rows"]]
    said = verdict(view_of(rows=rows))[-1]
    assert "none differs significantly from raw pixels + SVM, which does not show that they are equal" in said


def test_under_a_hold_out_trained_networks_are_spoken_of() -> None:
    trained = {"folds": 1, "seeds": 1, "networks": True}
    said = " ".join(verdict(view_of(trained=trained)))
    assert "these two trained networks differ significantly" in said
    assert "Of these trained networks, flow + PCA-SVM and ViT nano are" in said
    assert "methods" not in said


def test_without_nested_selection_the_reference_counts() -> None:
    view = view_of(choice=None)
    found = counting(view)
    assert found
    assert (found.score, found.name) == (0.31, "raw pixels + SVM (reference)")
    said = verdict(view)
    assert said[0].startswith("The reference named beforehand, raw pixels + SVM, recognises")
    assert "macro-F1 0.310 (95 % interval " in said[0]
    assert "No method was selected within the training subjects, so the highest of the 5 scores is optimis" in said[2]


def test_without_reference_either_no_score_counts() -> None:
    rows = [row | {"reference": False, "paired": None} for row in leaderboard()["rows"]]
    view = view_of(choice=None, reference=None, requested_reference=None, rows=rows, contrast=None)
    assert counting(view) is None
    assert list(first(view).numbers) == ["Methods", "Seeds of a method", "Clips", "Subjects"]
    said = verdict(view)
    assert said[0].startswith("No score was named beforehand and no method was selected within the training subjects")
    assert "no difference may be claimed" in said[1]


def test_a_prespecified_experiment_that_failed_is_told() -> None:
    made = summary_of(choice=None) | {"named_problem": "no face was found."}
    said = verdict(StudyView(study(made)))
    assert said[0] == "The experiment named beforehand could not be trained: no face was found."


def test_a_prespecified_experiment_counts_before_the_reference() -> None:
    made = summary_of(choice=None)
    made["named_cell"] = make_summary()["named_cell"]
    view = StudyView(study(made))
    assert verdict(view)[0].startswith("The prespecified experiment, ")
    assert next(iter(first(view).numbers)) == "Macro-F1, prespecified"


@pytest.mark.parametrize(
    ("board", "words"),
    [
        ({"reference": None}, "The reference, raw pixels + SVM, could not be run"),
        ({"rows": [row | {"paired": None, "problem": None if row["reference"] else "no seed in common."}
                   for row in leaderboard()["rows"]]},
         "No method could be compared with raw pixels + SVM: no seed in common."),
        ({"problem": "the seeds were not tested on the same clips."}, "The methods were not compared: the seeds"),
        ({"choice": leaderboard()["choice"] | {"result": None, "problem": "only one can be run."}},
         "No method could be selected within the training subjects: only one can be run."),
    ],
)  # fmt: skip
def test_what_could_not_be_compared_is_said(board: dict[str, Any], words: str) -> None:
    assert words in " ".join(verdict(view_of(**board)))


def test_rows_of_several_sizes_are_no_methods() -> None:
    rows = leaderboard()["rows"]
    other = [row | {"label": f"{row['label']} · size 20", "settings": {"size": "20"}, "reference": False,
                    "best": False, "paired": difference(0.01, 0.9)} for row in rows]  # fmt: skip
    made = summary_of(rows=[*rows, *other], choice=None)
    made["axes"]["size"] = {"part": "train_size", "levels": ["10", "20"]}
    view = StudyView(study(made))
    assert first(view).numbers["Combinations of method and size"] == "10"
    said = " ".join([*verdict(view), *findings(view).paragraphs])
    for words in (
        "Of the 9 other combinations of method and size, flow + PCA-SVM",
        "8 of 10 combinations of method and size score significantly",
        "of the 10 combinations of method and size is 0.610",
    ):
        assert words in said, words
    assert "0 methods" not in said


def test_undetectable_differences_are_counted() -> None:
    pairs = [row["paired"] for row in leaderboard()["rows"]]
    blank = [pair and pair | {"p_holm": 0.9, "significant": False, "detectable": 0.12 if at == 0 else None}
             for at, pair in enumerate(pairs)]  # fmt: skip
    rows = [row | {"paired": pair} for row, pair in zip(leaderboard()["rows"], blank, strict=True)]
    assert (
        "of 0.120 would be detected with 80 % power in 1 of 4 comparisons without a significant difference; in the "
        "others, no difference would be."
    ) in " ".join(findings(view_of(rows=rows)).paragraphs)


@pytest.mark.parametrize(("p", "above"), [(0.05, True), (0.1, False)])
def test_above_permuted_labels_means_one_level_whatever_that_of_the_intervals(
    monkeypatch: pytest.MonkeyPatch, p: float, above: bool
) -> None:
    each = Standing(0.4, 0.3, 0.5, SimpleNamespace(mean=0.1, level=0.2, p_value=p / 2, n=1999), p)  # type: ignore[arg-type]
    monkeypatch.setattr(methods, "standings", lambda *given, **settings: [each])
    board: Any = SimpleNamespace(resampling={"level": 0.8}, rng=lambda role: None)
    (found,) = methods._standings(board, None, [], "scores")  # type: ignore[arg-type]
    assert found["permuted"].above_chance == above


def test_methods_that_failed_are_not_blamed_on_the_data() -> None:
    reason = "STSTNet, which it averages, failed to train."
    found = not_run(view_of(skipped=[{"method": "mean", "reason": reason}]))
    assert (list(found.paragraphs), list(found.items)) == (["These methods could not be run."], [f"mean: {reason}"])


def test_absent_values_leave_a_whole_page(tmp_path: Path) -> None:
    """One method without interval, permutation test and reference, and no prediction of a class."""
    bare = {"low": None, "high": None, "permuted": None, "paired": None, "databases": {}, "reference": False,
            "printed": None, "scores": [0.61], "seeds": [""], "group": None}  # fmt: skip
    rows = [leaderboard()["rows"][0] | bare]
    made = summary_of(rows=rows, choice=None, contrast=None, reference=None, requested_reference=None, skipped=[])
    made |= {"cells": made["cells"][:1], "curves": [], "hard_clips": [], "examples": [], "baselines": {}}
    paths = write_report(study(made), tmp_path)
    page = read(paths)
    assert not page.open
    assert "The one method, flow + PCA-SVM, reaches macro-F1 (mean F1 of the classes) 0.610." in page.text
    assert CLASSES[0] in page.text
    assert "nan" not in page.text.lower().split()
