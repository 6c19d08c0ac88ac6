"""Pipelines of input and computing: layers, experts and slices of experts streamed as they run.

`pipeline` is the event model of one channel, one engine and a buffer; `order` has the orders to
load in, from the natural one to the least; `stream` applies both to a workload on a device.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.schedule.stream.channel import StreamChannel
from perfmodel.schedule.stream.optimal import best_order
from perfmodel.schedule.stream.order import (
    LowerBounds,
    hottest_first,
    johnson,
    johnson_makespan,
    lower_bounds,
)
from perfmodel.schedule.stream.pipeline import Load, StreamTimeline, makespans, pipeline
from perfmodel.schedule.stream.result import StreamResult
from perfmodel.schedule.stream.slices import bit_slices
from perfmodel.schedule.stream.stream import stream

__all__ = [
    "Load",
    "LowerBounds",
    "StreamChannel",
    "StreamResult",
    "StreamTimeline",
    "best_order",
    "bit_slices",
    "hottest_first",
    "johnson",
    "johnson_makespan",
    "lower_bounds",
    "makespans",
    "pipeline",
    "stream",
]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Channel="StreamChannel", Timeline="StreamTimeline")
