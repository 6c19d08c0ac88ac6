"""Base class of all results, and columnar tables: as text, HTML, JSON, CSV and Parquet."""

from perfmodel.table.certified_result import CertifiedResult
from perfmodel.table.column_arrays import group_faults, objective_faults
from perfmodel.table.columnar import Row, Table
from perfmodel.table.json_values import json_text, plain
from perfmodel.table.result import Result, ShownPicture

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
