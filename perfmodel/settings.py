"""What users set by name: facts of a device, parameters of a workload, and a few reserved words.

A dotted path is a fact of the device by entry name or role (``memories.main.bandwidth``); a plain
name is a parameter of the workload, or what shapes it (``phase``, ``layers``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final, ParamSpec, TypeVar

from perfmodel.errors import Fault, InputError
from perfmodel.units import UnitError, parse

P = ParamSpec("P")
R = TypeVar("R")

#: Stored bits per element by role, as numbers that may vary (the compute format stays).
BITS: Final = {"weight_bits": "weights", "activation_bits": "activations", "kv_bits": "kv"}
#: Categories of a prediction that are no part of a workload.
OPTIONS: Final = ("precision", "runtime", "engine", "model")
RESERVED: Final = ("device", "workload", *OPTIONS)

#: What the command line says beside an answer, of what was set by name; ``None`` in Python.
REMARKS: ContextVar[list[str] | None] = ContextVar("REMARKS", default=None)

#: Faults that a caller has found before it asks a question, which raises them with its own.
_EARLIER: ContextVar[tuple[Fault, ...]] = ContextVar("EARLIER", default=())

_SECTIONS: Final = ("engines", "memories", "links", "power", "energy", "runtime")
#: A power as it is written: 2**9.
POWER: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*\*\*\s*(-?\d+)\s*", re.ASCII)


class FaultList(list[Fault]):
    """Faults gathered over several steps, so that a user sees all of them at once."""

    def trying(self, work: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R | None:
        """Return what a call returns; ``None`` where it raises `InputError`, keeping its faults."""
        try:
            return work(*arguments, **named)
        except InputError as error:
            self.extend(error.faults)
            return None

    def trying_for(
        self, place: str, work: Callable[P, R], /, *arguments: P.args, **named: P.kwargs
    ) -> R | None:
        """Do as `trying`, and name the place where faults say none."""
        try:
            return work(*arguments, **named)
        except InputError as error:
            self.extend(f if f.file else replace(f, file=place) for f in error.faults)
            return None

    def trying_at(
        self, path: str, work: Callable[P, R], /, *arguments: P.args, **named: P.kwargs
    ) -> R | None:
        """Do as `trying`, and give faults the path of what the call was about."""
        try:
            return work(*arguments, **named)
        except InputError as error:
            self.extend(replace(fault, path=path) for fault in error.faults)
            return None

    def quantity(self, value: str | float, dimension: str, path: str) -> float | None:
        """Return a number in SI units, or a text with its unit; ``None`` where it is neither."""
        try:
            return parse(value, dimension) if isinstance(value, str) else float(value)
        except UnitError as error:
            self.append(
                Fault(error.message, path, expected=error.expected, suggestion=error.suggestion)
            )
            return None

    def settle(self) -> None:
        """Raise `InputError` with everything gathered, if there is anything."""
        if self:
            raise InputError(self)


@contextmanager
def with_faults(faults: Iterable[Fault]) -> Generator[None]:
    """Let the question that is asked inside raise these faults with its own."""
    token = _EARLIER.set(tuple(faults))
    try:
        yield
    finally:
        _EARLIER.reset(token)


def gathered() -> FaultList:
    """Return the faults that a caller has found, which the outermost question takes."""
    earlier = _EARLIER.get()
    if earlier:
        _EARLIER.set(())
    return FaultList(earlier)


def is_fact(name: str) -> bool:
    """Whether a name is a device's (``memories.main.bandwidth``) rather than a workload's."""
    return (name.partition(".")[0] in _SECTIONS and "." in name) or name in ("area", "price")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings by what they apply to.

    Attributes
    ----------
    workload : dict
        Parameters and fields of the structure.
    facts : dict
        Facts of the device by path.
    bits : dict
        Role (``weights``, ``activations``, ``kv``) -> stored bits per element.
    options : dict
        ``precision``, ``runtime``, ``engine``, ``model``.
    subjects : dict
        ``device``, ``workload``.
    """

    workload: dict[str, Any] = field(default_factory=dict[str, Any])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    bits: dict[str, Any] = field(default_factory=dict[str, Any])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    subjects: dict[str, Any] = field(default_factory=dict[str, Any])


def split(settings: Mapping[str, Any]) -> Settings:
    """Sort settings by what they apply to."""
    found = Settings()
    for name, value in settings.items():
        if name in OPTIONS:
            found.options[name] = value
        elif name in RESERVED:
            found.subjects[name] = value
        elif name in BITS:
            found.bits[BITS[name]] = value
        elif is_fact(name):
            found.facts[name] = value
        else:
            found.workload[name] = value
    return found


def plain_value(text: str) -> Any:
    """What a text stands for as a setting of a workload: a number, a truth value, or itself."""
    clean = text.strip()
    power = POWER.fullmatch(clean)
    if power is not None:
        try:
            return _whole(float(power[1]) ** int(power[2]))
        except (OverflowError, ZeroDivisionError):
            return math.inf
    folded = clean.lower()
    if folded in ("true", "false"):
        return folded == "true"
    if folded in ("null", "none", "~"):
        return None
    if re.fullmatch(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", clean, re.ASCII):
        return _whole(float(clean))
    return clean


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def text_list(
    values: str | Iterable[str], faults: list[Fault] | None = None, place: str = "", path: str = ""
) -> list[str]:
    """Texts of a list that may be written with commas: ``"a,b"``, ``["a", "b,c"]``.

    Parameters
    ----------
    faults
        Gets a fault for each text that has nothing between two commas or at an end.
    place, path
        Option and name that the texts were given for, for faults.
    """
    found: list[str] = []
    for text in [values] if isinstance(values, str) else values:
        parts = [part.strip() for part in text.split(",")]
        if faults is not None and len(parts) > 1 and not all(parts):
            faults.append(empty_fault(text, parts, place, path))
        found += [part for part in parts if part]
    return found


def empty_fault(text: str, parts: Sequence[str], place: str, path: str = "") -> Fault:
    """Fault of a list in which nothing stands between two commas, or at an end."""
    at = next((i for i, part in enumerate(parts, 1) if not part.strip()), 1)
    meant = ",".join(part.strip() for part in parts if part.strip())
    return Fault(
        f"item {at} of '{text.strip()}' is empty",
        path=path,
        file=place,
        expected="a value on both sides of each comma",
        suggestion=meant,
    )
