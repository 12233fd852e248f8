"""Folds as files of clip keys, so that others can use the same folds: written with results, read by `from_file`.

``folds.json`` holds the protocol, every clip of the table with its subject, and for each fold the clips of train, val
and test::

    {"format": 1, "protocol": {"name": "loso"}, "seed": 0, "clips": {"casme2/01/EP02_01f/46-86": "casme2/01", ...},
     "folds": [{"name": "casme2-01", "repeat": 1, "note": "", "train": [...], "val": null, "test": [...]}, ...]}

A file written by hand only needs `folds` with name, train and test; without `clips`, subjects are unknown. `val` is
null if nothing was selected on validation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microexpr.core.errors import ConfigError, SplitError
from microexpr.core.files import digest
from microexpr.core.interfaces import Fold

if TYPE_CHECKING:
    import pandas as pd

FILE = "folds.json"
NAMED = 5
"""Number of clips that an error names; the others are counted."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredFold(_Strict):
    """One fold as clip keys."""

    name: str
    repeat: int = Field(1, ge=1)
    note: str = ""
    train: tuple[str, ...] = Field(min_length=1)
    val: tuple[str, ...] | None = None
    test: tuple[str, ...] = Field(min_length=1)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The clips of each part."""
        return {"train": self.train, "val": self.val or (), "test": self.test}


class StoredFolds(_Strict):
    """The content of a folds.json."""

    format: Literal[1] = 1
    protocol: dict[str, Any] = {}
    seed: int = 0
    clips: dict[str, str] = {}
    """Every clip of the table with its subject, including clips that no fold uses; empty if subjects are unknown."""
    folds: tuple[StoredFold, ...] = Field(min_length=1)

    @property
    def subject_independent(self) -> bool:
        """Whether no fold has a test subject among its training or validation subjects; False if one is unknown."""
        return bool(self.clips) and not any(shared_subjects(fold, self.clips) for fold in self.folds)

    @property
    def known(self) -> set[str]:
        """The clips of the table for which the folds were made."""
        return set(self.clips).union(*(part for fold in self.folds for part in fold.parts.values()))

    @property
    def content(self) -> str:
        """A digest of the training, validation and test clips, independent of the file's layout."""
        return digest({fold.name: [fold.repeat, *map(sorted, fold.parts.values())] for fold in self.folds})

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)


def shared_subjects(fold: StoredFold, subject: Mapping[str, str]) -> list[str]:
    """Return the test subjects that are also trained or selected on; clips of unknown subjects count as one subject."""
    tested, learnt = ({subject.get(key, "?") for key in keys} for keys in (fold.test, (*fold.train, *(fold.val or ()))))
    return sorted(tested & learnt)


def stored(folds: Sequence[Fold], table: pd.DataFrame, protocol: Mapping[str, Any], seed: int) -> StoredFolds:
    """Return the folds of a clip table in the form that is stored, as clip keys."""
    keys = table["key"].to_numpy()
    return StoredFolds(
        protocol=dict(protocol),
        seed=seed,
        clips=dict(zip(keys, table["subject"], strict=True)),
        folds=tuple(
            StoredFold(
                name=fold.name,
                repeat=fold.repeat,
                note=fold.note,
                train=tuple(keys[fold.train]),
                val=None if fold.val is None else tuple(keys[fold.val]),
                test=tuple(keys[fold.test]),
            )
            for fold in folds
        ),
    )


def read(place: Path) -> StoredFolds:
    """Return the folds of a folds.json, or of its folder; raises ConfigError or SplitError."""
    file = place / FILE if place.is_dir() else place
    try:
        found = StoredFolds.model_validate_json(file.read_bytes())
    except OSError:
        raise ConfigError(
            "E150",
            f"the folds in {file} cannot be read. Name a {FILE}, or the folder results/KEY of a run.",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place_in = ".".join(map(str, first["loc"])) or "the whole file"
        raise ConfigError("E151", f"{file} is not a valid {FILE}: {place_in}: {first['msg']}.") from None
    for problem in _problems(found):
        raise SplitError("E152", f"{file}: {problem}")
    return found


def content(place: Path) -> str:
    """Return the digest of a folds.json that is part of an experiment's key."""
    return read(place).content


def named(keys: Sequence[str]) -> str:
    """Return the keys of the first clips, and how many more there are."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(map(repr, keys[:NAMED])) + more


def _problems(found: StoredFolds) -> Iterator[str]:
    for name, count in Counter(fold.name for fold in found.folds).items():
        if count > 1:
            yield f"{count} folds have the name {name!r}. Give each its own name."
        if name != Path(name).name or not name:
            yield f"fold {name!r}: the name is used as a file name, so it must not be empty or contain '/'. Rename it."
    for fold in found.folds:
        seen: dict[str, str] = {}
        for part, keys in fold.parts.items():
            for key in keys:
                if key in seen:
                    where = f"twice in {part}" if seen[key] == part else f"in {seen[key]} and in {part}"
                    yield f"fold {fold.name!r}: clip {key!r} is listed {where}. Remove one of the two."
                seen[key] = part
    tested = Counter((fold.repeat, key) for fold in found.folds for key in fold.test)
    for (repeat, key), count in tested.items():
        if count > 1:
            yield (
                f"clip {key!r} is tested by {count} folds of repeat {repeat}; pooled, it would count {count} times. "
                "Number the repeats: each `repeat` must test a clip at most once."
            )
