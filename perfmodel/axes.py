"""Axes of a grid: lists, ranges and sampled intervals of named quantities.

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
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError, nearest, no_such, one_of
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
    spread : SampledInterval or None
        Continuous interval instead of `values`.
    """

    name: str
    values: tuple[Any, ...] = ()
    spread: SampledInterval | None = None
    #: Whether every value is a number, so that values can be batched. Stored, since an axis may
    #: have millions of values and every chunk of a sweep needs it.
    is_number: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = set(map(type, self.values))
        number = self.spread is not None or all(
            issubclass(kind, int | float) and not issubclass(kind, bool) for kind in kinds
        )
        object.__setattr__(self, "is_number", number)

    def __len__(self) -> int:
        return len(self.values)

    def describe(self) -> dict[str, Any]:
        """Return the description of the axis for a manifest."""
        if self.spread is not None:
            s = self.spread
            return {"low": s.low, "high": s.high, "log": s.log, "whole": s.integral}
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
    given : str, number, sequence or array
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
            values.append(_item(name, item, dimension_name))
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
    spread: SampledInterval | None = None
    parts = _parts(name, text)
    stated = [part for part in parts if part.strip()]
    if stated and len(stated) < len(parts):
        faults.append(empty_fault(text, parts, file, name))
    faults += unitless_faults(name, stated, dimension_name, file) if dimension_name else []
    for part in stated:
        try:
            values_of_part = _range(name, part, dimension_name)
            if isinstance(values_of_part, SampledInterval):
                if values or spread is not None or len(stated) > 1:
                    raise _AxisError(
                        f"'{part.strip()}' stands beside other values", "one interval alone"
                    )
                spread = replace(values_of_part, integral=True) if integral else values_of_part
            else:
                values += values_of_part
            if len(values) > _MOST:
                raise _AxisError(f"{len(values)} values", f"at most {_MOST}")
        except _AxisError as error:
            faults.append(_fault(name, error, file))
    if not values and spread is None and not faults:
        faults.append(Fault("has no values", path=name, file=file, expected="such as 1,2,4"))
    if faults:
        raise InputError(faults)
    return Axis(name, tuple(values), spread)


def _fault(name: str, error: _AxisError, file: str) -> Fault:
    return Fault(
        error.message, path=name, file=file, expected=error.expected, suggestion=error.suggestion
    )


def unitless_faults(
    name: str, parts: Iterable[str], dimension_name: str, file: str = ""
) -> list[Fault]:
    """Return the faults of plain numbers that probably lack the unit of the other values.

    Plain numbers are SI, but ``25,50 GB/s`` hardly means 25 byte/s.
    """
    plain: dict[str, float] = {}
    named: list[tuple[float, str]] = []
    for part in map(str.strip, parts):
        if _bare(part):
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


def _parts(name: str, text: str) -> list[str]:
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


def _range(name: str, text: str, dim: str) -> list[Any] | SampledInterval:
    """Return the values of one item: a function, a range or a single value."""
    if name in RESERVED:
        return [text.strip()]
    call = _CALL.fullmatch(text)
    if call is not None:
        return _function(name, call[1], call[2], dim)
    if ".." not in text:
        return [_item(name, text, dim)]
    low, _, upper = text.partition("..")
    high, _, step = upper.partition(":")
    if not low.strip() or not high.strip():
        raise _AxisError(f"'{text.strip()}' lacks an end", "such as 1..8, 2**9..2**15")
    first, last = POWER.fullmatch(low), POWER.fullmatch(high)
    if first is not None and last is not None and first[1] == last[1]:
        return _powers(text, float(first[1]), int(first[2]), int(last[2]), step)
    a, b = (_number(name, part, dim) for part in (low, high))
    if dim and _bare(low) and not _bare(high):
        unit = re.sub(r"^\s*[-+\d.eE_]+\s*", "", high).strip()
        raise _AxisError(
            f"'{low.strip()}' has no unit, so it is {show(a, dim)}",
            suggestion=f"{low.strip()} {unit}..{high.strip()}"
            + (f":{step.strip()}" if step else ""),
        )
    if not step.strip():
        integral = float(a).is_integer() and float(b).is_integer() and _bare(low) and _bare(high)
        if not integral:
            raise _AxisError(
                f"'{text.strip()}' has no step",
                "low..high:step, linspace(low, high, count), logspace(low, high, count), "
                "or uniform(low, high) with a sample",
            )
        by = 1.0
    else:
        by = _number(name, step, dim)
    return _steps(text, a, b, by)


def _steps(text: str, a: float, b: float, by: float) -> list[Any]:
    if not by > 0:
        raise _AxisError(f"'{text.strip()}' has a step of {by:g}", "a step above zero")
    if b < a:
        raise _AxisError(f"'{text.strip()}' runs backwards", "the smaller end first")
    count = math.floor((b - a) / by * (1 + 1e-12) + 1e-9) + 1
    if count > _MOST:
        raise _AxisError(f"'{text.strip()}' has {count} values", f"at most {_MOST}")
    if float(a).is_integer() and float(by).is_integer() and max(abs(a), abs(b)) < 1e15:
        return list(range(int(a), int(a) + count * int(by), int(by)))
    return [_tidy(a + i * by) for i in range(count)]


def _powers(text: str, base: float, first: int, last: int, step: str) -> list[Any]:
    by = step.strip() or "1"
    if not by.isascii() or not by.isdigit() or int(by) == 0:
        raise _AxisError(f"'{by}' is no step between exponents", "a whole number such as 2")
    if last < first:
        raise _AxisError(f"'{text.strip()}' runs backwards", "the smaller end first")
    exponents = range(first, last + 1, int(by))
    if len(exponents) > 1100:
        raise _AxisError(f"'{text.strip()}' has {len(exponents)} values", "at most 1100")
    try:
        return [_tidy(base**n) for n in exponents]
    except OverflowError:
        raise _AxisError(f"'{text.strip()}' is too large", "a range of numbers") from None


def _function(name: str, word: str, inside: str, dim: str) -> list[Any] | SampledInterval:
    if word not in _FUNCTIONS:
        meant = nearest(word, _FUNCTIONS)
        raise _AxisError(
            f"there is no '{word}(...)'", one_of(_FUNCTIONS), f"{meant}({inside})" if meant else ""
        )
    arguments = [part.strip() for part in inside.split(",")]
    spreads = word.endswith("uniform")
    wanted = 2 if spreads else 3
    if len(arguments) != wanted or not all(arguments):
        form = "low, high" if spreads else "low, high, count"
        raise _AxisError(
            f"{word} takes {wanted} arguments, not {len(arguments)}", f"{word}({form})"
        )
    low, high = (_number(name, part, dim) for part in arguments[:2])
    log = word.startswith("log")
    if not low < high or (log and low <= 0):
        raise _AxisError(
            f"{word}({inside}) spans nothing", "0 < low < high" if log else "low < high"
        )
    if spreads:
        integral = not is_fact(name) and float(low).is_integer() and float(high).is_integer()
        return SampledInterval(float(low), float(high), log, integral)
    count = plain_value(arguments[2])
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= _MOST:
        raise _AxisError(f"'{arguments[2]}' is no count", f"a whole number from 2 to {_MOST}")
    values = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    return [_tidy(v) for v in values.tolist()]


def _item(name: str, item: Any, dim: str) -> Any:
    """Return one value: a number in SI units, a boolean or a text."""
    value: Any = item
    if isinstance(item, np.generic):
        value = cast("Any", item).item()
    if name in RESERVED:
        if isinstance(value, bool | int | float):
            raise _AxisError(f"{value} is no name", "a text")
        return value
    if isinstance(value, bool) or value is None:
        if dim:
            raise _AxisError(f"{value} is not a number", "a number")
        return value
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise _AxisError(f"{value} is not a number", "a number")
        return float(value) if dim else value
    if not isinstance(value, str):
        raise _AxisError(f"a {type(value).__name__} is not a value", "a number or a text")
    return _number(name, value, dim) if dim else _plain(value)


def _plain(text: str) -> Any:
    value = plain_value(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise _AxisError(f"'{text.strip()}' is too large", "a finite number")
    if value == "" or (isinstance(value, str) and re.search(r"[*()=]", value)):
        raise _AxisError(
            f"'{text.strip()}' is not a value", "a number, a word, or a range such as 2**9..2**15"
        )
    return value


def _number(name: str, text: str, dim: str) -> float | int:
    """Return a number, with the unit of its dimension or plain (SI)."""
    try:
        value = plain_value(text)
    except OverflowError:
        raise _AxisError(f"'{text.strip()}' is too large", "a finite number") from None
    if is_number(value):
        if not math.isfinite(value):
            raise _AxisError(f"'{text.strip()}' is too large", "a finite number")
        return float(value) if dim else value
    if not dim:
        unit_dimension = dimension(text.strip())
        if unit_dimension:
            raise _AxisError(
                f"'{text.strip()}' has a unit, which {name} does not take", "a plain number"
            )
        raise _AxisError(f"'{text.strip()}' is not a number", "a number")
    try:
        return parse(text.strip(), dim)
    except UnitError as error:
        raise _AxisError(error.message, error.expected, error.suggestion) from None


def _bare(text: str) -> bool:
    return isinstance(plain_value(text), int | float)


def _tidy(value: float) -> float | int:
    """Return integers as ``int``, and other numbers without accumulated rounding errors."""
    rounded = float(f"{value:.15g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def zip_groups(
    names: Sequence[str],
    zips: Iterable[Iterable[str] | str],
    lengths: Mapping[str, int],
    file: str = "--zip",
) -> list[tuple[str, ...]]:
    """Return the groups of axes that advance together; every other axis is a separate group.

    Parameters
    ----------
    names : sequence of str
        All axes, in order.
    zips : iterable
        Groups as sequences of names, or as comma-separated text.
    lengths : mapping of str to int
        Number of values of each axis; axes that could not be read may be missing.

    Raises
    ------
    InputError
        Unknown axes, axes in two groups, or axes of different lengths in a group.
    """
    faults: list[Fault] = []
    taken: dict[str, int] = {}
    groups: list[tuple[str, ...]] = []
    for index, group in enumerate(zips):
        parts = group.split(",") if isinstance(group, str) else list(group)
        members = [part.strip() for part in parts if part.strip()]
        if len(members) < len(parts):
            faults.append(empty_fault(",".join(parts), parts, file))
        for name in members:
            if name not in names:
                faults.append(no_such(f"there is no axis '{name}'", name, names, file=file))
            elif name in taken:
                faults.append(Fault(f"'{name}' is zipped twice", file=file))
            taken[name] = index
        sizes = {name: lengths[name] for name in members if name in lengths}
        if len(set(sizes.values())) > 1:
            text = ", ".join(f"{name} {n}" for name, n in sizes.items())
            message = f"axes of different lengths: {text}"
            faults.append(Fault(message, file=file, expected="as many values of each"))
        groups.append(tuple(members))
    if faults:
        raise InputError(faults)
    axis_groups: list[tuple[str, ...]] = []
    for name in names:
        group = groups[taken[name]] if name in taken else (name,)
        if group not in axis_groups:
            axis_groups.append(group)
    return axis_groups


def sample(axes: Sequence[Axis], count: int, seed: int = 0) -> list[Axis]:
    """Return axes with `count` points of a scrambled Sobol sequence, to be zipped.

    Parameters
    ----------
    axes : sequence of Axis
        Axes to sample: listed values by index, continuous intervals by quantile.
    count : int
        Number of points, preferably a power of two.
    seed : int
        Seed of the Owen scrambling.
    """
    from perfmodel.catalog import need

    if not axes:
        return []
    maker: Callable[..., Any] = need("scipy.stats.qmc").Sobol
    # SciPy 1.15 renamed the generator argument; the samples are the same.
    word = "rng" if "rng" in inspect.signature(maker).parameters else "seed"
    engine = maker(d=len(axes), scramble=True, **{word: np.random.default_rng(seed)})
    draws = engine.random_base2(max(0, math.ceil(math.log2(count))))[:count]
    sampled: list[Axis] = []
    for axis, column in zip(axes, draws.T, strict=True):
        quantile = np.asarray(column, dtype=np.float64)
        if axis.spread is not None:
            values = tuple(_tidy(v) for v in axis.spread.at(quantile).tolist())
        else:
            at = np.minimum((quantile * len(axis)).astype(int), len(axis) - 1)
            values = tuple(axis.values[i] for i in at.tolist())
        sampled.append(Axis(axis.name, values))
    return sampled
