"""What is to object to in the experiments of one folder, and in the summary of their study."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from microexpr.audit.checks._finding import LEVEL, Finding
from microexpr.audit.checks._stored import Stored
from microexpr.config.settings import metric_of
from microexpr.config.study import Experiment
from microexpr.core import interfaces as contracts
from microexpr.core.files import digest
from microexpr.evaluation.predictions import mean_of_folds, score_named


def of_all(stored: Sequence[Stored]) -> Iterator[Finding]:
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
                f"Results on different copies of {names} lie in one folder.",
                f"Experiments of one copy each: {groups}.",
                "run the older ones again on the copy that counts, into a folder of its own",
            )
    warnings = {kept["text"]: kept["clips"] for each in stored for kept in each.metadata.get("label_warnings", ())}
    for warning, count in warnings.items():
        none = count == 0
        yield Finding(
            "ME019",
            "warning" if none else "note",
            f"The label set keeps {'no clip of a database' if none else 'another number of clips than was published'}.",
            f"{warning[:1].upper()}{warning[1:]}.",
            "take a label set that knows the words of this database, or leave the database out"
            if none
            else "print the number of clips and the release of the table with the score",
        )
    yield from _versions(stored)
    families: dict[str, set[str]] = {}
    for each in stored:
        known = [name for name in each.databases if name in contracts.datasets.names()]
        for info in (contracts.reader(name).info for name in known):
            families.setdefault(f"{each.key} {info.family or info.title}", set()).add(info.title)
    for titles in dict.fromkeys(frozenset(found) for found in families.values()):
        if len(titles) > 1:
            yield Finding(
                "ME013",
                "warning",
                "Databases of one laboratory are joined, in which the same people may have taken part.",
                f"{', '.join(sorted(titles))}.",
                "test on one of them and train on others of another laboratory, or say so beside the score",
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
                "Experiments rest on different versions of one database's labels.",
                f"{where}: {'; '.join(sorted(found))}.",
                "compare only experiments on one version",
            )


def of_summary(summary: Mapping[str, Any], stored: Sequence[Stored]) -> Iterator[Finding]:
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
            "Cells are shown side by side and no paired test was made.",
            f"{len(cells)} cells, no comparison on the same clips.",
            _pairing(summary.get("leaderboard")),
        )
    elif len(paired) > 1 and not all("p_holm" in row for row in paired):
        small = sum(row["p_value"] <= LEVEL for row in paired)
        yield Finding(
            "ME007",
            "warning",
            "Many comparisons, and no correction for their number.",
            f"{len(paired)} p-values, {small} of them up to {LEVEL:g}.",
            "judge them by Holm's correction over the family",
        )
    if not summary.get("leaderboard"):  # methods are compared as wholes
        yield from _confounded(cells, stored)


def _pairing(board: Mapping[str, Any] | None) -> str:
    """Return what would bring a paired test."""
    if not board:
        return "compare two results with `microexpr compare`, or claim no difference"
    asked = board.get("requested_reference")
    other = f"; {asked} could not be run" if asked and not board["reference"] else ""
    return f"name the method that others are compared with (leaderboard.reference in the study file{other})"


def _compared(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the paired comparisons: of preprocessings, and of methods with their reference."""
    methods = (summary.get("leaderboard") or {}).get("rows") or []
    return [*(summary.get("paired") or []), *(row["paired"] for row in methods if row["paired"])]


def _best_of(summary: Mapping[str, Any], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Tell that the best of several was, or could be, chosen by its test score; seeds of one experiment are one."""
    named = summary.get("named_cell") or {}
    choice = (summary.get("leaderboard") or {}).get("choice") or {}
    chosen = choice.get("score") is not None
    groups: dict[frozenset[str], set[str]] = {}
    for each in stored:
        if each.looks and each.key not in (named.get("key"), *choice.get("keys", ())):
            alike = each.experiment.model_dump(mode="json", exclude={"name", "seed", "bootstrap", "scores"})
            groups.setdefault(frozenset(each.predictions()["clip"]), set()).add(digest(alike))
    many = max([_settings_of(summary), *map(len, groups.values())])
    if many < 2:
        return
    instead = "; one other was named beforehand" if named else ""
    instead += f"; one of {len(choice['of'])} was also chosen inside the training subjects" if chosen else ""
    yield Finding(
        "ME003",
        "note" if named or chosen else "warning",
        "The best of several cells, chosen by its test score, is no estimate for new data.",
        f"{many} cells were scored on the same test clips{instead}.",
        _claim(named=bool(named), chosen=chosen, methods=bool(summary.get("leaderboard"))),
    )


def _claim(*, named: bool, chosen: bool, methods: bool) -> str:
    """Return what may be claimed in place of the best on test."""
    if chosen:
        return "claim the score of the choice made inside the training subjects, whatever the best on test gives"
    if named:
        return "claim the cell that was named beforehand, whatever the others give"
    if methods:
        return "let a method be chosen inside the training subjects (leaderboard.choice in the study file)"
    return (
        "claim what is chosen on validation in each fold (the report has it for networks), or name a cell "
        "before anything is trained (named_cell in the study file)"
    )


def _settings_of(summary: Mapping[str, Any]) -> int:
    """Count the cells that differ in something else than their seed: seeds of one experiment are not chosen among."""
    cells = summary.get("cells") or []
    seeds = {name for name, axis in (summary.get("axes") or {}).items() if axis["part"] == "seed"}
    if not seeds:
        return len(cells)
    return len({tuple(word for name, word in cell["factors"].items() if name not in seeds) for cell in cells})


def _averaged(cells: Sequence[Mapping[str, Any]], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Tell means of folds that are shown: in the report, or where there is none, asked for by the experiment."""
    shown = {cell["key"]: tuple(cell.get("requested_scores") or ()) for cell in cells if "key" in cell}
    told: dict[str, list[str]] = {}
    for each in stored:
        for name in shown.get(each.key, () if shown else each.experiment.scores):
            metric, averaged = metric_of(name)
            if averaged:
                predictions = each.predictions()
                found = mean_of_folds(metric, predictions)
                pooled = score_named(metric, predictions)
                lacking = f"; {found.incomplete} of {found.folds} folds lack a class that others test"
                told.setdefault(each.name, []).append(
                    f"{name} {found.score:.3f}, pooled {pooled:.3f}{lacking if found.incomplete else ''}"
                )
    if told:
        first = [f"{name}: {'; '.join(scores)}" for name, scores in list(told.items())[:3]]
        more = f"; and {len(told) - 3} more experiments" if len(told) > 3 else ""
        yield Finding(
            "ME009",
            "warning",
            "Scores are means over folds, each scored on its own few clips and those of its classes alone.",
            f"{'; '.join(first)}{more}.",
            "print the score of the pooled predictions; compare means of folds with nothing else",
        )


def _confounded(cells: Sequence[Mapping[str, Any]], stored: Sequence[Stored]) -> Iterator[Finding]:
    """Tell parameters of the preprocessing that never vary apart: no comparison can say which of them matters."""
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
            "What the preprocessings differ in varies together, so that no difference can be put down to one of it.",
            f"{', '.join(bound)} never vary apart in {', '.join(used)}.",
            "vary one at a time, as the study paradox does",
        )


def _settings(experiment: Experiment) -> dict[str, Any]:
    built = experiment.preprocessing.build(contracts.preprocessors)
    return dataclasses.asdict(built) if dataclasses.is_dataclass(built) and not isinstance(built, type) else {}


def _as_one(settings: Sequence[Mapping[str, Any]], a: str, b: str) -> bool:
    """Whether two parameters take their values always in the same pairs."""
    pairs = {(repr(item[a]), repr(item[b])) for item in settings}
    return len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})
