"""Results on disk compared: the same clips, whoever trained on them, and what was done otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

from microexpr.checks import Stored, read
from microexpr.config import COMPARED, rng_for
from microexpr.errors import StoreError, UsageError
from microexpr.statistics.comparison import Comparison, Unit, compare, with_family
from microexpr.statistics.paired import Predictions, align

PARTS = ("datasets", *COMPARED, "representation", "augmentation", "loss", "vote", "protocol")
"""The components of an experiment, by which people call it."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Experiments that were tested on the same clips, each but the first compared with the first."""

    folders: tuple[str, ...]
    """Where each lies, as it was named."""
    stored: tuple[Stored, ...]
    predictions: tuple[Predictions, ...]
    """Of each experiment, in the first's order of clips."""
    comparisons: tuple[Comparison, ...]
    """The first minus each other one; of several, p-values are corrected for all of them."""

    @property
    def letters(self) -> str:
        """What the experiments are called for short: A, B ..."""
        return ascii_uppercase[: len(self.stored)]


class Setting(NamedTuple):
    """Something that experiments differ in, and its value in each; None where one has no such thing."""

    name: str
    values: tuple[str | None, ...]


def compare_all(
    results: Sequence[Path],
    *,
    metric: str = "macro_f1",
    unit: Unit = "person",
    n: int = 10_000,
    permutations: int = 9_999,
) -> Compared:
    """Compare the experiments of several folders, each the --out of one experiment or a folder results/KEY.

    Raises StoreError where a folder holds none or several, UsageError where one is named twice, ConfigError where clips
    or label sets differ.
    """
    if not 2 <= len(results) <= len(ascii_uppercase):
        raise UsageError(f"name two to {len(ascii_uppercase)} results to compare, not {len(results)}.")
    stored = _apart(results)
    given = [Predictions.of(each.name, each.predictions(), each.facts["classes"]) for each in stored]
    first, *others = align(*given)
    how: dict[str, Any] = {"n": n, "permutations": permutations, "unit": unit}
    seed = stored[0].experiment.seed
    found = [compare(first, other, metric, rng=rng_for(seed, "compare"), **how) for other in others]
    return Compared(
        tuple(str(place) for place in results),
        stored,
        (first, *others),
        with_family(found) if len(found) > 1 else tuple(found),
    )


def _apart(results: Sequence[Path]) -> tuple[Stored, ...]:
    """Read the experiments; refuse one that is named twice, be it as --out and as its results/KEY."""
    found: dict[Path, Stored] = {}
    for place in results:
        folder, stored = _only(place)
        if folder in found:
            raise UsageError(
                f"{place} is named twice, and a result does not differ from itself. Name results of other experiments."
            )
        found[folder] = stored
    return tuple(found.values())


def _only(place: Path) -> tuple[Path, Stored]:
    """Return the one experiment of a folder, and where it lies."""
    root = place.parent if (place / "experiment.json").is_file() else place
    found = [each for each in read(root) if root == place or each.key == place.name]
    judged = [each for each in found if each.experiment.model.name not in ("majority", "class_frequency")]
    if len(judged) != 1:
        listed = "".join(f"\n  {place}/results/{each.key}: {each.name}" for each in judged)
        raise StoreError(f"{place} holds {len(judged)} experiments; name one of them:{listed or ' there is none.'}")
    inner = root / "results" if (root / "results").is_dir() else root
    return (inner / judged[0].key).resolve(), judged[0]


# --- what the experiments differ in -----------------------------------------------------------------------------------
def settings(stored: Sequence[Stored]) -> list[Setting]:
    """Return everything that is set otherwise in one experiment than in another, defaults filled in."""
    flat = [_settings(each.facts.get("canonical") or each.facts["experiment"]) for each in stored]
    for each, known in zip(stored, flat, strict=True):
        known |= {f"starting {name}": str(value) for name, value in (each.facts.get("weights") or {}).items()}
    return _differing(flat)


def surroundings(stored: Sequence[Stored]) -> list[Setting]:
    """Return what differs in the data's copies and in the machines and libraries that trained."""
    flat = []
    for each in stored:
        known = {"data fingerprint": str(each.facts.get("fingerprint"))}
        known |= {f"data, {name}": str(value) for name, value in (each.facts.get("data") or {}).items()}
        known |= {name: str(value) for name, value in (each.facts.get("environment") or {}).items()}
        flat.append(known)
    return _differing(flat)


def titles(stored: Sequence[Stored]) -> list[str]:
    """Return what tells each experiment from the others, in a few words; empty where nothing does.

    Components that differ are named; other settings are added, one by one, as long as two have the same name.
    """
    rows = settings(stored)
    told = [_component_words(rows, each, at) for at, each in enumerate(stored)]
    for row in rows:
        if len({tuple(words) for words in told}) == len(stored):
            break
        if row.name.partition(".")[0] not in PARTS:
            for words, value in zip(told, row.values, strict=True):
                words.append(f"{row.name.rpartition('.')[2].replace('_', ' ')} {value}")
    return [", ".join(words) for words in told]


def _component_words(rows: Sequence[Setting], each: Stored, at: int) -> list[str]:
    """Return the components of one experiment that are another's in no way, each with what sets it apart."""
    words: dict[str, list[str]] = {}
    for row in rows:
        part, _, last = row.name.partition(".")
        if part in PARTS and " " not in part:
            words.setdefault(part, [_names(each, part)])
            known = {value for value in row.values if value is not None}
            if last and row.values[at] is not None and len(known) > 1:
                words[part].append(f"{last.replace('_', ' ')} {row.values[at]}")
    return [" ".join(found) for found in words.values()]


def _names(each: Stored, part: str) -> str:
    value = getattr(each.experiment, part)
    return " + ".join(item.name for item in (value if isinstance(value, tuple) else (value,))) or f"no {part}"


def _differing(flat: Sequence[Mapping[str, str]]) -> list[Setting]:
    names = list(dict.fromkeys(name for known in flat for name in known))
    parts = list(dict.fromkeys(name.partition(".")[0] for name in names))
    names.sort(key=lambda name: parts.index(name.partition(".")[0]))
    rows = [Setting(name, tuple(known.get(name) for known in flat)) for name in names]
    return [row for row in rows if len(set(row.values)) > 1 and not _of_another(row, flat)]


def _of_another(row: Setting, flat: Sequence[Mapping[str, str]]) -> bool:
    """Whether it is the revision of components that differ anyhow."""
    part, _, last = row.name.rpartition(" ")
    part = part.partition(" ")[0].partition(".")[0]
    return last == "revision" and len({known.get(part) for known in flat}) > 1


def _settings(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a canonical experiment with dotted keys, as ``--set`` takes them; a component stands under its part."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and "name" in value:
            flat |= _component(name, value)
        elif isinstance(value, Mapping):
            flat |= _settings(value, f"{name}.")
        elif isinstance(value, list) and all(isinstance(item, Mapping) and "name" in item for item in value):
            flat[name] = ", ".join(str(item["name"]) for item in value) or "none"
            for item in value:
                flat |= _component(f"{name}.{item['name']}", item, named=False)
        else:
            flat[name] = _word(value)
    return flat


def _component(name: str, value: Mapping[str, Any], *, named: bool = True) -> dict[str, str]:
    params = value.get("params", {key: item for key, item in value.items() if key not in ("name", "revision")})
    flat = {name: str(value["name"])} if named else {}
    flat |= {f"{name} revision": _word(value["revision"])} if "revision" in value else {}
    flat |= {f"{name} detector revision": _word(value["detector"])} if isinstance(value.get("detector"), int) else {}
    return flat | {f"{name}.{key}": _word(item) for key, item in params.items()}


def _word(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
