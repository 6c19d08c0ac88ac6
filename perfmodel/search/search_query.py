"""Query of one search: selects the method for its space and costs, and assembles the answer.

The input is a space with an oracle of its costs, a metric to minimise, constraints and a loss of
accuracy. The method is exact where costs and losses are sums of tables
(`perfmodel.search.fixed_hardware`), else enumeration of a small space, else evolution
(`perfmodel.search.member_search`). The output is a `SearchResult`, which calls back here for the
front and for relaxed limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.columns import more_is_better
from perfmodel.errors import input_error
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.accuracy_loss import LOSSES, Loss
from perfmodel.search.choice_rows import all_choices
from perfmodel.search.constraints import (
    PER_ITEM,
    RATES,
    Constraint,
    check_known,
    check_rates,
)
from perfmodel.search.exact import Limit, Sum, Term
from perfmodel.search.fixed_hardware import FixedHardwareProblem
from perfmodel.search.infeasibility import combine_infeasibilities
from perfmodel.search.member_search import search_by_evolution, search_exhaustively
from perfmodel.search.metric_tables import MetricTables, Side, added, negated
from perfmodel.search.oracle import Oracle
from perfmodel.search.oracle.configuration_costs import ConfigurationCosts
from perfmodel.search.oracle.kernel_pricing import Floats, Index
from perfmodel.search.oracle.metric_reader import FEASIBLE
from perfmodel.search.oracle.oracle import MAX_TABULATED_CHOICES
from perfmodel.search.oracle.oracle_costs import Grouped, TabulatedCosts
from perfmodel.search.search_result import (
    EvaluatedConfiguration,
    LimitUse,
    SearchMethodResult,
    SearchResult,
)
from perfmodel.search.space import ConfigurationSpace
from perfmodel.table import Table

#: The lower bound of a negated metric is the negated upper bound.
_OTHER: Mapping[Side, Side] = {"least": "most", "most": "least"}

#: Share of the time for the tables of several combinations of hardware.
_TABLES = 0.7

#: Metrics that every result contains.
_SHOWN = ("latency_s", "energy_j", "peak_memory_bytes", "weight_bytes")

#: Metrics that are the maximum of several sums.
_PEAKS = ("peak_memory_bytes", "activation_bytes", "arena_bytes")


@dataclass
class SearchQuery:
    """A search: its space, device, goal and constraints.

    Attributes
    ----------
    goal
        Metric or loss to minimise.
    options
        As for `Oracle`.
    explains
        Whether to explain infeasibility.
    deadline
        Time of the first answer; each further one has a new limit of `time_limit_s`.
    """

    space: Any
    device: Any
    goal: str
    constraints: tuple[Constraint, ...]
    accuracy: Any
    options: Mapping[str, Any]
    time_limit_s: float | None
    evaluations: int
    seed: int
    shared: _SharedSearchState | None = None
    explains: bool = True
    deadline: Deadline | None = None

    def __post_init__(self) -> None:
        if self.shared is None:
            wanted = [self.goal, *(c.metric for c in self.constraints)]
            until = self.deadline or Deadline()
            until.check("the network was being read")
            check_rates(self.space, wanted)
            until.check("the network was being read")
            metrics = [_base(m) for m in wanted if m not in LOSSES]
            names = dict.fromkeys([*metrics, *_SHOWN])
            oracle = Oracle(
                self.device, self.space, [*names], **self.options, deadline=self.deadline
            )
            self.shared = _SharedSearchState(oracle, Loss(self.accuracy, self.space))
            check_known(oracle, self.space, [*dict.fromkeys(metrics)], self.goal)

    def with_goal(self, goal: str, constraints: Sequence[Constraint]) -> SearchQuery:
        """Return the query with another goal or other constraints on the same metrics.

        It does not explain infeasibility.
        """
        return replace(
            self, goal=goal, constraints=tuple(constraints), explains=False, deadline=None
        )

    @property
    def oracle(self) -> Oracle:
        """Costs of the space."""
        assert self.shared is not None
        return self.shared.oracle

    @property
    def loss(self) -> Loss:
        """Loss of accuracy of choices."""
        assert self.shared is not None
        return self.shared.loss

    @property
    def objective(self) -> str:
        """Name of the objective in results."""
        return self.loss.name if self.goal in LOSSES else self.goal

    # metrics of choices

    def columns(self, choices: Index, deadline: Deadline | None = None) -> dict[str, Floats]:
        """Return all metrics of choices, their loss, and ``feasible``.

        Raises
        ------
        OutOfTimeError
            The deadline passed before all choices were costed.
        """
        columns = self.oracle.batch(choices, deadline)
        if self.accuracy is not None:
            columns[self.loss.name] = self.loss.of(choices)
        for rate in RATES:
            wanted = rate == self.goal or any(c.metric == rate for c in self.constraints)
            if wanted and rate not in columns:
                columns[rate] = self.items(choices) / columns["latency_s"]
        return columns

    def items(self, choices: Index) -> Floats:
        """Return the items per run of each choice: frames or tokens."""
        settings = self.options["settings"]
        if isinstance(self.space, ConfigurationSpace):
            return self.space.items(choices, **settings)
        sample = self.space.workload((0,) * len(self.space.decisions), **settings)
        each = first_number(sample.items())
        return np.full(len(choices), each)

    @property
    def sized(self) -> bool:
        """Whether a decision affects the items per run."""
        return isinstance(self.space, ConfigurationSpace) and self.space.sized

    def _items_of(self, inner: FixedHardwareProblem) -> tuple[tuple[int, ...], Floats]:
        """Return the items per run as a table over a problem's decisions that affect them."""
        space = self.space
        sizing = [
            i
            for i in inner.free
            if isinstance(space, ConfigurationSpace) and space.decisions[i].role == "parameter"
        ]
        shape = [len(space.decisions[i].options) for i in sizing]
        rows = np.zeros((math.prod(shape), len(space.decisions)), dtype=np.intp)
        rows[:, sizing] = all_choices(shape)
        place = {i: k for k, i in enumerate(inner.free)}
        return tuple(place[i] for i in sizing), self.items(rows).reshape(shape)

    def objective_of(self, columns: Mapping[str, Floats]) -> Floats:
        """Return the objective, to be minimised."""
        values = columns[self.objective]
        return -values if more_is_better(self.objective) else values

    def satisfying(self, columns: Mapping[str, Floats], constraints: Sequence[Constraint]) -> Any:
        """Return which choices satisfy constraints and fit their memories."""
        good = columns[FEASIBLE] > 0
        for constraint in constraints:
            good &= constraint.holds(columns[self.column_of(constraint.metric)]).astype(bool)
        return good

    def column_of(self, metric: str) -> str:
        """Return the column of a constraint's metric."""
        return self.loss.name if metric in LOSSES else metric

    # answers

    def answer(self, method: str) -> SearchResult:
        """Answer by a named method, or for ``auto`` by the first applicable one."""
        start = time.process_time()
        deadline = self.deadline or Deadline(self.time_limit_s)
        exact = self._exact_inners(deadline) if method in ("auto", "exact") else None
        if exact is not None:
            best = self._exact(exact, deadline)
        elif method == "exact":
            raise input_error(
                f"no exact search: {self._why_not()}",
                path="method",
                expected="auto, exhaustive or evolve",
            )
        elif method == "exhaustive" or (method == "auto" and self.size <= MAX_TABULATED_CHOICES):
            best = search_exhaustively(self, deadline)
        else:
            best = search_by_evolution(self, deadline)
        return SearchResult(
            **vars(best),
            space=self.space,
            device=self.oracle.device.name,
            objective=self.objective,
            unit=self.loss.unit if self.goal in LOSSES else "",
            source=self.loss.source,
            seconds=time.process_time() - start,
            ask=self._asked,
            predict=self.oracle.predict,
        )

    def _why_not(self) -> str:
        if not isinstance(self.space, ConfigurationSpace):
            return "a space of architectures is not a sum of tables"
        if not self.loss.tabled:
            return "the loss is not a sum of tables"
        if all(d.role in {"fact", "precision"} for d in self.space.decisions):
            return "nothing of the network is decided layer by layer"
        if self.oracle.method != "tabled":
            return self.oracle.reason
        return "a metric is not a sum of tables"

    @property
    def exact(self) -> bool:
        """Whether an exact search over tables is possible."""
        return self._exact_inners() is not None

    def _exact_inners(self, deadline: Deadline | None = None) -> list[FixedHardwareProblem] | None:
        """Return the problems that make up the search, one per combination of hardware.

        If the deadline passes, only those with complete tables are returned.

        Raises
        ------
        OutOfTimeError
            The deadline passed before any was complete.
        """
        assert self.shared is not None
        if not self._additive:
            return None
        if self.shared.inners is None:
            inners, every = self._inners(deadline or Deadline())
            if not every:
                return inners
            self.shared.inners = inners
        return self.shared.inners or None

    @property
    def _additive(self) -> bool:
        """Whether goal and constraints are sums, or peaks with an upper bound."""
        if self.goal in _PEAKS or (self.goal in RATES and self.sized):
            return False
        metrics = {self.goal, *(constraint.metric for constraint in self.constraints)}
        if self.sized and not metrics.isdisjoint(PER_ITEM):
            return False
        return not any(c.metric in _PEAKS and not c.at_most for c in self.constraints)

    @property
    def _outer(self) -> list[int]:
        """Decisions whose combinations have separate tables."""
        costs = self.oracle.costs
        return list(costs.outer) if isinstance(costs, Grouped) else []

    def _inners(self, deadline: Deadline) -> tuple[list[FixedHardwareProblem], bool]:
        """Return the problems over tables (none without tables), and whether all are complete."""
        if not isinstance(self.space, ConfigurationSpace) or not self.loss.tabled:
            return [], True
        if self.oracle.method != "tabled":
            return [], True
        costs, outer = self.oracle.costs, self._outer
        inner_at = [i for i in range(len(self.space.decisions)) if i not in outer]
        if not inner_at:
            # Only hardware is decided: each combination is predicted.
            return [], True
        # The rest of the time is needed to solve the problems.
        until = deadline.within(_TABLES * deadline.left())
        inners: list[FixedHardwareProblem] = []
        for key in product(*(range(len(self.space.decisions[i].options)) for i in outer)):
            try:
                each = costs.of(key, until) if isinstance(costs, Grouped) else costs
            except OutOfTimeError:
                if not inners:
                    raise
                return inners, False
            if not isinstance(each, TabulatedCosts) or not isinstance(
                each.tables, ConfigurationCosts
            ):
                return [], True
            tables = each.tables
            if not each.reader.affine or tables.varies or tables.combination is not None:
                return [], True
            fixed = dict(zip(outer, key, strict=True))
            inners.append(
                FixedHardwareProblem(MetricTables(each.tables, each.reader), fixed, inner_at)
            )
        return inners, True

    def _exact(
        self, inners: Sequence[FixedHardwareProblem], deadline: Deadline
    ) -> SearchMethodResult:
        """Solve the problem of each combination of hardware, and return the best solution."""
        answers: list[SearchMethodResult] = []
        for k, inner in enumerate(inners):
            within = deadline.within(deadline.left() / (len(inners) - k))
            answers.append(inner.answer(self, within))
        combinations = math.prod(len(self.space.decisions[i].options) for i in self._outer)
        if len(inners) < combinations:
            # The remaining combinations have no bound.
            model = f"{len(inners)} of {combinations} combinations of hardware, when time ran out"
            answers.append(SearchMethodResult(None, math.inf, -math.inf, "none", model=model))
        bound = min(a.bound for a in answers)
        best = min(answers, key=lambda a: a.value)
        if best.solution is None:
            why = combine_infeasibilities(self.constraints, [a.infeasible for a in answers])
            last = answers[-1] if len(inners) < combinations else answers[0]
            return replace(last, bound=bound, infeasible=why)
        counts: dict[str, int] = {"problems": len(answers)}
        for each in answers:
            for name, count in each.work.items():
                counts[name] = counts.get(name, 0) + count
        return replace(best, bound=bound, work=counts, tolerance=1e-9)

    def limit_tables(self, inner: FixedHardwareProblem, constraint: Constraint, side: Any) -> Limit:
        """Return a constraint as a limit on sums of tables."""
        metric, bound = constraint.metric, constraint.bound
        if metric in RATES:
            return self._rate_limit(inner, constraint, side)
        if metric in LOSSES:
            sums, bound = (inner.restricted(self.loss.tables),), self.loss.raw(bound)
        elif constraint.at_most:
            return Limit(constraint.text, inner.tables.metric(metric, side), bound)
        else:
            sums = inner.tables.metric(metric, _OTHER[side])
        if constraint.at_most:
            return Limit(constraint.text, sums, bound)
        return Limit(constraint.text, tuple(negated(each) for each in sums), -bound)

    def _rate_limit(self, inner: FixedHardwareProblem, constraint: Constraint, side: Any) -> Limit:
        """Return a limit on a rate as a limit on the latency: latency <= items / rate."""
        flipped = constraint.at_most
        (latency,) = inner.tables.metric("latency_s", _OTHER[side] if flipped else side)
        if constraint.bound <= 0:
            return Limit(constraint.text, (latency,), -math.inf if flipped else math.inf)
        decisions, items = self._items_of(inner)
        seconds = items / constraint.bound
        bound = float(seconds.max())
        if decisions:
            latency = added(latency, Sum(bound, (Term(decisions, -seconds),)))
        if flipped:
            return Limit(constraint.text, (negated(latency),), -bound)
        return Limit(constraint.text, (latency,), bound)

    def adds_up(self, metric: str) -> bool:
        """Return whether a metric over tables is a single sum, and so a possible objective."""
        if metric in LOSSES or metric in RATES:
            return True
        inners = self._exact_inners() or []
        return all(len(inner.tables.metric(metric, "least")) == 1 for inner in inners)

    def goal_tables(self, inner: FixedHardwareProblem, side: Any) -> Sum:
        """Return the objective as a sum of tables."""
        if self.goal in LOSSES:
            return inner.restricted(self.loss.tables)
        name = "latency_s" if self.goal in RATES else self.goal
        first, *more = inner.tables.metric(name, side)
        if more:
            raise input_error(
                f"'{self.goal}' is the largest of {1 + len(more)} sums",
                path="objective",
                expected="an objective that adds up; limit it instead",
            )
        return first

    @property
    def size(self) -> int:
        """Number of configurations."""
        return math.prod(len(d.options) for d in self.space.decisions)

    def every(self) -> Index:
        """Return all choices, ``(size, decisions)``."""
        return all_choices([len(d.options) for d in self.space.decisions])

    @property
    def sense(self) -> str:
        """Direction of the objective: ``min`` or ``max``."""
        return "max" if more_is_better(self.objective) else "min"

    def conditions(self, constraints: Sequence[Constraint]) -> list[str]:
        """Return constraints as conditions on `columns`."""
        return [
            f"{self.column_of(c.metric)} {'<=' if c.at_most else '>='} {c.bound!r}"
            for c in constraints
        ]

    # results

    def best_of(
        self, choice: Any, columns: Mapping[str, Floats], at: int
    ) -> EvaluatedConfiguration:
        """Return one row of columns as an evaluated configuration."""
        options = tuple(int(i) for i in choice)
        decode = self.space.decode(options)
        configuration: dict[str, Any] = {"architecture": decode}
        if isinstance(decode, dict):
            configuration = cast("dict[str, Any]", decode)
        metrics = {name: float(values[at]) for name, values in columns.items()}
        return EvaluatedConfiguration(
            options, configuration, metrics, float(self.objective_of(columns)[at])
        )

    def uses(
        self, best: EvaluatedConfiguration, prices: Mapping[str, float] | None = None
    ) -> tuple[LimitUse, ...]:
        """Return the usage of each constraint by a configuration."""
        known = prices or {}
        return tuple(
            LimitUse(
                c,
                best.metrics[self.column_of(c.metric)],
                self._priced(c, best, known.get(c.text, math.nan)),
            )
            for c in self.constraints
        )

    def _priced(self, constraint: Constraint, best: EvaluatedConfiguration, price: float) -> float:
        """Return a price of tables in the units of bound and objective."""
        calibrated = self.loss.unit and LOSSES.count(self.goal) + LOSSES.count(constraint.metric)
        if math.isnan(price) or calibrated:
            # Tables contain losses before conversion to the unit.
            return math.nan
        items = float(self.items(np.array([best.choice], dtype=np.intp))[0])
        if constraint.metric in RATES and price:
            # latency <= items / rate: d latency / d rate = -items / rate^2.
            price *= items / constraint.bound**2
        if self.goal in RATES:
            price *= best.value**2 / items
        return price

    def _asked(self, what: str, share: float = 0.1) -> Any:
        # The deadline applied to the first answer only.
        further = replace(self, deadline=None)
        return further._relief(share) if what == "relief" else further._front()

    def _relief(self, share: float) -> dict[str, float]:
        """Return the objective with each constraint relaxed in turn."""
        out: dict[str, float] = {}
        for i, constraint in enumerate(self.constraints):
            eased = [*self.constraints]
            eased[i] = constraint.relaxed(share)
            out[constraint.text] = self.with_goal(self.goal, eased).answer("auto").value
        return out

    def _front(self) -> Table:
        from perfmodel.search.pareto_front import front_table

        return front_table(self)


@dataclass
class _SharedSearchState:
    """Costs and losses shared by queries on the same space."""

    oracle: Oracle
    loss: Loss
    inners: list[FixedHardwareProblem] | None = None


def _base(metric: str) -> str:
    return "latency_s" if metric in RATES else metric
