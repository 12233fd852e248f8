"""Data and models: clips by class, preprocessing, sampling, models, the database, and frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from microexpr.core.words import capitalised, many
from microexpr.report.blocks.database import database_figure, has_times
from microexpr.report.figure import Plot
from microexpr.report.page import Picture, Pictures, Prose
from microexpr.report.summary import Preprocessing, Sampling
from microexpr.report.table import ABSENT, Column, Row, Table, format_value
from microexpr.report.view import StudyView, input_shape

HERE, PUBLISHED = "here", "published"
FLOW_COLOURS = (
    "Colours of the flow: hue is the direction of motion (red: right, yellow-green: down, cyan: left, violet: up), "
    "brightness its size."
)


def shares(view: StudyView) -> Prose:
    """Say whether the protocol separates subjects, and how many it shares between training and test."""
    protocol = view.summary.protocol
    if protocol.subject_independent or protocol.shared_subjects == 0:
        return Prose([f"Under {protocol.title}, no subject is in both training and test."])
    shared, tested = protocol.shared_subjects, protocol.test_subjects
    which = f"all {tested}" if shared == tested else f"{shared} of the {tested}"
    return Prose([
        f"The protocol ({protocol.title}) splits clips, not subjects: {which} subjects of the test set "
        f"{'is' if shared == 1 else 'are'} in the training set as well. A model may recognise the "
        "subject instead of the expression, so these scores do not apply to new subjects."
    ])  # fmt: skip


def classes(view: StudyView) -> Table:
    """Return the clips of each class in each part, with their durations and apex positions."""
    data, stats = view.summary.data, view.summary.dataset_stats
    rows: list[dict[str, Any]] = [
        {"class": capitalised(name), "all": data.counts.get(name)}
        | {part: counts.get(name, 0) for part, counts in data.parts.items()}
        for name in (data.classes if data.counts else ())
    ]
    sums = {key: sum(row[key] or 0 for row in rows) for key in ("all", *data.parts)}
    rows += [{"class": "All", **sums}] if rows else []
    measured = {**(stats.get("classes") or {}), "all": stats.get("all") or {}}
    for row, name in zip(rows, [*data.classes, "all"], strict=True) if rows and stats else ():
        found = measured.get(name) or {}
        row |= {"subjects": found.get("subjects"), "milliseconds": _spread(found.get("milliseconds"), ".0f"),
                "apex": _spread(found.get("apex"), ".2f")}  # fmt: skip
    titles = {"train": "Training", "val": "Validation", "test": "Test"}
    columns = [Column("Class", "class"), *(Column(titles.get(p, p), p, "count") for p in data.parts)]
    columns.append(Column("All", "all", "count"))
    columns += [Column("Subjects", "subjects", "count", missing=ABSENT)] if stats else []
    times = {"milliseconds": "Duration (ms)", "apex": "Apex position"}
    timed = [key for key in times if any(row.get(key) for row in rows)]
    columns += [Column(times[key], key, missing=ABSENT) for key in timed]
    missing = sums["all"] - sum(sums[part] for part in data.parts) if data.parts else 0
    notes = [f"{missing} clips are in no part of the split."] if missing else []
    notes += ["Duration and apex position (0 onset, 1 offset): minimum, median, maximum."] if timed else []
    return Table("classes", "Clips of each class", columns, rows, notes, marks={len(rows) - 1: "rule"}, sortable=False)


def _spread(found: Mapping[str, float] | None, form: str) -> str | None:
    return " / ".join(format(found[key], form) for key in ("min", "median", "max")) if found else None


def database(view: StudyView) -> Plot | None:
    """Draw the classes, subjects, durations and apex positions of the clips."""
    stats = view.summary.dataset_stats
    if not stats.get("each"):
        return None
    times = ", apex positions and durations" if has_times(stats) else ""
    return Plot("database", f"Clips by class and subject{times}", lambda: database_figure(stats))


# --- preprocessing and sampling ---------------------------------------------------------------------------------------
def preprocessing(view: StudyView) -> Table | None:
    """Return the output of each preprocessing, and the number of views of each sampling."""
    measured = view.summary.preprocessing
    if not measured:
        return None
    return _one_per_row(view) if view.many_preprocessings or view.summary.leaderboard else _side_by_side(view)


JITTER = "Box jitter: standard deviation of the crop's centre within a clip, in pixels of the source frame."


def _one_per_row(view: StudyView) -> Table:
    rows = [
        {**found.model_dump(), "name": found.label, "size": _size(found), "colours": ", ".join(found.channels)}
        for found in view.summary.preprocessing.values()
    ]
    columns = [
        Column("Preprocessing", "name"),
        Column("Size", "size"),
        Column("Channels", "colours"),
        Column("Values per image", "values_per_image", "count"),
        Column("Frames with a centred face", "face_centred", "percent"),
        Column("Frames searched for a face", "n_searched", "count"),
        Column("Box jitter (px)", "box_jitter_px", "ms"),
    ]
    return Table("preprocessing", "Preprocessing", columns, rows, [], [JITTER, *_described(view)])


def _side_by_side(view: StudyView) -> Table:
    measured = view.summary.preprocessing
    published = view.summary.published
    beside = {name: found for name in ("m1", "m2") if published and (found := published.preprocessing.get(name))
              and name in map(str.lower, (each.label for each in measured.values()))}  # fmt: skip

    def line(aspect: str, show: Callable[[Preprocessing], str], printed: Callable[[Any], str] | None = None) -> Row:
        return {"aspect": aspect, **{name: show(found) for name, found in measured.items()}} | {
            f"published_{name}": printed(found) if printed else ABSENT for name, found in beside.items()
        }

    rows = [
        line("Resolution", _size, lambda found: f"{found.resolution} × {found.resolution}"),
        line("Channels", lambda found: ", ".join(found.channels), lambda found: str(found.colour)),
        line(
            "Frames with a centred face",
            lambda found: format_value(found.face_centred, "percent"),
            lambda found: format_value(found.face_centred, "percent"),
        ),
        line("Frames searched for a face", lambda found: format_value(found.n_searched, "count")),
        line("Box jitter (px)", lambda found: format_value(found.box_jitter_px, "ms")),
        line(
            "Values per image",
            lambda found: format_value(found.values_per_image, "count"),
            lambda found: format_value(found.values_per_image, "count"),
        ),
    ]
    for sampled in view.summary.sampling.values():
        # Where folds train on different clips there is no single number, so the views of all clips are counted.
        kind, here = ("Training views", sampled.train) if sampled.train else ("Views of all clips", sampled.total)
        printed = published.training_frames.get(sampled.label.lower()) if published and sampled.train else None
        there = ABSENT if printed is None else format_value(printed, "count")
        rows.append(
            {"aspect": f"{kind}, {sampled.label} ({_per_clip(sampled)})"}
            | dict.fromkeys(measured, format_value(here, "count"))
            | dict.fromkeys((f"published_{name}" for name in beside), there)
        )
    columns = [Column("", "aspect")]
    columns += [Column(found.label, name, "count", HERE if beside else "") for name, found in measured.items()]
    columns += [Column(name.upper(), f"published_{name}", "count", PUBLISHED, ABSENT) for name in beside]
    method = ["Views are model inputs, counted after frames outside the clip and repeated frames were dropped.", JITTER]
    method += ["The publication does not define its share of centred faces."] if beside else []
    return Table("preprocessing", "Preprocessing and sampling", columns, rows, [], [*method, *_described(view)],
                 {6: "rule"}, sortable=False)  # fmt: skip


def _described(view: StudyView) -> list[str]:
    return [f"{found.label}: {found.description.rstrip('.')}." for found in view.summary.preprocessing.values()]


def _size(found: Preprocessing) -> str:
    return f"{found.width} × {found.height}"


def _per_clip(found: Sampling) -> str:
    nominal = "" if found.nominal is None else f"nominally {found.nominal}, "
    return f"{nominal}counted {format_value(found.per_clip, 'count')} per clip"


def models(view: StudyView) -> Table:
    """Return token mixing, parameters and initial weights of each model."""
    found = view.summary.models
    rows: list[dict[str, Any]] = [
        {
            "model": model.label,
            "token_mixing": model.token_mixing,
            "networks": build.ensemble,
            "input": ", ".join(map(input_shape, build.inputs)),
            "parameters": build.parameters,
            "weights": build.weights,
        }
        for model in found.values()
        for build in model.builds
    ]
    columns = [
        Column("Model", "model"),
        Column("Token mixing", "token_mixing", missing=ABSENT),
        *([Column("Networks", "networks", "count")] if any(row["networks"] > 1 for row in rows) else []),
        *([Column("Input", "input", missing=ABSENT)] if len(rows) > len(found) else []),
        Column("Parameters", "parameters", "count", missing=ABSENT),
        Column("Initial weights", "weights"),
    ]
    published = view.summary.published
    return Table("models", "Models", columns, rows, [], list(published.model_notes) if published else [])


# --- frames -----------------------------------------------------------------------------------------------------------
def contact_sheets(view: StudyView) -> list[Pictures | Prose]:
    """Return what models saw of a clip of every class: onset, apex and flow, for every model input.

    Of synthetic databases, and of others only where the user asked for it.
    """
    sheets = view.summary.contact_sheet
    first_flow = next((at for at, sheet in enumerate(sheets) if sheet.has_flow), None)
    shown: list[Pictures | Prose] = [
        Pictures(
            f"contact_sheet_{at}",
            [Picture(each.caption, f"data:image/png;base64,{each.png_base64}") for each in sheet.clips],
            f"What models saw: {sheet.title}",
            FLOW_COLOURS if at == first_flow else "",
            width="sheet",
        )
        for at, sheet in enumerate(sheets)
    ]
    if omitted := view.summary.contact_sheets_omitted:
        shown.append(Prose([f"Not shown: {many(omitted, 'further input')} of models."]))
    return shown


def examples(view: StudyView) -> Pictures | None:
    """Return the frames of one clip after every preprocessing and sampling, likewise."""
    found = [Picture(each.caption, f"data:image/png;base64,{each.png_base64}") for each in view.summary.examples]
    width = "many" if view.many_preprocessings else ""
    return Pictures("examples", found, width=width) if found else None
