"""Records of a parsed network file: graph, nodes, values and tensors, without package onnx.

Every reader fills them: the ONNX parser from the protobuf (onnx/onnx, onnx/onnx.proto: messages
``ModelProto``, ``GraphProto``, ``NodeProto``, ``ValueInfoProto``, ``TensorProto``), the readers of
TensorFlow Lite, Keras and ``torch.export`` by translation. `walk` infers shapes over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perfmodel.workload.importers.element_types import element_types_by_number

#: TensorProto element type -> numeric format.
FORMATS: Mapping[int, str] = element_types_by_number("onnx")

#: Largest number of elements of a stored constant.
MOST_STORED_NUMBERS = 4096
#: Largest extent, and largest number of elements of a tensor, that a file may state.
LARGEST_EXTENT = 2**40


@dataclass(slots=True)
class RawTensor:
    """A stored tensor: shape, format, and numbers if they are few."""

    shape: tuple[int, ...]
    format: str
    numbers: tuple[int | float, ...] | None = None
    is_buffer: bool = False
    """Whether the tensor is not a parameter: statistics, masks, positions."""


@dataclass(slots=True)
class RawValue:
    """A declared value; an extent is a number, a name, or ``None``."""

    name: str
    shape: tuple[int | str | None, ...] | None
    format: str


@dataclass(slots=True)
class RawNode:
    """A node by the names of its inputs and outputs (empty if absent)."""

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    graphs: dict[str, RawGraph] = field(default_factory=dict[str, "RawGraph"])


@dataclass(slots=True)
class RawGraph:
    """A graph or the body of a control-flow node."""

    name: str
    nodes: list[RawNode]
    stored: dict[str, RawTensor]
    inputs: list[RawValue]
    outputs: list[str]
    declared: dict[str, RawValue]
    replaceable: frozenset[str] = frozenset()
    """Stored tensors that are inputs as well: a run may override them, so they are not folded."""
    results: frozenset[str] = field(init=False)
    """Names of the outputs."""
    computed: frozenset[str] = field(init=False)
    """Names of the values that its nodes compute."""

    def __post_init__(self) -> None:
        self.results = frozenset(self.outputs)
        self.computed = frozenset(name for node in self.nodes for name in node.outputs)


@dataclass(slots=True)
class RawModel:
    """A file: its graph, the versions of its operator sets, and its path."""

    graph: RawGraph
    opsets: dict[str, int]
    file: str
    has_fixed_fp32: bool = False
    """Whether the file fixes the format of fp32 values too, as beside integers."""
    precision: str = ""
    """Precision of the file; empty for that of its weights."""
    channels_last: bool = False
    """Whether images have their channels last; in the graph they are second."""
    notes: tuple[str, ...] = ()
    """Notes for the user about the file."""
    name: str = ""
    """Name of the network in the file; empty for the file's own name."""
