"""Signed digits against a search for the shortest sum of shifts."""

from __future__ import annotations

import itertools

import numpy as np

from perfmodel.kinds.fpga.digits import multipliers_of, nonzeros_of, signed_digits


def test_fewest_signed_powers_of_two() -> None:
    """Every weight of eight bits: no shorter sum of plus and minus powers of two makes it."""
    powers = [s * 2**p for p in range(9) for s in (1, -1)]
    fewest = {0: 0}
    for terms in (1, 2, 3, 4, 5):
        for chosen in itertools.combinations(powers, terms):
            fewest.setdefault(abs(sum(chosen)), terms)
        if all(v in fewest for v in range(129)):
            break
    values = np.arange(-128, 129)
    assert signed_digits(values).tolist() == [fewest[abs(v)] for v in values.tolist()]


def test_weights_in_fixed_point() -> None:
    """Halves and quarters are shifts, 3/64 two digits, 11/64 and 43/64 need a multiplier."""
    weights = np.array([[0.0, 0.5, -0.25], [3 / 64, 11 / 64, -43 / 64]])
    assert signed_digits([11, 43]).tolist() == [3, 4]
    assert multipliers_of(weights, 6) == 2
    assert multipliers_of(weights, 6, digits=2) == 3
    assert nonzeros_of(weights, 6) == 5
    assert nonzeros_of(weights, 1) == 2
