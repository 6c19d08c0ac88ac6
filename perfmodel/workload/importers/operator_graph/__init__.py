"""Operator graphs in JSON: nodes with shapes, or only output sizes for schedulers."""

from perfmodel.workload.importers.operator_graph.load import load_operator_graph

__all__ = ["load_operator_graph"]
