"""The leaderboard of a study of methods: scores, differences from the reference, nested selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from microexpr.core.words import joined, many
from microexpr.evaluation.statistics.scope import LEVEL
from microexpr.report.blocks.differences import UNDECIDED, detectable, p_equals, signed, span
from microexpr.report.blocks.scores import anchor
from microexpr.report.figure import (
    INK,
    SERIES,
    WIDTH,
    Dot,
    Plot,
    canvas,
    dot_height,
    dotplot,
    legend_handles,
    score_beside,
)
from microexpr.report.page import Prose
from microexpr.report.summary import Leaderboard, MethodRow, MethodScores
from microexpr.report.table import ABSENT, Column, Table, format_value, short
from microexpr.report.view import METHOD, StudyView, scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHOSEN = "nested selection"
"""Name of the selection of a method within the training subjects."""
MOST = 48
"""Largest number of methods in the figure."""
NAMED = 4
"""Largest number of methods that a sentence names."""
BESIDE = ("uf1", "uar")
"""Scores of the leaderboard beside its own; the table of other scores has the rest."""


@dataclass(frozen=True)
class Line:
    """A line of the leaderboard: a method, or the nested selection."""

    name: str
    scores: MethodScores
    row: MethodRow | None = None
    """None for the nested selection."""

    @property
    def mark(self) -> str:
        """The style of its row: bold where its score is the one that counts."""
        return "" if self.row else "best rule"

    @property
    def against(self) -> dict[str, Any]:
        """The comparison with the reference; placeholders for the reference itself."""
        if self.row and self.row.reference:
            blank = dict.fromkeys(("p", "p_value", "p_holm", "differing", "detectable"), ABSENT)
            return {"value": "reference", **blank}
        paired = self.scores.paired
        return {**paired.model_dump(), "p": paired.p} if paired else {}


def board_of(view: StudyView) -> Leaderboard:
    """Return the leaderboard, which every study of methods has."""
    if view.summary.leaderboard is None:
        raise ValueError(f"{view.summary.name} is no study of methods")
    return view.summary.leaderboard


def score_title(view: StudyView) -> str:
    """Return the display name of the leaderboard's score."""
    return view.summary.title_of(board_of(view).metric)


def lines(view: StudyView) -> list[Line]:
    """Return the methods in descending order of score, then the nested selection."""
    choice = board_of(view).choice
    found = [Line(row.label, row, row) for row in board_of(view).rows]
    return found + ([Line(CHOSEN, choice.result)] if choice and choice.result else [])


def counted(view: StudyView, number: int, kind: str = "") -> str:
    """Return '5 methods', or '10 combinations of method and size' where another axis crosses them; `kind`: 'other '."""
    return f"{number:,} {kind}{noun(view, number)}"


def noun(view: StudyView, number: int) -> str:
    """Return 'methods', or 'combinations of method and size'; without 's' for one."""
    axes = view.summary.axes.items()
    crossing = [name for name, axis in axes if name != METHOD and axis.part != "seed" and len(axis.levels) > 1]
    s = "s" * (number != 1)
    return f"combination{s} of {joined([METHOD, *crossing])}" if crossing else f"method{s}"


def _several(view: StudyView) -> bool:
    return any(len(row.scores) > 1 for row in board_of(view).rows)


# --- sentences --------------------------------------------------------------------------------------------------------
def findings(view: StudyView) -> Prose:
    """Return further results: power, permuted labels, the best method on the test subjects, groups of methods."""
    board, title = board_of(view), score_title(view)
    others = [row.paired for row in board.rows if row.paired and not row.paired.significant]
    least = detectable([pair.detectable for pair in others], board.power, f" from {board.reference}", UNDECIDED)
    said = [least, _permuted(view), _contrast(view)]
    if len(board.rows) > 1:
        best = board.rows[0]
        said.append(
            f"The highest {title} of the {counted(view, len(board.rows))} is "
            f"{scored(best.score, best.low, best.high)} ({best.label}). It was selected on the test "
            "subjects, so it is optimistically biased."
        )
    compares = any(row.paired for row in board.rows) or board.contrast
    return Prose([*said, board.trained.caveat if compares else ""])


def _permuted(view: StudyView) -> str:
    rows = [(row.label, row.permuted) for row in board_of(view).rows if row.permuted]
    if len(rows) < 2:
        return ""
    if all(found.above_chance for _, found in rows):
        share = "Both" if len(rows) == 2 else f"All {len(rows)}"
        return f"{share} {noun(view, len(rows))} score significantly above permuted labels (Holm)."
    alone = sum(found.p_value <= LEVEL for _, found in rows)
    missed = [label for label, found in rows if found.p_value > LEVEL]
    rest = ""
    if missed:
        rest = f"; {joined(missed)} {'does' if len(missed) == 1 else 'do'} not, which does not show that nothing is "
        rest += "recognised"
    above = sum(found.above_chance for _, found in rows)
    return (
        f"{above} of {counted(view, len(rows))} score significantly above permuted labels after Holm's correction. "
        f"Without it, {alone} do ({len(rows) * LEVEL:g} expected by chance){rest}."
    )


def _contrast(view: StudyView) -> str:
    board = board_of(view)
    found = board.contrast
    if found is None:
        return ""
    (first, mine), (second, others) = found.groups.items()
    difference = found.difference
    if found.problem or difference is None:
        return f"{first} and {second} were not compared: {found.problem}"
    verdict = board.trained.verdict(significant=difference.significant, sides=len(mine) + len(others))
    means = (f"{many(len(group), 'method')}, mean {score_title(view)} {format_value(found.scores[name], 'score')}"
             for name, group in found.groups.items())  # fmt: skip
    least = "" if difference.significant else detectable([difference.detectable], board.power)
    caution = "" if difference.significant else ", which does not show that there is none"
    said = [
        f"In the comparison of {first} ({next(means)}) with {second} ({next(means)}), {verdict} "
        f"({signed(difference.value, difference.low, difference.high)}, {p_equals(difference.p)}){caution}.",
        least,
        f"{joined(found.left_out)} could not be run." if found.left_out else "",
    ]
    return " ".join(filter(None, said))


def not_run(view: StudyView) -> Prose:
    """Return the methods that could not be run, with reasons."""
    skipped = [f"{row.method}: {row.reason}" for row in board_of(view).skipped]
    return Prose(["These methods could not be run."] if skipped else [], skipped)


# --- figure -----------------------------------------------------------------------------------------------------------
def forest(view: StudyView) -> Plot | None:
    """Draw the score, interval and seeds of the nested selection and of every method, the reference as a line."""
    board, each = board_of(view), lines(view)
    methods = [line for line in each if line.row]
    drawn = [*(line for line in each if not line.row), *methods[:MOST]]
    if not drawn:
        return None
    groups = list(board.contrast.groups) if board.contrast else []
    colours = {name: SERIES[at] for at, name in enumerate(groups)}
    dots = [_dot(line, colours, gap=0.5 if at and not drawn[at - 1].row else 0.0) for at, line in enumerate(drawn)]

    def draw() -> Figure:
        figure = canvas(WIDTH, 1.25 * dot_height(dots) + 0.9)
        reference = {short(line.name, 24): line.scores.score for line in methods if line.row and line.row.reference}
        dotplot(figure.subplots(), dots, xlabel=score_title(view), lines=reference)
        if colours:
            entries = {name: {"color": colour, "marker": "o", "linestyle": "none"} for name, colour in colours.items()}
            figure.legend(handles=legend_handles(entries), loc="outside upper right", ncols=min(4, len(entries)))
        return figure

    notes = [f"Lines: {view.interval_level} intervals."]
    notes += ["Small dots: single seeds."] if _several(view) else []
    if any(dot.ticks for dot in dots):
        notes.append("Grey marks: 95th percentile under permuted labels.")
    if board.reference:
        notes.append(
            f"Filled: {board.reference} and methods that differ significantly from it. At the right: score, difference "
            "from it, and p."
        )
    if len(methods) > 1:
        notes.append("Methods are sorted by their score on the test subjects, so the scores at the top are optimistic.")
    if len(methods) > MOST:
        notes.append(f"In the table only: {counted(view, len(methods) - MOST)} with lower scores.")
    return Plot("leaderboard", f"Methods by {score_title(view)}", draw, notes, _method(view))


def _dot(line: Line, colours: dict[str, str], gap: float) -> Dot:
    found, paired, row = line.scores, line.scores.paired, line.row
    beside = score_beside(found.score, found.low, found.high)
    beside += f" · {format_value(paired.value, 'change')}, {p_equals(paired.p)}" if paired else ""
    return Dot(
        f"{short(line.name, 40)}{' (reference)' if row and row.reference else ''}", found.score, found.low, found.high,
        beside, colours.get((row.group if row else None) or "", INK), marker="o" if row else "D",
        filled=bool((row and row.reference) or (paired and paired.significant)),
        small=found.scores if len(found.scores) > 1 else (),
        ticks=(found.permuted.permutation_level,) if found.permuted else (), gap=gap,
    )  # fmt: skip


def _method(view: StudyView) -> list[str]:
    """Return how the scores, intervals and tests of the leaderboard were made."""
    board = board_of(view)
    mean = ", the mean of the seeds' scores" if _several(view) else ""
    said = [
        f"{view.summary.heading(board.metric)} of the pooled test clips{mean}; {100 * board.level:.3g} % intervals: "
        f"{board.interval}, {board.n:,} resamples, conditional on the trained models.",
    ]
    if board.reference:
        compared = [row for row in board.rows if row.paired or row.reference]
        together = " with all their seeds" if _several(view) else ""
        both = "A method with one seed is paired with every seed of the other. "
        said.append(
            f"Differences from {board.reference}: {'in mean scores; ' if _several(view) else ''}p of a paired "
            f"permutation test by subject{together}, {board.paired_permutations:,} permutations (all where there are "
            f"fewer), corrected by Holm for {many(sum(row.paired is not None for row in compared), 'comparison')}. "
            f"{both if len({tuple(row.seeds) for row in compared}) > 1 else ''}The p of the nested selection is not "
            "corrected, as it is the only one that the study file specifies. Overlapping intervals do not show whether "
            "a difference is significant."
        )
    return said


# --- tables -----------------------------------------------------------------------------------------------------------
def table(view: StudyView) -> Table:
    """Return every method with its scores and its difference from the reference."""
    board, each = board_of(view), lines(view)
    rows = [
        {
            "name": f"{line.name}{'*' if line.row and line.row.best and len(board.rows) > 1 else ''}",
            **line.scores.means,
            **line.scores.model_dump(include={"score", "low", "high"}),
            **{f"pair_{name}": value for name, value in line.against.items()},
        }
        for line in each
    ]
    columns = [
        Column("Method", "name"),
        Column(f"{view.summary.heading(board.metric)} [{view.interval_level}]", ("score", "low", "high"), "interval"),
        *(Column(view.summary.heading(name), name, "score") for name in BESIDE if name != board.metric),
    ]
    if board.reference:
        difference = ("pair_value", "pair_low", "pair_high")
        columns.append(Column(f"− {short(board.reference, 18)}", difference, "change", missing=ABSENT))
        columns.append(Column("p", "pair_p", "p", missing=ABSENT))
    notes = []
    if len(board.rows) > 1:
        notes.append(
            f"* Highest of {len(board.rows)}, selected on the test subjects, so its score is optimistically biased."
        )
    notes += ["Bold: the score that counts."] if any(line.mark for line in each) else []
    notes += [f"{row.label} was not compared: {row.problem}" for row in board.rows if row.problem]
    notes += [f"No intervals or comparisons: {board.problem}"] if board.problem else []
    fused = [
        f"{row.label}: clip-wise mean of the class probabilities of {joined(row.fused)} (first seeds)."
        for row in board.rows
        if row.fused
    ]
    links = {at: f"details.html#{anchor(line.name)}" for at, line in enumerate(each) if line.row}
    method = [*_method(view), *fused]
    return Table("leaderboard", "Leaderboard", columns, rows, notes, method, _marks(each), links)


def costs(view: StudyView) -> Table:
    """Return the size of every method, and how long it takes to train and to predict."""
    each = lines(view)
    rows = [
        {
            "name": line.name,
            "parameters": line.row.parameters if line.row and not line.row.estimator else ABSENT,
            "ms_a_clip": line.row.ms_a_clip if line.row else ABSENT,
            "ms_threads": line.row.ms_threads if line.row else ABSENT,
            "seconds": line.scores.seconds,
        }
        for line in each
    ]
    columns = [
        Column("Method", "name"),
        Column("Parameters", "parameters", "count"),
        Column("ms per clip", "ms_a_clip", "ms"),
        Column("Threads", "ms_threads", missing=ABSENT),
        Column("Training time", "seconds", "time"),
    ]
    inner = (
        "" if all(line.row for line in each) else "; of the nested selection, the inner folds, beside the methods' own"
    )
    method = [
        f"Parameters: of networks; not comparable for estimators ({ABSENT}). ms per clip: representation and "
        "prediction of one clip on the given number of threads (estimators: one) after a warm-up, median over folds. "
        f"Training time: all folds of one seed{inner}."
    ]
    if any(row.fused for row in board_of(view).rows):
        method.append("A mean of methods needs no training of its own and costs the sum of theirs.")
    return Table("leaderboard_costs", "Costs of the methods", columns, rows, [], method)


def _marks(each: Sequence[Line]) -> dict[int, str]:
    return {at: line.mark for at, line in enumerate(each) if line.mark}


def printed(view: StudyView) -> Table:
    """Return the published scores of the methods beside the scores here, with the protocol of each publication."""
    rows = [
        {**row.printed.model_dump(), "name": row.label, "metric": view.summary.heading(row.printed.metric)}
        for row in board_of(view).rows
        if row.printed
    ]
    columns = [
        Column("Method", "name"),
        Column("Metric", "metric"),
        Column("Here", "here", "score"),
        Column("Published", "value", "published"),
        Column("Protocol of the publication", "protocol"),
        Column("Source", "source"),
    ]
    notes = [
        "Published scores come from other clips, classes and folds, often with another model selection, so a "
        "difference between the two columns supports no conclusion."
    ]
    return Table("leaderboard_printed", "Published scores of the methods", columns, rows, notes)


def selected(view: StudyView) -> Prose | None:
    """Return from which methods one was selected, and how often which."""
    choice = board_of(view).choice
    if choice is None or choice.result is None:
        return None
    taken = [row for row in choice.chosen if row.subjects]
    counts = joined([f"{row.method} for {row.subjects}" for row in taken], NAMED)
    left = f" {joined(choice.left_out)} could not be run, so could not be selected." if choice.left_out else ""
    return Prose([
        f"For every test subject, one of {many(len(choice.of), 'method')} was selected on other subjects, by the rule "
        f"of the study file: {counts} of {sum(row.subjects for row in taken)} subjects. No test subject took part in "
        f"the selection, so its score is the one to report.{left}"
    ])  # fmt: skip


def choice(view: StudyView) -> Table | None:
    """Return how often each method was selected, with its score on the inner subjects and on the test subjects."""
    found = board_of(view).choice
    if found is None or found.result is None:
        return None
    rows: list[dict[str, Any]] = [row.model_dump() for row in found.chosen]
    sums = {name: sum(row[name] for row in rows) for name in ("subjects", "groups")}
    ends = found.result.model_dump(include={"low", "high"})
    pooled = {"method": "selected methods, pooled", "inner": found.inner, "outer": found.result.score}
    rows.append({**pooled, **sums, **ends})
    title = view.summary.heading(board_of(view).metric)
    columns = [
        Column("Method", "method"),
        Column("Groups", "groups", "count", "selected for"),
        Column("Subjects", "subjects", "count", "selected for"),
        Column(f"{title}, inner", "inner", "score"),
        Column(f"{title}, test [{view.interval_level}]", ("outer", "low", "high"), "interval"),
    ]
    seed = f" (seed {found.result.seeds[0]})" if found.result.seeds[:1] not in ([], [""]) else ""
    method = [
        "Inner: subjects outside the test subject's group, each predicted by models trained on neither them nor that "
        f"group; mean over subjects. Test: the test subjects{seed}, predicted by the methods' own models."
    ]
    if not found.one_subject_per_fold:
        method.append(
            "Folds test several subjects at once: some inner subjects are tested in the same fold as the test subject "
            "and are not among its training subjects."
        )
    caption, marks = "Nested selection of the method", {len(rows) - 1: "best rule"}
    return Table("leaderboard_choice", caption, columns, rows, [], method, marks, sortable=False)


def tests(view: StudyView) -> Table:
    """Return details of the tests of every method: raw and corrected p, detectable differences, permuted labels."""
    board = board_of(view)
    tested = [(line, line.scores.permuted) for line in lines(view) if line.scores.permuted]
    rows = [
        {"name": line.name, **line.against, **{f"null_{name}": value for name, value in found.model_dump().items()}}
        for line, found in tested
    ]
    versus, nulls = f"against {board.reference}", "permuted labels"
    columns = [Column("Method", "name")]
    if board.reference:
        columns += [
            Column("p", "p_value", "p", versus, ABSENT),
            Column("p (Holm)", "p_holm", "p", versus, ABSENT),
            Column("Differing subjects", "differing", "count", versus, ABSENT),
            Column("Detectable", "detectable", "score", versus, ABSENT),
        ]
    columns += [
        Column("Mean", "null_permutation_mean", "score", nulls),
        Column("95th percentile", "null_permutation_level", "score", nulls),
        Column("p", "null_p_value", "p", nulls),
        Column("p (Holm)", "null_p_holm", "p", nulls),
    ]
    method = [
        f"Differing subjects: those whom the two methods predict differently. Detectable: smallest difference detected "
        f"with {100 * board.power:.0f} % power; {ABSENT}: none is."
    ] if board.reference else []  # fmt: skip
    method.append(
        f"Permuted labels: {score_title(view)} of the same predictions with labels permuted within subjects, "
        f"{board.permutations:,} permutations; p corrected by Holm over the methods. It exceeds random guessing where "
        "a method has learnt which classes a subject or a database shows."
    )
    marks = _marks([line for line, _ in tested])
    return Table("leaderboard_tests", "Details of the leaderboard's tests", columns, rows, [], method, marks)


def databases(view: StudyView) -> Table:
    """Return every method's other scores, and its scores on each of several databases."""
    board, each, several = board_of(view), lines(view), _several(view)
    names = list(dict.fromkeys(name for line in each for name in line.scores.databases))
    names = names if len(names) > 1 else []
    shown = (board.metric, *BESIDE)
    given = {name for line in each for name in line.scores.means}
    others = [name for name in view.summary.metrics if name in given and name not in shown]
    rows = [
        {"name": line.name, "group": (line.row.group if line.row else None) or ABSENT, "spread": _spread(line.scores)}
        | line.scores.means
        | {f"{at}/{name}": value for at, found in line.scores.databases.items() for name, value in found.items()}
        for line in each
    ]
    columns = [
        Column("Method", "name"),
        *([Column("Group", "group", missing=ABSENT)] if board.contrast else []),
        *([Column(f"{view.summary.heading(board.metric)}, range over seeds", "spread")] if several else []),
        *(Column(view.summary.heading(name), name, "score", "all" if names else "") for name in others),
        *(
            Column(view.summary.heading(name), f"{at}/{name}", "score", at)
            for at in names
            for name in dict.fromkeys(shown)
        ),
    ]
    notes = [
        "Each score is over the classes with a test clip in that database; the score over all clips is not their mean."
    ]
    caption = "Methods by database" if names else "Other scores of the methods"
    return Table("leaderboard_databases", caption, columns, rows, notes if names else [], marks=_marks(each))


def _spread(found: MethodScores) -> str:
    return span(found.scores).replace(" to ", "–") if len(found.scores) > 1 else ABSENT
