"""Workload: a network with its free dimensions bound to numbers or arrays.

The first argument of every prediction. The graph is built on first use and shared by all workloads
of one structure; binding other numbers is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from perfmodel.arrays import Value, is_array, namespace, points_shape
from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of, printable
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.smallest_sizes import SHARES, small_sizes
from perfmodel.workload.symbols import Dim, evaluate

_LIMIT = 1e12

#: Semantics without superfluous operators.
PLAIN = ExecutionSemantics()


class Workload:
    """A network to be executed, with its parameters.

    Attributes
    ----------
    name
        Name of the model.
    parameters
        Free dimension -> number or array of shape ``(points,)``; arrays broadcast.
    unit
        Unit of a run's results: ``tokens``, ``frames``, ``sequences``.
    precision
        Precision that the file fixes, or empty.
    trained_context
        Longest context in tokens for which the model is intended, by its file; 0 if unknown.
    """

    __slots__ = (
        "_build",
        "_checked_graph",
        "_items",
        "name",
        "notes",
        "origin",
        "parameters",
        "precision",
        "trained_context",
        "unit",
    )

    def __init__(
        self,
        name: str,
        build: Callable[[ExecutionSemantics], Graph],
        parameters: Mapping[str, Value],
        items: tuple[str, Dim] = ("runs", 1),
        *,
        precision: str = "",
        origin: str = "",
        notes: tuple[str, ...] = (),
        trained_context: int = 0,
    ) -> None:
        self.name = printable(name)
        self._build = build
        self._checked_graph: Graph | None = None
        self.parameters: dict[str, Value] = dict(parameters)
        self.unit, self._items = items
        self.precision = precision
        self.origin = origin
        self.notes = tuple(map(printable, notes))
        self.trained_context = trained_context

    def graph(self, semantics: ExecutionSemantics = PLAIN) -> Graph:
        """Return the graph with symbolic free dimensions, cached by structure.

        Raises
        ------
        InputError
            The number of a free dimension leaves a tensor without elements.
        """
        graph = self._build(semantics)
        if graph is not self._checked_graph:
            if faults := small_sizes(graph).faults(self.parameters, self.name):
                raise InputError(faults)
            self._checked_graph = graph
        return graph

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Return the state sent to another process, without the graph, which is rebuilt there."""
        state = {name: getattr(self, name) for name in Workload.__slots__}
        return None, {**state, "_checked_graph": None}

    def least(self, name: str) -> float:
        """Return the least valid whole number of a free dimension; 0 if any is valid."""
        return small_sizes(self.graph()).least(name, self.parameters)

    def items(self) -> Value:
        """Return the number of results (tokens, frames ...) of one run."""
        return evaluate(self._items, self.parameters)

    def number(self, dim: Dim) -> Value:
        """Evaluate a dimension of the graph under this workload's parameters."""
        return evaluate(dim, self.parameters)

    @property
    def longest_context(self) -> float:
        """Longest context in tokens that a run reaches; 0 if the workload has no context."""
        sizes = self.parameters
        read = sizes.get("context", sizes.get("prompt", sizes.get("tokens", 0.0)))
        if namespace(read) is not np:
            return 0.0
        return float(np.max(np.asarray(read) + np.asarray(sizes.get("generate", 0.0))))

    @property
    def macs(self) -> Value:
        """Multiply-accumulates of one run, masked ones included."""
        return self.number(self.graph().macs)

    @property
    def weights(self) -> Value:
        """Number of stored parameters."""
        return self.number(self.graph().weight_elements)

    @property
    def active_weights(self) -> Value:
        """Number of parameters that one run reads (`Graph.active_weight_elements`)."""
        return self.number(self.graph().active_weight_elements)

    @property
    def not_priced(self) -> tuple[str, ...]:
        """Operators without a cost, each with the reason."""
        return self.graph().not_priced

    @property
    def structure(self) -> Any:
        """Structure of its family, such as `TransformerStructure`; ``None`` for a plain graph."""
        return self._build.structure if isinstance(self._build, StructureBuild) else None

    @property
    def usual_runtimes(self) -> tuple[str, ...]:
        """Software that networks of its family are usually run with, in order of preference."""
        return self._build.family.runtimes if isinstance(self._build, StructureBuild) else ()

    def restructured(self, structure: Any, settings: Mapping[str, Value]) -> Workload:
        """Return the network with another structure of its family and the same formats.

        Parameters
        ----------
        structure
            Structure of the same class as `structure`.
        settings
            Free dimensions to bind.

        Raises
        ------
        InputError
            Unknown free dimensions.
        """
        assert isinstance(self._build, StructureBuild)
        family = self._build.family
        parameters, items = family.parameters(structure), family.items(structure)
        workload = self.rebuilt(self._build.of(structure), parameters, items)
        return workload.bind(settings) if settings else workload

    def rebuilt(
        self,
        build: Callable[[ExecutionSemantics], Graph],
        parameters: Mapping[str, Value] | None = None,
        items: tuple[str, Value] | None = None,
    ) -> Workload:
        """Return the network with another builder of its graph and the same formats and notes.

        Parameters
        ----------
        build
            Function from execution semantics to graph.
        parameters, items
            Free dimensions, and unit and number of results; by default unchanged.
        """
        return Workload(
            self.name,
            build,
            self.parameters if parameters is None else parameters,
            items or (self.unit, self._items),
            precision=self.precision,
            origin=self.origin,
            notes=self.notes,
            trained_context=self.trained_context,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Broadcast shape of the parameters; ``()`` if all are numbers."""
        return points_shape(*self.parameters.values())

    def bind(self, settings: Mapping[str, Value]) -> Workload:
        """Return the workload with other numbers for its free dimensions.

        Raises
        ------
        InputError
            All unknown names and invalid extents, at once.
        """
        faults: list[Fault] = []
        for name, value in settings.items():
            if name not in self.parameters:
                faults.append(
                    Fault(
                        f"'{self.name}' has no free dimension '{name}'",
                        path=name,
                        expected=one_of(sorted(self.parameters)),
                        suggestion=nearest(name, self.parameters),
                    )
                )
            else:
                faults += check_extent(name, value)
        if faults:
            raise InputError(faults)
        bound = {name: as_number(value) for name, value in settings.items()}
        return self.rebuilt(self._build, {**self.parameters, **bound})

    def scoring_every_token(self) -> Workload:
        """Return the workload with its classifier on every token, as in training."""
        return self.rebuilt(partial(_with_whole_head, self._build))

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={_brief(v)}" for k, v in self.parameters.items())
        return f"Workload({self.name}: {settings})"


def _with_whole_head(
    build: Callable[[ExecutionSemantics], Graph], semantics: ExecutionSemantics
) -> Graph:
    return build(semantics._replace(head_on_every_token=True))


def check_extent(name: str, value: Value) -> list[Fault]:
    """Return the faults of a value for a free dimension (none for a tracer)."""
    share = name in SHARES
    expected = f"a number above 0, at most {_LIMIT:g}, or an array of them"
    if share:
        expected = "a share from 0 to 1, or an array of them"
    if namespace(value) is not np:
        return []
    if type(value) is int or type(value) is float:
        good = 0 <= value <= 1 if share else 0 < value <= _LIMIT
    else:
        try:
            array = np.asarray(value)
        except ValueError:  # lists of unequal length
            return [Fault(f"{value!r} is not an array", path=name, expected=expected)]
        if array.dtype.kind not in "iuf":
            return [Fault(f"{value!r} is not a number", path=name, expected=expected)]
        inside = (array >= 0) & (array <= 1) if share else (array > 0) & (array <= _LIMIT)
        good = bool(array.size and np.all(inside))
    if good:
        return []
    noun = "a share" if share else "an extent"
    return [Fault(f"{_brief(value)} is not {noun}", path=name, expected=expected)]


def as_number(value: Value) -> Value:
    """Return a Python number, an array of floats (to avoid integer overflow) or a tracer."""
    if type(value) is int or type(value) is float or namespace(value) is not np:
        return value
    array = np.asarray(value)
    return array.astype(float) if array.ndim else array.item()


def _brief(value: Value) -> str:
    if is_array(value) and np.ndim(value):
        return f"array{tuple(np.shape(value))}"
    return f"{value}"


@cached(GRAPH_BYTES)
def _built(
    build: Callable[[Any, ExecutionSemantics], Graph], structure: Any, semantics: ExecutionSemantics
) -> Graph:
    return build(structure, semantics)


class StructureBuild:
    """Builder of the graph of one structure of a family, cached per semantics."""

    __slots__ = ("_graphs", "family", "structure")

    def __init__(self, family: Family, structure: Any) -> None:
        self.family = family
        self.structure = structure
        self._graphs: dict[ExecutionSemantics, Graph] = {}

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph under the given semantics."""
        graph = self._graphs.get(semantics)
        if graph is None:
            try:
                graph = _built(self.family.build, self.structure, semantics)
            except ZeroDivisionError:
                raise input_error(
                    "a width, or a number of heads or groups, comes out as 0",
                    path="structure",
                    expected="larger widths, or fewer groups",
                ) from None
            self._graphs[semantics] = graph
        return graph

    def of(self, structure: Any) -> StructureBuild:
        """Return the builder for another structure of the family."""
        return StructureBuild(self.family, structure)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.family.name, self.structure)


def _rebuild(family_name: str, structure: Any) -> StructureBuild:
    from perfmodel.workload.families import family

    origin = getattr(structure, "origin", family_name)
    if isinstance(origin, str):
        return StructureBuild(family(family_name), structure)
    from perfmodel.workload.template_family import inline_family

    return StructureBuild(inline_family(origin), structure)


def from_family(
    name: str,
    family: Family,
    structure: Any,
    settings: Mapping[str, Value],
    *,
    origin: str = "",
    precision: str = "",
) -> Workload:
    """Return a workload of a family, with a validated structure and bound free dimensions."""
    base = Workload(
        name,
        StructureBuild(family, structure),
        family.parameters(structure),
        family.items(structure),
        origin=origin,
        precision=precision,
    )
    return base.bind(settings) if settings else base
