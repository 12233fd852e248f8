"""Abbreviations and terms of the pages: spelt out at their first use, and explained at the end of the page."""

from __future__ import annotations

import re
from html import unescape

from microexpr.core.words import capitalised

ABBREVIATIONS = {
    "AF": "apex frame",
    "KFS": "key frames: onset, apex and offset",
    "MFS": "several frames around each key frame",
    "M1": "centre crop in colour",
    "M2": "face crop in grey",
    "LOSO": "leave one subject out",
    "macro-F1": "mean F1 of the classes",
    "UF1": "unweighted F1",
    "UAR": "unweighted average recall",
    "ECE": "expected calibration error",
    "SD": "standard deviation",
}
"""Spelt out in brackets at the first use in the prose, captions and notes of a page."""

TERMS = {
    "macro-F1": "F1 is the harmonic mean of precision and recall; every class counts equally.",
    "UF1": "Macro-F1 of the predictions of all folds pooled.",
    "UAR": "Mean over the classes of the share of a class's clips that are recognised.",
    "interval": "Range that should contain the score on other samples of subjects or of clips, as stated with the "
    "interval, at the stated level.",
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
    "AF": "",
    "KFS": "",
    "MFS": "",
    "M1": "",
    "M2": "",
    "nested selection": "The method is selected within the training subjects of each fold, so no test subject takes "
    "part in it.",
    "permutation test": "Test that swaps the two sides within subjects.",
    "ECE": "Mean difference between the stated probability and the share that is correct.",
    "SD": "",
    "PCA": "Principal component analysis: projection onto the directions of largest variance.",
    "SVM": "Support vector machine, a classifier.",
    "TPE": "Tree-structured Parzen estimator, a search that samples near the best trials so far.",
    "TP": "True positives.",
    "FP": "False positives.",
    "FN": "False negatives.",
}
"""In the order of the glossary; only terms that a page uses are listed. Abbreviations are spelt out first."""

_PATTERN = re.compile(rf"(?<![\w-])({'|'.join(ABBREVIATIONS)})(?![\w-])( \()?")

_P_VALUE = re.compile(r"\bp ([=<]) (?=\d)")


def tied(text: str) -> str:
    """Return text in which no line breaks within a p-value.

    >>> tied("significant (p = 0.04)")
    'significant (p\\xa0=\\xa00.04)'
    """
    return _P_VALUE.sub("p\u00a0\\1\u00a0", text)


class Glossary:
    """The abbreviations that one page has spelt out so far, and the terms that it uses."""

    def __init__(self) -> None:
        self._spelt: set[str] = set()

    def spell(self, text: str) -> str:
        """Return text in which every abbreviation is spelt out where the page uses it for the first time.

        A p-value stays on one line.

        >>> Glossary().spell("Under LOSO, and LOSO again.")
        'Under LOSO (leave one subject out), and LOSO again.'
        """

        def full(found: re.Match[str]) -> str:
            word, bracket = found.groups()
            if word in self._spelt or text.startswith(ABBREVIATIONS[word], found.end()):
                return found.group()
            self._spelt.add(word)
            return f"{word} ({ABBREVIATIONS[word]}{'; ' if bracket else ')'}"

        return tied(_PATTERN.sub(full, text))

    def terms(self, page: str = "") -> dict[str, str]:
        """Return the terms in the text of a page (HTML), tables and drawings included, with their explanations.

        >>> list(Glossary().terms("<td>KFS</td><p>Intervals after Loso</p>"))
        ['interval', 'KFS']
        """
        text = unescape(re.sub(r"<[^>]*>", " ", page))
        return {term: _explained(term) for term in TERMS if term in self._spelt or _used(term, text)}


def _used(term: str, text: str) -> bool:
    """Return whether a term is a word of a text; abbreviations are case-sensitive."""
    flags = 0 if term.isupper() else re.IGNORECASE
    return re.search(rf"(?<!\w){re.escape(term)}s?(?!\w)", text, flags) is not None


def _explained(term: str) -> str:
    full = ABBREVIATIONS.get(term, "")
    return f"{capitalised(full)}{'. ' if full else ''}{TERMS[term]}".strip()
