"""The report of a study: what it says first, what it contains, what it survives, and the same bytes twice."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from microexpr.config.published import load_published
from microexpr.core.errors import StoreError
from microexpr.report import write_report
from microexpr.report.glossary import Glossary
from microexpr.report.page import ReportPaths
from microexpr.report.summary import FORMAT, StudySummary
from pages import CLASSES, LOSO, NANO, Page, few_cells, make_summary, png, read, study
from refusal import refuses

WORDS = 1200
"""Largest number of words of report.html outside tables."""


def one_experiment(**parts: Any) -> dict[str, Any]:
    """Return the summary of a single experiment of a study of one's own."""
    summary = make_summary()
    for part in ("named_cell", "published", "nested"):
        summary[part] = None
    summary["cells"] = [
        summary["cells"][0] | {"preprocessing": "as_is", "sampling": "onset_apex", "model": "pca_svm", "factors": {}}
    ]
    summary |= {"curves": [], "latency": [], "choices": [], "examples": [], "axes": {}, "caveats": [], "name": "flow"}
    summary["protocol"] = LOSO
    return summary | {"title": "Flow images", "preprocessing": {}, "sampling": {}, "models": {}} | parts


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(study(make_summary()), tmp_path_factory.mktemp("report"))


def both(written: ReportPaths) -> tuple[Page, Page]:
    assert written.details
    return Page(written.html.read_text("utf-8")), Page(written.details.read_text("utf-8"))


# --- the pages --------------------------------------------------------------------------------------------------------
def test_pages_load_nothing(written: ReportPaths) -> None:
    for page in both(written):
        assert not page.open
        assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
        loads = [str(v) for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "xlink:href", "srcset")]
        assert all(value.startswith(("#", "data:image/png;base64,")) for value in loads)
        folder = written.html.parent
        for link in (str(attrs["href"]) for tag, attrs in page.tags if tag == "a"):
            file = link.partition("#")[0]
            assert not file or (folder / file).is_file(), link
    source = written.html.read_text(encoding="utf-8")
    assert "@import" not in source
    assert set(re.findall(r"url\((.)", source)) <= {"#"}


def test_ids_are_unique_and_links_lead_somewhere(written: ReportPaths) -> None:
    ids = []
    for page in both(written):
        mine = [str(attrs["id"]) for _, attrs in page.tags if "id" in attrs]
        assert len(mine) == len(set(mine))
        ids.append(set(mine))
    for k, page in enumerate(both(written)):
        for _, attrs in page.tags:
            file, _, anchor = str(attrs.get("href") or "").partition("#")
            if anchor:
                assert anchor in ids[{"": k, "details.html": 1, "report.html": 0}[file]], anchor


def test_tables_and_figures_are_numbered_in_the_order_of_the_pages(written: ReportPaths) -> None:
    for kind, count in (("Table", len(list(written.html.parent.glob("tables/*.tex")))),
                        ("Figure", len(written.figures) // 2)):  # fmt: skip
        found = [int(n) for page in both(written) for n in re.findall(rf"{kind} (\d+) ?\. ", page.text)]
        assert found == list(range(1, count + 1))
    for path in written.figures:
        if path.suffix == ".svg":
            ElementTree.fromstring(path.read_bytes())


def test_the_first_screen_has_the_verdict_the_score_that_counts_and_the_limits(written: ReportPaths) -> None:
    text = both(written)[0].text
    verdict = "A small CNN on face crops recognises expressions better than chance in subjects it was not trained on"
    biased = "It was selected on the test clips, so it is optimistically biased"
    order = [
        text.index(words)
        for words in (verdict, "0.412 (95 % interval 0.310 to 0.520)", "Figure 1", "Results Table 1", biased)
    ]
    assert order == sorted(order)
    for caveat in make_summary()["caveats"]:
        assert order[0] < text.index(caveat["line"].partition("M1")[0]) < order[3]
    best = max(cell["score"] for cell in make_summary()["cells"])
    assert f"{best:.3f}" not in text[: order[3]]


def test_the_report_is_short_and_the_details_have_the_rest(written: ReportPaths) -> None:
    page, details = both(written)
    assert len(" ".join(page.prose).split()) <= WORDS
    for words in ("2,613 frames, not 2,061", "not evidence of a lie", "microexpr study demo", "0.4762"):
        assert words in details.text + page.text
    names = {path.stem for path in written.tables}
    assert {"main_results", "all_cells", "losses", "overfitting", "latency", "choices", "environment"} <= names
    drawn = {path.stem for path in written.figures}
    assert {"prespecified", "quality_performance", "phases", "confusion", "curves_score", "cells"} <= drawn


def test_every_row_of_cells_links_to_its_confusion_matrix(written: ReportPaths) -> None:
    details = both(written)[1]
    links = [
        str(a["href"]) for tag, a in details.tags if tag == "a" and "details.html#confusion-" in str(a.get("href"))
    ]
    assert len(links) == 18
    rows = list(csv.DictReader(io.StringIO((written.html.parent / "tables" / "confusion.csv").read_text())))
    assert len(rows) == 19 * len(CLASSES) ** 2
    assert sum(int(row["clips"]) for row in rows) == 19 * 15


def test_abbreviations_are_spelt_out_once_and_explained(written: ReportPaths) -> None:
    text = both(written)[0].text
    assert text.count("MFS (several frames around each key frame)") == 1
    assert "Glossary" in text
    glossary = Glossary()
    assert glossary.spell("UAR, and UAR (again).") == "UAR (unweighted average recall), and UAR (again)."
    assert list(glossary.terms()) == ["UAR"]


# --- numbers ----------------------------------------------------------------------------------------------------------
def test_csv_keeps_all_digits_and_leaves_unmeasured_values_empty(written: ReportPaths) -> None:
    summary = make_summary()
    folder = written.tables[0].parent
    rows = list(csv.DictReader(io.StringIO((folder / "all_cells.csv").read_text())))
    assert sorted(float(row["score"]) for row in rows[:18]) == sorted(c["score"] for c in summary["cells"])
    fear = list(csv.DictReader(io.StringIO((folder / "per_class.csv").read_text())))[-1]
    assert fear["class"] == "Fear"
    assert set(fear.values()) == {"Fear", "0", ""}


def test_main_table_selects_by_the_first_preprocessing(written: ReportPaths) -> None:
    summary = make_summary()
    rows = list(csv.DictReader(io.StringIO((written.tables[0].parent / "main_results.csv").read_text())))
    for row, sampling in zip(rows, ("af", "kfs", "mfs"), strict=False):
        of_phase = [c for c in summary["cells"] if c["sampling"] == sampling and c["preprocessing"] == "m1"]
        best = max(of_phase, key=lambda cell: cell["score"])
        assert (row["model"], float(row["m1_score"])) == (NANO[best["model"]], best["score"])
    assert [row["paper_m1_score"] for row in rows] == ["0.4235", "0.3974", "0.4762", "", ""]


def test_latex_is_balanced_and_every_row_has_all_columns(written: ReportPaths) -> None:
    for path in written.tables:
        if path.suffix != ".tex":
            continue
        text = path.read_text(encoding="utf-8")
        bare = re.sub(r"\\[\\{}&%$#_]", "", text)
        assert bare.count("{") == bare.count("}")
        assert text.count(r"\begin{") == text.count(r"\end{")
        assert re.sub(r"\\\$", "", text).count("$") % 2 == 0
        (spec,) = re.findall(r"\\begin{(?:tabular|longtable)}{@{}(.*)@{}}", text)
        columns = len(re.sub(r">?{[^}]*}", "", spec))
        body = text.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
        for row in filter(str.strip, body.replace(r"\midrule", "").split(" \\\\\n")):
            assert len(re.findall(r"(?<!\\)&", row)) == columns - 1, row


def test_same_summary_same_bytes(written: ReportPaths, tmp_path: Path) -> None:
    again = write_report(study(make_summary()), tmp_path)
    old, new = ((p.html, p.details or p.html, *p.tables, *p.figures) for p in (written, again))
    for first, second in zip(old, new, strict=True):
        assert first.read_bytes() == second.read_bytes(), second.name
    assert not list(tmp_path.rglob(".*.partial"))


# --- verdicts ---------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("undrawn")
def test_a_score_within_chance_is_not_called_recognition(tmp_path: Path) -> None:
    summary = make_summary()
    summary["named_cell"] |= {"ci_low": 0.1, "p_value": 0.4}
    text = read(write_report(study(summary), tmp_path)).text
    assert "A small CNN on face crops cannot be shown to recognise expressions better than chance" in text
    assert "p = 0.400" in text


@pytest.mark.usefixtures("undrawn")
def test_only_subjects_that_were_not_trained_on_are_called_unseen(tmp_path: Path) -> None:
    summary = make_summary()
    summary["named_cell"] |= {"protocol": summary["protocol"]}
    text = read(write_report(study(summary), tmp_path)).text
    assert "A small CNN on face crops recognises expressions better than chance" in text
    assert "not trained on" not in text


@pytest.mark.usefixtures("undrawn")
def test_a_grid_without_a_score_named_beforehand_says_so(tmp_path: Path) -> None:
    text = read(write_report(study(make_summary() | {"named_cell": None}), tmp_path)).text
    assert "18 experiments were compared. None was named beforehand" in text


@pytest.mark.usefixtures("undrawn")
def test_a_single_experiment_gives_its_score_and_nothing_of_the_paper(tmp_path: Path) -> None:
    paths = write_report(study(one_experiment()), tmp_path)
    page = read(paths)
    assert not page.open
    assert "as_is · onset_apex · pca_svm reaches macro-F1" in page.text
    for words in ("paper", "published", "optimistically", "cells", "M1"):
        assert words not in page.text, words


@pytest.mark.usefixtures("undrawn")
def test_a_study_of_ones_own_shows_no_numbers_of_the_paper(tmp_path: Path) -> None:
    protocol = make_summary()["protocol"] | {"name": "holdout", "title": "hold-out"}
    own = make_summary() | {"published": None, "choices": [], "protocol": protocol, "title": "My grid"}
    paths = write_report(study(own), tmp_path)
    text = read(paths).text
    for words in ("paper's", "published", "0.4762", "Preprocessing Paradox", "ViT-p32"):
        assert words not in text, words
    assert "all_cells" in {path.stem for path in paths.tables}


# --- what is missing --------------------------------------------------------------------------------------------------
OPTIONAL = sorted(name for name, field in StudySummary.model_fields.items() if not field.is_required())


@pytest.mark.parametrize("part", OPTIONAL)
@pytest.mark.usefixtures("undrawn")
def test_an_absent_part_is_survived(part: str, tmp_path: Path) -> None:
    summary = few_cells()
    summary.pop(part, None)
    assert not read(write_report(study(summary), tmp_path)).open


@pytest.mark.usefixtures("undrawn")
def test_empty_parts_are_survived(tmp_path: Path) -> None:
    summary = few_cells()
    parts = {name: type(summary[name])() for name in ("preprocessing", "sampling", "models", "axes", "metrics")}
    parts["metrics"] = {"macro_f1": summary["metrics"]["macro_f1"]}
    data = summary["data"] | {"counts": {}, "parts": {}, "metadata": {}, "skipped": [], "corrections": []}
    assert not read(write_report(study(summary | parts | {"data": data}), tmp_path)).open


@pytest.mark.usefixtures("undrawn")
def test_a_summary_without_cells_says_so(tmp_path: Path) -> None:
    summary = make_summary() | {"named_cell": None, "cells": [], "curves": []}
    assert "No experiment has a score yet." in read(write_report(study(summary), tmp_path)).text


def test_one_class_and_one_subject_make_a_whole_page(tmp_path: Path) -> None:
    summary = few_cells()
    (only, *_), clips = summary["data"]["classes"], 7
    one = {"confusion": [[clips]], "n_test": clips, "ci_low": None, "ci_high": None}
    summary["data"] |= {"classes": [only], "counts": {only: clips}, "parts": {}, "n_clips": clips, "n_subjects": 1}
    summary["cells"] = [cell | one | {"per_class_f1": {only: 1.0}} for cell in summary["cells"]]
    summary["named_cell"] |= one | {"n_subjects": 1, "permutation_level": 1.0, "p_value": 1.0}
    summary["detail"] = [
        {
            **{part: summary["cells"][0][part] for part in ("preprocessing", "sampling", "model", "factors")},
            "role": "best", "title": "", "protocol": "LOSO", "score": 1.0, "accuracy": 1.0, "databases": [],
            "classes": [{"name": only, "support": 7, "predicted": 7, "precision": 1.0, "recall": 1.0, "f1": 1.0}],
            "subjects": [{"subject": "sub01", "clips": clips, "classes": 1, "right": clips, "accuracy": 1.0}],
            "problem": "there is only one subject.",
        }
    ]  # fmt: skip
    found = read(write_report(study(summary), tmp_path))
    assert not found.open
    assert "there is only one subject." in found.text
    assert "cannot be shown to recognise expressions better than chance" in found.text
    assert not {"nan", "none", "inf"} & set(found.text.lower().split())


@pytest.mark.usefixtures("undrawn")
def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    summary = make_summary()
    summary["preprocessing"]["m1"]["face_centred"] = None
    for cell in summary["cells"]:
        cell["ci_low"] = cell["ci_high"] = None
    paths = write_report(study(summary), tmp_path)
    assert "not measured" in (tmp_path / "tables" / "preprocessing.tex").read_text()
    assert not {"nan", "none"} & set(read(paths).text.split())


@pytest.mark.usefixtures("undrawn")
def test_folds_that_differ_are_reported(tmp_path: Path) -> None:
    summary = few_cells()
    summary["cells"][0]["loss"] = "cross_entropy/focal"
    summary["sampling"] = {
        "af": {"label": "AF", "nominal": 1, "train": None, "val": None, "test": None, "total": 96, "per_clip": 1.0}
    }
    text = read(write_report(study(summary), tmp_path)).text
    assert "cross-entropy / focal" in text
    assert "Views of all clips, AF (nominally 1, counted 1 per clip) 96 96" in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("epochs", "drawn"), [(7, False), (8, True)])
def test_learning_curves_need_eight_epochs(tmp_path: Path, epochs: int, drawn: bool) -> None:
    summary = few_cells()
    for curve in summary["curves"]:
        for name in ("epoch", "train_loss", "val_loss", "train_score", "val_score"):
            curve[name] = curve[name][:epochs]
        curve["chosen_epoch"] = 3
    paths = write_report(study(summary), tmp_path)
    assert ("curves_score" in {path.stem for path in paths.figures}) is drawn


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    evil = "_<script>alert(1)</script>\"' & $x_1$ \\end{table} % # ~ ^ {{ 7*7 }} 微"
    summary = one_experiment(title=evil, command=evil, name=evil, environment={evil: evil})
    summary["caveats"] = [{"code": evil, "level": "warning", "line": evil, "text": evil}]
    summary["models"] = {"pca_svm": {"label": evil, "token_mixing": evil, "builds": [
        {"ensemble": 1, "parameters": 1, "weights": evil, "inputs": []}]}}  # fmt: skip
    summary["examples"] = [{"caption": evil, "png_base64": png()}]
    summary["cells"].append(summary["cells"][0] | {"sampling": evil})
    summary["data"] |= {"metadata": {evil: evil}, "fingerprint": evil, "corrections": [evil]}
    plain = read(write_report(study(one_experiment()), tmp_path / "plain"))
    page = read(write_report(study(summary), tmp_path))
    assert not page.open
    scripts = [sum(tag == "script" for tag, _ in each.tags) for each in (plain, page)]
    assert scripts == [2, 2]
    assert "{{ 7*7 }}" in page.text
    table = (tmp_path / "tables" / "models.tex").read_text(encoding="utf-8")
    assert r"\textbackslash{}end\{table\}" in table
    assert table.count(r"\end{table}") == 1


def test_a_table_of_an_earlier_report_does_not_stay(tmp_path: Path) -> None:
    write_report(study(few_cells()), tmp_path)
    own = tmp_path / "tables" / "my_notes.csv"
    own.write_text("2")
    assert (tmp_path / "tables" / "latency.csv").is_file()
    write_report(study(one_experiment()), tmp_path)
    assert not (tmp_path / "tables" / "latency.csv").exists()
    assert own.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=str(tmp_path / "file")):
        write_report(study(one_experiment()), tmp_path / "file")


def test_a_summary_of_another_format_or_damaged_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text('{"format": 2}')
    with refuses("E851", "format 2", f"format {FORMAT}", "summary.json", kind=StoreError):
        StudySummary.read(file)
    file.write_text(f'{{"format": {FORMAT}, "name": 7}}')
    with refuses("E605", "summary.json", "name", kind=StoreError):
        StudySummary.read(file)
    file.write_text("{")
    with refuses("E605", "summary.json", kind=StoreError):
        StudySummary.read(file)


def test_a_summary_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text(study(make_summary()).model_dump_json())
    assert StudySummary.read(file) == study(make_summary())


@pytest.mark.usefixtures("undrawn")
def test_tables_say_what_is_said_of_ensembles(tmp_path: Path) -> None:
    summary = make_summary()
    plain = read(write_report(study(summary), tmp_path / "plain")).text
    assert "ensemble" not in plain
    cells = [cell | {"ensemble": 3, "loss": "cross_entropy/focal"} for cell in summary["cells"]]
    text = read(write_report(study(summary | {"cells": cells}), tmp_path / "three")).text
    assert "Each network of an ensemble selects its own loss" in text
    assert text.count("those of its first network.") >= 2


@pytest.mark.usefixtures("undrawn")
def test_an_experiment_named_beforehand_that_failed_is_told(tmp_path: Path) -> None:
    summary = make_summary() | {"named_cell": None, "named_problem": "the face detector is not installed."}
    text = read(write_report(study(summary), tmp_path)).text
    assert "The experiment named beforehand could not be trained: the face detector is not installed." in text
    assert "None was named beforehand" not in text


@pytest.mark.usefixtures("undrawn")
def test_numbers_of_another_publication_are_not_called_the_papers(tmp_path: Path) -> None:
    summary = make_summary()
    published = load_published("paper").model_dump(mode="json") | {"captions": {}, "other_methods": ""}
    published |= {"learning_note": "", "model_notes": [], "disagreements": [], "title": "Another work"}
    paths = write_report(study(summary | {"published": published, "caveats": []}), tmp_path)
    assert paths.details
    for page in both(paths):
        assert "the paper's Table" not in page.text
        assert "the paper's Figure" not in page.text


@pytest.mark.usefixtures("undrawn")
def test_a_second_experiment_beside_the_prespecified_one_is_named(tmp_path: Path) -> None:
    made = one_experiment(named_cell=make_summary()["named_cell"])
    rows = [
        {"name": name, "support": 5, "predicted": 5, "precision": 0.5, "recall": 0.5, "f1": 0.5} for name in CLASSES
    ]
    part = made["cells"][0] | {"score": 0.4, "accuracy": 0.4, "classes": rows, "databases": [], "subjects": []}
    keep = ("preprocessing", "sampling", "model", "factors", "score", "accuracy", "classes", "databases", "subjects")
    described = {name: part[name] for name in keep}
    made["detail"] = [
        described | {"problem": None, "role": "", "title": "", "protocol": "LOSO"},
        described | {"problem": None, "role": "named", "title": "a small CNN on face crops", "protocol": "LOSO"},
    ]
    table = (write_report(study(made), tmp_path).html.parent / "tables" / "by_class.csv").read_text()
    assert "as_is · onset_apex · pca_svm" in table
    assert "prespecified: a small CNN on face crops under LOSO" in table
