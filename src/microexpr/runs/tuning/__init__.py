"""Search parameters inside the training subjects, with Optuna: nobody whom the result is tested on takes part."""

from __future__ import annotations

from microexpr.config.experiment import Experiment
from microexpr.core.errors import ConfigError
from microexpr.runs.plan import Workspace
from microexpr.runs.tuning.result import Tuned as Tuned

TRIALS = 30
"""Finished trials of each search, where nobody says how many."""
STARTUP = 10
"""Trials that are drawn at random before a search begins to learn from them."""


def tune(experiment: Experiment, workspace: Workspace, *, trials: int = TRIALS, storage: str = "") -> Tuned:
    """Search until every search has `trials` finished trials, then run the protocol's folds with what was found.

    `storage` is an RDB's URL; empty, the trials lie in a file of the workspace's folder. Several processes may call
    this with the same folder at once: they share the searches, and one of them runs the folds at the end. Through a
    database, searches are shared by several folders or machines too; each of these may then go beyond `trials` by
    what the others are at, and runs the folds for itself.

    Raises ConfigError, DataError, SplitError or WeightsError before anything is trained, StoreError where the storage
    cannot be used or holds other searches.
    """
    if trials < 1:
        raise ConfigError("E104", f"--trials {trials}: at least one trial is needed.")
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ConfigError(
            "E104",
            "tuning needs Optuna, which is not installed here: pip install 'microexpr[tune]', or pip install optuna.",
        ) from None
    from microexpr.runs.tuning.running import run

    return run(experiment, workspace, trials, storage)


def without_password(text: str, storage: str) -> str:
    """Return a text, for instance a command line, without the password that a storage's URL has."""
    from microexpr.runs.tuning.storage import without_password

    return without_password(text, storage) if storage else text
