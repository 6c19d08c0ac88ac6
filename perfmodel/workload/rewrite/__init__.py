"""Graphs under a compression choice: formats a tensor, sparsity, channels; and what couples."""

from perfmodel.workload.rewrite.channels import symbolic_channels, with_channels
from perfmodel.workload.rewrite.compressed import compressed
from perfmodel.workload.rewrite.coupling import FormatGroup, format_groups
from perfmodel.workload.rewrite.formats import with_formats
from perfmodel.workload.rewrite.groups import ChannelGroup, channel_groups
from perfmodel.workload.rewrite.layers import Layer, layers

__all__ = [
    "ChannelGroup",
    "FormatGroup",
    "Layer",
    "channel_groups",
    "compressed",
    "format_groups",
    "layers",
    "symbolic_channels",
    "with_channels",
    "with_formats",
]
