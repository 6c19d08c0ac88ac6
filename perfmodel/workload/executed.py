"""A graph as executed by a runtime: layout and format conversions, and convolution algorithms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.formats import fixed_format
from perfmodel.workload.algorithms import algorithm_of, weight_growth
from perfmodel.workload.dispatches import with_views
from perfmodel.workload.graph import Access, Block, Graph, Operator
from perfmodel.workload.layouts import PLAIN, BlockedChannelLayout, with_conversions
from perfmodel.workload.symbols import constant, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS

#: Compute formats that are not storage formats -> the format in which they are stored.
_STORED: Mapping[str, str] = {"fp8": "fp8_e4m3", "tf32": "fp32"}
#: Operators without computation, in any format.
_MOVES = frozenset({"view", "copy", "gather", "quantise"})


class ExecutionPolicy(NamedTuple):
    """Changes that a runtime makes to a network; mappings are tuples of (key, words).

    Attributes
    ----------
    executes
        Class or function -> supported compute formats, the fallback first.
    algorithms
        Class of convolution -> algorithms, in order of preference.
    active_neurons
        Share of feed-forward neurons that are read and computed; 0 for all of them.
    layout
        Layout of channels, with conversions at its boundaries.
    views
        Whether views are dispatched like other operators.
    """

    executes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    algorithms: tuple[tuple[str, tuple[str, ...]], ...] = ()
    active_neurons: float = 0.0
    layout: BlockedChannelLayout = PLAIN
    views: bool = False

    @property
    def rewrites(self) -> bool:
        """Whether operators change, apart from layout conversions between them."""
        return bool(self.executes or self.algorithms or self.active_neurons)


def executed(graph: Graph, execution: ExecutionPolicy, activations: str) -> Graph:
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
        convolutions, a ``copy`` at each change of layout (`perfmodel.workload.layouts`), and last
        a row for the views (`perfmodel.workload.dispatches`). Weights are laid out and converted
        in advance, at no cost.
    """
    if execution.rewrites:
        graph = _executed(graph, execution._replace(layout=PLAIN, views=False), activations)
    graph = with_conversions(graph, execution.layout)
    return with_views(graph) if execution.views else graph


@cached(GRAPH_BYTES, same=1)
def _executed(graph: Graph, execution: ExecutionPolicy, activations: str) -> Graph:
    if execution.algorithms:
        graph = _with_algorithms(graph, dict(execution.algorithms))
    if execution.active_neurons:
        graph = _with_neurons(graph, execution.active_neurons)
    if execution.executes:
        graph = _FallBacks(graph, dict(execution.executes), activations).graph
    return graph


def _class(operator: Operator) -> str:
    groups = dict(operator.attributes).get("groups", 1)
    return "grouped" if operator.kind == "conv" and constant(groups) != 1 else operator.kind


def _attributes(operator: Operator, **more: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((dict(operator.attributes) | more).items()))


def _with_algorithms(graph: Graph, listed: Mapping[str, tuple[str, ...]]) -> Graph:
    def with_algorithm(operator: Operator) -> Operator:
        name = algorithm_of(operator, listed.get(_class(operator), ()))
        if not name:
            return operator
        attributes = _attributes(operator, algorithm=name)
        grown = weight_growth(name)
        if grown == 1.0:
            return replace(operator, attributes=attributes)
        # Filters are transformed when the network is loaded, and are stored and read in that form.
        accesses = tuple(
            replace(a, elements=simplify(grown * a.elements))
            if graph.tensors[a.tensor].role == "weight" and len(graph.tensors[a.tensor].shape) > 1
            else a
            for a in operator.accesses
        )
        return replace(operator, attributes=attributes, accesses=accesses)

    blocks = [replace(b, operators=tuple(map(with_algorithm, b.operators))) for b in graph.blocks]
    return replace(graph, blocks=tuple(blocks))


#: Tag of a feed-forward weight -> the dimension of its product that indexes neurons.
_NEURONS: Mapping[str, str] = {"ffn_up": "n", "ffn_gate": "n", "ffn_down": "k"}


def _with_neurons(graph: Graph, share: float) -> Graph:
    """Return the graph with only a share of its feed-forward neurons active."""

    def thinned(operator: Operator) -> Operator:
        tags = {graph.tensors[name].tag for name in operator.reads}
        neuron_tags = tags & set(_NEURONS)
        if operator.kind != "gemm" or len(neuron_tags) != 1:
            return operator
        dim = _NEURONS[neuron_tags.pop()]
        nests = tuple(
            replace(nest, dims=tuple((n, share * s if n == dim else s) for n, s in nest.dims))
            for nest in operator.nests
        )
        side = "write" if dim == "n" else "read"
        accesses = tuple(
            replace(a, elements=simplify(share * a.elements))
            if a.mode == side or graph.tensors[a.tensor].role == "weight"
            else a
            for a in operator.accesses
        )
        ops = share * operator.vector_ops if dim == "n" else operator.vector_ops
        return replace(operator, nests=nests, accesses=accesses, vector_ops=simplify(ops))

    blocks = [replace(b, operators=tuple(map(thinned, b.operators))) for b in graph.blocks]
    return replace(graph, blocks=tuple(blocks))


class _FallBacks:
    """Insertion of conversions around operators that fall back to another format."""

    def __init__(
        self, graph: Graph, executes: Mapping[str, tuple[str, ...]], activations: str
    ) -> None:
        self._executes, self._activations = executes, activations
        self._before = graph
        self._tensors = dict(graph.tensors)
        # Tensors with readers in their own format: without any, the tensor is never stored.
        self._stored_readers = {
            name
            for _, operator in graph.walk()
            for name in operator.reads
            if name not in self._converted_reads(operator)
        } | {*graph.outputs}
        self._twins: dict[tuple[str, str], str] = {}
        blocks = [replace(b, operators=tuple(self._block(b))) for b in graph.blocks]
        self.graph = graph
        if any(b.operators != c.operators for b, c in zip(blocks, graph.blocks, strict=True)):
            self.graph = replace(graph, tensors=self._tensors, blocks=tuple(blocks))

    def _block(self, block: Block) -> Iterator[Operator]:
        # A copy made in an earlier block may belong to an earlier repetition.
        self._twins = {}
        for operator in block.operators:
            yield from self._operator(self._with_scores(operator))

    def _listed(self, operator: Operator) -> tuple[str, ...]:
        if operator.kind in _MOVES:
            return ()
        function = str(dict(operator.attributes).get("function", ""))
        keys = (function, _class(operator), operator.kind)
        return next((self._executes[key] for key in keys if key in self._executes), ())

    def _compute(self, name: str) -> str:
        format = self._before.tensors[name].format
        return fixed_format(format)[0].compute if format else self._activations

    def _converted_reads(self, operator: Operator) -> dict[str, str]:
        """Return activations that an operator cannot read in their format -> fallback format."""
        return self._outside(operator, operator.reads)

    def _outside(self, operator: Operator, names: tuple[str, ...]) -> dict[str, str]:
        listed = self._listed(operator)
        return {
            name: listed[0]
            for name in names
            if listed
            and self._before.tensors[name].role == "activation"
            and self._compute(name) not in listed
        }

    def _with_scores(self, operator: Operator) -> Operator:
        """Record the format of an attention's softmax if it differs from that of the scores."""
        listed = self._executes.get("softmax", ())
        if operator.kind != "attention" or not listed:
            return operator
        scores = operator.scores_tensor
        stored = self._compute(scores) if scores in self._before.tensors else self._activations
        if stored in listed:
            return operator
        wide = _STORED.get(listed[0], listed[0])
        return replace(operator, attributes=_attributes(operator, scores_format=wide))

    def _operator(self, operator: Operator) -> Iterator[Operator]:
        reads = self._converted_reads(operator)
        writes = self._outside(operator, operator.writes)
        if not reads and not writes:
            yield operator
            return
        names: dict[str, str] = {}
        for name, format in reads.items():
            twin = self._twins.get((name, format))
            if twin is None:
                twin = self._twin(name, format)
                yield self._conversion(f"{operator.name}.from_{name}", name, twin)
            names[name] = twin
        slots = {self._tensors[old].slot: self._tensors[new].slot for old, new in names.items()}
        rerouted = operator.renamed(names, {})
        out = {name: self._twin(name, format) for name, format in writes.items()}
        left, right = rerouted.pair
        pair = (slots.get(left, left), slots.get(right, right))
        yield replace(
            rerouted.renamed({}, out),
            pair=pair,
            inplace="",
            attributes=_attributes(rerouted, alone=True),
        )
        for name, twin in out.items():
            if name in self._stored_readers:
                yield self._conversion(f"{operator.name}.to_{name}", twin, name)

    def _twin(self, name: str, format: str) -> str:
        stored = _STORED.get(format, format)
        twin = f"{name}.{stored}"
        while twin in self._tensors and self._twins.get((name, format)) != twin:
            twin += "_"
        self._tensors[twin] = replace(self._before.tensors[name], name=twin, format=stored)
        self._twins[name, format] = twin
        return twin

    def _conversion(self, name: str, source: str, target: str) -> Operator:
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
