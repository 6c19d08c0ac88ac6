"""Search over cost tables at fixed hardware: an exact solution, checked with the actual costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve
from perfmodel.search.explained import explained
from perfmodel.search.grid import near_choices
from perfmodel.search.loss import LOSSES
from perfmodel.search.oracle.rows import Floats, Index
from perfmodel.search.problem import MetricTables, Side
from perfmodel.search.result import EvaluatedConfiguration, SearchMethodResult

if TYPE_CHECKING:
    from perfmodel.search.question import SearchQuery

#: Relative distance to the bound at which a value counts as optimal.
_NEAR = 1e-7

#: Maximum number of rounds of a local search.
_ROUNDS = 60


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

    def own(self, total: Sum) -> Sum:
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

    def problem(self, question: SearchQuery, side: Side) -> ChoiceProblem:
        """Return the choice problem over lower (`least`) or upper (`most`) bounds of the costs."""
        limits = [question.limit_tables(self, c, side) for c in question.constraints]
        limits += [
            Limit(f"{memory} holds the network", sums, bound)
            for memory, bound, sums in self.tables.capacities()
        ]
        seen: dict[str, int] = {}
        named: list[Limit] = []
        for limit in limits:
            n = seen[limit.name] = seen.get(limit.name, 0) + 1
            named.append(limit if n == 1 else Limit(f"{limit.name} ({n})", limit.sums, limit.bound))
        names = tuple(d.name for d in self.tables.costs.space.decisions)
        return ChoiceProblem(self.sizes, question.goal_tables(self, side), tuple(named), names)

    def answer(self, question: SearchQuery, deadline: Deadline) -> SearchMethodResult:
        """Solve the problem over tables, and evaluate the solutions with the actual costs."""
        seed = question.seed
        lower = self.problem(question, "least")
        solved = solve(lower, seconds=_left(deadline, 0.6), seed=seed, explain=question.explains)
        bound = self._valued(question, solved.bound)
        why = None
        if solved.status == "infeasible" and solved.infeasibility is not None:
            why = explained(question, self, solved.infeasibility)
        answer = SearchMethodResult(
            None,
            math.inf,
            bound,
            solved.method,
            solved.work,
            _NEAR,
            model=self._model(question),
            infeasible=why,
            notes=self._notes(),
        )
        if solved.status == "infeasible":
            return replace(answer, bound=math.inf)
        starts = [] if solved.solution is None else [solved.solution]
        best = self._best(question, starts)
        if best is None or not self._met(best, bound):
            if not (self.tables.exact or deadline.passed()):
                upper = self.problem(question, "most")
                sure = solve(upper, seconds=_left(deadline, 0.5), seed=seed)
                if sure.solution is not None:
                    starts.append(sure.solution)
            if not (self.tables.exact and solved.proved):
                best = self._climbed(question, starts, deadline)
        if best is None:
            return replace(answer, notes=())
        prices = dict(zip((limit.name for limit in lower.limits), solved.prices, strict=False))
        return replace(
            answer,
            solution=best,
            value=best.value,
            bound=min(bound, best.value),
            limits=question.uses(best, prices),
        )

    def _met(self, best: EvaluatedConfiguration, bound: float) -> bool:
        return best.value - bound <= _NEAR * max(abs(best.value), 1e-300)

    def _valued(self, question: SearchQuery, bound: float) -> float:
        """Return a bound in the unit of the objective; a calibrated loss is a monotone map."""
        if question.goal in LOSSES:
            return question.loss.mapped(bound)
        if question.objective != "latency_s" and question.goal.endswith("_per_s"):
            items = question.items(np.zeros((1, len(question.space.decisions)), dtype=np.intp))
            return -float(items[0]) / bound if bound else -math.inf
        return bound

    def _model(self, question: SearchQuery) -> str:
        parts = ["sums over kernels, each costed in every combination of its options"]
        if not self.tables.exact:
            parts.append("bounded by the best state of residency of every activation")
        if question.accuracy is not None:
            parts.append(f"losses of layers added up ({question.loss.source})")
        return "; ".join(parts)

    def _notes(self) -> tuple[str, ...]:
        if self.tables.exact:
            return ()
        return ("where activations stay depends on the configuration: tables bound the costs",)

    def _best(
        self, question: SearchQuery, choices: Sequence[tuple[int, ...]]
    ) -> EvaluatedConfiguration | None:
        """Return the best of some choices that satisfies the constraints at its actual costs."""
        if not choices:
            return None
        rows = self.full_choices(np.array(choices, dtype=np.intp))
        columns = question.columns(rows)
        good = question.allowed(columns, question.constraints)
        if not good.any():
            return None
        values = np.where(good, question.goal_of(columns), np.inf)
        at = int(np.argmin(values))
        return question.best_of(rows[at], columns, at)

    def _climbed(
        self,
        question: SearchQuery,
        starts: Sequence[tuple[int, ...]],
        deadline: Deadline,
    ) -> EvaluatedConfiguration | None:
        """Return the best result of local searches by single changes from some choices."""
        tried = [*starts, tuple(self._smallest())]
        reached = [
            best for start in tried if (best := self._climb(question, start, deadline)) is not None
        ]
        return min(reached, key=lambda best: best.value, default=None)

    def _smallest(self) -> list[int]:
        """Return the choice with the smallest option of each decision."""
        out: list[int] = []
        for decision in self.tables.costs.space.decisions:
            numbers = [_size(option) for option in decision.options]
            out.append(int(np.argmin(numbers)))
        return out

    def _climb(
        self,
        question: SearchQuery,
        start: tuple[int, ...],
        deadline: Deadline,
    ) -> EvaluatedConfiguration | None:
        """Return the local optimum over single changes from a start; None if it is infeasible."""
        here = np.array(start, dtype=np.intp)
        for _ in range(_ROUNDS):
            batch = np.concatenate([here[None], near_choices(here, self.sizes)])
            full = self.full_choices(batch)
            try:
                columns = question.columns(full, deadline)
            except OutOfTimeError:
                break
            excess = self._excess(question, columns)
            values = question.goal_of(columns)
            # Smaller violation first, then the better objective.
            order = np.lexsort((values, excess))
            at = int(order[0])
            if at == 0:
                break
            here = batch[at]
        columns = question.columns(self.full_choices(here[None]))
        if not question.allowed(columns, question.constraints)[0]:
            return None
        return question.best_of(self.full_choices(here[None])[0], columns, 0)

    def _excess(self, question: SearchQuery, columns: Mapping[str, Floats]) -> Floats:
        """Return the sum over constraints of the relative violations of choices."""
        total = np.where(columns["feasible"] > 0, 0.0, 1.0)
        for constraint in question.constraints:
            name = question.named(constraint.metric)
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
