"""Rewriting of a graph to what a runtime executes: formats, layouts and convolution algorithms.

The second stage of a prediction, between the network as written and fusion. `ExecutionPolicy`
states what a runtime changes, and `apply_execution_policy` returns the changed graph: an operator
that has no kernel in the network's format runs in another one between two conversions; convolutions
get an algorithm; a blocked channel layout adds copies at its boundaries; views are dispatched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.formats import fixed_format
from perfmodel.workload.convolution_algorithms import select_algorithm, weight_growth
from perfmodel.workload.graph import Access, Block, Graph, Operator
from perfmodel.workload.layout_conversions import PLAIN, BlockedChannelLayout, with_conversions
from perfmodel.workload.symbols import simplify
from perfmodel.workload.vector_functions import VECTOR_OPS
from perfmodel.workload.view_dispatches import with_view_dispatches

#: Compute formats that are not storage formats -> the format in which they are stored.
_STORED: Mapping[str, str] = {"fp8": "fp8_e4m3", "tf32": "fp32"}
#: Operators without computation, in any format.
_MOVEMENTS = frozenset({"view", "copy", "gather", "quantise"})


class ExecutionPolicy(NamedTuple):
    """Changes that a runtime makes to a network; mappings are tuples of (key, words).

    Attributes
    ----------
    executes
        Class or function -> supported compute formats, the fallback first.
    algorithms
        Class of convolution -> algorithms, in order of preference.
    integer_algorithms
        Class of convolution -> algorithms for 8-bit integers, where they differ.
    active_neurons
        Share of feed-forward neurons that are read and computed; 0 for all of them.
    layout
        Layout of channels, with conversions at its boundaries.
    views
        Whether views are dispatched like other operators.
    """

    executes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    algorithms: tuple[tuple[str, tuple[str, ...]], ...] = ()
    integer_algorithms: tuple[tuple[str, tuple[str, ...]], ...] = ()
    active_neurons: float = 0.0
    layout: BlockedChannelLayout = PLAIN
    views: bool = False

    @property
    def rewrites(self) -> bool:
        """Whether operators change, apart from layout conversions between them."""
        return bool(self.executes or self.algorithms or self.active_neurons)


def apply_execution_policy(graph: Graph, execution: ExecutionPolicy, activations: str) -> Graph:
    """Return the graph with the changes that a runtime makes; the same object if there are none.

    Parameters
    ----------
    activations
        Compute format of activations without a fixed format.

    Returns
    -------
    Graph
        The graph with ``quantise`` operators around operators that fall back to another format
        (separate kernels that nothing fuses with), ``algorithm`` among the attributes of
        convolutions, a ``copy`` at each change of layout (`layout_conversions`), and last a row for
        the views (`view_dispatches`). Weights are laid out and converted
        in advance, at no cost.
    """
    if execution.rewrites:
        graph = _with_policy(graph, execution._replace(layout=PLAIN, views=False), activations)
    graph = with_conversions(graph, execution.layout)
    return with_view_dispatches(graph) if execution.views else graph


@cached(GRAPH_BYTES, identity_keys=1)
def _with_policy(graph: Graph, execution: ExecutionPolicy, activations: str) -> Graph:
    """Apply algorithms, active neurons and format fallbacks, in this order."""
    algorithms = dict(execution.algorithms)
    if activations == "int8":
        algorithms.update(execution.integer_algorithms)
    if algorithms:
        graph = _with_algorithms(graph, algorithms)
    if execution.active_neurons:
        graph = _with_active_neurons(graph, execution.active_neurons)
    if execution.executes:
        graph = _FallbackInsertion(graph, dict(execution.executes), activations).graph
    return graph


def _with_algorithms(graph: Graph, supported: Mapping[str, tuple[str, ...]]) -> Graph:
    """Return the graph with an algorithm for each convolution that has one."""

    def with_algorithm(operator: Operator) -> Operator:
        name = select_algorithm(operator, supported.get(operator.kernel_class, ()))
        if not name:
            return operator
        operator = operator.with_attributes(algorithm=name)
        grown = weight_growth(name)
        if grown == 1.0:
            return operator
        # Filters are transformed when the network is loaded, and are stored and read in that form.
        accesses = tuple(
            a._replace(elements=simplify(grown * a.elements))
            if graph.tensors[a.tensor].role == "weight" and len(graph.tensors[a.tensor].shape) > 1
            else a
            for a in operator.accesses
        )
        return replace(operator, accesses=accesses)

    return graph.map_operators(with_algorithm)


#: Tag of a feed-forward weight -> the dimension of its product that indexes neurons.
_NEURON_DIMENSION: Mapping[str, str] = {"ffn_up": "n", "ffn_gate": "n", "ffn_down": "k"}


def _with_active_neurons(graph: Graph, share: float) -> Graph:
    """Return the graph with only a share of its feed-forward neurons active."""

    def with_active_share(operator: Operator) -> Operator:
        tags = {graph.tensors[name].tag for name in operator.reads}
        neuron_tags = tags & set(_NEURON_DIMENSION)
        if operator.kind != "gemm" or len(neuron_tags) != 1:
            return operator
        dim = _NEURON_DIMENSION[neuron_tags.pop()]
        nests = tuple(
            replace(nest, dims=tuple((n, share * s if n == dim else s) for n, s in nest.dims))
            for nest in operator.nests
        )
        side = "write" if dim == "n" else "read"
        accesses = tuple(
            a._replace(elements=simplify(share * a.elements))
            if a.mode == side or graph.tensors[a.tensor].role == "weight"
            else a
            for a in operator.accesses
        )
        ops = share * operator.vector_ops if dim == "n" else operator.vector_ops
        return replace(operator, nests=nests, accesses=accesses, vector_ops=simplify(ops))

    return graph.map_operators(with_active_share)


def supported_formats(
    operator: Operator, executes: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the compute formats that an operator has kernels in, the fallback first.

    Parameters
    ----------
    executes
        Class or function -> formats (`ExecutionPolicy.executes`).

    Returns
    -------
    tuple
        Empty if it runs in any format.
    """
    if operator.kind in _MOVEMENTS:
        return ()
    keys = (operator.function, operator.kernel_class, operator.kind)
    return next((executes[key] for key in keys if key in executes), ())


class _FallbackInsertion:
    """Insertion of conversions around operators that fall back to another format."""

    def __init__(
        self, graph: Graph, executes: Mapping[str, tuple[str, ...]], activations: str
    ) -> None:
        self._executes, self._activations = executes, activations
        self._graph_before = graph
        self._tensors = dict(graph.tensors)
        # Tensors with readers in their own format: without any, the tensor is never stored.
        self._stored_readers = {
            name
            for _, operator in graph.walk()
            for name in operator.reads
            if name not in self._converted_reads(operator)
        } | {*graph.outputs}
        self._copies: dict[tuple[str, str], str] = {}
        blocks = [replace(b, operators=tuple(self._block(b))) for b in graph.blocks]
        self.graph = graph
        if any(b.operators != c.operators for b, c in zip(blocks, graph.blocks, strict=True)):
            self.graph = replace(graph, tensors=self._tensors, blocks=tuple(blocks))

    def _block(self, block: Block) -> Iterator[Operator]:
        # A copy made in an earlier block may belong to an earlier repetition.
        self._copies = {}
        for operator in block.operators:
            yield from self._with_fallback(self._with_scores_format(operator))

    def _compute_format(self, name: str) -> str:
        format = self._graph_before.tensors[name].format
        return fixed_format(format)[0].compute if format else self._activations

    def _converted_reads(self, operator: Operator) -> dict[str, str]:
        """Return activations that an operator cannot read in their format -> fallback format."""
        return self._unsupported(operator, operator.reads)

    def _unsupported(self, operator: Operator, names: tuple[str, ...]) -> dict[str, str]:
        """Return the activations among some tensors in unsupported formats -> fallback."""
        supported = supported_formats(operator, self._executes)
        return {
            name: supported[0]
            for name in names
            if supported
            and self._graph_before.tensors[name].role == "activation"
            and self._compute_format(name) not in supported
        }

    def _with_scores_format(self, operator: Operator) -> Operator:
        """Record the format of an attention's softmax if it differs from that of the scores."""
        supported = self._executes.get("softmax", ())
        if operator.kind != "attention" or not supported:
            return operator
        scores = operator.scores_tensor
        stored = (
            self._compute_format(scores)
            if scores in self._graph_before.tensors
            else self._activations
        )
        if stored in supported:
            return operator
        wide = _STORED.get(supported[0], supported[0])
        return operator.with_attributes(scores_format=wide)

    def _with_fallback(self, operator: Operator) -> Iterator[Operator]:
        """Yield an operator between the conversions that it needs."""
        reads = self._converted_reads(operator)
        writes = self._unsupported(operator, operator.writes)
        if not reads and not writes:
            yield operator
            return
        names: dict[str, str] = {}
        for name, format in reads.items():
            copy = self._copies.get((name, format))
            if copy is None:
                copy = self._converted_copy(name, format)
                yield self._conversion(f"{operator.name}.from_{name}", name, copy)
            names[name] = copy
        slots = {self._tensors[old].slot: self._tensors[new].slot for old, new in names.items()}
        rerouted = operator.renamed(names, {}).with_attributes(alone=True)
        out = {name: self._converted_copy(name, format) for name, format in writes.items()}
        left, right = rerouted.pair
        pair = (slots.get(left, left), slots.get(right, right))
        yield replace(rerouted.renamed({}, out), pair=pair, inplace="")
        for name, copy in out.items():
            if name in self._stored_readers:
                yield self._conversion(f"{operator.name}.to_{name}", copy, name)

    def _converted_copy(self, name: str, format: str) -> str:
        """Declare a copy of a tensor in another format, and return its name."""
        stored = _STORED.get(format, format)
        copy = f"{name}.{stored}"
        while copy in self._tensors and self._copies.get((name, format)) != copy:
            copy += "_"
        self._tensors[copy] = replace(self._graph_before.tensors[name], name=copy, format=stored)
        self._copies[name, format] = copy
        return copy

    def _conversion(self, name: str, source: str, target: str) -> Operator:
        """Return the operator that converts one tensor to another."""
        x, y = self._tensors[source], self._tensors[target]
        wide = y.format.startswith(("fp", "bf"))
        function = "dequantise" if wide else "quantise"
        if wide and (x.format or self._activations).startswith(("fp", "bf")):
            function = "cast"
        accesses = (Access(source, "read", x.elements), Access(target, "write", y.elements))
        return Operator(
            name,
            "quantise",
            accesses,
            vector_ops=VECTOR_OPS[function] * y.elements,
            pair=("activation", x.slot),
            attributes=(("alone", True), ("function", function)),
        )
