"""Layout conversions between blocked and plain channels, inserted as copy operators.

A runtime may compute convolutions on channels in blocks of one vector (NCHWc). Operators that
support the blocked layout propagate it. A tensor read by any other operator, or leaving the
network, is first converted to the plain order, once; a plain tensor read by a convolution is
converted to blocks, once. Each conversion is a copy, and ends the fusion of the kernel that wrote
its input.

The rules are those of ONNX Runtime's `NchwcTransformer` (onnxruntime/core/optimizer/
nchwc_transformer.cc); rules of other runtimes are fields of `BlockedChannelLayout`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.symbols import constant, total


class BlockedChannelLayout(NamedTuple):
    """Rules of a runtime that stores channels in blocks.

    Attributes
    ----------
    block
        Channels in a block; 0 disables blocking.
    functions
        Functions that propagate the layout, of one tensor or of two of the same shape.
    stored_with
        Functions that a convolution applies while storing, if nothing else reads its output.
    grouped
        Whether grouped convolutions whose channels fill whole blocks read and write blocks too.
    broadcasts
        Whether a binary function propagates the layout if one operand is one pixel per channel.
    joins
        Whether concatenation along channels propagates the layout if its result fills whole blocks,
        regardless of its parts.
    """

    block: int = 0
    functions: tuple[str, ...] = ()
    stored_with: tuple[str, ...] = ()
    grouped: bool = False
    broadcasts: bool = False
    joins: bool = False


#: No blocking.
PLAIN: Final = BlockedChannelLayout()


class TensorLayout(NamedTuple):
    """Layout of a tensor between two operators, as far as later conversions depend on it.

    Attributes
    ----------
    blocked
        Whether it was written in blocks.
    converted
        Whether it exists in the other layout too.
    convolved
        Whether a convolution wrote it, with or without a folded normalisation.
    """

    blocked: bool
    converted: bool
    convolved: bool


def with_conversions(graph: Graph, layout: BlockedChannelLayout) -> Graph:
    """Return the graph with copies where the layout changes; the graph itself if it does not.

    A conversion writes a new tensor with an immediate end of its live range; readers keep the name
    of the converted tensor, which has the same size. If the network is a piece of another one, an
    input image that a convolution or a pool reads is assumed to be blocked already, provided that
    it has more channels than a picture. Single-pixel images have the same order in both layouts,
    and outputs of the network are not converted.
    """
    return _converted(graph, layout) if layout.block else graph


@cached(GRAPH_BYTES, identity_keys=1)
def _converted(graph: Graph, layout: BlockedChannelLayout) -> Graph:
    return _LayoutPass(graph, layout).converted()


def part_with_conversions(
    graph: Graph, layout: BlockedChannelLayout, *, first: bool, last: bool
) -> Graph | None:
    """Return a part of a network with copies where the layout changes inside it.

    Images between layers enter the part in blocks. The result is None if one leaves it in the plain
    order, so that the conversions of the following part would differ.

    Parameters
    ----------
    first, last
        Whether the inputs of the part are those of the network, and likewise its outputs.
    """
    layout_pass = _LayoutPass(graph, layout, is_inside=not first)
    converted = layout_pass.converted()
    if last:
        return converted
    leaving = {layout_pass.alias.get(name, name) for name in graph.outputs}
    feature_maps = {name for name in leaving if layout_pass.is_feature_map(name)}
    return converted if feature_maps <= layout_pass.blocked else None


def input_layouts(graph: Graph, layout: BlockedChannelLayout) -> dict[str, TensorLayout]:
    """Return the layouts of a network's inputs."""
    layout_pass = _LayoutPass(graph, layout)
    return {name: layout_pass.layout_of(name) for name in graph.inputs}


def part_from_layouts(
    graph: Graph,
    layout: BlockedChannelLayout,
    entering: Mapping[str, TensorLayout],
    boundary: Container[str],
) -> tuple[Graph, dict[str, TensorLayout]]:
    """Return a part of a network with its conversions, and the layouts of all tensors after it.

    Parameters
    ----------
    entering
        Layouts of the tensors that enter the part.
    boundary
        Names of blocks that stand for the remaining network, in which nothing is converted.
    """
    layout_pass = _LayoutPass(graph, layout, entering=entering)
    converted = layout_pass.converted(boundary)
    return converted, {name: layout_pass.layout_of(name) for name in graph.tensors}


class _LayoutPass:
    """State of a pass over a graph in order of execution."""

    def __init__(
        self,
        graph: Graph,
        layout: BlockedChannelLayout,
        *,
        is_inside: bool = False,
        entering: Mapping[str, TensorLayout] | None = None,
    ) -> None:
        self.graph, self.layout = graph, layout
        self.alias = aliases(graph)
        seen = {
            name
            for _, operator in graph.walk()
            if operator.kind in ("conv", "depthwise", "pool")
            for name in operator.reads
        }
        self.blocked = {
            name
            for name in graph.inputs
            if (is_inside or name in seen) and self.is_feature_map(name)
        }
        #: Outputs of convolutions, with or without a folded normalisation.
        self.convolution_outputs: set[str] = set()
        #: Tensors that exist in both layouts.
        self.in_both_layouts: set[str] = set()
        if entering is not None:
            self.blocked = {name for name, own in entering.items() if own.blocked}
            self.convolution_outputs = {name for name, own in entering.items() if own.convolved}
            self.in_both_layouts = {name for name, own in entering.items() if own.converted}
        self.conversions: dict[str, Tensor] = {}
        self.readers: dict[str, int] = {}
        for _, operator in graph.walk():
            for name in operator.reads:
                self.readers[name] = self.readers.get(name, 0) + 1

    def layout_of(self, name: str) -> TensorLayout:
        """Return the layout of a tensor after the operators seen so far."""
        return TensorLayout(
            name in self.blocked, name in self.in_both_layouts, name in self.convolution_outputs
        )

    def converted(self, boundary: Container[str] = ()) -> Graph:
        """Return the graph with conversions outside some blocks; the graph itself if without."""
        blocks = tuple(
            block if block.name in boundary else self.block(block) for block in self.graph.blocks
        )
        if not self.conversions:
            return self.graph
        tensors = {**self.graph.tensors, **self.conversions}
        return replace(self.graph, tensors=tensors, blocks=blocks)

    def block(self, block: Block) -> Block:
        """Return a block with conversions inserted before the operators that need them."""
        out: list[Operator] = []
        for operator in block.operators:
            out += [*self._conversions_before(operator), operator]
        return block if len(out) == len(block.operators) else replace(block, operators=tuple(out))

    def _conversions_before(self, operator: Operator) -> list[Operator]:
        """Return the conversions that an operator needs, and record the layout of its outputs."""
        if operator.kind == "view":
            return []  # an alias: its readers refer to the tensor behind it
        graph = self.graph
        inputs = [
            name
            for name in dict.fromkeys(self.alias.get(n, n) for n in operator.reads)
            if name in graph.tensors and graph.tensors[name].role == "activation"
        ]
        if self._is_blocked_convolution(operator):
            self.blocked.update(operator.writes)
            self.convolution_outputs.update(operator.writes)
            return [
                self._conversion(n, "blocked")
                for n in inputs
                if n not in self.blocked | self.in_both_layouts and self._fills_a_block(n)
            ]
        if self._propagates_blocks(operator, inputs):
            self.blocked.update(operator.writes)
            if operator.function == "batch_norm" and inputs[0] in self.convolution_outputs:
                self.convolution_outputs.update(operator.writes)
            return []
        return [
            self._conversion(n, "plain")
            for n in inputs
            if n in self.blocked - self.in_both_layouts and not self._is_single_pixel(n)
        ]

    def _conversion(self, name: str, into: str) -> Operator:
        """Return the copy that converts a tensor to the other layout."""
        self.in_both_layouts.add(name)
        source = self.graph.tensors[name]
        converted = replace(source, name=f"{name} ({into})")
        self.conversions[converted.name] = converted
        accesses = (
            Access(name, "read", source.elements),
            Access(converted.name, "write", source.elements),
        )
        return Operator(
            f"{name} to {into}", "copy", accesses, attributes=(("function", "reorder"),)
        )

    def _fills_a_block(self, name: str) -> bool:
        """Return whether an image fills a block; convolutions read fewer channels unblocked."""
        shape = self.graph.tensors[name].shape
        if len(shape) != 4 or self._is_single_pixel(name):
            return False
        channels = constant(shape[1])
        return channels is None or channels >= self.layout.block

    def is_feature_map(self, name: str) -> bool:
        """Return whether an image has more channels than a picture, as between layers."""
        shape = self.graph.tensors[name].shape
        channels = constant(shape[1]) if len(shape) == 4 else 0
        return channels is None or channels > _MAX_PICTURE_CHANNELS

    def _is_single_pixel(self, name: str) -> bool:
        """Return whether an image is a single pixel."""
        return all(constant(size) == 1 for size in self.graph.tensors[name].shape[2:])

    def _fills_whole_blocks(self, name: str) -> bool:
        """Return whether the channels fill whole blocks; free ones are assumed to."""
        shape = self.graph.tensors[name].shape
        channels = constant(shape[1]) if len(shape) == 4 else None
        return len(shape) == 4 and (channels is None or channels % self.layout.block == 0)

    def _is_blocked_convolution(self, operator: Operator) -> bool:
        """Return whether an operator is a convolution that reads and writes blocks."""
        if operator.kind not in ("conv", "depthwise") or operator.attribute("transposed"):
            return False
        kernel: Sequence[int] = operator.attribute("kernel", ())
        groups = constant(operator.attribute("groups", 1))
        if len(kernel) != 2 or operator.kind == "depthwise" or groups == 1:
            return len(kernel) == 2
        if not self.layout.grouped or groups is None:
            return False
        shapes = [
            self.graph.tensors[n].shape
            for n in (*operator.reads, *operator.writes)
            if self.graph.tensors[n].role == "activation"
        ]
        channels = [constant(shape[1]) for shape in shapes]
        return all(c is None or c % (groups * self.layout.block) == 0 for c in channels)

    def _have_compatible_shapes(self, inputs: Sequence[str]) -> bool:
        """Return whether images have one shape, or one is a pixel broadcast over the other."""
        shapes = {self.graph.tensors[name].shape for name in inputs}
        if len(shapes) == 1 or not self.layout.broadcasts:
            return len(shapes) == 1
        flat = all(len(shape) == 4 for shape in shapes)
        return (
            flat
            and len({shape[:2] for shape in shapes}) == 1
            and any(map(self._is_single_pixel, inputs))
        )

    def _concatenates_whole_blocks(self, operator: Operator) -> bool:
        """Return whether an operator concatenates images along channels to whole blocks."""
        parts = [self.graph.tensors[name].shape for name in operator.reads]
        shapes = [self.graph.tensors[name].shape for name in operator.writes]
        if (
            len(parts) < 2
            or len(shapes) != 1
            or any(len(shape) != 4 for shape in (*parts, *shapes))
        ):
            return False
        (joined,) = shapes
        is_compatible = all((s[0], *s[2:]) == (joined[0], *joined[2:]) for s in parts)
        return (
            is_compatible
            and total(shape[1] for shape in parts) == joined[1]
            and self._fills_whole_blocks(operator.writes[0])
        )

    def _propagates_blocks(self, operator: Operator, inputs: Sequence[str]) -> bool:
        """Return whether an operator with blocked inputs has blocked outputs."""
        if not inputs or not all(name in self.blocked for name in inputs):
            return False
        shapes = {self.graph.tensors[name].shape for name in inputs}
        match operator.kind:
            case "pool" | "resize":
                return all(len(shape) == 4 for shape in shapes)
            case "copy" if self.layout.joins:
                return self._concatenates_whole_blocks(operator)
            case "copy":  # concatenation along channels, each part in whole blocks
                joined = operator.attribute("op") == "Concat"
                return joined and all(self._fills_whole_blocks(name) for name in inputs)
            case "elementwise":
                function = operator.function
                if function in _BINARY_FUNCTIONS:
                    # A tensor may be added to itself; a constant operand is not among the reads.
                    is_compatible = len(operator.reads) == 2 and self._have_compatible_shapes(
                        inputs
                    )
                    return is_compatible and function in self.layout.functions
                if function in self.layout.functions:
                    return len(inputs) == 1
                (only,) = inputs if len(inputs) == 1 else ("",)
                stored = only in self.convolution_outputs and self.readers.get(only, 0) == 1
                return stored and function in self.layout.stored_with
            case _:
                return False


#: Most channels of a picture: colours and opacity.
_MAX_PICTURE_CHANNELS = 4
#: Binary functions; an operand that is not among the reads is a constant.
_BINARY_FUNCTIONS = frozenset({"add", "sub", "mul", "div", "max", "min", "pow"})
