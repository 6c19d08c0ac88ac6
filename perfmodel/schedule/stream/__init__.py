"""Streaming pipelines: weights of layers and experts are loaded while earlier layers compute.

`pipeline` is the event model of one channel, one engine and a buffer; `stream` applies it to a
workload on a device.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.schedule.stream.channel import StreamChannel, channel_of
from perfmodel.schedule.stream.pipeline import Load, StreamTimeline, pipeline
from perfmodel.schedule.stream.result import StreamResult
from perfmodel.schedule.stream.stream import stream

__all__ = [
    "Load",
    "StreamChannel",
    "StreamResult",
    "StreamTimeline",
    "channel_of",
    "pipeline",
    "stream",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Channel="StreamChannel", Timeline="StreamTimeline")
