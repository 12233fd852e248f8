"""Comparison of stored results on the same clips, and of the settings in which they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, NamedTuple

from microexpr.audit.checks import WITHOUT_IMAGES, Finding, Stored, findings, read
from microexpr.config.study import COMPARED
from microexpr.core.environment import KERNELS, UNKNOWN, together
from microexpr.core.errors import ConfigError, StoreError, UsageError
from microexpr.core.randomness import rng_for
from microexpr.core.words import joined
from microexpr.evaluation.statistics.comparison import Comparison, Unit, compare
from microexpr.evaluation.statistics.multiplicity import with_family
from microexpr.evaluation.statistics.paired import Predictions, align
from microexpr.runs.experiment import trained

PARTS = ("datasets", *COMPARED, "representation", "augmentation", "loss", "vote", "protocol")
"""The components by which an experiment is named."""
SERIOUS = ("ME001", "ME002", "ME011", "ME016")
"""Findings that are caveats of the comparison."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Experiments tested on the same clips; the first is compared with each of the others."""

    folders: tuple[str, ...]
    """The folder of each, as given."""
    stored: tuple[Stored, ...]
    predictions: tuple[Predictions, ...]
    """Of each experiment, in the order of the first's clips."""
    comparisons: tuple[Comparison, ...]
    """The first minus each of the others; if there are several, p-values are corrected for all of them."""

    @property
    def letters(self) -> str:
        """Short names of the experiments: A, B ..."""
        return ascii_uppercase[: len(self.stored)]

    @cached_property
    def checks(self) -> tuple[Finding, ...]:
        """Findings about any of them; different copies of the data are among the caveats."""
        return tuple(finding for finding in findings(self.stored, {}) if finding.code not in ("ME003", "ME012"))

    @cached_property
    def caveats(self) -> tuple[Caveat, ...]:
        """What limits the comparison."""
        serious = (finding for finding in self.checks if finding.code in SERIOUS and finding.level == "warning")
        return (*_caveats(self), *map(_of_finding, serious))


class Caveat(NamedTuple):
    """Something to read before the numbers."""

    code: str
    level: Literal["warning", "note"]
    line: str
    """What it is, in one sentence."""
    text: str
    """The line, and the explanation after it."""


def _caveat(code: str, level: Literal["warning", "note"], line: str, more: str = "") -> Caveat:
    return Caveat(code, level, line, f"{line} {more}".strip())


def _of_finding(finding: Finding) -> Caveat:
    first, _, rest = finding.sentence.partition(". ")
    return _caveat(finding.code, finding.level, f"{first.removesuffix('.')}.", f"{rest} {finding.evidence}".strip())


class Setting(NamedTuple):
    """A setting in which experiments differ, and its value in each; None if an experiment does not have it."""

    name: str
    values: tuple[str | None, ...]


def compare_all(
    results: Sequence[Path],
    *,
    metric: str = "macro_f1",
    unit: Unit = "subject",
    n: int = 10_000,
    permutations: int = 9_999,
) -> Compared:
    """Compare the experiments of several folders, each the --out of one experiment or a folder results/KEY.

    Raises StoreError if a folder holds none or several, UsageError if one is named twice, ConfigError if clips or label
    sets differ.
    """
    if not 2 <= len(results) <= len(ascii_uppercase):
        raise UsageError("E819", f"name 2 to {len(ascii_uppercase)} results to compare, not {len(results)}.")
    stored = _apart(results)
    if len({each.experiment.shuffled for each in stored}) > 1:
        names = [each.name for each in stored if each.experiment.shuffled]
        raise ConfigError(
            "E816",
            f"{joined(names)} {'was' if len(names) == 1 else 'were'} trained on shuffled labels, so the true classes "
            "of these results differ. Compare results on the same labels.",
        )
    given = [Predictions.of(each.name, each.predictions(), each.metadata["classes"]) for each in stored]
    first, *others = align(*given)
    how: dict[str, Any] = {"n": n, "permutations": permutations, "unit": unit}
    seed = stored[0].experiment.seed
    found = [
        compare(
            first, other, metric, rng=rng_for(seed, "compare"), trained=trained([stored[0].result, each.result]), **how
        )
        for other, each in zip(others, stored[1:], strict=True)
    ]
    return Compared(
        tuple(str(place) for place in results),
        stored,
        (first, *others),
        with_family(found) if len(found) > 1 else tuple(found),
    )


def _apart(results: Sequence[Path]) -> tuple[Stored, ...]:
    """Read the experiments; raises UsageError if one is named twice, even as --out and as its results/KEY."""
    found: dict[Path, Stored] = {}
    for place in results:
        stored = _only(place)
        folder = (stored.folder or place).resolve()
        if folder in found:
            raise UsageError(
                "E819",
                f"{place} is named twice. Name the results of different experiments.",
            )
        found[folder] = stored
    return tuple(found.values())


def _only(place: Path) -> Stored:
    """Return the only experiment of a folder; raises StoreError if it is not finished."""
    judged = [each for each in read(place) if each.experiment.model.name not in WITHOUT_IMAGES]
    if not judged:
        raise StoreError("E820", f"{place} holds only models that do not use images. Name another result to compare.")
    if len(judged) > 1:
        listed = "".join(f"\n  {place}/results/{each.key}: {each.name}" for each in judged)
        raise StoreError("E820", f"{place} holds {len(judged)} experiments. Name one of them:{listed}")
    (stored,) = judged
    if stored.planned is not None and stored.unfinished:
        raise StoreError(
            "E821",
            f"{place} is not finished: {len(stored.folds)} of {len(stored.planned.folds)} folds have a result. Run the "
            "same command again, which trains only the missing folds.",
        )
    return stored


# --- caveats ----------------------------------------------------------------------------------------------------------
def _caveats(found: Compared) -> Iterator[Caveat]:
    synthetic_in: dict[str, list[str]] = {}
    for letter, each in zip(found.letters, found.stored, strict=True):
        if synthetic := (each.metadata.get("data") or {}).get("synthetic"):
            synthetic_in.setdefault(str(synthetic), []).append(letter)
        yield from _of_one(letter, each)
    if synthetic_in:
        letters = [letter for each in synthetic_in.values() for letter in each]
        mixed = f" ({joined(sorted(letters))})" if len(letters) < len(found.stored) else ""
        yield _caveat(
            "synthetic",
            "warning",
            f"Synthetic faces{mixed}: nothing here applies to real people.",
            " ".join(
                f"{joined(letters)} were generated, not recorded: {made}." for made, letters in synthetic_in.items()
            ),
        )
    protocols = {each.experiment.protocol.label for each in found.stored}
    if len(protocols) > 1:
        yield _caveat(
            "protocols_differ",
            "warning",
            "Trained under different protocols: a difference may be due to the training subjects.",
            f"Protocols: {', '.join(sorted(protocols))}.",
        )
    if len({str(each.metadata.get("fingerprint")) for each in found.stored}) > 1:
        yield _caveat(
            "copies_differ", "warning", "The results are for different copies of the data, whose frames may differ."
        )
    kernels = []
    for row in surroundings(found.stored):
        if row.name in KERNELS:
            values = [f"{letter} {value or UNKNOWN}" for letter, value in zip(found.letters, row.values, strict=True)]
            kernels.append(f"{row.name}: {', '.join(values)}")
    if kernels:
        yield _caveat(
            "kernels_differ",
            "note",
            "Trained with different kernels, which round differently.",
            f"The same training can give different predictions. {'; '.join(kernels)}.",
        )
    keys = [each.key for each in found.stored]
    for key in dict.fromkeys(key for key in keys if keys.count(key) > 1):
        same = [letter for letter, mine in zip(found.letters, keys, strict=True) if mine == key]
        yield _caveat(
            "same_experiment",
            "note",
            f"{joined(same)} are the same experiment, run in different places.",
            f"Its key is {key}.",
        )
    if found.comparisons[0].unit == "clip":
        yield _caveat(
            "by_clip",
            "warning",
            "Intervals are too narrow and p-values too small: clips of a subject count as independent.",
            "Resampling and swapping are by clip, but the clips of a subject are not independent.",
        )
    if len(found.stored) > 2:
        yield _caveat(
            "several_compared",
            "note",
            "Each is compared with the first only.",
            "p-values are corrected for all of these comparisons (Holm).",
        )


def _of_one(letter: str, each: Stored) -> Iterator[Caveat]:
    if each.experiment.shuffled:
        yield _caveat("shuffled", "warning", f"{letter} was trained on shuffled labels.")
    repeats = len(each.result.repeats)
    if repeats > 1:
        yield _caveat(
            "repeats",
            "note",
            f"{letter} has {repeats} repeats with different folds. The first is compared, so no clip counts twice.",
        )


# --- differences in settings ------------------------------------------------------------------------------------------
def settings(stored: Sequence[Stored]) -> list[Setting]:
    """Return all settings in which experiments differ, including defaults."""
    flat = [_settings(each.metadata.get("canonical") or each.metadata["experiment"]) for each in stored]
    for each, known in zip(stored, flat, strict=True):
        known |= {f"starting {name}": str(value) for name, value in (each.metadata.get("weights") or {}).items()}
    return _differing(flat)


def surroundings(stored: Sequence[Stored]) -> list[Setting]:
    """Return differences in the copies of the data and in the machines and libraries used for training."""
    flat = []
    for each in stored:
        known = {"data fingerprint": str(each.metadata.get("fingerprint"))}
        known |= {f"data, {name}": str(value) for name, value in (each.metadata.get("data") or {}).items()}
        known |= {name: str(value) for name, value in _environment(each).items()}
        flat.append(known)
    # Older results do not state their kernels, which is not a difference.
    return [row for row in _differing(flat) if row.name not in KERNELS or len({*row.values} - {None}) > 1]


def _environment(each: Stored) -> Mapping[str, Any]:
    """Return the environments that trained the folds or, if folds do not state them, the one that started the run."""
    trained = [fold.metadata["environment"] for fold in each.folds if fold.metadata.get("environment")]
    return together(trained) or each.metadata.get("environment") or {}


def titles(stored: Sequence[Stored]) -> list[str]:
    """Return a short title of each experiment that distinguishes it from the others; empty if nothing does.

    It names the components that differ; other settings are added one by one as long as two titles are the same.
    """
    rows = settings(stored)
    parts = [_component_words(rows, each, at) for at, each in enumerate(stored)]
    for row in rows:
        if len({tuple(words) for words in parts}) == len(stored):
            break
        if row.name.partition(".")[0] not in PARTS:
            for words, value in zip(parts, row.values, strict=True):
                words.append(f"{row.name.rpartition('.')[2].replace('_', ' ')} {value}")
    return [", ".join(words) for words in parts]


def _component_words(rows: Sequence[Setting], each: Stored, at: int) -> list[str]:
    """Return the components in which an experiment differs from others, each with the parameters that differ."""
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
    """Return whether it is the revision of components that differ anyway."""
    part, _, last = row.name.rpartition(" ")
    part = part.partition(" ")[0].partition(".")[0]
    return last == "revision" and len({known.get(part) for known in flat}) > 1


def _settings(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a canonical experiment with dotted keys, as in ``--set``; a component is under the key of its part."""
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
    flat |= {f"{name} detector revision": _word(value["detector"])} if "params" in value and "detector" in value else {}
    return flat | {f"{name}.{key}": _word(item) for key, item in params.items()}


def _word(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
