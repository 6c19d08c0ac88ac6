"""Settings by name: facts of a device, parameters of a workload, and reserved words.

A dotted path is a fact of the device by entry name or role (``memories.main.bandwidth``); a plain
name is a parameter of the workload, or a field of its structure (``phase``, ``layers``). `split`
sorts a user's settings by these rules. `FaultList` collects the faults of several steps, so that a
public function can report all of them at once.
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

#: Names of numeric stored bits per element, by role; the compute format is unchanged.
BITS: Final = {"weight_bits": "weights", "activation_bits": "activations", "kv_bits": "kv"}
#: Categories of a prediction that are not part of a workload.
OPTIONS: Final = ("precision", "runtime", "engine", "model")
RESERVED: Final = ("device", "workload", *OPTIONS)

#: Remarks on settings that the command line prints with a result; ``None`` in Python.
REMARKS: ContextVar[list[str] | None] = ContextVar("REMARKS", default=None)

#: Faults found by a caller, to be raised together with those of the called function.
_EARLIER: ContextVar[tuple[Fault, ...]] = ContextVar("EARLIER", default=())

_SECTIONS: Final = ("engines", "memories", "links", "power", "energy", "site", "use", "runtime")
#: Name of the setting that selects an operating point of a device.
OPERATING_POINT: Final = "operating_point"
#: Pattern of a power: 2**9.
POWER: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*\*\*\s*(-?\d+)\s*", re.ASCII)


class FaultList(list[Fault]):
    """List of faults from several steps, to be reported together."""

    def trying(self, work: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R | None:
        """Return the result of a call; ``None`` on `InputError`, whose faults are added."""
        try:
            return work(*arguments, **named)
        except InputError as error:
            self.extend(error.faults)
            return None

    def trying_for(
        self, place: str, work: Callable[P, R], /, *arguments: P.args, **named: P.kwargs
    ) -> R | None:
        """Do the same as `trying`, and add a location to faults without one."""
        try:
            return work(*arguments, **named)
        except InputError as error:
            self.extend(f if f.file else replace(f, file=place) for f in error.faults)
            return None

    def trying_at(
        self, path: str, work: Callable[P, R], /, *arguments: P.args, **named: P.kwargs
    ) -> R | None:
        """Do the same as `trying`, and add the path of the argument to faults."""
        try:
            return work(*arguments, **named)
        except InputError as error:
            self.extend(replace(fault, path=path) for fault in error.faults)
            return None

    def quantity(self, value: str | float, dimension: str, path: str) -> float | None:
        """Return an SI value from a number or a text with a unit; ``None`` if it is neither."""
        try:
            return parse(value, dimension) if isinstance(value, str) else float(value)
        except UnitError as error:
            self.append(
                Fault(error.message, path, expected=error.expected, suggestion=error.suggestion)
            )
            return None

    def settle(self) -> None:
        """Raise `InputError` with all faults, if there are any."""
        if self:
            raise InputError(self)


@contextmanager
def with_faults(faults: Iterable[Fault]) -> Generator[None]:
    """Make functions called in this context raise these faults together with their own."""
    token = _EARLIER.set(tuple(faults))
    try:
        yield
    finally:
        _EARLIER.reset(token)


def gathered() -> FaultList:
    """Return the faults found by a caller; only the outermost function receives them."""
    earlier = _EARLIER.get()
    if earlier:
        _EARLIER.set(())
    return FaultList(earlier)


def is_fact(name: str) -> bool:
    """Return whether a name is a fact of a device (``memories.main.bandwidth``)."""
    return (name.partition(".")[0] in _SECTIONS and "." in name) or name in (
        "area",
        "price",
        "volume",
        OPERATING_POINT,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings grouped by their target.

    Attributes
    ----------
    workload : dict
        Parameters of the workload and fields of its structure.
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
    """Group settings by their target."""
    sorted_settings = Settings()
    for name, value in settings.items():
        if name in OPTIONS:
            sorted_settings.options[name] = value
        elif name in RESERVED:
            sorted_settings.subjects[name] = value
        elif name in BITS:
            sorted_settings.bits[BITS[name]] = value
        elif is_fact(name):
            sorted_settings.facts[name] = value
        else:
            sorted_settings.workload[name] = value
    return sorted_settings


def plain_value(text: str) -> Any:
    """Return the value of a workload setting in text form: a number, a boolean, or the text."""
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
    """Return the items of a list in which texts may contain commas: ``"a,b"``, ``["a", "b,c"]``.

    Parameters
    ----------
    faults
        List that receives a fault for each text with an empty item.
    place, path
        Option and name of the setting, for faults.
    """
    texts: list[str] = []
    for text in [values] if isinstance(values, str) else values:
        parts = [part.strip() for part in text.split(",")]
        if faults is not None and len(parts) > 1 and not all(parts):
            faults.append(empty_fault(text, parts, place, path))
        texts += [part for part in parts if part]
    return texts


def empty_fault(text: str, parts: Sequence[str], place: str, path: str = "") -> Fault:
    """Return the fault of a list with an empty item."""
    at = next((i for i, part in enumerate(parts, 1) if not part.strip()), 1)
    suggestion = ",".join(part.strip() for part in parts if part.strip())
    return Fault(
        f"item {at} of '{text.strip()}' is empty",
        path=path,
        file=place,
        expected="a value on both sides of each comma",
        suggestion=suggestion,
    )
