"""Extents written in a plain graph: numbers, free dimensions and arithmetic on them."""

from __future__ import annotations

import math

from perfmodel.workload.layer_expressions import LIMIT, Scope, SizeError, evaluated, shown
from perfmodel.workload.symbols import Dim, Poly, constant


def parse_extent(value: object, scope: Scope, *, mean: bool = False) -> Dim:
    """Read an extent.

    Parameters
    ----------
    value
        A number, or a text such as ``height``, ``4 * hidden``, ``height // 2`` or
        ``divisible(32 * width, 8)`` (see `layer_expressions`).
    scope
        What its names mean.
    mean
        Whether it may be the mean of several, which is above 0 and need not be whole.

    Raises
    ------
    SizeError
        No extent: not a number, below 1, not whole, not finite, or a name that is not declared.
    """
    if isinstance(value, str):
        value = evaluated(value, scope)
    if isinstance(value, bool) or not isinstance(value, int | float | Poly):
        raise SizeError(f"{shown(value)} is not an extent")
    return checked_extent(value, mean=mean)


def checked_extent(dim: Dim, what: str = "extent", *, mean: bool = False) -> Dim:
    """Return a dimension whose fixed value, if it has one, is an extent.

    Raises
    ------
    SizeError
        Otherwise.
    """
    number = constant(dim)
    if number is None:
        return dim
    if not math.isfinite(number):
        raise SizeError(f"{number} is not a finite number")
    if number != int(number) and not mean:
        raise SizeError(f"{what} {number:g} is not whole")
    if number < 1 and not (mean and number > 0):
        raise SizeError(f"{what} {number:g} is below 1")
    if number > LIMIT:
        raise SizeError(f"{what} {number:g} is beyond {LIMIT:g}")
    return dim
