"""Train and test one fold of an experiment, and the results of all its folds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from microexpr.config.experiment import Experiment
from microexpr.config.scores import all_metrics
from microexpr.core import interfaces
from microexpr.core.environment import environment
from microexpr.core.errors import ConfigError, StoreError
from microexpr.core.interfaces import Fold
from microexpr.core.labels import LabelSet
from microexpr.core.lineage import Lineage, TrainedOn
from microexpr.core.multitask import CODED, PREDICTED
from microexpr.core.parallel import limited_threads
from microexpr.core.progress import Progress
from microexpr.core.randomness import rng_for
from microexpr.data.cache import Views
from microexpr.evaluation.predictions import fitted, one_view_each, score, score_arrays, voted
from microexpr.evaluation.statistics.scope import Trained
from microexpr.learning import learners
from microexpr.learning.learners import Fitted, Learner
from microexpr.learning.pipeline import Pipeline
from microexpr.runs.card import card
from microexpr.runs.plan import Plan
from microexpr.runs.store import FoldResult, views_of_part

REPEATS = 3
"""Timed predictions in each fold at most, after one warm-up."""
TIMING = 0.02
"""Seconds, with the warm-up, after which a fold is timed no further: a slow model of many folds has enough times."""


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
        together = views_of_part(self.folds, part)
        if one_view_each(together["clip"], vote):
            pooled = voted(together, vote, num_classes)  # one table is faster than many
            pooled.insert(2, "fold", together["fold"].to_numpy())
            return pooled
        parts = []
        for fold in self.folds:
            # A learnt vote is fitted on validation, so validation predictions must not be evaluated with it.
            own_vote = fitted(vote, fold.views) if part == "test" else vote
            table = voted(fold.views[fold.views["part"] == part], own_vote, num_classes)
            table.insert(2, "fold", fold.name)
            parts.append(table)
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
        built, rows = all_metrics(), []
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


def run_fold(plan: Plan, fold: Fold, views: Views, progress: Progress, weights: Path | None = None) -> FoldResult:
    """Train on the fold's training clips and predict every view of the fold; store the model if `weights` is given."""
    start = time.perf_counter()
    pipeline, trained = fit_rows(plan, views, fold.train, fold.val, fold.name, progress)
    seconds = time.perf_counter() - start + views.seconds * len(views.of(fold.train))
    val = fold.val if fold.val is not None else np.array([], int)
    parts = [
        predicted(plan, pipeline, views, rows, fold.name, part)
        for part, rows in (("train", fold.train), ("val", val), ("test", fold.test))
        if len(rows)
    ]
    table = pd.concat(parts, ignore_index=True)
    metadata = {
        "loss": trained.loss,
        "epoch": trained.epoch,
        "loss_scores": dict(trained.loss_scores),
        "seconds": seconds,
        **_milliseconds(pipeline.learner, views, fold.test[:1]),
        "parameters": pipeline.learner.parameters,
        **({"batch_parts": trained.parts} if trained.parts > 1 else {}),
        "device": str(learners.device()),
        "environment": environment(),
        "repeat": fold.repeat,
        "note": fold.note,
    }
    if known := start_knows(plan, fold, views):
        metadata["start"] = known
    if weights is not None:
        kept = replace(pipeline.fit_vote(table), lineage=lineage(plan, fold, views))
        kept.save(weights, {**card(plan, fold), "fold": fold.name})
    return FoldResult(fold.name, table, trained.history, metadata)


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
    pipeline, _ = fit_rows(plan, views, fold.train, fold.val, fold.name, progress)
    part, rows = ("train", fold.train) if fold.val is None or not len(fold.val) else ("val", fold.val)
    if isinstance(plan.experiment.vote.build(interfaces.votes), interfaces.TrainableVote):
        pipeline = pipeline.fit_vote(predicted(plan, pipeline, views, rows, fold.name, part))
    return pipeline.vote_on(predicted(plan, pipeline, views, fold.test, fold.name, "test"))


def _milliseconds(learner: Learner, views: Views, rows: Int[np.ndarray, "n"]) -> dict[str, Any]:
    """Return how long representation and prediction of one clip take, from its frames, and on how many threads.

    The median of at most `REPEATS` runs, as many as `TIMING` allows, but at least one, after a warm-up.
    """
    fresh, before = replace(views, computed=None, features=None), cv2.getNumThreads()
    spent: list[float] = []
    began = time.perf_counter()
    cv2.setNumThreads(learner.threads)
    try:
        with limited_threads(learner.threads):
            learner.predict(fresh, fresh.of(rows))
            while not spent or (len(spent) < REPEATS and time.perf_counter() - began < TIMING):
                start = time.perf_counter()
                learner.predict(fresh, fresh.of(rows))
                spent.append(time.perf_counter() - start)
    finally:
        cv2.setNumThreads(before)
    return {"ms_a_clip": 1000 * float(np.median(spent)), "ms_threads": learner.threads}


def fit_rows(
    plan: Plan,
    views: Views,
    train: Int[np.ndarray, "n"],
    val: Int[np.ndarray, "m"] | None,
    role: str,
    progress: Progress,
) -> tuple[Pipeline, Fitted]:
    """Train on these rows of the clip table; `role` names the stream of random numbers."""
    experiment, num_classes = plan.experiment, len(plan.data.labels.classes)
    vote, metric = experiment.vote.build(interfaces.votes), experiment.selecting_metric
    y, keys = plan.y, plan.table["key"].to_numpy()

    def choose(proba: Float[np.ndarray, "n k"], indices: Int[np.ndarray, "n"]) -> float:
        rows = views.clip_rows[indices]
        if one_view_each(rows, vote):
            return score_arrays(metric, y[rows], proba.argmax(1), proba)  # every epoch; tables take milliseconds
        named = {f"p_{number}": proba[:, number] for number in range(num_classes)}
        frames = [list(views.numbers[int(index)]) for index in indices]
        table = {"clip": keys[rows], "subject": keys[rows], "y_true": y[rows], "frames": frames, **named}
        return score(metric, voted(pd.DataFrame(table), vote, num_classes))

    task = learners.Task(
        views=views,
        y=y[views.clip_rows],
        num_classes=num_classes,
        train=views.of(train),
        val=views.of(val if val is not None else np.array([], int)),
        score=choose,
        subjects=pd.factorize(plan.table["subject"].to_numpy(), sort=True)[0][views.clip_rows],
        targets={name: target.of(views.clip_rows) for name, target in plan.targets.items()},
    )
    seed = int(rng_for(experiment.seed, f"training/{role}").integers(2**31))
    learner = plan.learner(seed)
    trained = learner.fit(
        task,
        {item.label: item.build(interfaces.losses) for item in experiment.loss},
        seed,
        [item.build(interfaces.augmentations) for item in experiment.augmentation],
        progress,
    )
    return plan.pipeline(learner), trained


def predicted(
    plan: Plan, pipeline: Pipeline, views: Views, rows: Int[np.ndarray, "n"], fold: str, part: str
) -> pd.DataFrame:
    """Return the table of views that is stored, for these rows of the clip table."""
    indices = views.of(rows)
    table, clip_rows = pipeline.predict_views(views, indices), views.clip_rows[indices]
    table.insert(0, "experiment", plan.key)
    table.insert(1, "fold", fold)
    table.insert(2, "seed", plan.experiment.seed)
    table.insert(3, "part", part)
    table.insert(6, "y_true", plan.y[clip_rows])
    table.insert(8, "hashes", [list(views.hashes[index]) for index in indices])
    for name, target in plan.targets.items():
        for column, unit in enumerate(target.names):
            place = list(table.columns).index(f"{PREDICTED}:{name}:{unit}")
            table.insert(place, f"{CODED}:{name}:{unit}", target.values[clip_rows, column])
    return table
