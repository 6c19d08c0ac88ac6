"""Energy and area of arithmetic by format and node.

Anchors are additions and multiplications at 45 nm (Horowitz, ISSCC 2014) and at 7 nm (Jouppi et
al., ISCA 2021). Other formats are interpolated and extrapolated by power laws in the width of the
multiplier: bits of an integer, significand bits of a floating-point number. A multiply-accumulate
is one multiplication and one addition in the accumulator format. Wires, registers and control are
not included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from perfmodel.arrays import Value
from perfmodel.errors import input_error, nearest, one_of
from perfmodel.formats import stored_bits
from perfmodel.hardware.technology.nodes import area_scale, trend
from perfmodel.hardware.technology.power_laws import power_law
from perfmodel.hardware.technology.tables import nanometres, table
from perfmodel.units import parse

_INTEGER: Final = re.compile(r"int([1-9][0-9]?)")
_OPERATIONS: Final = ("mac", "multiply", "add")


def width(compute: str) -> tuple[str, float]:
    """Return (``int`` or ``float``, multiplier width in bits) of a compute format.

    The width of a pair (``int4xint8``) is the geometric mean of both, since a multiplier's energy
    scales with their product; a pair with one floating-point format is floating point.

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


def operand_bits(compute: str) -> float:
    """Return the bits of an operand as it is stored; of a pair, the mean of both."""
    parts = _pair(compute)
    widths = [(name, *_width(name)) for name in parts]
    bits = [stored_bits(name) if kind == "float" else width for name, kind, width in widths]
    return sum(bits) / len(parts)


def _pair(compute: str) -> tuple[str, ...]:
    """Return the parts of a pair; a name may contain the joining letter itself (``mxfp8``)."""
    for at, letter in enumerate(compute):
        parts = compute[:at], compute[at + 1 :]
        if letter == "x" and all(map(_known, parts)):
            return parts
    return (compute,)


def _named_widths() -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the widths of significands, including the hidden bit, and of named integers."""
    widths = table("operations")["widths"]
    return widths["significands"], widths["integers"]


def _known(name: str) -> bool:
    return bool(_INTEGER.fullmatch(name)) or any(name in widths for widths in _named_widths())


def _width(name: str) -> tuple[str, float]:
    """Return kind and multiplier width of a single format."""
    significands, integers = _named_widths()
    if name in significands:
        return "float", float(significands[name])
    if name in integers:
        return "int", float(integers[name])
    plain = _INTEGER.fullmatch(name)
    if plain is not None:
        return "int", float(plain[1])
    known = [*significands, "int4", "int8", "int16", "int32"]
    raise input_error(
        f"no energy is known for the format '{name}'",
        expected=f"one of {', '.join(known)}",
        suggestion=nearest(name, known),
    )


def accumulator_of(compute: str) -> str:
    """Return the default accumulator of a compute format: int32, fp32, or fp64 for fp64."""
    if "fp64" in compute:
        return "fp64"
    return "fp32" if width(compute)[0] == "float" else "int32"


@cache
def _anchors(
    operation: str, kind: str, node: float, quantity: str
) -> tuple[list[float], list[float]]:
    """Return widths and values of an operation at a node, in order of width."""
    rows = table("operations")["areas" if quantity == "area" else "anchors"]
    unit = "area" if quantity == "area" else "energy"
    points = sorted(
        (width(row["format"])[1], parse(row[quantity], unit))
        for row in rows
        if row["operation"] == operation
        and width(row["format"])[0] == kind
        and nanometres(row["node"]) == node
    )
    return [w for w, _ in points], [v for _, v in points]


def _at(operation: str, compute: str, node: float, quantity: str) -> float:
    kind, bits = width(compute)
    widths, values = _anchors(operation, kind, node, quantity)
    return power_law(bits, widths, values)


def operation_energy(
    compute_format: str,
    node_nm: Value = 45.0,
    *,
    accumulator: str | None = None,
    operation: str = "mac",
) -> Value:
    """Return the energy of one arithmetic operation, J.

    ``E_mac = E_multiply(format) + E_add(accumulator)``.

    Parameters
    ----------
    compute_format
        ``int8``, ``fp16``, ``bf16`` ..., or a pair such as ``int4xint8``.
    node_nm
        Silicon node in nanometres; see `perfmodel.hardware.technology.nodes.trend`.
    accumulator
        Format of the addition of a multiply-accumulate; `accumulator_of` by default.
    operation
        ``mac`` (multiply and add), ``multiply`` or ``add``.

    Returns
    -------
    Value
        Energy in joules, same shape as `node_nm`.

    Raises
    ------
    InputError
        A format without a width, or an unknown operation.
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
    """Return the leakage power of logic at 45 nm, W, from Bit Fusion's synthesised arrays.

    Proportional to area.

    Parameters
    ----------
    area_m2
        Area of the logic at 45 nm, square metres. There is no sourced law for other nodes.
    """
    return table("operations")["leakage"]["milliwatts_per_mm2"] * 1e3 * area_m2


def mac_area(
    compute_format: str, node_nm: Value = 45.0, *, accumulator: str | None = None
) -> Value:
    """Return the area of a multiplier and an adder, square metres.

    Areas at 45 nm that accompany Horowitz's energies (Sze et al. 2017, figure 29), scaled by the
    area table of Stillmaker and Baas 2017. Registers and wires are not included.

    Parameters
    ----------
    compute_format, node_nm, accumulator
        As for `operation_energy`.
    """
    summed = accumulator or accumulator_of(compute_format)
    adder = _at("add", summed, 45.0, "area") * area_scale(45.0, node_nm)
    return multiplier_area(compute_format, node_nm) + adder


def multiplier_area(compute_format: str, node_nm: Value = 45.0) -> Value:
    """Return the area of a multiplier, square metres; see `mac_area`."""
    return _at("multiply", compute_format, 45.0, "area") * area_scale(45.0, node_nm)
