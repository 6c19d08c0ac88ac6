"""Graphs under a compression choice: formats a tensor, sparsity, channels; and what couples."""

from perfmodel.workload.rewrite.coupling import FormatGroup, format_groups
from perfmodel.workload.rewrite.formats import with_formats
from perfmodel.workload.rewrite.layers import Layer, layers

__all__ = ["FormatGroup", "Layer", "format_groups", "layers", "with_formats"]
