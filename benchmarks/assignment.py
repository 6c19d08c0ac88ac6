"""What closes when operators are put on engines: CPU seconds, gaps and ratios, on random problems.

    python benchmarks/assignment.py [--limit SECONDS] [--seed N] [--json]

Costs are unrelated between engines (uniform from 1 to 100), every operator reads one or two of the
ten before it, and reaching another engine takes 5. `limit` is the time each free assignment has.
Gaps are against a proved lower bound, so that 0 % is the optimum. A graph read so far back is wide:
in turn it is an integer programme, while a chain is one pass of dynamic programming.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

from measure import THREADS, one_core

os.environ.update(THREADS)

import numpy as np

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.assign import Assignment, AssignmentProblem, solve
from perfmodel.schedule.assign.assignment_costs import interval_s, sequential_s
from perfmodel.schedule.assign.contiguous import fixed_order
from perfmodel.schedule.assign.linear_programmes import solve_integral, solve_relaxed

SIZES = ((50, 3), (100, 3), (100, 8), (300, 4), (1000, 4), (1000, 16), (3000, 4))


def problem_of(n: int, m: int, seed: int, *, chain: bool = False) -> AssignmentProblem:
    """A random problem; see the module."""
    random = np.random.default_rng(seed)
    costs = random.uniform(1, 100, (n, m))
    edges: list[tuple[int, int]] = []
    for j in range(1, n):
        before = (
            {j - 1} if chain else set(random.integers(max(0, j - 10), j, random.integers(1, 3)))
        )
        edges += [(int(i), j) for i in before]
    return AssignmentProblem.of(costs, edges, latency_s=5.0)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call gives, and its CPU seconds."""
    start = time.process_time()
    found = call()
    return found, time.process_time() - start


def plain_programme(problem: AssignmentProblem, *, bottleneck: bool) -> float:
    """The same dynamic programme as a loop in Python over starts, ends and engines: its value."""
    n, m = problem.count, problem.width
    entering = problem.entering
    best = [[np.inf] * (n + 1) for _ in range(m + 1)]
    for e in range(m + 1):
        best[e][0] = 0.0
    for e in range(m):
        costs = problem.costs[:, e].tolist()
        for j in range(1, n + 1):
            best[e + 1][j] = best[e][j]
        for i in range(n):
            if best[e][i] == np.inf:
                continue
            seconds, seen = 0.0, set[int]()
            for j in range(i, n):
                seconds += costs[j]
                for t in problem.reads[j]:
                    if problem.maker[t] < i and t not in seen:
                        seen.add(t)
                        seconds += float(entering[t, e])
                before = best[e][i]
                value = max(before, seconds) if bottleneck else before + seconds
                if value < best[e + 1][j + 1]:
                    best[e + 1][j + 1] = value
    return float(best[m][n])


def row(n: int, m: int, seed: int, limit: float) -> dict[str, Any]:
    """Everything on one size."""
    problem = problem_of(n, m, seed)
    out: dict[str, Any] = {"operators": n, "engines": m}
    for name, bottleneck, value in (
        ("contiguous_sum", False, sequential_s),
        ("contiguous_bottleneck", True, interval_s),
    ):
        split, seconds = timed(lambda b=bottleneck: fixed_order(problem, bottleneck=b))
        assert split.solution is not None
        assert abs(value(problem, split.solution) / split.value - 1) < 1e-9
        out[f"{name}_s"], out[name] = seconds, split.value
        if n <= 300:
            same, slow = timed(lambda b=bottleneck: plain_programme(problem, bottleneck=b))
            assert abs(same / split.value - 1) < 1e-9
            out[f"{name}_plain_ratio"] = slow / seconds
    for goal in ("throughput", "parallel"):
        linear, seconds = timed(lambda g=goal: solve_relaxed(problem, g, Deadline(4 * limit)))
        out[f"{goal}_lp_s"] = seconds if linear.proved else None
        if n * m <= 4000:
            whole = solve_integral(problem, goal, Deadline(limit), gap=1e-3)
            if whole.bound and linear.proved:
                out[f"{goal}_lp_below_milp"] = 1 - linear.bound / whole.bound
        found, seconds = timed(lambda g=goal: solve(problem, g, time_limit_s=limit))
        out[f"{goal}_s"], out[f"{goal}_gap"] = seconds, found.gap
        out[f"{goal}_method"] = found.method
    chain: Assignment
    chain, seconds = timed(lambda: solve(problem_of(n, m, seed, chain=True), "sequential"))
    out["chain_s"], out["chain_proved"] = seconds, chain.proved
    return out


def _cell(value: Any, percent: bool = False) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if percent else f"{value:.3g}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    where = one_core()
    solve_relaxed(problem_of(5, 2, 0), "throughput", Deadline(10))  # the solver's own start
    rows = [row(n, m, given.seed, given.limit) for n, m in SIZES]
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{where}; CPU seconds; {given.limit:g} s for each free assignment")
    columns = (
        ("n x m", None, False),
        ("stretches sum", "contiguous_sum_s", False),
        ("plain loop /", "contiguous_sum_plain_ratio", False),
        ("bottleneck", "contiguous_bottleneck_s", False),
        ("chain", "chain_s", False),
        ("pipe LP", "throughput_lp_s", False),
        ("LP below", "throughput_lp_below_milp", True),
        ("found", "throughput_s", False),
        ("gap", "throughput_gap", True),
        ("run LP", "parallel_lp_s", False),
        ("LP below", "parallel_lp_below_milp", True),
        ("found", "parallel_s", False),
        ("gap", "parallel_gap", True),
    )
    print("  ".join(f"{name:>12}" for name, _, _ in columns))
    for each in rows:
        cells = [
            f"{each['operators']}x{each['engines']}" if key is None else _cell(each.get(key), share)
            for _, key, share in columns
        ]
        print("  ".join(f"{cell:>12}" for cell in cells))


if __name__ == "__main__":
    main()
