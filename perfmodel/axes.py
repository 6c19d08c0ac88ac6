"""Axes of a sweep: `make_axis` reads lists, ranges and intervals of a named quantity.

==============================  =================================================
text                            values
==============================  =================================================
``1,2,4``                       the listed values
``1..8``                        integers from 1 to 8
``1..64:8``                     integers with a step of 8: 1, 9, ... 57
``2**9..2**15``                 powers: 512, 1024, ... 32768
``25 GB/s..100 GB/s:25 GB/s``   with units, a step is required
``linspace(1 GHz, 2 GHz, 5)``   equal steps, both ends included
``logspace(1e9, 1e12, 7)``      equal ratios, both ends included
``uniform(1 GHz, 2 GHz)``       uniform distribution, for sampling (Sobol) only
``loguniform(1e9, 1e12)``       log-uniform distribution, likewise
==============================  =================================================

Items are combined with commas. Plain numbers are in SI units.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError, nearest, one_of
from perfmodel.settings import POWER, RESERVED, empty_fault, is_fact, plain_value
from perfmodel.units import UnitError, dimension, is_number, parse, show

#: Maximum number of values on one axis; more are treated as a mistake.
_MOST: Final = 10_000_000
_FUNCTIONS: Final = ("linspace", "logspace", "uniform", "loguniform")
_CALL: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True, slots=True)
class SampledInterval:
    """Continuous interval for sampling.

    Attributes
    ----------
    low, high : float
        Ends in SI units.
    log : bool
        Whether the distribution is log-uniform rather than uniform.
    integral : bool
        Whether samples are rounded to integers.
    """

    low: float
    high: float
    log: bool = False
    integral: bool = False

    def at(self, quantile: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the values at quantiles from 0 to 1."""
        if self.log:
            values = self.low * (self.high / self.low) ** quantile
        else:
            values = self.low + (self.high - self.low) * quantile
        return np.rint(values) if self.integral else values


@dataclass(frozen=True, slots=True)
class Axis:
    """One varied quantity.

    Attributes
    ----------
    name : str
        Path of a fact, parameter of the workload, or reserved word.
    values : tuple
        Numbers (SI) or categories, in their original order.
    interval : SampledInterval or None
        Continuous interval instead of `values`.
    """

    name: str
    values: tuple[Any, ...] = ()
    interval: SampledInterval | None = None
    #: Whether every value is a number, so that values can be batched. Stored, since an axis may
    #: have millions of values and every chunk of a sweep needs it.
    is_number: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = set(map(type, self.values))
        number = self.interval is not None or all(
            issubclass(kind, int | float) and not issubclass(kind, bool) for kind in kinds
        )
        object.__setattr__(self, "is_number", number)

    def __len__(self) -> int:
        return len(self.values)

    def describe(self) -> dict[str, Any]:
        """Return the description of the axis for a manifest."""
        if self.interval is not None:
            return {
                "low": self.interval.low,
                "high": self.interval.high,
                "log": self.interval.log,
                "whole": self.interval.integral,
            }
        if len(self.values) > 1000:
            return {"count": len(self.values), "first": self.values[0], "last": self.values[-1]}
        return {"values": list(self.values)}


class _AxisError(Exception):
    def __init__(self, message: str, expected: str = "", suggestion: str = "") -> None:
        super().__init__(message)
        self.message, self.expected, self.suggestion = message, expected, suggestion


def make_axis(
    name: str, value: Any, dimension_name: str = "", file: str = "", integral: bool = False
) -> Axis:
    """Return an axis from user input.

    Parameters
    ----------
    name : str
        Name of the varied quantity.
    value : str, number, sequence or array
        Text in the grammar above; texts inside a sequence are single values.
    dimension_name : str
        Physical dimension of a fact; empty for anything else.
    file : str
        Source location, for error messages.
    integral : bool
        Whether a fact is a count, so that an interval contains integers only.

    Raises
    ------
    InputError
        Every item that cannot be read.
    """
    if isinstance(value, str):
        return parse_axis(name, value, dimension_name, file, integral)
    array: Any = value
    if isinstance(value, bool | int | float) or value is None or np.ndim(array) == 0:
        items = [value]
    else:
        items = list(cast("Iterable[Any]", value))
    faults: list[Fault] = []
    values: list[Any] = []
    for item in items:
        try:
            values.append(_checked_value(name, item, dimension_name))
        except _AxisError as error:
            faults.append(_fault(name, error, file))
    if not values and not faults:
        faults.append(Fault("has no values", path=name, file=file))
    if faults:
        raise InputError(faults)
    return Axis(name, tuple(values))


def parse_axis(
    name: str, text: str, dimension_name: str = "", file: str = "", integral: bool = False
) -> Axis:
    """Parse the values of an axis from text; see `make_axis`."""
    faults: list[Fault] = []
    values: list[Any] = []
    interval: SampledInterval | None = None
    parts = _split_items(name, text)
    stated = [part for part in parts if part.strip()]
    if stated and len(stated) < len(parts):
        faults.append(empty_fault(text, parts, file, name))
    faults += missing_unit_faults(name, stated, dimension_name, file) if dimension_name else []
    for part in stated:
        try:
            values_of_part = _parse_item(name, part, dimension_name)
            if isinstance(values_of_part, SampledInterval):
                if values or interval is not None or len(stated) > 1:
                    raise _AxisError(
                        f"'{part.strip()}' is combined with other values",
                        "an interval without further values",
                    )
                interval = replace(values_of_part, integral=True) if integral else values_of_part
            else:
                values += values_of_part
            if len(values) > _MOST:
                raise _AxisError(f"{len(values)} values", f"at most {_MOST}")
        except _AxisError as error:
            faults.append(_fault(name, error, file))
    if not values and interval is None and not faults:
        faults.append(Fault("has no values", path=name, file=file, expected="such as 1,2,4"))
    if faults:
        raise InputError(faults)
    return Axis(name, tuple(values), interval)


def _fault(name: str, error: _AxisError, file: str) -> Fault:
    return Fault(
        error.message, path=name, file=file, expected=error.expected, suggestion=error.suggestion
    )


def missing_unit_faults(
    name: str, parts: Iterable[str], dimension_name: str, file: str = ""
) -> list[Fault]:
    """Return the faults of plain numbers that probably lack the unit of the other values.

    Plain numbers are SI, but ``25,50 GB/s`` hardly means 25 byte/s.
    """
    plain: dict[str, float] = {}
    named: list[tuple[float, str]] = []
    for part in map(str.strip, parts):
        if _has_no_unit(part):
            plain[part] = float(part)
        elif match := re.fullmatch(r"[\d.,_eE+-]+\s*(\D.*)", part):
            with contextlib.suppress(UnitError):
                named.append((parse(part, dimension_name), match[1]))
    if not named:
        return []
    least, unit = min(named)
    return [
        Fault(
            f"'{part}' has no unit beside '{unit}'",
            path=name,
            file=file,
            expected="a unit for each value",
            suggestion=f"{part} {unit}",
        )
        for part, value in plain.items()
        if 0 < 1000.0 * value <= least
    ]


def _split_items(name: str, text: str) -> list[str]:
    """Return the items between commas outside parentheses."""
    if name == "precision":
        # The roles of a precision are separated by commas as well: w=q4_0,a=fp16,kv=q8_0.
        joined: list[str] = []
        for part in re.split(r"[,;]", text):
            if joined and joined[-1].strip() and re.match(r"\s*(a|kv)\s*=", part):
                joined[-1] += "," + part.strip()
            else:
                joined.append(part)
        return joined
    parts: list[str] = [""]
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _parse_item(name: str, text: str, dimension_name: str) -> list[Any] | SampledInterval:
    """Return the values of one item: a function, a range or a single value."""
    if name in RESERVED:
        return [text.strip()]
    call = _CALL.fullmatch(text)
    if call is not None:
        return _call_values(name, call[1], call[2], dimension_name)
    if ".." not in text:
        return [_checked_value(name, text, dimension_name)]
    low, _, upper = text.partition("..")
    high, _, step = upper.partition(":")
    if not low.strip() or not high.strip():
        raise _AxisError(f"'{text.strip()}' has only one end", "such as 1..8, 2**9..2**15")
    first, last = POWER.fullmatch(low), POWER.fullmatch(high)
    if first is not None and last is not None and first[1] == last[1]:
        return _powers_of_base(text, float(first[1]), int(first[2]), int(last[2]), step)
    start, stop = (_parse_number(name, part, dimension_name) for part in (low, high))
    if dimension_name and _has_no_unit(low) and not _has_no_unit(high):
        unit = re.sub(r"^\s*[-+\d.eE_]+\s*", "", high).strip()
        raise _AxisError(
            f"'{low.strip()}' has no unit, so it is {show(start, dimension_name)}",
            suggestion=f"{low.strip()} {unit}..{high.strip()}"
            + (f":{step.strip()}" if step else ""),
        )
    if not step.strip():
        ends = ((start, low), (stop, high))
        if not all(float(end).is_integer() and _has_no_unit(part) for end, part in ends):
            raise _AxisError(
                f"'{text.strip()}' has no step",
                "low..high:step, linspace(low, high, count), logspace(low, high, count), "
                "or uniform(low, high) with a sample",
            )
        increment = 1.0
    else:
        increment = _parse_number(name, step, dimension_name)
    return _arithmetic_range(text, start, stop, increment)


def _arithmetic_range(text: str, start: float, stop: float, step: float) -> list[Any]:
    """Return ``start + i * step`` up to and including `stop`."""
    if not step > 0:
        raise _AxisError(f"'{text.strip()}' has a step of {step:g}", "a step above zero")
    if stop < start:
        raise _AxisError(f"'{text.strip()}' is in descending order", "the smaller end first")
    count = math.floor((stop - start) / step * (1 + 1e-12) + 1e-9) + 1
    if count > _MOST:
        raise _AxisError(f"'{text.strip()}' has {count} values", f"at most {_MOST}")
    integral = float(start).is_integer() and float(step).is_integer()
    if integral and max(abs(start), abs(stop)) < 1e15:
        return list(range(int(start), int(start) + count * int(step), int(step)))
    return [without_rounding_error(start + i * step) for i in range(count)]


def _powers_of_base(text: str, base: float, first: int, last: int, step: str) -> list[Any]:
    """Return ``base ** n`` for exponents from `first` to `last`."""
    increment = step.strip() or "1"
    if not increment.isascii() or not increment.isdigit() or int(increment) == 0:
        raise _AxisError(
            f"'{increment}' is not a step between exponents", "a whole number such as 2"
        )
    if last < first:
        raise _AxisError(f"'{text.strip()}' is in descending order", "the smaller end first")
    exponents = range(first, last + 1, int(increment))
    if len(exponents) > 1100:
        raise _AxisError(f"'{text.strip()}' has {len(exponents)} values", "at most 1100")
    try:
        return [without_rounding_error(base**n) for n in exponents]
    except OverflowError:
        raise _AxisError(f"'{text.strip()}' is too large", "a range of numbers") from None


def _call_values(
    name: str, word: str, inside: str, dimension_name: str
) -> list[Any] | SampledInterval:
    """Return the values of ``linspace(...)`` or ``logspace(...)``, or a sampled interval."""
    if word not in _FUNCTIONS:
        suggestion = nearest(word, _FUNCTIONS)
        raise _AxisError(
            f"there is no '{word}(...)'",
            one_of(_FUNCTIONS),
            f"{suggestion}({inside})" if suggestion else "",
        )
    arguments = [part.strip() for part in inside.split(",")]
    is_interval = word.endswith("uniform")
    wanted = 2 if is_interval else 3
    if len(arguments) != wanted or not all(arguments):
        form = "low, high" if is_interval else "low, high, count"
        raise _AxisError(
            f"{word} takes {wanted} arguments, not {len(arguments)}", f"{word}({form})"
        )
    low, high = (_parse_number(name, part, dimension_name) for part in arguments[:2])
    log = word.startswith("log")
    if not low < high or (log and low <= 0):
        raise _AxisError(
            f"{word}({inside}) has an empty interval", "0 < low < high" if log else "low < high"
        )
    if is_interval:
        integral = not is_fact(name) and float(low).is_integer() and float(high).is_integer()
        return SampledInterval(float(low), float(high), log, integral)
    count = plain_value(arguments[2])
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= _MOST:
        raise _AxisError(f"'{arguments[2]}' is not a count", f"a whole number from 2 to {_MOST}")
    values = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    return [without_rounding_error(v) for v in values.tolist()]


def _checked_value(name: str, item: Any, dimension_name: str) -> Any:
    """Return one value: a number in SI units, a boolean or a text."""
    value: Any = item
    if isinstance(item, np.generic):
        value = cast("Any", item).item()
    if name in RESERVED:
        if isinstance(value, bool | int | float):
            raise _AxisError(f"{value} is not a name", "a text")
        return value
    if isinstance(value, bool) or value is None:
        if dimension_name:
            raise _AxisError(f"{value} is not a number", "a number")
        return value
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise _AxisError(f"{value} is not a number", "a number")
        return float(value) if dimension_name else value
    if not isinstance(value, str):
        raise _AxisError(f"a {type(value).__name__} is not a value", "a number or a text")
    return _parse_number(name, value, dimension_name) if dimension_name else _untyped_value(value)


def _untyped_value(text: str) -> Any:
    """Return a number, a boolean or a word from a text without a dimension."""
    value = plain_value(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise _AxisError(f"'{text.strip()}' is too large", "a finite number")
    if value == "" or (isinstance(value, str) and re.search(r"[*()=]", value)):
        raise _AxisError(
            f"'{text.strip()}' is not a value", "a number, a word, or a range such as 2**9..2**15"
        )
    return value


def _parse_number(name: str, text: str, dimension_name: str) -> float | int:
    """Return a number, with the unit of its dimension or plain (SI)."""
    try:
        value = plain_value(text)
    except OverflowError:
        raise _AxisError(f"'{text.strip()}' is too large", "a finite number") from None
    if is_number(value):
        if not math.isfinite(value):
            raise _AxisError(f"'{text.strip()}' is too large", "a finite number")
        return float(value) if dimension_name else value
    if not dimension_name:
        unit_dimension = dimension(text.strip())
        if unit_dimension:
            raise _AxisError(
                f"'{text.strip()}' has a unit, which {name} does not take", "a plain number"
            )
        raise _AxisError(f"'{text.strip()}' is not a number", "a number")
    try:
        return parse(text.strip(), dimension_name)
    except UnitError as error:
        raise _AxisError(error.message, error.expected, error.suggestion) from None


def _has_no_unit(text: str) -> bool:
    return isinstance(plain_value(text), int | float)


def without_rounding_error(value: float) -> float | int:
    """Return integers as ``int``, and other numbers without accumulated rounding errors."""
    rounded = float(f"{value:.15g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
