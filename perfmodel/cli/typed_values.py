"""Conversion of typed words to values: whole numbers, names, settings of ``--set``.

Every function collects faults instead of raising at the first. `options_named` translates faults of
the public functions, which name parameters, to the options that the user typed.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from perfmodel.errors import Fault, InputError
from perfmodel.settings import RESERVED, FaultList, is_fact, plain_value
from perfmodel.units import is_number

if TYPE_CHECKING:
    from cyclopts import Token


#: Beginning of a fault's path: a parameter, or one of its values.
_HEAD = re.compile(r"(\w+)(?:\[\d+\])?(?:\.|$)")


def _whole(_type: Any, tokens: Sequence[Token]) -> int:
    """Read an integer; cyclopts would truncate 1.5 to 1."""
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise ValueError(f"'{text}' is not a whole number.")
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
"""An integer on the command line."""


def _count(_type: Any, tokens: Sequence[Token]) -> int:
    """Read a non-negative integer."""
    number = _whole(_type, tokens)
    if number < 0:
        raise ValueError(f"'{number}' is below zero.")
    return number


Count = Annotated[int, Parameter(converter=_count)]
"""A non-negative integer on the command line."""


def pairs(items: Iterable[str], faults: FaultList, option: str = "--set") -> dict[str, str]:
    """Split ``NAME=VALUE`` texts; a repeated name is a fault."""
    read: dict[str, str] = {}
    for item in items:
        name, _, value = (part.strip() for part in item.partition("="))
        if not name or not value:
            faults.append(Fault(f"'{item}' sets nothing", file=option, expected="NAME=VALUE"))
        elif name in read:
            expected = "one value; `perfmodel sweep` takes lists"
            faults.append(Fault(f"'{name}' is set twice", file=option, expected=expected))
        else:
            read[name] = value
    return read


@contextmanager
def options_named(options: Mapping[str, str]) -> Generator[None]:
    """Translate parameters in faults to options of the command line.

    Parameters
    ----------
    options
        Name of a parameter, the head of the paths of its faults -> ``--option``.

    Raises
    ------
    InputError
        The one raised inside, with options in place of parameters.
    """
    try:
        yield
    except InputError as error:
        raise InputError([_with_option(fault, options) for fault in error.faults]) from None


def _with_option(fault: Fault, options: Mapping[str, str]) -> Fault:
    """Return a fault with the option in place of the parameter."""
    if fault.file in options:
        return replace(fault, file=options[fault.file])
    head = _HEAD.match(fault.path)
    if fault.file or head is None or head[1] not in options:
        return fault
    return replace(fault, file=options[head[1]], path=fault.path[head.end() :])


def listed(text: str | None) -> list[str] | None:
    """Split comma-separated names."""
    return None if text is None else [name.strip() for name in text.split(",")]


def scalars(items: Iterable[str], faults: FaultList) -> dict[str, Any]:
    """Return settings of one point: texts with units for facts, plain values for the rest."""
    values: dict[str, Any] = {}
    for name, text in pairs(items, faults).items():
        value = text
        if name not in RESERVED:
            value = fact_value(text) if is_fact(name) else plain_value(text)
            if isinstance(value, str) and ("," in text or ".." in text):
                expected = "one value; `perfmodel sweep` takes lists and ranges"
                faults.append(Fault(f"'{text}' is a list", name, "--set", expected=expected))
                continue
        values[name] = value
    return values


def fact_value(text: str) -> Any:
    """Return a text as the value of a fact: a plain number, or the text with its unit."""
    value = plain_value(text)
    # A plain number is in SI units; any other text has a unit, checked against the dimension.
    return float(value) if is_number(value) else text
