"""Findings about the experiments of one folder together, and about the summary of their study."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from microexpr.audit.checks._finding import LEVEL, Finding
from microexpr.audit.checks._stored import Stored
from microexpr.config.experiment import Experiment
from microexpr.config.scores import metric_of
from microexpr.core import interfaces
from microexpr.core.files import digest
from microexpr.core.words import capitalised, many
from microexpr.evaluation.predictions import mean_of_folds, score_named


def of_all(stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield findings about all experiments together."""
    by_data: dict[str, dict[str, list[str]]] = {}
    for each in stored:
        names = " + ".join(item.label for item in each.experiment.datasets)
        by_data.setdefault(names, {}).setdefault(str(each.metadata.get("fingerprint")), []).append(each.key)
    for names, prints in by_data.items():
        if len(prints) > 1:
            groups = "; ".join(", ".join(keys) for keys in prints.values())
            yield Finding(
                "ME012",
                "warning",
                f"One folder has results for different copies of {names}.",
                f"Experiments, grouped by copy: {groups}.",
                "run all of them on the same copy, with a new output folder",
            )
    warnings = {kept["text"]: kept["clips"] for each in stored for kept in each.metadata.get("label_warnings", ())}
    for warning, count in warnings.items():
        none = count == 0
        yield Finding(
            "ME019",
            "warning" if none else "note",
            f"The label set keeps {'no clip of a database' if none else 'a number of clips other than published'}.",
            f"{capitalised(warning)}.",
            "use a label set that has the emotions of this database, or leave out the database"
            if none
            else "report the number of clips and the release of the table with the score",
        )
    yield from _versions(stored)
    families: dict[str, set[str]] = {}
    for each in stored:
        known = [name for name in each.databases if name in interfaces.datasets.names()]
        for info in (interfaces.reader(name).info for name in known):
            families.setdefault(f"{each.key} {info.family or info.title}", set()).add(info.title)
    for titles in dict.fromkeys(frozenset(found) for found in families.values()):
        if len(titles) > 1:
            yield Finding(
                "ME013",
                "warning",
                "Databases of the same laboratory are combined, which may have subjects in common.",
                f"{', '.join(sorted(titles))}.",
                "train and test on databases of different laboratories, or report this with the score",
            )


def _versions(stored: Sequence[Stored]) -> Iterator[Finding]:
    versions: dict[str, set[str]] = {}
    for each in stored:
        for fact, value in (each.metadata.get("data") or {}).items():
            if fact.endswith("label version"):
                names = " + ".join(item.name for item in each.experiment.datasets)
                versions.setdefault(f"{names}, {fact}", set()).add(str(value))
    for where, found in versions.items():
        if len(found) > 1:
            yield Finding(
                "ME011",
                "warning",
                "Experiments use different versions of the labels of one database.",
                f"{where}: {'; '.join(sorted(found))}.",
                "compare only experiments on the same version",
            )


def of_summary(summary: Mapping[str, Any], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield findings about the summary of a study."""
    cells = summary.get("cells") or []
    yield from _averaged(cells, stored)
    yield from _best_of(summary, stored)
    if _settings_of(summary) < 2:
        return
    paired = [row for row in _compared(summary) if row.get("p_value") is not None]
    if not paired and not (summary.get("factors") or {}).get("effects"):
        yield Finding(
            "ME006",
            "warning",
            "Cells are presented side by side without a paired test.",
            f"{len(cells)} cells, no comparison on the same clips.",
            _pairing(summary.get("leaderboard")),
        )
    elif len(paired) > 1 and not all("p_holm" in row for row in paired):
        small = sum(row["p_value"] <= LEVEL for row in paired)
        yield Finding(
            "ME007",
            "warning",
            "Many comparisons were made without a correction for their number.",
            f"{len(paired)} p-values, {small} of them at most {LEVEL:g}.",
            "use the p-values corrected by Holm over the family",
        )
    if not summary.get("leaderboard"):  # methods are compared as a whole
        yield from _confounded(cells, stored)


def _pairing(board: Mapping[str, Any] | None) -> str:
    """Return how to get a paired test."""
    if not board:
        return "compare two results with `microexpr compare`, or claim no difference"
    asked = board.get("requested_reference")
    other = f"; {asked} could not be run" if asked and not board["reference"] else ""
    return f"name the method to compare the others with (leaderboard.reference in the study file{other})"


def _compared(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the paired comparisons of preprocessings, and of methods with their reference."""
    methods = (summary.get("leaderboard") or {}).get("rows") or []
    pairs = (row.get("paired") or row for row in summary.get("paired") or [])  # format 2 had no inner `paired`
    return [*pairs, *(row["paired"] for row in methods if row["paired"])]


def _best_of(summary: Mapping[str, Any], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield a finding if the best of several can be chosen by its test score; seeds count once."""
    named = summary.get("named_cell") or {}
    beforehand = {each["key"] for each in (named, *named.get("alternatives", ())) if each.get("key")}
    choice = (summary.get("leaderboard") or {}).get("choice") or {}
    chosen = (choice.get("result") or choice).get("score") is not None  # format 2 had no `result`
    groups: dict[frozenset[str], set[str]] = {}
    for each in stored:
        if each.makes_claim and each.key not in (*beforehand, *choice.get("keys", ())):
            settings = each.experiment.model_dump(mode="json", exclude={"name", "seed", "bootstrap", "scores"})
            groups.setdefault(frozenset(each.predictions()["clip"]), set()).add(digest(settings))
    scored = max([_settings_of(summary), *map(len, groups.values())])
    if scored < 2:
        return
    instead = f"; {many(len(beforehand), 'experiment')} named beforehand" if named else ""
    instead += f"; one of {len(choice['of'])} was also chosen within the training subjects" if chosen else ""
    yield Finding(
        "ME003",
        "note" if named or chosen else "warning",
        "The test score of the best of several cells, chosen by that score, is not an estimate for new data.",
        f"{scored} cells were scored on the same test clips{instead}.",
        _claim(named=bool(named), chosen=chosen, methods=bool(summary.get("leaderboard"))),
    )


def _claim(*, named: bool, chosen: bool, methods: bool) -> str:
    """Return what may be claimed instead of the best test score."""
    if chosen:
        return "report the score of the method chosen within the training subjects, not the best test score"
    if named:
        return "report the score of the cell named beforehand, not the best test score"
    if methods:
        return "choose a method within the training subjects (leaderboard.choice in the study file)"
    return (
        "report the score of what is chosen on validation in each fold (for networks, in the report), or name a "
        "cell before training (named_cell in the study file)"
    )


def _settings_of(summary: Mapping[str, Any]) -> int:
    """Count the cells that differ in something other than their seed."""
    cells = summary.get("cells") or []
    seeds = {name for name, axis in (summary.get("axes") or {}).items() if axis["part"] == "seed"}
    if not seeds:
        return len(cells)
    return len({tuple(word for name, word in cell["factors"].items() if name not in seeds) for cell in cells})


def _averaged(cells: Sequence[Mapping[str, Any]], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield a finding about means of folds in the report or, without a report, in the scores of the experiments."""
    reported = {cell["key"]: tuple(cell.get("requested_scores") or ()) for cell in cells if "key" in cell}
    means: dict[str, list[str]] = {}
    for each in stored:
        for name in reported.get(each.key, () if reported else each.experiment.scores):
            metric, averaged = metric_of(name)
            if averaged:
                predictions = each.predictions()
                found = mean_of_folds(metric, predictions)
                pooled = score_named(metric, predictions)
                lacking = f"; {found.incomplete} of {found.folds} folds have no clip of a class that others test"
                means.setdefault(each.name, []).append(
                    f"{name} {found.score:.3f}, pooled {pooled:.3f}{lacking if found.incomplete else ''}"
                )
    if means:
        first = [f"{name}: {'; '.join(scores)}" for name, scores in list(means.items())[:3]]
        more = f"; and {len(means) - 3} more experiments" if len(means) > 3 else ""
        yield Finding(
            "ME009",
            "warning",
            "Scores are means over folds, each scored on its own few clips and the classes among them.",
            f"{'; '.join(first)}{more}.",
            "report the score of the pooled predictions; compare means over folds only with each other",
        )


def _confounded(cells: Sequence[Mapping[str, Any]], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield a finding about parameters of the preprocessing that never vary separately."""
    keys = {cell.get("key") for cell in cells}
    used = {each.experiment.preprocessing.label: each.experiment for each in stored if each.key in keys}
    settings = [_settings(experiment) for experiment in used.values()]
    names = set.intersection(*map(set, settings)) if settings else set()
    varied = sorted(name for name in names if len({repr(item[name]) for item in settings}) > 1)
    together = [pair for pair in itertools.combinations(varied, 2) if len(settings) > 1 and _as_one(settings, *pair)]
    if together:
        bound = sorted({name for pair in together for name in pair})
        yield Finding(
            "ME008",
            "warning",
            "Parameters of the preprocessing vary together, so a difference cannot be attributed to one of them.",
            f"{', '.join(bound)} never vary separately in {', '.join(used)}.",
            "vary them one at a time, as the study paradox does",
        )


def _settings(experiment: Experiment) -> dict[str, Any]:
    built = experiment.preprocessing.build(interfaces.preprocessors)
    return dataclasses.asdict(built) if dataclasses.is_dataclass(built) and not isinstance(built, type) else {}


def _as_one(settings: Sequence[Mapping[str, Any]], a: str, b: str) -> bool:
    """Return whether the values of two parameters always occur in the same pairs."""
    pairs = {(repr(item[a]), repr(item[b])) for item in settings}
    return len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})
