"""Workloads: operators as loop nests, graphs of them, and operator tables.

Names are loaded on first use, so that importing the package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.lazy_names import lazy_names

if TYPE_CHECKING:
    from perfmodel.workload.builder import GraphBuilder
    from perfmodel.workload.families import ExecutionSemantics, family
    from perfmodel.workload.fuse import FusionRules
    from perfmodel.workload.graph import Graph, Operator
    from perfmodel.workload.library import ModelEntry, describe
    from perfmodel.workload.library import names as list  # noqa: A004 (workload.list())
    from perfmodel.workload.symbols import symbol
    from perfmodel.workload.transformer_structure import TransformerStructure
    from perfmodel.workload.workload import Workload, from_family

__all__ = [
    "ExecutionSemantics",
    "FusionRules",
    "Graph",
    "GraphBuilder",
    "ModelEntry",
    "Operator",
    "TransformerStructure",
    "Workload",
    "describe",
    "family",
    "from_family",
    "list",
    "symbol",
]

__getattr__ = lazy_names(
    __name__,
    {
        "builder": ("GraphBuilder",),
        "families": ("ExecutionSemantics", "family"),
        "fuse": ("FusionRules",),
        "graph": ("Graph", "Operator"),
        "library": ("ModelEntry", "describe", "names"),
        "symbols": ("symbol",),
        "transformer_structure": ("TransformerStructure",),
        "workload": ("Workload", "from_family"),
    },
    list="names",
)


def __dir__() -> tuple[str, ...]:
    return tuple(__all__)
