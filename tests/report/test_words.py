"""Words of the pages: abbreviations, the glossary, limits, notes on pictures, and quotes in LaTeX."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from test_comparison_page import comparison, tuning

from microexpr.report import write_comparison, write_report, write_tuning
from microexpr.report.glossary import ABBREVIATIONS, TERMS, Glossary
from microexpr.report.latex import escape, latex
from microexpr.report.page import First, Page, Section, write
from microexpr.report.table import Column, Table
from pages import make_summary, png, study

LONG = "A limit that is too long for one line of the first screen of a report, as its only purpose is to be cut: " * 2


def changed() -> dict[str, Any]:
    """Return a summary with a long limit and a contact sheet of two inputs."""
    summary = make_summary()
    cut = {"code": "long", "level": "warning", "line": f"{LONG[:90].rpartition(' ')[0]} …", "text": f"{LONG}The end."}
    summary["caveats"].append(cut)
    clips = [{"caption": "fear: 01/a, onset 1, apex 5, flow from onset to apex", "png_base64": png()}]
    summary["contact_sheet"] = [{"title": title, "clips": clips, "has_flow": True} for title in ("KFS", "AF")]
    return summary


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the HTML of every kind of page."""
    out = tmp_path_factory.mktemp("words")
    made = [write_report(study(changed()), out), write_comparison(comparison(), out), write_tuning(tuning(), out)]
    paths = [path for each in made for path in (each.html, each.details) if path]
    return {path.stem: path.read_text("utf-8") for path in paths}


def plain(html: str) -> str:
    """Return the visible text of HTML, of drawings too."""
    html = re.sub(r"(?s)<(style|script)>.*?</\1>", " ", html)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def prose(html: str) -> str:
    """Return the text of paragraphs, lists, captions and notes, without that of tables, drawings and headings."""
    html = re.sub(r'(?s)<p class="(kicker|meta)">.*?</p>|<figure class="matrix".*?</figure>', " ", html)
    return plain(re.sub(r"(?s)<(title|table|svg|pre|dl|h\d|nav)\b.*?</\1>", " ", html))


@pytest.mark.parametrize("name", ["report", "details", "comparison", "tuning"])
def test_every_abbreviation_is_in_the_glossary_and_spelt_out_at_its_first_use_in_prose(
    pages: dict[str, str], name: str
) -> None:
    page, _, glossary = pages[name].partition('id="glossary"')
    assert glossary
    explained = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", glossary))
    for word, full in ABBREVIATIONS.items():
        if re.search(rf"(?<!\w){word}s?(?!\w)", plain(page)):
            assert unescape(explained[word]).lower().startswith(full.lower())
        first = re.search(rf"(?<![\w-]){word}(?![\w-]).*", prose(page))
        assert not first or first.group().startswith(f"{word} ({full}"), first.group()[:80]


def test_abbreviations_of_tables_and_drawings_alone_are_explained() -> None:
    found = Glossary().terms("<th>KFS</th><td>PCA-SVM</td><text>LOSO</text><dt>UF1</dt><dd>0.4</dd>")
    assert list(found) == ["UF1", "LOSO", "KFS", "PCA", "SVM"]
    assert found["LOSO"] == "Leave one subject out. Every subject is predicted by a model trained on all the others."
    assert set(ABBREVIATIONS) <= set(TERMS)
    assert all(Glossary().terms(word)[word] for word in ABBREVIATIONS)


@pytest.mark.parametrize(
    ("text", "found"),
    [("after", []), ("af", []), ("AFs", ["AF"]), ("Intervals", ["interval"]), ("cellular", []), ("Cells", ["cell"])],
)
def test_terms_are_whole_words(text: str, found: list[str]) -> None:
    assert list(Glossary().terms(f"<p>{text}</p>")) == found


def test_a_bracket_after_an_abbreviation_does_not_replace_its_full_form() -> None:
    assert Glossary().spell("MFS (13 views)") == "MFS (several frames around each key frame; 13 views)"
    assert Glossary().spell("UAR (unweighted average recall)") == "UAR (unweighted average recall)"


def test_the_explanation_of_intervals_names_clips_and_no_fixed_level() -> None:
    assert "of subjects or of clips" in TERMS["interval"]
    assert "95" not in TERMS["interval"]


def test_empty_sentences_of_the_verdict_are_left_out(tmp_path: Path) -> None:
    page = Page("words", "words", lambda _: First(["One.", "", "Two."], {}, None, []), [Section("None", ())])
    text = write(page, study(make_summary()), None, tmp_path).html.read_text("utf-8")
    assert re.findall(r"<p>(.*)</p>", text.partition('class="verdict"')[2].partition("</div>")[0]) == ["One.", "Two."]


def test_serious_limits_are_marked_with_a_word(pages: dict[str, str]) -> None:
    limits = re.findall(r'<li class="(\w+)">(.*?)</li>', pages["report"])
    assert [text.startswith("<b>Serious</b> ") for _, text in limits] == [level == "warning" for level, _ in limits]
    assert {level for level, _ in limits} == {"warning", "note"}


def test_a_limit_that_was_cut_is_printed_once_in_the_details(pages: dict[str, str]) -> None:
    text = plain(pages["details"])
    assert text.count(LONG[:60]) == 2  # the sentence itself is given twice
    assert f"{LONG}The end." in text


def test_the_colours_of_flow_are_explained_once(pages: dict[str, str]) -> None:
    assert pages["report"].count("hue is the direction of motion") == 1
    assert "hue is the direction" not in pages["details"]


def test_latex_has_paired_quotes_that_every_font_encoding_has() -> None:
    assert escape('a "wrong" and a "right" clip') == "a ``wrong'' and a ``right'' clip"
    assert escape('19" screen') == "19'' screen"
    table = Table("quotes", 'A "caption"', [Column("Clip", "clip")], [{"clip": '~^<>|\\ "a" &%$#_{}'}], ['"Note".'])
    assert not re.search(r'textquotedbl|"', latex(table))
