"""The record: checks, definitions, corrections, excluded clips, environment, and how to repeat and cite a result."""

from __future__ import annotations

from collections.abc import Iterator

from microexpr.core.words import capitalised
from microexpr.report.page import Facts, Prose
from microexpr.report.summary import StudySummary, Summary
from microexpr.report.table import ABSENT, Column, Table
from microexpr.report.view import StudyView


def checks(view: StudyView) -> Table:
    """Return the findings of the methodological checks of a study."""
    return checks_of(view.summary)


def checks_of(summary: Summary) -> Table:
    """Return the findings of the methodological checks, with evidence and fix."""
    columns = [
        Column("Code", "code"),
        Column("Level", "level"),
        Column("Finding", "sentence"),
        Column("Evidence", "evidence"),
        Column("Fix", "fix"),
    ]
    notes = ["From the stored folds and predictions, as reported by microexpr check."]
    return Table("checks", "Methodological checks", columns, [row.model_dump() for row in summary.checks], notes)


def definitions(view: StudyView) -> Table:
    """Return the formula of each score and its treatment of classes without test clips."""
    rows = [
        {"score": capitalised(metric.title), **metric.model_dump(exclude={"title"})}
        for metric in view.summary.metrics.values()
    ]
    columns = [
        Column("Score", "score"),
        Column("Formula", "formula"),
        Column("Classes without test clips", "absent_classes"),
    ]
    return Table("scores", "Definitions of the scores", columns, rows)


def corrections(view: StudyView) -> Table | Prose:
    """Return the corrections applied to the database's table."""
    rows = [{"correction": text} for text in view.summary.data.corrections]
    if not rows:
        return Prose(["No correction of the database's table was applied."])
    return Table("corrections", "Corrections of the database's table", [Column("Correction", "correction")], rows)


def skipped(view: StudyView) -> Table | Prose:
    """Return the excluded clips with the reason."""
    rows = [row.model_dump() for row in view.summary.data.skipped]
    if not rows:
        return Prose(["No clip was excluded because of faults."])
    columns = [
        Column("Where", "where", missing=ABSENT),
        Column("Clip", "clip", missing=ABSENT),
        Column("Problem", "problem", missing=ABSENT),
        Column("Fix", "fix", missing=ABSENT),
    ]
    return Table("skipped", "Excluded clips", columns, rows)


def environment(summary: Summary) -> Table:
    """Return the machine and library versions, and the seeds of a study."""
    rows = [{"what": name.replace("_", " "), "value": value} for name, value in summary.environment.items()]
    if isinstance(summary, StudySummary):
        rows.append({"what": "seed", "value": ", ".join(map(str, summary.seeds))})
    return Table("environment", "Software and machine", [Column("Item", "what"), Column("Value", "value")], rows)


def run_lines(summary: Summary) -> list[str]:
    """Return how many folds and trials the run trained and reused, and a line for each unknown origin."""
    run = summary.run
    counts = f"folds: trained {run.trained}, reused {run.reused}"
    if run.trials_tried is not None:
        counts = f"trials: tried {run.trials_tried}, reused {run.trials_reused}; {counts}"
    return [counts, *run.unknown]


def reproduce(view: StudyView) -> Iterator[Prose | Facts | Table]:
    """Yield the command, the data, and the environment of a study."""
    summary = view.summary
    yield Prose(
        [*(f"{capitalised(line)}." for line in run_lines(summary)),
         "The same data, seeds, versions, kernels and number of threads give the same numbers."],
        code=summary.command,
    )  # fmt: skip
    yield Facts({"Data fingerprint": summary.data.fingerprint or "not stated", **summary.data.metadata})
    yield environment(summary)


def cite(view: StudyView) -> Prose:
    """Say what to cite, and what the results may be used for."""
    published = view.summary.published
    replicated = f"the replicated study ({' and '.join(published.authors)}, {published.title}), " if published else ""
    casme2 = " (for CASME II: W.-J. Yan et al., PLoS ONE 9(1): e86041, 2014)"
    owners = f"the owners of the data{casme2 if 'casme2' in view.summary.data.datasets else ''}"
    return Prose([
        f"Cite {replicated}{owners}, and microexpr {view.summary.version} as its CITATION.cff says.", PERMITTED_USE
    ])  # fmt: skip


PERMITTED_USE = (
    "Permitted use: research only. A micro-expression is a short facial movement, not evidence of a lie, an intention "
    "or a trait. Neither these models nor these scores may be used to judge a person: not at borders, not by police or "
    "courts, not for hiring, insurance, credit or medical decisions. The licences of most databases forbid it as well."
)
