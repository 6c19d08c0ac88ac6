"""Layouts that kernels want: conversions between blocked and plain channels, as operators.

A runtime may run convolutions on channels in blocks of a vector. Operators that know that layout
pass it on; a tensor that one of the others reads, or that leaves the network, is put back into
plain order first, once, and a plain tensor that a convolution reads is put into blocks, once. Each
is a copy, and a kernel that wrote it keeps nothing inside for its riders.

The rules are those of ONNX Runtime's `NchwcTransformer` (onnxruntime/core/optimizer/
nchwc_transformer.cc); what other runtimes do beyond them is a field of `BlockedChannelLayout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.symbols import Dim, constant, simplify


class BlockedChannelLayout(NamedTuple):
    """What a runtime keeps in blocks of channels.

    Attributes
    ----------
    block
        Channels in a block; 0 where nothing is blocked.
    functions
        Functions of one tensor that pass blocks on, or of two alike.
    stored_with
        Functions that a convolution applies while it stores, where it is their only writer.
    grouped
        Convolutions in groups whose channels fill whole blocks take and give blocks too.
    broadcasts
        A function of two also passes blocks on where one is a single pixel of as many channels.
    joins
        A join along channels passes blocks on where its result fills whole ones, its parts or not.
    """

    block: int = 0
    functions: tuple[str, ...] = ()
    stored_with: tuple[str, ...] = ()
    grouped: bool = False
    broadcasts: bool = False
    joins: bool = False


#: Nothing in blocks.
PLAIN: Final = BlockedChannelLayout()


def with_conversions(graph: Graph, layout: BlockedChannelLayout) -> Graph:
    """Return the graph with copies where layouts change; the graph itself where none does.

    What conversions write is a tensor of its own that is let go of at once; readers keep the name
    of the tensor that was converted, whose size is the same. Where the network is a piece of
    another one, an image that enters with more channels than a picture, and that a convolution or
    a pool reads, lies in blocks already. Images of
    a single pixel are the same in both orders, and what leaves the network is left as it is.
    """
    return _converted(graph, layout) if layout.block else graph


@cached(GRAPH_BYTES, same=1)
def _converted(graph: Graph, layout: BlockedChannelLayout) -> Graph:
    walk = _LayoutPass(graph, layout)
    blocks = tuple(walk.block(block) for block in graph.blocks)
    if not walk.made:
        return graph
    return replace(graph, tensors={**graph.tensors, **walk.made}, blocks=blocks)


class _LayoutPass:
    """The state of a pass over a graph in order of execution."""

    def __init__(self, graph: Graph, layout: BlockedChannelLayout) -> None:
        self.graph, self.layout = graph, layout
        self.alias = aliases(graph)
        seen = {
            name
            for _, operator in graph.walk()
            if operator.kind in ("conv", "depthwise", "pool")
            for name in operator.reads
        }
        self.blocked = {name for name in graph.inputs if name in seen and self._inner(name)}
        #: Those that a convolution stores, its folded normalisation included.
        self.fresh: set[str] = set()
        #: Tensors that lie in the other order too.
        self.both: set[str] = set()
        self.made: dict[str, Tensor] = {}
        self.readers: dict[str, int] = {}
        for _, operator in graph.walk():
            for name in operator.reads:
                self.readers[name] = self.readers.get(name, 0) + 1

    def block(self, block: Block) -> Block:
        """Return a block with the conversions before the operators that need them."""
        out: list[Operator] = []
        for operator in block.operators:
            out += [*self._before(operator), operator]
        return block if len(out) == len(block.operators) else replace(block, operators=tuple(out))

    def _before(self, operator: Operator) -> list[Operator]:
        """Return the conversions that an operator needs, and note where its results lie."""
        if operator.kind == "view":
            return []  # another name: whoever reads it finds the tensor behind it
        graph = self.graph
        inputs = [
            name
            for name in dict.fromkeys(self.alias.get(n, n) for n in operator.reads)
            if name in graph.tensors and graph.tensors[name].role == "activation"
        ]
        if self._convolves(operator):
            self.blocked.update(operator.writes)
            self.fresh.update(operator.writes)
            return [
                self._copy(n, "blocked")
                for n in inputs
                if n not in self.blocked | self.both and self._fills(n)
            ]
        if self._passes(operator, inputs):
            self.blocked.update(operator.writes)
            if _function(operator) == "batch_norm" and inputs[0] in self.fresh:
                self.fresh.update(operator.writes)
            return []
        return [
            self._copy(n, "plain")
            for n in inputs
            if n in self.blocked - self.both and not self._pixel(n)
        ]

    def _copy(self, name: str, into: str) -> Operator:
        self.both.add(name)
        source = self.graph.tensors[name]
        made = replace(source, name=f"{name} ({into})")
        self.made[made.name] = made
        accesses = (
            Access(name, "read", source.elements),
            Access(made.name, "write", source.elements),
        )
        return Operator(
            f"{name} to {into}", "copy", accesses, attributes=(("function", "reorder"),)
        )

    def _fills(self, name: str) -> bool:
        """Whether an image has the channels of a block; a convolution reads fewer as they are."""
        shape = self.graph.tensors[name].shape
        if len(shape) != 4 or self._pixel(name):
            return False
        channels = constant(shape[1])
        return channels is None or channels >= self.layout.block

    def _inner(self, name: str) -> bool:
        """Whether an image has more channels than pictures have: one between layers."""
        shape = self.graph.tensors[name].shape
        channels = constant(shape[1]) if len(shape) == 4 else 0
        return channels is None or channels > _PICTURE

    def _pixel(self, name: str) -> bool:
        """Whether an image is of one pixel."""
        return all(constant(size) == 1 for size in self.graph.tensors[name].shape[2:])

    def _whole(self, name: str) -> bool:
        """Whether channels fill whole blocks; free ones are taken to."""
        shape = self.graph.tensors[name].shape
        channels = constant(shape[1]) if len(shape) == 4 else None
        return len(shape) == 4 and (channels is None or channels % self.layout.block == 0)

    def _convolves(self, operator: Operator) -> bool:
        """Whether an operator is a convolution of images that takes and gives blocks."""
        said = dict(operator.attributes)
        if operator.kind not in ("conv", "depthwise") or said.get("transposed"):
            return False
        kernel: Sequence[int] = said.get("kernel", ())
        groups = constant(said.get("groups", 1))
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

    def _alike(self, inputs: Sequence[str]) -> bool:
        """Whether images are of one shape, or one is a pixel that is broadcast over the other."""
        shapes = {self.graph.tensors[name].shape for name in inputs}
        if len(shapes) == 1 or not self.layout.broadcasts:
            return len(shapes) == 1
        flat = all(len(shape) == 4 for shape in shapes)
        return flat and len({shape[:2] for shape in shapes}) == 1 and any(map(self._pixel, inputs))

    def _joins(self, operator: Operator) -> bool:
        """Whether an operator puts images behind each other along channels, to whole blocks."""
        parts = [self.graph.tensors[name].shape for name in operator.reads]
        made = [self.graph.tensors[name].shape for name in operator.writes]
        if len(parts) < 2 or len(made) != 1 or any(len(shape) != 4 for shape in (*parts, *made)):
            return False
        total: Dim = 0
        for shape in parts:
            total = total + shape[1]
        (whole,) = made
        alike = all((s[0], *s[2:]) == (whole[0], *whole[2:]) for s in parts)
        return alike and simplify(total) == whole[1] and self._whole(operator.writes[0])

    def _passes(self, operator: Operator, inputs: Sequence[str]) -> bool:
        """Whether an operator of blocked tensors gives blocked ones."""
        if not inputs or not all(name in self.blocked for name in inputs):
            return False
        shapes = {self.graph.tensors[name].shape for name in inputs}
        match operator.kind:
            case "pool" | "resize":
                return all(len(shape) == 4 for shape in shapes)
            case "copy" if self.layout.joins:
                return self._joins(operator)
            case "copy":  # joined along channels: whole blocks
                joined = dict(operator.attributes).get("op") == "Concat"
                return joined and all(self._whole(name) for name in inputs)
            case "elementwise":
                function = _function(operator)
                if function in _OF_TWO:
                    # A tensor may be added to itself; a constant stands among no reads.
                    alike = len(operator.reads) == 2 and self._alike(inputs)
                    return alike and function in self.layout.functions
                if function in self.layout.functions:
                    return len(inputs) == 1
                (only,) = inputs if len(inputs) == 1 else ("",)
                stored = only in self.fresh and self.readers.get(only, 0) == 1
                return stored and function in self.layout.stored_with
            case _:
                return False


def _function(operator: Operator) -> str:
    return str(dict(operator.attributes).get("function", ""))


#: Channels of a picture: colours and opacity.
_PICTURE = 4
#: Functions whose second operand, where it is no tensor of the run, is a constant.
_OF_TWO = frozenset({"add", "sub", "mul", "div", "max", "min", "pow"})
