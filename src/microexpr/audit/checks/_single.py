"""What is to object to in one experiment, told of all that share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from microexpr.audit.checks._copies import copies
from microexpr.audit.checks._finding import LEVEL, Finding
from microexpr.audit.checks._stored import Stored
from microexpr.core import interfaces as contracts
from microexpr.core.confusion import present
from microexpr.core.randomness import rng_for
from microexpr.evaluation.predictions import confusion_metric
from microexpr.evaluation.statistics.permutation import (
    PermutationNull,
    PermutationPower,
    permutation_null,
    permutation_power,
)
from microexpr.runs.store import FoldResult

FEW = 5
"""Test clips below which one clip moves a class's F1 by a tenth and more."""
PERMUTATIONS = 1999
POWER = 0.5
"""Below this share of models found that recognise half of the clips, a permutation test has too little power."""


def of_each(stored: Sequence[Stored]) -> Iterator[Finding]:
    """Yield the findings of every experiment; what several share is said once."""
    judged = [each for each in stored if each.looks]
    nulls = [_null(each) for each in judged]
    told: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for each in stored:
        for finding in _one(each):
            told.setdefault((finding.code, finding.level, finding.sentence, finding.fix), []).append(
                (each.name, finding.evidence)
            )
    for (code, level, sentence, fix), where in told.items():
        evidence = "; ".join(f"{name}: {shown}" for name, shown in where[:3])
        more = f"; and {len(where) - 3} more experiments" if len(where) > 3 else ""
        yield Finding(code, "note" if level == "note" else "warning", sentence, f"{evidence}{more}.", fix)
    yield from _undistinguished(judged, nulls)


def _one(each: Stored) -> Iterator[Finding]:
    yield from _unfinished(each)
    yield from _leaks(each)
    if not each.looks:
        return
    yield from copies(each.result)
    yield from _few(each)
    if each.uses_annotations:
        yield Finding(
            "ME010",
            "note",
            "Frames were chosen by the apex (and onset, offset) that coders marked, in test clips too.",
            f"sampling {each.experiment.sampling.label}, modality {each.experiment.modality or 'the usual one'}",
            "say that scores hold for clips cut and marked by coders; nothing is said of unlabelled video",
        )


def _unfinished(each: Stored) -> Iterator[Finding]:
    if each.division is None:
        yield Finding(
            "ME014",
            "note",
            "Which folds there should be is not known, so that some may be missing.",
            "no folds.json beside the results",
            "run the same command again: it writes the folds and trains what is missing",
        )
    elif each.unfinished:
        done, whole = len(each.folds), len(each.division.folds)
        yield Finding(
            "ME014",
            "warning",
            "Some folds have no result: scores are of the clips that happen to be done.",
            f"{done} of {whole} folds are there",
            "run the same command again, which trains only what is missing",
        )
    if each.untested and each.division is not None:
        known = len(each.division.known)
        handmade = each.experiment.protocol.name == "from_file"
        yield Finding(
            "ME015",
            "warning" if handmade else "note",
            "Not every clip is tested.",
            f"{known - len(each.untested)} of {known} clips, under {each.experiment.protocol.name}",
            "say who chose the clips that are tested, and how" if handmade else "print the number of test clips",
        )


def _leaks(each: Stored) -> Iterator[Finding]:
    shared = {subject for fold in each.folds for subject in _both(each.subjects, fold)}
    if shared:
        yield Finding(
            "ME001",
            "warning",
            "Subjects stand in training and test.",
            f"{len(shared)} subjects, for instance {min(shared)}",
            "take a protocol that divides subjects (loso, subject_kfold), or claim nothing about new people",
        )
    chosen = {clip for fold in each.folds for clip in _both(each.clips, fold)}
    if chosen:
        yield Finding(
            "ME002",
            "warning",
            "Test clips were trained on, or chose the model.",
            f"{len(chosen)} clips, for instance {min(chosen)}",
            "cut validation from the training subjects; a score that chose its own model is no score",
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
            f"A class has fewer than {FEW} test clips, so that one clip decides its F1.",
            f"{', '.join(few)} of {len(predictions)}",
            f"join small classes by another label set, {more}or print counts with the score",
        )


def _undistinguished(judged: Sequence[Stored], nulls: Sequence[PermutationNull]) -> Iterator[Finding]:
    """Yield one finding for all experiments whose scores permuted labels reach in more than 5 % of permutations.

    Not to reject proves nothing, so it is a note. Several experiments are counted and not corrected: Holm's correction
    protects claims, and would turn every cell of a large study into one that shows nothing.
    """
    missed = [(each, null) for each, null in zip(judged, nulls, strict=True) if null.p_value > LEVEL]
    if not missed:
        return
    sets = {_test_set(each): each for each, _ in missed}
    powers = {key: _power(each) for key, each in sets.items()}
    weak = [each for each, _ in missed if powers[_test_set(each)].power < POWER]
    many, said = len(judged), list[str]()
    if many > 1:
        below = many - len(missed)
        said.append(f"{below} of {many} cells below {100 * LEVEL:g} %, {many * LEVEL:g} expected by chance")
    named = [f"{each.name}: p = {null.p_value:.3f}, 95 of 100 stay under {null.level:.3f}" for each, null in missed]
    said += [*named[:3], *([f"and {len(missed) - 3} more cells"] if len(missed) > 3 else [])]
    said += [
        f"{each.mixed} of {each.subjects} subjects have clips of two classes or more, and the test would find a model "
        f"that recognises half of the clips in {100 * each.power:.0f} % of such test sets"
        for each in dict.fromkeys(powers.values())
    ][:3]
    sentence = f"{'Some scores are' if many > 1 else 'The score is'} not distinguishable from permuted labels."
    fix = "report p as it is: it shows neither recognition nor its absence"
    if weak:
        where = "" if len(weak) == len(missed) else f", in {len(weak)} cells"
        mixed = all(2 * power.mixed >= power.subjects for power in powers.values())
        why = "The test set is too small" if mixed else "Too few subjects have clips of two classes"
        sentence += f" {why} for this test to have power{where}."
        fix = f"test every subject once (loso), or {fix}" if all(each.untested for each in weak) else fix
    yield Finding("ME005", "note", sentence, f"Labels permuted within subjects: {'; '.join(said)}.", fix)


def _test_set(each: Stored) -> frozenset[tuple[str, int]]:
    predictions = each.predictions()
    return frozenset(zip(predictions["clip"], predictions["y_true"], strict=True))


def _power(each: Stored) -> PermutationPower:
    predictions, k = each.predictions().sort_values("clip"), len(each.metadata["classes"])
    y_true, metric = predictions["y_true"].to_numpy(int), confusion_metric("macro_f1")
    rng, subjects = rng_for(each.experiment.seed, "check/power"), predictions["subject"].to_numpy()
    return permutation_power(metric, y_true, subjects, k=k, over=present(y_true, k), rng=rng, level=LEVEL)


def _null(each: Stored) -> PermutationNull:
    predictions, k = each.predictions(), len(each.metadata["classes"])
    y_true = predictions["y_true"].to_numpy(int)
    return permutation_null(
        contracts.metrics.build("macro_f1", {}),
        y_true,
        predictions["y_pred"].to_numpy(int),
        k=k,
        over=present(y_true, k),
        rng=rng_for(each.experiment.seed, "check"),
        n=PERMUTATIONS,
        subjects=predictions["subject"].to_numpy(),
    )
