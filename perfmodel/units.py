"""Unit strings to SI floats and back.

One SI float a quantity inside; a string with its unit at every edge. Prefixes are strict: ``kB`` is
1000 bytes, ``KiB`` is 1024; ``bit`` and ``B`` differ by 8; ``KB``, ``Gb`` and ``Gbps`` are
refused because people mean different things by them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import Final, TypeGuard

from perfmodel.errors import nearest

_ONE: Final = Decimal(1)
_UP: Final = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DOWN: Final = {"m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?)\s*(.*?)\s*")


class UnitError(ValueError):
    """A text is not a quantity of the dimension asked for.

    Attributes
    ----------
    message, expected, suggestion : str
        What is wrong, what would be accepted, the nearest accepted text (or ``""``).
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
    """One physical dimension and how people write it.

    Attributes
    ----------
    name : str
        Key for `parse` and `show`.
    noun : str
        With its article, for messages: "a bandwidth".
    unit : str
        The SI unit of the float.
    example : str
        An accepted text.
    base : str
        The unit that `show` puts a prefix before.
    limit : float
        Larger magnitudes are absurd and a slip of the prefix.
    """

    name: str
    noun: str
    unit: str
    example: str
    base: str
    limit: float


#: Smaller magnitudes than this, in SI units, are slips: their reciprocals overflow.
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
        Dimension("length", "a length", "m", "28 nm", "m", 1e3),
        Dimension("temperature", "a temperature", "degC", "45 degC", "degC", 1e3),
        Dimension("thermal_resistance", "a thermal resistance", "K/W", "3.5 K/W", "K/W", 1e6),
        Dimension("heat_capacity", "a heat capacity", "J/K", "150 J/K", "J/K", 1e9),
        Dimension("voltage", "a voltage", "V", "0.8 V", "V", 1e6),
        Dimension("price", "a price", "USD", "1599 USD", "USD", 1e12),
        Dimension("clocks", "a number of clocks", "clock", "1200 clocks", "clocks", 1e15),
        Dimension("fraction", "a fraction", "1", "0.95 or 95 %", "", 1e6),
        Dimension("share", "a share", "1", "0.25", "", 1.0),
        Dimension("count", "a count", "1", "108", "", 1e15),
    )
}


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is a plain number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _prefixed(stem: str, scale: Decimal, up: bool, down: bool) -> dict[str, Decimal]:
    powers = (_UP if up else {"": 0}) | (_DOWN if down else {})
    return {prefix + stem: scale * Decimal(10) ** power for prefix, power in powers.items()}


def _byte_units() -> dict[str, Decimal]:
    table: dict[str, Decimal] = {}
    for stem, scale in (("B", _ONE), ("bit", Decimal("0.125"))):
        table |= _prefixed(stem, scale, up=True, down=False)
        table |= {p + stem: scale * 1024**power for p, power in _BINARY.items()}
    return table


@cache
def units_of(name: str) -> dict[str, Decimal]:
    """Every accepted unit of a dimension with its factor to SI.

    Parameters
    ----------
    name : str
        A key of `DIMENSIONS`.

    Returns
    -------
    dict of str to Decimal
        Do not change it: it is shared.
    """
    seconds = _prefixed("s", _ONE, up=False, down=True)
    joules = _prefixed("J", _ONE, up=True, down=True)
    match name:
        case "bytes":
            return _byte_units()
        case "bandwidth":
            return {unit + "/s": scale for unit, scale in _byte_units().items()}
        case "bandwidth_per_clock":
            return {u + per: s for u, s in _byte_units().items() for per in ("/clock", "/cycle")}
        case "time":
            micro = {prefix + "s": Decimal("1e-6") for prefix in ("\u00b5", "\u03bc")}
            return seconds | micro | {"min": Decimal(60), "h": Decimal(3600)}
        case "frequency":
            return _prefixed("Hz", _ONE, up=True, down=True)
        case "power":
            return _prefixed("W", _ONE, up=True, down=True)
        case "voltage":
            return _prefixed("V", _ONE, up=True, down=True)
        case "energy":
            return joules | {"Wh": Decimal(3600), "kWh": Decimal(3600000)}
        case "compute":
            table: dict[str, Decimal] = {}
            # A multiply-accumulate is two operations, by the convention of data sheets.
            for stem, scale in (("OP/s", 1), ("FLOP/s", 1), ("MAC/s", 2), ("OPS", 1), ("FLOPS", 1)):
                table |= _prefixed(stem, Decimal(scale), up=True, down=False)
            return table
        case "energy_per_byte":
            per_byte = {unit + "/B": scale for unit, scale in joules.items()}
            return per_byte | {unit + "/bit": scale * 8 for unit, scale in joules.items()}
        case "energy_per_op":
            per_op = {u + per: s for u, s in joules.items() for per in ("/OP", "/FLOP")}
            return per_op | {unit + "/MAC": scale / 2 for unit, scale in joules.items()}
        case "area":
            lengths = {
                "m": _ONE,
                "cm": Decimal("1e-2"),
                "mm": Decimal("1e-3"),
                "um": Decimal("1e-6"),
            }
            return {u + two: s * s for u, s in lengths.items() for two in ("2", "^2", "\u00b2")}
        case "length":
            return {
                "m": _ONE,
                "cm": Decimal("1e-2"),
                "mm": Decimal("1e-3"),
                "um": Decimal("1e-6"),
                "nm": Decimal("1e-9"),
            }
        case "temperature":
            return {"degC": _ONE}
        case "thermal_resistance":
            return {"K/W": _ONE}
        case "heat_capacity":
            return {"J/K": _ONE, "kJ/K": Decimal(1000)}
        case "price":
            return {"USD": _ONE}
        case "clocks":
            return dict.fromkeys(("", "clock", "clocks", "cycle", "cycles"), _ONE)
        case "fraction":
            return {"": _ONE, "%": Decimal("0.01")}
        case "count" | "share":
            return {"": _ONE}
        case _:
            raise KeyError(f"no dimension {name!r}; there are {', '.join(DIMENSIONS)}")


def dimension(text: str) -> str:
    """Name of the dimension that a text with a unit has, or ``""``.

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
    """The SI value of a text such as ``"51.2 GB/s"``, correctly rounded.

    Parameters
    ----------
    text : str
        A number and its unit.
    dimension_name : str
        A key of `DIMENSIONS`.

    Returns
    -------
    float
        In the dimension's SI unit; a ``MAC`` counts as two operations.

    Raises
    ------
    UnitError
        (a ValueError) With what was expected and, where one is near, what was meant.
    """
    wanted = DIMENSIONS[dimension_name]
    expected = f'{wanted.noun} with its unit, such as "{wanted.example}"'
    if wanted.unit == "1":
        expected = f"{wanted.noun}, such as {wanted.example}"
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise UnitError(f"'{_short(text)}' is not {wanted.noun}", expected)
    number, unit = match[1], match[2]
    factor = units_of(dimension_name).get(unit)
    if factor is None:
        raise _wrong_unit(text, number, unit, wanted, expected)
    value = float(Decimal(number.replace("_", "")) * factor)
    if not math.isfinite(value):
        raise UnitError(f"'{_short(text)}' is too large", expected)
    return value


def _wrong_unit(text: str, number: str, unit: str, wanted: Dimension, expected: str) -> UnitError:
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
    """The accepted unit that a common slip stands for."""
    table = units_of(name)
    if name in ("bytes", "bandwidth", "bandwidth_per_clock"):
        # KB: binary or decimal? Gb: bits or bytes? Offer the spelling that says it.
        fixed = re.sub(r"^K(?=B|bit)", "Ki", unit)
        fixed = re.sub(r"^([kMGTPE]i?)b(?=$|/|ps)", r"\1bit", fixed)
        fixed = re.sub(r"ps$", "/s", fixed)
        if fixed in table:
            return fixed
    folded: dict[str, str] = {}
    for known in table:
        folded.setdefault(known.lower(), known)  # large prefixes come first: mhz means MHz
    if name == "compute" and (unit.endswith(("FLOPs", "OPs")) or "ops" in unit.lower()):
        fixed = re.sub(r"(?i)(fl)?ops(/s)?$", lambda m: "FLOP/s" if m[1] else "OP/s", unit)
        if fixed in table:
            return fixed
    return folded.get(unit.lower()) or nearest(unit, table)


def show(value: float, dimension_name: str, *, digits: int | None = 4, unit: str = "") -> str:
    """A quantity as people write it: ``show(51.2e9, "bandwidth") == "51.2 GB/s"``.

    Parameters
    ----------
    value : float
        In the dimension's SI unit.
    dimension_name : str
        A key of `DIMENSIONS`.
    digits : int or None
        Significant digits; ``None`` keeps all, so that `parse` gives back exactly ``value``.
    unit : str
        Unit to put the prefix before, such as ``"FLOP/s"`` for a compute rate.

    Returns
    -------
    str
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
    """Bytes with a binary prefix, as capacities on chip are written: ``binary(65536) == "64 KiB"``.

    Parameters
    ----------
    value : float
        Bytes.
    digits : int
        Significant digits.

    Returns
    -------
    str
    """
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= scale:
            return f"{value / scale:,.{digits}g} {unit}"
    return f"{value:,.{digits}g} B"


def sizes(*values: float) -> tuple[str, ...]:
    """Bytes as `binary` writes them, those that differ but would read alike in single bytes.

    Parameters
    ----------
    *values : float
        Bytes.

    Returns
    -------
    tuple of str
        In the order of `values`.
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
    """Bytes of a number, or of a text with or without a unit: ``whole_bytes("1 KiB") == 1024``.

    Parameters
    ----------
    value : str or float
        A plain number is in bytes.

    Returns
    -------
    int

    Raises
    ------
    UnitError
        It is no size, negative, or has a part of a byte.
    """
    expected, given = 'whole bytes, or a size with its unit, such as "256 KiB"', _short(repr(value))
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
        raise UnitError(f"{given} is no size", expected) from None
    if not 0 <= size <= DIMENSIONS["bytes"].limit:
        raise UnitError(f"{given} is {'below zero' if size < 0 else 'too large'}", expected)
    if size != number:
        said = f"{given} is {number:.15g} bytes"
        raise UnitError(said, "a whole number of bytes", f"{size} B")
    return size


def _is_prefixed(unit: str, base: str) -> bool:
    prefix = unit.removesuffix(base)
    return unit.endswith(base) and (prefix in _UP or prefix in _DOWN)


def _next_prefix(unit: str, base: str) -> str:
    powers = {power: prefix for prefix, power in (_UP | _DOWN).items()}
    return powers.get((_UP | _DOWN)[unit.removesuffix(base)] + 3, "?") + base


def _decimal(number: Decimal, digits: int | None) -> str:
    """Plain notation where short, scientific where that would be a row of zeros."""
    if digits is not None:
        number = Decimal(f"{number:.{digits}g}")
    number = number.normalize()
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return f"{number:f}" if -9 <= exponent <= 6 and number.adjusted() < 9 else f"{number:e}"


def _figures(text: str) -> int:
    return len(text.replace(".", "").replace("-", "").strip("0"))


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
