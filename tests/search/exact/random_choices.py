"""Random problems of choices, and the optimum by trying everything."""

import itertools
import math

import numpy as np

from perfmodel.search.exact.choice_problem import ChoiceProblem, Limit
from perfmodel.search.exact.choice_sums import Sum, Term


def everything(problem):
    """Every choice, shape (N, decisions)."""
    return np.array(list(itertools.product(*map(range, problem.options))), dtype=np.int64).reshape(
        -1, len(problem.options)
    )


def brute_force(problem):
    """The least objective of any choice that keeps the limits; infinite without one.

    Sums are added up here, table by table, not by the problem's own code.
    """
    best = math.inf
    for choice in itertools.product(*map(range, problem.options)):
        value = added(problem.objective, choice)
        if value < best and all(
            max(added(s, choice) for s in limit.sums) <= limit.bound + 1e-9 * abs(limit.bound)
            for limit in problem.limits
        ):
            best = value
    return best


def added(whole, choice):
    return whole.constant + math.fsum(
        float(t.values[tuple(choice[i] for i in t.decisions)]) for t in whole.terms
    )


def tables(rng, options, *, whole=False, forbidden=0.0):
    """One table a decision."""
    out = []
    for i, k in enumerate(options):
        values = rng.integers(0, 6, k).astype(float) if whole else rng.uniform(0, 1, k)
        values[rng.random(k) < forbidden] = np.inf
        out.append(Term((i,), values))
    return out


def between(rng, sums, options, low=0.1, high=0.8):
    """A bound between the least and the most that each decision by itself would use."""
    least, most = 0.0, 0.0
    for s in sums:
        finite = [np.where(np.isfinite(t.values), t.values, 0.0) for t in s.terms]
        least = max(least, s.constant + sum(v.min() for v in finite))
        most = max(most, s.constant + sum(v.max() for v in finite))
    return least + (most - least) * rng.uniform(low, high)


def peak_problem(seed):
    """Two sums that add up and a peak: at each step some of the decisions hold memory."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    options = tuple(int(k) for k in rng.integers(1, 5, n))
    whole, forbidden = bool(rng.random() < 0.4), (0.1 if rng.random() < 0.3 else 0.0)
    objective = Sum(float(rng.normal()), tuple(tables(rng, options, forbidden=forbidden)))
    latency = Sum(0.0, tuple(tables(rng, options, whole=whole)))
    steps = []
    for _ in range(int(rng.integers(1, 8))):
        live = tables(rng, options, whole=whole, forbidden=forbidden / 2)
        held = [t for t in live if rng.random() < 0.6]
        steps.append(Sum(float(rng.integers(0, 3)), tuple(held)))
    limits = [
        Limit("latency", (latency,), between(rng, [latency], options)),
        Limit("peak", tuple(steps), between(rng, steps, options)),
    ]
    if whole:
        limits = [Limit(x.name, x.sums, float(round(x.bound))) for x in limits]
    return ChoiceProblem(options, objective, tuple(limits))


def edges_of(rng, n, shape):
    """A chain, a tree, or a tree with more edges."""
    if shape == "chain":
        return [(i, i + 1) for i in range(n - 1)]
    tree = [(int(rng.integers(0, i)), i) for i in range(1, n)]
    if shape == "tree":
        return tree
    more = {(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.35}
    return sorted(more | set(tree))


def channel_problem(seed):
    """Channels: a layer costs what goes in times what comes out; fewer channels cost accuracy."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    options = tuple(int(k) for k in rng.integers(1, 5, n))
    shape = ("chain", "tree", "cycles")[seed % 3]
    edges = edges_of(rng, n, shape)
    channels = [np.sort(rng.integers(1, 9, k)).astype(float) for k in options]
    loss = tuple(Term((i,), rng.uniform(0.5, 2) / channels[i]) for i in range(n))
    macs = tuple(Term((i, j), np.outer(channels[i], channels[j])) for i, j in edges)
    size = tuple(Term((i,), channels[i]) for i in range(n))
    extra = ()
    if n > 3 and rng.random() < 0.3:
        a, b, c = sorted(int(x) for x in rng.choice(n, 3, replace=False))
        shape3 = (options[a], options[b], options[c])
        extra = (Term((a, b, c), rng.uniform(0, 1, shape3)),)
    work = Sum(0.0, macs)
    steps = tuple(Sum(0.0, tuple(t for t in size if t.decisions[0] in e)) for e in edges)
    limits = [Limit("macs", (work,), between(rng, [work], options))]
    if rng.random() < 0.5:
        limits.append(Limit("peak", steps, between(rng, steps, options, 0.4, 1.0)))
    return ChoiceProblem(options, Sum(0.0, loss + extra), tuple(limits))


def conversion_problem(seed):
    """Formats: where neighbours differ, a conversion costs time, or is forbidden."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    k = int(rng.integers(2, 4))
    options = (k,) * n
    edges = edges_of(rng, n, ("chain", "tree", "cycles")[seed % 3])
    convert = []
    for e in edges:
        cost = rng.uniform(0, 0.5, (k, k)) * (1 - np.eye(k))
        if rng.random() < 0.2:
            cost[0, k - 1] = np.inf
        convert.append(Term(e, cost))
    error = Sum(0.0, tuple(tables(rng, options)))
    time = Sum(0.1, (*tables(rng, options), *convert))
    limits = () if seed % 10 == 0 else (Limit("time", (time,), between(rng, [time], options)),)
    if seed % 10 == 0:
        error = Sum(0.0, (*error.terms, *convert))
    return ChoiceProblem(options, error, limits)
