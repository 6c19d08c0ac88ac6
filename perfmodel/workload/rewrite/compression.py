"""Workloads under a compression choice: number formats, sparsity and channel widths.

`compressed` combines `with_channels` and `with_formats`, caches the rewritten graph per choice, and
makes swept widths free dimensions, so that a search evaluates many widths at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.caches import GRAPH_BYTES, TABLE_BYTES, cached
from perfmodel.errors import Fault, InputError
from perfmodel.formats import Precision
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite.channel_coupling import channel_groups
from perfmodel.workload.rewrite.channels import width_names, with_channels
from perfmodel.workload.rewrite.formats import with_formats
from perfmodel.workload.symbols import Dim, symbol
from perfmodel.workload.workload import Workload, check_extent

_Pairs: TypeAlias = tuple[tuple[str, Any], ...]
_NONE: Mapping[str, Any] = {}


class _Choice(NamedTuple):
    """Arguments of `compressed`."""

    weights: _Pairs
    activations: _Pairs
    kv: str | _Pairs
    unroll: bool
    conversion: bool
    precision: str | None
    widths: _Pairs = ()


def compressed(
    workload: Workload,
    *,
    weights: Mapping[str, str] = _NONE,
    activations: Mapping[str, str] = _NONE,
    kv: str | Mapping[str, str] = "",
    widths: Mapping[str, Value] = _NONE,
    free: Sequence[str] | bool = (),
    unroll: bool = False,
    conversion: bool = True,
    precision: str | Precision | None = None,
) -> Workload:
    """Return the workload with other formats and widths; its parameters do not change.

    Parameters
    ----------
    weights, activations, kv, conversion, precision
        See `with_formats`.
    widths
        Channel group -> width: a number, or an array of shape ``(points,)``, which makes the
        width a free dimension of the workload.
    free
        Groups whose widths are free dimensions, or ``True`` for all prunable ones; bound to
        `widths` if given there, else to their current widths.
    unroll
        Whether to unroll repeated blocks first, so that each layer is a separate choice: names are
        then those of `Graph.unroll`. Otherwise the layers of a repeated block share one choice.

    Raises
    ------
    InputError
        Faults of `with_channels` and of `with_formats`, together.
    """
    choice = _Choice(
        _pairs(weights),
        _pairs(activations),
        kv if isinstance(kv, str) else _pairs(kv),
        unroll,
        conversion,
        None if precision is None else str(precision),
    )
    build = _CompressedBuild(workload, choice)
    graph = build.plain(ExecutionSemantics())
    groups = {g.name: g for g in channel_groups(graph)}
    free_groups = [name for name, g in groups.items() if g.prunable] if free is True else free or ()
    arrays = [name for name, width in widths.items() if is_array(width) and np.ndim(width)]
    names = width_names(dict.fromkeys([*free_groups, *arrays]))
    faults: list[Fault] = []
    settings: dict[str, Value] = {}
    for group, name in names.items():
        group_of_name = groups.get(group)
        settings[name] = widths.get(group, group_of_name.size if group_of_name else 1)
        faults += check_extent(f"widths.{group}", settings[name])
    # A free width is stored by the name of its dimension, because symbols are local to a process.
    fixed = {
        name: w.item() if is_array(w) else w for name, w in widths.items() if name not in names
    }
    build = build.with_widths((*names.items(), *fixed.items()))
    try:
        build(ExecutionSemantics())
    except InputError as error:
        faults += error.faults
    if faults:
        raise InputError(faults)
    return workload.rebuilt(build, {**workload.parameters, **settings})


def _pairs(mapping: Mapping[str, str]) -> _Pairs:
    return tuple(mapping.items())


class _CompressedBuild:
    """Builder that rewrites the graph of a workload, cached per semantics.

    Picklable if the workload is; the graphs are not pickled.
    """

    __slots__ = ("_graphs", "_plain", "base", "choice")

    def __init__(self, base: Workload, choice: _Choice) -> None:
        self.base = base
        self.choice = choice
        self._graphs: dict[ExecutionSemantics, Graph] = {}
        self._plain: dict[ExecutionSemantics, Graph] = {}

    def with_widths(self, widths: _Pairs) -> _CompressedBuild:
        """Return the same choice with other widths, sharing the unmodified graphs."""
        build = _CompressedBuild(self.base, self.choice._replace(widths=widths))
        build._plain = self._plain
        return build

    def plain(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph before the choice, unrolled if requested."""
        graph = self._plain.get(semantics)
        if graph is None:
            graph = self.base.graph(semantics)
            if self.choice.unroll:
                counts = tuple(sorted(_numbers(self.base.parameters).items()))
                graph = _unrolled(graph, counts)
            self._plain[semantics] = graph
        return graph

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the rewritten graph."""
        graph = self._graphs.get(semantics)
        if graph is None:
            graph = self._graphs[semantics] = _rewritten(self.plain(semantics), self.choice)
        return graph

    def __reduce__(self) -> tuple[Any, ...]:
        return _CompressedBuild, (self.base, self.choice)


@cached(TABLE_BYTES, identity_keys=1)
def _unrolled(graph: Graph, counts: tuple[tuple[str, float], ...]) -> Graph:
    return graph.unroll(dict(counts))


@cached(GRAPH_BYTES, identity_keys=1)
def _rewritten(graph: Graph, choice: _Choice) -> Graph:
    """Return a graph under a choice, the same object for equal choices, so that it lowers once."""
    new: dict[str, Dim] = {n: symbol(w) if isinstance(w, str) else w for n, w in choice.widths}
    faults: list[Fault] = []
    rewritten = graph
    try:
        rewritten = with_channels(rewritten, new)
    except InputError as error:
        faults += error.faults
    try:
        rewritten = with_formats(
            rewritten,
            dict(choice.weights),
            dict(choice.activations),
            choice.kv if isinstance(choice.kv, str) else dict(choice.kv),
            choice.conversion,
            choice.precision,
        )
    except InputError as error:
        faults += error.faults
    if faults:
        raise InputError(faults)
    return rewritten


def _numbers(parameters: Mapping[str, Value]) -> dict[str, float]:
    """Return the scalar parameters, which include the counts of blocks."""
    return {name: float(v) for name, v in parameters.items() if not np.ndim(v)}
