"""The page of a study of factors: a grid of experiments, or a single one; with what a replicated publication adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microexpr.config.scores import MAIN
from microexpr.core.words import capitalised, joined
from microexpr.report.blocks import curves, data, effects, maps, pairs, record, scores, seeds, subjects, training
from microexpr.report.blocks.counting import Counting, chance_level, prespecified
from microexpr.report.blocks.differences import p_equals
from microexpr.report.figure import INK, SERIES, WIDTH, Dot, Plot, canvas, dot_height, dotplot, score_beside
from microexpr.report.page import First, Page, Prose, Section
from microexpr.report.pages import paper
from microexpr.report.summary import Caveat, NamedCell, Nested
from microexpr.report.table import Column, Table, format_value
from microexpr.report.view import StudyView, percent, scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# --- the first screen -------------------------------------------------------------------------------------------------
def first(view: StudyView) -> First:
    """Return the verdict, the score that counts with its chance level, its figure, and the limits."""
    figure = prespecified_forest(view) or scores.forest(view) or effects.contrasts(view)
    return First(verdict(view), _numbers(view), figure, view.summary.caveats)


def verdict(view: StudyView) -> list[str]:
    """Return in plain sentences what was found: the answer first, then what else can be said of the study."""
    summary = view.summary
    if summary.named_problem:
        return [f"The experiment named beforehand could not be trained: {summary.named_problem}", _effects(view)]
    if named := summary.named_cell:
        counted = prespecified(view, named, _name(view, named))
        return [counted.answer(view), counted.chance, _alternatives(named), "" if _reduced(view) else _grid(view)]
    if summary.nested:
        counted = _nested(view, summary.nested)
        return [counted.answer(view), f"{counted.chance} No test clip takes part in this selection.", _effects(view)]
    best = view.best_cell
    if best is None:
        return ["No experiment has a score yet."]
    if not view.single_experiment:
        said = (
            f"{len(view.cells)} experiments were compared. None was named beforehand or selected without test clips, "
            "so no single score is unbiased."
        )
        return [said, _effects(view)]
    if summary.over_seeds:
        return [seeds.mean_over_seeds(view), scores.above_guessing(view)]
    return [
        f"{view.title(best)} reaches {view.score} {scored(best.score, best.ci_low, best.ci_high)} on {best.n_test} "
        f"test clips. {scores.above_guessing(view)}"
    ]


def _name(view: StudyView, named: NamedCell) -> str:
    return named.title or view.title(named)


def _alternatives(named: NamedCell) -> str:
    """Say how the prespecified experiment differs from those named beside it."""
    said = []
    for other in named.alternatives:
        if other.paired is None:
            said.append(f"{other.name} could not be compared: {other.problem}")
            continue
        p = p_equals(other.paired.p)
        chance = f"{'above' if other.above_chance else 'not significantly above'} chance, {p_equals(other.p)}"
        if not other.paired.significant:
            said.append(
                f"Its difference from {other.name} ({other.score:.3f}; {chance}) is not significant ({p}), which does "
                "not show that they are equal."
            )
        else:
            word = "higher" if other.paired.difference > 0 else "lower"
            said.append(f"It scores significantly {word} ({p}) than {other.name} ({other.score:.3f}; {chance}).")
    said += [named.trained.caveat] if named.alternatives and named.trained.caveat else []
    said += [f"{each.method} could not be run: {each.reason}" for each in named.skipped]
    return " ".join(said)


def _grid(view: StudyView) -> str:
    """Say how the grid relates to the prespecified experiment."""
    summary = view.summary
    if len(view.cells) < 2:
        return ""
    axes = f" of {joined(list(summary.axes))}" if summary.axes else ""
    what = f"The grid below ({len(view.cells)} combinations{axes})"
    if summary.named_cell and summary.protocol == summary.named_cell.protocol:
        return f"{what} has the same protocol. {_effects(view)}".strip()
    return (
        f"{what} has another protocol, {summary.protocol.title}; its scores are not comparable with these. "
        f"{'' if _reduced(view) else _effects(view)}"
    ).strip()


def _reduced(view: StudyView) -> Caveat | None:
    """Return the caveat of a study that is reduced and not expected to learn."""
    return next((caveat for caveat in view.summary.caveats if caveat.code == "reduced"), None)


def _effects(view: StudyView) -> str:
    factors = view.summary.factors
    if factors is None:
        return ""
    claimed = [effect.name for effect in factors.effects if effect.claimed]
    if factors.problem:
        return ""
    if not claimed:
        return "No factor of the grid had a significant effect."
    return f"Significant effects in the grid, after correction: {', '.join(claimed)}."


def _nested(view: StudyView, found: Nested) -> Counting:
    """Return the score of the cells selected on validation clips as the score that counts."""
    where = "the fold" if found.folds == 1 else f"each of the {found.folds} folds"
    subject = f"the cell selected on the validation clips of {where}"
    return Counting("selected on validation", subject, view.score, found.score, found.ci_low, found.ci_high,
                    view.summary.intervals.level, view.summary.protocol, found)  # fmt: skip


def _numbers(view: StudyView) -> dict[str, str]:
    """Return the score that counts, its chance level, and the size of the data."""
    summary, best = view.summary, view.best_cell
    title = view.score_head
    found: dict[str, str] = {}
    if named := summary.named_cell:
        found[f"{title}, prespecified"] = scored(named.score, named.ci_low, named.ci_high)
        found |= chance_level(named)
        found["Accuracy"] = format_value(named.scores["accuracy"], "percent")
    elif nested := summary.nested:
        found[f"{title}, selected on validation"] = scored(nested.score, nested.ci_low, nested.ci_high)
        found |= chance_level(nested)
    elif best is not None and view.single_experiment:
        if rows := summary.over_seeds:
            found[f"{title}, mean of {len(rows[0].seeds)} seeds"] = scored(rows[0].mean, rows[0].low, rows[0].high)
        else:
            found[title] = scored(best.score, best.ci_low, best.ci_high)
    if not (summary.named_cell or summary.nested) and view.guessing:
        found["Random guessing"] = format_value(view.guessing.score, "score")
    found["Clips"] = format_value(summary.data.n_clips, "count")
    found["Subjects"] = format_value(summary.data.n_subjects, "count")
    if named:
        found["Classes"] = str(len(summary.data.classes))
    elif len(view.cells) > 1:
        found["Seeds" if view.single_experiment else "Cells of the grid"] = str(len(view.cells))
    return found


def prespecified_forest(view: StudyView) -> Plot | None:
    """Draw the prespecified experiment, and those named beside it, on the same folds."""
    named = view.summary.named_cell
    if named is None:
        return None
    dots = [
        Dot(_name(view, named), named.score, named.ci_low, named.ci_high,
            score_beside(named.score, named.ci_low, named.ci_high), ticks=(named.permutation_level,))
    ]  # fmt: skip
    for other in named.alternatives:
        beside = score_beside(other.score, other.ci_low, other.ci_high)
        if other.paired:
            beside += f" · p {format_value(other.paired.p, 'p')}"
        filled = bool(other.paired and other.paired.significant)
        dots.append(Dot(other.name, other.score, other.ci_low, other.ci_high, beside, SERIES[1], "s", filled,
                        ticks=(other.permutation_level,)))  # fmt: skip

    def draw() -> Figure:
        figure = canvas(WIDTH, 1.5 * dot_height(dots) + 0.75)
        axes = figure.subplots()
        dotplot(axes, dots, xlabel=f"{view.score}, {named.protocol.title}")
        axes.set_xlim(0.0, 1.0)
        axes.tick_params(axis="y", labelcolor=INK)
        return figure

    level = percent(named.interval_level)
    notes = [
        f"Lines: {level} intervals, resampled by {named.interval_unit}. Grey marks: 95th percentile of each score "
        "under permuted labels."
    ]
    if named.alternatives:
        notes.append(
            "Circle: the prespecified experiment. Squares: alternatives; p of their difference from it (Holm), filled "
            "where significant."
        )
    what = "The prespecified experiment and its alternatives" if named.alternatives else "The prespecified experiment"
    caption = f"{what} under {named.protocol.title}, named before anything was trained"
    return Plot("prespecified", caption, draw, notes)


def prespecified_table(view: StudyView) -> Table | None:
    """Return the prespecified experiment and its alternatives with all main scores."""
    named = view.summary.named_cell
    if named is None:
        return None
    beside = [name for name in MAIN if name != view.summary.metric]
    rows = [{"name": _name(view, named), **scores.score_row(named)}]
    for other in named.alternatives:
        pair = other.paired
        row = {"name": other.name, **scores.score_row(other)}
        rows.append(row | ({"difference": pair.difference, "low": pair.ci_low, "high": pair.ci_high, "p": pair.p}
                           if pair else {}))  # fmt: skip
    columns = [
        Column("Experiment", "name"),
        Column(f"{view.score_head} [{percent(named.interval_level)}]", ("score", "ci_low", "ci_high"), "interval"),
        *(Column(view.summary.heading(name), name, "score") for name in beside),
        *([Column("First minus this", ("difference", "low", "high"), "change", missing=" "),
           Column("p (Holm)", "p", "p", missing=" ")] if named.alternatives else []),
        Column("n", "n_test", "count"),
    ]  # fmt: skip
    links = {0: f"details.html#{scores.anchor(f'prespecified {_name(view, named)}')}"} | {
        at: f"details.html#{scores.anchor(f'prespecified {other.name}')}"
        for at, other in enumerate(named.alternatives, start=1)
    }
    method = [
        f"{percent(named.interval_level)} intervals: {named.interval} by {named.interval_unit}, "
        f"{named.interval_resamples:,} resamples. {named.n_test} test clips of {named.n_subjects} subjects. Permuted "
        f"labels: {named.permutations:,} permutations of the classes within subjects, the predictions being fixed."
    ]
    if named.shuffled is not None:
        method.append(f"Trained on shuffled labels, it reaches {named.shuffled:.3f}.")
    tests = [other.paired.test for other in named.alternatives if other.paired]
    method += list(dict.fromkeys(f"{capitalised(test)}." for test in tests))
    return Table("prespecified", "Experiments named beforehand", columns, rows, method=method, links=links)


def grid_heading(view: StudyView) -> Prose | None:
    """Introduce the grid after the prespecified experiment, with what is particular to it."""
    if view.summary.named_cell is None or len(view.cells) < 2:
        return None
    reduced = _reduced(view)
    return Prose([f"{_grid(view)} {reduced.line} {reduced.text}" if reduced else _grid(view)])


def main_table(view: StudyView) -> Table | None:
    """Return the published form of the main results, or all cells."""
    return paper.main_results(view) or scores.all_cells(view)


def further_cells(view: StudyView) -> Table | None:
    """Return all cells, where the main table is another."""
    return scores.all_cells(view) if paper.main_results(view) else None


def forest_below(view: StudyView) -> Plot | None:
    """Draw the forest of cells, where the first screen shows another figure."""
    return scores.forest(view) if view.summary.named_cell else None


def contrasts_below(view: StudyView) -> Plot | None:
    """Draw the main effects, where the first screen does not show them."""
    return effects.contrasts(view) if prespecified_forest(view) or scores.forest(view) else None


PAGE: Page[StudyView] = Page(
    "report",
    "microexpr report",
    first,
    sections=(
        Section("Results", (prespecified_table, grid_heading, scores.nested, scores.best_on_test, main_table,
                            paper.quality_and_performance, forest_below)),
        Section("Comparisons", (pairs.verdict, pairs.figure, pairs.table)),
        Section("Factors", (effects.verdict, contrasts_below, effects.effects)),
        Section("Training-set size", (effects.sizes_problem, effects.curves, effects.crossing_sentences)),
        Section("Seeds", (seeds.sentence, seeds.over_seeds)),
        Section("Data", (data.shares, data.classes, data.contact_sheets, data.database), open=False),
        Section("By class", (scores.confusion, paper.per_class, scores.by_class), open=False),
        Section("Learning", (paper.explanation, training.overfitting_sentence, training.overfitting,
                             curves.of_scores), open=False),
        Section("Attribution maps", (maps.about, maps.weights), open=False),
    ),
    details=(
        Section("All scores", (further_cells, scores.all_metrics, paper.evolution, paper.phases, effects.levels,
                               seeds.seeds, effects.crossings, scores.repeats)),
        Section("Confusion matrices", (scores.matrices,)),
        Section("Clips and subjects", (scores.hard_clips, pairs.changing, pairs.changed,
                                       scores.by_database, subjects.accuracy_by_subject, subjects.influence,
                                       subjects.by_subject)),
        Section("Preprocessing and models", (data.examples, data.preprocessing, data.models, training.losses,
                                             training.gaps, curves.of_losses, training.targets)),
        Section("Latency", (training.latency_figure, training.latency)),
        Section("Attribution maps", (maps.sanity, maps.regions, maps.maps)),
        Section("Checks and settings", (record.checks, paper.options, record.definitions, record.corrections,
                                        record.skipped, paper.disagreements, paper.other_methods)),
        Section("Reproducing this report", (record.reproduce, record.cite)),
    ),
)  # fmt: skip
