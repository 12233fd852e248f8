"""Checks of published results: prediction logs scored again, and tables checked for whether they are possible."""

from microexpr.audit.log import audit_log
from microexpr.audit.table import audit_table

__all__ = ["audit_log", "audit_table"]
