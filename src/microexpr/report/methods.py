"""The leaderboard of a study of methods: scores, comparison with the reference, nested choice, contrast of groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from microexpr.config.component import titles
from microexpr.config.settings import Leaderboard
from microexpr.config.study import METHODS
from microexpr.core import interfaces as contracts
from microexpr.core.confusion import present
from microexpr.core.errors import ConfigError
from microexpr.core.randomness import rng_for
from microexpr.evaluation.predictions import by_database, confusion_metric, score
from microexpr.evaluation.statistics.methods import (
    Clips,
    Difference,
    SeedPredictions,
    contrast,
    standings,
)
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.nested_choice import Chosen, choose, chosen_rows
from microexpr.evaluation.statistics.paired import Predictions, align
from microexpr.evaluation.statistics.power import POWER
from microexpr.report import factorial
from microexpr.report.intervals import words
from microexpr.runs.experiment import trained
from microexpr.runs.study import Cell, StudyResult

SCORES = ("uf1", "uar", "accuracy", "macro_f1")
"""What every row is scored by, beside the leaderboard's metric."""
SWAPPINGS, PERMUTATIONS = 9_999, 1_999
CHOICE = "chosen inside the training subjects"


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
    """A study's methods, and what they are judged by."""

    result: StudyResult

    @property
    def asked(self) -> Leaderboard:
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
            for cells in [*factorial.by_setting(self.result), *([cell] for cell in self.result.fused)]
        ]

    @cached_property
    def usual(self) -> dict[str, _Entry]:
        """Return by method its entry at the first level of every other axis: what is chosen and compared."""
        levels = self.result.study.factors()[0]
        return {each.method: each for each in self.entries if each.settings.items() <= levels.items()}

    def rng(self, role: str) -> np.random.Generator:
        return rng_for(self.result.cells[0].experiment.seed, f"leaderboard/{role}")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """How intervals and tests are made."""
        bootstrap = self.result.cells[0].experiment.bootstrap
        return {"n": bootstrap.n, "permutations": SWAPPINGS, "level": bootstrap.level}

    def aligned(self, tables: Mapping[str, pd.DataFrame]) -> tuple[Clips, dict[str, np.ndarray]]:
        """Return what was tested and each table's predictions; ConfigError where they are not of the same clips."""
        classes = self.result.cells[0].plan.data.labels.classes
        made = align(*(Predictions.of(name, table, classes) for name, table in tables.items()))
        k, first = len(classes), made[0]
        metric = confusion_metric(self.asked.metric)
        clips = Clips(metric, first.y_true, first.subjects, k, present(first.y_true, k))
        return clips, {name: each.y_pred for name, each in zip(tables, made, strict=True)}


def leaderboard(result: StudyResult) -> dict[str, Any] | None:
    """Return the leaderboard as plain numbers and words, the best method first; None for a study without methods."""
    if not result.study.methods:
        return None
    board = _Board(result)
    bootstrap = result.cells[0].experiment.bootstrap
    found: dict[str, Any] = {
        "metric": board.asked.metric,
        "reference": board.asked.reference if board.asked.reference in board.usual else None,
        "reference_asked": board.asked.reference,
        "level": bootstrap.level,
        "n": bootstrap.n,
        "interval": f"{words('expanded')} by subject",
        "permutations": PERMUTATIONS,
        "swappings": SWAPPINGS,
        "power": POWER,
        "trained": asdict(
            trained([cell.result for cell in result.cells], max(len(each.cells) for each in board.entries))
        ),
        "rows": [_row(board, each) for each in board.entries],
        "skipped": [{"method": name, "reason": reason} for name, reason in result.skipped.items()],
        "problem": None,
        "choice": None,
        "contrast": None,
    }
    try:
        _compare(board, found["rows"])
    except ConfigError as error:
        found["problem"] = str(error)
    found["choice"] = _choice(board)
    found["contrast"] = _contrast(board, {row["label"]: row["score"] for row in found["rows"]})
    found["rows"].sort(key=lambda row: -row["score"])  # stable: of equals the first in the study file
    for at, row in enumerate(found["rows"]):
        row["best"] = at == 0
    return found


# --- rows -------------------------------------------------------------------------------------------------------------
def _row(board: _Board, entry: _Entry) -> dict[str, Any]:
    tables = {seed: cell.result.predictions() for seed, cell in entry.cells.items()}
    metadata = [fold.metadata for cell in entry.cells.values() for fold in cell.result.folds]
    # Times without a number of threads are of before there was a warm-up, and of estimators on any number of threads.
    timed = [fact for fact in metadata if fact.get("ms_a_clip") is not None and fact.get("ms_threads") is not None]
    usual = board.usual.get(entry.method) is entry
    groups = (name for name, members in board.asked.contrast.items() if entry.method in members)
    return {
        "method": entry.method,
        "settings": dict(entry.settings),
        "label": entry.label,
        "group": next(groups, None),
        "reference": usual and entry.method == board.asked.reference,
        "keys": [cell.result.key for cell in entry.cells.values()],
        "seeds": list(tables),
        **_scored(board, list(tables.values())),
        "estimator": all(fact.get("parameters") is None for fact in metadata),
        "printed": _printed(board, entry.method, list(tables.values())),
        "fused": list(board.asked.fused.get(entry.method, ())),
        "parameters": max(
            (fact["parameters"] for fact in metadata if fact.get("parameters") is not None), default=None
        ),
        "ms_a_clip": _median([fact["ms_a_clip"] for fact in timed]),
        "ms_threads": " / ".join(dict.fromkeys(str(fact["ms_threads"]) for fact in timed)) or None,
        "seconds": _trained([entry.first]),
        "folds": len(entry.first.result.folds),
        "paired": None,
        "problem": None,
    }


def _scored(board: _Board, tables: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return the mean scores of some predictions, those of each by the leaderboard's metric, and by database."""
    names = list(dict.fromkeys((board.asked.metric, *SCORES)))
    built = {name: contracts.metrics.build(name, {}) for name in names}
    each = [{name: score(metric, table) for name, metric in built.items()} for table in tables]
    means = {name: float(np.mean([scores[name] for scores in each])) for name in names}
    databases = pd.concat([by_database(table, names) for table in tables])
    means_there = databases.groupby("database", sort=False)[names].mean()
    return {
        "score": means[board.asked.metric],
        "scores": [scores[board.asked.metric] for scores in each],
        **{name: means[name] for name in SCORES},
        "databases": {str(name): dict(map(_plain, row.items())) for name, row in means_there.iterrows()},
    }


def _printed(board: _Board, method: str, tables: Sequence[pd.DataFrame]) -> dict[str, Any] | None:
    """Return what a paper prints of a method, and what the same metric gives here: the mean over seeds."""
    printed = board.asked.printed.get(method)
    if printed is None:
        return None
    metric = contracts.metrics.build(printed.metric, {})
    return {**printed.model_dump(), "ours": float(np.mean([score(metric, table) for table in tables]))}


def _plain(item: tuple[Any, Any]) -> tuple[str, float]:
    return str(item[0]), float(item[1])


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _guesses(board: _Board, entries: Sequence[_Entry]) -> tuple[Clips, list[SeedPredictions]]:
    tables = {
        f"{entry.label} {seed}": cell.result.predictions() for entry in entries for seed, cell in entry.cells.items()
    }
    clips, made = board.aligned(tables)
    return clips, [{seed: made[f"{entry.label} {seed}"] for seed in entry.cells} for entry in entries]


def _compare(board: _Board, rows: Sequence[dict[str, Any]]) -> None:
    """Add intervals, permutation levels and comparisons with the reference to the rows."""
    clips, guesses = _guesses(board, board.entries)
    for row, found in zip(rows, _standings(board, clips, guesses, "scores"), strict=True):
        row |= found
    reference = next((guess for row, guess in zip(rows, guesses, strict=True) if row["reference"]), None)
    others = [(row, guess) for row, guess in zip(rows, guesses, strict=True) if not row["reference"]]
    if reference is None:
        return
    made: list[tuple[dict[str, Any], Difference]] = []
    for row, guess in others:
        try:
            rng = board.rng(f"paired/{row['label']}")
            made.append((row, contrast(clips, [guess], [reference], rng=rng, **board.settings)))
        except ConfigError as error:  # a seed that could not be trained, say: the others can be compared
            row["problem"] = str(error)
    for (row, _), difference in zip(made, with_family([each for _, each in made]), strict=True):
        row["paired"] = _told(difference)


def _standings(board: _Board, clips: Clips, guesses: Sequence[SeedPredictions], role: str) -> list[dict[str, Any]]:
    settings = board.settings | {"permutations": PERMUTATIONS}
    found = standings(clips, guesses, rng=board.rng(role), **settings)
    claim = 1 - settings["level"] + 1e-12
    return [
        {
            "low": each.low,
            "high": each.high,
            "permuted": asdict(each.permuted) | {"p_holm": each.p_holm, "above": each.p_holm <= claim},
        }
        for each in found
    ]


def _told(found: Difference) -> dict[str, Any]:
    return asdict(found) | {"told": found.significant}


# --- choice -----------------------------------------------------------------------------------------------------------
def _choice(board: _Board) -> dict[str, Any] | None:
    """Return what choosing a method inside the training subjects gives, or why nothing could be chosen."""
    asked = board.asked.choice
    if asked is None:
        return None
    judging = {cell.factors[METHODS]: cell for cell in board.result.judging}
    able = [name for name in asked.of if name in judging and name in board.usual]
    metadata: dict[str, Any] = {
        "of": able,
        "left_out": [name for name in asked.of if name not in able],
        "groups": asked.groups,
        "apart": all(_alone(board.usual[name].first) for name in able),
        "keys": [cell.result.key for cell in judging.values()],
        "seconds": _trained(cell for name, cell in judging.items() if name not in board.asked.fused),
        "problem": None,
    }
    could = board.asked.choosable(board.result.skipped)
    if len(could) < 2:  # judging them was spared
        told = f"{could[0]} alone" if could else "none"
        return metadata | {"problem": f"of {', '.join(asked.of)} these data allow {told}, and that is no choice."}
    try:
        return metadata | _chosen(board, {name: _rounds(judging[name]) for name in able})
    except ConfigError as error:
        return metadata | {"problem": str(error)}


def _trained(cells: Iterable[Cell]) -> float:
    """Return the seconds that all folds took."""
    return float(sum(fold.metadata["seconds"] for cell in cells for fold in cell.result.folds))


def _alone(cell: Cell) -> bool:
    """Say whether every fold tests one subject, so that all others are among its training subjects."""
    tested = (fold.views.loc[fold.views["part"] == "test", "subject"] for fold in cell.result.folds)
    return all(subjects.nunique() == 1 for subjects in tested)


def _rounds(cell: Cell) -> pd.DataFrame:
    """Return the predictions of all rounds, in each of which every clip is tested once."""
    result = cell.result
    return pd.concat([result.of_repeat(number).predictions() for number in result.repeats], ignore_index=True)


def _chosen(board: _Board, judged: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    classes = board.result.cells[0].plan.data.labels.classes
    choices = choose(confusion_metric(board.asked.metric), judged, len(classes))
    taken = list(dict.fromkeys(each.method for each in choices))
    seeds = [seed for seed in board.usual[taken[0]].cells if all(seed in board.usual[name].cells for name in judged)]
    if not seeds:
        raise ConfigError("E104", "the methods that were chosen among have no seed in common.")
    pooled = {
        seed: chosen_rows(choices, {name: board.usual[name].cells[seed].result.predictions() for name in judged})
        for seed in seeds
    }
    first = pooled[seeds[0]]
    reference = board.usual.get(board.asked.reference or "")
    cell = reference.cells.get(seeds[0]) if reference else None
    clips, made = board.aligned({CHOICE: first} | ({"reference": cell.result.predictions()} if cell else {}))
    mine: SeedPredictions = {"": made[CHOICE]}
    paired = (
        _told(contrast(clips, [mine], [{"": made["reference"]}], rng=board.rng("choice/paired"), **board.settings))
        if cell
        else None
    )
    return {
        **_scored(board, [first]),
        "seeds": seeds,
        "scores": [_scored(board, [table])["score"] for table in pooled.values()],
        **_standings(board, clips, [mine], "choice/scores")[0],
        "paired": paired,
        "inner": float(np.average([each.scores[each.method] for each in choices], weights=_people(choices))),
        "chosen": _times(board, choices, seeds[0]),
    }


def _people(choices: Sequence[Chosen]) -> list[int]:
    return [len(each.subjects) for each in choices]


def _times(board: _Board, choices: Sequence[Chosen], seed: str) -> list[dict[str, Any]]:
    """Return how often each method was chosen, its mean score on the subjects that judged and that on all."""
    rows = [
        {
            "method": name,
            "groups": sum(each.method == name for each in choices),
            "subjects": sum(len(each.subjects) for each in choices if each.method == name),
            "inner": float(np.average([each.scores[name] for each in choices], weights=_people(choices))),
            "outer": _scored(board, [board.usual[name].cells[seed].result.predictions()])["score"],
        }
        for name in choices[0].scores
    ]
    return sorted(rows, key=lambda row: -row["subjects"])


# --- two groups -------------------------------------------------------------------------------------------------------
def _contrast(board: _Board, scores: Mapping[str, float]) -> dict[str, Any] | None:
    """Return one group of methods against another, or why they cannot be compared."""
    if not board.asked.contrast:
        return None
    groups = {
        name: [board.usual[method] for method in dict.fromkeys(members) if method in board.usual]
        for name, members in board.asked.contrast.items()
    }
    left_out = [name for members in board.asked.contrast.values() for name in members if name not in board.usual]
    metadata: dict[str, Any] = {
        "groups": {name: [entry.method for entry in entries] for name, entries in groups.items()},
        "left_out": left_out,
        "problem": None,
    }
    empty = next((name for name, entries in groups.items() if not entries), None)
    if empty is not None:
        return metadata | {"problem": f"no method of the group {empty} could be run."}
    try:
        clips, guesses = _guesses(board, [entry for entries in groups.values() for entry in entries])
        size = len(next(iter(groups.values())))
        found = contrast(clips, guesses[:size], guesses[size:], rng=board.rng("contrast"), **board.settings)
    except ConfigError as error:
        return metadata | {"problem": str(error)}
    means = {name: float(np.mean([scores[entry.label] for entry in entries])) for name, entries in groups.items()}
    return metadata | {"scores": means} | _told(found)
