"""``microexpr studies``, ``study``, ``run``, ``fit``, ``export`` and ``predict``."""

from __future__ import annotations

from json import loads
from pathlib import Path
from typing import Annotated, Literal

import typer

from microexpr.cli import options, show, show_grid
from microexpr.cli.options import (
    CroppedOption,
    DataOption,
    ExperimentArgument,
    FoldMinutesOption,
    FramesOption,
    JobsOption,
    JsonOption,
    KeepOption,
    LauncherOption,
    OutOption,
    QuietOption,
    RawOption,
    ResourceOption,
    RetryOption,
    SeedsOption,
    SetOption,
    SizesOption,
    SkipOption,
    StudyArgument,
    SubjectsOption,
    WorkersOption,
)
from microexpr.core.errors import UsageError, suggest
from microexpr.learning.agreement import VIEWS


def study(
    file: StudyArgument,
    data: DataOption,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for results and the report.", metavar="DIR")] = None,
    settings: SetOption = None,
    train_sizes: SizesOption = None,
    train_subjects: SubjectsOption = None,
    seeds: SeedsOption = None,
    no_corrections: RawOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and list the cells without training.")
    ] = False,
    skip_invalid: SkipOption = False,
    allow_cropped: CroppedOption = False,
    keep_weights: KeepOption = False,
    with_frames: FramesOption = False,
    workers: WorkersOption = 2,
    jobs: JobsOption = 1,
    launcher: LauncherOption = "local",
    resource: ResourceOption = None,
    fold_minutes: FoldMinutesOption = 0.0,
    retry_failed: RetryOption = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Start the workers and return; then: microexpr status OUT, microexpr collect OUT."
        ),
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a grid of experiments and write its report; a second run trains only missing folds."""
    from microexpr import api
    from microexpr.config.study import Study, load
    from microexpr.runs.finished import FILE as FINISHED

    recorded = out is not None and not dry_run and (out / FINISHED).is_file()  # then it is checked before it runs
    grid, folders = load(Study, file, options.values(settings), checked=not recorded), options.folders(data)
    grid = grid.uncorrected() if no_corrections else grid
    clips, subjects = options.sizes("--train-sizes", train_sizes), options.sizes("--train-subjects", train_subjects)
    if dry_run:
        found = api.dry_run(
            grid,
            folders,
            skip_invalid=skip_invalid,
            allow_cropped=allow_cropped,
            train_sizes=clips,
            train_subjects=subjects,
            seeds=options.seeds(seeds),
        )
        (show.as_json if json else show.plan)(found)
        return
    if out is None:
        raise UsageError("E190", "--out DIR is missing: name a folder for the results, or add --dry-run.")
    if detach:
        submitted = api.submit_study(
            grid,
            folders,
            out,
            train_sizes=clips,
            train_subjects=subjects,
            seeds=options.seeds(seeds),
            skip_invalid=skip_invalid,
            allow_cropped=allow_cropped,
            keep_weights=keep_weights,
            workers=workers,
            jobs=jobs,
            launcher=options.launcher(launcher, resource),
            fold_minutes=fold_minutes,
            retry_failed=retry_failed,
            progress=options.progress(quiet or json),
        )
        show_grid.submitted(submitted, out)
        return
    finished = api.run_study(
        grid,
        folders,
        out,
        command=options.command(),
        train_sizes=clips,
        train_subjects=subjects,
        seeds=options.seeds(seeds),
        with_frames=with_frames,
        skip_invalid=skip_invalid,
        allow_cropped=allow_cropped,
        keep_weights=keep_weights,
        workers=workers,
        jobs=jobs,
        launcher=options.launcher(launcher, resource),
        fold_minutes=fold_minutes,
        retry_failed=retry_failed,
        progress=options.progress(quiet or json),
    )
    if json:
        show.as_json(finished.summary.model_dump(mode="json"))
    else:
        show.summary(finished.summary, finished.paths.html)
    if finished.failed:
        raise typer.Exit(1)


def status(
    out: Annotated[Path, typer.Argument(help="The --out of a study.", metavar="OUT")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every few seconds until nothing is left.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show how far a study is: folds done, running and failed, time left, the slowest, last lines of errors."""
    from microexpr import api

    if json:
        show.as_json(show_grid.as_dict(api.study_status(out)))
    elif watch:
        show_grid.watch(lambda: api.study_status(out))
    else:
        show_grid.status(api.study_status(out))


def collect(
    out: Annotated[Path, typer.Argument(help="The --out of a study that was started with --detach.", metavar="OUT")],
    with_frames: FramesOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the report of a study that was started with --detach, when its folds are done."""
    from microexpr import api

    found = api.collect_study(
        out, command=options.command(), with_frames=with_frames, progress=options.progress(quiet or json)
    )
    if json:
        show.as_json(found.summary.model_dump(mode="json"))
    else:
        show.summary(found.summary, found.paths.html)
    if found.failed:
        raise typer.Exit(1)


def studies(
    study: Annotated[str | None, typer.Argument(help="Print this study's file.", metavar="NAME")] = None,
    json: JsonOption = False,
) -> None:
    """List the studies shipped with microexpr; with a name, print the study's file to adapt and run."""
    from microexpr import api

    found = {row["name"]: row for row in api.list_studies()}
    if study is not None and study not in found:
        raise UsageError(
            "E191", f"microexpr ships no study {study!r}{suggest(study, found)}. Known: {', '.join(found)}."
        )
    if json:
        show.as_json(found[study] if study else list(found.values()))
    elif study:
        typer.echo(Path(found[study]["file"]).read_text("utf-8"), nl=False)
    else:
        show.studies(list(found.values()))


def explain(code: Annotated[str, typer.Argument(help="Code of an error, such as E101.", metavar="CODE")]) -> None:
    """Explain the code of an error: the reason and how to fix it."""
    from microexpr import api

    found = api.explain_code(code)
    typer.echo(f"{found.reason}\n{found.fix}")


def run(
    file: ExperimentArgument,
    data: DataOption,
    out: OutOption,
    settings: SetOption = None,
    seeds: SeedsOption = None,
    no_corrections: RawOption = False,
    skip_invalid: SkipOption = False,
    allow_cropped: CroppedOption = False,
    keep_weights: KeepOption = False,
    with_frames: FramesOption = False,
    workers: WorkersOption = 2,
    jobs: JobsOption = 1,
    launcher: LauncherOption = "local",
    resource: ResourceOption = None,
    fold_minutes: FoldMinutesOption = 0.0,
    retry_failed: RetryOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run one experiment and write its report; --json prints its scores (with several seeds, those of each)."""
    from microexpr import api
    from microexpr.config.experiment import Experiment
    from microexpr.config.study import load

    experiment = load(Experiment, file, options.values(settings))
    finished = api.run_experiment(
        experiment.uncorrected() if no_corrections else experiment,
        options.folders(data),
        out,
        command=options.command(),
        seeds=options.seeds(seeds),
        with_frames=with_frames,
        skip_invalid=skip_invalid,
        allow_cropped=allow_cropped,
        keep_weights=keep_weights,
        workers=workers,
        jobs=jobs,
        launcher=options.launcher(launcher, resource),
        fold_minutes=fold_minutes,
        retry_failed=retry_failed,
        progress=options.progress(quiet or json),
    )
    if json:
        summary = finished.summary.model_dump(mode="json")
        several = {name: summary[name] for name in ("cells", "over_seeds")}
        one = several if summary["over_seeds"] else several["cells"][0]
        show.as_json(one | {name: summary[name] for name in ("latency", "run")})
    else:
        show.summary(finished.summary, finished.paths.html)


def fit(
    file: ExperimentArgument,
    data: DataOption,
    out: OutOption,
    settings: SetOption = None,
    no_corrections: RawOption = False,
    skip_invalid: SkipOption = False,
    allow_cropped: CroppedOption = False,
    workers: WorkersOption = 2,
    quiet: QuietOption = False,
) -> None:
    """Train a model on all clips and save it with its model card."""
    from microexpr import api
    from microexpr.config.experiment import Experiment
    from microexpr.config.study import load

    experiment = load(Experiment, file, options.values(settings))
    model = api.fit(
        experiment.uncorrected() if no_corrections else experiment,
        options.folders(data),
        out,
        skip_invalid=skip_invalid,
        allow_cropped=allow_cropped,
        workers=workers,
        progress=options.progress(quiet),
    )
    card = model.with_name("card.json")
    typer.echo(f"model: {model}\ncard:  {card}")
    show.caveat(loads(card.read_text("utf-8"))["licence"]["caveat"])


def export(
    model: Annotated[
        Path, typer.Argument(help="Folder that `microexpr fit` wrote, or kept weights of a fold.", metavar="MODEL")
    ],
    to: Annotated[
        Literal["auto", "openvino", "onnx"],
        typer.Option("--to", help="Runtime of the graph; auto: openvino on x86, onnx on other processors."),
    ] = "auto",
    precision: Annotated[
        Literal["float32", "bf16"],
        typer.Option("--precision", help="bf16 needs a processor that computes in it (AVX512-BF16, AMX)."),
    ] = "float32",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the graph (default: MODEL/openvino or MODEL/onnx).", metavar="DIR"),
    ] = None,
    views: Annotated[
        int,
        typer.Option("--views", help=f"Random views on which graph and network are compared (bf16: {VIEWS} or more)."),
    ] = VIEWS,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Export a stored network as a graph for OpenVINO or ONNX Runtime, with its card."""
    from microexpr import api

    found = api.export(
        model, to=to, precision=precision, out=out, views=views, progress=options.progress(quiet or json)
    )
    card = loads((found.folder / "card.json").read_text("utf-8"))
    if json:
        show.as_json({"folder": str(found.folder), **card["exported"]})
        return
    show.export(found)
    if caveat := card.get("licence", {}).get("caveat"):
        show.caveat(caveat)


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            help="Folder that `microexpr fit` or `export` wrote, or kept weights of a fold.", metavar="MODEL"
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Databases (DIR, or NAME=DIR to name the reader), manifests (.csv), or folders of numbered images.",
            metavar="INPUT",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the table: .csv or .parquet.", metavar="FILE")
    ] = None,
    runtime: Annotated[
        Literal["auto", "torch", "openvino", "onnx"],
        typer.Option(
            "--runtime",
            help="What computes; auto: a graph that was exported from this model, otherwise, and with CUDA, torch. A "
            "named runtime exports the graph first if it is missing.",
        ),
    ] = "auto",
    workers: WorkersOption = 2,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Predict the class of every clip with a stored model: one row per clip, with notes on the limits."""
    from microexpr import api

    progress = options.progress(quiet or json)
    found = api.predict(model, inputs, out=out, runtime=runtime, workers=workers, progress=progress)
    if json:
        show.as_json(found.astype(object).where(found.notna(), None).to_dict("records"))
    else:
        show.predictions(found, out)
