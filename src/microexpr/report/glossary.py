"""Abbreviations and terms of the pages: spelt out at their first use, and explained at the end of the page."""

from __future__ import annotations

import re

ABBREVIATIONS = {
    "AF": "apex frame",
    "KFS": "key frames: onset, apex and offset",
    "MFS": "several frames around each key frame",
    "M1": "centre crop in colour",
    "M2": "face crop in grey",
    "LOSO": "leave one subject out",
    "UF1": "unweighted F1",
    "UAR": "unweighted average recall",
    "ECE": "expected calibration error",
    "SD": "standard deviation",
}
"""Spelt out in brackets at the first use on a page."""

TERMS = {
    "macro-F1": "Mean over the classes of F1, which is the harmonic mean of precision and recall; every class counts "
    "equally, however rare. 1 is perfect.",
    "UF1": "Macro-F1 of the predictions of all folds pooled.",
    "UAR": "Mean over the classes of the share of a class's clips that are recognised.",
    "interval": "A range for the score on other samples of subjects: of 100 such ranges, about 95 should contain the "
    "true score.",
    "chance level": "Score below which 95 % of the scores under permuted labels lie.",
    "permuted labels": "Scores of the same predictions when the true classes are shuffled: what chance gives.",
    "Holm": "Correction of p-values for the number of comparisons made.",
    "cell": "One combination of the settings of a grid.",
    "prespecified": "Named in the study file before anything was trained, so not chosen by its result.",
    "LOSO": "Every subject is predicted by a model trained on all the others.",
    "hold-out": "One split of the clips into training and test.",
    "onset": "First frame of the movement.",
    "apex": "Frame in which the movement is strongest.",
    "offset": "Last frame of the movement.",
    "optical flow": "The motion of every image point between two frames.",
    "AF": "Sampling: the apex frame alone.",
    "KFS": "Sampling: onset, apex and offset.",
    "MFS": "Sampling: several frames around onset, apex and offset.",
    "M1": "Preprocessing: the centre of the frame, in colour.",
    "M2": "Preprocessing: the detected face, in grey.",
    "nested selection": "The method is selected within the training subjects of each fold, so no test subject takes "
    "part in it.",
    "permutation test": "Test that swaps the two sides within subjects; it needs no assumption on the distribution of "
    "the score.",
}
"""In the order of the glossary; only terms that a page uses are listed."""

_PATTERN = re.compile(rf"(?<![\w-])({'|'.join(ABBREVIATIONS)})(?![\w-])")


class Glossary:
    """The abbreviations that one page has spelt out so far, and the words that it has used."""

    def __init__(self) -> None:
        self._spelt: set[str] = set()
        self._seen: list[str] = []

    def spell(self, text: str) -> str:
        """Return text in which every abbreviation is spelt out where the page uses it for the first time.

        >>> Glossary().spell("Under LOSO, and LOSO again.")
        'Under LOSO (leave one subject out), and LOSO again.'
        """
        self._seen.append(text)

        def full(found: re.Match[str]) -> str:
            word = found.group()
            if word in self._spelt or text[found.end() : found.end() + 2] == " (":
                return word
            self._spelt.add(word)
            return f"{word} ({ABBREVIATIONS[word]})"

        return _PATTERN.sub(full, text)

    def terms(self) -> dict[str, str]:
        """Return the terms that the page has used, with their explanations."""
        used = " ".join(self._seen).lower()
        return {term: text for term, text in TERMS.items() if re.search(rf"(?<![\w-]){re.escape(term.lower())}", used)}
