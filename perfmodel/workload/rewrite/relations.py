"""Container of the relations between the axes of a graph, and the operations that add them.

Removing channels of one layer changes the extent of every axis that must be as long: the result's
channels, the input channels of the next layer, the biases between them. `Relations` records which
axes of tensors and dimensions of loop nests are equal, or are products or concatenations of others.
`relation_collection.collect_relations` fills it from all operators of a graph, and
`channel_coupling` reads from it which widths may change and which then change with them.

- To *unify* two axes is to state that their extents are equal now and after every change; variables
  that stand for extents are merged (`axis_unification`).
- To *freeze* an axis is to fix its extent, for a reason that is reported for a layer whose width
  cannot change. An axis that an operator cannot relate is frozen, which is always valid.
- The *probe* is an assignment of numbers to the free dimensions of the graph, such as the batch or
  the number of tokens. Axes are compared by their extents under the probe, because the files do not
  state which axis of a weight is which. See `probe` for the numbers and their limits.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.rewrite.axis_unification import Axes, Key
from perfmodel.workload.symbols import Dim, Poly, evaluate

_PRIMES = (13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)


class Relations:
    """Axes of a graph's tensors and nests, with the constraints that operators have added.

    Attributes
    ----------
    axes
        The axes and the constraints on them.
    channels
        Axes whose extent is a width of stored weights, in order, with the operator that computes
        them (empty for an axis that is only read).
    heads
        Axes that form the batch of a product of two activations.
    partial_views
        Tensor -> its views that have fewer elements.
    divided
        Tensors that have been related to their partial views.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.axes = Axes()
        self.channels: dict[Key, str] = {}
        self.heads: list[Key] = []
        self.partial_views = _partial_views(graph)
        self.divided: set[str] = set()
        self._probe = probe(graph)
        for tensor in graph.tensors.values():
            for axis, dim in enumerate(tensor.shape):
                self._declare((tensor.name, axis), dim)
        for _, operator in graph.walk():
            for i, nest in enumerate(operator.nests):
                for dim, size in nest.dims:
                    self._declare((nest_name(operator, i), dim), size)

    def _declare(self, key: Key, dim: Dim) -> None:
        """Declare an axis of a tensor or a dimension of a nest."""
        size = float(evaluate(dim, self._probe))
        self.axes.axis(key, size, float(evaluate(dim, self.graph.defaults)), dim)

    # Tensors and their extents.

    def keys(self, name: str) -> list[Key]:
        """Return the axes of a tensor."""
        return [(name, axis) for axis in range(len(self.graph.tensors[name].shape))]

    def size(self, key: Key) -> float:
        """Return the extent of an axis in the probe."""
        return self.axes.size(self.axes.structures[key])

    def sizes(self, name: str) -> list[float]:
        """Return the extents of a tensor in the probe."""
        return [self.size(key) for key in self.keys(name)]

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by name."""
        return self.graph.tensors[name]

    def activations(self, names: Sequence[str]) -> list[str]:
        """Return the names of activations among some tensors."""
        return [n for n in names if self.graph.tensors[n].role == "activation"]

    # Constraints.

    def freeze(self, names: Sequence[str], reason: str) -> None:
        """Freeze every axis of some tensors."""
        for name in names:
            if name in self.graph.tensors:
                self.axes.freeze_axes(self.keys(name), reason)

    def unify_tensors(self, left: str, right: str) -> None:
        """Unify the axes of two tensors of equal shape, or freeze them if the shapes differ."""
        if self.sizes(left) == self.sizes(right):
            for a, b in zip(self.keys(left), self.keys(right), strict=True):
                self.axes.unify_axes(a, b)
        else:
            self.freeze((left, right), "shapes differ")

    def mark_channel(self, key: Key, operator: str = "") -> None:
        """Mark an axis as a width of stored weights, computed by an operator."""
        if operator or key not in self.channels:
            self.channels[key] = operator or self.channels.get(key, "")

    def mark_widths(self, operator: Operator, output: Key, *read: Key) -> None:
        """Mark axes as widths of stored weights, with `output` as the operator's result."""
        for key in read:
            self.mark_channel(key)
        self.mark_channel(output, operator.name)

    def freeze_operator(self, operator: Operator, reason: str) -> None:
        """Freeze all axes that an operator touches."""
        self.freeze([a.tensor for a in operator.accesses], reason)
        for i, nest in enumerate(operator.nests):
            self.axes.freeze_axes([(nest_name(operator, i), d) for d, _ in nest.dims], reason)

    def unify_broadcast(self, read: str, written: str) -> None:
        """Unify the axes of an input with those of the output to which it broadcasts.

        As in numpy, axes are aligned at the last one, and an axis of extent 1 is repeated.
        """
        inputs, outputs = self.keys(read), self.keys(written)
        for source, target in zip(inputs[::-1], outputs[::-1], strict=False):
            if self.size(source) == self.size(target):
                self.axes.unify_axes(source, target)
            elif self.size(source) != 1:
                self.axes.freeze_axes([source], "broadcast to another shape")
        additional = inputs[: max(len(inputs) - len(outputs), 0)]
        self.axes.freeze_axes(additional, "broadcast to another shape")

    def unify_vectors(self, operator: Operator, written: str, axis: int) -> None:
        """Unify the last axis of biases and scales with an axis of the output."""
        factors = {operand.tensor for nest in operator.nests for operand in nest.operands}
        target = self.keys(written)[axis]
        for name in operator.reads:
            if self.tensor(name).role != "weight" or name in factors:
                continue
            *others, last = self.keys(name) or [(name, 0)]
            if self.tensor(name).shape and self.size(last) == self.size(target):
                self.axes.unify_axes(last, target)
                self.axes.freeze_axes(others, "scales of a vector")
            elif self.tensor(name).shape:
                self.unify_broadcast(name, written)

    def unify_equal_extents(self, left: str, right: str) -> list[int]:
        """Unify axes of equal extents in two tensors; return the positions of the others."""
        pairs = list(zip(self.keys(left), self.keys(right), strict=False))
        for a, b in pairs:
            if self.size(a) == self.size(b):
                self.axes.unify_axes(a, b)
        return [i for i, (a, b) in enumerate(pairs) if self.size(a) != self.size(b)]

    def unify_batches(self, left: Sequence[Key], right: Sequence[Key]) -> None:
        """Unify the trailing axes of two batches; an axis of extent 1 broadcasts."""
        for a, b in zip(left[::-1], right[::-1], strict=False):
            if self.size(a) == self.size(b):
                self.axes.unify_axes(a, b)
            elif self.size(a) != 1:
                self.axes.freeze_axes([a, b], "batch of a product")

    def split(self, source: str, parts: Sequence[str]) -> None:
        """Relate a tensor to its parts along one axis: ``extent = part 1 + part 2 + ...``.

        If the parts do not add up to the tensor, the axes in which they differ from it are frozen.
        """
        extents = self.sizes(source)
        part_sizes = [self.sizes(name) for name in parts]
        axis = joined_along(extents, part_sizes)
        if axis is not None:
            for name in parts:
                for i, key in enumerate(self.keys(name)):
                    if i != axis:
                        self.axes.unify_axes((source, i), key)
            joined = tuple(s for n in parts for s in self.axes.structures[n, axis])
            self.axes.unify(self.axes.structures[source, axis], joined)
            return
        for name, sizes in zip(parts, part_sizes, strict=True):
            if len(sizes) != len(extents):
                self.freeze((name, source), "a part of an axis")
                continue
            for i in self.unify_equal_extents(source, name):
                self.axes.freeze_axes([(name, i), (source, i)], "a part of an axis")


def joined_along(extents: Sequence[float], parts: Sequence[list[float]]) -> int | None:
    """Return the axis along which tensors concatenate to one of some extents, ``None`` if none."""
    for axis, extent in enumerate(extents):
        if (
            all(len(part) == len(extents) for part in parts)
            and sum(part[axis] for part in parts) == extent
            and all([*part[:axis], extent, *part[axis + 1 :]] == list(extents) for part in parts)
        ):
            return axis
    return None


def nest_name(operator: Operator, index: int) -> str:
    """Return the name under which the dimensions of an operator's nest are stored."""
    return f"{operator.name}#{index}"


def probe(graph: Graph) -> dict[str, float]:
    """Return numbers for the free dimensions under which different extents are unlikely to agree.

    A free dimension that is itself an extent (batch, tokens, pixels) has its default times a prime,
    a different one for each of the first twenty; one that only scales extents (a width multiplier)
    has its default. From the twenty-first extent on the primes repeat, and even with different
    primes a product may equal another extent by chance (13 tokens and 13 classes). Axes that agree
    by chance may be unified, so that fewer widths can change independently.
    """
    free_extents: dict[str, None] = {}
    for tensor in graph.tensors.values():
        for dim in tensor.shape:
            if isinstance(dim, Poly) and len(dim.terms) == 1:
                ((monomial, factor),) = dim.terms.items()
                if factor == 1 and len(monomial) == 1 and not monomial[0][0].args:
                    free_extents.setdefault(monomial[0][0].name)
    values = dict(graph.defaults)
    for i, name in enumerate(free_extents):
        values[name] = values.get(name, 1) * _PRIMES[i % len(_PRIMES)]
    return values


def _partial_views(graph: Graph) -> dict[str, list[str]]:
    """Return source -> its views that have fewer elements."""
    views: dict[str, list[str]] = {}
    for _, operator in graph.walk():
        if operator.kind == "view" and operator.reads:
            source = operator.reads[0]
            for name in operator.writes:
                if graph.tensors[name].elements != graph.tensors[source].elements:
                    views.setdefault(source, []).append(name)
    return views


def relation_of(operator: Operator) -> str:
    """Return the axis relation that the registry of ONNX states for an operator; may be empty."""
    from perfmodel.workload.importers.onnx import operator_domains

    return operator_domains.relation_of(str(operator.attribute("op") or operator.function))
