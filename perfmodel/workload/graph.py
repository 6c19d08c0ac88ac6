"""Workload graph: operators on tensors, in blocks that are executed a number of times.

The representation that importers and families build and that all later stages read. A repeated
layer is stored once, as a `Block` with a count; extents are numbers or polynomials over free
dimensions (`perfmodel.workload.symbols`), so that one graph serves every batch, context and
resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.symbols import Dim, at_most, constant, product, simplify, total

if TYPE_CHECKING:
    import networkx as nx

#: Roles of tensors; `state` is a recurrent or scan state, stored like an activation.
ROLES = ("activation", "weight", "kv", "state")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: name, shape and storage format.

    Attributes
    ----------
    role
        One of `ROLES`.
    tag
        Part of a network whose format may differ (``vector``, ``attn_v``, ``ffn_down``, ``head``,
        ``embedding``, ``expert``).
    format
        Fixed format that a precision does not change (``int64`` indices, the ``int8`` of a
        quantised file); empty if the precision determines it.
    """

    name: str
    shape: tuple[Dim, ...]
    role: str = "activation"
    tag: str = ""
    format: str = ""

    @property
    def elements(self) -> Dim:
        """Number of elements."""
        return product(*self.shape)

    @property
    def slot(self) -> str:
        """Key of its format: ``role``, ``role:tag``, ``=format`` or ``weight=format``."""
        if self.format:
            return f"{'weight' if self.role == 'weight' else ''}={self.format}"
        return f"{self.role}:{self.tag}" if self.tag else self.role


class Access(NamedTuple):
    """Elements of one tensor that an operator reads or writes, each counted once."""

    tensor: str
    mode: str
    elements: Dim


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes
    ----------
    kind
        Class of operator: ``gemm``, ``conv``, ``depthwise``, ``attention``, ``moe``, ``norm``,
        ``softmax``, ``elementwise``, ``pool``, ``copy``, ``gather``, ``recurrent``, ``scan``,
        ``resize``, ``quantise``, ``stream`` (a loop over arrays), ``tree`` (walks down decision
        trees, in which each fetch depends on the previous one), ``view`` (free), ``dispatch``
        (a launch without computation or data movement; `perfmodel.workload.view_dispatches`).
    nests
        Its loop nests; empty if it multiplies nothing.
    vector_ops
        Arithmetic operations outside the nests.
    accesses
        Tensors that it reads and writes, with the number of elements.
    pair
        Slots of the two multiplied operands, whose formats determine the compute format.
    masked_macs
        Multiply-accumulates whose results a causal mask or window discards.
    scores
        Elements of an attention's score matrix, which an unfused kernel writes and reads.
    inplace
        Name of the input whose buffer the output may reuse, or empty.
    attributes
        Further properties as sorted (name, value) pairs, such as ``kernel`` and ``stride``.
    """

    name: str
    kind: str
    accesses: tuple[Access, ...]
    nests: tuple[LoopNest, ...] = ()
    vector_ops: Dim = 0
    pair: tuple[str, str] = ("weight", "activation")
    masked_macs: Dim = 0
    scores: Dim = 0
    inplace: str = ""
    attributes: tuple[tuple[str, Any], ...] = ()

    @property
    def macs(self) -> Dim:
        """Multiply-accumulates of its nests, before any mask."""
        return total(nest.macs for nest in self.nests)

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return one of its attributes; `default` if it lacks the attribute."""
        for known, value in self.attributes:
            if known == name:
                return value
        return default

    def with_attributes(self, **more: Any) -> Operator:
        """Return the operator with further attributes."""
        return replace(self, attributes=tuple(sorted((dict(self.attributes) | more).items())))

    @property
    def function(self) -> str:
        """Function of an elementwise operator or a normalisation (``relu``); else empty."""
        return str(self.attribute("function", ""))

    @property
    def algorithm(self) -> str:
        """Algorithm that a runtime uses for a convolution; empty for the direct one."""
        return str(self.attribute("algorithm", ""))

    @property
    def kernel_class(self) -> str:
        """Class of kernels that runs it: its kind, or ``grouped`` for a grouped convolution."""
        is_grouped = self.kind == "conv" and constant(self.attribute("groups", 1)) != 1
        return "grouped" if is_grouped else self.kind

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that it reads."""
        return tuple([a.tensor for a in self.accesses if a.mode == "read"])

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of the tensors that it writes."""
        return tuple([a.tensor for a in self.accesses if a.mode == "write"])

    @property
    def tensors(self) -> frozenset[str]:
        """Names of all its tensors, including those that occur in its nests only."""
        operands = (o.tensor for nest in self.nests for o in nest.operands)
        return frozenset((*(a.tensor for a in self.accesses), *operands))

    def renamed(
        self, read: Mapping[str, str], written: Mapping[str, str], suffix: str = ""
    ) -> Operator:
        """Return the operator with renamed tensors, also in its nests.

        Parameters
        ----------
        read, written
            Name of a tensor -> new name where it is read, and where it is written.
        suffix
            What its own name ends with.
        """
        accesses = [
            Access(
                (written if a.mode == "write" else read).get(a.tensor, a.tensor), a.mode, a.elements
            )
            for a in self.accesses
        ]
        nests: list[LoopNest] = []
        for nest in self.nests:
            operands: list[Operand] = []
            for o in nest.operands:
                names = written if o.role == "output" else read
                operands.append(Operand(names.get(o.tensor, o.tensor), o.role, o.axes, o.limits))
            nests.append(LoopNest(nest.dims, tuple(operands)))
        # Unrolled graphs have tens of thousands of operators: `replace` takes twice the time.
        return Operator(
            self.name + suffix,
            self.kind,
            tuple(accesses),
            tuple(nests),
            self.vector_ops,
            self.pair,
            self.masked_macs,
            self.scores,
            read.get(self.inplace, self.inplace),
            self.attributes,
        )

    @property
    def scores_tensor(self) -> str:
        """Name of an attention's scores in its nests; empty for other operators."""
        if self.kind != "attention" or not self.nests:
            return ""
        return self.nests[0].output.tensor


@dataclass(frozen=True, slots=True)
class Block:
    """Operators that are executed in order, `count` times.

    `phase` is empty, ``prefill``, ``decode``, ``encode``, ``forward`` or ``backward``; `layer`
    marks a block that repeats a layer (a runtime may charge a cost per layer). Weights of a block
    are stored `stored` times: `count` for layers, once for the decode steps of a request.
    """

    name: str
    count: Dim
    operators: tuple[Operator, ...]
    phase: str = ""
    layer: bool = False
    stored: Dim = 1


@dataclass(frozen=True)
class Graph:
    """A network: tensors, blocks of operators, and the names of its inputs and outputs."""

    name: str
    tensors: Mapping[str, Tensor]
    blocks: tuple[Block, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    not_priced: tuple[str, ...] = ()
    schedulable_only: bool = False
    defaults: Mapping[str, float] = field(default_factory=dict[str, float])
    views: Dim = 0
    """Nodes in the network's file that are not kernels but may be dispatched by a runtime: views,
    and arithmetic on shapes that are known only at run time."""
    calls: Dim = 0
    """Number of control-flow bodies (``If``, ``Loop``, ``Scan``) that a run enters."""

    def walk(self) -> Iterator[tuple[Block, Operator]]:
        """Iterate over all operators with their blocks, in order of execution."""
        for block in self.blocks:
            for operator in block.operators:
                yield block, operator

    def map_operators(self, rewrite: Callable[[Operator], Operator]) -> Graph:
        """Return the graph with each operator rewritten."""
        blocks = (replace(b, operators=tuple(map(rewrite, b.operators))) for b in self.blocks)
        return replace(self, blocks=tuple(blocks))

    @cached_property
    def macs(self) -> Dim:
        """Multiply-accumulates of the whole graph, before any mask."""
        return total(block.count * operator.macs for block, operator in self.walk())

    @cached_property
    def row_lengths(self) -> Mapping[str, int]:
        """Row length, in elements, of the stored matrices by tag."""
        return {
            tensor.tag: int(tensor.shape[-1])
            for tensor in self.tensors.values()
            if tensor.role == "weight"
            and tensor.tag not in ("", "vector")
            and isinstance(tensor.shape[-1], int)
        }

    @property
    def weight_elements(self) -> Dim:
        """Number of stored parameters, with separate weights for each layer."""
        stored = self.stored_weights()
        return total(times * self.tensors[name].elements for name, times in stored.items())

    @property
    def active_weight_elements(self) -> Dim:
        """Number of weight elements that a run reads: the "active parameters" of a model card.

        Each element counts once, however often it is read: an embedding table reused by the
        classifier is one tensor, and so are the weights of a recurrence. Of an embedding table,
        only the rows that are read count; of experts, only those that are touched. Bind ``batch``
        of a decode step to 1 for the number on model cards.
        """
        read: dict[str, Dim] = {}
        for block, operator in self.walk():
            for access in operator.accesses:
                if access.mode == "read" and self.tensors[access.tensor].role == "weight":
                    known = read.get(access.tensor, 0)
                    read[access.tensor] = known + block.count * access.elements
        stored = self.stored_weights()
        sizes = {name: stored[name] * self.tensors[name].elements for name in read}
        return total(at_most(simplify(read[name]), simplify(sizes[name])) for name in read)

    def stored_weights(self) -> dict[str, Dim]:
        """Return weight name -> number of stored copies (tied weights once)."""
        weights = {name for name, tensor in self.tensors.items() if tensor.role == "weight"}
        stored: dict[str, Dim] = {}
        for block, operator in self.walk():
            for access in operator.accesses:
                if access.tensor in weights and access.mode == "read":
                    stored.setdefault(access.tensor, block.stored)
        return stored

    def unroll(self, values: Mapping[str, float] | None = None) -> Graph:
        """Return the graph with all repetitions unrolled, for schedulers.

        Repetition ``i`` of a block names its tensors and operators ``name@i``. Weights and caches
        are separate per layer; tensors shared by several blocks remain single. The steps of a phase
        that runs several times are executed one after another.

        Parameters
        ----------
        values
            Numbers for free dimensions; required if a count is free.

        Raises
        ------
        ValueError
            A count is not an integer.
        """
        from perfmodel.workload.unroll import unroll

        return unroll(self, values or {})

    def to_networkx(self) -> nx.DiGraph[str]:
        """Return the operators as nodes and the tensors between them as edges.

        Nodes have attributes ``kind``, ``macs``, ``count`` and ``phase``; edges have ``tensors``,
        the names of the tensors that the second operator reads from the first.
        """
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        producers: dict[str, str] = {}
        for block, operator in self.walk():
            node = operator.name
            graph.add_node(
                node, kind=operator.kind, macs=operator.macs, count=block.count, phase=block.phase
            )
            read: dict[str, tuple[str, ...]] = {}
            for name in operator.reads:
                if producers.get(name, node) != node:
                    read[producers[name]] = (*read.get(producers[name], ()), name)
            for source, names in read.items():
                graph.add_edge(source, node, tensors=names)
            for name in operator.writes:
                producers[name] = node
        return graph

    def content_hash(self) -> str:
        """Return a hash of the graph's structure, shapes and counts."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        from hashlib import sha256  # loads OpenSSL, which no prediction needs

        text = repr((sorted(self.tensors.items()), self.blocks, self.inputs, self.outputs))
        return sha256(text.encode()).hexdigest()[:16]
