"""Run one experiment fold by fold; folds that are stored already are not run again."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from joblib import delayed
from threadpoolctl import threadpool_limits

from microexpr.config.experiment import Experiment
from microexpr.core import interfaces
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError, StoreError
from microexpr.core.files import digest
from microexpr.core.folds import stored
from microexpr.core.interfaces import Fold, FrozenBackbone, ViewSpec
from microexpr.core.labels import LabelSet
from microexpr.core.lineage import Lineage, TrainedOn
from microexpr.core.multitask import output_columns
from microexpr.core.parallel import in_processes
from microexpr.core.progress import Progress, Silent, track
from microexpr.core.randomness import rng_for
from microexpr.data.cache import Views
from microexpr.evaluation.predictions import fitted, score, voted
from microexpr.evaluation.statistics.scope import Trained
from microexpr.learning import learners
from microexpr.learning.checkpoint import save_model
from microexpr.runs.plan import Plan, Workspace
from microexpr.runs.store import FoldResult, Results

REPEATS = 5
"""Timed predictions in each fold, after one warm-up."""


@dataclass(frozen=True)
class Result:
    """The result of an experiment: its folds, as stored."""

    experiment: Experiment
    key: str
    labels: LabelSet
    folds: tuple[FoldResult, ...]

    def history(self) -> pd.DataFrame:
        """Return every epoch of every training, with its fold."""
        return pd.concat([fold.history.assign(fold=fold.name) for fold in self.folds], ignore_index=True)

    @property
    def repeats(self) -> tuple[int, ...]:
        """The repeats (divisions of the clips into folds) that were run; each tests every test clip once."""
        return tuple(sorted({fold.repeat for fold in self.folds}))

    def of_repeat(self, repeat: int) -> Result:
        """Return the folds of one repeat only; raises ConfigError if there is no such repeat."""
        if repeat not in self.repeats:
            raise ConfigError(
                "E132", f"there is no repeat {repeat}: this result has {', '.join(map(str, self.repeats))}."
            )
        if len(self.repeats) == 1:
            return self
        return replace(self, folds=tuple(fold for fold in self.folds if fold.repeat == repeat))

    def predictions(self, part: str = "test") -> pd.DataFrame:
        """Return one row per clip, after voting: clip, subject, fold, y_true, y_pred, p_0 .. p_(k-1).

        Several repeats are refused (ConfigError): if they were pooled, a clip would count once in each. Training clips
        appear once per fold that trained on them.
        """
        if len(self.repeats) > 1:
            raise ConfigError(
                "E132",
                f"this result has {len(self.repeats)} repeats; pooled, every clip would count {len(self.repeats)} "
                "times. Select one with of_repeat(1); scores() averages over all of them.",
            )
        if part not in self._voted:
            self._voted[part] = self._vote(part)
        return self._voted[part].copy()

    @cached_property
    def _voted(self) -> dict[str, pd.DataFrame]:
        """Predictions by part, cached: reports use them many times, and voting is slow."""
        return {}

    def _vote(self, part: str) -> pd.DataFrame:
        vote, num_classes = self.experiment.vote.build(interfaces.votes), len(self.labels.classes)
        # A learnt vote is fitted on validation, so validation predictions must not be evaluated with it.
        votes = [fitted(vote, fold.views) if part == "test" else vote for fold in self.folds]
        views = [fold.views[fold.views["part"] == part] for fold in self.folds]
        parts = [voted(own_views, own_vote, num_classes) for own_views, own_vote in zip(views, votes, strict=True)]
        for fold, table in zip(self.folds, parts, strict=True):
            table.insert(2, "fold", fold.name)
        pooled = pd.concat(parts, ignore_index=True)
        if part == "test" and (twice := pooled.loc[pooled["clip"].duplicated(), "clip"].tolist()):
            raise StoreError(
                "E609",
                f"the results of experiment {self.key} test {len(twice)} clips in two folds of one repeat, for example "
                f"{twice[0]!r}; remove its folder in results and run it again.",
            )
        return pooled

    def scores(self) -> dict[str, float]:
        """Return every registered metric on the pooled test clips, averaged over repeats if there are several."""
        return {str(name): float(column.mean()) for name, column in self.scores_by_repeat().items()}

    def scores_by_repeat(self) -> pd.DataFrame:
        """Return every registered metric on the pooled test clips of each repeat: one row per repeat."""
        built = {name: interfaces.metrics.build(name, {}) for name in interfaces.metrics.names()}
        rows = []
        for repeat in self.repeats:
            predictions = self.of_repeat(repeat).predictions()
            rows.append({name: score(metric, predictions) for name, metric in built.items()})
        return pd.DataFrame(rows, index=pd.Index(self.repeats, name="repeat"))


def trained(results: Sequence[Result], seeds: int = 1) -> Trained:
    """Return how the two sides of a comparison of these results were trained; the first repeat of each counts."""
    models = [result.experiment.model.build(interfaces.models) for result in results]
    return Trained(
        min(len(result.of_repeat(result.repeats[0]).folds) for result in results),
        seeds,
        all(model.trains_in_epochs for model in models),
    )


def untrained(experiment: Experiment, view: ViewSpec, num_classes: int, aux: Mapping[str, int]) -> Any:
    """Return the model of an experiment with random weights, into which stored weights can be loaded."""
    part = experiment.model
    params = interfaces.models.bind(part.name, part.params)
    if "weights" in params:
        params["weights"] = "random"
    factory = interfaces.models.get(part.name)(**params)
    return learners.assemble(lambda: factory(view, num_classes, aux), experiment.training)


def run(plan: Plan, workspace: Workspace, only: Collection[str] | None = None, keep: Collection[str] = ()) -> Result:
    """Train the missing folds and return all of them, or only those named in `only`.

    The weights of the folds in `keep` are stored whatever the options say.
    """
    options, data = workspace.options, plan.data
    results = Results(options.out / "results", plan.key)
    results.begin(_metadata(plan), fixed=("fingerprint", "classes", "clips"))
    folds = plan.folds()
    results.keep_folds(stored(folds, plan.table, plan.experiment.canonical()["protocol"], plan.experiment.seed))
    folds = [fold for fold in folds if only is None or fold.name in only]
    with_weights = {fold.name for fold in folds if options.keep_weights or fold.name in keep}
    others = [fold.name for fold in folds if fold.name not in with_weights]
    missing = {*results.missing(others), *results.missing(sorted(with_weights), weights=True)}
    todo = [fold for fold in folds if fold.name in missing]
    workspace.done.stored |= {(plan.key, fold.name) for fold in folds if fold.name not in missing}
    if todo:
        finished = _trained(plan, todo, results, workspace, with_weights)
        for fold in track(finished, len(todo), "folds", workspace.progress):
            results.write(fold)
            workspace.done.trained.add((plan.key, fold.name))
    return Result(plan.experiment, plan.key, data.labels, tuple(results.read(fold.name) for fold in folds))


def _trained(
    plan: Plan, folds: Sequence[Fold], results: Results, workspace: Workspace, keep: Collection[str]
) -> Iterator[FoldResult]:
    """Yield each fold when it is done, training several in parallel if the options say so."""
    options, views = workspace.options, embedded(plan)
    files = [results.weights(fold.name) if fold.name in keep else None for fold in folds]
    if options.jobs == 1 or len(folds) == 1:
        for fold, weights in zip(folds, files, strict=True):
            yield run_fold(plan, fold, views, workspace.progress, weights)
        return
    threads = max(1, torch.get_num_threads() // options.jobs)
    mode = f"{options.jobs} folds at once"
    tasks = (
        delayed(_run_in_process)(plan, fold, views, weights, threads, mode)
        for fold, weights in zip(folds, files, strict=True)
    )
    yield from in_processes(tasks, options.jobs, ordered=False)


def embedded(plan: Plan) -> Views:
    """Return the views, and for a model with a frozen backbone also their features, computed once for all folds."""
    views = plan.views()
    if plan.model.trains_in_epochs:
        return views
    model = plan.model(views.spec, len(plan.data.labels.classes), {})
    if not isinstance(model, FrozenBackbone):
        return views
    start = time.perf_counter()
    features = learners.embed(model, views, np.arange(len(views)), plan.experiment.training)
    return replace(views, features=features, seconds=(time.perf_counter() - start) / len(views))


def _run_in_process(plan: Plan, fold: Fold, views: Views, weights: Path | None, threads: int, mode: str) -> FoldResult:
    """Run a fold in a separate process, with its share of the threads."""
    torch.set_num_threads(threads)
    done = run_fold(plan, fold, views, Silent(), weights)
    return replace(done, metadata={**done.metadata, "mode": mode})


def _metadata(plan: Plan) -> dict[str, Any]:
    return {
        "experiment": plan.experiment.to_dict(),
        "canonical": plan.experiment.canonical(),
        "weights": dict(plan.weights),
        "fingerprint": plan.data.cache.fingerprint,
        "data": dict(plan.data.dataset.metadata()),
        "classes": list(plan.data.labels.classes),
        "clips": digest([clip.key for clip in plan.data.clips]),
        "label_warnings": [kept._asdict() for kept in plan.data.label_warnings],
        "environment": environment(),
    }


def run_fold(plan: Plan, fold: Fold, views: Views, progress: Progress, weights: Path | None = None) -> FoldResult:
    """Train on the fold's training clips and predict every view of the fold."""
    start = time.perf_counter()
    trained = fit_rows(plan, views, fold.train, fold.val, fold.name, progress)
    seconds = time.perf_counter() - start + views.seconds * len(views.of(fold.train))
    val = fold.val if fold.val is not None else np.array([], int)
    parts = [
        _predicted(plan, trained.model, views, rows, fold.name, part)
        for part, rows in (("train", fold.train), ("val", val), ("test", fold.test))
        if len(rows)
    ]
    metadata = {
        "loss": trained.loss,
        "epoch": trained.epoch,
        "loss_scores": dict(trained.loss_scores),
        "seconds": seconds,
        **_milliseconds(plan, trained.model, views, fold.test[:1]),
        "parameters": learners.parameters(trained.model),
        "device": str(learners.device()),
        "environment": environment(),
        "mode": "fold by fold",
        "repeat": fold.repeat,
        "note": fold.note,
    }
    if known := start_knows(plan, fold, views):
        metadata["start"] = known
    if weights is not None:
        save_model(trained.model, weights, {"key": plan.key, "fold": fold.name}, lineage(plan, fold, views))
    return FoldResult(fold.name, pd.concat(parts, ignore_index=True), trained.history, metadata)


def lineage(plan: Plan, fold: Fold, views: Views) -> Lineage:
    """Return what a fold's model was trained on: training and validation clips, and what its starting weights knew."""
    rows = fold.train if fold.val is None else np.concatenate([fold.train, fold.val])
    images = (image for index in views.of(rows) for image in views.hashes[index])
    return plan.lineage.after(TrainedOn.of(plan.table["subject"].to_numpy()[rows], images))


def start_knows(plan: Plan, fold: Fold, views: Views | None = None) -> dict[str, Any]:
    """Return which of a fold's test clips and subjects the starting weights were trained on.

    Clips are compared by their frames, which only `views` have. `complete` is False if the weights file does not record
    everything. Empty for random and published weights.
    """
    before, table = plan.lineage, plan.table.iloc[fold.test]
    if before == Lineage():
        return {}
    tested = [] if views is None else [(views.clip_rows[index], views.hashes[index]) for index in views.of(fold.test)]
    keys = plan.table["key"].to_numpy()
    return {
        "clips": sorted({str(keys[row]) for row, images in tested if before.has_any(images)}),
        "subjects": sorted(subject for subject in set(table["subject"]) if before.knows(subject)),
        "complete": before.complete,
    }


def tested(plan: Plan, fold: Fold, views: Views, progress: Progress) -> pd.DataFrame:
    """Train on the fold's training clips and return predictions of its test clips, voted; nothing is stored."""
    model = fit_rows(plan, views, fold.train, fold.val, fold.name, progress).model
    vote, others = plan.experiment.vote.build(interfaces.votes), []
    if isinstance(vote, interfaces.TrainableVote):
        part, rows = ("train", fold.train) if fold.val is None or not len(fold.val) else ("val", fold.val)
        others = [_predicted(plan, model, views, rows, fold.name, part)]
    test = _predicted(plan, model, views, fold.test, fold.name, "test")
    return voted(test, fitted(vote, pd.concat([*others, test])), len(plan.data.labels.classes))


def _milliseconds(plan: Plan, model: Any, views: Views, rows: Int[np.ndarray, "n"]) -> dict[str, Any]:
    """Return how long representation and prediction of one clip take, from its frames, and on how many threads.

    The median of several runs after a warm-up. Estimators use one thread: one clip is too little work to share, and
    waking or waiting for a pool of threads can take a hundred times as long as the work itself.
    """
    fresh, spent, before = replace(views, computed=None, features=None), [], cv2.getNumThreads()
    threads = torch.get_num_threads() if isinstance(model, torch.nn.Module) else 1
    cv2.setNumThreads(threads)
    try:
        with threadpool_limits(threads):
            for _ in range(1 + REPEATS):
                start = time.perf_counter()
                learners.predict(model, fresh, fresh.of(rows), len(plan.data.labels.classes), plan.experiment.training)
                spent.append(time.perf_counter() - start)
    finally:
        cv2.setNumThreads(before)
    return {"ms_a_clip": 1000 * float(np.median(spent[1:])), "ms_threads": threads}


def fit_rows(
    plan: Plan,
    views: Views,
    train: Int[np.ndarray, "n"],
    val: Int[np.ndarray, "m"] | None,
    role: str,
    progress: Progress,
) -> learners.Fitted:
    """Train on these rows of the clip table; `role` names the stream of random numbers."""
    experiment, num_classes = plan.experiment, len(plan.data.labels.classes)
    vote = experiment.vote.build(interfaces.votes)
    y, keys = plan.y, plan.table["key"].to_numpy()

    def choose(proba: Float[np.ndarray, "n k"], indices: Int[np.ndarray, "n"]) -> float:
        return score(plan.metric, voted(_frame(views, indices, proba, y, keys, keys), vote, num_classes))

    task = learners.Task(
        views=views,
        y=y[views.clip_rows],
        num_classes=num_classes,
        train=views.of(train),
        val=views.of(val if val is not None else np.array([], int)),
        score=choose,
        subjects=pd.factorize(plan.table["subject"].to_numpy(), sort=True)[0][views.clip_rows],
        targets={name: target.of(views.clip_rows) for name, target in plan.targets().items()},
    )
    return learners.fit(
        lambda: plan.model(views.spec, num_classes, plan.aux),
        task,
        {item.label: item.build(interfaces.losses) for item in experiment.loss},
        experiment.training,
        int(rng_for(experiment.seed, f"training/{role}").integers(2**31)),
        [item.build(interfaces.augmentations) for item in experiment.augmentation],
        progress,
    )


def _predicted(plan: Plan, model: Any, views: Views, rows: Int[np.ndarray, "n"], fold: str, part: str) -> pd.DataFrame:
    indices = views.of(rows)
    num_classes = len(plan.data.labels.classes)
    proba, auxiliary = learners.predict_all(model, views, indices, num_classes, plan.experiment.training)
    table = plan.table
    frame = _frame(views, indices, proba, plan.y, table["key"].to_numpy(), table["subject"].to_numpy())
    frame.insert(0, "experiment", plan.key)
    frame.insert(1, "fold", fold)
    frame.insert(2, "seed", plan.experiment.seed)
    frame.insert(3, "part", part)
    frame.insert(8, "hashes", [list(views.hashes[index]) for index in indices])
    for name, target in plan.targets().items():
        frame = frame.assign(**output_columns(name, auxiliary[name], target.of(views.clip_rows[indices])))
    return frame


def _frame(
    views: Views, indices: np.ndarray, proba: np.ndarray, y: np.ndarray, keys: np.ndarray, subjects: np.ndarray
) -> pd.DataFrame:
    rows = views.clip_rows[indices]
    named = {f"p_{number}": proba[:, number] for number in range(proba.shape[1])}
    frames = [list(views.numbers[int(index)]) for index in indices]
    return pd.DataFrame({"clip": keys[rows], "subject": subjects[rows], "y_true": y[rows], "frames": frames, **named})
