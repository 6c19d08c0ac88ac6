"""Exact ratios of symbolic dimensions, and scaling by them."""

from __future__ import annotations

from collections.abc import Iterable

from perfmodel.workload.symbols import Dim, Poly, poly, simplify


def constant_ratio(amount: Dim, base: Dim) -> float | None:
    """Return ``amount / base`` if it is a fixed number, else ``None``."""
    if not isinstance(amount, Poly) and not isinstance(base, Poly):
        return amount / base if base else None
    left, right = poly(amount).terms, poly(base).terms
    if left.keys() != right.keys() or not right:
        return None
    ratios = {left[m] / right[m] for m in left}
    return ratios.pop() if len(ratios) == 1 else None


def scaled(amount: Dim, factors: Iterable[tuple[Dim, Dim]]) -> Dim:
    """Return an amount times ``after / before`` per factor, with products before quotients."""
    divisor: Dim = 1
    for before, after in factors:
        if before != after:
            amount = amount * after
            divisor = divisor * before
    divisor = simplify(divisor)
    if divisor == 1:
        return simplify(amount)
    if isinstance(divisor, Poly):
        return simplify(amount / divisor)
    if isinstance(amount, Poly):
        return simplify(Poly({m: c / divisor for m, c in amount.terms.items()}))
    quotient = amount / divisor
    return int(quotient) if quotient == int(quotient) else quotient
