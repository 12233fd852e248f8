"""What a study that replicates a publication adds to its page: the published tables and figures beside its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from microexpr.config.published import Published, PublishedPhase
from microexpr.core.words import capitalised
from microexpr.report.blocks.scores import baseline_lines, matrix_of, model_style
from microexpr.report.figure import INK, MARKERS, SHADE, SOFT, WIDTH, Plot, canvas, legend_handles
from microexpr.report.page import Prose
from microexpr.report.summary import Cell
from microexpr.report.table import ABSENT, Column, Row, Table
from microexpr.report.view import BASELINES, StudyView, correct_count, test_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HERE, PAPER = "here", "published"
PHASES = ("AF", "KFS", "MFS")
"""The publication's names of the samplings."""


def _replicates(view: StudyView) -> Published | None:
    """Return the published numbers where the grid has the form of the publication's."""
    return None if view.many_preprocessings or view.summary.leaderboard else view.summary.published


def _phase(view: StudyView, sampling: str) -> str:
    """Return the publication's name of a sampling; empty where it has none."""
    names = {sampling.upper(), view.label("sampling", sampling).upper()}
    return next((phase for phase in PHASES if phase in names), "")


def _published_input(view: StudyView, preprocessing: str) -> str:
    """Return the publication's name of a preprocessing (m1, m2); empty where it has none."""
    names = {preprocessing.lower(), view.label("preprocessing", preprocessing).lower()}
    return next((method for method in ("m1", "m2") if method in names), "")


def _row(view: StudyView, found: Published, sampling: str) -> PublishedPhase | None:
    phase = _phase(view, sampling)
    return next((row for row in found.phases if phase and row.phase == phase), None)


def _captioned(view: StudyView, name: str, caption: str) -> str:
    """Return a caption that names the published table or figure, if there is one."""
    published = view.summary.published.captions.get(name) if view.summary.published else None
    return f"{caption} ({published})" if published else caption


def _scores(prefix: str) -> tuple[str, str, str]:
    """Return the keys of a score and its interval in a row."""
    return f"{prefix}score", f"{prefix}ci_low", f"{prefix}ci_high"


# --- tables -----------------------------------------------------------------------------------------------------------
def main_results(view: StudyView) -> Table | None:
    """Return the best model of each sampling under each preprocessing, beside the published ones (Table III)."""
    found, methods = _replicates(view), view.levels("preprocessing")
    if found is None or not view.best_by_sampling or view.single_experiment:
        return None
    rows: list[Row] = [_main_row(view, found, sampling, cell) for sampling, cell in view.best_by_sampling.items()]
    for name, title in BASELINES.items():
        if baseline := view.summary.baselines.get(name):
            blank = dict.fromkeys(("right", "paper_model", *_scores("paper_m1_")[:1], "paper_m2_score"), ABSENT)
            values = {key: value for method in methods
                      for key, value in zip(_scores(f"{method}_"), (baseline.score, baseline.ci_low, baseline.ci_high),
                                            strict=True)}  # fmt: skip
            rows.append({"phase": title, "model": ABSENT, **blank, **values})
    columns = [Column("Sampling", "phase"), Column("Model", "model", group=HERE)]
    columns += [
        Column(view.label("preprocessing", name), f"{name}_score", "score", HERE)
        if len(methods) > 2
        else Column(f"{view.label('preprocessing', name)} [{view.interval_level}]", _scores(f"{name}_"), "interval",
                    HERE)
        for name in methods
    ]  # fmt: skip
    columns += [Column("Correct clips", "right", group=HERE)] if len(methods) > 1 else []
    if any(_published_input(view, name) for name in methods):
        columns += [
            Column("Model", "paper_model", group=PAPER),
            Column("M1 [95 %]", _scores("paper_m1_"), "published", PAPER, ABSENT),
            Column("M2", "paper_m2_score", "published", PAPER, ABSENT),
        ]
    first = view.label("preprocessing", methods[0])
    notes = [f"{view.score_head}. The models were selected on the test clips, as in the publication, so their scores "
             "are optimistically biased."]  # fmt: skip
    if len(view.levels("model")) < 2:
        notes = [f"{view.score_head}."]
    notes += view.rare_classes_notes
    method = [f"{view.test_clips}; {view.interval_note}."]
    if len(view.levels("model")) > 1:
        method.append(f"The model of each sampling is the one with the highest score under {first}.")
    if len(methods) > 1:
        order = ", then ".join(view.label("preprocessing", name) for name in methods)
        method.append(f"Correct clips: correctly classified test clips under {order}, and the number of test clips.")
    marks = {len(view.best_by_sampling): "reference rule"} | {len(view.best_by_sampling) + 1: "reference"}
    caption = _captioned(view, "main_results", "Main results: the best model of each sampling")
    links = {at: matrix_of(view, cell) for at, cell in enumerate(view.best_by_sampling.values())}
    return Table(
        "main_results", caption, columns, rows, _only_default(view, notes), method, marks, links, sortable=False
    )


def _only_default(view: StudyView, notes: Sequence[str]) -> list[str]:
    return [*notes, *([view.default_cells_note] if view.default_cells_note else [])]


def _main_row(view: StudyView, found: Published, sampling: str, winner: Cell) -> dict[str, Any]:
    cells = {name: view.find(name, sampling, winner.model) for name in view.levels("preprocessing")}
    right = [ABSENT if cell is None else str(correct_count(cell.confusion)) for cell in cells.values()]
    row: dict[str, Any] = {
        "phase": view.label("sampling", sampling),
        "model": view.label("model", winner.model),
        "right": f"{' / '.join(right)} of {winner.n_test}",
        "paper_model": ABSENT,
    }
    for name, cell in cells.items():
        if cell:
            row |= dict(zip(_scores(f"{name}_"), (cell.score, cell.ci_low, cell.ci_high), strict=True))
    if there := _row(view, found, sampling):
        low, high = there.m1_ci or (None, None)
        row |= {"paper_model": found.name(there.model), "paper_m1_score": there.m1, "paper_m2_score": there.m2}
        row |= {"paper_m1_ci_low": low, "paper_m1_ci_high": high}
    return row


def evolution(view: StudyView) -> Table | None:
    """Return every model in each sampling, beside the published ones (Table IV)."""
    found, phases = _replicates(view), view.levels("sampling")
    if found is None or len(phases) < 2:
        return None
    rows: list[Row] = []
    marks: dict[int, str] = {}
    known = {row.model: row.scores for row in found.models}
    for name in view.levels("preprocessing"):
        marks[len(rows)] = "rule"
        for model in view.levels("model"):
            cells = {phase: view.find(name, phase, model) for phase in phases}
            scores = {phase: cell.score if cell else None for phase, cell in cells.items()}
            row: dict[str, Any] = {"preprocessing": view.label("preprocessing", name)}
            row |= {"model": view.label("model", model), **scores}
            first, last = scores[phases[0]], scores[phases[-1]]
            row["change"] = None if first is None or last is None else last - first
            there = found.sibling(model) if _published_input(view, name) == "m1" else None
            row["paper_model"] = ABSENT if there is None else found.name(there)
            printed = known.get(there or "", {})
            rows.append(row | {f"paper_{phase}": printed.get(_phase(view, phase).lower()) for phase in phases})
    ends = "{} to {}".format(*(view.label("sampling", phase) for phase in (phases[0], phases[-1])))
    columns = [Column("", "preprocessing"), Column("Model", "model")]
    columns += [Column(view.label("sampling", phase), phase, "score", HERE) for phase in phases]
    columns += [Column(ends, "change", "change", HERE)]
    if any(row["paper_model"] != ABSENT for row in rows):
        columns += [Column("Model", "paper_model", group=PAPER)]
        columns += [
            Column(view.label("sampling", p), f"paper_{p}", "published", PAPER, ABSENT)
            for p in phases
            if _phase(view, p)
        ]
    method = [
        f"{view.score_head}; {view.test_clips}. The paper reports M1 only. A smaller model is listed beside the "
        "paper's model of its family."
    ]
    caption = _captioned(view, "evolution", "Models by sampling")
    return Table("evolution", caption, columns, rows, _only_default(view, []), method, marks, sortable=False)


def per_class(view: StudyView) -> Table | None:
    """Return F1 of every class for the best models of the first and last sampling, beside the published (Table V)."""
    found = _replicates(view)
    winners = list(view.best_by_sampling.values())
    chosen = winners if len(winners) < 2 else [winners[0], winners[-1]]
    cells = [
        cell
        for winner in chosen
        for name in view.levels("preprocessing")
        if (cell := view.find(name, winner.sampling, winner.model))
    ]
    classes = view.summary.data.classes
    if found is None or not cells or not classes:
        return None
    tested = test_counts(cells[0].confusion)
    published = {row.name.lower(): row.scores for row in found.classes}
    beside: list[Column] = []
    if set(published) & {name.lower() for name in classes}:
        keys = [key for key in next(iter(published.values())) if key.rsplit("-", 1)[-1] in ("m1", "m2")]
        beside = [Column(key[-2:].upper(), key, "score", f"published: {found.name(key[:-3])}", ABSENT) for key in keys]
    rows: list[Row] = []
    for at, name in enumerate(classes):
        row: dict[str, Any] = {"class": capitalised(name), "n": tested[at]}
        row |= {_key(cell): cell.per_class_f1.get(name) if tested[at] else ABSENT for cell in cells}
        rows.append(row | published.get(name.lower(), {}))
    columns = [Column("Class", "class"), Column("Test clips", "n", "count")]
    columns += [
        Column(
            view.label("preprocessing", cell.preprocessing), _key(cell), "score",
            f"{view.label('model', cell.model)}, {view.label('sampling', cell.sampling)}",
        )
        for cell in cells
    ]  # fmt: skip
    method = [
        "F1 of each class for the best model of the first and of the last sampling. A class without test clips has no "
        f"F1 ({ABSENT}) and is excluded from macro-F1. The recall of a class with one to three test clips changes by a "
        "third or more with a single clip."
    ]
    caption = _captioned(view, "per_class", "F1 of each class")
    return Table("per_class", caption, [*columns, *beside], rows, _only_default(view, []), method)


def _key(cell: Cell) -> str:
    return f"{cell.model}-{cell.sampling}-{cell.preprocessing}"


def options(view: StudyView) -> Table:
    """Return every choice that the publication leaves open, with the value used here."""
    rows = [{**row.model_dump(), "default": "yes" if row.default else "no"} for row in view.summary.choices]
    columns = [
        Column("Setting", "choice"),
        Column("Here", "value"),
        Column("Published text", "published", missing=ABSENT),
        Column("Default", "default"),
    ]
    return Table("choices", "Settings beside the published text", columns, rows)


def disagreements(view: StudyView) -> Table | None:
    """Return the inconsistencies in the publication's own numbers."""
    if view.summary.published is None:
        return None
    rows = [row.model_dump() for row in view.summary.published.disagreements]
    columns = [Column("No.", "number"), Column("Where", "place", missing=ABSENT), Column("Inconsistency", "text")]
    return Table("disagreements", "Inconsistencies in the published numbers", columns, rows)


def other_methods(view: StudyView) -> Prose | None:
    """Say why the publication's table of other methods is left out."""
    found = view.summary.published
    return Prose([found.other_methods]) if found and found.other_methods else None


def explanation(view: StudyView) -> Prose | None:
    """Say how the publication explains its result."""
    found = _replicates(view)
    return Prose([found.learning_note]) if found and found.learning_note else None


# --- figures ----------------------------------------------------------------------------------------------------------
def _draw(axes: Axes, x: float, score: float | None, low: float | None, high: float | None, **look: Any) -> None:
    """Draw a score with its interval, upright."""
    if score is None:
        return
    filled, width = look.pop("filled", True), look.pop("linewidth", 1.3)
    if low is not None and high is not None:
        axes.plot([x, x], [low, high], color=look["color"], linewidth=width, solid_capstyle="butt", zorder=2)
    face = look["color"] if filled else "white"
    axes.plot([x], [score], **{"markersize": 5.0, **look}, markerfacecolor=face, linestyle="none", zorder=3)


def _baselines(axes: Axes, view: StudyView, *, named: bool = True) -> None:
    known = baseline_lines(view)
    for at, (name, level) in enumerate(known.items()):
        axes.axhline(level, color=SOFT, linewidth=0.9, dashes=((4, 2), (1, 2))[at % 2], zorder=1)
        if named:
            style: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            side = "bottom" if level == max(known.values()) else "top"
            axes.annotate(name, (1.0, level), (3, 0), **style, fontsize=6.5, color=SOFT, va=side)


def _score_axis(axes: Axes, view: StudyView) -> None:
    published = view.summary.published
    highest = [value or 0.0 for cell in view.cells for value in (cell.score, cell.ci_high)]
    highest += [row.m1_ci[1] for row in (published.phases if published else ()) if row.m1_ci]
    axes.set_ylim(0.0, min(1.0, max([0.3, *highest]) + 0.05))
    axes.set_ylabel(view.score)
    axes.grid(axis="y")


def quality_and_performance(view: StudyView) -> Plot | None:
    """Draw the quality of the preprocessing against the score of the best model of each sampling (Figure 2)."""
    found, methods = _replicates(view), view.levels("preprocessing")
    if found is None or len(methods) < 2 or not view.best_by_sampling:
        return None

    def draw() -> Figure:
        figure = canvas(WIDTH, 2.9)
        quality, performance = figure.subplots(1, 2, width_ratios=[1.0, 2.1])
        _quality(quality, view, found, methods)
        gap = min(0.2, 0.7 / len(methods))
        for at, (sampling, winner) in enumerate(view.best_by_sampling.items()):
            for k, name in enumerate(methods):
                x = at + gap * (k - (len(methods) - 1) / 2)
                look = model_style(view, winner.model) | (
                    {"marker": MARKERS[k % len(MARKERS)]} if len(methods) > 2 else {}
                )
                if cell := view.find(name, sampling, winner.model):
                    _draw(performance, x, cell.score, cell.ci_low, cell.ci_high, **look, filled=k == 0)
                row, published = _row(view, found, sampling), _published_input(view, name)
                if row and published:
                    value, bounds = (row.m1, row.m1_ci) if published == "m1" else (row.m2, None)
                    light: dict[str, Any] = {"color": SOFT, "marker": "D", "markersize": 3.5, "linewidth": 0.7}
                    _draw(performance, x + 0.07, value, *(bounds or (None, None)), **light, filled=False)
        names = [f"{view.short_label('sampling', s)}\n{view.short_label('model', c.model)}"
                 for s, c in view.best_by_sampling.items()]  # fmt: skip
        performance.set_xticks(range(len(names)), names)
        performance.set_xlim(-0.5, len(names) - 0.5)
        performance.set_title("Performance")
        _score_axis(performance, view)
        _baselines(performance, view)
        entries: dict[str, dict[str, Any]] = {}
        for k, name in enumerate(methods):
            marker = MARKERS[k % len(MARKERS)] if len(methods) > 2 else "o"
            face = INK if k == 0 else "white"
            entries[view.short_label("preprocessing", name)] = {"color": INK, "marker": marker, "markerfacecolor": face}
        if any(_published_input(view, name) for name in methods):
            entries["published (other models, other data)"] = {"color": SOFT, "marker": "D", "markerfacecolor": "white",
                                                               "markersize": 4.0}  # fmt: skip
        _legend(figure, entries)
        return figure

    caption = _captioned(view, "quality_performance", "Quality of preprocessing against performance")
    method = [f"{view.test_clips}; {view.interval_note}."]
    return Plot("quality_performance", caption, draw, _only_default(view, ["Colours: models."]), method)


def _legend(figure: Figure, entries: Mapping[str, Mapping[str, Any]]) -> None:
    handles = legend_handles({f" {name}" if name.startswith("_") else name: look for name, look in entries.items()})
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


def _quality(axes: Axes, view: StudyView, found: Published, methods: Sequence[str]) -> None:
    for at, name in enumerate(methods):
        measured = view.summary.preprocessing.get(name)
        share = measured.face_centred if measured else None
        if share is None:
            axes.text(50, at, "not measured", ha="center", va="center", color=SOFT, style="italic")
        else:
            axes.barh(at, 100 * share, height=0.42, color=SHADE, alpha=0.75)
            inside = share > 0.3
            place: dict[str, Any] = {"ha": "right" if inside else "left", "color": "white" if inside else INK}
            axes.text(100 * share + (-2 if inside else 2), at, f"{100 * share:.0f} %", va="center", **place)
        there = found.preprocessing.get(_published_input(view, name))
        if there and there.face_centred is not None:
            light: dict[str, Any] = {"marker": "D", "markersize": 4, "color": SOFT, "markerfacecolor": "white"}
            axes.plot([100 * there.face_centred], [at + 0.32], **light, clip_on=False)
    axes.set_yticks(range(len(methods)), [view.short_label("preprocessing", name) for name in methods])
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("frames with a centred face, %")
    axes.set_title("Quality")


def phases(view: StudyView) -> Plot | None:
    """Draw every model in each sampling, one panel per preprocessing (Figure 3)."""
    names, methods, models = (view.levels(axis) for axis in ("sampling", "preprocessing", "model"))
    if _replicates(view) is None or len(names) < 2:
        return None
    across = min(len(methods), 3)
    down = -(-len(methods) // across)

    def draw() -> Figure:
        figure = canvas(WIDTH if across > 1 else 4.2, 2.6 * down + 0.3)
        panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
        for method, axes in zip(methods, panels, strict=False):
            for k, model in enumerate(models):
                shift, look = 0.11 * (k - (len(models) - 1) / 2), model_style(view, model)
                known = [
                    (at + shift, cell) for at, name in enumerate(names) if (cell := view.find(method, name, model))
                ]
                axes.plot([x for x, _ in known], [cell.score for _, cell in known], color=look["color"], linewidth=1.0)
                for x, cell in known:
                    _draw(axes, x, cell.score, cell.ci_low, cell.ci_high, **look, linewidth=0.9)
            axes.set_xticks(range(len(names)), [view.short_label("sampling", name) for name in names])
            axes.set_xlim(-0.45, len(names) - 0.55)
            axes.set_title(view.short_label("preprocessing", method))
            _score_axis(axes, view)
            axes.label_outer()
            _baselines(axes, view, named=method == methods[-1])
        for axes in panels:
            axes.set_visible(False)
        _legend(figure, {view.short_label("model", m): model_style(view, m) | {"markersize": 5.0} for m in models})
        return figure

    caption = _captioned(view, "phases", "Models by sampling")
    method_note = [f"{view.test_clips}; {view.interval_note}."]
    return Plot("phases", caption, draw, _only_default(view, []), method_note)
