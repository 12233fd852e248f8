"""The paper's Tables I to V, made from a summary, with the published numbers beside them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from microexpr.report.reading import Cell, Reading, input_shape
from microexpr.report.table import ABSENT, NOT_MEASURED, Column, Table, format_value

HERE, PAPER = "here", "paper"
BASELINES = {"guessing": "Random guessing", "majority": "Majority class"}
"""Baselines that use no image."""


def paper_tables(reading: Reading) -> list[Table]:
    """Return those of Tables III, I, II, IV and V that the summary has values for."""
    makers = _makers(reading)
    made = [table for maker in makers if (table := maker(reading)) is not None and table.rows]
    if not reading.default_cells_note:
        return made
    about_all = ("table1_dataset", "table2_architectures")
    return [t if t.name in about_all else replace(t, notes=[*t.notes, reading.default_cells_note]) for t in made]


def _makers(reading: Reading) -> tuple[Callable[[Reading], Table | None], ...]:
    if reading.leaderboard:  # methods differ in several of the paper's axes at once
        return dataset, architectures
    return (
        (architectures,)
        if reading.many_preprocessings
        else (main_results, dataset, evolution, per_class, architectures)
    )


def scores(prefix: str) -> tuple[str, str, str]:
    """Return the keys of a macro-F1 and its interval in a row."""
    return f"{prefix}macro_f1", f"{prefix}ci_low", f"{prefix}ci_high"


def scored(prefix: str, cell: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values of `scores` for a cell; empty where the cell was not measured."""
    return {} if cell is None else dict(zip(scores(prefix), map(cell.get, scores("")), strict=True))


def main_results(reading: Reading) -> Table | None:
    """Return Table III: the best model of each phase; None for a single experiment."""
    methods = reading.levels("preprocessing")
    if not reading.best_by_sampling or reading.single_experiment:
        return None
    rows = [_main_row(reading, sampling, cell) for sampling, cell in reading.best_by_sampling.items()]
    for name, title in BASELINES.items():
        baseline = reading.part("baselines").get(name)
        if baseline:
            blank = dict.fromkeys(("right", "paper_model", "paper_m1_macro_f1", "paper_m2_macro_f1"), ABSENT)
            rows.append({"phase": title, "model": ABSENT, **blank})
            rows[-1] |= {key: value for method in methods for key, value in scored(f"{method}_", baseline).items()}
    first = reading.label("preprocessing", methods[0])
    columns = [Column("Phase", "phase"), Column("Model", "model", group=HERE)]
    wide = len(methods) > 2
    columns += [
        Column(reading.label("preprocessing", name), f"{name}_macro_f1", "score", HERE)
        if wide
        else Column(
            f"{reading.label('preprocessing', name)} F1 [{reading.interval_level}]",
            scores(f"{name}_"),
            "interval",
            HERE,
        )
        for name in methods
    ]
    columns += [Column("Correct clips", "right", "count", HERE)] if len(methods) > 1 else []
    if any(map(reading.paper_preprocessing, methods)) and any(map(reading.paper_main_row, reading.best_by_sampling)):
        columns += [
            Column("Model", "paper_model", group=PAPER),
            Column("M1 F1 [95 %]", scores("paper_m1_"), "published", PAPER, ABSENT),
            Column("M2 F1", "paper_m2_macro_f1", "published", PAPER, ABSENT),
        ]
    notes = [
        f"Macro-F1; {reading.test_clips}; {'intervals in the table of all cells' if wide else reading.interval_note}."
    ]
    notes += [reading.rare_classes_note] if reading.rare_classes_note else []
    if len(reading.levels("model")) > 1:
        notes.append(
            f"The model of each phase is the one with the highest macro-F1 under {first} on the test set itself, as in "
            "the paper: this selection on test clips overestimates its score by an unknown amount."
        )
    if len(methods) > 1:
        order = ", then ".join(reading.label("preprocessing", name) for name in methods)
        notes.append(f"Correct clips: correctly classified test clips under {order}, and the number of test clips.")
    notes.append(
        "Random guessing: mean and central 95 % of 2,000 draws from the class shares of the training clips. Neither "
        "baseline uses an image, so both are the same under every preprocessing."
    )
    marks = {len(reading.best_by_sampling): "reference rule"} | {len(reading.best_by_sampling) + 1: "reference"}
    return Table("table3_main_results", "Main results: the best model of each phase", columns, rows, notes, marks)


def _main_row(reading: Reading, sampling: str, winner: Cell) -> dict[str, Any]:
    cells = {name: reading.find(name, sampling, winner["model"]) for name in reading.levels("preprocessing")}
    right = [reading.correct_count(cell) for cell in cells.values()]
    row: dict[str, Any] = {
        "phase": reading.label("sampling", sampling),
        "model": reading.label("model", winner["model"]),
        "right": " / ".join(NOT_MEASURED if n is None else str(n) for n in right) + f" of {winner.get('n_test', '?')}",
        "paper_model": ABSENT,
    }
    for name, cell in cells.items():
        row |= scored(f"{name}_", cell)
    paper = reading.paper_main_row(sampling)
    if paper:
        low, high = paper.get("m1_ci") or (None, None)
        row |= {"paper_model": NAMES.get(paper["model"], paper["model"]), "paper_m1_macro_f1": paper.get("m1")}
        row |= {"paper_m1_ci_low": low, "paper_m1_ci_high": high, "paper_m2_macro_f1": paper.get("m2")}
    return row


def dataset(reading: Reading) -> Table | None:
    """Return Table I: the output of each preprocessing, and the number of views of each sampling."""
    metadata = reading.part("preprocessing")
    if not metadata:
        return None
    published = reading.paper.get("table1") or {}
    methods = {name: reading.paper_preprocessing(name) for name in metadata}
    beside = {method: published[method] for method in methods.values() if method and method in published}

    def line(aspect: str, values: Mapping[str, str], paper: Mapping[str, str] | None = None) -> dict[str, Any]:
        known = paper or dict.fromkeys(beside, ABSENT)
        return {"aspect": aspect, **values, **{f"paper_{method}": text for method, text in known.items()}}

    rows = [
        line("Resolution", _each(metadata, _size), _each(beside, lambda p: "{0} × {0}".format(p["resolution"]))),
        line(
            "Channels",
            _each(metadata, lambda f: ", ".join(f.get("channels") or [])),
            _each(beside, lambda p: p["colour"]),
        ),
        line(
            "Frames with a centred face",
            *(_each(side, lambda f: format_value(f.get("face_centred"), "percent")) for side in (metadata, beside)),
        ),
        line("Frames searched for a face", _each(metadata, lambda f: format_value(f.get("n_searched"), "count"))),
        line("Box jitter (px)", _each(metadata, lambda f: format_value(f.get("box_jitter_px"), "ms"))),
        line(
            "Values per image",
            *(_each(s, lambda f: format_value(f.get("values_per_image"), "count")) for s in (metadata, beside)),
        ),
    ]
    for name, fact in reading.part("sampling").items():
        trained = (published.get("training_frames") or {}).get((reading.paper_phase(name) or "").lower())
        there = ABSENT if trained is None else format_value(trained, "count")
        # Where folds train on different clips there is no single number, so the views of all clips are counted.
        kind, here = (
            ("Training views", fact["train"]) if fact.get("train") else ("Views of all clips", fact.get("total"))
        )
        there = there if kind == "Training views" else ABSENT
        what = f"{kind}, {reading.label('sampling', name)} ({_per_clip(fact)})"
        rows.append(line(what, dict.fromkeys(metadata, format_value(here, "count")), dict.fromkeys(beside, there)))
    columns = [Column("", "aspect")]
    columns += [Column(reading.label("preprocessing", name), name, "count", HERE) for name in metadata]
    columns += [Column(method.upper(), f"paper_{method}", "count", PAPER, ABSENT) for method in beside]
    notes = ["Views are model inputs, counted after frames outside the clip and repeated frames were dropped."]
    notes += ["Box jitter: standard deviation of the crop's centre within a clip, in pixels of the source frame."]
    notes += ["The paper does not define its share of centred faces."] if beside else []
    said = {reading.label("preprocessing", name): fact.get("description") for name, fact in metadata.items()}
    notes += [f"{label}: {text.rstrip('.')}." for label, text in said.items() if text]
    marks = {5: "rule"}
    return Table("table1_dataset", "Data and preprocessing", columns, rows, notes, marks)


def _size(fact: Mapping[str, Any]) -> str:
    return f"{fact['width']} × {fact['height']}" if fact.get("width") and fact.get("height") else NOT_MEASURED


def _each(metadata: Mapping[str, Any], show: Callable[[Any], str]) -> dict[str, str]:
    return {name: show(fact) for name, fact in metadata.items()}


def _per_clip(fact: Mapping[str, Any]) -> str:
    nominal, counted = fact.get("nominal"), fact.get("per_clip")
    parts = [f"nominally {nominal}"] if nominal is not None else []
    parts += [f"counted {format_value(counted, 'count')}"] if counted is not None else []
    return ", ".join(parts) + " per clip" if parts else "per clip " + NOT_MEASURED


def architectures(reading: Reading) -> Table | None:
    """Return Table II: token mixing, parameters and initial weights of each model."""
    labels = [reading.label("model", name) for name in reading.part("models")]
    rows = [
        {
            "model": label if labels.count(label) == 1 else f"{label}, {name}",
            "token_mixing": fact.get("token_mixing"),
            "networks": build.get("ensemble", 1),
            "input": ", ".join(map(input_shape, build.get("inputs", []))),
            "parameters": build.get("parameters"),
            "weights": build.get("weights", fact.get("weights")),
        }
        for label, (name, fact) in zip(labels, reading.part("models").items(), strict=True)
        for build in fact.get("builds") or [fact]
    ]
    columns = [
        Column("Model", "model"),
        Column("Token mixing", "token_mixing", missing=ABSENT),
        *([Column("Networks", "networks", "count")] if any(row["networks"] > 1 for row in rows) else []),
        *([Column("Input", "input", missing=ABSENT)] if len(rows) > len(labels) else []),
        Column("Parameters", "parameters", "count"),
        Column("Weights", "weights", missing="not stated"),
    ]
    notes = ["Paper: ImageNet weights for all models; 56 M parameters for PoolFormer-m36 and 73 M for m48."]
    return Table("table2_architectures", "Architectures", columns, rows, notes if reading.follows_paper else [])


def evolution(reading: Reading) -> Table | None:
    """Return Table IV: every model in each phase."""
    phases = reading.levels("sampling")
    if len(phases) < 2:
        return None
    rows: list[dict[str, Any]] = []
    marks: dict[int, str] = {}
    known = {str(row.get("model")): row for row in reading.published("table4")}
    for name in reading.levels("preprocessing"):
        marks[len(rows)] = "rule"
        for model in reading.levels("model"):
            found = {phase: reading.score(reading.find(name, phase, model)) for phase in phases}
            row: dict[str, Any] = {
                "preprocessing": reading.label("preprocessing", name),
                "model": reading.label("model", model),
                **found,
            }
            ends = found[phases[0]], found[phases[-1]]
            row["change"] = None if ends[0] is None or ends[1] is None else ends[1] - ends[0]
            paper = known.get(sibling(model) or "") if reading.paper_preprocessing(name) == "m1" else None
            row["paper_model"] = ABSENT if paper is None else NAMES.get(paper["model"], paper["model"])
            row |= {f"paper_{phase}": (paper or {}).get((reading.paper_phase(phase) or "").lower()) for phase in phases}
            rows.append(row)
    ends_shown = "{} to {}".format(*(reading.label("sampling", phase) for phase in (phases[0], phases[-1])))
    columns = [Column("", "preprocessing"), Column("Model", "model")]
    columns += [Column(reading.label("sampling", phase), phase, "score", HERE) for phase in phases]
    columns += [Column(ends_shown, "change", "change", HERE)]
    published = any(row["paper_model"] != ABSENT for row in rows)
    if published:
        columns += [Column("Model", "paper_model", group=PAPER)]
        columns += [
            Column(reading.label("sampling", p), f"paper_{p}", "published", PAPER, ABSENT)
            for p in phases
            if reading.paper_phase(p)
        ]
    notes = [f"Macro-F1; {reading.test_clips}. Intervals are in the table of all cells."]
    if published:
        notes.append("The paper reports M1 only. A smaller model is listed beside the paper's model of its family.")
    return Table("table4_evolution", "Models by phase", columns, rows, notes, marks)


def per_class(reading: Reading) -> Table | None:
    """Return Table V: F1 of every class for the best models of the first and last phase."""
    winners = list(reading.best_by_sampling.values())
    chosen = winners if len(winners) < 2 else [winners[0], winners[-1]]
    cells = [
        cell
        for winner in chosen
        for name in reading.levels("preprocessing")
        if (cell := reading.find(name, winner["sampling"], winner["model"]))
    ]
    tested = next((counts for cell in cells if (counts := reading.test_counts(cell))), None)
    # For a single experiment the table of classes has more, and the paper has no column to compare with.
    redundant = reading.single_experiment and bool(reading.rows("detail")) and not reading.follows_paper
    if not cells or not reading.classes or redundant:
        return None
    published = {str(row.get("emotion", "")).lower(): row for row in reading.published("table5")}
    beside = (
        _paper_columns(published, reading)
        if any(map(reading.paper_preprocessing, reading.levels("preprocessing")))
        else []
    )
    rows = []
    for at, emotion in enumerate(reading.classes):
        row: dict[str, Any] = {"class": emotion[:1].upper() + emotion[1:], "n": tested[at] if tested else None}
        for cell in cells:
            value = (cell.get("per_class_f1") or {}).get(emotion)
            row[_key(cell)] = ABSENT if value is None and tested and tested[at] == 0 else value
        row |= {str(column.keys): published.get(emotion.lower(), {}).get(str(column.keys)) for column in beside}
        rows.append(row)
    columns = [Column("Class", "class"), Column("Test clips", "n", "count")]
    columns += [
        Column(
            reading.label("preprocessing", cell["preprocessing"]),
            _key(cell),
            "score",
            f"{reading.label('model', cell['model'])}, {reading.label('sampling', cell['sampling'])}",
        )
        for cell in cells
    ]
    notes = ["F1 of each class for the best model of the first and of the last phase."] if len(chosen) > 1 else []
    notes += [
        f"A class without test clips has no F1 ({ABSENT}) and is excluded from macro-F1 (see the table of scores).",
        "The recall of a class with one to three test clips changes by a third or more with a single clip.",
    ]
    return Table("table5_per_class", "F1 of each class", [*columns, *beside], rows, notes)


def _key(cell: Cell) -> str:
    return f"{cell['model']}-{cell['sampling']}-{cell['preprocessing']}"


def _paper_columns(published: Mapping[str, Mapping[str, Any]], reading: Reading) -> list[Column]:
    if not set(published) & {emotion.lower() for emotion in reading.classes}:
        return []
    keys = [key for key in next(iter(published.values())) if key.rsplit("-", 1)[-1] in ("m1", "m2")]
    return [Column(key[-2:].upper(), key, "score", f"paper: {NAMES.get(key[:-3], key[:-3])}", ABSENT) for key in keys]


# --- published numbers ------------------------------------------------------------------------------------------------
FAMILIES = {"vit": "vit_b32", "swin": "swin_b", "poolformer": "poolformer_m36"}
"""The paper's model that smaller models of the same family are compared with."""

NAMES = {
    "vit_b32": "ViT-p32",
    "swin_b": "SwinT",
    "poolformer_m36": "Pool-m36",
    "poolformer_m48": "Pool-m48",
    "poolformer": "PoolFormer",
}
"""The paper's names of the models."""


@cache
def paper() -> Mapping[str, Any]:
    """Return the paper's tables (`paper.toml`) as plain data."""
    return tomllib.loads(files("microexpr.report").joinpath("paper.toml").read_text(encoding="utf-8"))


def sibling(model: str) -> str | None:
    """Return the paper's model of the same family: the model itself, or the one that a smaller model corresponds to.

    >>> sibling("poolformer_m48"), sibling("swin_nano"), sibling("pca_svm")
    ('poolformer_m48', 'swin_b', None)
    """
    if model == "poolformer_m48":
        return model
    return next((name for family, name in FAMILIES.items() if model.startswith(family)), None)
