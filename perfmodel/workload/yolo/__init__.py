"""Family ``yolo``: the YOLO detectors, from version 3 on, each a table of rows and a head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from perfmodel.errors import one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageStructure, frames, images
from perfmodel.workload.yolo.blocks import BLOCKS
from perfmodel.workload.yolo.builder import YoloBuilder
from perfmodel.workload.yolo.heads import HEADS
from perfmodel.workload.yolo.rows import YoloRow, parse
from perfmodel.workload.yolo.tables import TABLES

__all__ = ["FAMILY_YOLO", "YoloStructure"]

_Head = Literal["anchors", "distributed", "light", "decoupled", "decoupled_light", "efficient"]
_Task = Literal["detect", "segment", "pose", "oriented"]
_PLAIN = ("anchors", "decoupled", "decoupled_light", "efficient")


class YoloStructure(ImageStructure):
    """Shape of a detector.

    Attributes
    ----------
    table
        Backbone and neck: one of `TABLES`.
    head
        Convolutions after them.
    depth_multiple, width_multiple
        Multiples of the table's repeats and channels; channels are rounded up to 8.
    max_channels
        Bound of a row's channels before `width_multiple` scales it.
    activation
        After each normalised convolution.
    task
        What the head gives: boxes, also masks, keypoints, or angles.
    """

    table: str
    head: _Head
    depth_multiple: Annotated[float, Field(gt=0, le=10)] = 1.0
    width_multiple: Annotated[float, Field(gt=0, le=10)] = 1.0
    max_channels: Annotated[int, Field(gt=0, le=10**5)] = 1024
    activation: Literal["silu", "leaky_relu", "relu", "relu6", "hard_swish", "mish"] = "silu"
    task: _Task = "detect"
    classes: int = Field(80, gt=0, le=10**5)

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield tables that there are not, and tasks that a head does not have."""
        table, head, task = data.get("table"), data.get("head"), data.get("task", "detect")
        if isinstance(table, str) and table not in TABLES:
            yield Flaw(("table",), f"no detector is named '{table}'", one_of(TABLES))
        allowed = ("detect", "segment") if head == "anchors" else ("detect",)
        if head in _PLAIN and task in get_args(_Task) and task not in allowed:
            yield Flaw(("task",), f"the head '{head}' gives no '{task}'", " or ".join(allowed))


def build(structure: YoloStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph up to the head's convolutions: nothing is decoded or suppressed."""
    del semantics
    s = structure
    g = YoloBuilder("yolo", folded=s.batch_norm == "folded", activation=s.activation)
    rows, taken = TABLES[s.table]
    image = g.image(s.image_channels)
    made: list[Tensor] = []
    for i, text in enumerate(rows):
        row = parse(text)
        xs = [made[j] if j >= 0 else (made[i + j] if i + j >= 0 else image) for j in row.sources]
        made.append(BLOCKS[row.module](g, xs, *_scaled(row, s), row, f"{i}.{row.module}"))
    proto = _width(256, s)
    g.output(*HEADS[s.head](g, [made[i] for i in taken], s.classes, s.task, proto))
    return g.build(parameters(s))


def _scaled(row: YoloRow, s: YoloStructure) -> tuple[int, int]:
    """Return channels and repeats under the multiples."""
    repeats = max(round(row.repeats * s.depth_multiple), 1) if row.repeats > 1 else row.repeats
    return _width(row.channels, s) if row.channels else 0, repeats


def _width(channels: int, s: YoloStructure) -> int:
    return math.ceil(min(channels, s.max_channels) * s.width_multiple / 8) * 8


parameters = images(640, 640)

FAMILY_YOLO = Family("yolo", YoloStructure, parameters, build, frames)
