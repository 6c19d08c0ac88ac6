"""Rows of class ``stream`` (loops over arrays, stencils) by the Execution-Cache-Memory model.

Any kind of engine may pass its terms to `with_streams`: where the caches state ports and transfers,
such rows have the model's times, all other rows are unchanged.
"""

from __future__ import annotations

from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.workload.operator_table import OperatorTable


def with_streams(table: OperatorTable, setting: Setting, terms: Terms) -> Terms:
    """Return the terms with the model's times for rows of class ``stream``, if there are any."""
    if setting.bare or "results" not in table.extents:
        return terms
    from perfmodel.kinds.stream_times import stream_terms

    return stream_terms(table, setting, terms)
