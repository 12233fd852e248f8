"""The vocabulary of emotions, the label sets of papers, and the table of labelled clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from microexpr.core.clip import Clip
from microexpr.core.errors import ConfigError, UnknownComponentError

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


class CountWarning(NamedTuple):
    """The number of clips of a database that a label set keeps, and the warning about it."""

    clips: int
    text: str


@dataclass(frozen=True)
class Rule:
    """The class of each of a database's clips."""

    mapping: Mapping[str, str]
    """Word -> class; clips with other words are left out."""
    datasets: tuple[str, ...] = ()
    """The databases that the rule applies to; empty for all."""
    reads: str = "emotion"
    """Where the word is found: the clip's emotion, or an entry of `Clip.labels`."""
    needs_apex: bool = False
    """Leave out clips whose apex is not coded or is the onset; precomputed images have no times and are kept."""

    def of(self, clip: Clip) -> str | None:
        """Return the clip's class, None where it is left out."""
        timed = self.needs_apex and clip.onset is not None
        if timed and (clip.apex in (None, clip.onset) or "apex" in clip.labels.get("estimated", ())):
            return None
        words = (clip.emotion or "",) if self.reads == "emotion" else clip.labels.get(self.reads, ())
        return next((self.mapping[word] for word in words if word in self.mapping), None)


@dataclass(frozen=True)
class LabelSet:
    """The classes of an experiment and the rules for them; the first rule for a database applies."""

    name: str
    classes: tuple[str, ...]
    rules: tuple[Rule, ...]
    source: str = ""
    """The source of the rules."""
    published: Mapping[str, int] = field(default_factory=dict)
    """Published number of clips of each database in this set."""

    def of(self, clip: Clip) -> str | None:
        """Return the clip's class, or None where this label set leaves the clip out."""
        for rule in self.rules:
            if not rule.datasets or clip.dataset in rule.datasets:
                return rule.of(clip)
        return None

    def count_warnings(self, clips: Iterable[Clip], *, synthetic: bool = False) -> list[CountWarning]:
        """Return the databases of which it keeps none of the `clips`, or another number than published.

        `clips` are all that could be read, kept or not. Numbers of synthetic databases are not compared.
        """
        words: dict[str, Counter[str]] = {}
        kept: Counter[str] = Counter()
        for clip in clips:
            words.setdefault(clip.dataset, Counter())[clip.emotion or "none"] += 1
            kept[clip.dataset] += self.of(clip) is not None
        found = []
        for name, emotions in words.items():
            count = self.published.get(name)
            if not kept[name]:
                counts = ", ".join(f"{word} {number}" for word, number in emotions.most_common())
                text = (
                    f"label set {self.name} keeps none of the {emotions.total()} clips of {name} (emotions: {counts}): "
                    "scores do not cover this database"
                )
                found.append(CountWarning(0, text))
            elif count not in (None, kept[name]) and not synthetic:
                text = (
                    f"label set {self.name} keeps {kept[name]} clips of {name}, where {count} were published: "
                    "the table is another release, the table was edited, or clips were left out"
                )
                found.append(CountWarning(kept[name], text))
        return found


def _same(name: str, *classes: str, source: str = "", **published: int) -> LabelSet:
    return LabelSet(name, classes, (Rule({word: word for word in classes}),), source, published)


def _to(**classes: Iterable[str]) -> dict[str, str]:
    return {word: name for name, words in classes.items() for word in words}


_CASME2 = ("others", "disgust", "happiness", "repression", "surprise", "sadness", "fear")
_CASME3 = ("disgust", "surprise", "others", "fear", "anger", "sadness", "happiness")
_POOR = ("anger", "contempt", "disgust", "fear", "sadness")
_THREE = ("negative", "positive", "surprise")

LABEL_SETS: Mapping[str, LabelSet] = {
    labels.name: labels
    for labels in (
        _same("casme2_7", *_CASME2, source="the seven words of CASME II's table"),
        _same("casme2_5", *_CASME2[:5], source="Yan et al. (2014): CASME II without sadness and fear", casme2=246),
        LabelSet(
            "megc2019_3",
            _THREE,
            (
                # A list with the classes themselves, the organisers' for instance, has the words of the classes.
                Rule(
                    _to(
                        negative=("negative", "disgust", "repression"),
                        positive=("positive", "happiness"),
                        surprise=("surprise",),
                    ),
                    ("casme2",),
                    needs_apex=True,
                ),
                Rule(
                    _to(
                        negative=("negative", *_POOR),
                        positive=("positive", "happiness"),
                        surprise=("surprise",),
                    ),
                    ("samm",),
                ),
                Rule({word: word for word in _THREE}, ("smic",)),
                Rule({}),
            ),
            "See et al. (2019), rebuilt from the organisers' list of 442 clips: CASME II (table of 2014) 145, SAMM "
            "133, SMIC-HS 164; no other database took part",
            {"casme2": 145, "samm": 133, "smic": 164},
        ),
        _same(
            "samm_5",
            "anger",
            "happiness",
            "contempt",
            "surprise",
            "others",
            source="the five words that occur more than ten times in SAMM's table",
        ),
        _same("casme3_7", *_CASME3, source="the seven words of CAS(ME)^3, part A"),
        LabelSet(
            "casme3_4",
            ("negative", "positive", "surprise", "others"),
            (
                Rule(
                    _to(
                        negative=("negative", *_POOR),
                        positive=("positive", "happiness"),
                        surprise=("surprise",),
                        others=("others",),
                    )
                ),
            ),
            "Li et al. (2022): CAS(ME)^3 in four classes",
        ),
        LabelSet(
            "objective_7",
            tuple("1234567"),
            (Rule({number: number for number in "1234567"}, reads="objective class"),),
            "Davison et al. (2018): classes by action units only; CASME II, SAMM and CAS(ME)^3 list them",
        ),
        _same("smic_3", *_THREE, source="Li et al. (2013): the three words of SMIC"),
        LabelSet(
            "valence_2",
            ("negative", "positive"),
            (Rule(_to(negative=("negative", "repression", *_POOR), positive=("positive", "happiness"))),),
            "pleasant or unpleasant; surprise, tense and others, which are neither, are left out",
        ),
    )
}
AS_GIVEN = "as_given"


def label_set(choice: str | Mapping[str, str], clips: Iterable[Clip]) -> LabelSet:
    """Return a label set by name, from a mapping emotion -> class, or (`as_given`) with the words of the table."""
    if not isinstance(choice, str):
        unknown = sorted(set(choice) - set(VOCABULARY))
        if unknown:
            raise ConfigError("E262", f"labels: unknown emotion {unknown[0]!r}. Known: {', '.join(VOCABULARY)}.")
        return LabelSet("own", tuple(sorted(set(choice.values()))), (Rule(dict(choice)),))
    if choice == AS_GIVEN:
        present = {clip.emotion for clip in clips}
        return _same(AS_GIVEN, *(word for word in VOCABULARY if word in present))
    if choice not in LABEL_SETS:
        raise UnknownComponentError("label set", choice, [*LABEL_SETS, AS_GIVEN])
    return LABEL_SETS[choice]


COLUMNS = (
    "key",
    "dataset",
    "subject_id",
    "subject",
    "video",
    "onset",
    "apex",
    "offset",
    "emotion",
    "action_units",
    "label",
)


def clip_table(clips: Iterable[Clip], labels: LabelSet) -> pd.DataFrame:
    """Return one row per clip that `labels` keeps, with the class number in the column ``label``."""
    import pandas as pd

    rows = [
        {name: getattr(clip, name) for name in COLUMNS[:-2]}
        | {"action_units": "+".join(map(str, clip.action_units)), "label": labels.classes.index(word)}
        for clip in clips
        if (word := labels.of(clip)) is not None
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"onset": "Int64", "apex": "Int64", "offset": "Int64"})
