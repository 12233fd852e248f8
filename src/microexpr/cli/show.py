"""Printed output of the commands."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from microexpr.core.words import capitalised, many

if TYPE_CHECKING:
    import pandas as pd

    from microexpr.audit.checks import Finding
    from microexpr.audit.comparison import Compared
    from microexpr.core.errors import Fault
    from microexpr.data.doctor import Diagnosis
    from microexpr.learning.export import Exported
    from microexpr.report.summary import Caveat, StudySummary, TuningSummary
    from microexpr.report.view import StudyView

WIDTH = 100
"""Line width of sentences; lines with file names are not wrapped."""
HEAD = 10
"""Rows of a table that are printed."""
EXAMPLES = 3
"""Faults of one code that are printed without --verbose."""
LEFT_OUT = 20
"""Faults that are listed beside a table."""
_TIED = "\xa0"


def as_json(content: object) -> None:
    """Print as JSON."""
    typer.echo(json.dumps(content, indent=1))


def plan(found: Mapping[str, Any]) -> None:
    """Print the result of a dry run."""
    for name, fact in found["metadata"].items():
        typer.echo(f"{name}: {fact}")
    for word in ("corrections", "skipped"):
        for item in found[word]:
            typer.echo(f"{word}: {item}")
    for warning in found["warnings"]:
        wrapped("!", warning, indent=4)
    for method, reason in found["methods_skipped"].items():
        wrapped("-", f"method {method} is excluded: {reason}", indent=4)
    rows = found["cells"]
    columns = ("part", "preprocessing", "sampling", "model", "protocol", "train", "val", "test", "size", "weights")
    further = {name: "-" for row in rows for name in row["further"]}
    complete = [{**row, **further, **row["further"]} for row in rows]
    optional = {
        "target": 0,
        "vote": 1,
        "dis_finest": 0,
    }  # shown with more values than this: one vote for all is omitted
    some = [name for name, number in optional.items() if len({row[name] for row in rows} - {None}) > number]
    order = [*columns[:4], *some, *further, *columns[4:]]
    table([{name: "-" if row[name] is None else row[name] for name in order} for row in complete])
    typer.echo(f"{len(rows)} experiments; nothing was trained.")


def caveat(text: str) -> None:
    """Print what limits a result."""
    wrapped("!", text, indent=4)


def export(found: Exported) -> None:
    """Print where a graph is and how well it agrees with its network."""
    agreement = found.agreement
    typer.echo(f"graph: {found.folder} ({found.runtime}, {found.precision})")
    typer.echo(
        f"On {agreement.views} random views, network and graph give the same class for {agreement.same_class:.2%}; the "
        f"largest change of a probability is {agreement.probability:.1e}, of a logit {agreement.logit:.1e}."
    )


def predictions(found: pd.DataFrame, out: Path | None) -> None:
    """Print how many clips got which label, what limits these predictions, and the first rows if no file has them."""
    from microexpr.learning.pipeline import KNOWN_FRAMES, KNOWN_SUBJECT, UNRECORDED

    usable = found[found["label"] != ""]
    labels = ", ".join(f"{label} {count}" for label, count in usable["label"].value_counts().items())
    typer.echo(f"{many(len(usable), 'clip')} predicted: {labels}")
    if left := len(found) - len(usable):
        caveat(f"{many(left, 'clip')} could not be used; the column `notes` says why.")
    frames, subjects = (int(usable["notes"].str.contains(text).sum()) for text in (KNOWN_FRAMES, KNOWN_SUBJECT))
    if frames:
        caveat(f"The model was trained on the frames of {many(frames, 'clip')}: these predictions do not show how well "
               "it recognises new frames.")  # fmt: skip
    if subjects:
        caveat(f"{many(subjects, 'clip')} {'shows a subject' if subjects == 1 else 'show subjects'} that the model was "
               "trained on; expect lower accuracy for new subjects.")  # fmt: skip
    if usable["notes"].str.contains(UNRECORDED, regex=False).any():
        caveat(
            "What the model was trained on is not recorded, so these may be clips or subjects that it was trained on."
        )
    if out is None:
        scores = [name for name in found.columns if name.startswith("p_")]
        columns = ["key", "coded", "label", *scores, "notes"]
        rows = found[columns].head(HEAD).astype(object)
        rows[scores] = rows[scores].map("{:.3f}".format)
        rows = rows.where(found[columns].notna(), "-")
        table([{str(name): value for name, value in row.items()} for row in rows.to_dict("records")])
        typer.echo(f"{many(len(found), 'row')}; --out FILE writes all.")
    else:
        typer.echo(f"predictions: {out}")


def summary(found: StudySummary, report: Path) -> None:
    """Print the scores of a study and its verdict, how many folds were trained, and the path of its report."""
    from microexpr.config.scores import CHALLENGE
    from microexpr.report.blocks.record import run_lines
    from microexpr.report.pages import factors, methods
    from microexpr.report.view import StudyView

    view = StudyView(found)
    _limits(found.caveats)
    where, axes = ("preprocessing", "sampling", "model"), found.axes
    parts = {axis.part for axis in axes.values()}
    further = set(axes) - set(where)  # levels are shorter than components with all their parameters
    lines = []
    for cell in found.cells:
        line = {name: getattr(cell, name) for name in where if not (further and name in parts)}
        line |= cell.factors if further else {}
        line |= {"loss": cell.loss or "-", found.metric: _short(cell.score)}
        line |= {"ci_low": _short(cell.ci_low), "ci_high": _short(cell.ci_high)}
        line |= {name: _short(cell.scores[name]) for name in CHALLENGE} | {"n_test": _short(cell.n_test)}
        lines.append(line | {name: _short(value) for name, value in cell.requested_scores.items()})
    table(lines)
    if found.leaderboard:
        leaderboard(view)
    elif len(found.over_seeds) > 1:
        _over_seeds(view)
    for sentence in filter(None, (methods if found.leaderboard else factors).verdict(view)):
        wrapped("-", sentence, indent=4)
    for skipped in found.leaderboard.skipped if found.leaderboard else ():
        wrapped("-", f"not run: {skipped.method}: {skipped.reason}", indent=4)
    for text in run_lines(found):
        typer.echo(text)
    typer.echo(f"report: {report}")


def _limits(found: Sequence[Caveat]) -> None:
    for caveat in found:
        wrapped("!" if caveat.level == "warning" else "-", caveat.line, indent=4)


def leaderboard(view: StudyView) -> None:
    """Print a study's methods, the best first, and the nested selection."""
    from microexpr.config.scores import CHALLENGE
    from microexpr.report.blocks.leaderboard import board_of, lines

    board, rows = board_of(view), []
    for line in lines(view):
        scores, paired = line.scores, line.scores.paired
        interval = "" if scores.low is None else f" [{scores.low:.3f}, {scores.high:.3f}]"
        row = {"method": line.name, board.metric: f"{_short(scores.score)}{interval}"}
        row |= {name: _short(scores.means[name]) for name in CHALLENGE if name != board.metric}
        if board.reference:
            value = f"{paired.value:+.3f}" if paired else "-"
            row[f"- {board.reference}"] = "reference" if line.row and line.row.reference else value
            row["p"] = _p(paired.p if paired else None)
        rows.append(row)
    typer.echo("")
    table(rows)


def _over_seeds(view: StudyView) -> None:
    """Print the mean score over seeds, one line per cell."""
    from microexpr.report.blocks.seeds import variance
    from microexpr.report.view import scored

    found = view.summary.over_seeds
    for row in found:
        where = ", ".join(f"{axis} {level}" for axis, level in row.factors.items())
        value = f"{view.score} {scored(row.mean, row.low, row.high)} over {many(len(row.seeds), 'seed')}"
        shares = f". {sentence}" if (sentence := variance([row])) else ""
        typer.echo(f"{where}{': ' if where else ''}{value}{shares}")
    for problem in dict.fromkeys(row.problem for row in found if row.problem):
        typer.echo(problem)


def tuning(found: TuningSummary, page: Path) -> None:
    """Print the values that each search selected, and the effect of tuning."""
    from microexpr.report.blocks.record import run_lines
    from microexpr.report.pages.tuning import brief, optimism, parameters, value, verdict

    _limits(found.caveats)
    table([
        {
            "search": row.search,
            "clips": row.clips,
            "trials": row.finished,
            **{brief(key): value(row.values[key]) for key in parameters(found)},
            "inner": f"{row.inner_score:.3f}",
            "outer untuned": f"{row.untuned:.3f}",
            "outer tuned": f"{row.tuned:.3f}",
        }
        for row in found.searches
    ])  # fmt: skip
    for sentence in (*verdict(found), optimism(found)):
        wrapped("-", sentence, indent=4)
    for text in run_lines(found):
        typer.echo(text)
    typer.echo(f"page: {page}")


def table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows in columns."""
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    typer.echo("  ".join(name.ljust(width) for name, width in widths.items()).rstrip())
    for row in rows:
        typer.echo("  ".join(str(row[name]).ljust(width) for name, width in widths.items()).rstrip())


# --- microexpr data ---------------------------------------------------------------------------------------------------
def diagnosis(found: Diagnosis, *, verbose: bool = False) -> None:
    """Print the check of a folder: faults and notes grouped by code, with a few examples or, if `verbose`, all."""
    typer.echo(f"{found.title} in {found.root}" + (" (table only)" if found.table_only else ""))
    for name, value in found.metadata.items():
        typer.echo(f"  {name}: {value}")
    if found.metadata:
        faulty = f"; {many(found.faulty, 'other')} left out because of faults" if found.faulty else ""
        typer.echo(f"  clips: {found.clips} of {many(found.subjects, 'subject')}{faulty}")
    if found.corrections:
        typer.echo(f"\n{many(len(found.corrections), 'correction')} applied:")
        for correction in found.corrections:
            typer.echo(f"  {correction}")
    if found.notes:
        typer.echo(f"\n{many(len(found.notes), 'note')} (unusual, not wrong):")
        _grouped(found.notes, verbose)
    if found.faults:
        typer.echo(f"\n{many(len(found.faults), 'fault')}:")
        _grouped(found.faults, verbose)
    else:
        typer.echo("\nno faults")


def _grouped(faults: Sequence[Fault], verbose: bool) -> None:
    from microexpr.core.error_codes import CODES
    from microexpr.data.doctor import grouped

    for group in grouped(faults):
        code, fix = group[0].code, group[0].fix
        typer.echo(f"  {code}, {len(group)}: {CODES[code].reason}")
        shown = len(group) if verbose else EXAMPLES
        for fault in group[:shown]:
            typer.echo(f"    {fault.where}: {fault.problem}")
        if len(group) > shown:
            typer.echo(f"    ... and {len(group) - shown} more; --verbose lists all")
        typer.echo(f"    -> {fix}")


def left_out(faults: Sequence[object]) -> None:
    """Print to the error stream which clips were left out and why; of very many, the first."""
    for fault in faults[:LEFT_OUT]:
        typer.echo(f"left out: {fault}", err=True)
    if len(faults) > LEFT_OUT:
        more = many(len(faults) - LEFT_OUT, "more fault")
        typer.echo(f"... {more}; `microexpr data check --verbose` lists all", err=True)


def clips(rows: pd.DataFrame, *, head: bool) -> None:
    """Print the numbers of clips by class and subject; if `head`, the first clips before."""
    if head:
        columns = ("key", "label", "apex", "action_units", "subject")
        table([{name: _cell(row[name]) for name in columns} for row in rows.head(HEAD).to_dict("records")])
        if len(rows) > HEAD:
            typer.echo(f"... {len(rows) - HEAD} more; --out FILE.csv writes all, with {len(rows.columns)} columns")
        typer.echo("")
    typer.echo(f"{many(len(rows), 'clip')}, {many(rows['subject'].nunique(), 'subject')}")
    wrapped("class:", _counts(rows["label"]))
    if head:
        wrapped("subject:", _counts(rows["subject"], by_count=False))


def _counts(words: Iterable[str], *, by_count: bool = True) -> str:
    counts = Counter(words)
    # No line break between a name and its number.
    return ", ".join(
        f"{word or 'no emotion'}{_TIED}{count}"
        for word, count in (counts.most_common() if by_count else counts.items())
    )


def _cell(value: object) -> str:
    return "-" if value is None or value != value or str(value) in ("", "<NA>") else str(value)


def wrapped(name: str, text: str, *, indent: int = 10) -> None:
    """Print a sentence in lines, indented below its name."""
    from microexpr.report.glossary import tied

    first = f"  {name:<{indent - 2}}"
    typer.echo(
        textwrap.fill(
            tied(text),
            WIDTH,
            initial_indent=first,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        ).replace(_TIED, " ")
    )


def databases(found: Sequence[Mapping[str, Any]]) -> None:
    """Print the metadata of every database."""
    for item in found:
        size = [f"{item[name]} {name}" for name in ("clips", "subjects") if item[name] is not None]
        size += [f"{item['fps']:g} frames per second"] if item["fps"] is not None else []
        typer.echo(f"{item['name']}: {item['title']}" + (f" ({', '.join(size)})" if size else ""))
        wrapped("emotions", ", ".join(item["emotions"]), indent=12)
        wrapped("licence", item["licence"], indent=12)
        wrapped("access", item["access"], indent=12)
        if item["doi"]:
            wrapped("doi", item["doi"], indent=12)
        typer.echo("")


def studies(found: Sequence[Mapping[str, str]]) -> None:
    """Print the shipped studies, and the command that runs each."""
    for item in found:
        typer.echo(item["name"])
        wrapped("", item["about"], indent=2)
        typer.echo(f"  {item['command']}\n")
    typer.echo("To adapt one: microexpr studies NAME > my_study.toml")


def stats(found: Mapping[str, Any]) -> None:
    """Print counts by class and subject, and minimum, median and maximum of durations and apexes."""
    caveat = " (synthetic faces)" if "synthetic" in found["metadata"] else ""
    typer.echo(f"{found['title']}{caveat}: {many(found['clips'], 'clip')} of {many(found['subjects'], 'subject')}\n")
    rows = [*found["classes"].items(), ("all", found["all"])]
    table(
        [
            {
                "class": word or "no emotion",
                "clips": summary["clips"],
                "subjects": summary["subjects"],
                "frames": _spread(summary["frames"], "g"),
                "milliseconds": _spread(summary["milliseconds"], ".0f"),
                "apex (0 onset, 1 offset)": _spread(summary["apex"], ".2f"),
                "no apex": summary["without_apex"],
            }
            for word, summary in rows
        ]
    )
    typer.echo("minimum / median / maximum\n")
    table(
        [
            {
                "subject": subject,
                "clips": sum(counts.values()),
                **{word or "no emotion": n for word, n in counts.items()},
            }
            for subject, counts in found["by_subject"].items()
        ]
    )


def _spread(values: Mapping[str, float | int] | None, form: str) -> str:
    return " / ".join(format(value, form) for value in values.values()) if values else "-"


def _short(value: object) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def findings(found: Sequence[Finding]) -> None:
    """Print the findings of the checks, warnings first."""
    for finding in found:
        wrapped(finding.code, f"[{finding.level}] {finding.sentence} {finding.evidence}", indent=8)
        wrapped("", f"-> {finding.fix}", indent=8)
    warnings = sum(finding.level == "warning" for finding in found)
    typer.echo(f"{many(warnings, 'warning')}, {many(len(found) - warnings, 'note')}")


def comparison(compared: Compared) -> None:
    """Print a comparison of two results: the difference, the tests, and the smallest detectable difference."""
    _caveats(compared)
    found = compared.comparisons[0]
    typer.echo(f"A: {found.a}\nB: {found.b}")
    typer.echo(f"{found.n_clips} clips of {many(found.n_subjects, 'subject')}; classes: {', '.join(found.classes)}\n")
    table([
        {"": "A", found.metric: _short(found.score_a), "only this correct": found.only_a},
        {"": "B", found.metric: _short(found.score_b), "only this correct": found.only_b},
    ])  # fmt: skip
    low, high = f"{found.ci_low:+.3f}", f"{found.ci_high:+.3f}"
    typer.echo(f"\nA minus B: {found.difference:+.3f} [{low}, {high}], {100 * found.level:g} % by {found.unit}")
    exact = "all permutations" if found.p_exact else f"{found.permutations:,} permutations"
    typer.echo(f"paired permutation test by {found.unit}: p {_equals(found.p_value)} ({exact})")
    wilcoxon = "" if found.wilcoxon_p is None else f"; Wilcoxon over subjects: p {_equals(found.wilcoxon_p)}"
    typer.echo(f"McNemar, exact: p {_equals(found.mcnemar_p)}{wilcoxon}")
    if found.odds_ratio is not None:
        low, high = f"{found.odds_low:.3g}", "unbounded" if found.odds_high is None else f"{found.odds_high:.3g}"
        typer.echo(f"odds of A being correct where only one result is: {found.odds_ratio:.3g} [{low}, {high}]")
    if found.design_effect is not None:
        typer.echo(f"design effect (variance over subjects / variance over clips): {found.design_effect:.2f}")
    if found.detectable is not None:
        typer.echo(f"smallest difference detectable with {100 * found.power:g} % power: {found.detectable:.3f}")
    for note in found.notes:
        wrapped("-", note, indent=4)
    typer.echo(f"{capitalised(found.verdict)}.")


def comparisons(found: Compared) -> None:
    """Print comparisons of the first of several results with each other, as one family of tests."""
    from microexpr.evaluation.statistics.scope import together

    _caveats(found)
    first, letters = found.comparisons[0], found.letters
    for letter, each in zip(letters, found.stored, strict=True):
        typer.echo(f"{letter}: {each.name}")
    typer.echo(f"{first.n_clips} clips of {many(first.n_subjects, 'subject')}; classes: {', '.join(first.classes)}\n")
    scores = [first.score_a, *(one.score_b for one in found.comparisons)]
    table([{"": letter, first.metric: _short(score)} for letter, score in zip(letters, scores, strict=True)])
    typer.echo(
        f"\n{first.metric}, {100 * first.level:g} % intervals by {first.unit}; paired permutation test by {first.unit}"
    )
    table(
        [
            {
                "": f"A - {letter}",
                "difference": f"{one.difference:+.3f} [{one.ci_low:+.3f}, {one.ci_high:+.3f}]",
                "only A correct": one.only_a,
                "only other": one.only_b,
                "p": _p(one.p_value),
                "p (Holm)": _p(one.p_holm),
                "McNemar": _p(one.mcnemar_p),
                "Wilcoxon": _p(one.wilcoxon_p),
                "design effect": "-" if one.design_effect is None else f"{one.design_effect:.2f}",
                "detectable": "-" if one.detectable is None else f"{one.detectable:.3f}",
            }
            for letter, one in zip(letters[1:], found.comparisons, strict=True)
        ]
    )
    pairs = list(zip(letters[1:], found.comparisons, strict=True))
    for note in dict.fromkeys(note for one in found.comparisons for note in one.notes):
        mine = [letter for letter, one in pairs if note in one.notes]
        wrapped("-", note if len(mine) == len(pairs) else f"A - {', '.join(mine)}: {note}", indent=4)
    significant = [f"A - {letter}" for letter, one in pairs if one.significant]
    verdict = together([one.trained for one in found.comparisons]).verdict(significant=bool(significant))
    typer.echo(f"{capitalised(verdict)}{': ' if significant else ''}{', '.join(significant)}.")


def _caveats(found: Compared) -> None:
    for caveat in found.caveats:
        wrapped("!" if caveat.level == "warning" else "-", caveat.text, indent=4)


def _p(p_value: float | None) -> str:
    if p_value is None:
        return "-"
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.4f}"


def _equals(p_value: float) -> str:
    shown = _p(p_value)
    return shown if shown.startswith("<") else f"= {shown}"
