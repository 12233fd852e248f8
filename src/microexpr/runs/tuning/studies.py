"""Searches as Optuna studies: opening and identifying them, and their trials as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from microexpr.core.errors import StoreError
from microexpr.core.files import digest
from microexpr.runs.plan import Plan
from microexpr.runs.tuning import space as spaces
from microexpr.runs.tuning.result import State, Trial
from microexpr.runs.tuning.searches import Search
from microexpr.runs.tuning.space import Space


def open_study(
    storage: optuna.storages.BaseStorage, storage_name: str, plan: Plan, space: Space, search: Search
) -> optuna.Study:
    """Open a search; raises StoreError if the storage holds a different search of this name."""
    name = f"{plan.experiment.name}/{search.name}"
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    own, before = _identity(plan, space, search), study.user_attrs.get("microexpr")
    if before is None and not study.get_trials(deepcopy=False):
        study.set_user_attr("microexpr", own)
    elif before != own:
        other = "a search that microexpr did not begin"
        if isinstance(before, Mapping):
            differing = [key for key in own if before.get(key) != own[key]]
            other = f"a search with another {'space' if 'space' in differing else ' and '.join(differing)}"
        raise StoreError(
            "E608",
            f"{storage_name} already holds, under the name {name!r}, {other}. Choose another --out or --storage, or "
            "give the experiment another name.",
        )
    return study


def _identity(plan: Plan, space: Space, search: Search) -> dict[str, str]:
    """Return digests of what identifies a search; the experiment's own values of searched parameters do not count."""
    fixed = plan.experiment.with_values(spaces.firsts(space))
    outside = _outside(plan, space)
    return {
        "experiment": fixed.key(modality=plan.data.modality, weights=plan.weights.get("sha256", "")),
        "space": digest({key: values.model_dump(mode="json") for key, values in space.items()}),
        "metric": plan.experiment.tuning.metric,
        "database": digest([plan.data.cache.fingerprint, plan.data.labels.classes]),
        "division into folds": search.content(plan),
        **({"code of a component": digest(outside)} if outside else {}),
    }


def _outside(plan: Plan, space: Space) -> list[str]:
    """Return the components from outside the package among the choices, with their revisions."""
    levels = [{key: level} for key, values in space.items() if values.choices for level in values.levels.values()]
    components = (each for level in levels for each in plan.experiment.with_values(level).components())
    found = ((part.name, registry.revision(part.name)) for registry, part in components)
    return sorted({f"{name}/{revision}" for name, revision in found if isinstance(revision, str)})


def trial_of(trial: optuna.trial.FrozenTrial, problems: Mapping[str, Any]) -> Trial:
    """Return a trial as plain data; `problems` are its study's attributes."""
    return Trial(
        number=trial.number,
        values=trial.params,
        state=state_of(trial, problems),
        score=trial.value,
        seconds=trial.user_attrs.get("seconds"),
        problem=problems.get(f"problem/{trial.number}", ""),
        same_as=trial.user_attrs.get("same_as"),
    )


def state_of(trial: optuna.trial.FrozenTrial, problems: Mapping[str, Any]) -> State:
    """Return the state of a trial."""
    if trial.state == TrialState.FAIL:
        return "failed" if f"problem/{trial.number}" in problems else "stopped"
    states: dict[TrialState, State] = {TrialState.RUNNING: "running", TrialState.WAITING: "waiting"}
    return states.get(trial.state, "finished")


def distributions(studies: Iterable[optuna.Study]) -> dict[str, optuna.distributions.BaseDistribution]:
    """Return the distributions of the parameters, which are the same in every trial of every search."""
    trials = (trial for study in studies for trial in study.get_trials(deepcopy=False) if trial.value is not None)
    return dict(next(trials).distributions)
