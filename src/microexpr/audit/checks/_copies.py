"""Test clips whose frames a model was trained on under another name, by itself or through its starting weights.

Stored results are enough: hashes of frames are in the tables of views, and the metadata of a fold say which of its test
clips the starting weights were trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from microexpr.audit.checks._finding import Finding
from microexpr.core.words import many
from microexpr.runs.experiment import Result, start_knows
from microexpr.runs.plan import Plan
from microexpr.runs.store import FoldResult

EXAMPLES = 2
"""Number of pairs of clips that are named."""


def copies(result: Result) -> Iterator[Finding]:
    """Yield findings about frames of test clips that the model or its starting weights were trained on."""
    yield from _shared_frames(result)
    yield from _started_on_test(result)


def _shared_frames(result: Result) -> Iterator[Finding]:
    if any("hashes" not in fold.views for fold in result.folds):
        yield Finding(
            "ME016",
            "note",
            "It is not known whether frames of test clips are also in training.",
            "the results were stored without hashes of frames",
            "run the experiment again with a new output folder, which stores hashes",
        )
    images = _of_several(result)
    shared: dict[str, tuple[str, str, str, str]] = {}
    for fold in result.folds if images else ():
        for clip, pair in _pairs(fold, images).items():
            if clip not in shared or pair[1] != pair[3]:
                shared[clip] = pair
    if not shared:
        return
    tested = {clip for fold in result.folds for clip in fold.views.loc[fold.views["part"] == "test", "clip"]}
    between_subjects = [pair for pair in shared.values() if pair[1] != pair[3]]
    named = [
        f"{a} ({subject_a}) and {b} ({subject_b})" for a, subject_a, b, subject_b in between_subjects or shared.values()
    ]
    yield Finding(
        "ME016",
        "warning",
        "Frames of test clips are identical to frames of training or validation clips. Only exact copies are "
        "detected, not re-encoded or mirrored ones.",
        f"{len(shared)} of {len(tested)} test clips, {len(between_subjects)} of them with frames of another "
        f"subject, for instance {'; '.join(named[:EXAMPLES])}",
        "list each recording once, under its own subject, and run again; clips of one subject that share frames must "
        "be in the same part of the split",
    )


def _of_several(result: Result) -> set[str]:
    """Return the hashes of images that occur in more than one clip."""
    clips: dict[str, set[str]] = {}
    for fold in result.folds:
        for clip, _, hashes in _rows(fold.views):
            clips.setdefault(clip, set()).update(hashes)
    counted = Counter(image for images in clips.values() for image in images)
    return {image for image, count in counted.items() if count > 1} - {""}


def _pairs(fold: FoldResult, shared: set[str]) -> dict[str, tuple[str, str, str, str]]:
    """Return the test clips that share a frame: each with its subject, a training clip and the subject of that.

    Of several training clips one of another subject is preferred. A test clip that is itself in training is reported by
    ME002.
    """
    held: dict[str, dict[str, set[str]]] = {}
    found: dict[str, tuple[str, str, str, str]] = {}
    tested = fold.views["part"] == "test"
    for clip, subject, hashes in _rows(fold.views[~tested]):
        for image in shared.intersection(hashes):
            held.setdefault(image, {}).setdefault(subject, set()).add(clip)
    for clip, subject, hashes in _rows(fold.views[tested]):
        for image in shared.intersection(hashes):
            for other_subject, clips in held.get(image, {}).items():
                others = sorted(clips - {clip})
                if others and (clip not in found or other_subject != subject):
                    found[clip] = (clip, subject, others[0], other_subject)
    return found


def _rows(views: pd.DataFrame) -> Iterator[tuple[str, str, Sequence[str]]]:
    if "hashes" not in views:
        return iter(())
    return zip(views["clip"], views["subject"], views["hashes"], strict=True)


def _started_on_test(result: Result) -> Iterator[Finding]:
    starts = [fold.metadata.get("start") for fold in result.folds]
    clips = {clip for start in starts if start for clip in start["clips"]}
    subjects = {subject for start in starts if start for subject in start["subjects"]}
    if clips or subjects:
        tested = [fold.views[fold.views["part"] == "test"] for fold in result.folds]
        all_clips, all_subjects = (
            {name for table in tested for name in table[column]} for column in ("clip", "subject")
        )
        yield Finding(
            "ME002",
            "warning",
            "The starting weights were trained on test clips or test subjects.",
            f"frames of {len(clips)} of {len(all_clips)} test clips, {len(subjects)} of {len(all_subjects)} test "
            f"subjects, for instance {min(subjects or clips)}",
            "start from weights of other subjects: fit them without the subjects tested here, or use random or "
            "published weights",
        )
    elif _names_file(result) and not all(start and start["complete"] for start in starts):
        yield Finding(
            "ME002",
            "note",
            "It is not known what the starting weights were trained on.",
            "the weights file does not say",
            "train them again, which stores this in the file, or report, with the score, what they were trained on",
        )


def before_training(plan: Plan) -> Iterator[str]:
    """Yield a warning if the starting weights were trained on test subjects, which is known before frames are read."""
    known = {subject for fold in plan.folds for subject in start_knows(plan, fold).get("subjects", ())}
    if known:
        weights = plan.weights.get("weights", "")
        subjects = many(len(known), "test subject")
        yield f"the starting weights {weights} were trained on {subjects}, for instance {min(known)}."


def _names_file(result: Result) -> bool:
    """Return whether the experiment starts from a weights file named by the user."""
    return str(result.experiment.model.params.get("weights", "")).endswith(".safetensors")
