"""The columnar table: what sweeps and predictions give, as text, HTML, CSV and Parquet."""

from perfmodel.table.columnar import Row, Table
from perfmodel.table.faults import group_faults, objective_faults

__all__ = ["Row", "Table", "group_faults", "objective_faults"]
