"""Views of facts as fields of spec classes: how cost models read engines, memories, runtimes.

A view is typed as the spec class whose facts it reads. For a `Quantity` of the spec it returns the
current number in SI units: possibly varied, an array over points, or a tracer. An optional field is
`None` if nothing states it, so that a type checker makes the law handle that case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast, get_args, get_origin

from perfmodel.arrays import is_array
from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.errors import input_error
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Quantity, Spec

S = TypeVar("S", bound=Spec)
E = TypeVar("E", bound=Engine)
T = TypeVar("T")
U = TypeVar("U")

_NOTHING: Final[Mapping[str, Any]] = {}


def or_else(value: T | None, other: U) -> T | U:
    """Return an optional fact, or a default if it is None."""
    return other if value is None else value


class FactMapping(Mapping[str, Any]):
    """Facts of a mapping field by key (``peaks``, ``efficiency``)."""

    __slots__ = ("_facts", "_head")

    def __init__(self, facts: Mapping[str, Any], head: str) -> None:
        self._facts, self._head = facts, head

    def __getitem__(self, key: str) -> Any:
        return self._facts[self._head + key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the fact of a key, or `default` if there is none."""
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
    """Return the kind of a field without a fact: Mapping, nested spec class, its default, or None.

    A property of the class is returned as it is.

    Raises
    ------
    AttributeError
        The class has no such field.
    """
    worked_out = getattr(model, name, None)
    if isinstance(worked_out, property):
        return worked_out
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
    """Return the required fields that a class adds to its base."""
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
    """Return whether an entry lacks fields that a class adds to its base: it is of another kind."""
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
        """Return the name of the entry in the paths of facts."""
        _, _, head, *_ = self._of
        return head.split(".")[1]

    def __getattr__(self, name: str) -> Any:
        """Return a fact, or a switch or word of the spec, and cache it."""
        model, facts, head, choices, below = self._of
        value = facts.get(head + name)
        if value is None:
            value = choices.get(below + name)
        if value is None:
            kind = _field(model, name)
            if kind is Mapping:
                value = FactMapping(facts, f"{head}{name}.")
            elif isinstance(kind, type):
                value = FactView(kind, facts, f"{head}{name}.", choices, f"{below}{name}.")
            else:
                value = cast("Any", kind.fget)(self) if isinstance(kind, property) else kind
        setattr(self, name, value)
        return value


def view(
    model: type[S],
    facts: Mapping[str, Any],
    head: str,
    choices: Mapping[str, Any] = _NOTHING,
    below: str = "",
) -> S:
    """Return the facts below a path as fields of a spec class.

    Parameters
    ----------
    model
        Spec class that declares the fields.
    facts
        Path -> number, array or tracer, in SI units.
    head
        Path of the entry with its trailing dot: ``engines.gpu.``.
    choices
        Switches and words of the spec, by field.
    below
        For a nested spec, the field that contains it, with its trailing dot.
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
    """Return the facts of an engine, by its name, as fields of a spec class.

    Parameters
    ----------
    kind
        Kind of the spec class; engines of other kinds are rejected.
    path
        Path reported with that fault.

    Raises
    ------
    InputError
        The engine lacks required fields of the class.
    """
    head = f"engines.{engine}."
    if kind and lacks(model, Engine, facts, head, choices):
        expected = f"an engine of kind {kind}"
        raise input_error(f"engine '{engine}' {model.OTHERWISE}", path=path, expected=expected)
    return view(model, facts, head, choices)


def memory_view(model: type[S], facts: Mapping[str, Any], memory: str) -> S:
    """Return the facts of a memory, by its name, as fields of a spec class."""
    return view(model, facts, f"memories.{memory}.")


def _vary(facts: Mapping[str, Any], *_: Any) -> bool:
    return any(map(is_array, facts.values()))


@cached(FACTS_BYTES, identity_keys=2, is_excluded=_vary)
def views_of(
    facts: Mapping[str, Any], choices: Mapping[str, Any], engine: str
) -> dict[tuple[type[Spec], str], Any]:
    """Return the cache of views of a machine's facts by class and path, shared by its predictions.

    Views are added on first use. They remain valid because facts are not changed in place: varied
    facts are a new mapping.
    """
    return {}
