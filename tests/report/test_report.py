"""The report: what it must contain, what it must survive, and the same bytes twice."""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexpr.core.errors import StoreError
from microexpr.evaluation.statistics.scope import Trained
from microexpr.report import ReportPaths, write_report
from pages import (
    CLASSES,
    NANO,
    Page,
    few_cells,
    make_cell,
    make_summary,
    png,
    read,
)
from refusal import refuses


def one_experiment() -> dict[str, Any]:
    """Return the summary of a single experiment that has none of the paper's axes."""
    cell = {
        "preprocessing": "none",
        "sampling": "onset_apex",
        "model": "pca_svm",
        **make_cell(np.random.default_rng(1), 0.4),
    }
    keep = {"format": 2, "name": "flow", "title": "Real flow", "version": "0.1.0"}
    return {**keep, "cells": [cell], "data": {"classes": CLASSES}}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(make_summary(), tmp_path_factory.mktemp("report"))


def test_page_loads_nothing(written: ReportPaths) -> None:
    source, page = written.html.read_text(encoding="utf-8"), read(written)
    assert not page.open
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    loads = [str(v) for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href", "xlink:href", "srcset")]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in loads)
    assert "@import" not in source
    assert set(re.findall(r"url\((.)", source)) <= {"#"}


def test_page_ids_are_unique_and_its_links_lead_somewhere(written: ReportPaths) -> None:
    page = read(written)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = [str(attrs["href"])[1:] for _, attrs in page.tags if str(attrs.get("href", "")).startswith("#")]
    used += re.findall(r"url\(#([^)]+)\)", written.html.read_text(encoding="utf-8"))
    assert set(used) <= set(ids)


def test_every_table_and_figure_of_the_paper_is_there(written: ReportPaths) -> None:
    page = read(written)
    for label in (
        "Table I.",
        "Table II.",
        "Table III.",
        "Table IV.",
        "Table V.",
        *(f"Figure {n}." for n in range(1, 5)),
    ):
        assert label in page.text
    names = {path.stem for path in written.tables}
    assert {path.name for path in written.tables} == {f"{name}{end}" for name in names for end in (".csv", ".tex")}
    assert {"table3_main_results", "all_cells", "losses", "overfitting", "latency", "choices", "environment"} <= names
    drawn = {path.stem for path in written.figures}
    assert {path.name for path in written.figures} == {f"{name}{end}" for name in drawn for end in (".svg", ".pdf")}
    assert {"figure2_quality_performance", "figure3_phases", "figure4_confusion", "curves_macro_f1", "cells"} <= drawn
    for path in written.figures:
        if path.suffix == ".svg":
            ElementTree.fromstring(path.read_bytes())


def test_page_states_what_must_be_read_first(written: ReportPaths) -> None:
    text = read(written).text
    for caveat in make_summary()["caveats"]:
        assert text.index(caveat["text"]) < text.index("Table III.")
    for words in (
        "selected on the test set",
        "above the score of random guessing in",
        "under permuted labels is 0.187",
        "11 of the 12 subjects",
        "2,613 frames, not 2,061",
        "0.4762",
        "not evidence of a lie",
        "microexpr study demo",
    ):
        assert words in text


def test_csv_keeps_all_digits_and_leaves_unmeasured_values_empty(written: ReportPaths) -> None:
    summary = make_summary()
    folder = written.tables[0].parent
    rows = list(csv.DictReader(io.StringIO((folder / "all_cells.csv").read_text())))
    assert sorted(float(row["macro_f1"]) for row in rows[:18]) == sorted(c["macro_f1"] for c in summary["cells"])
    fear = list(csv.DictReader(io.StringIO((folder / "table5_per_class.csv").read_text())))[-1]
    assert fear["class"] == "Fear"
    assert set(fear.values()) == {"Fear", "0", ""}


def test_main_table_chooses_by_the_first_preprocessing(written: ReportPaths) -> None:
    summary = make_summary()
    rows = list(csv.DictReader(io.StringIO((written.tables[0].parent / "table3_main_results.csv").read_text())))
    for row, sampling in zip(rows, ("af", "kfs", "mfs"), strict=False):
        of_phase = [c for c in summary["cells"] if c["sampling"] == sampling and c["preprocessing"] == "m1"]
        best = max(of_phase, key=lambda cell: cell["macro_f1"])
        assert (row["model"], float(row["m1_macro_f1"])) == (NANO[best["model"]], best["macro_f1"])
    assert [row["paper_m1_macro_f1"] for row in rows] == ["0.4235", "0.3974", "0.4762", "", ""]


def test_latex_is_balanced_and_every_row_has_all_columns(written: ReportPaths) -> None:
    for path in written.tables:
        if path.suffix != ".tex":
            continue
        text = path.read_text(encoding="utf-8")
        bare = re.sub(r"\\[\\{}&%$#_]", "", text)
        assert bare.count("{") == bare.count("}")
        assert text.count(r"\begin{") == text.count(r"\end{")
        assert re.sub(r"\\\$", "", text).count("$") % 2 == 0
        (spec,) = re.findall(r"\\begin{tabular}{@{}(.*)@{}}", text)
        columns = len(re.sub(r"{[^}]*}", "", spec))
        body = text.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
        for row in filter(str.strip, body.replace(r"\midrule", "").split(" \\\\\n")):
            assert len(re.findall(r"(?<!\\)&", row)) == columns - 1, row


def test_same_summary_same_bytes(written: ReportPaths, tmp_path: Path) -> None:
    again = write_report(make_summary(), tmp_path)
    old, new = ((p.html, *p.tables, *p.figures) for p in (written, again))
    for first, second in zip(old, new, strict=True):
        assert first.read_bytes() == second.read_bytes(), second.name
    assert not list(tmp_path.rglob(".*"))


def test_one_experiment_gives_a_report_without_the_papers_tables(tmp_path: Path) -> None:
    paths = write_report(one_experiment(), tmp_path)
    page = read(paths)
    assert "Table III." not in page.text
    assert "Preprocessing Paradox" not in page.text
    assert "pca_svm" in page.text
    assert "Not measured." in page.text
    assert {path.stem for path in paths.figures} == {"figure4_confusion"}


PARTS = sorted(set(make_summary()) - {"cells", "format"})


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.usefixtures("undrawn")
def test_an_absent_part_is_survived(part: str, tmp_path: Path) -> None:
    assert not read(write_report({**few_cells(), part: None}, tmp_path)).open


@pytest.mark.usefixtures("undrawn")
def test_folds_that_differ_are_reported(tmp_path: Path) -> None:
    summary = few_cells()
    summary["cells"][0]["loss"] = "cross_entropy/focal"
    summary["sampling"] = {
        "af": {"label": "AF", "nominal": 1, "train": 0, "val": 0, "test": 0, "total": 96, "per_clip": 1.0}
    }
    for curve in summary["curves"]:
        curve.update(val_loss=[], train_loss=[None] * 18, chosen_epoch=None)
    text = read(write_report(summary, tmp_path)).text
    assert "cross-entropy / focal" in text
    assert "Views of all clips, AF (nominally 1, counted 1 per clip) 96 96" in text
    assert "interval by subject" in text
    assert "Learning curves: loss" not in text


@pytest.mark.usefixtures("undrawn")
def test_empty_parts_are_survived(tmp_path: Path) -> None:
    summary = few_cells()
    assert not read(write_report(summary | {part: type(summary[part])() for part in PARTS}, tmp_path)).open


def paired() -> dict[str, Any]:
    """Return a paired comparison of M1 and M2."""
    return {
        "sampling": "af", "model": "vit_nano", "a": "m1", "b": "m2", "test": "exact McNemar test",
        "difference": -0.062, "ci_low": -0.21, "ci_high": 0.11, "only_a": 2, "only_b": 4, "p_value": 0.6875,
        "p_holm": 0.9, "mcnemar_p": 0.6875,
    }  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_paired_comparisons_are_shown_where_they_were_made(tmp_path: Path) -> None:
    assert "No paired test was made." in read(write_report(few_cells(), tmp_path)).text
    text = read(write_report({**few_cells(), "paired": [paired()]}, tmp_path)).text
    assert "−0.062 [−0.210, 0.110] 2 4 0.688 0.900 0.688" in text
    assert "No paired test" not in text


def compared_pairs(places: int, methods: tuple[str, ...] = ("m1", "m2")) -> list[dict[str, Any]]:
    """Return comparisons as studies write them now, of so many samplings and all pairs of preprocessings."""
    rng = np.random.default_rng(0)
    rows = []
    for place, (a, b) in product(range(places), combinations(methods, 2)):
        difference = float(rng.normal(0, 0.05))
        clip = {
            "clip": f"casme2/0{place}/c",
            "subject": f"casme2/0{place}",
            "truth": "fear",
            "a": "fear",
            "b": "others",
        }
        rows.append(paired() | {
            "sampling": f"s{place}", "a": a, "b": b, "difference": difference, "ci_low": difference - 0.1,
            "ci_high": difference + 0.1, "p_value": 0.5 / (place + 1), "p_holm": 1.0, "significant": False,
            "power": 0.8, "detectable": 0.12, "n_clips": 28, "resamples": 2000, "permutations": 1999, "p_exact": False,
            "interval": "95 % intervals: percentiles by subject", "changed": [clip, {**clip, "clip": "casme2/09/d"}],
            "percentiles": np.quantile(rng.normal(difference, 0.05, 2000), np.linspace(0, 1, 101)).tolist(),
        })  # fmt: skip
    return rows


@pytest.mark.usefixtures("undrawn")
def test_one_pair_lists_its_clips_and_many_pairs_count_them(tmp_path: Path) -> None:
    (row,) = compared_pairs(1)
    row |= {"significant": True, "p_holm": 0.01}
    text = read(write_report({**few_cells(), "paired": [row]}, tmp_path / "one")).text
    assert re.search(
        r"In the one pair of preprocessings compared, [^:]+: M1 − M2 · s0 · ViT nano \S+ \(p 0\.010\)", text
    )
    assert "casme2/09/d casme2/00 fear fear others M1" in text
    assert "2 of 28 test clips are correct under only one of the two preprocessings." in text
    text = read(write_report({**few_cells(), "paired": compared_pairs(2)}, tmp_path / "two")).text
    assert "s1 casme2/01/c casme2/01 fear fear others M1" in text
    text = read(write_report({**few_cells(), "paired": compared_pairs(4)}, tmp_path / "four")).text
    assert "Clips whose result depends on the preprocessing" in text
    assert "casme2/09/d casme2/00 fear 4 4 0 others 4" in text
    assert "in none of them; this does not show that there is no difference." in text
    assert "detectable with 80 % power is 0.120." in text


def test_more_pairs_than_a_figure_holds(tmp_path: Path) -> None:
    rows = compared_pairs(5, ("m1", "m2", "m3", "m4", "m5"))
    written = write_report({**few_cells(), "paired": rows}, tmp_path)
    page = read(written)
    assert "The 36 of 50 pairs with the smallest p" in page.text
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "tables" / "paired.csv").read_text())))) == 50
    drawn = ElementTree.parse(tmp_path / "figures" / "differences.svg").getroot()
    labels = {"".join(element.itertext()).strip() for element in drawn.iter()}
    assert sum(re.fullmatch(r"\S+ − \S+ · s\d", text) is not None for text in labels) == 36


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("significant", [True, False])
def test_pairs_under_a_hold_out_speak_of_two_trained_networks(tmp_path: Path, significant: bool) -> None:
    trained, p = Trained(folds=1), 0.01 if significant else 0.9
    how = {"trained": dataclasses.asdict(trained), "significant": significant, "p_holm": p}
    for places in (1, 2):
        rows = [row | how for row in compared_pairs(places)]
        text = read(write_report({**few_cells(), "paired": rows}, tmp_path / str(places))).text
        differ = "differ" if significant or places > 1 else "do not differ significantly"
        assert f"these two trained networks {differ}" in text
        assert trained.caveat in text
        assert re.search(r"Bold: these two trained networks differ[^.]*\.", text)
    assert "Networks trained on two preprocessings were compared in 2 pairs" in text
    rows = [row | {"trained": {"folds": 26, "seeds": 1, "networks": True}} for row in compared_pairs(2)]
    text = read(write_report({**few_cells(), "paired": rows}, tmp_path / "folds")).text
    assert "in none of them; this does not show" in text
    assert "trained networks differ" not in text
    assert "Hold-out" not in text


@pytest.mark.usefixtures("undrawn")
def test_pairs_of_older_summaries_are_still_read(tmp_path: Path) -> None:
    """They have no percentiles, detectable differences or clips: what they lack is left out, and nothing is zero."""
    old = [paired(), {**paired(), "sampling": "kfs", "p_holm": 0.02}]
    written = write_report({**few_cells(), "paired": old}, tmp_path)
    text = read(written).text
    assert "in 1 of them: M1 − M2 · KFS" in text
    assert "exact McNemar test" in text
    assert "Detectable" not in text
    assert {"differences.svg"} == {p.name for p in written.figures if "difference" in p.name and p.suffix == ".svg"}
    assert not [path for path in written.tables if "changed" in path.name]


def test_a_summary_without_cells_says_so(tmp_path: Path) -> None:
    assert "No cell has a score yet." in read(write_report({"format": 2, "name": "empty", "cells": []}, tmp_path)).text


@pytest.mark.usefixtures("undrawn")
def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    summary = make_summary()
    summary["cells"] = [c for c in summary["cells"] if c["sampling"] == "af"]
    summary["curves"] = []
    for cell in summary["cells"]:
        cell.update(macro_f1=cell["macro_f1"] if cell["preprocessing"] == "m1" else None, uar=float("nan"))
    summary["preprocessing"]["m1"]["face_centred"] = None
    paths = write_report(summary, tmp_path)
    main = (tmp_path / "tables" / "table3_main_results.tex").read_text()
    assert "not measured" in main
    assert "nan" not in read(paths).text.lower().split()


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    evil = "_<script>alert(1)</script>\"' & $x_1$ \\end{table} % # ~ ^ {{ 7*7 }} 微"
    summary = one_experiment()
    summary.update(title=evil, command=evil, name=evil, environment={evil: evil})
    summary["caveats"] = [{"code": evil, "level": evil, "text": evil}]
    summary["models"] = {"pca_svm": {"label": evil, "token_mixing": evil, "weights": evil}}
    summary["examples"] = [{"caption": evil, "png_base64": evil}, {"caption": evil, "png_base64": png()}]
    other = copy.deepcopy(summary["cells"][0]) | {"sampling": evil}
    summary["cells"].append(other)
    summary["data"] |= {"metadata": {evil: evil}, "fingerprint": evil, "corrections": [evil]}
    paths = write_report(summary, tmp_path)
    page = read(paths)
    assert not page.open
    assert "script" not in {tag for tag, _ in page.tags}
    assert "{{ 7*7 }}" in page.text
    table = (tmp_path / "tables" / "table2_architectures.tex").read_text(encoding="utf-8")
    assert r"\textbackslash{}end\{table\}" in table
    assert table.count(r"\end{table}") == 1


def test_a_table_of_an_earlier_report_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    old, own = tmp_path / "tables" / "latency.csv", tmp_path / "tables" / "my_notes.csv"
    old.write_text("1")
    own.write_text("2")
    write_report(one_experiment(), tmp_path)
    assert not old.exists()
    assert own.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=str(tmp_path / "file")):
        write_report(one_experiment(), tmp_path / "file")


def test_a_summary_of_another_format_is_refused(tmp_path: Path) -> None:
    with refuses("E851", "format 99", "format 2", kind=StoreError):
        write_report({"format": 99}, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("undrawn")
def test_tables_say_what_is_said_of_ensembles(tmp_path: Path) -> None:
    summary = make_summary()
    plain = Page(write_report(summary, tmp_path / "plain").html.read_text("utf-8")).text
    assert "ensemble" not in plain
    cells = [cell | {"ensemble": 3, "loss": "cross_entropy/focal"} for cell in summary["cells"]]
    text = Page(write_report(summary | {"cells": cells}, tmp_path / "three").html.read_text("utf-8")).text
    assert "Each network of an ensemble selects its own loss" in text
    assert text.count("those of its first network.") >= 2
    assert "cross-entropy / focal" in text
