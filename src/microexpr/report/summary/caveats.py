"""Caveats that a reader must know before the numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from microexpr.audit.checks import copies
from microexpr.config.published import Practice
from microexpr.config.scores import metric_of as metric_and_mean
from microexpr.core import interfaces
from microexpr.core.words import capitalised, many
from microexpr.evaluation.predictions import mean_of_folds
from microexpr.report.summary import Caveat, Repeats
from microexpr.report.summary.cells import metric_of
from microexpr.report.summary.data import is_synthetic, protocol
from microexpr.report.summary.factors import settings as settings_of
from microexpr.report.summary.metrics import defined
from microexpr.runs.plan import Plan
from microexpr.runs.study import StudyResult

NAMED = 3
"""Largest number of cells whose repeats a caveat lists; for more it gives the range."""


def caveats(
    result: StudyResult,
    repeats: Sequence[Repeats] = (),
    *,
    practices: Collection[Practice] = (),
    with_frames: bool = False,
) -> Iterator[Caveat]:
    """Yield the caveats, most serious first; `repeats` are the scores of repeated splits.

    `practices` are those of the publication that the study replicates; `with_frames` says whether the report shows
    frames of recordings.
    """
    plan = result.cells[0].plan
    metadata: Mapping[str, str] = plan.data.dataset.metadata()
    if "synthetic" in metadata:
        which = "Synthetic faces" if is_synthetic(plan.data.dataset) else "Some of the faces are synthetic"
        yield Caveat.of(
            "synthetic",
            "warning",
            f"{which}: nothing here applies to real people.",
            f"The faces were generated, not recorded: {metadata['synthetic']}.",
        )
    if result.study.reduced:
        first, _, rest = result.study.reduced.partition(". ")
        yield Caveat.of("reduced", "warning", f"Reduced: {first.rstrip('.')}.", rest)
    if with_frames:
        yield Caveat.of(
            "frames_shown",
            "warning",
            "This page shows frames of the database. Most licences forbid passing such a page on.",
        )
    grid = ""
    if result.named:
        yield from _shared(result.named.plan, "In the prespecified experiment, ")
        if not result.study.methods:
            grid = "In the grid, " if len(result.cells) > 1 else "In the experiment beside it, "
    yield from _shared(plan, grid)
    yield from _copied(result)
    untested = _untested(plan)
    if untested and plan.experiment.protocol.name == "from_file":
        yield Caveat.of(
            "untested",
            "warning",
            f"{untested} of {len(plan.table)} clips are in no test set of the given folds.",
            "The validity of the scores depends on how the tested clips were selected.",
        )
    for note in dict.fromkeys(fold.note for fold in plan.folds if fold.note):
        yield Caveat.of("left_out", "note", note)
    if repeats:
        yield Caveat.of(
            "repeats",
            "note",
            f"The clips were split into folds {repeats[0].repeats} times; the tables show the first split.",
            f"So do intervals and tests: no clip counts twice. {_spread(result, repeats)}.",
        )
    yield from _averaged(result)
    if any(getattr(cell.plan.model, "weights", None) == "random" for cell in result.cells):
        paper = "; those of the paper start from ImageNet weights" if "imagenet_weights" in practices else ""
        yield Caveat.of("random_weights", "warning", _in(grid, f"Networks start from random weights{paper}."))
    for name, reason in result.failed:
        yield Caveat.of(
            "failed",
            "warning",
            f"{name} could not be trained and is missing.",
            f"{reason.rstrip('.')}. The same command with --retry-failed trains it again.",
        )
    if parted := sum(fold.metadata.get("batch_parts", 1) > 1 for cell in result.cells for fold in cell.result.folds):
        yield Caveat.of(
            "batch_parts",
            "note",
            f"In {many(parted, 'fold')}, batches went through the network in parts, as memory did not suffice.",
            "The gradients of a batch were added up; batch statistics are those of the parts.",
        )
    seeds = {cell.experiment.seed for cell in result.cells}
    if len(seeds) == 1 and any(cell.plan.model.trains_in_epochs for cell in result.cells):
        paper = ", as in the paper" if "one_seed" in practices else ""
        yield Caveat.of(
            "one_seed",
            "note",
            _in(grid, f"One seed{paper}: another seed can change any difference."),
            "Repeat with other seeds (--seeds 0,1,2) before interpreting one.",
        )
    yield from _best(result, len(seeds), grid, practices)
    yield from _same_laboratory(plan)
    uncoded = sum(clip.apex is None and clip.onset is not None for clip in plan.data.clips)
    if uncoded and any(getattr(cell.plan.sampler, "missing_apex", "") == "middle" for cell in result.cells):
        yield Caveat.of(
            "no_apex",
            "note",
            f"{many(uncoded, 'clip')} {'has' if uncoded == 1 else 'have'} no coded apex; the midpoint of onset and "
            "offset is used instead.",
        )
    if any(item.params.get("corrections") is False for item in plan.experiment.datasets):
        yield Caveat.of("uncorrected", "note", "Tables were read without corrections: their known errors remain.")
    if plan.data.dataset.cropped():
        yield Caveat.of(
            "cropped",
            "warning",
            "Frames were cropped by the owners of the database before any preprocessing here.",
        )
    for kept in plan.data.label_warnings:
        yield Caveat.of("counts_differ", "warning", f"{capitalised(kept.text)}.")
    if plan.data.unlabelled:
        counts = ", ".join(f"{emotion} {count}" for emotion, count in plan.data.unlabelled.items())
        total, name = sum(plan.data.unlabelled.values()), plan.data.labels.name
        yield Caveat.of(
            "unlabelled",
            "note",
            f"Label set {name} excludes {many(total, 'clip')} of the database.",
            f"By emotion: {counts}.",
        )
    if plan.data.skipped:
        clips = len({fault.clip for fault in plan.data.skipped})
        yield Caveat.of(
            "skipped",
            "warning",
            f"{many(clips, 'clip')} with faults {'was' if clips == 1 else 'were'} excluded.",
            "The table of excluded clips gives the reasons.",
        )
    if plan.experiment.shuffled:
        yield Caveat.of(
            "shuffled", "warning", "Labels were shuffled on purpose: a score above chance would indicate an error."
        )


def _in(where: str, sentence: str) -> str:
    """Return a sentence that begins by saying what it is about, where it is not all of the report."""
    return f"{where}{sentence[:1].lower()}{sentence[1:]}" if where else sentence


def _shared(plan: Plan, where: str) -> Iterator[Caveat]:
    """Warn of subjects that are in both training and test."""
    found = protocol(plan)
    if found.shared_subjects:
        is_, tested = "is" if found.shared_subjects == 1 else "are", many(found.test_subjects, "test subject")
        which = f"{found.shared_subjects} of the {tested} {is_}"
        which = f"All {tested} are" if 1 < found.shared_subjects == found.test_subjects else which
        yield Caveat.of(
            "shared_subjects",
            "warning",
            _in(where, f"{which} also in the training set."),
            "Scores say nothing about new subjects.",
        )


def _copied(result: StudyResult) -> Iterator[Caveat]:
    """Warn of test clips whose frames, under another name, were trained on by the model or its initial weights."""
    cells = [*result.cells, *([result.named] if result.named else [])]
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if not cell.experiment.shuffled:
            for finding in copies(cell.result):
                if finding.level == "warning":
                    found.setdefault((finding.code, finding.sentence), []).append(finding.evidence)
    for (code, sentence), evidence in found.items():
        of = f" (the first of {len(evidence)} among {len(cells)} cells)" if len(cells) > 1 else ""
        first, _, rest = sentence.partition(". ")
        yield Caveat.of(
            {"ME002": "weights_saw_test", "ME016": "copied_frames"}[code],
            "warning",
            f"{first.removesuffix('.')}.",
            f"{rest} {capitalised(evidence[0])}{of}.".strip(),
        )


def _best(result: StudyResult, seeds: int, grid: str, practices: Collection[Practice]) -> Iterator[Caveat]:
    """Warn that the best of several cells is overestimated, and name the score that is not."""
    if (settings := settings_of(result)) < 2:
        return
    if result.study.methods:
        yield Caveat.of(
            "best_of_cells",
            "note",
            "The score of the best method on the test subjects is optimistically biased.",
            "The score to report is that of the selection within the training subjects."
            if len(result.judging) > 1
            else "No method was selected within the training subjects.",
        )
        return
    what = f"{settings} cells" if seeds == 1 else f"{settings} settings with {seeds} seeds"
    paper = ", as in the paper" if "selected_on_test" in practices else ""
    yield Caveat.of(
        "best_of_cells",
        "note",
        _in(grid, f"The best of {what} is selected on the test clips{paper}: optimistically biased."),
    )


def _spread(result: StudyResult, rows: Sequence[Repeats]) -> str:
    """Say how much scores vary by split."""
    metric = metric_of(result)
    title = defined(metric)[metric].title
    if len(rows) > NAMED:
        spans = [row.max - row.min for row in rows]
        return (
            f"Between splits, {title} of a cell varies by {min(spans):.3f} to {max(spans):.3f} ({len(rows)} cells; "
            "see the table of repeated splits)"
        )
    names = [f"{row.preprocessing} · {row.sampling} · {row.model} " if len(rows) > 1 else "" for row in rows]
    means = [f"{name}{row.mean:.3f} ({row.min:.3f} to {row.max:.3f})" for name, row in zip(names, rows, strict=True)]
    return f"Mean {title} over the splits (minimum to maximum): {', '.join(means)}"


def _averaged(result: StudyResult) -> Iterator[Caveat]:
    """Warn of means of folds where the experiment requests them."""
    cell = result.cells[0]
    requested = [name for name in cell.experiment.scores if metric_and_mean(name)[1]]
    if requested:
        predictions = cell.result.of_repeat(cell.result.repeats[0]).predictions()
        found = mean_of_folds(metric_and_mean(requested[0])[0], predictions)
        yield Caveat.of(
            "mean_of_folds",
            "warning",
            "Some scores are means over folds and cannot be compared with scores of pooled predictions.",
            f"{', '.join(requested)}: {found.caveat}",
        )


def _untested(plan: Plan) -> int:
    """Count the clips that no fold tests."""
    return len(plan.table) - len({int(row) for fold in plan.folds for row in fold.test})


def _same_laboratory(plan: Plan) -> Iterator[Caveat]:
    """Warn of several databases of one laboratory, which may share subjects: nothing is published about this."""
    family: dict[str, list[str]] = {}
    for name in dict.fromkeys(item.name for item in plan.experiment.datasets):
        info = interfaces.reader(name).info
        family.setdefault(info.family or name, []).append(info.title)
    for titles in family.values():
        if len(titles) > 1:
            yield Caveat.of(
                "subjects_unknown",
                "warning",
                f"{' and '.join(titles)} come from one laboratory and may have subjects in common.",
                "Whether subjects took part in several of them is not known, so one person may be in both training and "
                "test under different numbers.",
            )
