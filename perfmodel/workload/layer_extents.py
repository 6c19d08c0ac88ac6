"""Parser of extents in a template: numbers, free dimensions and arithmetic on them."""

from __future__ import annotations

import math
from typing import cast

from perfmodel.workload.layer_expressions import (
    LIMIT,
    NUMBERS,
    Scope,
    SizeError,
    evaluate_expression,
    shown,
)
from perfmodel.workload.symbols import Dim, Poly, simplify


def parse_extent(value: object, scope: Scope) -> Dim:
    """Read an extent.

    Parameters
    ----------
    value
        A number, or an expression such as ``height``, ``4 * hidden``, ``height // 2`` or
        ``divisible(32 * width, 8)`` (see `layer_expressions`).
    scope
        Values of its names.

    Raises
    ------
    SizeError
        The value is not an extent: no number, below 1, fractional, infinite, or an unknown name.
    """
    if isinstance(value, str):
        value = evaluate_expression(value, scope)
    if type(value) not in NUMBERS:
        raise SizeError(f"{shown(value)} is not an extent")
    return checked_extent(cast("Dim", value))


def checked_extent(dim: Dim, *, mean: bool = False) -> Dim:
    """Return a dimension if it is free or a valid extent.

    The `mean` of several extents must be positive and may be fractional.

    Raises
    ------
    SizeError
        The dimension is a number and not an extent.
    """
    number = simplify(dim)
    if isinstance(number, Poly) or (type(number) is int and 1 <= number <= LIMIT):
        return dim
    if not math.isfinite(number):
        raise SizeError(f"{number} is not a finite number")
    if number != int(number) and not mean:
        raise SizeError(f"extent {number:g} is not whole")
    if number < 1 and not (mean and number > 0):
        raise SizeError(f"extent {number:g} is below 1")
    if number > LIMIT:
        raise SizeError(f"extent {number:g} is beyond {LIMIT:g}")
    return dim
