"""Assignments of bits under a limit on their sum: uniform, two greedy rules, and exact ones.

A choice is an option index a part. Costs have the shape (parts, options); `sizes` are weights a
part; the limit is a share of the bits at 8 a weight.
"""

from __future__ import annotations

import numpy as np

from benchmarks.real_tasks.errors import BITS, Pairs
from benchmarks.real_tasks.networks import Array
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve

Choice = tuple[int, ...]
#: Where options tie, solver tolerances can leave bound and value this far apart.
_GAP = 1e-6


def stored_bits(choice: Choice, sizes: Array) -> int:
    """Return the bits of all weights under a choice."""
    return int(np.dot(np.array(BITS)[list(choice)], sizes))


def limit_bits(share: float, sizes: Array) -> int:
    """Return the bits that a share of the 8-bit size allows."""
    return int(share * 8 * int(sizes.sum()))


def uniform(sizes: Array, limit: int) -> Choice:
    """Return the most bits that every part can have alike."""
    fits = [o for o in range(len(BITS)) if stored_bits((o,) * len(sizes), sizes) <= limit]
    return (max(fits),) * len(sizes)


def greedy(costs: Array, sizes: Array, limit: int, *, per_bit: bool = True) -> Choice:
    """Return what lowering one part by one width at a time reaches, from 8 bits everywhere.

    `per_bit`: the step of least added cost a saved bit. Otherwise the step after which the lowered
    part's own cost is least (of noise to signal: the part left with the best ratio), as sorted
    lists of SQNR do it. What room the last step leaves is given back where most cost goes for it.
    """
    choice = [len(BITS) - 1] * len(sizes)
    bits = np.array(BITS)
    while stored_bits(tuple(choice), sizes) > limit:
        steps: list[tuple[float, int]] = []
        for i, option in enumerate(choice):
            if option:
                saved = float((bits[option] - bits[option - 1]) * sizes[i])
                added = float(costs[i, option - 1] - costs[i, option]) / saved
                steps.append((added if per_bit else float(costs[i, option - 1]), i))
        choice[min(steps)[1]] -= 1
    while True:
        room = limit - stored_bits(tuple(choice), sizes)
        raises = [
            (float(costs[i, option] - costs[i, option + 1]) / float(sizes[i]), i)
            for i, option in enumerate(choice)
            if option + 1 < len(BITS) and (bits[option + 1] - bits[option]) * sizes[i] <= room
        ]
        if not raises or max(raises)[0] <= 0:
            return tuple(choice)
        choice[max(raises)[1]] += 1


def problem(costs: Array, sizes: Array, limit: int, pairs: Pairs | None = None) -> ChoiceProblem:
    """Return the choice of least summed cost within the limit as a problem to solve."""
    terms = [Term((i,), np.asarray(row, float)) for i, row in enumerate(costs)]
    terms += [Term(both, table) for both, table in sorted((pairs or {}).items())]
    stored = Sum.of([float(n) * np.array(BITS) for n in sizes])
    options = (len(BITS),) * len(sizes)
    return ChoiceProblem(options, Sum(0.0, tuple(terms)), (Limit("bits", (stored,), limit),))


def exact(costs: Array, sizes: Array, limit: int, pairs: Pairs | None = None) -> Choice:
    """Return the choice of least summed cost within the limit, proved to within rounding."""
    found = solve(problem(costs, sizes, limit, pairs))
    if found.solution is None or found.gap > _GAP:
        raise RuntimeError(f"the exact search ended {found.status}, gap {found.gap:.3g}")
    return tuple(int(option) for option in found.solution)


def predicted(choice: Choice, costs: Array, pairs: Pairs | None = None) -> float:
    """Return the summed cost of a choice, with the terms of two parts where given."""
    single = sum(float(costs[i, o]) for i, o in enumerate(choice))
    return single + sum(float(t[choice[i], choice[j]]) for (i, j), t in (pairs or {}).items())
