"""Search spaces: from the file or the default one, checked value by value, sampled by trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from microexpr.config.component import Component
from microexpr.config.experiment import Experiment
from microexpr.config.settings import Values
from microexpr.core import interfaces
from microexpr.core.errors import ConfigError, MicroexprError, suggest
from microexpr.runs.plan import Plan, Workspace

Space = Mapping[str, Values]
PARTS = ("model", "training", "loss", "augmentation", "vote")
"""Parts of an experiment that may be searched. All trials use the same model input; a study compares inputs."""
TRAINED = ("training", "loss", "augmentation")
"""Parts that only affect networks: an estimator is fitted once, on the training clips without augmentation."""
DEFAULT = {
    "drop_path": Values(low=0.05, high=0.3),
    "dropout": Values(low=0.0, high=0.2),
    "head_units": Values(choices=(0, 128, 256, 512)),
}
"""Section II.C: drop path, dropout and "layer configurations", interpreted as a hidden layer of the head and
the number of frozen stages (`_stages`), for which it gives no numbers."""
DEFAULT_SOURCE = (
    "Default search space. Ranges of drop path and dropout: section II.C of 'Preprocessing Paradox in Vision "
    "Transformer-Based Micro-Expression Recognition'."
)
EXAMPLE = """
    [tuning.space]
    "model.{name}" = {{ low = 0.1, high = 100.0, log = true }}"""


def space_of(plan: Plan) -> tuple[Space, bool]:
    """Return the search space, and whether it is the default one; raises ConfigError if there is nothing to search."""
    given = plan.experiment.tuning.space
    if given:
        return given, False
    model = plan.experiment.model.name
    offered = interfaces.models.parameters(model)
    found = {f"model.{name}": values for name, values in {**DEFAULT, **_stages(plan)}.items() if name in offered}
    if found:
        return found, True
    name = next((name for name, (annotation, _) in offered.items() if "gt" in str(annotation)), next(iter(offered), ""))
    known = f"its parameters are {', '.join(offered)}" if offered else "it has no parameters"
    default = ", ".join((*DEFAULT, "frozen_stages"))
    raise ConfigError(
        "E141",
        f"model {model!r} has none of the parameters of the default search space ({default}); {known}. "
        f"Set a search space, for example:{EXAMPLE.format(name=name or 'NAME')}",
    )


def _stages(plan: Plan) -> dict[str, Values]:
    """Return the values for the number of frozen stages; none for random weights, which are not worth freezing."""
    stages = getattr(getattr(plan.model, "architecture", None), "stages", None)
    pretrained = plan.weights.get("weights") != "random"
    return {"frozen_stages": Values(low=0, high=stages)} if stages and pretrained else {}


def check(space: Space, experiment: Experiment, workspace: Workspace) -> None:
    """Plan the experiment with the ends of every range and with every choice; raises ConfigError at the first error."""
    trained = experiment.model.build(interfaces.models).trains_in_epochs
    for key in space:
        part = key.split(".")[0]
        if part not in PARTS:
            raise ConfigError(
                "E140",
                f"tuning.space: {key!r} cannot be searched{suggest(part, PARTS)}; only {', '.join(PARTS)} and their "
                "parts can. To compare model inputs, run a study.",
            )
        if part in TRAINED and not (trained or "model" in space):
            raise ConfigError(
                "E140",
                f"tuning.space: {key!r} has no effect, because model {experiment.model.label} is fitted once; search "
                "its own parameters, or choose a network.",
            )
        for inner in space:
            if inner.startswith(f"{key}."):
                raise ConfigError("E140", f"tuning.space: {inner!r} is a part of {key!r}; search only one of them.")
    for key, values in space.items():
        for value in _probes(values):
            try:
                workspace.plan(experiment.with_values({key: value}))
            except MicroexprError as error:
                raise ConfigError(error.code, f"tuning.space: {key} = {value!r}: {error}") from None


def _probes(values: Values) -> Iterator[Any]:
    """Yield the values to check: every choice, or both ends of a range and one value between them."""
    if values.choices:
        yield from values.choices
        return
    assert values.low is not None
    assert values.high is not None
    yield from (values.low, values.high)
    if not values.whole:
        yield values.low + (values.step or (values.high - values.low) / math.pi)


def draw(trial: Any, space: Space) -> dict[str, Any]:
    """Let a trial of Optuna sample a value for every parameter."""
    return taken(space, {key: _sampled(trial, key, values) for key, values in space.items()})


def _sampled(trial: Any, key: str, values: Values) -> object:
    if values.choices:
        return trial.suggest_categorical(key, list(values.levels))
    if values.whole:
        return trial.suggest_int(key, values.low, values.high, step=values.step or 1, log=values.log)
    return trial.suggest_float(key, values.low, values.high, step=values.step, log=values.log)


def taken(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the experiment settings for a trial's parameters, in which choices are given by name."""
    return {key: values.levels[params[key]] if values.choices else params[key] for key, values in space.items()}


def own(space: Space, experiment: Experiment) -> dict[str, Any] | None:
    """Return the experiment's own values as a trial's parameters; None if one of them is outside the space."""
    found = {key: _own(key, values, experiment) for key, values in space.items()}
    return None if None in found.values() else found


def _own(key: str, values: Values, experiment: Experiment) -> object:
    if values.choices:
        same = experiment.canonical()
        levels = values.levels.items()
        return next((name for name, level in levels if experiment.with_values({key: level}).canonical() == same), None)
    value = _value(key, experiment)
    if isinstance(value, bool) or not isinstance(value, int | float) or (values.whole and value != int(value)):
        return None
    assert values.low is not None
    assert values.high is not None
    steps = (value - values.low) / values.step if values.step else 0
    inside = values.low <= value <= values.high and abs(steps - round(steps)) < 1e-9
    return (int(value) if values.whole else float(value)) if inside else None


def _value(key: str, experiment: Experiment) -> object:
    """Return the value of a dotted key, or its default."""
    part, _, name = key.partition(".")
    found = getattr(experiment, part)
    if isinstance(found, Component):
        registry = interfaces.models if part == "model" else interfaces.votes
        return registry.bind(found.name, found.params).get(name)
    return getattr(found, name, None) if isinstance(found, BaseModel) else None


def firsts(space: Space) -> dict[str, Any]:
    """Return a fixed value for every parameter, independent of the experiment's own values."""
    return {key: values.choices[0] if values.choices else values.low for key, values in space.items()}
