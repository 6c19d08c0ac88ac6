"""Explanations of schedules that do not fit, or that are not proved to be the cheapest.

An explanation is data: the demand (or the best cost), the bound that it misses, the terms that add
up to the demand, and levers, which are changes that were tried (`levers`). `ScheduleJob` asks for
one in four cases: a working set over the capacity, a peak over it, blocks that cannot be packed,
and a cost above its lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.addresses import AddressLayout
from perfmodel.schedule.infeasible.levers import (
    DemandTerm,
    InfeasibleInstance,
    Lever,
    label,
    packing_levers,
    peak_levers,
    proof_levers,
    working_set_levers,
)
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, Trace, replay
from perfmodel.units import binary, sizes

#: Maximum number of terms listed in the text.
_MAX_TERMS = 10


@dataclass(frozen=True)
class ShortfallExplanation:
    """A gap, the terms that it consists of, and levers that would close it.

    Attributes
    ----------
    statement
        Explanation in one sentence.
    answer
        The best known answer, with its lower bound.
    terms
        Terms of the gap or demand.
    levers
        Changes that would help.
    unit
        Unit of all amounts: ``B``, ``s``, ``J``.
    """

    numbers: ClassVar[tuple[str, ...]]
    title: ClassVar[str]

    statement: str
    answer: Certified[Any]
    terms: tuple[DemandTerm, ...] = ()
    levers: tuple[Lever, ...] = ()
    unit: str = "B"

    def _amount(self, value: float) -> str:
        return binary(value) if self.unit == "B" else f"{value:.4g} {self.unit}"

    def text(self) -> str:
        """Return the explanation as text: the statement, its terms, and the levers."""
        lines = [self.statement]
        shown = [term for term in self.terms if term.amount]
        if len(shown) > _MAX_TERMS:
            others = shown[_MAX_TERMS - 1 :]
            most = DemandTerm(f"{len(others)} more", sum(term.amount for term in others))
            shown = [*shown[: _MAX_TERMS - 1], most]
        lines += [f"  {self._amount(term.amount):>14}  {term.name}" for term in shown]
        if self.levers:
            lines.append(f"{self.title}:")
        for lever in self.levers:
            saves = f"saves {self._amount(lever.saves)}" + (
                "" if lever.enough else ", not enough alone"
            )
            lines.append(f"  {lever.statement}" + (f" ({saves})" if lever.saves else ""))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain data."""
        return {
            "statement": self.statement,
            "unit": self.unit,
            **{name: getattr(self, name) for name in self.numbers},
            "terms": [asdict(term) for term in self.terms],
            "levers": [asdict(lever) for lever in self.levers],
        }


@dataclass(frozen=True, kw_only=True)
class Infeasible(ShortfallExplanation):
    """Explanation of the lack of an answer, with changes that would make one feasible.

    The terms add up to the demand, and each lever was tried: those that suffice come first.

    Attributes
    ----------
    bound
        Available amount; the demand exceeds it by the gap.
    """

    numbers = ("demand", "bound", "gap", "proved")
    title = "what would help"

    bound: float

    @classmethod
    def of(
        cls,
        statement: str,
        demand: float,
        bound: float,
        terms: Sequence[DemandTerm],
        levers: Sequence[Lever],
        *,
        proved: bool = True,
    ) -> Infeasible:
        """Return an explanation for a demand, a lower bound over all answers if `proved`."""
        answer = Certified(tuple(terms), float(demand), float(demand) if proved else 0.0)
        return cls(statement, answer, tuple(terms), tuple(levers), bound=float(bound))

    @property
    def demand(self) -> float:
        """Required amount."""
        return self.answer.value

    @property
    def gap(self) -> float:
        """Demand in excess of the available amount."""
        return self.demand - self.bound

    @property
    def proved(self) -> bool:
        """False if the demand is that of the best known answer, and a better one may exist."""
        return self.answer.proved


@dataclass(frozen=True)
class Unproved(ShortfallExplanation):
    """Explanation of the lack of a proof that an answer is optimal.

    The terms are the parts of the cost that are open, and a lever is enough if it is certain to
    close the gap.
    """

    numbers = ("best", "bound", "gap")
    title = "what would close it"

    @property
    def best(self) -> float:
        """Cost of the answer."""
        return float(self.answer.value)

    @property
    def bound(self) -> float:
        """Lower bound on the cost of any answer."""
        return float(self.answer.bound)

    @property
    def gap(self) -> float:
        """Difference between cost and bound."""
        return self.best - self.bound


def over_working_set(
    problem: Problem,
    capacity_bytes: int,
    *,
    pointwise: frozenset[int] | None = None,
    deadline: Deadline | None = None,
) -> Infeasible:
    """Explain why no schedule fits: the working set of a step exceeds the capacity.

    Parameters
    ----------
    pointwise
        Steps that compute elementwise, for the levers; by default those that look like sums.
    deadline
        Time at which to stop trying levers.

    Raises
    ------
    ValueError
        Every step fits.
    """
    case = InfeasibleInstance.of(problem, capacity_bytes, pointwise, deadline)
    over = case.over()
    if not over:
        raise ValueError(f"every step fits into {capacity_bytes} bytes")
    worst, demand = over[0], problem.largest_working_set_bytes
    needed, available = sizes(demand, capacity_bytes)
    statement = (
        f"'{label(problem.steps, worst)}' needs {needed} on chip at once, "
        f"of {available}: {binary(demand - capacity_bytes)} too much"
    )
    if len(over) > 1:
        others = len(over) - 1
        statement += f"; {others} other step{'s' * (others > 1)} need{'s' * (others == 1)} too much"
    terms = _working_set_terms(problem, worst)
    return Infeasible.of(statement, demand, capacity_bytes, terms, working_set_levers(case))


def over_peak(
    problem: Problem,
    capacity_bytes: int,
    peak: Certified[tuple[int, ...]],
    *,
    pointwise: frozenset[int] | None = None,
    deadline: Deadline | None = None,
) -> Infeasible:
    """Explain why nothing fits without spills: the peak of every order exceeds the capacity.

    Parameters
    ----------
    peak
        Least peak (`perfmodel.schedule.peak.minimum_peak`). The terms are those at the peak of its
        order; without an order, of the natural one.
    pointwise
        As in `over_working_set`.
    deadline
        Time at which to stop trying levers.
    """
    demand = int(peak.value)
    gap = demand - capacity_bytes
    if gap <= 0:
        raise ValueError(f"an order that needs {demand} bytes fits into {capacity_bytes}")
    steps = peak.solution or tuple(range(len(problem.steps)))
    script = Script(steps, ((),) * len(steps))
    trace = replay(problem, script)
    terms: tuple[DemandTerm, ...] = ()
    where = ""
    if trace.peak_bytes == demand:
        k = trace.held_bytes.index(trace.peak_bytes)
        terms = _terms_at(problem, script, trace, k)
        where = f", at '{label(problem.steps, steps[k])}'"
    needs, there = sizes(demand, capacity_bytes)
    statement = (
        f"without spills {'every' if peak.proved else 'the best known'} order needs at least "
        f"{needs} on chip at once{where}, of {there}: {binary(gap)} too much"
    )
    case = InfeasibleInstance.of(problem, capacity_bytes, pointwise, deadline)
    levers = peak_levers(case, demand)
    return Infeasible.of(statement, demand, capacity_bytes, terms, levers, proved=peak.proved)


def unpacked(
    problem: Problem,
    script: Script,
    layout: AddressLayout,
    capacity_bytes: int,
    *,
    alignment: int = 1,
    deadline: Deadline | None = None,
) -> Infeasible:
    """Explain why the blocks of a schedule cannot be packed, although they fit at each moment.

    Parameters
    ----------
    layout
        The packing that failed (`perfmodel.schedule.addresses.pack_blocks`).
    alignment
        Alignment of the addresses in bytes.
    deadline
        Time at which to stop trying levers.
    """
    if layout.packed:
        raise ValueError("the blocks are packed")
    trace = replay(problem, script)
    k = trace.held_bytes.index(trace.peak_bytes)
    name = label(problem.steps, script.order[k])
    known = f"no packing of this schedule {'fits' if layout.proved else 'was found'}"
    needs, there, most = sizes(layout.height_bytes, capacity_bytes, trace.peak_bytes)
    statement = (
        f"{known}: the best needs {needs}, of {there}, {binary(layout.gap_bytes)} too much, "
        f"although at most {most} are on chip at once (at '{name}')"
    )
    terms = (
        *_terms_at(problem, script, trace, k),
        DemandTerm("fragmentation", float(layout.height_bytes - trace.peak_bytes)),
    )
    levers = packing_levers(
        problem, script, layout.gap_bytes, capacity_bytes, alignment, deadline or Deadline(2.0)
    )
    return Infeasible.of(
        statement, layout.height_bytes, capacity_bytes, terms, levers, proved=layout.proved
    )


def unproved(
    problem: Problem,
    capacity_bytes: int,
    outcome: Certified[Script],
    deadline: Deadline | None = None,
) -> Unproved:
    """Explain why a schedule is not proved to be the cheapest, and what would settle it.

    Parameters
    ----------
    outcome
        An outcome with a script, not proved.
    deadline
        Time at which to stop trying levers; two seconds from now by default.
    """
    if outcome.solution is None or outcome.proved:
        raise ValueError("only a script that is not proved can be explained")
    best, bound = outcome.value, outcome.bound
    share = f" ({100.0 * (best - bound) / best:.1f} %)" if best else ""
    spent, least = sizes(best, bound)
    statement = (
        f"the best found spills and reloads {spent}; it is proved that none does with less "
        f"than {least}: {binary(best - bound)}{share} are open"
    )
    trace = replay(problem, outcome.solution, capacity_bytes)
    traffic: dict[int, int] = {}
    for stay in trace.intervals:
        amount = problem.buffers[stay.buffer].size_bytes * (stay.spilled + stay.reloaded)
        traffic[stay.buffer] = traffic.get(stay.buffer, 0) + amount
    terms = tuple(
        DemandTerm(label(problem.buffers, t), float(amount))
        for t, amount in sorted(traffic.items(), key=lambda pair: -pair[1])
        if amount
    )
    levers = proof_levers(problem, capacity_bytes, outcome, deadline or Deadline(2.0))
    return Unproved(statement, outcome, terms, levers)


def _working_set_terms(problem: Problem, s: int) -> tuple[DemandTerm, ...]:
    """Return the bytes that a step has on chip with nothing else; they sum to its working set."""
    step = problem.steps[s]
    sizes = [b.size_bytes for b in problem.buffers]
    terms = [(t, "read", sizes[t]) for t in dict.fromkeys(step.reads)]
    terms += [(t, "written", sizes[t]) for t in step.writes]
    if step.takes_over >= 0:
        t = step.writes[0]
        shared = min(sizes[t], sizes[step.takes_over])
        over = f"written over {label(problem.buffers, step.takes_over)}"
        terms = [
            (t, over, sizes[t] - shared) if (u, role) == (t, "written") else (u, role, n)
            for u, role, n in terms
        ]
    parts = [DemandTerm(f"{label(problem.buffers, t)} ({role})", float(n)) for t, role, n in terms]
    if step.scratch_bytes:
        parts.append(DemandTerm(f"{label(problem.steps, s)} (scratch)", float(step.scratch_bytes)))
    return tuple(sorted(parts, key=lambda term: -term.amount))


def _terms_at(problem: Problem, script: Script, trace: Trace, k: int) -> tuple[DemandTerm, ...]:
    """Return the terms of the bytes on chip at a position of an order."""
    s = script.order[k]
    operands = {*problem.steps[s].reads, *problem.steps[s].writes}
    waiting = [
        DemandTerm(
            f"{label(problem.buffers, i.buffer)} (kept)",
            float(problem.buffers[i.buffer].size_bytes),
        )
        for i in trace.intervals
        if i.first <= k <= i.last and i.buffer not in operands
    ]
    return tuple(sorted((*_working_set_terms(problem, s), *waiting), key=lambda term: -term.amount))
