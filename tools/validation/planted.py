"""Whole studies of synthetic databases with or without a planted effect: what the report then claims.

Each database is drawn with subjects and clips of its own, and goes through detection, preprocessing, training, voting
and the analysis of factors like any other database. Only the claims are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import cv2
from joblib import Parallel, delayed
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

from microexpr.components.datasets.synthetic import SyntheticSpec
from microexpr.config.component import titles
from microexpr.config.experiment import METHOD
from microexpr.config.study import Study
from microexpr.core.errors import ConfigError
from microexpr.core.files import append_json_lines, digest, json_lines
from microexpr.core.progress import Progress, track
from microexpr.report.summary.cells import metric_of
from microexpr.report.summary.factors import effects
from microexpr.runs import study as grids
from microexpr.runs.plan import Options, Workspace
from tools.validation.rendered import Rendered

REVISION: Final = 1
"""Increased if a change of drawing, training or analysis changes results; stored trials are then run again."""
FIRST_SEED: Final = 100
"""Seed of the first database; the options were chosen on other seeds (9001 to 9008)."""
SHARED_OPTIONS: Final[Mapping[str, Any]] = {
    "subjects": 12,
    "clips": 96,
    "emotions": ("happiness", "surprise"),
    "expression_size": 0.0,
    "quirks": False,
}
"""Options that all conditions share; head drift, light, blinks, noise and JPEG are the defaults of `SyntheticSpec`."""


@dataclass(frozen=True)
class Condition:
    """What is planted, and what a report must claim."""

    name: str
    options: Mapping[str, Any]
    """Options of `SyntheticSpec` in which it differs from `SHARED_OPTIONS`."""
    claims: str = ""
    """Axis of the grid that must be claimed; empty if nothing may be claimed."""
    contrast: tuple[str, str] = ("", "")
    """The worse and the better level of that axis."""
    spares: str = ""
    """Axis that must not be claimed."""


CONDITIONS: Final = (
    Condition("nothing", {}),
    Condition("colour", {"colour_cue": 90.0}, "preprocessing.colour", ("grey", "rgb"), "preprocessing"),
    Condition(
        "jitter",
        {"clips": 120, "expression_size": 5.0, "position_jitter": 100.0},
        "preprocessing",
        ("none", "face onset"),
        "preprocessing.colour",
    ),
)


def check_axes(study: Study, conditions: Sequence[Condition] = CONDITIONS) -> None:
    """Raise ConfigError if a study does not vary what the conditions plant."""
    needed = {axis for condition in conditions for axis in (condition.claims, condition.spares) if axis}
    missing = sorted(needed - set(titles(study.axes)))
    if missing:
        raise ConfigError(
            "E120", f"{study.name}: vary {', '.join(missing)} in the grid, otherwise claims about it cannot be checked."
        )


def trial(study: Study, condition: Condition, seed: int) -> dict[str, Any]:
    """Run one study on one synthetic database and return the result of its analysis of factors."""
    spec = SyntheticSpec(**{**SHARED_OPTIONS, **condition.options, "seed": seed})
    # Threads would compete with parallel trials.
    cv2.setNumThreads(1)
    with threadpool_limits(1), TemporaryDirectory() as box:
        options = Options({"casme2": Rendered(Path(box) / "data", spec)}, Path(box))
        result = grids.run(study, Workspace(options))
        found = effects(result, metric_of(result))
    if found is None or found.problem:
        raise ConfigError("E720", f"{condition.name}, seed {seed}: {found and found.problem}")
    tested = [{"effect": effect.name, **effect.model_dump(exclude={"factors"})} for effect in found.effects]
    return {"condition": condition.name, "seed": seed, "verdict": found.verdict, "effects": tested}


def trials(
    study: Study, sets: int, kept: Path, jobs: int, progress: Progress, conditions: Sequence[Condition] = CONDITIONS
) -> list[dict[str, Any]]:
    """Return `sets` trials of every condition; those stored in the file `kept` are not run again."""
    keys = {
        (condition.name, seed): digest(
            [REVISION, study.model_dump(mode="json"), METHOD, dict(SHARED_OPTIONS), asdict(condition), seed]
        )
        for seed in range(FIRST_SEED, FIRST_SEED + sets)
        for condition in conditions
    }
    known = {line["key"]: line["found"] for line in json_lines(kept)}
    missing = {
        seed: [each for each in conditions if keys[each.name, seed] not in known]
        for seed in range(FIRST_SEED, FIRST_SEED + sets)
    }
    work = [(seed, todo) for seed, todo in missing.items() if todo]
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    done = parallel(delayed(_of_seed)(study, todo, seed) for seed, todo in work)
    for found in track(done, len(work), "synthetic databases", progress):
        lines = [{"key": keys[each["condition"], each["seed"]], "found": each} for each in found]
        append_json_lines(kept, lines)
        known |= {line["key"]: line["found"] for line in lines}
    return [known[key] for key in keys.values()]


def _of_seed(study: Study, conditions: Sequence[Condition], seed: int) -> list[dict[str, Any]]:
    """Run the conditions of one seed in sequence: their subjects are the same and are drawn once."""
    return [trial(study, condition, seed) for condition in conditions]


def judge(
    found: Sequence[Mapping[str, Any]], named: Mapping[str, str], conditions: Sequence[Condition] = CONDITIONS
) -> list[dict[str, Any]]:
    """Return, for every condition, the share of databases in which the report claimed what it must, and nothing else.

    `named` has the name of each axis of the study. Shares have exact 95 % intervals.
    """
    rows = []
    for condition in conditions:
        mine = [trial for trial in found if trial["condition"] == condition.name]
        claims = [set(_claimed(trial)) for trial in mine]
        if not condition.claims:
            yes = sum(map(bool, claims))
            rows.append({"condition": condition.name, "what": "claims anything", **_share(yes, len(mine))})
            continue
        planted, spared = named[condition.claims], named[condition.spares]
        right = [
            planted in said and _better(trial, planted, condition.contrast)
            for trial, said in zip(mine, claims, strict=True)
        ]
        alone = [yes and spared not in said for yes, said in zip(right, claims, strict=True)]
        rows.append({"condition": condition.name, "what": f"claims {planted}", **_share(sum(right), len(mine))})
        what = f"claims {planted}, not {spared}"
        rows.append({"condition": condition.name, "what": what, **_share(sum(alone), len(mine))})
    return rows


def _claimed(trial: Mapping[str, Any]) -> Iterator[str]:
    return (effect["effect"] for effect in trial["effects"] if effect["claimed"])


def _better(trial: Mapping[str, Any], factor: str, levels: tuple[str, str]) -> bool:
    """Return whether the second level scored higher than the first."""
    worse, better = levels
    effect = next(effect for effect in trial["effects"] if effect["effect"] == factor)
    signs = {f"{better} − {worse}": 1, f"{worse} − {better}": -1}
    return any(signs[part["words"]] * part["value"] > 0 for part in effect["contrasts"] if part["words"] in signs)


def _share(count: int, n: int) -> dict[str, Any]:
    interval = binomtest(count, n).proportion_ci(0.95, method="exact")
    return {"share": count / n, "low": float(interval.low), "high": float(interval.high), "n": n}
