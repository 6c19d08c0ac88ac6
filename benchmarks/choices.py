"""Choices under limits: `perfmodel.search.exact` beside HiGHS alone and CBC.

    python benchmarks/choices.py [--seeds 20] [--solvers highs,cbc] [--families ...] [--data DIR]

CPU seconds of one thread. The synthetic problems have 200 decisions of 6 options and 3 limits (and
10,000 of them, to 1e-4 of the linear relaxation):

- uncorrelated: cost and uses uniform in 0..1
- weak: cost falls with the mean use, give or take 0.1
- strong: whole uses of 1..1000, cost falls with their sum and is 100 less for any
- layers: sensitivities and sizes of a network's layers; more bits lose less and use more of all

The coupled ones are chains of 50 decisions with skips and a conversion where neighbours differ.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from perfmodel_studies.hawq import SHARED, hawq_problem

from perfmodel.optimise.deadline import Deadline
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve
from perfmodel.search.exact.choice_milp import ChoiceMilp
from perfmodel.search.exact.presolve import reduce_problem

FAMILIES = ("uncorrelated", "weak", "strong", "layers")


def synthetic(family, seed, n=200, k=6, rows=3):
    rng = np.random.default_rng(seed)
    use = rng.uniform(0, 1, (n, k, rows))
    middle = 0.5
    if family == "uncorrelated":
        cost, middle = rng.uniform(0, 1, (n, k)), 0.35
    elif family == "weak":
        cost, middle = 1 - use.mean(axis=2) + rng.uniform(-0.1, 0.1, (n, k)), 0.45
    elif family == "strong":
        use = rng.integers(1, 1001, (n, k, rows)).astype(float)
        cost = -use.sum(axis=2) - 100
    else:
        bits = np.linspace(2, 8, k)
        loss = rng.lognormal(0, 1.5, (n, 1)) * 4.0**-bits
        cost = loss * rng.uniform(0.7, 1.3, (n, k))
        size = rng.lognormal(0, 1, (n, 1, rows))
        use = size * (bits[:, None] + rng.uniform(-0.5, 0.5, (n, k, rows)))
    low, high = use.min(axis=1).sum(axis=0), use.max(axis=1).sum(axis=0)
    bounds = low + middle * (high - low)
    limits = tuple(
        Limit(f"limit {r}", (Sum.of(list(use[:, :, r])),), float(bounds[r])) for r in range(rows)
    )
    return ChoiceProblem((k,) * n, Sum.of(list(cost)), limits)


def coupled(seed, n=50, k=6, rows=2):
    """Layers in a chain with skips over two to four of them; where formats differ, a conversion."""
    rng = np.random.default_rng(seed)
    bits = np.linspace(2, 8, k)
    loss = rng.lognormal(0, 1.5, (n, 1)) * 4.0**-bits
    size = rng.lognormal(0, 0.7, (n, 1, rows))
    use = size * (bits[:, None] + rng.uniform(-0.3, 0.3, (n, k, rows)))
    skips = [(i, i + int(rng.integers(2, 5))) for i in range(0, n - 5, 5)]
    edges = [(i, i + 1) for i in range(n - 1)] + skips
    convert = tuple(Term(e, rng.uniform(0.2, 1.0) * (1 - np.eye(k))) for e in edges)
    low, high = use.min(axis=1).sum(axis=0), use.max(axis=1).sum(axis=0)
    limits = []
    for r in range(rows):
        whole = Sum.of(list(use[:, :, r]))
        if r == 0:
            whole = Sum(0.0, whole.terms + convert)
        limits.append(Limit(f"limit {r}", (whole,), float(0.5 * (low[r] + high[r]))))
    return ChoiceProblem((k,) * n, Sum.of(list(loss)), tuple(limits))


def cpu(run):
    start = time.process_time()
    out = run()
    return time.process_time() - start, out


def highs(problem, seconds, gap=0.0):
    return ChoiceMilp(reduce_problem(problem)).model.solve(Deadline(seconds), gap=gap).value


def cbc(problem, seconds, gap=0.0):
    """Through PuLP; the time is the clock's, since CBC is a process of its own."""
    import pulp

    n = len(problem.options)
    model = pulp.LpProblem("choices", pulp.LpMinimize)
    x = [
        [pulp.LpVariable(f"x{i}_{o}", cat="Binary") for o in range(problem.options[i])]
        for i in range(n)
    ]

    def of(whole):
        return pulp.lpSum(
            float(v) * x[t.decisions[0]][o] for t in whole.terms for o, v in enumerate(t.values)
        )

    model += of(problem.objective)
    for i in range(n):
        model += pulp.lpSum(x[i]) == 1
    for limit in problem.limits:
        model += of(limit.sums[0]) <= limit.bound
    model.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=seconds, gapRel=gap, threads=1))
    return pulp.value(model.objective)


def report(name, times, extra=""):
    print(
        f"{name:44s} median {statistics.median(times):8.4f} s  most {max(times):8.4f} s  {extra}",
        flush=True,
    )


def compare(name, problems, arguments, gap=0.0):
    found = [cpu(lambda p=p: solve(p, gap=gap, seconds=arguments.limit)) for p in problems]
    times = [t for t, _ in found]
    proved = sum(s.proved or s.gap <= max(gap, 1e-9) for _, s in found)
    gaps = max(s.gap for _, s in found)
    report(f"{name}: exact", times, f"proved {proved} of {len(found)}, largest gap {gaps:.1e}")
    for label, other in (("highs", highs), ("cbc", cbc)):
        if label not in arguments.solvers.split(","):
            continue
        some = problems[: arguments.others]
        clock = []
        for p in some:
            if label == "highs":
                clock.append(cpu(lambda p=p: highs(p, arguments.limit, gap))[0])
            else:
                start = time.perf_counter()
                other(p, arguments.limit, gap)
                clock.append(time.perf_counter() - start)
        ratio = statistics.median(clock) / statistics.median(times[: len(some)])
        report(f"{name}: {label} (first {len(some)})", clock, f"{ratio:.1f} x")


def hawq(folder):
    models = json.loads((folder / "ilp" / "hawq_ilp.json").read_text())["models"]
    known = json.loads((folder / "ilp" / "hawq_optima.json").read_text())
    budgets = {b: (b,) for b in ("size", "bops", "latency")} | {"all3": ("size", "bops", "latency")}
    for name, layers in models.items():
        for label, limits in budgets.items():
            problem = hawq_problem(layers, limits, shared=SHARED[name])
            times = [cpu(lambda p=problem: solve(p))[0] for _ in range(9)]
            off = abs(solve(problem).value - known[f"{name}/{label}"]["obj"])
            report(f"HAWQ {name}/{label}", times, f"off by {off:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--solvers", default="highs")
    parser.add_argument("--others", type=int, default=5, help="problems given to other solvers")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds a problem")
    parser.add_argument("--large", type=int, default=3, help="seeds of 10,000 decisions")
    parser.add_argument("--coupled", type=int, default=5, help="seeds with conversions")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    if (arguments.data / "ilp" / "hawq_ilp.json").is_file():
        hawq(arguments.data)
    for family in filter(None, arguments.families.split(",")):
        some = [synthetic(family, s) for s in range(arguments.seeds)]
        if some:
            compare(f"200 x 6 x 3, {family}", some, arguments)
        large = [synthetic(family, s, n=10_000) for s in range(arguments.large)]
        if large:
            compare(f"10,000 x 6 x 3, {family}, to 1e-4", large, arguments, gap=1e-4)
    for rows in (1, 2):
        some = [coupled(s, rows=rows) for s in range(arguments.coupled)]
        if some:
            compare(f"50 x 6 x {rows}, conversions and skips", some, arguments)


if __name__ == "__main__":
    main()
