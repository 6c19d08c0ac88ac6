"""Arithmetic on symbolic extents: signs, comparisons, divisions, bounds.

An extent is a number or a polynomial of free dimensions, each of which is an integer of at least 1.
A question that has the same answer for all of them is answered; others raise `UndecidedError`,
whereupon the walk binds the dimensions.
"""

from __future__ import annotations

import math
from fractions import Fraction

from perfmodel.workload.importers.onnx.node import ContradictionError, NotPricedError
from perfmodel.workload.symbols import Dim, Poly, constant, maximum, minimum, poly, simplify
from perfmodel.workload.symbols import floor_div as floor_div_atom


class UndecidedError(NotPricedError):
    """The answer depends on a free dimension."""


def free_symbols(dim: Dim) -> frozenset[str]:
    """Return the names of the free dimensions in a dimension."""
    if not isinstance(dim, Poly):
        return frozenset()
    atoms = [atom for monomial in dim.terms for atom, _ in monomial]
    inner = (free_symbols(arg) for atom in atoms for arg in atom.args)
    return frozenset(atom.name for atom in atoms if not atom.args).union(*inner)


def floor_div(dim: Dim, divisor: int) -> Dim:
    """Return ``floor(dim / divisor)``; a polynomial if the divisor divides every coefficient."""
    value = simplify(dim)
    if isinstance(value, Poly) and all(c % divisor == 0 for c in value.terms.values()):
        return simplify(value / divisor)
    return floor_div_atom(value, divisor)


def sign(dim: Dim) -> int | None:
    """Return the sign of a dimension, or ``None`` if it depends on a free dimension.

    A polynomial whose coefficients have one sign has its extreme where all free dimensions are 1.
    """
    value = simplify(dim)
    if not isinstance(value, Poly):
        return (value > 0) - (value < 0)
    constant_term = value.terms.get((), 0.0)
    variable = [(m, c) for m, c in value.terms.items() if m]
    for direction in (1, -1):
        if all(c * direction > 0 for _, c in variable):
            # A plain symbol is at least 1, a function of symbols at least 0.
            smallest = sum(c * direction for m, c in variable if not any(a.args for a, _ in m))
            if smallest + constant_term * direction > 0:
                return direction
    return None


def compare(op: str, a: Dim, b: Dim) -> bool:
    """Compare two dimensions.

    Raises
    ------
    UndecidedError
        The answer depends on a free dimension.
    """
    direction = sign(a - b)
    if direction is None:
        raise UndecidedError(f"whether {a} {op} {b} depends on a free dimension")
    return {
        "Equal": direction == 0,
        "Less": direction < 0,
        "LessOrEqual": direction <= 0,
        "Greater": direction > 0,
        "GreaterOrEqual": direction >= 0,
    }[op]


def divide(a: Dim, b: Dim, *, integral: bool) -> Dim:
    """Return ``a / b``; integers truncate towards zero, as ONNX specifies.

    Raises
    ------
    UndecidedError
        The quotient has no closed form.
    """
    divisor = constant(b)
    if divisor == 0:
        raise (ContradictionError if integral else NotPricedError)("division by zero in a shape")
    if not integral:
        return simplify(a / b)
    if not isinstance(a, Poly) and not isinstance(b, Poly):
        quotient = abs(int(a)) // abs(int(b))
        return quotient if (a >= 0) == (b > 0) else -quotient
    if divisor is not None and divisor > 0:
        return floor_div(a, int(divisor))
    if divisor is None and len(poly(b).terms) == 1:
        exact = simplify(poly(a) / b)
        if all(c == int(c) and all(n > 0 for _, n in m) for m, c in poly(exact).terms.items()):
            return exact
    if a == b:
        return 1
    raise UndecidedError(f"{a} / {b} has no closed form")


def modulo(a: Dim, b: Dim) -> Dim:
    """Return the remainder of ``a / b``, with the sign of the divisor."""
    if not isinstance(a, Poly) and not isinstance(b, Poly):
        if b == 0:
            raise NotPricedError("division by zero in a shape")
        return a % b
    return simplify(a - poly(b) * divide(a, b, integral=True))


def smaller(a: Dim, b: Dim) -> Dim:
    """Return the smaller of two dimensions, a `minimum` atom if undecided."""
    direction = sign(a - b)
    return minimum(a, b) if direction is None else (a if direction <= 0 else b)


def larger(a: Dim, b: Dim) -> Dim:
    """Return the larger of two dimensions, a `maximum` atom if undecided."""
    direction = sign(a - b)
    return maximum(a, b) if direction is None else (a if direction >= 0 else b)


def floor(value: Dim) -> Dim:
    """Return the floor of a dimension that may have fractional coefficients."""
    number = simplify(value)
    if not isinstance(number, Poly):
        return math.floor(number)
    parts = [Fraction(c).limit_denominator(4096) for c in number.terms.values()]
    common = math.lcm(*(p.denominator for p in parts))
    return floor_div(simplify(number * common), common) if common > 1 else number


def ceil(value: Dim) -> Dim:
    """Return the ceiling of a dimension that may have fractional coefficients."""
    return simplify(-poly(floor(simplify(-poly(value)))))
