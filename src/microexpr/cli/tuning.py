"""``microexpr tune``."""

from __future__ import annotations

from typing import Annotated

import typer

from microexpr.cli import options, show
from microexpr.cli.options import (
    CroppedOption,
    DataOption,
    ExperimentArgument,
    JsonOption,
    KeepOption,
    OutOption,
    QuietOption,
    RawOption,
    RetryOption,
    SetOption,
    SkipOption,
    WorkersOption,
)


def tune(
    file: ExperimentArgument,
    data: DataOption,
    out: OutOption,
    trials: Annotated[int, typer.Option("--trials", help="Number of finished trials per search.", min=1)] = 30,
    storage: Annotated[
        str, typer.Option("--storage", help="Database for the trials (default: a file in --out).", metavar="URL")
    ] = "",
    settings: SetOption = None,
    no_corrections: RawOption = False,
    skip_invalid: SkipOption = False,
    allow_cropped: CroppedOption = False,
    keep_weights: KeepOption = False,
    workers: WorkersOption = 2,
    retry_failed: RetryOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Tune parameters within the training subjects and test them on the others; concurrent runs share the trials."""
    from microexpr import api
    from microexpr.config.experiment import Experiment
    from microexpr.config.study import load

    experiment = load(Experiment, file, options.values(settings))
    finished = api.tune_experiment(
        experiment.uncorrected() if no_corrections else experiment,
        options.folders(data),
        out,
        trials=trials,
        storage=storage,
        command=options.command(),
        skip_invalid=skip_invalid,
        allow_cropped=allow_cropped,
        keep_weights=keep_weights,
        workers=workers,
        retry_failed=retry_failed,
        progress=options.progress(quiet or json),
    )
    if json:
        show.as_json(finished.summary.model_dump(mode="json"))
    else:
        show.tuning(finished.summary, finished.paths.html)
