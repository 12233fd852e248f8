"""The summary of `microexpr tune`, which its page is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from microexpr.config.scores import MAIN
from microexpr.config.study import Study
from microexpr.core import interfaces
from microexpr.core.confusion import confusion_matrix
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError
from microexpr.evaluation.predictions import score
from microexpr.evaluation.statistics.bootstrap import BootstrapInterval
from microexpr.report.summary import (
    Caveat,
    Importance,
    Run,
    Search,
    Searched,
    Trial,
    TunedScores,
    TuningSummary,
)
from microexpr.report.summary.caveats import caveats
from microexpr.report.summary.cells import interval, stated
from microexpr.report.summary.comparison import compared, paired
from microexpr.report.summary.data import data
from microexpr.report.summary.metrics import defined
from microexpr.runs.study import Cell, StudyResult
from microexpr.runs.tuning import STARTUP, Tuned
from microexpr.runs.tuning.result import Found
from microexpr.runs.tuning.space import DEFAULT_SOURCE

SEARCH = f"tree-structured Parzen estimator (Optuna), the first {STARTUP} trials sampled at random"
EVALUATOR = (
    "fANOVA: share of the variance of a random forest's predicted scores; parameters searched on a logarithmic scale "
    "are analysed on it"
)


def summarise_tuning(found: Tuned, command: str = "") -> TuningSummary:
    """Return the summary of a tuning."""
    plan, experiment = found.plan, found.plan.experiment
    software = environment()
    sides = [("tuned", found.predictions()), ("untuned", found.untuned.predictions())]
    comparison = compared(plan, experiment.tuning.metric, sides, [found.untuned], "tuning/compare")
    (tuned, ways), (untuned, others) = (_scores(found, each.predictions()) for each in (found, found.untuned))
    return TuningSummary(
        name=experiment.name,
        title=f"{experiment.model.label} tuned on {', '.join(item.name for item in experiment.datasets)}",
        command=command,
        version=software["microexpr"],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        caveats=list(_caveats(found)),
        metric=experiment.tuning.metric,
        metrics=defined(experiment.tuning.metric, *MAIN),
        intervals=stated(experiment.bootstrap, ways | others),
        data=data(plan),
        environment=software,
        run=Run(**found.done),
        experiment={
            part: getattr(experiment, part).label
            for part in ("preprocessing", "sampling", "representation", "model", "protocol")
        }
        | {"seed": str(experiment.seed), "key": plan.key},
        trials_requested=found.trials,
        inner=experiment.tuning.inner,
        folds=len(plan.folds),
        space_source=DEFAULT_SOURCE if found.default_space else "",
        storage=found.storage,
        search=SEARCH,
        evaluator=EVALUATOR,
        space=[Searched(parameter=key, values=str(values)) for key, values in found.space.items()],
        searches=[_search(found, each) for each in found.found],
        trials=[row for each in found.found for row in _trials(each)],
        importance=_importance(found.importance),
        importances=[_importance(each.importance) for each in found.found],
        tuned=tuned,
        untuned=untuned,
        comparison=None if isinstance(comparison, str) else paired(comparison),
        problem=comparison if isinstance(comparison, str) else None,
    )


def _search(found: Tuned, each: Found) -> Search:
    """Return one search: its clips and subjects, the values found, and their score on the test clips of its folds."""
    table, search = found.plan.table, each.search
    untuned = found.untuned.predictions()
    names = {fold.name for fold in search.folds}
    metric = interfaces.metrics.build(found.plan.experiment.tuning.metric, {})
    seconds = [trial.seconds for trial in each.trials if trial.seconds is not None]
    states = [trial.state for trial in each.trials]
    return Search(
        search=search.name,
        folds=len(search.folds),
        clips=len(search.rows),
        subjects=int(table.iloc[search.rows]["subject"].nunique()),
        tested_clips=len(search.tested),
        tested_subjects=int(table.iloc[search.tested]["subject"].nunique()),
        inner=[len(fold.test) for fold in search.inner],
        failed=states.count("failed"),
        stopped=states.count("stopped"),
        running=states.count("running"),
        finished=each.finished,
        seconds=float(np.sum(seconds)),
        best=each.best.number,
        values=dict(each.best.values),
        inner_score=each.best.score,
        untuned_inner_score=each.own.score if each.own else None,
        tuned=score(metric, each.result.predictions()),
        untuned=score(metric, untuned[untuned["fold"].isin(names)]),
        key=each.result.key,
    )


def _trials(each: Found) -> Iterator[Trial]:
    for trial in each.trials:
        yield Trial(
            search=each.search.name,
            trial=trial.number,
            values=dict(trial.values),
            score=trial.score,
            state=trial.state,
            seconds=trial.seconds,
            problem=trial.problem,
            same_as=trial.same_as,
            best=trial == each.best,
            untuned=each.own is not None and trial.number == each.own.number,
        )


def _importance(importance: Mapping[str, float] | str) -> Importance:
    """Return the shares, or the reason why there are none."""
    if isinstance(importance, str):
        return Importance(shares=None, problem=importance)
    return Importance(shares=dict(importance), problem="")


def _scores(found: Tuned, predictions: pd.DataFrame) -> tuple[TunedScores, set[str]]:
    """Return scores with their intervals, where these are defined, and the methods of the intervals."""
    experiment, k = found.plan.experiment, len(found.plan.data.labels.classes)
    names = dict.fromkeys((experiment.tuning.metric, *MAIN))
    intervals: dict[str, BootstrapInterval] = {}
    for name in names:
        with suppress(ConfigError):
            intervals[name] = interval(predictions, k, experiment.bootstrap, experiment.seed, name)
    y_true, y_pred = (predictions[name].to_numpy(int) for name in ("y_true", "y_pred"))
    scores = TunedScores(
        scores={name: score(interfaces.metrics.build(name, {}), predictions) for name in names},
        bounds={name: (one.low, one.high) for name, one in intervals.items()},
        confusion=confusion_matrix(y_true, y_pred, k).tolist(),
        n_test=len(predictions),
        n_subjects=int(predictions["subject"].nunique()),
    )
    return scores, {one.method for one in intervals.values()}


def _caveats(found: Tuned) -> Iterator[Caveat]:
    """Yield the caveats of the experiment, then those of the tuning."""
    study = Study(name=found.plan.experiment.name, title="", experiment=found.plan.experiment)
    cell = Cell(found.plan, found.untuned)
    yield from caveats(StudyResult(study, (cell,), (), None, (), {}, ()))
    if found.shares_subjects:
        yield Caveat.of(
            "shared_search",
            "warning",
            "Each search used other clips of the subjects that it is tested on.",
            "The protocol does not separate subjects. The inner folds of a search do, but its results still say "
            "nothing about new subjects.",
        )
    if any(each.finished < found.trials for each in found.found):
        least = min(each.finished for each in found.found)
        yield Caveat.of(
            "failed_trials",
            "warning",
            f"Some trials failed: a search has as few as {least} of {found.trials} trials with a score.",
        )
