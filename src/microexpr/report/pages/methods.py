"""The page of a study of methods: the score that counts, the leaderboard, and the nested selection."""

from __future__ import annotations

from microexpr.core.words import capitalised, joined
from microexpr.report.blocks import curves, data, effects, leaderboard, maps, record, scores, seeds, subjects, training
from microexpr.report.blocks.counting import PRESPECIFIED, Counting, chance_level, prespecified
from microexpr.report.blocks.differences import p_equals, signed
from microexpr.report.blocks.leaderboard import CHOSEN, NAMED, board_of, counted, noun, score_title
from microexpr.report.page import First, Page, Section
from microexpr.report.summary import Leaderboard, MethodScores
from microexpr.report.table import format_value, short
from microexpr.report.view import StudyView, scored


# --- sentences --------------------------------------------------------------------------------------------------------
def counting(view: StudyView) -> Counting | None:
    """Return the score that counts; None where the study names none and selects no method."""
    board, named = board_of(view), view.summary.named_cell
    if board.choice and board.choice.result:
        chosen = max(board.choice.chosen, key=lambda row: row.subjects)
        which = f"{chosen.method} for {chosen.subjects} of {sum(row.subjects for row in board.choice.chosen)} subjects"
        subject = f"the method selected within the training subjects ({which})"
        return _counted(view, CHOSEN, subject, board.choice.result)
    if named:
        return prespecified(view, named, f"the prespecified experiment, {named.title or view.title(named)},")
    reference = next((row for row in board.rows if row.reference), None)
    if reference:
        name, who = f"{short(reference.label, 20)} (reference)", f"the reference named beforehand, {reference.label},"
        return _counted(view, name, who, reference)
    if len(board.rows) == 1:
        return _counted(view, short(board.rows[0].label, 24), f"the one method, {board.rows[0].label},", board.rows[0])
    return None


def _counted(view: StudyView, name: str, subject: str, found: MethodScores) -> Counting:
    return Counting(name, subject, score_title(view), found.score, found.low, found.high,
                    view.summary.intervals.level, view.summary.protocol, found.permuted)  # fmt: skip


def verdict(view: StudyView) -> list[str]:
    """Return what was found: the score that counts, how sure it is, and which methods differ significantly."""
    board, found = board_of(view), counting(view)
    said = [found.answer(view), found.chance] if found else []
    if view.summary.named_problem:
        said.insert(0, f"The experiment named beforehand could not be trained: {view.summary.named_problem}")
    if board.choice and board.choice.problem:
        said.append(f"No method could be selected within the training subjects: {board.choice.problem}")
    elif not board.choice and len(board.rows) > 1:
        named = "" if found else "no score was named beforehand and "
        said.append(
            f"{'No' if not named else capitalised(named) + 'no'} method was selected within the training "
            f"subjects, so the highest of the {len(board.rows)} scores is optimistically biased."
        )
    selection = board.choice.result if board.choice else None
    return [*filter(None, [*said, _selected_against(board, selection), against(view)])]


def _selected_against(board: Leaderboard, selection: MethodScores | None) -> str:
    """Return how the nested selection differs from the reference."""
    if selection is None or selection.paired is None or board.reference is None:
        return ""
    paired = selection.paired
    if not paired.differing:
        return f"Its predictions are those of {board.reference}, so the two do not differ."
    value = signed(paired.value, paired.low, paired.high)
    return (
        f"Compared with the reference, {board.reference} ({value}, {p_equals(paired.p)}), "
        f"{board.trained.verdict(significant=paired.significant)}."
    )


def against(view: StudyView) -> str:
    """Return which methods are significantly better or worse than the reference; empty for a single method."""
    board = board_of(view)
    rows = [(row, row.paired) for row in board.rows if row.paired]
    if board.problem:
        return f"The methods were not compared: {board.problem}"
    if len(board.rows) < 2:
        return ""
    if board.requested_reference and not board.reference:
        return (
            f"The reference, {board.requested_reference}, could not be run, so no method was compared with it and no "
            "difference may be claimed."
        )
    if not board.reference:
        return "The study names no reference, so methods were not compared and no difference may be claimed."
    if not rows:
        problem = next((row.problem for row in board.rows if row.problem), "no pairing was tested.")
        return f"No method could be compared with {board.reference}: {problem}"
    significant = {
        word: mine
        for sign, word in ((1, "better"), (-1, "worse"))
        if (mine := [row.label for row, pair in rows if pair.significant and pair.value * sign > 0])
    }
    if len(rows) == 1 and not board.trained.holdout:
        (row, pair), caution = rows[0], "" if significant else ", which does not show that they are equal"
        value = f"{signed(pair.value, pair.low, pair.high)}, {p_equals(pair.p)}"
        is_ = (
            f"is significantly {next(iter(significant))} than" if significant else "does not differ significantly from"
        )
        return f"{row.label} {is_} {board.reference} ({value}){caution}."
    kind = "other " if len(rows) == len(board.rows) - 1 else "compared "
    what = f"Of the {counted(view, len(rows), kind)}"
    what = f"Of these trained {board.trained.things}" if board.trained.holdout else what
    if not significant:
        return f"{what}, none differs significantly from {board.reference}, which does not show that they are equal."
    said = [f"{joined(mine, NAMED)} {'is' if len(mine) == 1 else 'are'} significantly {word}"
            for word, mine in significant.items()]  # fmt: skip
    others = len(rows) - sum(map(len, significant.values()))
    rest = f"; {others} {'does' if others == 1 else 'do'} not differ significantly from it" if others else ""
    return f"{what}, {' and '.join(said)} than {board.reference} (Holm){rest}."


# --- first screen -----------------------------------------------------------------------------------------------------
def first(view: StudyView) -> First:
    """Return the first screen of a study of methods."""
    summary, found = view.summary, counting(view)
    title = view.summary.heading(summary.metric if found and found.name == PRESPECIFIED else board_of(view).metric)
    numbers = {}
    if found:
        numbers[f"{title}, {found.name}"] = scored(found.score, found.low, found.high)
        if found.permuted:
            numbers |= chance_level(found.permuted)
    count = len(board_of(view).rows)
    numbers[capitalised(noun(view, count))] = format_value(count, "count")
    several = sorted({len(row.seeds) for row in board_of(view).rows})
    if several and several[-1] > 1:
        numbers["Seeds of a method"] = " to ".join(map(str, dict.fromkeys((several[0], several[-1]))))
    numbers["Clips"] = format_value(summary.data.n_clips, "count")
    numbers["Subjects"] = format_value(summary.data.n_subjects, "count")
    return First(verdict(view), numbers, leaderboard.forest(view), summary.caveats)


PAGE: Page[StudyView] = Page(
    "report",
    "microexpr study of methods",
    first,
    sections=(
        Section("Results", (leaderboard.table, leaderboard.findings, leaderboard.not_run, leaderboard.printed)),
        Section("Nested selection", (leaderboard.selected, leaderboard.choice)),
        Section("Factors", (effects.verdict, effects.contrasts)),
        Section("Training-set size", (effects.sizes_problem, effects.curves, effects.crossing_sentences)),
        Section("Hard clips", (scores.hard_clips,)),
        Section("Data", (data.shares, data.classes, data.contact_sheets, data.database), open=False),
        Section("Learning curves", (curves.of_methods,), open=False),
        Section("Attribution maps", (maps.about, maps.weights), open=False),
    ),
    details=(
        Section("Confusion matrices", (scores.confusion, scores.matrices)),
        Section("All scores", (leaderboard.tests, leaderboard.databases, scores.all_cells, scores.all_metrics,
                               scores.repeats)),
        Section("Seeds", (seeds.sentence, seeds.over_seeds, seeds.seeds)),
        Section("Factors", (effects.effects, effects.levels, effects.crossings)),
        Section("Classes and subjects", (scores.by_class, scores.by_database, subjects.accuracy_by_subject,
                                         subjects.influence, subjects.by_subject)),
        Section("Preprocessing and models", (data.examples, data.preprocessing, data.models, training.losses,
                                             training.targets)),
        Section("Costs", (leaderboard.costs, training.latency_figure, training.latency)),
        Section("Attribution maps", (maps.sanity, maps.regions, maps.maps)),
        Section("Checks and settings", (record.checks, record.definitions, record.corrections, record.skipped)),
        Section("Reproducing this report", (record.reproduce, record.cite)),
    ),
)  # fmt: skip
