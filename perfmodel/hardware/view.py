"""Facts read by the fields of their spec classes: what a law sees of engines, memories, runtimes.

A view is typed as the spec class whose facts it reads. Where the spec has a `Quantity`, the view
has its number in SI units as it is now: varied, an array over points, a tracer. A field that may be
left out is `None` where nobody states it, so that a type checker asks what a law does then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast, get_args, get_origin

from perfmodel.arrays import is_array
from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.errors import input_error
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Quantity, Spec
from perfmodel.hardware.runtime import Runtime

S = TypeVar("S", bound=Spec)
E = TypeVar("E", bound=Engine)
T = TypeVar("T")
U = TypeVar("U")

_NOTHING: Final[Mapping[str, Any]] = {}


def or_else(value: T | None, other: U) -> T | U:
    """Return a fact that may be left out, or what holds where it is."""
    return other if value is None else value


class FactMapping(Mapping[str, Any]):
    """Facts of a field that holds several, by key (``peaks``, ``efficiency``)."""

    __slots__ = ("_facts", "_head")

    def __init__(self, facts: Mapping[str, Any], head: str) -> None:
        self._facts, self._head = facts, head

    def __getitem__(self, key: str) -> Any:
        return self._facts[self._head + key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the fact of a key, or `default` where it has none."""
        return self._facts.get(self._head + key, default)

    def __contains__(self, key: object) -> bool:
        return f"{self._head}{key}" in self._facts

    def __iter__(self) -> Iterator[str]:
        head = self._head
        return (path[len(head) :] for path in self._facts if path.startswith(head))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)


@cache
def _field(model: type[Spec], name: str) -> Any:
    """Return what a field without a fact is: Mapping, a spec class inside, its default, or None.

    Raises
    ------
    AttributeError
        The class has no such field.
    """
    info = model.model_fields.get(name)
    if info is None:
        raise AttributeError(f"{model.__name__} has no field '{name}'")
    kind: Any = info.annotation
    if any(get_origin(each) is Mapping for each in (kind, *get_args(kind))):
        return Mapping
    if isinstance(kind, type) and issubclass(kind, Spec) and not issubclass(kind, Quantity):
        return kind
    return getattr(info.default, "value", None)


@cache
def _needed(model: type[Spec], base: type[Spec]) -> tuple[str, ...]:
    """Return the fields that a class adds to its base and that always have a value."""
    return tuple(
        name
        for name, info in model.model_fields.items()
        if name not in base.model_fields
        and type(None) not in get_args(info.annotation)
        and not isinstance(_field(model, name), type)
    )


def lacks(
    model: type[Spec],
    base: type[Spec],
    facts: Mapping[str, Any],
    head: str,
    choices: Mapping[str, Any] = _NOTHING,
) -> bool:
    """Tell whether an entry is of another kind: it lacks what a class adds to its base."""
    return any(n not in choices and head + n not in facts for n in _needed(model, base))


class FactView:
    """Facts below a path, as attributes."""

    def __init__(
        self,
        model: type[Spec],
        facts: Mapping[str, Any],
        head: str,
        choices: Mapping[str, Any] = _NOTHING,
        below: str = "",
    ) -> None:
        self._of = model, facts, head, choices, below

    def __str__(self) -> str:
        """Return the name of the entry, as paths of facts have it."""
        return self._of[2].split(".")[1]

    def __getattr__(self, name: str) -> Any:
        """Read a fact, or a switch or word of the spec, once."""
        model, facts, head, choices, below = self._of
        value = facts.get(head + name)
        if value is None:
            value = choices.get(below + name)
        if value is None:
            worked_out = getattr(model, name, None)
            if isinstance(worked_out, property):
                value = cast("Any", worked_out.fget)(self)
            else:
                kind = _field(model, name)
                if kind is Mapping:
                    value = FactMapping(facts, f"{head}{name}.")
                elif not isinstance(kind, type):
                    value = kind
                else:
                    value = FactView(kind, facts, f"{head}{name}.", choices, f"{below}{name}.")
        setattr(self, name, value)
        return value


def view(
    model: type[S],
    facts: Mapping[str, Any],
    head: str,
    choices: Mapping[str, Any] = _NOTHING,
    below: str = "",
) -> S:
    """Return facts below a path as the fields of a spec class.

    Parameters
    ----------
    model
        Spec class that declares the fields.
    facts
        Path -> number, array or tracer, in SI units.
    head
        Path of the entry with its dot: ``engines.gpu.``.
    choices
        Switches and words of the spec, by field.
    below
        Of a spec inside another: the field that holds it, with its dot.
    """
    return cast("S", FactView(model, facts, head, choices, below))


def engine_view(
    model: type[E],
    facts: Mapping[str, Any],
    engine: str,
    choices: Mapping[str, Any] = _NOTHING,
    kind: str = "",
    path: str = "model",
) -> E:
    """Return facts of an engine, by its name, as the fields of a spec class.

    Parameters
    ----------
    kind
        Kind whose spec class it is; an engine of another one is refused.
    path
        Place of that fault.

    Raises
    ------
    InputError
        The engine lacks what the class says every engine has.
    """
    head = f"engines.{engine}."
    if kind and lacks(model, Engine, facts, head, choices):
        expected = f"an engine of kind {kind}"
        raise input_error(f"engine '{engine}' {model.OTHERWISE}", path=path, expected=expected)
    return view(model, facts, head, choices)


def memory_view(model: type[S], facts: Mapping[str, Any], memory: str) -> S:
    """Return facts of a memory, by its name, as the fields of a spec class."""
    return view(model, facts, f"memories.{memory}.")


class MachineViews:
    """Views of a machine's facts for predictions on one of its engines.

    Attributes
    ----------
    engine, runtime
        Facts of the engine that is costed, and of the runtime.
    memories, kernels
        Facts of plain memories by name, and of the runtime's kernels by name and class, as they are
        read.
    others
        By spec class and path.
    """

    def __init__(self, facts: Mapping[str, Any], choices: Mapping[str, Any], engine: str) -> None:
        self.engine = engine_view(Engine, facts, engine, choices)
        self.runtime = view(Runtime, facts, "runtime.")
        self.memories: dict[str, Memory] = {}
        self.kernels: dict[tuple[str, type[Spec]], Any] = {}
        self.others: dict[tuple[str, str], Any] = {}


def _vary(facts: Mapping[str, Any], *_: Any) -> bool:
    return any(map(is_array, facts.values()))


@cached(FACTS_BYTES, same=2, passing=_vary)
def views_of(facts: Mapping[str, Any], choices: Mapping[str, Any], engine: str) -> MachineViews:
    """Return the views of a machine's facts, the same for every prediction on it.

    Facts of a mapping are not changed in place: those that are varied are another mapping.
    """
    return MachineViews(facts, choices, engine)
