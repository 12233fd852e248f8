"""Findings about single experiments; what several have in common is reported once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from microexpr.audit.checks._copies import copies
from microexpr.audit.checks._finding import LEVEL, Finding
from microexpr.audit.checks._stored import Stored
from microexpr.config.scores import confusion_metric
from microexpr.core import interfaces
from microexpr.core.confusion import present
from microexpr.core.randomness import rng_for
from microexpr.evaluation.statistics.permutation import (
    PermutationNull,
    PermutationPower,
    permutation_null,
    permutation_power,
)
from microexpr.runs.store import FoldResult

FEW = 5
"""Number of test clips below which one clip changes a class's F1 by 0.1 or more."""
PERMUTATIONS = 1999
POWER = 0.5
"""Minimum power of a permutation test for a model that recognises half of the clips."""


def of_each(stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield the findings of every experiment; what several have in common is reported once."""
    judged = [each for each in stored if each.makes_claim]
    nulls = [_null(each) for each in judged]
    found: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for each in stored:
        for finding in _one(each):
            found.setdefault((finding.code, finding.level, finding.sentence, finding.fix), []).append(
                (each.name, finding.evidence)
            )
    for (code, level, sentence, fix), where in found.items():
        listed = "; ".join(f"{name}: {evidence}" for name, evidence in where[:3])
        more = f"; and {len(where) - 3} more experiments" if len(where) > 3 else ""
        yield Finding(code, "note" if level == "note" else "warning", sentence, f"{listed}{more}.", fix)
    yield from _undistinguished(judged, nulls)


def _one(each: Stored) -> Iterator[Finding]:
    yield from _unfinished(each)
    yield from _leaks(each)
    if not each.makes_claim:
        return
    yield from copies(each.result)
    yield from _few(each)
    if each.uses_annotations:
        yield Finding(
            "ME010",
            "note",
            "Frames were selected by the annotated apex (and onset, offset), in test clips as well.",
            f"sampling {each.experiment.sampling.label}, modality {each.experiment.modality or 'default'}",
            "report that the scores are for annotated clips and do not apply to video without annotations",
        )


def _unfinished(each: Stored) -> Iterator[Finding]:
    if each.planned is None:
        yield Finding(
            "ME014",
            "note",
            "The list of folds was not stored, so some may be missing.",
            "no folds.json with the results",
            "run the same command again, which writes the list and trains the missing folds",
        )
    elif each.unfinished:
        done, whole = len(each.folds), len(each.planned.folds)
        yield Finding(
            "ME014",
            "warning",
            "Some folds have no result, so the scores are over some of the clips only.",
            f"{done} of {whole} folds have a result",
            "run the same command again, which trains only the missing folds",
        )
    if each.untested and each.planned is not None:
        known = len(each.planned.known)
        user_made = each.experiment.protocol.name == "from_file"
        yield Finding(
            "ME015",
            "warning" if user_made else "note",
            "Not every clip is tested.",
            f"{known - len(each.untested)} of {known} clips, under {each.experiment.protocol.name}",
            "report who selected the test clips, and how" if user_made else "report the number of test clips",
        )


def _leaks(each: Stored) -> Iterator[Finding]:
    shared = {subject for fold in each.folds for subject in _both(each.subjects, fold)}
    if shared:
        yield Finding(
            "ME001",
            "warning",
            "The same subjects are in training and test.",
            f"{len(shared)} subjects, for instance {min(shared)}",
            "use a protocol that splits by subject (loso, subject_kfold), or make no claim about new subjects",
        )
    chosen = {clip for fold in each.folds for clip in _both(each.clips, fold)}
    if chosen:
        yield Finding(
            "ME002",
            "warning",
            "Test clips were used for training or for model selection.",
            f"{len(chosen)} clips, for instance {min(chosen)}",
            "take the validation clips from the training subjects; a score on clips that selected the model is not a "
            "test score",
        )


def _both(of: Any, fold: FoldResult) -> set[str]:
    found: set[str] = of(fold, "test") & of(fold, "train", "val")
    return found


def _few(each: Stored) -> Iterator[Finding]:
    predictions, classes = each.predictions(), each.metadata["classes"]
    counts = np.bincount(predictions["y_true"].to_numpy(int), minlength=len(classes))
    few = [f"{name} {count}" for name, count in zip(classes, counts, strict=True) if 0 < count < FEW]
    if few:
        more = "test every subject once (loso), " if each.untested else ""
        yield Finding(
            "ME004",
            "warning",
            f"A class has fewer than {FEW} test clips, so a single clip changes its F1 considerably.",
            f"{', '.join(few)} of {len(predictions)}",
            f"merge small classes with another label set, {more}or report the counts with the score",
        )


def _undistinguished(judged: Sequence[Stored], nulls: Sequence[PermutationNull]) -> Iterator[Finding]:
    """Yield one finding for all experiments whose score permuted labels reach in more than 5 % of permutations.

    A test that does not reject proves nothing, so this is a note. Several experiments are counted and not corrected:
    Holm's correction protects claims, and would make every cell of a large study look like one without recognition.
    """
    missed = [(each, null) for each, null in zip(judged, nulls, strict=True) if null.p_value > LEVEL]
    if not missed:
        return
    sets = {_test_set(each): each for each, _ in missed}
    powers = {key: _power(each) for key, each in sets.items()}
    weak = [each for each, _ in missed if powers[_test_set(each)].power < POWER]
    many, parts = len(judged), list[str]()
    if many > 1:
        below = many - len(missed)
        parts.append(f"{below} of {many} cells below {100 * LEVEL:g} %, {many * LEVEL:g} expected by chance")
    named = [
        f"{each.name}: p = {null.p_value:.3f}, 95 of 100 permutations score below {null.level:.3f}"
        for each, null in missed
    ]
    parts += [*named[:3], *([f"and {len(missed) - 3} more cells"] if len(missed) > 3 else [])]
    parts += [
        f"{each.mixed} of {each.subjects} subjects have clips of two classes or more, and the test would detect a "
        f"model that recognises half of the clips in {100 * each.power:.0f} % of such test sets"
        for each in dict.fromkeys(powers.values())
    ][:3]
    sentence = f"{'Some scores are' if many > 1 else 'The score is'} not distinguishable from permuted labels."
    fix = "report p; it is evidence neither of recognition nor of its absence"
    if weak:
        where = "" if len(weak) == len(missed) else f", in {len(weak)} cells"
        mixed = all(2 * power.mixed >= power.subjects for power in powers.values())
        why = "The test set is too small" if mixed else "Too few subjects have clips of two classes"
        sentence += f" {why} for this test to have power{where}."
        fix = f"test every subject once (loso), or {fix}" if all(each.untested for each in weak) else fix
    yield Finding("ME005", "note", sentence, f"Labels permuted within subjects: {'; '.join(parts)}.", fix)


def _test_set(each: Stored) -> frozenset[tuple[str, int]]:
    predictions = each.predictions()
    return frozenset(zip(predictions["clip"], predictions["y_true"], strict=True))


def _power(each: Stored) -> PermutationPower:
    predictions, num_classes = each.predictions().sort_values("clip"), len(each.metadata["classes"])
    y_true, metric = predictions["y_true"].to_numpy(int), confusion_metric("macro_f1")
    rng, subjects = rng_for(each.experiment.seed, "check/power"), predictions["subject"].to_numpy()
    return permutation_power(
        metric,
        y_true,
        subjects,
        num_classes=num_classes,
        averaged_classes=present(y_true, num_classes),
        rng=rng,
        level=LEVEL,
    )


def _null(each: Stored) -> PermutationNull:
    predictions, num_classes = each.predictions(), len(each.metadata["classes"])
    y_true = predictions["y_true"].to_numpy(int)
    return permutation_null(
        interfaces.metrics.build("macro_f1", {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        num_classes=num_classes,
        averaged_classes=present(y_true, num_classes),
        rng=rng_for(each.experiment.seed, "check"),
        n=PERMUTATIONS,
        subjects=predictions["subject"].to_numpy(),
    )
