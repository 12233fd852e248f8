"""One vocabulary of emotions, the label sets that papers make of it, and the table of labelled clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from microexpr.clip import Clip
from microexpr.errors import ConfigError, UnknownComponentError

if TYPE_CHECKING:
    import pandas as pd

VOCABULARY = (
    "others",
    "disgust",
    "happiness",
    "repression",
    "surprise",
    "sadness",
    "fear",
    "anger",
    "contempt",
    "tense",
    "negative",
    "positive",
)


@dataclass(frozen=True)
class LabelSet:
    """Which emotions count as which class; an emotion that `mapping` lacks leaves its clip out."""

    name: str
    classes: tuple[str, ...]
    mapping: Mapping[str, str]

    def of(self, clip: Clip) -> str | None:
        """Return the clip's class, or None where this label set leaves the clip out."""
        return self.mapping.get(clip.emotion) if clip.emotion is not None else None


def _same(name: str, *classes: str) -> LabelSet:
    return LabelSet(name, classes, {word: word for word in classes})


_CASME2 = ("others", "disgust", "happiness", "repression", "surprise", "sadness", "fear")

LABEL_SETS: Mapping[str, LabelSet] = {
    labels.name: labels
    for labels in (
        _same("casme2_7", *_CASME2),
        _same("casme2_5", *_CASME2[:5]),
    )
}
AS_GIVEN = "as_given"


def label_set(choice: str | Mapping[str, str], clips: Iterable[Clip]) -> LabelSet:
    """Return a label set by name, from a mapping emotion -> class, or (`as_given`) of the words in the table."""
    if not isinstance(choice, str):
        unknown = sorted(set(choice) - set(VOCABULARY))
        if unknown:
            raise ConfigError(f"labels: unknown emotion {unknown[0]!r}. Known: {', '.join(VOCABULARY)}.")
        return LabelSet("own", tuple(sorted(set(choice.values()))), dict(choice))
    if choice == AS_GIVEN:
        present = {clip.emotion for clip in clips}
        return _same(AS_GIVEN, *(word for word in VOCABULARY if word in present))
    if choice not in LABEL_SETS:
        raise UnknownComponentError("label set", choice, [*LABEL_SETS, AS_GIVEN])
    return LABEL_SETS[choice]


COLUMNS = (
    "key",
    "dataset",
    "subject",
    "person",
    "video",
    "onset",
    "apex",
    "offset",
    "emotion",
    "action_units",
    "label",
)


def clip_table(clips: Iterable[Clip], labels: LabelSet) -> pd.DataFrame:
    """Return one row a clip that `labels` keeps, with the class number in the column ``label``."""
    import pandas as pd

    rows = [
        {name: getattr(clip, name) for name in COLUMNS[:-2]}
        | {"action_units": "+".join(map(str, clip.action_units)), "label": labels.classes.index(word)}
        for clip in clips
        if (word := labels.of(clip)) is not None
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"onset": "Int64", "apex": "Int64", "offset": "Int64"})
