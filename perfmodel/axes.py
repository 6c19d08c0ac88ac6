"""Axes of a grid: lists, ranges and samples of what is to be varied, by name.

==============================  =================================================
text                            values
==============================  =================================================
``1,2,4``                       these
``1..8``                        whole numbers from 1 to 8
``1..64:8``                     every eighth: 1, 9, ... 57
``2**9..2**15``                 powers: 512, 1024, ... 32768
``25 GB/s..100 GB/s:25 GB/s``   with units, a step is needed
``linspace(1 GHz, 2 GHz, 5)``   equal steps, both ends included
``logspace(1e9, 1e12, 7)``      equal ratios, both ends included
``uniform(1 GHz, 2 GHz)``       anything between: with a sample (Sobol) only
``loguniform(1e9, 1e12)``       the same, even in ratio
==============================  =================================================

Items combine with commas. Plain numbers are SI.
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

#: More values than this on one axis are a slip.
_MOST: Final = 10_000_000
_FUNCTIONS: Final = ("linspace", "logspace", "uniform", "loguniform")
_CALL: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True, slots=True)
class SampledInterval:
    """A continuous interval, to be sampled.

    Attributes
    ----------
    low, high : float
        SI.
    log : bool
        Even in ratio rather than in difference.
    whole : bool
        Rounded to whole numbers.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, quantile: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Values at quantiles from 0 to 1."""
        if self.log:
            found = self.low * (self.high / self.low) ** quantile
        else:
            found = self.low + (self.high - self.low) * quantile
        return np.rint(found) if self.whole else found


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies.

    Attributes
    ----------
    name : str
        A fact's path, a parameter of the workload, or a reserved word.
    values : tuple
        Numbers (SI) or categories, in the order given.
    spread : Spread or None
        A continuous axis instead of `values`.
    """

    name: str
    values: tuple[Any, ...] = ()
    spread: SampledInterval | None = None
    #: Whether every value is a number, so that it can be batched. Settled once: an axis may have
    #: millions of values, and every chunk of a sweep asks.
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
        """What a manifest says of it."""
        if self.spread is not None:
            s = self.spread
            return {"low": s.low, "high": s.high, "log": s.log, "whole": s.whole}
        if len(self.values) > 1000:
            return {"count": len(self.values), "first": self.values[0], "last": self.values[-1]}
        return {"values": list(self.values)}


class _AxisError(Exception):
    def __init__(self, message: str, expected: str = "", suggestion: str = "") -> None:
        super().__init__(message)
        self.message, self.expected, self.suggestion = message, expected, suggestion


def make_axis(
    name: str, given: Any, dimension_name: str = "", file: str = "", whole: bool = False
) -> Axis:
    """Return an axis from what a user gave.

    Parameters
    ----------
    name : str
    given : str, number, sequence or array
        A text is read by the grammar above; texts inside a sequence are single values.
    dimension_name : str
        Dimension of a fact; empty for anything else.
    file : str
        Where it stands, for faults.
    whole : bool
        Whether a fact is counted in whole numbers, so that an interval holds no others.

    Raises
    ------
    InputError
        Every item that cannot be read.
    """
    if isinstance(given, str):
        return parse_axis(name, given, dimension_name, file, whole)
    array: Any = given
    if isinstance(given, bool | int | float) or given is None or np.ndim(array) == 0:
        items = [given]
    else:
        items = list(cast("Iterable[Any]", given))
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
    name: str, text: str, dimension_name: str = "", file: str = "", whole: bool = False
) -> Axis:
    """Read the values of an axis; as `make_axis`, for a text."""
    faults: list[Fault] = []
    values: list[Any] = []
    spread: SampledInterval | None = None
    parts = _parts(name, text)
    given = [part for part in parts if part.strip()]
    if given and len(given) < len(parts):
        faults.append(empty_fault(text, parts, file, name))
    faults += unitless_faults(name, given, dimension_name, file) if dimension_name else []
    for part in given:
        try:
            found = _range(name, part, dimension_name)
            if isinstance(found, SampledInterval):
                if values or spread is not None or len(given) > 1:
                    raise _AxisError(
                        f"'{part.strip()}' stands beside other values", "one interval alone"
                    )
                spread = replace(found, whole=True) if whole else found
            else:
                values += found
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
    """Return faults of plain numbers beside values with a unit that are meant to have it too.

    Plain numbers are SI; in ``25,50 GB/s`` hardly anyone means 25 byte/s.
    """
    plain: dict[str, float] = {}
    named: list[tuple[float, str]] = []
    for part in map(str.strip, parts):
        if _bare(part):
            plain[part] = float(part)
        elif found := re.fullmatch(r"[\d.,_eE+-]+\s*(\D.*)", part):
            with contextlib.suppress(UnitError):
                named.append((parse(part, dimension_name), found[1]))
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
    """Items between commas outside parentheses."""
    if name == "precision":
        # The roles of one precision are joined by commas as well: w=q4_0,a=fp16,kv=q8_0.
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
    """Values of one item: a function, a range or a single value."""
    if name in RESERVED:
        return [text.strip()]
    call = _CALL.fullmatch(text)
    if call is not None:
        return _function(name, call[1], call[2], dim)
    if ".." not in text:
        return [_item(name, text, dim)]
    low, _, rest = text.partition("..")
    high, _, step = rest.partition(":")
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
        whole = float(a).is_integer() and float(b).is_integer() and _bare(low) and _bare(high)
        if not whole:
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
        whole = not is_fact(name) and float(low).is_integer() and float(high).is_integer()
        return SampledInterval(float(low), float(high), log, whole)
    count = plain_value(arguments[2])
    if not isinstance(count, int) or isinstance(count, bool) or not 2 <= count <= _MOST:
        raise _AxisError(f"'{arguments[2]}' is no count", f"a whole number from 2 to {_MOST}")
    made = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    return [_tidy(v) for v in made.tolist()]


def _item(name: str, item: Any, dim: str) -> Any:
    """One value: a number in SI, a truth value or a text."""
    given: Any = item
    if isinstance(item, np.generic):
        given = cast("Any", item).item()
    if name in RESERVED:
        if isinstance(given, bool | int | float):
            raise _AxisError(f"{given} is no name", "a text")
        return given
    if isinstance(given, bool) or given is None:
        if dim:
            raise _AxisError(f"{given} is not a number", "a number")
        return given
    if isinstance(given, int | float):
        if not math.isfinite(given):
            raise _AxisError(f"{given} is not a number", "a number")
        return float(given) if dim else given
    if not isinstance(given, str):
        raise _AxisError(f"a {type(given).__name__} is not a value", "a number or a text")
    return _number(name, given, dim) if dim else _plain(given)


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
    """A number: with the unit of its dimension, or plain (SI)."""
    try:
        value = plain_value(text)
    except OverflowError:
        raise _AxisError(f"'{text.strip()}' is too large", "a finite number") from None
    if is_number(value):
        if not math.isfinite(value):
            raise _AxisError(f"'{text.strip()}' is too large", "a finite number")
        return float(value) if dim else value
    if not dim:
        found = dimension(text.strip())
        if found:
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
    """Whole numbers as such; the dust of repeated addition off the rest."""
    rounded = float(f"{value:.15g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def zip_groups(
    names: Sequence[str],
    zips: Iterable[Iterable[str] | str],
    lengths: Mapping[str, int],
    file: str = "--zip",
) -> list[tuple[str, ...]]:
    """Return groups of axes that advance together; an axis that is in none is a group of its own.

    Parameters
    ----------
    names : sequence of str
        All axes, in order.
    zips : iterable
        Groups: names, or a text with commas.
    lengths : mapping of str to int
        Values by axis; axes that could not be read may be missing.

    Raises
    ------
    InputError
        Unknown axes, axes in two groups, groups of different lengths.
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
            faults.append(
                Fault(
                    f"axes of different lengths: {text}",
                    file=file,
                    expected="as many values of each",
                )
            )
        groups.append(tuple(members))
    if faults:
        raise InputError(faults)
    made: list[tuple[str, ...]] = []
    for name in names:
        group = groups[taken[name]] if name in taken else (name,)
        if group not in made:
            made.append(group)
    return made


def sample(axes: Sequence[Axis], count: int, seed: int = 0) -> list[Axis]:
    """Return axes that hold `count` points of a scrambled Sobol sequence, to be zipped.

    Parameters
    ----------
    axes : sequence of Axis
        Listed values are drawn by their place in the list, continuous ones by quantile.
    count : int
        Best a power of two.
    seed : int
        Of the scrambling (Owen).
    """
    from perfmodel.catalog import need

    if not axes:
        return []
    maker: Callable[..., Any] = need("scipy.stats.qmc").Sobol
    # SciPy 1.15 renamed the generator; the draws are the same.
    word = "rng" if "rng" in inspect.signature(maker).parameters else "seed"
    engine = maker(d=len(axes), scramble=True, **{word: np.random.default_rng(seed)})
    draws = engine.random_base2(max(0, math.ceil(math.log2(count))))[:count]
    made: list[Axis] = []
    for axis, column in zip(axes, draws.T, strict=True):
        quantile = np.asarray(column, dtype=np.float64)
        if axis.spread is not None:
            values = tuple(_tidy(v) for v in axis.spread.at(quantile).tolist())
        else:
            at = np.minimum((quantile * len(axis)).astype(int), len(axis) - 1)
            values = tuple(axis.values[i] for i in at.tolist())
        made.append(Axis(axis.name, values))
    return made
