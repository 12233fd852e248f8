"""The command ``microexpr``: parses, calls the API, prints. Heavy imports happen only in commands that need them."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import Annotated, TextIO

import typer

from microexpr import __version__
from microexpr.cli import audit, bench, data, judging, running, store, tuning, weights
from microexpr.core.errors import MicroexprError, OldNameWarning
from microexpr.core.signals import raise_on

app = typer.Typer(
    name="microexpr",
    help="Reproducible experiments on facial micro-expression recognition. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    running.studies, running.study, running.status, running.collect, running.run, running.fit, running.export,
    running.predict, tuning.tune, judging.check, judging.compare, judging.report, running.explain, bench.bench,
    store.doctor,
):  # fmt: skip
    app.command(command.__name__)(command)
app.add_typer(audit.app, name="audit")
app.add_typer(data.app, name="data")
app.add_typer(store.app, name="store")
app.add_typer(weights.app, name="weights")
INTERRUPTED, TERMINATED = 130, 143
"""Exit codes of programs that were ended by Ctrl-C and by SIGTERM."""


def main() -> None:
    """Run the command; errors that the user can fix are printed as one message, without a traceback."""
    # Busy-waiting threads make runs on a shared machine up to a hundred times slower (measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    raise_on(signal.SIGINT, KeyboardInterrupt)
    raise_on(signal.SIGTERM, lambda: SystemExit(TERMINATED))
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", OldNameWarning)
            warnings.showwarning = _show_warning
            app(prog_name="microexpr")
    except MicroexprError as error:
        if debug:
            raise
        sys.stderr.write(f"microexpr: {error.code}: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"microexpr: {error.strerror or error}{where}: free disk space, or choose another --out.\n")
        sys.exit(1)
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):  # typer turns a KeyboardInterrupt into the former
            sys.stderr.write("\nmicroexpr: interrupted; the same command continues where it stopped.\n")
        raise


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, OldNameWarning):
        sys.stderr.write(f"microexpr: {message}\n")
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; can be placed anywhere on the command line.")
    ] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
