"""A workload: a graph with its free dimensions bound to numbers or arrays."""

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
from perfmodel.workload.sizes import SHARES, small_sizes
from perfmodel.workload.symbols import Dim, evaluate

_LIMIT = 1e12

#: What a network needs and no more.
PLAIN = ExecutionSemantics()


class Workload:
    """What is computed.

    Attributes
    ----------
    name
        Name of the model.
    parameters
        Free dimension -> number or array of shape ``(points,)``; arrays broadcast.
    unit
        What a run yields: ``tokens``, ``frames``, ``sequences``.
    precision
        Precision that the file itself fixes, or empty.
    trained_context
        Tokens of the longest context that the model is meant for, by its file; 0 where unknown.
    """

    __slots__ = (
        "_build",
        "_items",
        "_taken",
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
        self._taken: Graph | None = None
        self.parameters: dict[str, Value] = dict(parameters)
        self.unit, self._items = items
        self.precision = precision
        self.origin = origin
        self.notes = tuple(map(printable, notes))
        self.trained_context = trained_context

    def graph(self, semantics: ExecutionSemantics = PLAIN) -> Graph:
        """Return the graph, free dimensions symbolic; cached by structure.

        Raises
        ------
        InputError
            A free dimension has a number under which a tensor has no elements.
        """
        graph = self._build(semantics)
        if graph is not self._taken:
            if faults := small_sizes(graph).faults(self.parameters, self.name):
                raise InputError(faults)
            self._taken = graph
        return graph

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """What another process is sent: not the graph, which it makes again."""
        state = {name: getattr(self, name) for name in Workload.__slots__}
        return None, {**state, "_taken": None}

    def least(self, name: str) -> float:
        """Return the least whole number of a free dimension that the network takes; 0 for any."""
        return small_sizes(self.graph()).least(name, self.parameters)

    def items(self) -> Value:
        """Return how many tokens, frames ... one run yields."""
        return evaluate(self._items, self.parameters)

    def number(self, dim: Dim) -> Value:
        """Return a dimension of the graph under this workload's parameters."""
        return evaluate(dim, self.parameters)

    @property
    def longest_context(self) -> float:
        """Tokens of the longest context that a run reaches; 0 where it reads none."""
        sizes = self.parameters
        read = sizes.get("context", sizes.get("prompt", sizes.get("tokens", 0.0)))
        if namespace(read) is not np:
            return 0.0
        return float(np.max(np.asarray(read) + np.asarray(sizes.get("generate", 0.0))))

    @property
    def macs(self) -> Value:
        """Multiply-accumulates of one run, before any mask."""
        return self.number(self.graph().macs)

    @property
    def weights(self) -> Value:
        """Stored parameters."""
        return self.number(self.graph().weight_elements)

    @property
    def active_weights(self) -> Value:
        """Parameters that one run reads (`Graph.active_weight_elements`)."""
        return self.number(self.graph().active_weight_elements)

    @property
    def not_priced(self) -> tuple[str, ...]:
        """Operators that no cost stands for, each with why."""
        return self.graph().not_priced

    @property
    def structure(self) -> Any:
        """The structure of its family, such as `TransformerStructure`; None for a plain graph."""
        return self._build.structure if isinstance(self._build, StructureBuild) else None

    def restructured(self, structure: Any, settings: Mapping[str, Value]) -> Workload:
        """Return the network with another structure of its family, and with its formats.

        Parameters
        ----------
        structure
            Of the same class as `structure`.
        settings
            Free dimensions to bind.

        Raises
        ------
        InputError
            Unknown free dimensions.
        """
        assert isinstance(self._build, StructureBuild)
        family = self._build.family
        made = Workload(
            self.name,
            self._build.of(structure),
            family.parameters(structure),
            family.items(structure),
            precision=self.precision,
            origin=self.origin,
            notes=self.notes,
            trained_context=self.trained_context,
        )
        return made.bind(settings) if settings else made

    @property
    def shape(self) -> tuple[int, ...]:
        """Broadcast shape of the parameters; ``()`` when all are numbers."""
        return points_shape(*self.parameters.values())

    def bind(self, settings: Mapping[str, Value]) -> Workload:
        """Return the workload with other numbers for free dimensions.

        Raises
        ------
        InputError
            Every unknown name, and every number that is no extent, at once.
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
        return Workload(
            self.name,
            self._build,
            {**self.parameters, **bound},
            (self.unit, self._items),
            precision=self.precision,
            origin=self.origin,
            notes=self.notes,
            trained_context=self.trained_context,
        )

    def scoring_every_token(self) -> Workload:
        """Return the workload with its classifier on every token, whatever runs it: training."""
        return Workload(
            self.name,
            partial(_with_whole_head, self._build),
            self.parameters,
            (self.unit, self._items),
            precision=self.precision,
            origin=self.origin,
            notes=self.notes,
            trained_context=self.trained_context,
        )

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={_brief(v)}" for k, v in self.parameters.items())
        return f"Workload({self.name}: {settings})"


def _with_whole_head(
    build: Callable[[ExecutionSemantics], Graph], semantics: ExecutionSemantics
) -> Graph:
    return build(semantics._replace(head_on_every_token=True))


def check_extent(name: str, value: Value) -> list[Fault]:
    """Return the faults of a value bound to a free dimension (none for a tracer)."""
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
            return [Fault(f"{value!r} is no array", path=name, expected=expected)]
        if array.dtype.kind not in "iuf":
            return [Fault(f"{value!r} is not a number", path=name, expected=expected)]
        inside = (array >= 0) & (array <= 1) if share else (array > 0) & (array <= _LIMIT)
        good = bool(array.size and np.all(inside))
    if good:
        return []
    noun = "a share" if share else "an extent"
    return [Fault(f"{_brief(value)} is not {noun}", path=name, expected=expected)]


def as_number(value: Value) -> Value:
    """Return a number of Python, an array of floats (so that no product overflows) or a tracer."""
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
    """Builds the graph of one structure of a family, once for each semantics."""

    __slots__ = ("_graphs", "family", "structure")

    def __init__(self, family: Family, structure: Any) -> None:
        self.family = family
        self.structure = structure
        self._graphs: dict[ExecutionSemantics, Graph] = {}

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph under a runtime's semantics."""
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
        """Return what builds the graph of another structure of the family."""
        return StructureBuild(self.family, structure)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.family.name, self.structure)


def _rebuild(family_name: str, structure: Any) -> StructureBuild:
    from perfmodel.workload.families import family

    origin = getattr(structure, "origin", family_name)
    if isinstance(origin, str):
        return StructureBuild(family(family_name), structure)
    from perfmodel.workload.template_family import own_family

    return StructureBuild(own_family(origin), structure)


def from_family(
    name: str,
    family: Family,
    structure: Any,
    settings: Mapping[str, Value],
    *,
    origin: str = "",
    precision: str = "",
) -> Workload:
    """Return a workload of a family: `structure` validated, `settings` for its free dimensions."""
    base = Workload(
        name,
        StructureBuild(family, structure),
        family.parameters(structure),
        family.items(structure),
        origin=origin,
        precision=precision,
    )
    return base.bind(settings) if settings else base
