"""The parameters of a synthetic database."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from microexpr.core.errors import ConfigError, suggest
from microexpr.core.interfaces import DatasetInfo

FORMAT: Final = 1
"""Raised when the same spec would give other bytes."""

NOTICE: Final = (
    "The pictures in this folder are synthetic: they were drawn by microexpr and show no person. "
    "Results on them say nothing about real micro-expressions."
)

INFO: Final = DatasetInfo(
    title="Synthetic faces in CASME II's layout",
    doi="",
    licence="none needed: the images are generated on your machine and show no real person",
    access="microexpr data make synthetic --out DIR, which is then read as casme2",
    n_clips=255,
    n_subjects=26,
    fps=200.0,
)
"""Its entry in lists of databases."""

COUNTS: Final[dict[str, dict[str, int]]] = {
    year: {
        "others": 99,
        "disgust": 63,
        "happiness": 32,
        "repression": 27,
        "surprise": surprise,
        "sadness": sad,
        "fear": 2,
    }
    for year, surprise, sad in (("20140508", 25, 7), ("20190701", 28, 4))
}
"""Clips per class in CASME II's two tables."""

_LIMITS: Final = {
    **{"expression_size": 5.0, "clutter": 1.0, "blinks": 1.0, "lighting": 0.1, "colour_cue": 100.0},
    **{"position_jitter": 100.0, "head_drift": 10.0, "noise": 100.0},
}
"""Largest value of each of these parameters; the smallest is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSpec:
    """Everything that decides images and table; equal specs give equal bytes on one type of processor."""

    subjects: int = 26
    """Number of persons, 1 to 99; each has at least one clip."""
    clips: int = 255
    """Total number of clips. 255 clips of 26 subjects repeat CASME II's numbers; any others are distributed equally."""
    seed: int = 0
    """Another seed gives other persons, other clips and other names."""
    expression_size: float = 1.0
    """Size of movement and wrinkles, 0 to 5; at 1 the peak displacement of a clip is 1 to 4 pixels, at 4 it is 4 to 16.
    Above 5 the skin would fold over itself."""
    colour_cue: float = 0.0
    """Blood flow: grey levels (red channel, at the apex) by which the cheeks redden in disgust, repression and
    happiness, and pale in the other classes, each by its own share; the luma of a pixel does not change. 6 is clearly
    visible."""
    position_jitter: float = 0.0
    """Standard deviation between clips, in pixels and for x and y alike, of the position of head and shoulders, in
    addition to each person's own position; whole pixels, one draw per clip, limited so that the face stays visible."""
    clutter: float = 0.0
    """Contrast, 0 to 1, of objects on the wall behind the person; their positions differ between clips."""
    folders: Literal["raw", "cropped", "both"] = "raw"
    """CASME2_RAW_selected, Cropped (280x340, cropped by the clip's first frame), or both."""
    labels: Literal["20140508", "20190701"] = "20140508"
    """Which of CASME II's two tables is imitated; the images do not depend on it."""
    quirks: bool = True
    """The irregular rows and names of the real table, as far as their subjects have clips."""
    emotions: tuple[str, ...] | None = None
    """Only these classes, in CASME II's proportions; None = all seven."""
    head_drift: float = 1.0
    """Standard deviation, in pixels, of the slow head movement within a clip, including some rotation and approach."""
    lighting: float = 0.015
    """Relative standard deviation of the slow change of brightness within a clip; four times that between clips."""
    noise: float = 2.5
    """Standard deviation of the sensor noise, in grey levels, independent in every frame."""
    blinks: float = 0.15
    """Share of clips with a blink; it occurs at any time and is not annotated."""
    jpeg_quality: int = 92
    """Quality of the JPEG files, 1 to 100."""

    def __post_init__(self) -> None:
        if not 1 <= self.subjects <= 99:
            raise ConfigError("E112", f"subjects = {self.subjects} is not valid: set 1 to 99.")
        if self.clips < self.subjects:
            raise ConfigError(
                "E112", f"clips = {self.clips} is not valid: each of the {self.subjects} subjects needs at least one."
            )
        if self.seed < 0:
            raise ConfigError("E112", f"seed = {self.seed} is not valid: set 0 or more.")
        for name, most in _LIMITS.items():
            if not 0 <= getattr(self, name) <= most:  # False for nan
                raise ConfigError("E112", f"{name} = {getattr(self, name)} is not valid: set 0 to {most:g}.")
            object.__setattr__(self, name, float(getattr(self, name)))  # 3 and 3.0 are the same spec
        if not 1 <= self.jpeg_quality <= 100:
            raise ConfigError("E112", f"jpeg_quality = {self.jpeg_quality} is not valid: set 1 to 100.")
        _known("folders", self.folders, ("raw", "cropped", "both"))
        _known("labels", self.labels, tuple(COUNTS))
        if self.emotions is not None:
            object.__setattr__(self, "emotions", tuple(dict.fromkeys(self.emotions)))
            for emotion in self.emotions:
                _known("emotion", emotion, tuple(COUNTS[self.labels]))
            if not self.emotions:
                raise ConfigError("E112", "emotions is empty: name at least one class, or leave it out for all seven.")

    def to_json(self) -> dict[str, Any]:
        """Return the content of `microexpr-synthetic.json`."""
        fields = asdict(self)
        fields["emotions"] = None if self.emotions is None else list(self.emotions)
        return {"notice": NOTICE, "format": FORMAT, "spec": fields}


def _known(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise ConfigError("E112", f"unknown {what} {word!r}{suggest(word, known)}. Known: {', '.join(known)}.")
