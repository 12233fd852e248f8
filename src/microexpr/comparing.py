"""Two results on disk compared: the same clips, whoever trained on them."""

from __future__ import annotations

from pathlib import Path

from microexpr.checks import Stored, read
from microexpr.config import rng_for
from microexpr.errors import StoreError
from microexpr.statistics.comparison import Comparison, Unit, compare
from microexpr.statistics.paired import Predictions


def compare_results(
    a: Path, b: Path, *, metric: str = "macro_f1", unit: Unit = "person", n: int = 10_000, permutations: int = 9_999
) -> Comparison:
    """Compare the experiments of two folders, each the --out of one experiment or a folder results/KEY.

    Raises StoreError where a folder holds none or several, ConfigError where clips or label sets differ.
    """
    first, second = _only(a), _only(b)
    return compare(
        _predictions(first),
        _predictions(second),
        metric,
        rng=rng_for(first.experiment.seed, "compare"),
        n=n,
        permutations=permutations,
        unit=unit,
    )


def _only(place: Path) -> Stored:
    root = place.parent if (place / "experiment.json").is_file() else place
    found = [each for each in read(root) if root == place or each.key == place.name]
    judged = [each for each in found if each.experiment.model.name not in ("majority", "class_frequency")]
    if len(judged) != 1:
        listed = "".join(f"\n  {place}/results/{each.key}: {each.name}" for each in judged)
        raise StoreError(f"{place} holds {len(judged)} experiments; name one of them:{listed or ' there is none.'}")
    return judged[0]


def _predictions(stored: Stored) -> Predictions:
    return Predictions.of(stored.name, stored.result.predictions(), stored.facts["classes"])
