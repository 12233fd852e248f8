"""The page of speeds: generated, with nothing that was not measured."""

from __future__ import annotations

import re
from pathlib import Path

from microexpr.bench.measuring import Timed, compared
from microexpr.bench.rows import begin, read
from tools.speed_page import page

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date():
    stored = (ROOT / "docs/speed.md").read_text("utf-8")
    assert stored == page(read(ROOT / "docs/bench.json")), "run `make speed` and commit docs/speed.md"


def test_rows_that_are_missing_are_not_measured():
    timed = Timed({"plain": [3.0], "ours": [1.5]}, {})
    found = begin("full").with_rows([compared("train", "STSTNet 28", "steps", timed, ("equal", 0.0, True))])
    text = page(found)
    assert "| STSTNet 28 | 3 s | 1.5 s | 2.00 (2.00 to 2.00) |" in text
    others = [line for line in text.splitlines() if line.startswith("| ViT-B/32 384 |")]
    assert others == ["| ViT-B/32 384 | not measured: not in this file | | | | | |"]
    assert not re.search(r"\| Swin-B 384, bf16 \| \d", text)
