"""Relations between the axes of a graph, collected operator by operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.rewrite.axes import Axes, Key
from perfmodel.workload.symbols import Dim, Poly, evaluate
from perfmodel.workload.unroll import carried

#: Function that relates the axes of an operator of one kind.
Handler: TypeAlias = Callable[["Relations", Operator], None]

_PRIMES = (13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)


class Relations:
    """Axes of a graph's tensors and nests, with all constraints from its operators.

    Attributes
    ----------
    axes
        The axes and the constraints on them.
    channels
        Axes whose extent is a width of stored weights, in order, with the operator that computes
        them (empty for an axis that is only read).
    heads
        Axes that form the batch of a product of two activations.
    """

    def __init__(self, graph: Graph, handlers: Mapping[str, Handler]) -> None:
        self.graph = graph
        self.axes = Axes()
        self.channels: dict[Key, str] = {}
        self.heads: list[Key] = []
        self._probe = probe(graph)
        self._views = _parts_of(graph)
        self._done: set[str] = set()
        for tensor in graph.tensors.values():
            for axis, dim in enumerate(tensor.shape):
                self.declare((tensor.name, axis), dim)
        for _, operator in graph.walk():
            for i, nest in enumerate(operator.nests):
                for dim, size in nest.dims:
                    self.declare((nest_name(operator, i), dim), size)
        for name in graph.inputs:
            self.freeze((name,), "network input")
        for _, operator in graph.walk():
            handlers.get(operator.kind, _unknown)(self, operator)
        for block in graph.blocks:
            if block.operators and block.operators[-1].writes and block.count != 1:
                enters, leaves = carried(graph, block)
                if enters:
                    self.same_tensors(enters, leaves)
        for name in graph.outputs:
            self.freeze((name,), "network output")
        if graph.not_priced:
            self._unpriced()

    # Helpers of the handlers.

    def declare(self, key: Key, dim: Dim) -> None:
        """Declare an axis of a tensor or a dimension of a nest."""
        size = float(evaluate(dim, self._probe))
        self.axes.axis(key, size, float(evaluate(dim, self.graph.defaults)), dim)

    def keys(self, name: str) -> list[Key]:
        """Return the axes of a tensor."""
        return [(name, axis) for axis in range(len(self.graph.tensors[name].shape))]

    def size(self, key: Key) -> float:
        """Return the extent of an axis in the probe."""
        return self.axes.size(self.axes.structures[key])

    def sizes(self, name: str) -> list[float]:
        """Return the extents of a tensor in the probe."""
        return [self.size(key) for key in self.keys(name)]

    def freeze(self, names: Sequence[str], reason: str) -> None:
        """Freeze every axis of some tensors."""
        for name in names:
            if name in self.graph.tensors:
                self.axes.freeze_axes(self.keys(name), reason)

    def same_tensors(self, left: str, right: str) -> None:
        """Unify the axes of two tensors of one shape."""
        if self.sizes(left) == self.sizes(right):
            for a, b in zip(self.keys(left), self.keys(right), strict=True):
                self.axes.same_axes(a, b)
        else:
            self.freeze((left, right), "shapes differ")

    def channel(self, key: Key, operator: str = "") -> None:
        """Mark an axis as a width of stored weights, computed by an operator."""
        if operator or key not in self.channels:
            self.channels[key] = operator or self.channels.get(key, "")

    def widths(self, operator: Operator, output: Key, *read: Key) -> None:
        """Mark axes as widths of stored weights, with `output` as the operator's result."""
        for key in read:
            self.channel(key)
        self.channel(output, operator.name)

    def give_up(self, operator: Operator, reason: str) -> None:
        """Freeze all axes that an operator touches."""
        self.freeze([a.tensor for a in operator.accesses], reason)
        for i, nest in enumerate(operator.nests):
            self.axes.freeze_axes([(nest_name(operator, i), d) for d, _ in nest.dims], reason)

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by name."""
        return self.graph.tensors[name]

    def activations(self, names: Sequence[str]) -> list[str]:
        """Return the names of activations among some tensors."""
        return [n for n in names if self.graph.tensors[n].role == "activation"]

    def trailing(self, read: str, written: str) -> None:
        """Unify the axes of an input with those of the output to which it broadcasts."""
        a, b = self.keys(read), self.keys(written)
        for left, right in zip(a[::-1], b[::-1], strict=False):
            if self.size(left) == self.size(right):
                self.axes.same_axes(left, right)
            elif self.size(left) != 1:
                self.axes.freeze_axes([left], "spread over another shape")
        for left in a[: max(len(a) - len(b), 0)]:
            self.axes.freeze_axes([left], "spread over another shape")

    def vectors(self, operator: Operator, written: str, axis: int) -> None:
        """Unify the last axis of biases and scales with an axis of the output."""
        factors = {o.tensor for nest in operator.nests for o in nest.operands}
        target = self.keys(written)[axis]
        for name in operator.reads:
            if self.tensor(name).role != "weight" or name in factors:
                continue
            *others, last = self.keys(name) or [(name, 0)]
            if self.tensor(name).shape and self.size(last) == self.size(target):
                self.axes.same_axes(last, target)
                self.axes.freeze_axes(others, "scales of a vector")
            elif self.tensor(name).shape:
                self.trailing(name, written)

    def alike(self, left: str, right: str) -> list[int]:
        """Unify axes of equal extents in two tensors; return the positions of the others."""
        pairs = list(zip(self.keys(left), self.keys(right), strict=False))
        for a, b in pairs:
            if self.size(a) == self.size(b):
                self.axes.same_axes(a, b)
        return [i for i, (a, b) in enumerate(pairs) if self.size(a) != self.size(b)]

    def aligned(self, left: Sequence[Key], right: Sequence[Key]) -> None:
        """Unify the trailing axes of two batches; an axis of extent 1 broadcasts."""
        for a, b in zip(left[::-1], right[::-1], strict=False):
            if self.size(a) == self.size(b):
                self.axes.same_axes(a, b)
            elif self.size(a) != 1:
                self.axes.freeze_axes([a, b], "batch of a product")

    def _unpriced(self) -> None:
        """Freeze the axes of tensors at operators without a price."""
        written = {n for _, op in self.graph.walk() for n in op.writes}
        read = {n for _, op in self.graph.walk() for n in op.reads}
        loose = self.activations(sorted((written ^ read) - {*self.graph.inputs}))
        self.freeze(loose, "an operator without a price")

    # Views.

    def view(self, operator: Operator) -> None:
        """Relate a view to its source, or all partial views of a source at once."""
        if not operator.reads or not operator.writes:
            self.freeze(operator.reads, "an operator without a price")
            return
        source = operator.reads[0]
        for name in operator.writes:
            sizes, part = self.sizes(source), self.sizes(name)
            if math.prod(sizes) == math.prod(part):
                self.axes.reshape(self.keys(source), self.keys(name))
            elif source not in self._done:
                self._done.add(source)
                self.split(source, self._views[source])

    def split(self, source: str, parts: Sequence[str]) -> None:
        """Relate a tensor to its parts along one axis; freeze them if they do not cover it."""
        extents = self.sizes(source)
        each = [self.sizes(name) for name in parts]
        axis = joined_along(extents, each)
        if axis is not None:
            for name in parts:
                for i, key in enumerate(self.keys(name)):
                    if i != axis:
                        self.axes.same_axes((source, i), key)
            joined = tuple(s for n in parts for s in self.axes.structures[n, axis])
            self.axes.same(self.axes.structures[source, axis], joined)
            return
        for name, sizes in zip(parts, each, strict=True):
            if len(sizes) != len(extents):
                self.freeze((name, source), "a part of an axis")
                continue
            for i in self.alike(source, name):
                self.axes.freeze_axes([(name, i), (source, i)], "a part of an axis")


def joined_along(extents: Sequence[float], parts: Sequence[list[float]]) -> int | None:
    """Return the axis along which parts form the whole, or ``None`` if there is none."""
    for axis, extent in enumerate(extents):
        if (
            all(len(p) == len(extents) for p in parts)
            and sum(p[axis] for p in parts) == extent
            and all([*p[:axis], extent, *p[axis + 1 :]] == list(extents) for p in parts)
        ):
            return axis
    return None


def nest_name(operator: Operator, index: int) -> str:
    """Return the name under which the dimensions of an operator's nest are stored."""
    return f"{operator.name}#{index}"


def probe(graph: Graph) -> dict[str, float]:
    """Return numbers for the free dimensions under which extents do not coincide by chance.

    A free dimension that is itself an extent (batch, tokens, pixels) is multiplied by a prime; one
    that scales extents (a width multiplier) has its default.
    """
    bare: dict[str, None] = {}
    for tensor in graph.tensors.values():
        for dim in tensor.shape:
            if isinstance(dim, Poly) and len(dim.terms) == 1:
                ((monomial, factor),) = dim.terms.items()
                if factor == 1 and len(monomial) == 1 and not monomial[0][0].args:
                    bare.setdefault(monomial[0][0].name)
    values = dict(graph.defaults)
    for i, name in enumerate(bare):
        values[name] = values.get(name, 1) * _PRIMES[i % len(_PRIMES)]
    return values


def _parts_of(graph: Graph) -> dict[str, list[str]]:
    """Return source -> its partial views."""
    parts: dict[str, list[str]] = {}
    for _, operator in graph.walk():
        if operator.kind == "view" and operator.reads:
            source = operator.reads[0]
            for name in operator.writes:
                if graph.tensors[name].elements != graph.tensors[source].elements:
                    parts.setdefault(source, []).append(name)
    return parts


def attributes_of(operator: Operator) -> dict[str, Any]:
    """Return an operator's attributes as a dictionary."""
    return dict(operator.attributes)


def relation_of(operator: Operator) -> str:
    """Return the axis relation in the registry for an operator that a file names."""
    from perfmodel.workload.importers.onnx import domains

    attributes = attributes_of(operator)
    return domains.relation_of(str(attributes.get("op") or attributes.get("function", "")))


def _unknown(r: Relations, operator: Operator) -> None:
    """Freeze all axes of an operator of unknown kind."""
    r.give_up(operator, f"unknown operator '{operator.kind}'")
