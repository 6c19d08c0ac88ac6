"""Graphs under a compression: formats per tensor, sparsity, channels; and coupling groups."""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.workload.rewrite.channel_coupling import ChannelGroup, channel_groups
from perfmodel.workload.rewrite.channels import with_channels
from perfmodel.workload.rewrite.compressible_layers import CompressibleLayer, layers
from perfmodel.workload.rewrite.compression import compressed
from perfmodel.workload.rewrite.format_coupling import FormatGroup, format_groups
from perfmodel.workload.rewrite.formats import with_formats

__all__ = [
    "ChannelGroup",
    "CompressibleLayer",
    "FormatGroup",
    "channel_groups",
    "compressed",
    "format_groups",
    "layers",
    "with_channels",
    "with_formats",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Layer="CompressibleLayer")
