"""A search over tables: solved exactly, and looked at again with the costs themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.constraints import Constraint
from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve
from perfmodel.search.explained import explained
from perfmodel.search.grid import near_choices
from perfmodel.search.loss import LOSSES
from perfmodel.search.oracle.rows import Floats, Index
from perfmodel.search.problem import MetricTables, Side
from perfmodel.search.result import EvaluatedConfiguration, SearchMethodResult

if TYPE_CHECKING:
    from perfmodel.search.question import SearchQuery

#: How near the bound a value counts as the least, relative.
_NEAR = 1e-7

#: Rounds of single changes after which a local search ends.
_ROUNDS = 60


class FixedHardwareProblem:
    """The problem of one combination of hardware.

    Parameters
    ----------
    fixed
        Decisions of the whole space that are fixed here -> their option.
    free
        The others, in the order of the tables' decisions.
    """

    def __init__(self, tables: MetricTables, fixed: Mapping[int, int], free: Sequence[int]) -> None:
        self.tables, self.fixed, self.free = tables, dict(fixed), tuple(free)
        self.sizes = tuple(len(d.options) for d in tables.costs.space.decisions)
        self._place = {i: k for k, i in enumerate(self.free)}

    def own(self, whole: Sum) -> Sum:
        """Return a sum over the whole space's decisions as one over this problem's."""
        constant, terms = whole.constant, list[Term]()
        for decisions, values in whole.terms:
            cut = values[tuple(self.fixed.get(d, slice(None)) for d in decisions)]
            rest = tuple(self._place[d] for d in decisions if d not in self.fixed)
            if rest:
                terms.append(Term(rest, cut))
            else:
                constant += float(cut)
        return Sum(constant, tuple(terms))

    def whole(self, choices: Index) -> Index:
        """Return choices of this problem as choices of the whole space."""
        out = np.zeros((len(choices), len(self.free) + len(self.fixed)), dtype=np.intp)
        out[:, list(self.free)] = choices
        for i, option in self.fixed.items():
            out[:, i] = option
        return out

    def problem(
        self, question: SearchQuery, constraints: Sequence[Constraint], side: Side
    ) -> ChoiceProblem:
        """Return the problem of tables: costs at their least, or at their most."""
        limits = [question.limit_tables(self, c, side) for c in constraints]
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

    def answer(
        self,
        question: SearchQuery,
        constraints: Sequence[Constraint],
        deadline: Deadline,
        seed: int,
    ) -> SearchMethodResult:
        """Solve, and look at what was found with the costs themselves."""
        lower = self.problem(question, constraints, "least")
        found = solve(lower, seconds=_left(deadline, 0.6), seed=seed, explain=question.explains)
        bound = self._valued(question, found.bound)
        why = None
        if found.status == "infeasible" and found.infeasibility is not None:
            why = explained(question, self, constraints, found.infeasibility)
        answer = SearchMethodResult(
            None,
            math.inf,
            bound,
            found.method,
            found.work,
            _NEAR,
            model=self._model(question),
            infeasible=why,
            notes=self._notes(),
        )
        if found.status == "infeasible":
            return replace(answer, bound=math.inf)
        starts = [] if found.solution is None else [found.solution]
        best = self._best(question, constraints, starts)
        if best is None or not self._met(best, bound):
            if not (self.tables.exact or deadline.passed()):
                upper = self.problem(question, constraints, "most")
                sure = solve(upper, seconds=_left(deadline, 0.5), seed=seed)
                if sure.solution is not None:
                    starts.append(sure.solution)
            if not (self.tables.exact and found.proved):
                best = self._climbed(question, constraints, starts, deadline)
        if best is None:
            return replace(answer, notes=())
        prices = dict(zip((limit.name for limit in lower.limits), found.prices, strict=False))
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
        """Return a bound in the unit of the objective: a calibrated loss is a monotone map."""
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
        self,
        question: SearchQuery,
        constraints: Sequence[Constraint],
        choices: Sequence[tuple[int, ...]],
    ) -> EvaluatedConfiguration | None:
        """Return the best of some choices that satisfies the constraints when costed."""
        if not choices:
            return None
        rows = self.whole(np.array(choices, dtype=np.intp))
        columns = question.columns(rows)
        good = question.allowed(columns, constraints)
        if not good.any():
            return None
        values = np.where(good, question.goal_of(columns), np.inf)
        at = int(np.argmin(values))
        return question.best_of(rows[at], columns, at)

    def _climbed(
        self,
        question: SearchQuery,
        constraints: Sequence[Constraint],
        starts: Sequence[tuple[int, ...]],
        deadline: Deadline,
    ) -> EvaluatedConfiguration | None:
        """Return the best that single changes reach from some choices."""
        tried = [*starts, tuple(self._smallest())]
        found = [
            best
            for start in tried
            if (best := self._climb(question, constraints, start, deadline)) is not None
        ]
        return min(found, key=lambda best: best.value, default=None)

    def _smallest(self) -> list[int]:
        """Return the choice of fewest bytes."""
        out: list[int] = []
        for decision in self.tables.costs.space.decisions:
            numbers = [_size(option) for option in decision.options]
            out.append(int(np.argmin(numbers)))
        return out

    def _climb(
        self,
        question: SearchQuery,
        constraints: Sequence[Constraint],
        start: tuple[int, ...],
        deadline: Deadline,
    ) -> EvaluatedConfiguration | None:
        here = np.array(start, dtype=np.intp)
        for _ in range(_ROUNDS):
            batch = np.concatenate([here[None], near_choices(here, self.sizes)])
            whole = self.whole(batch)
            try:
                columns = question.columns(whole, deadline)
            except OutOfTimeError:
                break
            excess = self._excess(question, columns, constraints)
            values = question.goal_of(columns)
            # Less of what is too much first, then a better objective.
            order = np.lexsort((values, excess))
            at = int(order[0])
            if at == 0:
                break
            here = batch[at]
        columns = question.columns(self.whole(here[None]))
        if not question.allowed(columns, constraints)[0]:
            return None
        return question.best_of(self.whole(here[None])[0], columns, 0)

    def _excess(
        self,
        question: SearchQuery,
        columns: Mapping[str, Floats],
        constraints: Sequence[Constraint],
    ) -> Floats:
        total = np.where(columns["feasible"] > 0, 0.0, 1.0)
        for constraint in constraints:
            name = question.named(constraint.metric)
            total = total + constraint.excess(columns[name])
        return total


def _left(deadline: Deadline, share: float) -> float | None:
    left = deadline.left()
    return None if math.isinf(left) else share * left


def _size(option: Any) -> float:
    """Return how large an option is: bits of a format, a width, a number."""
    from perfmodel.formats import stored_bits

    if isinstance(option, int | float):
        return float(option)
    if not option:
        return math.inf
    return stored_bits(str(option))
