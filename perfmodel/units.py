"""Conversion between strings with units and SI floats.

Internally every quantity is one SI float; all interfaces use strings with units. Prefixes are
strict: ``kB`` is 1000 bytes, ``KiB`` is 1024; ``bit`` and ``B`` differ by a factor of 8; ``KB``,
``Gb`` and ``Gbps`` are rejected as ambiguous.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeGuard

from perfmodel.errors import nearest

_ONE: Final = Decimal(1)
_UP: Final = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DOWN: Final = {"m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?)\s*(.*?)\s*")


class UnitError(ValueError):
    """A text is not a quantity of the requested dimension.

    Attributes
    ----------
    message, expected, suggestion : str
        Description of the error, valid input, and nearest valid text (or ``""``).
    """

    def __init__(self, message: str, expected: str = "", suggestion: str = "") -> None:
        self.message, self.expected, self.suggestion = message, expected, suggestion
        text = message
        if expected:
            text += f"; expected {expected}"
        if suggestion:
            text += f"; did you mean '{suggestion}'?"
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Dimension:
    """Physical dimension with its units and text form.

    Attributes
    ----------
    name : str
        Key for `parse` and `show`.
    noun : str
        Noun with its article, for messages: "a bandwidth".
    unit : str
        SI unit of the float.
    example : str
        Example of a valid text.
    base : str
        Unit that `show` combines with prefixes.
    limit : float
        Largest plausible magnitude; larger ones indicate a wrong prefix.
    """

    name: str
    noun: str
    unit: str
    example: str
    base: str
    limit: float


#: Smallest plausible magnitude in SI units; reciprocals of smaller ones overflow.
LEAST: Final = 1e-30

DIMENSIONS: Final[dict[str, Dimension]] = {
    d.name: d
    for d in (
        Dimension("bytes", "a size", "B", "256 KiB", "B", 1e18),
        Dimension("bandwidth", "a bandwidth", "B/s", "51.2 GB/s", "B/s", 1e18),
        Dimension(
            "bandwidth_per_clock", "a bandwidth per clock", "B/clock", "64 B/clock", "B/clock", 1e9
        ),
        Dimension("time", "a time", "s", "30 us", "s", 1e9),
        Dimension("frequency", "a frequency", "Hz", "1410 MHz", "Hz", 1e12),
        Dimension("power", "a power", "W", "400 W", "W", 1e9),
        Dimension("energy", "an energy", "J", "3.7 pJ", "J", 1e15),
        Dimension("compute", "a compute rate", "OP/s", "312 TFLOP/s", "OP/s", 1e22),
        Dimension("energy_per_byte", "an energy per byte", "J/B", "31 pJ/B", "J/B", 1.0),
        Dimension("energy_per_op", "an energy per operation", "J/OP", "0.3 pJ/FLOP", "J/OP", 1.0),
        Dimension("area", "an area", "m2", "826 mm2", "mm2", 10.0),
        Dimension("silicon", "an area of silicon", "mm2", "12.5 sq mm", "sq mm", 1e7),
        Dimension("length", "a length", "m", "28 nm", "m", 1e3),
        Dimension("temperature", "a temperature", "degC", "45 degC", "degC", 1e3),
        Dimension("thermal_resistance", "a thermal resistance", "K/W", "3.5 K/W", "K/W", 1e6),
        Dimension("heat_capacity", "a heat capacity", "J/K", "150 J/K", "J/K", 1e9),
        Dimension("voltage", "a voltage", "V", "0.8 V", "V", 1e6),
        Dimension("price", "a price", "USD", "1599 USD", "USD", 1e12),
        Dimension("energy_price", "a price of energy", "USD/J", "0.12 USD/kWh", "USD/kWh", 1.0),
        Dimension("mass", "a mass", "kg", "150 g", "g", 1e12),
        Dimension("carbon_intensity", "a carbon intensity", "kg/J", "481 g/kWh", "g/kWh", 1.0),
        Dimension("clocks", "a number of clocks", "clock", "1200 clocks", "clocks", 1e15),
        Dimension("fraction", "a fraction", "1", "0.95 or 95 %", "", 1e6),
        Dimension("share", "a share", "1", "0.25", "", 1.0),
        Dimension("count", "a count", "1", "108", "", 1e15),
    )
}


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a plain number; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _prefixed(stem: str, scale: Decimal, up: bool, down: bool) -> dict[str, Decimal]:
    powers = (_UP if up else {"": 0}) | (_DOWN if down else {})
    return {prefix + stem: scale * Decimal(10) ** power for prefix, power in powers.items()}


_BYTES: Final = {
    unit: factor
    for stem, scale in (("B", _ONE), ("bit", Decimal("0.125")))
    for unit, factor in {
        **_prefixed(stem, scale, up=True, down=False),
        **{prefix + stem: scale * 1024**power for prefix, power in _BINARY.items()},
    }.items()
}
_SECONDS: Final = _prefixed("s", _ONE, up=False, down=True)
_JOULES: Final = _prefixed("J", _ONE, up=True, down=True)
_GRAMS: Final = _prefixed("g", Decimal("1e-3"), up=True, down=True) | {"t": Decimal(1000)}
_METRES: Final = {
    unit: Decimal(factor)
    for unit, factor in (("m", "1"), ("cm", "1e-2"), ("mm", "1e-3"), ("um", "1e-6"), ("nm", "1e-9"))
}
_MICRO: Final = Decimal("1e-6")

#: Dimension -> units with their factors to SI. A multiply-accumulate counts as two operations, the
#: convention of data sheets.
_UNITS: Final[dict[str, dict[str, Decimal]]] = {
    "bytes": _BYTES,
    "bandwidth": {unit + "/s": factor for unit, factor in _BYTES.items()},
    "bandwidth_per_clock": {
        unit + per: factor for unit, factor in _BYTES.items() for per in ("/clock", "/cycle")
    },
    "time": {
        **_SECONDS,
        "\u00b5s": _MICRO,
        "\u03bcs": _MICRO,
        "min": Decimal(60),
        "h": Decimal(3600),
        "year": Decimal(8760 * 3600),
        "years": Decimal(8760 * 3600),
    },
    "frequency": _prefixed("Hz", _ONE, up=True, down=True),
    "power": _prefixed("W", _ONE, up=True, down=True),
    "voltage": _prefixed("V", _ONE, up=True, down=True),
    "energy": {**_JOULES, "Wh": Decimal(3600), "kWh": Decimal(3600000)},
    "compute": {
        unit: factor
        for stem, scale in (("OP/s", 1), ("FLOP/s", 1), ("MAC/s", 2), ("OPS", 1), ("FLOPS", 1))
        for unit, factor in _prefixed(stem, Decimal(scale), up=True, down=False).items()
    },
    "energy_per_byte": {
        **{unit + "/B": factor for unit, factor in _JOULES.items()},
        **{unit + "/bit": factor * 8 for unit, factor in _JOULES.items()},
    },
    "energy_per_op": {
        **{unit + per: factor for unit, factor in _JOULES.items() for per in ("/OP", "/FLOP")},
        **{unit + "/MAC": factor / 2 for unit, factor in _JOULES.items()},
    },
    "area": {
        unit + two: factor * factor
        for unit, factor in _METRES.items()
        if unit != "nm"
        for two in ("2", "^2", "\u00b2")
    },
    "silicon": {"sq mm": _ONE},
    "length": _METRES,
    "temperature": {"degC": _ONE},
    "thermal_resistance": {"K/W": _ONE},
    "heat_capacity": {"J/K": _ONE, "kJ/K": Decimal(1000)},
    "price": {"USD": _ONE},
    "energy_price": {"USD/J": _ONE, "USD/kWh": 1 / Decimal(3600000)},
    "mass": _GRAMS,
    "carbon_intensity": {
        "kg/J": _ONE,
        **{f"{unit}/kWh": factor / Decimal(3600000) for unit, factor in _GRAMS.items()},
    },
    "clocks": dict.fromkeys(("", "clock", "clocks", "cycle", "cycles"), _ONE),
    "fraction": {"": _ONE, "%": Decimal("0.01")},
    "count": {"": _ONE},
    "share": {"": _ONE},
}


_NAMED_VALUES: Final[dict[str, Callable[[], Mapping[str, float]]]] = {}


def add_named_values(name: str, values: Callable[[], Mapping[str, float]]) -> None:
    """Let `parse` accept names for values of a dimension, such as countries for their grids.

    Parameters
    ----------
    name : str
        Key of `DIMENSIONS`.
    values : callable
        Returns name -> value in the dimension's SI unit; called when a text is not a number.
    """
    _NAMED_VALUES[name] = values


def named_values(name: str) -> Mapping[str, float]:
    """Return the named values of a dimension in its SI unit; empty for most dimensions."""
    return _NAMED_VALUES.get(name, dict[str, float])()


def units_of(name: str) -> dict[str, Decimal]:
    """Return all accepted units of a dimension with their factors to SI.

    Parameters
    ----------
    name : str
        Key of `DIMENSIONS`.

    Returns
    -------
    dict of str to Decimal
        Shared dictionary that must not be modified.

    Raises
    ------
    KeyError
        The dimension is unknown.
    """
    if name not in _UNITS:
        raise KeyError(f"no dimension {name!r}; there are {', '.join(DIMENSIONS)}")
    return _UNITS[name]


def dimension(text: str) -> str:
    """Return the name of the dimension of a text with a unit, or ``""``.

    Examples
    --------
    >>> dimension("51.2 GB/s")
    'bandwidth'
    """
    match = _NUMBER.fullmatch(text)
    if match is None or not match[2]:
        return ""
    return next((name for name in DIMENSIONS if match[2] in units_of(name)), "")


@lru_cache(maxsize=4096)
def parse(text: str, dimension_name: str) -> float:
    """Return the SI value of a text such as ``"51.2 GB/s"``, correctly rounded.

    Parameters
    ----------
    text : str
        Number with its unit.
    dimension_name : str
        Key of `DIMENSIONS`.

    Returns
    -------
    float
        In the dimension's SI unit; a ``MAC`` counts as two operations.

    Raises
    ------
    UnitError
        The text is invalid (a ValueError, with the expected input and the nearest valid text).
    """
    wanted = DIMENSIONS[dimension_name]
    expected = f'{wanted.noun} with its unit, such as "{wanted.example}"'
    if wanted.unit == "1":
        expected = f"{wanted.noun}, such as {wanted.example}"
    match = _NUMBER.fullmatch(text)
    if match is None:
        names = named_values(dimension_name)
        if text in names:
            return names[text]
        if names:
            expected += f", or a name such as {next(iter(names))}"
        raise UnitError(f"'{_short(text)}' is not {wanted.noun}", expected, nearest(text, names))
    number, unit = match[1], match[2]
    factor = units_of(dimension_name).get(unit)
    if factor is None:
        raise _wrong_unit(text, number, unit, wanted, expected)
    value = float(Decimal(number.replace("_", "")) * factor)
    if not math.isfinite(value):
        raise UnitError(f"'{_short(text)}' is too large", expected)
    return value


def _wrong_unit(text: str, number: str, unit: str, wanted: Dimension, expected: str) -> UnitError:
    """Return the error of a missing, foreign or misspelt unit."""
    if not unit:
        return UnitError(f"'{_short(text)}' has no unit", expected)
    meant = _meant(unit, wanted.name)
    suggestion = f"{number} {meant}" if meant else ""
    other = dimension(text)
    if other:
        message = f"'{_short(text)}' is {DIMENSIONS[other].noun}, not {wanted.noun}"
    else:
        message = f"'{_short(unit)}' is not a unit of {wanted.noun.split(' ', 1)[1]}"
    return UnitError(message, expected, suggestion)


def _meant(unit: str, name: str) -> str:
    """Return the accepted unit for a common misspelling."""
    table = units_of(name)
    if name in ("bytes", "bandwidth", "bandwidth_per_clock"):
        # KB (binary or decimal) and Gb (bits or bytes) are ambiguous: suggest clear ones.
        fixed = re.sub(r"^K(?=B|bit)", "Ki", unit)
        fixed = re.sub(r"^([kMGTPE]i?)b(?=$|/|ps)", r"\1bit", fixed)
        fixed = re.sub(r"ps$", "/s", fixed)
        if fixed in table:
            return fixed
    folded: dict[str, str] = {}
    for known in table:
        folded.setdefault(known.lower(), known)  # large prefixes first: mhz means MHz
    if name == "compute" and (unit.endswith(("FLOPs", "OPs")) or "ops" in unit.lower()):
        fixed = re.sub(r"(?i)(fl)?ops(/s)?$", lambda m: "FLOP/s" if m[1] else "OP/s", unit)
        if fixed in table:
            return fixed
    return folded.get(unit.lower()) or nearest(unit, table)


def show(value: float, dimension_name: str, *, digits: int | None = 4, unit: str = "") -> str:
    """Return a quantity as text: ``show(51.2e9, "bandwidth") == "51.2 GB/s"``.

    Parameters
    ----------
    value : float
        Value in the dimension's SI unit.
    dimension_name : str
        Key of `DIMENSIONS`.
    digits : int or None
        Significant digits; ``None`` for all, so that `parse` returns exactly `value`.
    unit : str
        Unit to combine with the prefix, such as ``"FLOP/s"`` for a compute rate.

    Returns
    -------
    str
        Number with prefix and unit.
    """
    name, base = dimension_name, unit or DIMENSIONS[dimension_name].base
    table = units_of(name)
    if not math.isfinite(value):
        return f"{value} {base}".rstrip()
    exact = Decimal(repr(float(value)))
    if value == 0 or not base:
        return f"{_decimal(exact, digits)} {base}".rstrip()
    fits = [(s, u) for u, s in table.items() if _is_prefixed(u, base) and s <= abs(exact)]
    smallest = min((s, u) for u, s in table.items() if _is_prefixed(u, base))
    scale, written = max(fits, default=smallest)
    mantissa = _decimal(exact / scale, digits)
    if digits is not None and abs(Decimal(mantissa)) >= 1000:
        larger = table.get(_next_prefix(written, base))
        if larger is not None:
            written = _next_prefix(written, base)
            mantissa = _decimal(exact / larger, digits)
    if name in ("bytes", "bandwidth") and not unit:
        binary = [
            (s, u) for u, s in table.items() if u[1:2] == "i" and u[2:] == base and s <= abs(exact)
        ]
        if binary:
            scale, candidate = max(binary)
            other = _decimal(exact / scale, digits)
            # 40 MiB, not 41.94 MB; but 80 GB, not 74.51 GiB.
            if _figures(other) < _figures(mantissa) and Decimal(other) * scale == exact:
                return f"{other} {candidate}"
    return f"{mantissa} {written}"


def binary(value: float, *, digits: int = 6) -> str:
    """Return bytes as text with a binary prefix: ``binary(65536) == "64 KiB"``.

    Parameters
    ----------
    value : float
        Bytes.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Number with prefix and unit.
    """
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= scale:
            return f"{value / scale:,.{digits}g} {unit}"
    return f"{value:,.{digits}g} B"


def sizes(*values: float) -> tuple[str, ...]:
    """Return sizes as text in the form of `binary`; in bytes if distinct ones would look equal.

    Parameters
    ----------
    *values : float
        Bytes.

    Returns
    -------
    tuple of str
        Texts in the order of `values`.
    """
    texts = [binary(v) for v in values]
    alike = [
        any(t == u and v != w for u, w in zip(texts, values, strict=True))
        for t, v in zip(texts, values, strict=True)
    ]
    return tuple(
        f"{v:,.15g} B" if same else t for t, v, same in zip(texts, values, alike, strict=True)
    )


def whole_bytes(value: str | float) -> int:
    """Return a size in bytes from a number or a text: ``whole_bytes("1 KiB") == 1024``.

    Parameters
    ----------
    value : str or float
        Size; a plain number is in bytes.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    UnitError
        The value is not a size, is negative, or is not an integer number of bytes.
    """
    expected, text = 'whole bytes, or a size with its unit, such as "256 KiB"', _short(repr(value))
    try:
        if isinstance(value, bool):
            raise ValueError
        match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
        in_unit = isinstance(value, str) and not (match and not match[2])
        number = parse(str(value), "bytes") if in_unit else float(value)
        size = int(number)
    except UnitError as error:
        raise UnitError(error.message, expected, error.suggestion) from None
    except (TypeError, ValueError, OverflowError):
        raise UnitError(f"{text} is not a size", expected) from None
    if not 0 <= size <= DIMENSIONS["bytes"].limit:
        raise UnitError(f"{text} is {'below zero' if size < 0 else 'too large'}", expected)
    if size != number:
        message = f"{text} is {number:.15g} bytes"
        raise UnitError(message, "a whole number of bytes", f"{size} B")
    return size


def _is_prefixed(unit: str, base: str) -> bool:
    prefix = unit.removesuffix(base)
    return unit.endswith(base) and (prefix in _UP or prefix in _DOWN)


def _next_prefix(unit: str, base: str) -> str:
    powers = {power: prefix for prefix, power in (_UP | _DOWN).items()}
    return powers.get((_UP | _DOWN)[unit.removesuffix(base)] + 3, "?") + base


def _decimal(number: Decimal, digits: int | None) -> str:
    """Return a number in plain notation if that is short, else in scientific notation."""
    if digits is not None:
        number = Decimal(f"{number:.{digits}g}")
    number = number.normalize()
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    is_short = -9 <= exponent <= 6 and -5 < number.adjusted() < 9
    return f"{number:f}" if is_short or not number else f"{number:e}"


def _figures(text: str) -> int:
    return len(text.replace(".", "").replace("-", "").strip("0"))


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
