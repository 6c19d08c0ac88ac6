"""Energy and area of arithmetic by format and node.

Anchors are additions and multiplications at 45 nm (Horowitz, ISSCC 2014) and at 7 nm (Jouppi et
al., ISCA 2021). Formats between and beyond follow power laws in the width that is multiplied: bits
of an integer, significand bits of a floating-point number. A multiply-accumulate is one
multiplication and one addition in the accumulator's format. Wires, registers and control are not
in these numbers.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from perfmodel.arrays import Value
from perfmodel.errors import input_error, nearest, one_of
from perfmodel.hardware.technology.curves import power_law
from perfmodel.hardware.technology.nodes import area_scale, trend
from perfmodel.hardware.technology.tables import nanometres, table
from perfmodel.units import parse

#: Significand bits, the hidden one included (fp8 as E4M3, fp6 as E2M3, fp4 as E2M1).
SIGNIFICAND = {
    "fp64": 53,
    "fp32": 24,
    "tf32": 11,
    "fp16": 11,
    "bf16": 8,
    "fp8": 4,
    "fp8_e4m3": 4,
    "fp8_e5m2": 3,
    "mxfp8": 4,
    "fp6": 4,
    "mxfp6": 4,
    "fp4": 2,
    "mxfp4": 2,
    "nvfp4": 2,
}
#: Integers by another name: mantissas of block floating point, signs.
INTEGERS = {"bfp16": 8, "bfp8": 4, "bfp4": 2, "ternary": 2, "binary": 1}
_INTEGER: Final = re.compile(r"int([1-9][0-9]?)")
_OPERATIONS: Final = ("mac", "multiply", "add")


def width(compute: str) -> tuple[str, float]:
    """Return (``int`` or ``float``, bits that are multiplied) of a compute format.

    A pair (``int4xint8``) has the geometric mean of its widths, since a multiplier's energy goes
    with their product; with one floating-point side it is floating point.

    Raises
    ------
    InputError
        A format without a width.
    """
    parts = [_width(part) for part in _pair(compute)]
    kind = "float" if any(k == "float" for k, _ in parts) else "int"
    if len(parts) == 1:
        return kind, parts[0][1]
    return kind, (parts[0][1] * parts[1][1]) ** 0.5


def _pair(compute: str) -> tuple[str, ...]:
    """Parts of a pair; a name may hold the letter that joins them (``mxfp8``)."""
    for at, letter in enumerate(compute):
        parts = compute[:at], compute[at + 1 :]
        if letter == "x" and all(map(_known, parts)):
            return parts
    return (compute,)


def _known(name: str) -> bool:
    return bool(_INTEGER.fullmatch(name)) or name in SIGNIFICAND or name in INTEGERS


def _width(name: str) -> tuple[str, float]:
    if name in SIGNIFICAND:
        return "float", float(SIGNIFICAND[name])
    if name in INTEGERS:
        return "int", float(INTEGERS[name])
    plain = _INTEGER.fullmatch(name)
    if plain is not None:
        return "int", float(plain[1])
    known = [*SIGNIFICAND, "int4", "int8", "int16", "int32"]
    raise input_error(
        f"no energy is known for the format '{name}'",
        expected=f"one of {', '.join(known)}",
        suggestion=nearest(name, known),
    )


def accumulator_of(compute: str) -> str:
    """Return the accumulator assumed where none is stated: int32, fp32, or fp64 for fp64."""
    if "fp64" in compute:
        return "fp64"
    return "fp32" if width(compute)[0] == "float" else "int32"


@cache
def _anchors(operation: str, kind: str, node: float, what: str) -> tuple[list[float], list[float]]:
    """Widths and values of an operation at a node, rising."""
    rows = table("operations")["areas" if what == "area" else "anchors"]
    unit = "area" if what == "area" else "energy"
    points = sorted(
        (width(row["format"])[1], parse(row[what], unit))
        for row in rows
        if row["operation"] == operation
        and width(row["format"])[0] == kind
        and nanometres(row["node"]) == node
    )
    return [w for w, _ in points], [v for _, v in points]


def _at(operation: str, compute: str, node: float, what: str) -> float:
    kind, bits = width(compute)
    widths, values = _anchors(operation, kind, node, what)
    return power_law(bits, widths, values)


def operation_energy(
    compute_format: str,
    node_nm: Value = 45.0,
    *,
    accumulator: str | None = None,
    operation: str = "mac",
) -> Value:
    """Return the energy of one arithmetic operation, joules.

    Parameters
    ----------
    compute_format
        ``int8``, ``fp16``, ``bf16`` ..., or a pair such as ``int4xint8``.
    node_nm
        Silicon node, nanometres: a power law through 45 and 7 nm, continued outside.
    accumulator
        Format of the addition of a multiply-accumulate; see `accumulator_of`.
    operation
        ``mac`` (multiply and add), ``multiply`` or ``add``.

    Returns
    -------
    Value
        Joules, of the shape of `node_nm`.

    Raises
    ------
    InputError
        A format without a width, another operation.
    """
    if operation not in _OPERATIONS:
        raise input_error(
            f"no energy is known for the operation '{operation}'",
            expected=one_of(_OPERATIONS),
            suggestion=nearest(operation, _OPERATIONS),
        )
    if operation == "mac":
        summed = accumulator or accumulator_of(compute_format)
        return operation_energy(compute_format, node_nm, operation="multiply") + operation_energy(
            summed, node_nm, operation="add"
        )
    return trend(
        node_nm,
        _at(operation, compute_format, 45.0, "energy"),
        _at(operation, compute_format, 7.0, "energy"),
    )


def logic_leakage_power(area_m2: Value) -> Value:
    """Return the leakage of logic at 45 nm, watts: Bit Fusion's synthesised arrays, by area.

    Parameters
    ----------
    area_m2
        Area of the logic at 45 nm, square metres. No sourced law leads to other nodes.
    """
    return table("operations")["leakage"]["milliwatts_per_mm2"] * 1e3 * area_m2


def mac_area(
    compute_format: str, node_nm: Value = 45.0, *, accumulator: str | None = None
) -> Value:
    """Return the area of a multiplier and an adder, square metres.

    Areas at 45 nm beside Horowitz's energies (Sze et al. 2017, figure 29), scaled by the area table
    of Stillmaker and Baas 2017. Registers and wires are not in it.

    Parameters
    ----------
    compute_format, node_nm, accumulator
        As for `operation_energy`.
    """
    summed = accumulator or accumulator_of(compute_format)
    at_45nm = _at("multiply", compute_format, 45.0, "area") + _at("add", summed, 45.0, "area")
    return at_45nm * area_scale(45.0, node_nm)
