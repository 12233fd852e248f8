"""Settings of an experiment that are no components: how it is trained and tuned, how intervals are made, which scores.

Intervals and scores say what is made of stored predictions, and tuning sets what is in other places of the file, so
they are no part of an experiment's key.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictFloat, StrictInt, model_validator

from microexpr.config.component import Component, Strict, words
from microexpr.core import interfaces as contracts
from microexpr.core.errors import ConfigError, UnknownComponentError, suggest

MEAN_OF_FOLDS = "mean_of_folds"


LATER = {
    "optimizer": "adamw",
    "schedule": "constant",
    "label_smoothing": 0.0,
    "draw": "clips",
    "average_last": 0,
    "ensemble": 1,
}
"""Settings of training that came later, and what they were before: stored results keep their keys."""
GAINS = ("label_smoothing", "draw", "average_last", "ensemble")
"""Those of them that are methods of their own and do nothing for what is fitted once."""


class Training(Strict):
    """How a network is trained (paper, section II.C); what the paper leaves open has the default named first."""

    epochs: int = Field(50, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    batch: int = Field(16, ge=1)
    patience: int = Field(5, ge=0)
    """Epochs without a better validation score before a training stops; 0 = all epochs, the last one kept."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """auto = bf16 where the accelerator has it."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """sgd has a momentum of 0.9."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: the learning rate falls to 0 along half a cosine over all epochs."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of every label that is spread evenly over all classes (Szegedy et al. 2016, section 7)."""
    draw: Literal["clips", "subjects"] = "clips"
    """clips: every training view once an epoch. subjects: as many views, drawn so that every subject is as likely."""
    average_last: int = Field(0, ge=0)
    """Take the mean of the weights after each of so many last epochs (Izmailov et al. 2018); 0 = those of the last."""
    ensemble: int = Field(1, ge=1, le=64)
    """Train so many networks from different seeds and take the mean of their probabilities."""

    @model_validator(mode="after")
    def _averages_to_the_end(self) -> Training:
        if self.average_last and self.patience:
            raise ValueError(
                "average_last takes the mean of the last epochs, and patience may stop before them; set patience = 0"
            )
        if self.average_last > self.epochs:
            raise ValueError(f"average_last = {self.average_last} is more than there are epochs, {self.epochs}")
        return self

    @property
    def gains(self) -> list[str]:
        """The methods of training that are asked for, by name."""
        return [name for name in GAINS if getattr(self, name) != LATER[name]]

    def canonical(self) -> dict[str, Any]:
        """Return what makes a training what it is; what was added later counts only where it is used."""
        content = self.model_dump(mode="json")
        return {name: value for name, value in content.items() if name not in LATER or value != LATER[name]}


class Bootstrap(Strict):
    """Intervals of scores by resampling subjects, expanded: on made-up test sets of known truth they cover best.

    The paper's are ``unit = "clip"`` and ``method = "percentile"``. `statistics.bootstrap` says what each method does.
    """

    n: int = Field(1000, ge=100, le=1_000_000)
    unit: Literal["clip", "subject"] = "subject"
    method: Literal["percentile", "bca", "expanded"] = "expanded"
    stratified: bool = False
    """Draw clips within their true class, so that every resample has the classes' sizes."""
    level: float = Field(0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _strata_of_clips(self) -> Bootstrap:
        if self.stratified and self.unit == "subject":
            raise ValueError(
                "subjects show several classes, so resampling them cannot keep the classes' sizes; "
                'set unit = "clip" as well, or leave stratified out'
            )
        return self


class Values(Strict):
    """The values of one parameter that a search may take: from `low` to `high`, or one of `choices`."""

    low: StrictInt | StrictFloat | None = None
    high: StrictInt | StrictFloat | None = None
    log: bool = False
    """Draw evenly over orders of magnitude, as for a learning rate."""
    step: StrictInt | StrictFloat | None = None
    """Distance of the values from each other; whole numbers have 1 anyway."""
    choices: tuple[Any, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried: both bounds are written as such."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def levels(self) -> dict[str, Any]:
        """The choices by a word for each; empty for a range."""
        return dict(zip(words(self.choices), self.choices, strict=True)) if self.choices else {}

    @model_validator(mode="after")
    def _possible(self) -> Values:
        problem = next(_problems(self), None)
        if problem:
            raise ValueError(problem)
        return self

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(self.levels)
        log, step = ", logarithmic" if self.log else "", f" by {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{step}{log}"


HOW = "write { low = 0.1, high = 10.0, log = true }, or { choices = [0, 128] }"


def _problems(values: Values) -> Iterator[str]:
    low, high, step = values.low, values.high, values.step
    if values.choices:
        if low is not None or high is not None or step is not None or values.log:
            yield "choices stand alone, without low, high, log and step"
        elif len(values.levels) < len(values.choices):
            yield "a choice is listed twice"
        elif len(values.choices) < 2:
            yield "with one choice there is nothing to search; list two or more"
    elif low is None or high is None:
        yield f"{HOW}"
    elif not (math.isfinite(low) and math.isfinite(high) and low < high):
        yield f"low = {low} must lie below high = {high}"
    elif values.log and (low <= 0 or step is not None):
        yield "with log = true, low must be above 0 and there is no step"
    elif step is not None and (step <= 0 or abs((high - low) / step - round((high - low) / step)) > 1e-9):
        yield f"step = {step} does not lead from {low} to {high}"
    elif step is not None and values.whole and not isinstance(step, int):
        yield f"low and high are whole numbers, and step = {step} is none"


def _flat(space: object) -> object:
    """Return a space with dotted keys, however its tables were nested."""
    return dict(_leaves("", space)) if isinstance(space, Mapping) else space


def _leaves(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Values):
            yield name, value
        elif not isinstance(value, Mapping):
            raise ValueError(f"{name} = {value!r} gives no values to try; {HOW}")
        elif value and all(isinstance(item, Mapping) for item in value.values()):
            yield from _leaves(f"{name}.", value)
        else:
            for wrong in set(value) - set(Values.model_fields):
                raise ValueError(f"{name}: unknown key {wrong!r}{suggest(wrong, Values.model_fields)}; {HOW}")
            yield name, value


class Tuning(Strict):
    """What `microexpr tune` searches, and how: nobody whom its result is tested on takes part in a search."""

    space: Annotated[dict[str, Values], BeforeValidator(_flat)] = Field(default_factory=dict)
    """Dotted key -> values, ``"model.dropout" = { low = 0.0, high = 0.2 }``; empty: the paper's, where the model has
    such parameters."""
    metric: str = "macro_f1"
    """What a search looks at, and what tuned and untuned are compared by."""
    groups: Annotated[int, Field(ge=2)] | Literal["folds"] = 5
    """Searches when the protocol has more folds than that: each does for a group of folds, and sees nobody whom they
    test. "folds" = a search for every fold."""
    inner: int = Field(3, ge=2)
    """Inner folds, whole subjects, that a trial is trained and scored on."""


class Choice(Strict):
    """A method chosen among several inside the training subjects of each fold, by a rule fixed beforehand.

    The subjects are divided into `groups`; every pair of groups is left out once (protocol `group_pairs`). For the
    subjects of one group the method is taken that scores best on all others, each predicted by models that saw neither
    them nor that group. Of equal scores the first in the list is taken.
    """

    of: tuple[str, ...] = Field(min_length=2)
    groups: int = Field(8, ge=4, multiple_of=2)


class Printed(Strict):
    """What a paper prints of a method. It was got under another protocol: it is shown beside ours, never compared."""

    value: float = Field(ge=0, le=1)
    metric: str
    """The paper's metric, as one of ours: uf1, macro_f1, accuracy ..."""
    protocol: str = Field(min_length=1)
    """What it was got under: database, classes, who was trained and tested on."""
    source: str = Field(min_length=1)


class Leaderboard(Strict):
    """How a study's methods are set against each other."""

    metric: str = "uf1"
    """Decides the order, the choice and the paired comparisons; it must follow from confusion matrices."""
    reference: str | None = None
    """The method that each is compared with."""
    contrast: dict[str, tuple[str, ...]] = Field(default_factory=dict, max_length=2)
    """Two groups of methods by name: the mean of the one is set against that of the other."""
    fused: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(default_factory=dict)
    """Name -> methods whose class probabilities are averaged clip by clip (first seeds); nothing is trained for it."""
    choice: Choice | None = None
    printed: dict[str, Printed] = Field(default_factory=dict)
    """Method -> what a paper prints of it."""

    def choosable(self, skipped: Collection[str] = ()) -> list[str]:
        """Return the methods that may be chosen, less those that are skipped and averages that lack one."""
        of = self.choice.of if self.choice else ()
        return [name for name in of if not set(self.fused.get(name, (name,))) & set(skipped)]

    def check(self, seeds: Mapping[str, Sequence[int]]) -> None:
        """Refuse what these methods, each with its seeds, do not allow; raises ConfigError."""
        known = list(seeds)
        if self != Leaderboard() and not known:
            raise ConfigError(
                "E104", "leaderboard: there are no methods to set against each other; write [methods.NAME]."
            )
        if not isinstance(contracts.metrics.build(self.metric, {}), contracts.ConfusionMetric):
            raise ConfigError(
                "E104",
                f"leaderboard.metric: {self.metric} does not follow from confusion matrices, so it cannot be "
                "resampled. Take uf1, uar, macro_f1 or accuracy.",
            )
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
            if printed.metric not in contracts.metrics.names():
                place = f"metric in leaderboard.printed.{name}"
                raise UnknownComponentError(place, printed.metric, contracts.metrics.names())
        if taken := sorted(set(known) & set(self.fused)):
            raise ConfigError("E104", f"leaderboard.fused: {taken[0]} is the name of a method already; take another.")
        if len(self.contrast) == 1:
            raise ConfigError("E104", "leaderboard.contrast: one group is set against nothing; name two.")
        shared = set.intersection(*map(set, self.contrast.values())) if self.contrast else set()
        if shared:
            raise ConfigError(
                "E104", f"leaderboard.contrast: {sorted(shared)[0]} stands in both groups; take it out of one."
            )
        self._check_seeds({name: set(each) for name, each in seeds.items()})

    def _check_seeds(self, seeds: Mapping[str, set[int]]) -> None:
        """Refuse methods of several seeds to be compared, or any chosen among, that have no seed in common."""
        # An average is made of its members' first seeds and stands under that of the first member.
        seeds = {**seeds, **{name: {min(seeds[members[0]])} for name, members in self.fused.items()}}
        together: list[tuple[str, Sequence[str]]] = [
            ("choice.of", self.choice.of if self.choice else ()),
            ("contrast", [name for group in self.contrast.values() for name in group]),
        ]
        if self.reference:
            together += [("reference", (self.reference, name)) for name in seeds]
        for part, names in together:
            # What has one seed is compared with every seed of the others; a choice pools predictions of one seed.
            counted = [name for name in names if part == "choice.of" or len(seeds[name]) > 1]
            if counted and not set.intersection(*(seeds[name] for name in counted)):
                told = ", ".join(f"{name} {', '.join(map(str, sorted(seeds[name])))}" for name in dict.fromkeys(names))
                raise ConfigError(
                    "E104",
                    f"leaderboard.{part}: nothing pairs predictions of methods that have no seed in common, and these "
                    f"have: {told}. Give them one in common.",
                )


AUTO = "auto"
"""``method = "auto"``: the explainer that a model has, Grad-CAM before attention rollout before occlusion."""


class Explanations(Strict):
    """What models of a study look at: maps of test clips, with the weights of the fold that did not train on them."""

    of: tuple[str, ...] = ()
    """Methods by name; in a study without methods, models. Each stands with its first cell."""
    method: Component = Component(name=AUTO)
    """An explainer for all of them, or auto."""
    folds: int = Field(3, ge=1)
    """So many folds are looked into, the first of the protocol; all their test clips are measured."""
    clips: int = Field(1, ge=1, le=16)
    """Of every class so many rightly and so many wrongly predicted clips are shown, the first by key."""
    seeds: int = Field(3, ge=2, le=32)
    """Randomised models that the maps are compared with."""

    def check(self, known: Collection[str]) -> None:
        """Refuse unknown names and wrong parameters of the explainer; raises ConfigError."""
        for name in self.of:
            if name not in known:
                raise UnknownComponentError("name in explanations.of", name, known)
            if self.of.count(name) > 1:
                raise ConfigError("E104", f"explanations.of: {name} is listed twice; write it once.")
        if self.method.name != AUTO:
            contracts.explainers.bind(self.method.name, self.method.params)
        elif self.method.params:
            raise ConfigError("E104", "explanations.method: auto has no parameters; name an explainer to set its own.")


def metric_of(score: str) -> tuple[str, bool]:
    """Return the metric that a score names, and whether it is the mean of the folds' scores.

    >>> metric_of("uf1"), metric_of("mean_of_folds(uf1)")
    (('uf1', False), ('uf1', True))
    """
    inner = score.removeprefix(f"{MEAN_OF_FOLDS}(").removesuffix(")")
    return (inner, True) if score == f"{MEAN_OF_FOLDS}({inner})" else (score, False)


def check_score(score: str) -> None:
    """Raise ConfigError where a score is neither a metric nor the mean of one over folds."""
    metric, _ = metric_of(score)
    if "(" in metric or ")" in metric:
        raise ConfigError(
            "E104", f"unknown score {score!r}; write a metric, uf1, or its mean of folds, {MEAN_OF_FOLDS}(uf1)."
        )
    contracts.metrics.build(metric, {})
