"""Exact search over cost tables at fixed hardware, checked with the actual costs.

The tables of kernels, losses and bytes form a choice problem (`perfmodel.search.exact`), which is
solved with a bound. If the residency of activations depends on the configuration, the tables are
lower and upper bounds on the costs: the solution over lower bounds gives the bound, and solutions
over both are evaluated with the actual costs and improved by local search over single changes.
`perfmodel.search.search_query` has one such problem per combination of hardware.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.accuracy_loss import LOSSES
from perfmodel.search.choice_rows import neighbouring_choices
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve
from perfmodel.search.infeasibility import explain_infeasibility
from perfmodel.search.metric_tables import MetricTables, Side
from perfmodel.search.oracle.kernel_pricing import Floats, Index
from perfmodel.search.search_result import EvaluatedConfiguration, SearchMethodResult

if TYPE_CHECKING:
    from perfmodel.search.search_query import SearchQuery

#: Relative distance to the bound at which a value counts as optimal.
_TOLERANCE = 1e-7

#: Maximum number of rounds of a local search.
_MAX_ROUNDS = 60


class FixedHardwareProblem:
    """Choice problem for one combination of hardware.

    Parameters
    ----------
    fixed
        Fixed decisions of the whole space -> their option.
    free
        Free decisions, in the order of the tables.
    """

    def __init__(self, tables: MetricTables, fixed: Mapping[int, int], free: Sequence[int]) -> None:
        self.tables, self.fixed, self.free = tables, dict(fixed), tuple(free)
        self.sizes = tuple(len(d.options) for d in tables.costs.space.decisions)
        self._place = {i: k for k, i in enumerate(self.free)}

    def restricted(self, total: Sum) -> Sum:
        """Return a sum over the decisions of the whole space, restricted to this problem."""
        constant, terms = total.constant, list[Term]()
        for decisions, values in total.terms:
            cut = values[tuple(self.fixed.get(d, slice(None)) for d in decisions)]
            free = tuple(self._place[d] for d in decisions if d not in self.fixed)
            if free:
                terms.append(Term(free, cut))
            else:
                constant += float(cut)
        return Sum(constant, tuple(terms))

    def full_choices(self, choices: Index) -> Index:
        """Return choices of this problem as choices of the whole space."""
        out = np.zeros((len(choices), len(self.free) + len(self.fixed)), dtype=np.intp)
        out[:, list(self.free)] = choices
        for i, option in self.fixed.items():
            out[:, i] = option
        return out

    def problem(self, query: SearchQuery, side: Side) -> ChoiceProblem:
        """Return the choice problem over lower (`least`) or upper (`most`) bounds of the costs."""
        limits = [query.limit_tables(self, c, side) for c in query.constraints]
        limits += [Limit(name, sums, bound) for name, bound, sums in self.tables.capacities()]
        seen: dict[str, int] = {}
        named: list[Limit] = []
        for limit in limits:
            n = seen[limit.name] = seen.get(limit.name, 0) + 1
            named.append(limit if n == 1 else Limit(f"{limit.name} ({n})", limit.sums, limit.bound))
        names = tuple(d.name for d in self.tables.costs.space.decisions)
        return ChoiceProblem(self.sizes, query.goal_tables(self, side), tuple(named), names)

    def answer(self, query: SearchQuery, deadline: Deadline) -> SearchMethodResult:
        """Solve the problem over tables, and evaluate the solutions with the actual costs."""
        seed = query.seed
        lower = self.problem(query, "least")
        solved = solve(lower, seconds=_left(deadline, 0.6), seed=seed, explain=query.explains)
        bound = self._in_objective_unit(query, solved.bound)
        why = None
        if solved.status == "infeasible" and solved.infeasibility is not None:
            why = explain_infeasibility(query, self, solved.infeasibility)
        answer = SearchMethodResult(
            None,
            math.inf,
            bound,
            solved.method,
            solved.work,
            _TOLERANCE,
            model=self._model(query),
            infeasible=why,
            notes=self._notes(),
        )
        if solved.status == "infeasible":
            return replace(answer, bound=math.inf)
        starts = [] if solved.solution is None else [solved.solution]
        best = self._best(query, starts)
        if best is None or not self._is_optimal(best, bound):
            if not (self.tables.exact or deadline.passed()):
                upper = self.problem(query, "most")
                sure = solve(upper, seconds=_left(deadline, 0.5), seed=seed)
                if sure.solution is not None:
                    starts.append(sure.solution)
            if not (self.tables.exact and solved.proved):
                best = self._best_local_optimum(query, starts, deadline)
        if best is None:
            return replace(answer, notes=())
        prices = dict(zip((limit.name for limit in lower.limits), solved.prices, strict=False))
        return replace(
            answer,
            solution=best,
            value=best.value,
            bound=min(bound, best.value),
            limits=query.uses(best, prices),
        )

    def _is_optimal(self, best: EvaluatedConfiguration, bound: float) -> bool:
        return best.value - bound <= _TOLERANCE * max(abs(best.value), 1e-300)

    def _in_objective_unit(self, query: SearchQuery, bound: float) -> float:
        """Return a bound in the unit of the objective; a calibrated loss is a monotone map."""
        if query.goal in LOSSES:
            return query.loss.mapped(bound)
        if query.objective != "latency_s" and query.goal.endswith("_per_s"):
            items = query.items(np.zeros((1, len(query.space.decisions)), dtype=np.intp))
            return -float(items[0]) / bound if bound else -math.inf
        return bound

    def _model(self, query: SearchQuery) -> str:
        parts = ["sums over kernels, each costed in every combination of its options"]
        if not self.tables.exact:
            parts.append("bounded by the best state of residency of every activation")
        if query.accuracy is not None:
            parts.append(f"losses of layers added up ({query.loss.source})")
        return "; ".join(parts)

    def _notes(self) -> tuple[str, ...]:
        if self.tables.exact:
            return ()
        return ("where activations stay depends on the configuration: tables bound the costs",)

    def _best(
        self, query: SearchQuery, choices: Sequence[tuple[int, ...]]
    ) -> EvaluatedConfiguration | None:
        """Return the best of some choices that satisfies the constraints at its actual costs."""
        if not choices:
            return None
        rows = self.full_choices(np.array(choices, dtype=np.intp))
        columns = query.columns(rows)
        good = query.satisfying(columns, query.constraints)
        if not good.any():
            return None
        values = np.where(good, query.objective_of(columns), np.inf)
        at = int(np.argmin(values))
        return query.best_of(rows[at], columns, at)

    def _best_local_optimum(
        self,
        query: SearchQuery,
        starts: Sequence[tuple[int, ...]],
        deadline: Deadline,
    ) -> EvaluatedConfiguration | None:
        """Return the best result of local searches by single changes from some choices."""
        tried = [*starts, tuple(self._smallest())]
        reached = [
            best
            for start in tried
            if (best := self._local_search(query, start, deadline)) is not None
        ]
        return min(reached, key=lambda best: best.value, default=None)

    def _smallest(self) -> list[int]:
        """Return the choice with the smallest option of each decision."""
        out: list[int] = []
        for decision in self.tables.costs.space.decisions:
            numbers = [_size(option) for option in decision.options]
            out.append(int(np.argmin(numbers)))
        return out

    def _local_search(
        self,
        query: SearchQuery,
        start: tuple[int, ...],
        deadline: Deadline,
    ) -> EvaluatedConfiguration | None:
        """Return the local optimum over single changes from a start; None if it is infeasible."""
        here = np.array(start, dtype=np.intp)
        for _ in range(_MAX_ROUNDS):
            batch = np.concatenate([here[None], neighbouring_choices(here, self.sizes)])
            full = self.full_choices(batch)
            try:
                columns = query.columns(full, deadline)
            except OutOfTimeError:
                break
            excess = self._total_violation(query, columns)
            values = query.objective_of(columns)
            # Smaller violation first, then the better objective.
            order = np.lexsort((values, excess))
            at = int(order[0])
            if at == 0:
                break
            here = batch[at]
        columns = query.columns(self.full_choices(here[None]))
        if not query.satisfying(columns, query.constraints)[0]:
            return None
        return query.best_of(self.full_choices(here[None])[0], columns, 0)

    def _total_violation(self, query: SearchQuery, columns: Mapping[str, Floats]) -> Floats:
        """Return the sum over constraints of the relative violations of choices."""
        total = np.where(columns["feasible"] > 0, 0.0, 1.0)
        for constraint in query.constraints:
            name = query.column_of(constraint.metric)
            total = total + constraint.excess(columns[name])
        return total


def _left(deadline: Deadline, share: float) -> float | None:
    left = deadline.left()
    return None if math.isinf(left) else share * left


def _size(option: Any) -> float:
    """Return the size of an option: bits of a format, a width, or a number."""
    from perfmodel.formats import stored_bits

    if isinstance(option, int | float):
        return float(option)
    if not option:
        return math.inf
    return stored_bits(str(option))
