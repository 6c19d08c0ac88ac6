"""The workload graph: operators over tensors, in blocks with a count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from perfmodel.workload.nest import LoopNest
from perfmodel.workload.symbols import Dim, constant, evaluate, product, simplify

if TYPE_CHECKING:
    import networkx as nx

#: Roles of tensors. `state` is a recurrent or scan state, kept like an activation.
ROLES = ("activation", "weight", "kv", "state")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: name, shape and how it is stored.

    Attributes
    ----------
    role
        One of `ROLES`.
    tag
        Part of a network whose format may differ (``vector``, ``attn_v``, ``ffn_down``, ``head``,
        ``embedding``, ``expert``).
    format
        A fixed format that a precision does not change (``int64`` indices, the ``int8`` of a
        quantised file); empty for one that the precision decides.
    external
        Exists before the first operator or after the last one (network input or output).
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
        """What decides its bits: ``role``, ``role:tag`` or ``=format``."""
        if self.format:
            return f"={self.format}"
        return f"{self.role}:{self.tag}" if self.tag else self.role


@dataclass(frozen=True, slots=True)
class Access:
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
        ``resize``, ``quantise``, ``view`` (free).
    nests
        Its loop nests; empty where it multiplies nothing.
    vector_ops
        Arithmetic operations outside the nests.
    accesses
        What it reads and writes.
    pair
        Slots of the two multiplied operands (their formats decide the compute format).
    masked_macs
        Part of the multiply-accumulates that a causal mask or window voids.
    scores
        Elements of an attention matrix that an unfused kernel writes and reads.
    inplace
        Name of the input whose buffer the output may take over, or empty.
    sparse_density
        Fraction of weights that are not zero.
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
        total: Dim = 0
        for nest in self.nests:
            total = total + nest.macs
        return simplify(total)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors it reads."""
        return tuple(a.tensor for a in self.accesses if a.mode == "read")

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of the tensors it writes."""
        return tuple(a.tensor for a in self.accesses if a.mode == "write")


@dataclass(frozen=True, slots=True)
class Block:
    """Operators executed in order, `count` times.

    `phase` is empty, ``prefill``, ``decode``, ``encode``, ``forward`` or ``backward``; `layer` marks
    a block that repeats a layer (a runtime may charge a cost a layer). Weights of a block are stored
    `stored` times: `count` for layers, once for the decode steps of a request.
    """

    name: str
    count: Dim
    operators: tuple[Operator, ...]
    phase: str = ""
    layer: bool = False
    stored: Dim = 1


@dataclass(frozen=True)
class Graph:
    """A network: tensors, blocks of operators, and the names of what goes in and comes out."""

    name: str
    tensors: Mapping[str, Tensor]
    blocks: tuple[Block, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    not_priced: tuple[str, ...] = ()
    schedulable_only: bool = False
    defaults: Mapping[str, float] = field(default_factory=dict[str, float])

    def walk(self) -> Iterator[tuple[Block, Operator]]:
        """Iterate over every operator with its block, in execution order."""
        for block in self.blocks:
            for operator in block.operators:
                yield block, operator

    @property
    def macs(self) -> Dim:
        """Multiply-accumulates of the whole graph, before any mask."""
        total: Dim = 0
        for block, operator in self.walk():
            total = total + block.count * operator.macs
        return simplify(total)

    @property
    def weight_elements(self) -> Dim:
        """Stored parameters: every weight once, times the layers that have their own."""
        total: Dim = 0
        for name, times in self.stored_weights().items():
            total = total + times * self.tensors[name].elements
        return simplify(total)

    def stored_weights(self) -> dict[str, Dim]:
        """Return weight name -> how many copies are stored (tied weights once)."""
        stored: dict[str, Dim] = {}
        for block, operator in self.walk():
            for name in operator.reads:
                if self.tensors[name].role == "weight":
                    stored.setdefault(name, block.stored)
        return stored

    def unroll(self, values: Mapping[str, float] | None = None) -> Graph:
        """Return the graph with every repetition written out, for schedulers.

        Parameters
        ----------
        values
            Numbers for free dimensions; needed where a count is free.

        Raises
        ------
        ValueError
            A count is not a whole number.
        """
        tensors: dict[str, Tensor] = dict(self.tensors)
        blocks: list[Block] = []
        carried: dict[str, str] = {}
        for block in self.blocks:
            times = constant(evaluate(block.count, {**self.defaults, **(values or {})}))
            if times is None or times != int(times):
                raise ValueError(f"block '{block.name}' has no whole count: {block.count}")
            written = {name for op in block.operators for name in op.writes}
            first = next(iter(block.operators[0].reads), "") if block.operators else ""
            last = block.operators[-1].writes[-1] if block.operators else ""
            for i in range(int(times)):
                own = block.operators
                if times > 1:
                    rename = {n: f"{n}@{i}" for n in written}
                    if block.layer:
                        weights = {a for op in own for a in op.reads}
                        rename |= {
                            n: f"{n}@{i}"
                            for n in weights
                            if tensors[n].role in {"weight", "kv", "state"}
                            and not _shared(self, block, n)
                        }
                    if i and first and self.tensors[first].role == "activation":
                        rename[first] = f"{last}@{i - 1}"
                    for old, new in rename.items():
                        tensors.setdefault(new, replace(tensors[old], name=new))
                    own = tuple(_renamed(op, {**carried, **rename}, f"@{i}") for op in own)
                elif carried:
                    own = tuple(_renamed(op, carried, "") for op in own)
                blocks.append(replace(block, name=f"{block.name}@{i}" if times > 1 else block.name,
                                      operators=own, count=1, stored=1))  # fmt: skip
            if times > 1:
                carried |= {n: f"{n}@{int(times) - 1}" for n in written}
        used = {n for b in blocks for op in b.operators for n in (*op.reads, *op.writes)}
        return replace(
            self,
            tensors={n: t for n, t in tensors.items() if n in used},
            blocks=tuple(blocks),
            outputs=tuple(carried.get(n, n) for n in self.outputs),
        )

    def to_networkx(self) -> nx.DiGraph[str]:
        """Return operators as nodes and tensors between them as edges (attribute ``tensor``)."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        made: dict[str, str] = {}
        for block, operator in self.walk():
            node = f"{block.name}/{operator.name}" if block.name else operator.name
            graph.add_node(node, kind=operator.kind, macs=operator.macs, count=block.count)
            for name in operator.reads:
                if name in made:
                    graph.add_edge(made[name], node, tensor=name)
            for name in operator.writes:
                made[name] = node
        return graph

    def content_hash(self) -> str:
        """Return a hash of the graph's content (structure, shapes and counts)."""
        text = repr((sorted(self.tensors.items()), self.blocks, self.inputs, self.outputs))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shared(graph: Graph, block: Block, name: str) -> bool:
    """Whether another block reads this weight too (tied across blocks)."""
    return any(
        name in operator.reads for other, operator in graph.walk() if other.name != block.name
    )


def _renamed(operator: Operator, names: Mapping[str, str], suffix: str) -> Operator:
    return replace(
        operator,
        name=operator.name + suffix,
        accesses=tuple(replace(a, tensor=names.get(a.tensor, a.tensor)) for a in operator.accesses),
        nests=tuple(
            replace(n, operands=tuple(replace(o, tensor=names.get(o.tensor, o.tensor))
                                      for o in n.operands))
            for n in operator.nests
        ),  # fmt: skip
    )
