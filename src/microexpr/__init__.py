"""microexpr: facial micro-expression recognition with every choice stated and every score reproducible.

Everything that the command ``microexpr`` does is available as one of the calls below; each is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microexpr.api import (
        Benchmarked,
        Finished,
        FinishedTuning,
        RunOptions,
        Submitted,
        bundle_weights,
        check_data,
        check_machine,
        check_results,
        clean_store,
        collect_study,
        compare_all,
        compare_results,
        data_stats,
        data_table,
        dry_run,
        explain_code,
        export,
        export_store,
        fetch_weights,
        fit,
        list_data,
        list_store,
        list_studies,
        load,
        make_synthetic,
        merge_stores,
        predict,
        rebuild_report,
        run_bench,
        run_experiment,
        run_study,
        show_store,
        study_status,
        submit_study,
        tune_experiment,
        unbundle_weights,
        verify_store,
        verify_weights,
    )
    from microexpr.audit import audit_log, audit_table
    from microexpr.audit.agreement import audit_agreement
    from microexpr.config.component import Component
    from microexpr.config.experiment import Experiment
    from microexpr.config.settings import Bootstrap, Training, Tuning
    from microexpr.config.study import Study
    from microexpr.core.clip import ActionUnit, Clip
    from microexpr.core.errors import MicroexprError
    from microexpr.core.labels import LabelSet
    from microexpr.data.clip_table import ClipTable
    from microexpr.data.doctor import Diagnosis
    from microexpr.data.sources import ArrayClips
    from microexpr.learning.pipeline import Pipeline
    from microexpr.report import write_report

__version__ = "0.2.0.dev0"
__all__ = [
    "ActionUnit",
    "ArrayClips",
    "Benchmarked",
    "Bootstrap",
    "Clip",
    "ClipTable",
    "Component",
    "Diagnosis",
    "Experiment",
    "Finished",
    "FinishedTuning",
    "LabelSet",
    "MicroexprError",
    "Pipeline",
    "RunOptions",
    "Study",
    "Submitted",
    "Training",
    "Tuning",
    "__version__",
    "audit_agreement",
    "audit_log",
    "audit_table",
    "bundle_weights",
    "check_data",
    "check_machine",
    "check_results",
    "clean_store",
    "collect_study",
    "compare_all",
    "compare_results",
    "data_stats",
    "data_table",
    "dry_run",
    "explain_code",
    "export",
    "export_store",
    "fetch_weights",
    "fit",
    "list_data",
    "list_store",
    "list_studies",
    "load",
    "make_synthetic",
    "merge_stores",
    "predict",
    "rebuild_report",
    "run_bench",
    "run_experiment",
    "run_study",
    "show_store",
    "study_status",
    "submit_study",
    "tune_experiment",
    "unbundle_weights",
    "verify_store",
    "verify_weights",
    "write_report",
]

_HOMES = (
    "api",
    "core.errors",
    "core.clip",
    "core.labels",
    "data.doctor",
    "data.clip_table",
    "data.sources",
    "config.component",
    "config.settings",
    "config.experiment",
    "config.study",
    "learning.pipeline",
    "audit",
    "audit.agreement",
    "report",
)
"""Modules that define the public names: the calls first (`config.study` has another `load`), then those with the fewest
imports."""


def __getattr__(name: str) -> object:
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"microexpr.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'microexpr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
