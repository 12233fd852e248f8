"""The report in a browser: tables sort and filter, sections unfold, phones and printers get all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from browser import browsing, needs_chromium
from microexpr.report import write_report
from microexpr.report.page import ReportPaths
from pages import make_summary, study

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(study(make_summary()), tmp_path_factory.mktemp("report"))


@pytest.fixture
def details(written: ReportPaths) -> Iterator[Page]:
    assert written.details
    with browsing() as page:
        page.goto(written.details.as_uri())
        yield page


def column(page: Page, at: int) -> list[str]:
    return page.locator(f"#table-all_cells tbody tr:not([hidden]) td:nth-child({at + 1})").all_inner_texts()


def test_a_click_sorts_by_number_and_a_second_reverses(details: Page) -> None:
    heads = details.locator("#table-all_cells thead tr:last-child th").all_inner_texts()
    at = next(k for k, head in enumerate(heads) if head.startswith("Macro-F1"))
    before = column(details, at)
    button = details.locator("#table-all_cells thead tr:last-child th button").nth(at)
    button.click()
    rising = [float(text.split()[0]) for text in column(details, at) if text[:1].isdigit()]
    assert rising == sorted(rising)
    assert sorted(column(details, at)) == sorted(before)
    button.focus()
    details.keyboard.press("Enter")
    falling = [float(text.split()[0]) for text in column(details, at) if text[:1].isdigit()]
    assert falling == sorted(rising, reverse=True)
    assert details.locator("#table-all_cells th[aria-sort=descending]").count() == 1


def test_a_filter_hides_the_other_rows(details: Page) -> None:
    rows = details.locator("#table-all_cells tbody tr")
    everything = rows.count()
    search = details.locator("#table-all_cells input[type=search]")
    search.fill("swin")
    shown = [text for text in rows.all() if text.is_visible()]
    assert 0 < len(shown) < everything
    assert all("swin" in row.inner_text().lower() for row in shown)
    search.fill("")
    assert all(row.is_visible() for row in rows.all())


def test_a_link_unfolds_the_section_it_leads_to(written: ReportPaths) -> None:
    with browsing() as page:
        page.goto(f"{written.html.as_uri()}#data")
        assert page.locator("#data").get_attribute("open") is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report.html", "details.html"])
def test_a_phone_scrolls_tables_and_not_the_page(written: ReportPaths, name: str, scheme: str) -> None:
    with browsing(viewport={"width": 400, "height": 800}, color_scheme=scheme) as page:
        page.goto((written.html.parent / name).as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark is (scheme == "dark")


def test_a_page_is_complete_without_scripts_and_on_paper(written: ReportPaths) -> None:
    with browsing(java_script_enabled=False) as page:
        page.goto(written.html.as_uri())
        page.emulate_media(media="print")
        hidden = [table for table in page.locator("figure.table table").all() if not table.is_visible()]
        assert not hidden
        serious = page.locator("ul.caveats li.warning")
        assert serious.count() == page.get_by_text("Serious", exact=True).filter(visible=True).count() > 0
