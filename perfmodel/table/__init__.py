"""Base class of all results, and columnar tables: as text, HTML, JSON, CSV and Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.lazy_names import lazy_names
from perfmodel.table.json_values import json_text, plain
from perfmodel.table.result import Result, ShownPicture

if TYPE_CHECKING:
    from perfmodel.table.certified_result import CertifiedResult
    from perfmodel.table.column_arrays import group_faults, objective_faults
    from perfmodel.table.columnar import Row, Table

__all__ = [
    "CertifiedResult",
    "Result",
    "Row",
    "ShownPicture",
    "Table",
    "group_faults",
    "json_text",
    "objective_faults",
    "plain",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "certified_result": ("CertifiedResult",),
            "column_arrays": ("group_faults", "objective_faults"),
            "columnar": ("Row", "Table"),
        },
    )
