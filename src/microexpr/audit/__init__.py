"""Other people's numbers: prediction logs scored again, published tables tested for whether they can be."""

from microexpr.audit.log import audit_log
from microexpr.audit.table import audit_table

__all__ = ["audit_log", "audit_table"]
