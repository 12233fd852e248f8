"""The report's section on what models look at: its part of the summary, tables, figure and sentences."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from microexpr.report.examples import made_up
from microexpr.report.figures import Plot
from microexpr.report.reading import Reading, number, short
from microexpr.report.style import MARKERS, SERIES, SOFT, WIDTH, legend_handles
from microexpr.report.table import ABSENT, Column, Table
from microexpr.runs.explain import INSENSITIVE, REGIONS, Explained, ExplainedClip, overlays
from microexpr.runs.study import StudyResult

COARSE = 4
"""Places down or across below which two maps correlate by chance."""
MOST = 12
"""Models that a figure can tell apart by their markers and colours."""


# --- the summary ------------------------------------------------------------------------------------------------------
def explanations(result: StudyResult) -> dict[str, Any]:
    """Return what the models of a study look at; empty where nothing was asked."""
    if not result.explained:
        return {}
    return {
        "threshold": INSENSITIVE,
        "seeds": result.study.explanations.seeds,
        "per_class": result.study.explanations.clips,
        "folds": max(len(each.folds) for each in result.explained),
        "bar": base64.b64encode(overlays.png(overlays.bar())).decode(),
        "rows": [_row(each) for each in result.explained],
    }


def _row(found: Explained) -> dict[str, Any]:
    drawn, made = made_up(found.plan.data.dataset), found.plan.experiment
    return {
        "name": found.name,
        "key": found.plan.key,
        "model": found.plan.model.label,
        "shows": ", ".join([part.label for part in (made.preprocessing, made.sampling, made.representation)]),
        "seed": made.seed,
        "explainer": found.explainer.label,
        "component": found.component.label,
        "scale": found.explainer.scale,
        "by_class": found.explainer.by_class,
        "folds": [fold.fold for fold in found.folds],
        "clips": found.clips,
        "maps": found.views,
        "empty": found.empty,
        "without_face": found.without_face,
        "places": list(found.folds[0].places),
        "to_random": _mean(found.to_random),
        "among_random": _mean(found.among_random),
        "compared": len(found.to_random),
        "flagged": found.flagged,
        "permuted": not found.plan.model.trains_in_epochs,
        "regions": {name: {"share": mine, "area": area} for name, (mine, area) in found.regions().items()},
        "folder": "/".join(found.folder.parts[-4:]),
        "overlaid": drawn,
        "shown": [_shown(found, each, drawn=drawn) for each in found.shown],
    }


def _mean(by_clip: pd.Series[float]) -> float | None:
    return float(by_clip.mean()) if len(by_clip) else None


def _shown(found: Explained, each: ExplainedClip, *, drawn: bool) -> dict[str, Any]:
    classes = found.plan.data.labels.classes
    return {
        "clip": each.clip,
        "fold": each.fold,
        "true": classes[each.y_true],
        "predicted": classes[each.y_pred],
        "probability": each.probability,
        "strongest": each.strongest,
        "to_random": each.to_random,
        "panels": list(each.titles if drawn else each.titles[-1:]),
        "jpeg_base64": base64.b64encode(overlays.jpeg(each.overlaid if drawn else each.alone)).decode(),
    }


# --- tables and the figure --------------------------------------------------------------------------------------------
def explanation_tables(reading: Reading) -> list[Table]:
    """Return how maps stand against those of randomised models, and where in the face they lie."""
    return [table for table in (_sanity(reading), _regions(reading)) if table.rows]


def _rows(reading: Reading) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = reading.part("explanations").get("rows") or []
    return found


def _sanity(reading: Reading) -> Table:
    rows = [
        {**row, "grid": f"{row['places'][0]} × {row['places'][1]}", "verdict": _verdict(row)} for row in _rows(reading)
    ]
    columns = [
        Column("Name", "name"),
        Column("Maps by", "explainer"),
        Column("Places", "grid"),
        Column("Test clips", "clips", "count"),
        Column("Maps", "maps", "count"),
        Column("Empty", "empty", "count"),
        Column("to randomised", "to_random", "change", group="Rank correlation", missing=ABSENT),
        Column("among these", "among_random", "change", group="Rank correlation", missing=ABSENT),
        Column("of clips", "compared", "count", group="Rank correlation"),
        *([Column("Verdict", "verdict", missing=" ")] if any(row["verdict"] for row in rows) else []),
    ]
    threshold, seeds = reading.part("explanations").get("threshold"), reading.part("explanations").get("seeds")
    notes = [
        f"To randomised: Spearman's correlation of a map with those of {seeds} models that learnt nothing, mean over "
        "models and clips; among these: of every two of them. Networks start anew from other seeds, what is fitted "
        "once is fitted to permuted labels (Adebayo et al., NeurIPS 2018). "
        f"From {threshold} on the maps are flagged. Not flagged does not mean right: noise is like nothing. {ABSENT}: "
        "all maps, or all of the randomised models', are the same everywhere, and nothing correlates.",
        "Places: how many a map tells apart down and across; between them it is interpolated. Of fewer than "
        f"{COARSE} × {COARSE} the correlation is far from 0 by chance (too coarse). Empty: maps that are 0 everywhere.",
    ]
    return Table("explanations", "Maps against those of randomised models", columns, rows, notes)


def _verdict(row: Mapping[str, Any]) -> str:
    if row["flagged"]:
        return "flagged"
    if row["empty"] == row["maps"]:
        return "all empty"
    if row["to_random"] is None:
        return "not known"
    return "too coarse" if min(row["places"]) < COARSE else ""


def _regions(reading: Reading) -> Table:
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    for row in _rows(reading):
        if not row["regions"]:
            continue
        marks |= {len(rows): "rule"} if rows else {}
        shares = {name: row["regions"][name] for name in REGIONS if name in row["regions"]}
        shares["elsewhere"] = {what: 1 - sum(each[what] for each in shares.values()) for what in ("share", "area")}
        lines = {
            "share of the map": {name: each["share"] for name, each in shares.items()},
            "share of the picture": {name: each["area"] for name, each in shares.items()},
            "their ratio": {
                name: each["share"] / each["area"] if each["area"] > 0 else None for name, each in shares.items()
            },
        }
        rows += [
            {"name": "" if at else _told_with_places(row), "what": what, **values}
            for at, (what, values) in enumerate(lines.items())
        ]
    columns = [
        Column("Name", "name", missing=" "),
        Column("", "what"),
        *(Column(name.capitalize(), name, "score", missing=ABSENT) for name in (*REGIONS, "elsewhere")),
    ]
    notes = [
        "Means over the clips of all maps that are not empty. A ratio of 1 is what a map gives that is the same "
        "everywhere. Regions are fixed parts of the detected face box (of the picture, where it is a face that was cut "
        "out before), left and right joined; they do not follow the features of a face. Brows are a fifth of a face's "
        "height, eyes too: a map with fewer places in a face cannot tell them apart.",
        *_faceless(reading),
    ]
    return Table("explanation_regions", "Where in the face the maps lie", columns, rows, notes, marks)


def _told_with_places(row: Mapping[str, Any]) -> str:
    down, across = row["places"]
    return f"{row['name']}, {row['explainer']} ({down} × {across} places)"


def _faceless(reading: Reading) -> list[str]:
    told = [f"{row['name']} {row['without_face']} of {row['maps']}" for row in _rows(reading) if row["without_face"]]
    if not told:
        return []
    return [f"Views in which no face is known, and which are left out: {', '.join(told)}."]


def explanation_figure(reading: Reading) -> Plot | None:
    """Draw by region how much more of each map lies there than of the picture."""
    known = [row for row in _rows(reading) if row["regions"]]
    rows, left = known[:MOST], known[MOST:]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 0.42 * len(REGIONS) + 0.9), layout="constrained")
    axes = figure.subplots()
    spread = min(0.11, 0.7 / len(rows))
    for at, row in enumerate(rows):
        points = [
            (y + spread * (at - (len(rows) - 1) / 2), share["share"] / share["area"])
            for y, name in enumerate(REGIONS)
            if (share := row["regions"].get(name)) and number(share["area"])
        ]
        style = _look(at, flagged=row["flagged"])
        axes.plot([x for _, x in points], [y for y, _ in points], **style)
    axes.axvline(1, color=SOFT, linewidth=0.9)
    axes.set_yticks(range(len(REGIONS)), [name.capitalize() for name in REGIONS])
    axes.set_ylim(len(REGIONS) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the map over share of the picture")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    entries = {
        short(f"{row['name']}, {row['explainer']}", 40): _look(at, flagged=row["flagged"])
        for at, row in enumerate(rows)
    }
    figure.legend(handles=legend_handles(entries), loc="outside upper left", ncols=3)
    notes = ["Right of 1: more of the map than of the picture."]
    notes += ["Open: flagged, a randomised model gives about the same map."] if any(r["flagged"] for r in rows) else []
    notes += [f"Not drawn: {', '.join(row['name'] for row in left)}."] if left else []
    return Plot("explanations", "What the maps favour in the face", figure, notes)


def _look(at: int, *, flagged: bool) -> dict[str, Any]:
    colour = SERIES[at % len(SERIES)]
    face = "white" if flagged else colour
    return {
        "color": colour,
        "marker": MARKERS[at % len(MARKERS)],
        "markerfacecolor": face,
        "markersize": 5.0,
        "linestyle": "none",
    }


# --- sentences --------------------------------------------------------------------------------------------------------
def about(reading: Reading) -> str:
    """Return what is shown of what, in a sentence or two."""
    per_class, folds = (int(reading.part("explanations").get(name) or 1) for name in ("per_class", "folds"))
    looked = "fold tests" if folds == 1 else f"{folds} folds test"
    first = "first clip by key that was" if per_class == 1 else f"first {per_class} clips by key that were"
    free = [f"{row['explainer']} ({row['name']})" for row in _rows(reading) if not row["by_class"]]
    told = f" The same for every class: {', '.join(free)}." if free else ""
    return (
        f"Maps of all clips that the first {looked}, of the first cell of each name. Each is made with the weights "
        f"of the fold, which did not train on the clip, for the class that was predicted, right or wrong.{told} Shown "
        f"are, of every class, the {first} predicted rightly and as many wrongly, whatever their maps look like. "
        "A map says where in the picture a model's answer comes from; it does not say that this is why, nor that a "
        "face shows an emotion there."
    )


def stamped(reading: Reading) -> list[dict[str, str]]:
    """Return what must be read before the maps are believed, as the page stamps it."""
    made = []
    for row in _rows(reading):
        title = f"{row['name']}, {row['explainer']}"
        if row["flagged"]:
            told = (
                f"{title}: a randomised model gives about the same map (rank correlation {row['to_random']:.2f}); this "
                "map says nothing about what was learnt."
            )
            made.append({"level": "warning", "text": told})
        if row["empty"]:
            told = f"{title}: {row['empty']} of {row['maps']} maps are 0 everywhere and say nothing."
            made.append({"level": "note", "text": told})
    return made


def caption(row: Mapping[str, Any], each: Mapping[str, Any]) -> str:
    """Return what stands under the pictures of one clip."""
    right = each["true"] == each["predicted"]
    told = "right" if right else f"wrong, it is {each['true']}"
    panels = f" {', '.join(each['panels'])}." if each["panels"] else ""
    full = f"Full colour: {each['strongest']:.2g}" if each["strongest"] > 0 else "The map is 0 everywhere"
    likeness = "" if each["to_random"] is None else f" To randomised models: {each['to_random']:+.2f}{_alike(each)}."
    return f"{each['clip']}: {each['predicted']} ({each['probability']:.2f}), {told}.{panels} {full}.{likeness}"


def _alike(each: Mapping[str, Any]) -> str:
    return ", about the same map" if each["to_random"] >= INSENSITIVE else ""
