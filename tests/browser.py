"""Chromium for tests of pages (`apt install chromium`, or CHROMIUM=PATH); without it such tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium, or CHROMIUM=PATH)")


@contextmanager
def browsing(**context: Any) -> Iterator[Page]:
    """Open a page of a fresh browser; what it logs as an error fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(**context).new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        try:
            yield page
            assert not errors
        finally:
            browser.close()
