"""Settings of an experiment that are not components: training, tuning, confidence intervals, scores.

Intervals and scores are computed from stored predictions, and tuning changes values that are set elsewhere in the file,
so none of these are part of an experiment's key.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictFloat, StrictInt, model_validator

from microexpr.config.component import Component, Strict, level_names
from microexpr.config.scores import confusion_metric
from microexpr.core import interfaces
from microexpr.core.errors import ConfigError, UnknownComponentError, suggest

ADDED_LATER = {
    "optimizer": "adamw",
    "schedule": "constant",
    "label_smoothing": 0.0,
    "draw": "clips",
    "average_last": 0,
    "ensemble": 1,
    "select": "macro_f1",
}
"""Training settings added in later versions, with the values that earlier versions used: stored results keep their
keys."""
TECHNIQUES = ("label_smoothing", "draw", "average_last", "ensemble")
"""Those that only apply to networks; an estimator that is fitted once ignores them."""


Precision = Literal["float32", "bf16"]


class Training(Strict):
    """How a network is trained (paper, section II.C); where the paper leaves a choice open, the default comes first."""

    epochs: int = Field(50, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    batch: int = Field(16, ge=1)
    patience: int = Field(5, ge=0)
    """Epochs without a better validation score before training stops; 0 = run all epochs and keep the last."""
    precision: Literal["auto"] | Precision = "auto"
    """auto = bf16 where the GPU or processor computes it natively and the network has over 0.1 GFLOP a view."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """sgd uses a momentum of 0.9."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the learning rate falls to 0 along half a cosine over all epochs."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of every label that is spread evenly over all classes (Szegedy et al. 2016, section 7)."""
    draw: Literal["clips", "subjects"] = "clips"
    """clips: every training view once per epoch. subjects: as many views, sampled so that all subjects are equally
    likely."""
    average_last: int = Field(0, ge=0)
    """Average the weights after each of the last so many epochs (Izmailov et al. 2018); 0 = use the last epoch's."""
    ensemble: int = Field(1, ge=1, le=64)
    """Train this many networks from different seeds and average their probabilities."""
    select: str = "macro_f1"
    """The metric by which an epoch and a loss are selected on validation clips."""

    @model_validator(mode="after")
    def _averages_to_the_end(self) -> Training:
        if self.average_last and self.patience:
            raise ValueError(
                "average_last averages the last epochs, and patience may stop training before them; set patience = 0"
            )
        if self.average_last > self.epochs:
            raise ValueError(f"average_last = {self.average_last} exceeds the number of epochs, {self.epochs}")
        return self

    @property
    def techniques(self) -> list[str]:
        """Names of the training techniques in use."""
        return [name for name in TECHNIQUES if getattr(self, name) != ADDED_LATER[name]]

    def canonical(self) -> dict[str, Any]:
        """Return the settings for the experiment's key; those added later are included only where they are used."""
        content = self.model_dump(mode="json")
        found = {
            name: value for name, value in content.items() if name not in ADDED_LATER or value != ADDED_LATER[name]
        }
        if "select" in found:
            found["select"] = {"name": self.select, "revision": interfaces.metrics.revision(self.select)}
        return found


class Bootstrap(Strict):
    """Confidence intervals of scores by the bootstrap.

    The default, resampling subjects with the expanded percentile method, has the best coverage on simulated test sets
    with known truth. The paper uses ``unit = "clip"`` and ``method = "percentile"``. The methods are described in
    `statistics.bootstrap`.
    """

    n: int = Field(1000, ge=100, le=1_000_000)
    unit: Literal["clip", "subject"] = "subject"
    method: Literal["percentile", "bca", "expanded"] = "expanded"
    stratified: bool = False
    """Resample clips within their true class, so that every resample keeps the class sizes."""
    level: float = Field(0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _strata_of_clips(self) -> Bootstrap:
        if self.stratified and self.unit == "subject":
            raise ValueError(
                "a subject has clips of several classes, so resampling subjects cannot keep the class sizes; "
                'set unit = "clip" as well, or leave stratified out'
            )
        return self


class Values(Strict):
    """The values that a search may try for one parameter: from `low` to `high`, or one of `choices`."""

    low: StrictInt | StrictFloat | None = None
    high: StrictInt | StrictFloat | None = None
    log: bool = False
    """Sample uniformly on a logarithmic scale, for example for a learning rate."""
    step: StrictInt | StrictFloat | None = None
    """Distance between values; 1 for integers if not set."""
    choices: tuple[Any, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether only integers are tried: both bounds are written as integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def levels(self) -> dict[str, Any]:
        """The choices by name; empty for a range."""
        return dict(zip(level_names(self.choices), self.choices, strict=True)) if self.choices else {}

    @model_validator(mode="after")
    def _valid(self) -> Values:
        problem = next(_problems(self), None)
        if problem:
            raise ValueError(problem)
        return self

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(self.levels)
        log, step = ", logarithmic" if self.log else "", f" by {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{step}{log}"


SYNTAX = "write { low = 0.1, high = 10.0, log = true }, or { choices = [0, 128] }"


def _problems(values: Values) -> Iterator[str]:
    low, high, step = values.low, values.high, values.step
    if values.choices:
        if low is not None or high is not None or step is not None or values.log:
            yield "choices cannot be combined with low, high, log or step; remove one or the other"
        elif len(values.levels) < len(values.choices):
            yield "a choice is listed twice"
        elif len(values.choices) < 2:
            yield "with one choice there is nothing to search; list two or more"
    elif low is None or high is None:
        yield f"low or high is missing; {SYNTAX}"
    elif not (math.isfinite(low) and math.isfinite(high) and low < high):
        yield f"low = {low} must be less than high = {high}"
    elif values.log and (low <= 0 or step is not None):
        yield "with log = true, low must be above 0 and step cannot be set"
    elif step is not None and (step <= 0 or abs((high - low) / step - round((high - low) / step)) > 1e-9):
        yield f"the range from {low} to {high} is not a multiple of step = {step}"
    elif step is not None and values.whole and not isinstance(step, int):
        yield f"low and high are integers, so step = {step} must be an integer too"


def _flat(space: object) -> object:
    """Return a space with dotted keys, whether or not its tables were nested."""
    return dict(_leaves("", space)) if isinstance(space, Mapping) else space


def _leaves(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Values):
            yield name, value
        elif not isinstance(value, Mapping):
            raise ValueError(f"{name} = {value!r} does not list values to try; {SYNTAX}")
        elif value and all(isinstance(item, Mapping) for item in value.values()):
            yield from _leaves(f"{name}.", value)
        else:
            for wrong in set(value) - set(Values.model_fields):
                raise ValueError(f"{name}: unknown key {wrong!r}{suggest(wrong, Values.model_fields)}; {SYNTAX}")
            yield name, value


class Tuning(Strict):
    """What `microexpr tune` searches, and how. No subject that a search's result is tested on takes part in it."""

    space: Annotated[dict[str, Values], BeforeValidator(_flat)] = Field(default_factory=dict)
    """Dotted key -> values, ``"model.dropout" = { low = 0.0, high = 0.2 }``; empty: the paper's space, for models with
    these parameters."""
    metric: str = "macro_f1"
    """What a search maximises, and the score by which tuned and untuned are compared."""
    groups: Annotated[int, Field(ge=2)] | Literal["folds"] = 5
    """Number of searches if the protocol has more folds than that: each search serves a group of folds and uses none of
    the subjects that they test. "folds" = one search per fold."""
    inner: int = Field(3, ge=2)
    """Number of inner folds, divided by subject, on which each trial is trained and scored."""


class Choice(Strict):
    """Selection among several methods within the training subjects of each fold, by a rule fixed in advance.

    The subjects are divided into `groups`; every pair of groups is left out once (protocol `group_pairs`). For the
    subjects of one group, the method is selected that scores best on all other subjects, each predicted by models that
    were trained neither on them nor on that group. Ties go to the method listed first.
    """

    of: tuple[str, ...] = Field(min_length=2)
    groups: int = Field(8, ge=4, multiple_of=2)


class Printed(Strict):
    """A result printed in a paper. Its protocol differs, so it is listed next to ours but never compared with it."""

    value: float = Field(ge=0, le=1)
    metric: str
    """The paper's metric, as one of ours: uf1, macro_f1, accuracy ..."""
    protocol: str = Field(min_length=1)
    """How it was obtained: database, classes, training and test subjects."""
    source: str = Field(min_length=1)


class Leaderboard(Strict):
    """How the methods of a study are compared."""

    metric: str = "uf1"
    """Used for the ranking, the choice and the paired comparisons; it must be computable from confusion matrices."""
    reference: str | None = None
    """The method with which all others are compared."""
    contrast: dict[str, tuple[str, ...]] = Field(default_factory=dict, max_length=2)
    """Two named groups of methods whose means are compared."""
    fused: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(default_factory=dict)
    """Name -> methods whose class probabilities are averaged clip by clip (first seeds), without further training."""
    choice: Choice | None = None
    printed: dict[str, Printed] = Field(default_factory=dict)
    """Method -> result printed in a paper."""

    def choosable(self, skipped: Collection[str] = ()) -> list[str]:
        """Return the methods to choose from, without skipped ones and averages that include a skipped one."""
        of = self.choice.of if self.choice else ()
        return [name for name in of if not set(self.fused.get(name, (name,))) & set(skipped)]

    def check(self, seeds: Mapping[str, Sequence[int]]) -> None:
        """Check these settings against the study's methods, each with its seeds; raises ConfigError."""
        known = list(seeds)
        if self != Leaderboard() and not known:
            raise ConfigError("E123", "leaderboard: the study has no methods to compare; add tables [methods.NAME].")
        confusion_metric(self.metric, "E124", "leaderboard.metric")
        single = {
            "reference": [self.reference] if self.reference else [],
            **{f"fused.{name}": members for name, members in self.fused.items()},
            "printed": list(self.printed),
        }
        both = {
            "choice.of": self.choice.of if self.choice else [],
            **{f"contrast.{group}": names for group, names in self.contrast.items()},
        }
        for parts, among in ((single, known), (both, [*known, *self.fused])):
            for part, names in parts.items():
                for name in names:
                    if name not in among:
                        raise UnknownComponentError(f"method in leaderboard.{part}", name, among)
        for name, printed in self.printed.items():
            if printed.metric not in interfaces.metrics.names():
                place = f"metric in leaderboard.printed.{name}"
                raise UnknownComponentError(place, printed.metric, interfaces.metrics.names())
        if taken := sorted(set(known) & set(self.fused)):
            raise ConfigError("E123", f"leaderboard.fused: a method is named {taken[0]} already; use another name.")
        if len(self.contrast) == 1:
            raise ConfigError("E123", "leaderboard.contrast: one group has nothing to be compared with; name two.")
        shared = set.intersection(*map(set, self.contrast.values())) if self.contrast else set()
        if shared:
            raise ConfigError(
                "E123", f"leaderboard.contrast: {sorted(shared)[0]} is in both groups; remove it from one of them."
            )
        self._check_seeds({name: set(each) for name, each in seeds.items()})

    def _check_seeds(self, seeds: Mapping[str, set[int]]) -> None:
        """Refuse comparisons of methods with several seeds, and choices among methods, that have no seed in common."""
        # An average uses its members' first seeds and counts as having that of the first member.
        seeds = {**seeds, **{name: {min(seeds[members[0]])} for name, members in self.fused.items()}}
        together: list[tuple[str, Sequence[str]]] = [
            ("choice.of", self.choice.of if self.choice else ()),
            ("contrast", [name for group in self.contrast.values() for name in group]),
        ]
        if self.reference:
            together += [("reference", (self.reference, name)) for name in seeds]
        for part, names in together:
            # A method with one seed is compared with every seed of the others; a choice pools predictions of one seed.
            counted = [name for name in names if part == "choice.of" or len(seeds[name]) > 1]
            if counted and not set.intersection(*(seeds[name] for name in counted)):
                listed = ", ".join(
                    f"{name} {', '.join(map(str, sorted(seeds[name])))}" for name in dict.fromkeys(names)
                )
                raise ConfigError(
                    "E125",
                    f"leaderboard.{part}: predictions can only be paired for methods with a seed in common, and these "
                    f"have the seeds: {listed}. Give them one in common.",
                )


AUTO = "auto"
"""``method = "auto"``: the first of Grad-CAM, attention rollout and occlusion that the model supports."""


class Explanations(Strict):
    """Attribution maps for models of a study, of test clips and with the weights of the fold that tested them."""

    of: tuple[str, ...] = ()
    """Names of methods; in a study without methods, of models. Each is represented by its first cell."""
    method: Component = Component(name=AUTO)
    """An explainer for all of them, or auto."""
    folds: int = Field(3, ge=1)
    """Number of folds, the first of the protocol, whose test clips are explained."""
    clips: int = Field(1, ge=1, le=16)
    """Number of correctly and of wrongly predicted clips of every class on the page, the first by key."""
    seeds: int = Field(3, ge=2, le=32)
    """Number of randomised models with which the maps are compared."""

    def check(self, known: Collection[str]) -> None:
        """Check names and the explainer's parameters; raises ConfigError."""
        for name in self.of:
            if name not in known:
                raise UnknownComponentError("name in explanations.of", name, known)
            if self.of.count(name) > 1:
                raise ConfigError("E126", f"explanations.of: {name} is listed twice; remove one of the two.")
        if self.method.name != AUTO:
            interfaces.explainers.bind(self.method.name, self.method.params)
        elif self.method.params:
            raise ConfigError("E126", "explanations.method: auto has no parameters; name an explainer to set them.")
