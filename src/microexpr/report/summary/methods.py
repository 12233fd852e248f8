"""Leaderboard of a study of methods: scores, comparisons with the reference, nested selection, contrast of groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from microexpr.config.component import titles
from microexpr.config.scores import MAIN
from microexpr.config.settings import Leaderboard as Settings
from microexpr.config.study import METHODS
from microexpr.core import interfaces
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.predictions import by_database, confusion_metric, score
from microexpr.evaluation.statistics.bootstrap import METHODS as INTERVALS
from microexpr.evaluation.statistics.methods import Clips, SeedPredictions, contrast, standings
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.nested_choice import Chosen, choose, chosen_rows
from microexpr.evaluation.statistics.paired import Predictions, align
from microexpr.evaluation.statistics.power import POWER
from microexpr.report.summary import (
    Difference,
    GroupContrast,
    Leaderboard,
    MethodChoice,
    MethodRow,
    MethodScores,
    MethodSelected,
    Permutations,
    Printed,
    SkippedMethod,
)
from microexpr.report.summary.cells import PERMUTATIONS, confusion, permutations
from microexpr.report.summary.factors import by_setting
from microexpr.report.summary.metrics import defined
from microexpr.runs.experiment import trained
from microexpr.runs.study import Cell, StudyResult

PAIRED_PERMUTATIONS = 9_999
CHOICE = "selected within the training subjects"


@dataclass(frozen=True)
class _Entry:
    """A method at one setting of the other axes, with its seeds."""

    method: str
    settings: Mapping[str, str]
    cells: Mapping[str, Cell]
    """Seed -> cell."""

    @property
    def first(self) -> Cell:
        return next(iter(self.cells.values()))

    @property
    def label(self) -> str:
        return " · ".join([self.method, *(f"{name} {level}" for name, level in self.settings.items())])


@dataclass(frozen=True)
class _Board:
    """A study's methods, and the settings of its leaderboard."""

    result: StudyResult

    @property
    def settings(self) -> Settings:
        return self.result.study.leaderboard

    @cached_property
    def entries(self) -> list[_Entry]:
        """Return every method at every setting of the other axes, in the order of the study file."""
        axis, only = titles(self.result.study.axes).get("seed", "seed"), next(iter(self.result.study.methods))
        return [
            _Entry(
                cells[0].factors.get(METHODS, only),
                {name: level for name, level in cells[0].factors.items() if name not in (METHODS, axis)},
                {cell.factors.get(axis, ""): cell for cell in cells},
            )
            for cells in [*by_setting(self.result), *([cell] for cell in self.result.fused)]
        ]

    @cached_property
    def default(self) -> dict[str, _Entry]:
        """Return by method its entry at the first level of every other axis: what is chosen and compared."""
        levels = self.result.study.factors()[0]
        return {each.method: each for each in self.entries if each.settings.items() <= levels.items()}

    def rng(self, role: str) -> np.random.Generator:
        return rng_for(self.result.cells[0].experiment.seed, f"leaderboard/{role}")

    @cached_property
    def resampling(self) -> dict[str, Any]:
        """Settings of intervals and paired tests."""
        bootstrap = self.result.cells[0].experiment.bootstrap
        return {"n": bootstrap.n, "permutations": PAIRED_PERMUTATIONS, "level": bootstrap.level}

    def aligned(self, tables: Mapping[str, pd.DataFrame]) -> tuple[Clips, dict[str, np.ndarray]]:
        """Return the test clips and each table's predictions; ConfigError where tables have different clips."""
        classes = self.result.cells[0].plan.data.labels.classes
        made = align(*(Predictions.of(name, table, classes) for name, table in tables.items()))
        k, first = len(classes), made[0]
        metric = confusion_metric(self.settings.metric)
        clips = Clips(metric, first.y_true, first.subjects, k, present(first.y_true, k))
        return clips, {name: each.y_pred for name, each in zip(tables, made, strict=True)}


def leaderboard(result: StudyResult) -> Leaderboard | None:
    """Return the leaderboard, the best method first; None for a study without methods."""
    if not result.study.methods:
        return None
    board = _Board(result)
    bootstrap = result.cells[0].experiment.bootstrap
    try:
        compared, problem = _compared(board), None
    except ConfigError as error:
        compared, problem = _Tests(), str(error)
    rows = [_row(board, entry, compared) for entry in board.entries]
    reference = board.default.get(board.settings.reference or "")
    ranked = sorted(rows, key=lambda row: -row.score)  # stable: ties keep the order of the study file
    return Leaderboard(
        metric=board.settings.metric,
        reference=reference.label if reference else None,
        requested_reference=board.settings.reference,
        level=bootstrap.level,
        n=bootstrap.n,
        interval=f"{INTERVALS['expanded']} by subject",
        permutations=PERMUTATIONS,
        paired_permutations=PAIRED_PERMUTATIONS,
        power=POWER,
        trained=trained([cell.result for cell in result.cells], max(len(each.cells) for each in board.entries)),
        rows=[row.model_copy(update={"best": at == 0}) for at, row in enumerate(ranked)],
        skipped=[SkippedMethod(method=name, reason=reason) for name, reason in result.skipped.items()],
        problem=problem,
        choice=_choice(board),
        contrast=_contrast(board, {row.label: row.score for row in rows}),
    )


# --- rows -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Tests:
    """Intervals, permutation levels and comparisons with the reference, by the label of the row."""

    standings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    paired: Mapping[str, Difference] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def _row(board: _Board, entry: _Entry, compared: _Tests) -> MethodRow:
    tables = {seed: cell.result.predictions() for seed, cell in entry.cells.items()}
    metadata = [fold.metadata for cell in entry.cells.values() for fold in cell.result.folds]
    # Times stored without a number of threads predate the warm-up, and estimators used any number of threads.
    timed = [fact for fact in metadata if fact.get("ms_a_clip") is not None and fact.get("ms_threads") is not None]
    groups = (name for name, members in board.settings.contrast.items() if entry.method in members)
    return MethodRow(
        **_scored(board, list(tables.values())),
        **compared.standings.get(entry.label, {}),
        paired=compared.paired.get(entry.label),
        seconds=_seconds([entry.first]),
        seeds=list(tables),
        method=entry.method,
        settings=dict(entry.settings),
        label=entry.label,
        group=next(groups, None),
        reference=_is_reference(board, entry),
        best=False,
        keys=[cell.result.key for cell in entry.cells.values()],
        confusion=confusion(entry.first),
        estimator=all(fact.get("parameters") is None for fact in metadata),
        printed=_printed(board, entry.method, list(tables.values())),
        fused=list(board.settings.fused.get(entry.method, ())),
        parameters=max((fact["parameters"] for fact in metadata if fact.get("parameters") is not None), default=None),
        ms_a_clip=float(np.median([fact["ms_a_clip"] for fact in timed])) if timed else None,
        ms_threads=" / ".join(dict.fromkeys(str(fact["ms_threads"]) for fact in timed)) or None,
        folds=len(entry.first.result.folds),
        problem=compared.problems.get(entry.label),
    )


def _is_reference(board: _Board, entry: _Entry) -> bool:
    return board.default.get(entry.method) is entry and entry.method == board.settings.reference


def _scored(board: _Board, tables: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return the mean scores of several predictions, the score of each by the leaderboard's metric, and by database."""
    names = list(defined(board.settings.metric, *MAIN))
    built = {name: interfaces.metrics.build(name, {}) for name in names}
    each = [{name: score(metric, table) for name, metric in built.items()} for table in tables]
    means = {name: float(np.mean([scores[name] for scores in each])) for name in names}
    databases = pd.concat([by_database(table, names) for table in tables])
    means_there = databases.groupby("database", sort=False)[names].mean()
    return {
        "score": means[board.settings.metric],
        "scores": [scores[board.settings.metric] for scores in each],
        "means": means,
        "databases": {
            str(name): {str(key): float(value) for key, value in row.items()} for name, row in means_there.iterrows()
        },
    }


def _printed(board: _Board, method: str, tables: Sequence[pd.DataFrame]) -> Printed | None:
    """Return the published score of a method and the score here by the same metric, the mean over seeds."""
    printed = board.settings.printed.get(method)
    if printed is None:
        return None
    metric = interfaces.metrics.build(printed.metric, {})
    return Printed(**printed.model_dump(), here=float(np.mean([score(metric, table) for table in tables])))


def _predictions(board: _Board, entries: Sequence[_Entry]) -> tuple[Clips, list[SeedPredictions]]:
    tables = {
        f"{entry.label} {seed}": cell.result.predictions() for entry in entries for seed, cell in entry.cells.items()
    }
    clips, made = board.aligned(tables)
    return clips, [{seed: made[f"{entry.label} {seed}"] for seed in entry.cells} for entry in entries]


def _compared(board: _Board) -> _Tests:
    """Return intervals, permutation levels and comparisons with the reference."""
    clips, predictions = _predictions(board, board.entries)
    standing = _standings(board, clips, predictions, "scores")
    found = {entry.label: each for entry, each in zip(board.entries, standing, strict=True)}
    sides = list(zip(board.entries, predictions, strict=True))
    reference = next((predicted for entry, predicted in sides if _is_reference(board, entry)), None)
    if reference is None:
        return _Tests(found)
    made, problems = {}, {}
    for entry, predicted in sides:
        if not _is_reference(board, entry):
            try:
                rng = board.rng(f"paired/{entry.label}")
                made[entry.label] = contrast(clips, [predicted], [reference], rng=rng, **board.resampling)
            except ConfigError as error:  # such as a seed that failed to train: the other methods are still compared
                problems[entry.label] = str(error)
    corrected = with_family(list(made.values()))
    return _Tests(found, {label: _plain(one) for label, one in zip(made, corrected, strict=True)}, problems)


def _standings(board: _Board, clips: Clips, predictions: Sequence[SeedPredictions], role: str) -> list[dict[str, Any]]:
    """Return interval and permutation test of each method."""
    settings = board.resampling | {"permutations": PERMUTATIONS}
    found = standings(clips, predictions, rng=board.rng(role), **settings)
    return [
        {
            "low": each.low,
            "high": each.high,
            "permuted": Permutations(**permutations(each.permuted), p_holm=each.p_holm),
        }
        for each in found
    ]


def _plain(found: object) -> Difference:
    return Difference.model_validate(found, from_attributes=True)


# --- nested selection -------------------------------------------------------------------------------------------------
def _choice(board: _Board) -> MethodChoice | None:
    """Return the result of selecting a method within the training subjects, or why none could be selected."""
    choice = board.settings.choice
    if choice is None:
        return None
    inner = {cell.factors[METHODS]: cell for cell in board.result.judging}
    candidates = [name for name in choice.of if name in inner and name in board.default]
    known: dict[str, Any] = {
        "of": candidates,
        "left_out": [name for name in choice.of if name not in candidates],
        "groups": choice.groups,
        "one_subject_per_fold": all(_tests_one_subject(board.default[name].first) for name in candidates),
        "keys": [cell.result.key for cell in inner.values()],
    }
    runnable = board.settings.choosable(board.result.skipped)
    if len(runnable) < 2:  # their inner folds were not trained
        found = f"only {runnable[0]}" if runnable else "none"
        return MethodChoice(
            **known, problem=f"of {', '.join(choice.of)}, these data allow {found}; selection needs two."
        )
    seconds = _seconds(cell for name, cell in inner.items() if name not in board.settings.fused)
    try:
        return _chosen(board, {name: _rounds(inner[name]) for name in candidates}, known, seconds)
    except ConfigError as error:
        return MethodChoice(**known, problem=str(error))


def _seconds(cells: Iterable[Cell]) -> float:
    """Return the training time of all folds in seconds."""
    return float(np.nansum([fold.metadata["seconds"] for cell in cells for fold in cell.result.folds]))


def _tests_one_subject(cell: Cell) -> bool:
    """Return whether every fold tests one subject, so that all others are among its training subjects."""
    tested = (fold.views.loc[fold.views["part"] == "test", "subject"] for fold in cell.result.folds)
    return all(subjects.nunique() == 1 for subjects in tested)


def _rounds(cell: Cell) -> pd.DataFrame:
    """Return the predictions of all repeats, in each of which every clip is tested once."""
    result = cell.result
    return pd.concat([result.of_repeat(number).predictions() for number in result.repeats], ignore_index=True)


def _chosen(board: _Board, inner: Mapping[str, pd.DataFrame], known: Mapping[str, Any], seconds: float) -> MethodChoice:
    classes = board.result.cells[0].plan.data.labels.classes
    choices = choose(confusion_metric(board.settings.metric), inner, len(classes))
    taken = list(dict.fromkeys(each.method for each in choices))
    seeds = [seed for seed in board.default[taken[0]].cells if all(seed in board.default[name].cells for name in inner)]
    if not seeds:
        raise ConfigError(
            "E125", f"the candidates of the nested selection, {', '.join(inner)}, have no seed in common."
        )
    pooled = {
        seed: chosen_rows(choices, {name: board.default[name].cells[seed].result.predictions() for name in inner})
        for seed in seeds
    }
    first = pooled[seeds[0]]
    reference = board.default.get(board.settings.reference or "")
    cell = reference.cells.get(seeds[0]) if reference else None
    clips, made = board.aligned({CHOICE: first} | ({"reference": cell.result.predictions()} if cell else {}))
    mine: SeedPredictions = {"": made[CHOICE]}
    paired = (
        _plain(contrast(clips, [mine], [{"": made["reference"]}], rng=board.rng("choice/paired"), **board.resampling))
        if cell
        else None
    )
    scores = [_scored(board, [table])["score"] for table in pooled.values()]
    return MethodChoice(
        **known,
        inner=float(np.average([each.scores[each.method] for each in choices], weights=_subject_counts(choices))),
        chosen=_times(board, choices, seeds[0]),
        result=MethodScores(
            **_scored(board, [first]) | {"scores": scores},
            **_standings(board, clips, [mine], "choice/scores")[0],
            paired=paired,
            seconds=seconds,
            seeds=seeds,
        ),
    )


def _subject_counts(choices: Sequence[Chosen]) -> list[int]:
    return [len(each.subjects) for each in choices]


def _times(board: _Board, choices: Sequence[Chosen], seed: str) -> list[MethodSelected]:
    """Return how often each method was selected, with its mean inner score and its score on all test subjects."""
    rows = [
        MethodSelected(
            method=name,
            groups=sum(each.method == name for each in choices),
            subjects=sum(len(each.subjects) for each in choices if each.method == name),
            inner=float(np.average([each.scores[name] for each in choices], weights=_subject_counts(choices))),
            outer=_scored(board, [board.default[name].cells[seed].result.predictions()])["score"],
        )
        for name in choices[0].scores
    ]
    return sorted(rows, key=lambda row: -row.subjects)


# --- two groups -------------------------------------------------------------------------------------------------------
def _contrast(board: _Board, scores: Mapping[str, float]) -> GroupContrast | None:
    """Return the comparison of two groups of methods, or why they cannot be compared."""
    if not board.settings.contrast:
        return None
    groups = {
        name: [board.default[method] for method in dict.fromkeys(members) if method in board.default]
        for name, members in board.settings.contrast.items()
    }
    known: dict[str, Any] = {
        "groups": {name: [entry.method for entry in entries] for name, entries in groups.items()},
        "left_out": [
            name for members in board.settings.contrast.values() for name in members if name not in board.default
        ],
    }
    empty = next((name for name, entries in groups.items() if not entries), None)
    if empty is not None:
        return GroupContrast(**known, problem=f"no method of the group {empty} could be run.")
    try:
        clips, predictions = _predictions(board, [entry for entries in groups.values() for entry in entries])
        size = len(next(iter(groups.values())))
        found = contrast(clips, predictions[:size], predictions[size:], rng=board.rng("contrast"), **board.resampling)
    except ConfigError as error:
        return GroupContrast(**known, problem=str(error))
    means = {name: float(np.mean([scores[entry.label] for entry in entries])) for name, entries in groups.items()}
    return GroupContrast(**known, scores=means, difference=_plain(found))
