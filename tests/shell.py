"""The command as a user meets it, without the price of a process: arguments in, exit code and both streams out."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest import mock

from microexpr.cli import main


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def microexpr(*words: object) -> Answer:
    """Call the command's entry point; its exit code is that of a shell."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["microexpr", *map(str, words)]
    code: object = 0
    with mock.patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Answer(code, out.getvalue(), err.getvalue())
