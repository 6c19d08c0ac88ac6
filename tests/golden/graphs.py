"""Graphs: a hash of the content of every model of the library, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

import numpy as np

import perfmodel as pm
from tests.golden.figures import Figures, digest, tried

#: Language models are other networks in each phase.
PHASES = ("prefill", "decode")


_PLAIN = {bool, str, int, float, type(None)}


def canonical(value: Any) -> Any:
    """Return a value as nested tuples, without names of classes and orders of mappings."""
    kind: Any = type(value)
    return value if kind in _PLAIN else _rule(kind)(value)


@cache
def _rule(kind: Any) -> Callable[[Any], Any]:
    """Return what makes values of a type canonical."""
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return lambda value: tuple([canonical(getattr(value, name)) for name in names])
    if issubclass(kind, Mapping):
        return lambda value: tuple(sorted((str(k), canonical(v)) for k, v in value.items()))
    if issubclass(kind, Enum):
        return lambda value: canonical(value.value)
    if issubclass(kind, bool | str | int):
        return lambda value: value
    if issubclass(kind, float | np.floating):
        return float
    if issubclass(kind, set | frozenset):
        return lambda value: tuple(sorted(map(repr, map(canonical, value))))
    if issubclass(kind, np.ndarray):
        return lambda value: canonical(value.tolist())
    if issubclass(kind, Iterable):
        return lambda value: tuple(map(canonical, value))
    # A dimension shows itself with its terms sorted.
    return repr


def _tensor(tensor: Any) -> Any:
    return (tensor.name, canonical(tensor.shape), tensor.role, tensor.tag, tensor.format)


def _nest(nest: Any) -> Any:
    operands = tuple(
        (o.tensor, o.role, canonical(o.axes), canonical(o.limits)) for o in nest.operands
    )
    return (canonical(nest.dims), operands)


def _operator(operator: Any) -> Any:
    accesses = tuple((a.tensor, a.mode, canonical(a.elements)) for a in operator.accesses)
    return (
        operator.name,
        operator.kind,
        accesses,
        tuple(map(_nest, operator.nests)),
        canonical(operator.vector_ops),
        tuple(operator.pair),
        canonical(operator.masked_macs),
        canonical(operator.scores),
        operator.inplace,
        canonical(dict(operator.attributes)),
    )


def content(graph: Any) -> str:
    """Return a hash of tensors, operators in order with their nests and edges, and ends."""
    blocks = tuple(
        (
            b.name,
            canonical(b.count),
            b.phase,
            b.layer,
            canonical(b.stored),
            tuple(map(_operator, b.operators)),
        )
        for b in graph.blocks
    )
    tensors = tuple(_tensor(graph.tensors[name]) for name in sorted(graph.tensors))
    ends = (tuple(graph.inputs), tuple(graph.outputs), canonical(graph.defaults))
    return digest(tensors, blocks, ends, canonical(graph.views), canonical(graph.calls))


def network(workload: Any) -> Figures:
    """Yield what a network is: its hash, and its counts under its own parameters."""
    graph = workload.graph()
    yield "content", content(graph)
    yield "operators", sum(1 for _ in graph.walk())
    yield "not_priced", len(graph.not_priced)
    yield "macs", workload.macs
    yield "parameters", workload.weights
    yield "active_parameters", workload.active_weights
    yield "unit", workload.unit
    yield "items", workload.items()
    yield "format", workload.precision
    yield "trained_context", workload.trained_context
    yield "bound", digest(canonical(workload.parameters))


def figures() -> Figures:
    """Yield every model of the library."""
    for name in pm.workload.list():
        workload = pm.workload(name)
        yield from tried(f"graph/{name}", lambda workload=workload: network(workload))
        if workload.unit == "tokens":
            for phase in PHASES:
                yield from tried(
                    f"graph/{name}/{phase}",
                    lambda name=name, phase=phase: network(pm.workload(name, phase=phase)),
                )
