"""Differentiable search: gradient descent on relaxed decisions under a limit.

Each decision has logits. Their softmax, with a falling temperature and optional Gumbel noise (Jang
et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712), weights its options. Adam
minimises the loss plus an augmented Lagrangian of the limit (Bertsekas 1982, chapter 2): with
g = E[metric] / limit - 1 the term is (max(0, m + r g)^2 - m^2) / (2 r), and its multiplier m
increases by a fraction of r g per step. The result is rounded to a choice, which single swaps
then repair and improve with costs from the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from perfmodel.columns import dimension_of
from perfmodel.deprecation import deprecated_names
from perfmodel.errors import Fault, no_such
from perfmodel.search.choice_rows import neighbouring_choices
from perfmodel.search.constraints import parse_constraints
from perfmodel.settings import FaultList
from perfmodel.table import Result, Table

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Relaxation="DifferentiableSearchResult")

Floats: TypeAlias = npt.NDArray[np.float64]
#: Probabilities, one array per decision -> loss and its gradient, one array per decision.
Loss: TypeAlias = Callable[[list[Floats]], tuple[float, Sequence[Any]]]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, repr=False)
class DifferentiableSearchResult(Result):
    """Result of a differentiable search.

    Attributes
    ----------
    choice
        Option index of each decision.
    metrics
        Metrics of the choice from the oracle.
    loss
        Loss of the choice.
    metric, limit
        Name of the limited metric, and its limit in the metric's unit.
    gap
        metric / limit - 1; at most 0 if the limit is satisfied.
    satisfied
        Whether the limit is satisfied and the member fits the device. False if single swaps reached
        no such member.
    rounded
        Rounded choice before the swaps.
    swaps
        Number of single swaps that repaired and improved it.
    history
        Table, one row per step: ``loss`` and ``expected`` (metric) of the relaxation,
        ``multiplier``, ``temperature``, and ``entropy`` of the probabilities relative to uniform.
    probabilities
        Softmax of the final logits, one array per decision.
    """

    noun = "relaxation"
    attributes = (
        "choice",
        "metrics",
        "loss",
        "metric",
        "limit",
        "gap",
        "satisfied",
        "rounded",
        "swaps",
        "probabilities",
    )

    choice: tuple[int, ...]
    metrics: dict[str, float]
    loss: float
    metric: str
    limit: float
    gap: float
    satisfied: bool
    rounded: tuple[int, ...]
    swaps: int
    history: Table
    probabilities: list[Floats]

    @property
    def feasible(self) -> bool:
        """Whether the limit is satisfied, as `satisfied`."""
        return self.satisfied

    @property
    def decided(self) -> bool:
        """Whether a feasible member is known; descent never proves that none exists."""
        return self.satisfied

    @property
    def headline(self) -> str:
        """The metric with its limit, and the loss."""
        verdict = "kept" if self.satisfied else "exceeded"
        return (
            f"{self.metric} {self.metrics[self.metric]:.4g}, limit {self.limit:.4g} "
            f"{verdict} ({self.gap:+.2%}); loss {self.loss:.6g}; {self.swaps} swaps"
        )

    @cached_property
    def table(self) -> Table:
        """One row per step, as `history`."""
        return self.history


def differentiable_search(
    oracle: Any,
    loss: Sequence[Any] | Loss,
    limit: str | float,
    *,
    metric: str = "latency_s",
    steps: int = 300,
    rate: float = 0.1,
    temperatures: tuple[float, float] = (1.0, 0.3),
    noise: bool = True,
    penalty: float = 1.0,
    seed: int = 0,
) -> DifferentiableSearchResult:
    """Minimise a loss under a limit by gradient descent on relaxed decisions.

    Parameters
    ----------
    oracle
        An `Oracle`; its `gradient` returns expected costs and their derivatives.
    loss
        Additive losses, one array per decision; or a function of probabilities (one array per
        decision) that returns a loss and its gradient. A function is also called for single
        members, with probabilities of 0 and 1.
    limit
        ``"latency_s <= 5 ms"``, or a number in the unit of `metric`.
    metric
        Metric that a numeric limit applies to.
    steps, rate
        Steps of Adam (Kingma and Ba 2015) on the logits, and their size.
    temperatures
        First and last temperature; it falls by a constant factor per step.
    noise
        Whether to add Gumbel noise to the logits; without it this is a plain softmax relaxation.
    penalty
        Weight r of the squared excess, relative to the spread of losses over the options.
    seed
        The same arguments and seed give the same result.

    Returns
    -------
    DifferentiableSearchResult

    Raises
    ------
    InputError
        For all faults: losses that do not match the decisions, an invalid limit.
    """
    sizes = [len(d.options) for d in oracle.space.decisions]
    names = [d.name for d in oracle.space.decisions]
    faults = FaultList()
    metric, bound = _limit(oracle, limit, metric, faults)
    tables = None if callable(loss) else _tables(loss, names, sizes, faults)
    _number_faults(steps, rate, temperatures, penalty, faults)
    faults.settle()
    problem = _RelaxedProblem(oracle, loss, tables, metric, bound, sizes)
    logits, history = _descend(problem, steps, rate, temperatures, penalty, seed, noise=noise)
    shares = [_softmax(x) for x in logits]
    rounded = tuple(int(np.argmax(s)) for s in shares)
    choice, swaps = _swapped(problem, rounded)
    metrics = oracle(choice)
    gap = metrics[metric] / bound - 1.0
    return DifferentiableSearchResult(
        choice,
        metrics,
        problem.hard_loss(choice),
        metric,
        bound,
        gap,
        gap <= 0.0 and metrics["feasible"] > 0,
        rounded,
        swaps,
        history,
        shares,
    )


class _RelaxedProblem:
    """Loss and limit as functions of probabilities (soft) and of members (hard)."""

    def __init__(
        self,
        oracle: Any,
        loss: Any,
        tables: list[Floats] | None,
        metric: str,
        bound: float,
        sizes: list[int],
    ) -> None:
        self.oracle, self.loss, self.tables = oracle, loss, tables
        self.metric, self.bound, self.sizes = metric, bound, sizes

    def soft_loss(self, shares: list[Floats]) -> tuple[float, list[Floats]]:
        if self.tables is not None:
            pairs = zip(self.tables, shares, strict=True)
            return sum(float(t @ s) for t, s in pairs), self.tables
        value, slopes = self.loss(shares)
        return float(value), [np.asarray(s, dtype=float) for s in slopes]

    def hard_losses(self, choices: Sequence[tuple[int, ...]]) -> Floats:
        if self.tables is not None:
            index = np.array(choices, dtype=np.intp)
            total = np.zeros(len(index))
            for i, table in enumerate(self.tables):
                total += table[index[:, i]]
            return total
        rows = [
            [np.eye(n)[option] for n, option in zip(self.sizes, c, strict=True)] for c in choices
        ]
        return np.array([float(self.loss(row)[0]) for row in rows])

    def hard_loss(self, choice: tuple[int, ...]) -> float:
        return float(self.hard_losses([choice])[0])

    def excess(self, shares: list[Floats]) -> tuple[float, list[Floats]]:
        """Return E[metric] / limit - 1 and its gradient."""
        values, slopes = self.oracle.gradient(shares)
        return values[self.metric] / self.bound - 1.0, [s / self.bound for s in slopes[self.metric]]


def _descend(
    problem: _RelaxedProblem,
    steps: int,
    rate: float,
    temperatures: tuple[float, float],
    penalty: float,
    seed: int,
    *,
    noise: bool,
) -> tuple[list[Floats], Table]:
    """Return final logits and the history of Adam with an augmented Lagrangian."""
    rng = np.random.default_rng(seed)
    logits = [np.zeros(n) for n in problem.sizes]
    first = [np.zeros(n) for n in problem.sizes]
    second = [np.zeros(n) for n in problem.sizes]
    even = sum(float(np.log(n)) for n in problem.sizes) or 1.0
    scale = _spread(problem)
    multiplier, rows = 0.0, list[tuple[float, ...]]()
    cool = (temperatures[1] / temperatures[0]) ** (1.0 / max(steps - 1, 1))
    temperature = temperatures[0]
    for step in range(1, steps + 1):
        drawn = [x + rng.gumbel(size=x.shape) if noise else x for x in logits]
        shares = [_softmax(x / temperature) for x in drawn]
        value, by_loss = problem.soft_loss(shares)
        excess, by_limit = problem.excess(shares)
        push = max(0.0, multiplier + penalty * excess)
        for i, share in enumerate(shares):
            slope = by_loss[i] / scale + push * by_limit[i]
            # The softmax's Jacobian; its 1 / temperature is a step size, which Adam sets.
            slope = share * (slope - share @ slope)
            first[i] = _BETA1 * first[i] + (1 - _BETA1) * slope
            second[i] = _BETA2 * second[i] + (1 - _BETA2) * slope**2
            ahead = first[i] / (1 - _BETA1**step)
            size = np.sqrt(second[i] / (1 - _BETA2**step)) + _EPSILON
            logits[i] = logits[i] - rate * ahead / size
        # A single sample is a noisy estimate of the expectation, so the multiplier changes slowly.
        multiplier = max(0.0, multiplier + 0.1 * penalty * excess)
        entropy = -sum(float((s * np.log(np.maximum(s, 1e-300))).sum()) for s in shares) / even
        rows.append((value, (1.0 + excess) * problem.bound, multiplier, temperature, entropy))
        temperature *= cool
    columns = np.array(rows).T
    names = ("loss", "expected", "multiplier", "temperature", "entropy")
    dimensions = {"expected": dimension_of(problem.metric)}
    return logits, Table(dict(zip(names, columns, strict=True)), dimensions)


def _spread(problem: _RelaxedProblem) -> float:
    """Return the range of the loss, to first order around uniform probabilities."""
    even = [np.full(n, 1.0 / n) for n in problem.sizes]
    _, slopes = problem.soft_loss(even)
    return sum(float(np.ptp(s)) for s in slopes) or 1.0


def _swapped(problem: _RelaxedProblem, choice: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Repair a choice by single swaps until it satisfies the limit, then improve it within it."""
    swaps = 0
    cost, loss = _cost(problem, choice), problem.hard_loss(choice)
    seen = {choice}
    while True:
        rows: list[list[int]] = neighbouring_choices(choice, problem.sizes).tolist()
        near = [row for row in map(tuple, rows) if row not in seen]
        if not near:
            return choice, swaps
        columns = problem.oracle.batch(np.array(near, dtype=np.intp))
        costs = np.where(columns["feasible"] > 0, columns[problem.metric], np.inf)
        losses = problem.hard_losses(near)
        if cost > problem.bound:
            # Smallest loss per unit saved; savings below the limit do not count.
            saved = np.minimum(cost, 1e300) - np.maximum(costs, problem.bound)
            worth = np.where(saved > 0, (losses - loss) / np.where(saved > 0, saved, 1.0), np.inf)
        else:
            worth = np.where((costs <= problem.bound) & (losses < loss), losses, np.inf)
        best = int(np.argmin(worth))
        if not worth[best] < np.inf:
            return choice, swaps
        choice, cost, loss = near[best], float(costs[best]), float(losses[best])
        seen.add(choice)
        swaps += 1


def _cost(problem: _RelaxedProblem, choice: tuple[int, ...]) -> float:
    metrics = problem.oracle(choice)
    return metrics[problem.metric] if metrics["feasible"] > 0 else float("inf")


def _softmax(x: Floats) -> Floats:
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def _limit(oracle: Any, limit: str | float, metric: str, faults: FaultList) -> tuple[str, float]:
    """Return metric and bound of a limit, or append its faults."""
    if isinstance(limit, str):
        limits = faults.trying_at("limit", parse_constraints, limit, oracle.metrics)
        if limits is None:
            return metric, 0.0
        if len(limits) == 1 and limits[0].at_most:
            return limits[0].metric, limits[0].bound
        faults.append(
            Fault(f"'{limit}' is not an upper limit", "limit", expected="such as latency_s <= 5 ms")
        )
        return metric, 0.0
    if metric not in oracle.metrics:
        faults.append(
            no_such(f"the oracle does not tell '{metric}'", metric, oracle.metrics, "metric")
        )
    if not isfinite(limit) or limit <= 0:
        faults.append(Fault(f"{limit!r} is not a limit", path="limit", expected="a number above 0"))
    return metric, float(limit)


def _tables(
    loss: Sequence[Any], names: list[str], sizes: list[int], faults: list[Fault]
) -> list[Floats]:
    if len(loss) != len(sizes):
        faults.append(
            Fault(
                f"{len(loss)} tables of losses",
                path="loss",
                expected=f"one per decision: {len(sizes)}",
            )
        )
        return []
    tables: list[Floats] = []
    for name, size, losses in zip(names, sizes, loss, strict=True):
        table = np.asarray(losses, dtype=float)
        if table.shape != (size,) or not np.isfinite(table).all():
            faults.append(
                Fault("no losses", path=f"loss.{name}", expected=f"{size} finite numbers")
            )
        tables.append(table)
    return tables


def _number_faults(
    steps: int,
    rate: float,
    temperatures: tuple[float, float],
    penalty: float,
    faults: list[Fault],
) -> None:
    if steps < 1:
        faults.append(Fault(f"{steps} steps", path="steps", expected="1 or more"))
    for name, value in (("rate", rate), ("penalty", penalty)):
        if not 0 < value < float("inf"):
            faults.append(Fault(f"{value!r}", path=name, expected="a number above 0"))
    pair = cast("tuple[Any, ...]", tuple(temperatures))
    if len(pair) != 2 or not all(0 < t < float("inf") for t in pair):
        faults.append(
            Fault(f"{temperatures!r}", path="temperatures", expected="first and last, both above 0")
        )
