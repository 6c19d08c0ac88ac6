"""Differentiable search: relaxed decisions, a loss, and a limit that the hard model keeps.

Each decision has logits; their softmax, sharpened by a falling temperature and drawn with Gumbel
noise where asked (Jang et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712),
weighs its options. Descent follows the loss plus an augmented Lagrangian of the limit (Bertsekas
1982, chapter 2): with g = E[metric] / limit - 1 the term is (max(0, m + r g)^2 - m^2) / (2 r), and
its multiplier m is raised by a part of r g at each step. What comes out is rounded, and the choice
is mended and improved by single swaps that ask the oracle itself.
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
from perfmodel.errors import Fault, no_such
from perfmodel.former import former_names
from perfmodel.search.constraints import parse_constraints
from perfmodel.search.grid import near_choices
from perfmodel.settings import FaultList
from perfmodel.table import Result, Table

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Relaxation="DifferentiableSearchResult")

Floats: TypeAlias = npt.NDArray[np.float64]
#: Probabilities, one array a decision -> loss and its slopes, one array a decision.
Loss: TypeAlias = Callable[[list[Floats]], tuple[float, Sequence[Any]]]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, repr=False)
class DifferentiableSearchResult(Result):
    """What a differentiable search found.

    Attributes
    ----------
    choice
        Option indices.
    metrics
        What the oracle tells of it.
    loss
        Its loss.
    metric, limit
        What was limited, and to how much in its unit.
    gap
        Metric over limit less one: not above 0 where the limit is kept.
    satisfied
        The limit is kept and the member fits the device. False where no single swaps led there.
    rounded
        The choice before swaps.
    swaps
        Single swaps that mended and improved it.
    history
        Table, a row per step: ``loss`` and ``expected`` (metric) of the relaxation, ``multiplier``,
        ``temperature``, ``entropy`` of the probabilities over that of even ones.
    probabilities
        Softmax of the final logits, one array a decision.
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
        """Whether the limit is kept, as `satisfied`."""
        return self.satisfied

    @property
    def decided(self) -> bool:
        """Whether a member was found: that none exists is never proved."""
        return self.satisfied

    @property
    def headline(self) -> str:
        """The metric beside its limit, and the loss."""
        kept = "kept" if self.satisfied else "exceeded"
        return (
            f"{self.metric} {self.metrics[self.metric]:.4g}, limit {self.limit:.4g} "
            f"{kept} ({self.gap:+.2%}); loss {self.loss:.6g}; {self.swaps} swaps"
        )

    @cached_property
    def table(self) -> Table:
        """One row for each step, as `history`."""
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
    """Search by descent on relaxed decisions for the least loss under a limit.

    Parameters
    ----------
    oracle
        An `Oracle`; its `gradient` gives expected costs and their slopes.
    loss
        Tables that add up, one array of losses a decision; or a function of probabilities (one
        array a decision) that returns a loss and its slopes by them. A function is also asked for
        the loss of single members, as probabilities of 0 and 1.
    limit
        ``"latency_s <= 5 ms"``, or a number in the unit of `metric`.
    metric
        What a number limits.
    steps, rate
        Steps of Adam (Kingma and Ba 2015) on the logits, and their size.
    temperatures
        First and last; it falls by a constant factor.
    noise
        Gumbel noise on the logits; without it the search is a plain softmax relaxation.
    penalty
        Weight r of the squared excess, relative to the spread of losses over the options.
    seed
        The same arguments and seed give the same result.

    Returns
    -------
    Relaxation

    Raises
    ------
    InputError
        Losses that do not fit the decisions, a limit that is none: every fault at once.
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
    """Loss and limit, of probabilities and of members."""

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
        """Return E[metric] / limit - 1 and its slopes."""
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
        # One draw tells little of the expectation: the multiplier follows it slowly.
        multiplier = max(0.0, multiplier + 0.1 * penalty * excess)
        entropy = -sum(float((s * np.log(np.maximum(s, 1e-300))).sum()) for s in shares) / even
        rows.append((value, (1.0 + excess) * problem.bound, multiplier, temperature, entropy))
        temperature *= cool
    columns = np.array(rows).T
    names = ("loss", "expected", "multiplier", "temperature", "entropy")
    dimensions = {"expected": dimension_of(problem.metric)}
    return logits, Table(dict(zip(names, columns, strict=True)), dimensions)


def _spread(problem: _RelaxedProblem) -> float:
    """Return what the loss can change by, to first order about even probabilities."""
    even = [np.full(n, 1.0 / n) for n in problem.sizes]
    _, slopes = problem.soft_loss(even)
    return sum(float(np.ptp(s)) for s in slopes) or 1.0


def _swapped(problem: _RelaxedProblem, choice: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Mend a choice by single swaps until it keeps the limit, then improve it while it does."""
    swaps = 0
    cost, loss = _cost(problem, choice), problem.hard_loss(choice)
    seen = {choice}
    while True:
        rows: list[list[int]] = near_choices(choice, problem.sizes).tolist()
        near = [row for row in map(tuple, rows) if row not in seen]
        if not near:
            return choice, swaps
        found = problem.oracle.batch(np.array(near, dtype=np.intp))
        costs = np.where(found["feasible"] > 0, found[problem.metric], np.inf)
        losses = problem.hard_losses(near)
        if cost > problem.bound:
            # The least loss for what it saves; nothing is saved below the limit.
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
    found = problem.oracle(choice)
    return found[problem.metric] if found["feasible"] > 0 else float("inf")


def _softmax(x: Floats) -> Floats:
    made = np.exp(x - x.max())
    return made / made.sum()


def _limit(oracle: Any, limit: str | float, metric: str, faults: FaultList) -> tuple[str, float]:
    if isinstance(limit, str):
        limits = faults.trying_at("limit", parse_constraints, limit, oracle.metrics)
        if limits is None:
            return metric, 0.0
        if len(limits) == 1 and limits[0].at_most:
            return limits[0].metric, limits[0].bound
        faults.append(
            Fault(f"'{limit}' is no upper limit", "limit", expected="such as latency_s <= 5 ms")
        )
        return metric, 0.0
    if metric not in oracle.metrics:
        faults.append(
            no_such(f"the oracle does not tell '{metric}'", metric, oracle.metrics, "metric")
        )
    if not isfinite(limit) or limit <= 0:
        faults.append(Fault(f"{limit!r} is no limit", path="limit", expected="a number above 0"))
    return metric, float(limit)


def _tables(
    loss: Sequence[Any], names: list[str], sizes: list[int], faults: list[Fault]
) -> list[Floats]:
    if len(loss) != len(sizes):
        faults.append(
            Fault(
                f"{len(loss)} tables of losses",
                path="loss",
                expected=f"one a decision: {len(sizes)}",
            )
        )
        return []
    found: list[Floats] = []
    for name, size, given in zip(names, sizes, loss, strict=True):
        table = np.asarray(given, dtype=float)
        if table.shape != (size,) or not np.isfinite(table).all():
            faults.append(
                Fault("no losses", path=f"loss.{name}", expected=f"{size} finite numbers")
            )
        found.append(table)
    return found


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
