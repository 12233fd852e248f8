"""Search parameters within the training subjects, with Optuna; test subjects of the result take no part in it."""

from __future__ import annotations

from microexpr.config.experiment import Experiment
from microexpr.core.errors import ConfigError
from microexpr.runs.plan import Workspace
from microexpr.runs.tuning.result import Tuned as Tuned

TRIALS = 30
"""Default number of finished trials in each search."""
STARTUP = 10
"""Trials sampled at random before a search begins to learn from them."""


def tune(experiment: Experiment, workspace: Workspace, *, trials: int = TRIALS, storage: str = "") -> Tuned:
    """Search until every search has `trials` finished trials, then run the protocol's folds with the best values.

    `storage` is the URL of a relational database; if empty, the trials are in a file in the workspace's folder. Several
    processes may call this for the same folder at the same time: they share the searches and the folds at the end.
    Through a database, several folders or machines can share the searches too; each of them may then exceed `trials` by
    the trials that others are running, and runs the folds itself.

    Raises ConfigError, DataError, SplitError or WeightsError before anything is trained, StoreError if the storage
    cannot be used or holds other searches.
    """
    if trials < 1:
        raise ConfigError("E142", f"--trials {trials}: at least one trial is needed.")
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ConfigError(
            "E143",
            "tuning needs Optuna, which is not installed: run pip install 'microexpr[tune]', or pip install optuna.",
        ) from None
    from microexpr.runs.tuning.running import run

    return run(experiment, workspace, trials, storage)


def without_password(text: str, storage: str) -> str:
    """Return a text, such as a command line, without the password in a storage's URL."""
    from microexpr.runs.tuning.storage import without_password

    return without_password(text, storage) if storage else text
