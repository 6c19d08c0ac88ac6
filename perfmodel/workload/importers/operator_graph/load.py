"""Workload of an operator graph in JSON, a plain list of nodes with their tensors and shapes.

A file has ``nodes``, each with ``op``, ``inputs``, ``outputs``, ``in_shapes``, ``out_shapes``,
``weights`` and ``attrs`` in ONNX's vocabulary; they are priced like the nodes of an ONNX file, with
fixed shapes. A file with ``operators`` and their output sizes can be scheduled but not predicted
(`output_sizes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field

from perfmodel.arrays import Value
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.pydantic_faults import Flaw, locate
from perfmodel.source_positions import Marks
from perfmodel.specfile import read, validate
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue, Shape
from perfmodel.workload.importers.onnx.node_pricer import NodePricer
from perfmodel.workload.importers.onnx.operator_traits import STRUCTURAL
from perfmodel.workload.importers.operator_graph.missing_shapes import complete_shapes
from perfmodel.workload.importers.operator_graph.output_sizes import graph_of_output_sizes
from perfmodel.workload.layer_declarations import LayerBuilder
from perfmodel.workload.workload import Workload

#: Exporters' names of values that a node computes; a folded one is not a learned parameter.
_COMPUTED = re.compile(r"_output_\d+$")

_LIMIT = 2**40


class NodeEntry(BaseModel, frozen=True, extra="forbid", defer_build=True, strict=True):
    """A node of the file; the multiply-accumulates that it states are not read."""

    name: str = ""
    op: str = Field(min_length=1)
    inputs: list[str] = []
    outputs: list[str] = Field(min_length=1)
    in_shapes: list[list[int] | None] = []
    out_shapes: list[list[int] | None] = []
    weights: list[str] = []
    attrs: dict[str, Any] = {}
    domain: str = ""
    macs: float | None = None


class GraphEntry(BaseModel, frozen=True, extra="forbid", defer_build=True, strict=True):
    """The whole file, nodes in order of execution; the totals that it states are not read."""

    model: str = ""
    inputs: dict[str, list[int]] = {}
    outputs: list[str] | None = None
    nodes: list[NodeEntry] = Field(min_length=1)
    params: float | None = None
    macs: float | None = None
    note: str = ""


class FixedGraphBuilder:
    """Picklable builder that returns a fixed graph without free dimensions."""

    __slots__ = ("graph",)

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph, which is the same under all semantics."""
        return self.graph


def load_operator_graph(path: str | Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Read an operator-graph JSON.

    Parameters
    ----------
    path
        A file with ``nodes`` (operator type, tensors, shapes, attributes), which are priced from
        their shapes, or one with ``operators`` and their output sizes, which can be scheduled but
        not predicted.
    settings
        Must be empty: such a graph has no free dimensions.

    Raises
    ------
    InputError
        All faults of the file, each with its location.
    """
    file = Path(path)
    data, marks = read(file)
    only_sizes = isinstance(data, dict) and "operators" in data
    workload = (_read_sizes_graph if only_sizes else _read_priced_graph)(
        cast("object", data), marks, file
    )
    return workload.bind(settings) if settings else workload


def _read_sizes_graph(data: object, marks: Marks, file: Path) -> Workload:
    """Return the workload of a file that states output sizes only."""
    graph = graph_of_output_sizes(data, marks, str(file))
    note = "holds sizes and no shapes: can be scheduled, not predicted"
    return Workload(
        graph.name, FixedGraphBuilder(graph), {}, ("runs", 1), origin=str(file), notes=(note,)
    )


def _read_priced_graph(data: object, marks: Marks, file: Path) -> Workload:
    """Return the workload of a file with nodes and shapes."""
    entry = validate(GraphEntry, data, marks, str(file))
    faults = _faults(entry, marks, str(file))
    if faults:
        raise InputError(faults)
    graph, notes = _graph(entry, entry.model or file.stem)
    image = [s for s in entry.inputs.values() if len(s) == 4 and s[1] in {1, 3, 4}]
    items = ("frames", image[0][0]) if image else ("runs", 1)
    return Workload(
        graph.name,
        FixedGraphBuilder(graph),
        {},
        items,
        precision="fp32",
        origin=str(file),
        notes=notes,
    )


def _faults(entry: GraphEntry, marks: Marks, file: str) -> list[Fault]:
    """Return faults that the entry types cannot express: order, cycles, counts, extents."""
    flaws: list[Flaw] = []
    for name, shape in entry.inputs.items():
        if any(not 0 < d <= _LIMIT for d in shape):
            message = f"{shape} is not a shape"
            flaws.append(Flaw(("inputs", name), message, f"extents from 1 to {_LIMIT}"))
    #: Available value -> its shape, as far as the nodes before have been checked.
    shape_of: dict[str, list[int] | None] = dict(entry.inputs)
    producers = {o: n.name or n.op for n in entry.nodes for o in n.outputs if o}
    for i, node in enumerate(entry.nodes):
        flaws += _shape_flaws(node, i)
        flaws += _input_flaws(node, i, shape_of, producers)
        for j, name in enumerate(node.outputs):
            if name and name in shape_of:
                place = "nodes", i, "outputs", j
                flaws.append(Flaw(place, f"'{name}' is produced twice", "each name once"))
            shape_of[name] = node.out_shapes[j] if j < len(node.out_shapes) else None
    for j, name in enumerate(entry.outputs or []):
        if name not in shape_of:
            message, near = f"no node produces '{name}'", nearest(name, shape_of)
            flaws.append(Flaw(("outputs", j), message, "an output of a node", near))
    return locate(flaws, marks, file)


def _shape_flaws(node: NodeEntry, index: int) -> Iterator[Flaw]:
    """Yield shapes of a node that are not shapes, or not one for each of its tensors."""
    for key, names, shapes in (
        ("in_shapes", node.inputs, node.in_shapes),
        ("out_shapes", node.outputs, node.out_shapes),
    ):
        if shapes and len(shapes) != len(names):
            message = f"{len(shapes)} shapes for {len(names)} tensors"
            yield Flaw(("nodes", index, key), message, "one for each, or null")
        for j, shape in enumerate(shapes):
            if shape is not None and any(not 0 <= d <= _LIMIT for d in shape):
                message = f"{shape} is not a shape"
                yield Flaw(("nodes", index, key, j), message, f"extents from 0 to {_LIMIT}")


def _input_flaws(
    node: NodeEntry,
    index: int,
    shape_of: Mapping[str, list[int] | None],
    producers: Mapping[str, str],
) -> Iterator[Flaw]:
    """Yield inputs of a node that no earlier node produces, or with another shape than theirs."""
    for j, name in enumerate(node.inputs):
        place = "nodes", index, "inputs", j
        if name in node.weights or not name:
            continue
        if name in shape_of:
            shape, read = shape_of[name], _shape(node.in_shapes, j)
            is_fixed = shape and all(0 < d <= _LIMIT for d in shape)
            if shape and is_fixed and read and tuple(shape) != read:
                message = f"'{name}' is read as {list(read)}"
                place = "nodes", index, "in_shapes", j
                yield Flaw(place, message, f"{shape}, as it is produced")
        elif name in producers:
            message = f"'{name}' is read before '{producers[name]}' produces it"
            yield Flaw(place, message, "nodes in order of execution, without a cycle")
        elif not _COMPUTED.search(name) and j not in STRUCTURAL.get(node.op, ()):
            yield Flaw(
                place,
                f"no node produces '{name}'",
                "an input of the graph, an output of a node, or a name among 'weights'",
                nearest(name, [*shape_of, *node.weights]),
            )


def _graph(entry: GraphEntry, name: str) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph of the nodes in the file, and notes for the user."""
    builder = LayerBuilder(name)
    pricer = NodePricer(builder)
    edges = _edges(entry)
    for input_name in entry.inputs:
        builder.inputs.append(pricer.tensor(edges[input_name]).name)
    read_by_someone: set[str] = set()
    nodes = _nodes(entry, edges)
    sliced = complete_shapes(nodes)
    for node in nodes:
        # Shapes are fixed: a node without data inputs is folded, and an Identity is not dispatched.
        has_data_input = any(e.is_data for e in node.present_inputs)
        node.is_dispatched = has_data_input and node.op not in {"Identity", "Dropout"}
        pricer.dispatch(node)
        read_by_someone.update(e.name for e in node.present_inputs)
    outputs = entry.outputs
    if outputs is None:
        produced = [o for n in entry.nodes for o in n.outputs if o]
        outputs = [o for o in produced if o not in read_by_someone]
    for output in outputs:
        tensor = edges[output].tensor
        if tensor is not None and tensor.name not in builder.outputs:
            builder.outputs.append(tensor.name)
    notes = list(pricer.notes)
    if sliced:
        notes.append(
            f"{len(sliced)} slices take the channels that their readers expect, or what those leave"
        )
    if builder.not_priced:
        notes.append(f"{len(builder.not_priced)} operators are not priced")
    return builder.build(), tuple(notes)


def _edges(entry: GraphEntry) -> dict[str, OnnxValue]:
    """Return every value of the file; a value of unknown extents has no shape."""
    edges: dict[str, OnnxValue] = {n: OnnxValue(n, tuple(s)) for n, s in entry.inputs.items()}
    produced = {o for n in entry.nodes for o in n.outputs}
    for node in entry.nodes:
        structural = STRUCTURAL.get(node.op, ())
        for i, name in enumerate(node.inputs):
            if name and name not in edges and name not in produced:
                folded = _COMPUTED.search(name) or i in structural
                kind = "constant" if folded else "weight"
                edges[name] = OnnxValue(name, _shape(node.in_shapes, i), kind)
        kind = "constant" if node.op in {"Constant", "Shape", "Size"} else "data"
        for i, name in enumerate(node.outputs):
            if name:
                edges[name] = OnnxValue(name, _computed_shape(node, i), kind)
        if node.op == "Gather" and len(node.inputs) > 1 and node.inputs[1] in entry.inputs:
            edges[node.inputs[1]].format = "int64"
    return edges


def _shape(shapes: Sequence[list[int] | None], index: int) -> Shape | None:
    shape = shapes[index] if index < len(shapes) else None
    return None if shape is None else tuple(shape)


def _computed_shape(node: NodeEntry, index: int) -> Shape | None:
    """Return an output's shape, or ``None`` if it has a zero extent, or no axis (not inferred).

    Only reductions and constants may be scalars.
    """
    shape = _shape(node.out_shapes, index)
    scalar = node.op.startswith(("Reduce", "Arg", "Constant"))
    return None if shape is None or 0 in shape or not (shape or scalar) else shape


def _nodes(entry: GraphEntry, edges: Mapping[str, OnnxValue]) -> list[OnnxNode]:
    """Return the nodes of the file over its values."""
    return [
        OnnxNode(
            n.op,
            n.name or f"{n.op}_{i}",
            tuple(map(edges.get, n.inputs)),
            tuple(map(edges.get, n.outputs)),
            n.attrs,
            n.domain,
        )
        for i, n in enumerate(entry.nodes)
    ]
