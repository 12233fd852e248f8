"""microexpr: facial micro-expression recognition, every choice stated, every score honest.

Everything that the command ``microexpr`` does is one of the calls below; each is imported when first used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "ActionUnit": "clip",
    "Bootstrap": "config",
    "Clip": "clip",
    "Component": "config",
    "Experiment": "config",
    "Finished": "api",
    "LabelSet": "labels",
    "MicroexprError": "errors",
    "Progress": "progress",
    "Study": "config",
    "Training": "config",
    "clip_table": "labels",
    "dry_run": "api",
    "fetch_weights": "api",
    "fit": "api",
    "load_model": "api",
    "make_synthetic": "api",
    "run": "api",
    "study": "api",
    "write_report": "report",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'microexpr' has no attribute {name!r}")
    return getattr(importlib.import_module(f"microexpr.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
