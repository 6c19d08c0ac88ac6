"""Graphs under a compression: formats per tensor, sparsity, channels; and coupling groups."""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.workload.rewrite.channels import with_channels
from perfmodel.workload.rewrite.compressed import compressed
from perfmodel.workload.rewrite.coupling import FormatGroup, format_groups
from perfmodel.workload.rewrite.formats import with_formats
from perfmodel.workload.rewrite.groups import ChannelGroup, channel_groups
from perfmodel.workload.rewrite.layers import CompressibleLayer, layers

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
    __getattr__ = former_names(__name__, Layer="CompressibleLayer")
