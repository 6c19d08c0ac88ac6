"""Optimal serial assignment, one operator or transfer at a time, by variable elimination.

The variables are the engines of the operators. The seconds of a run are a sum of tables, one per
operator (its cost) and one per tensor (its transfers to the engines of its readers), each over a
few variables. Eliminating one variable after another (`perfmodel.optimise.elimination`) gives the
exact minimum; the tables grow with the width of the graph, not with its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.elimination import FactorTable, eliminate, elimination_order
from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index

#: Maximum number of entries of a table; on graphs that need more, `sequential` returns None.
_MOST_ENTRIES = 1 << 20

#: Maximum number of readers of a tensor whose table is directly over maker and readers.
_DIRECT = 2


def least_serial_assignment(
    problem: AssignmentProblem, largest: int = _MOST_ENTRIES, deadline: Deadline | None = None
) -> Index | None:
    """Return the assignment with the least `sequential_s`, or None if the graph is too wide.

    If every assignment has infinite cost (an operator has no engine, or a tensor cannot reach a
    reader), so does the one returned.

    Parameters
    ----------
    largest
        Maximum number of entries of a table.
    deadline
        Time at which to give up.
    """
    if problem.width == 1:
        return np.zeros(problem.count, dtype=np.intp)
    tables = _tables(problem, largest)
    if tables is None:
        return None
    sizes = {
        i: size for scope, values in tables for i, size in zip(scope, values.shape, strict=True)
    }

    def entries(near: Sequence[set[int]], i: int) -> int:
        return math.prod(sizes[j] for j in near[i]) * sizes[i]

    order = elimination_order(len(sizes), [scope for scope, _ in tables], entries)
    if any(math.prod(sizes[i] for i in bag.scope) > largest for bag in order):
        return None
    choices: list[Index] = []
    for eliminated in eliminate(order, tables):
        if deadline is not None and deadline.passed():
            return None
        choices.append(eliminated.total.argmin(axis=-1))
    values = np.zeros(len(sizes), dtype=np.intp)
    for bag, choice in zip(reversed(order), reversed(choices), strict=True):
        values[bag.variable] = choice[tuple(values[list(bag.others)])]
    return values[: problem.count]


def _tables(problem: AssignmentProblem, largest: int) -> list[FactorTable] | None:
    """Return the tables of operators and tensors; None if one is too large."""
    m = problem.width
    tables: list[FactorTable] = [((i,), problem.costs[i]) for i in range(problem.count)]
    next_variable = problem.count
    for t, readers in enumerate(problem.readers):
        maker, delays = int(problem.maker[t]), problem.delays[t]
        if len(readers) <= _DIRECT:
            if m ** (len(readers) + 1) > largest:
                return None
            tables.append(((maker, *readers), _direct_table(delays, len(readers))))
        elif (m << m) * m * (m << m) > largest:
            return None
        else:
            tables += _reader_chain_tables(delays, maker, readers, next_variable)
            next_variable += len(readers)
    return tables


def _direct_table(delays: Floats, readers: int) -> Floats:
    """Return seconds over (maker, readers ...): one transfer per engine with readers."""
    m = len(delays)
    total: Floats = np.zeros((m,) * (readers + 1))
    for k in range(readers):
        shape = [m if axis in (0, k + 1) else 1 for axis in range(readers + 1)]
        once: Floats = delays.reshape(shape)
        for earlier in range(k):
            same = np.eye(m).reshape(
                [m if axis in (earlier + 1, k + 1) else 1 for axis in range(readers + 1)]
            )
            once = np.where(same > 0, 0.0, once)
        total = total + once
    return total


def _reader_chain_tables(
    delays: Floats, maker: int, readers: tuple[int, ...], first_state: int
) -> list[FactorTable]:
    """Return the tables of a tensor with many readers, over variables numbered from `first_state`.

    The state passed from reader to reader is (maker's engine, set of engines that have the tensor):
    each reader adds its own engine, at the cost of the transfer to it.
    """
    m = len(delays)
    states = m << m
    first: Floats = np.full((m, states), np.inf)
    step: Floats = np.full((states, m, states), np.inf)
    for e in range(m):
        first[e, e << m | 1 << e] = 0.0
        for holders in range(1 << m):
            for f in range(m):
                seconds = 0.0 if holders >> f & 1 else delays[e, f]
                step[e << m | holders, f, e << m | holders | 1 << f] = seconds
    chain = range(first_state, first_state + len(readers))
    tables: list[FactorTable] = [((maker, first_state), first)]
    tables += [((k, r, k + 1), step) for k, r in zip(chain, readers[:-1], strict=False)]
    return [*tables, ((chain[-1], readers[-1]), step.min(axis=-1))]
