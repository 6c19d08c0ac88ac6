"""Infeasible and unproved, as data: how much is asked, how much is there, of what, what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.addresses import AddressLayout
from perfmodel.schedule.infeasible.levers import (
    DemandTerm,
    Lever,
    fewer_bytes,
    label,
    lower_peak,
    pack_anyway,
    prove_anyway,
)
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, Trace, replay
from perfmodel.units import binary, sizes

#: Most terms that the text lists.
_TERMS = 10


@dataclass(frozen=True)
class ShortfallExplanation:
    """A gap: where it lies and what would help.

    Attributes
    ----------
    statement
        One sentence.
    gap
        The difference.
    terms
        Where it lies.
    levers
        What would help.
    unit
        Of all amounts: ``B``, ``s``, ``J``.
    """

    numbers: ClassVar[tuple[str, ...]]
    title: ClassVar[str]

    statement: str
    bound: float
    gap: float
    terms: tuple[DemandTerm, ...] = ()
    levers: tuple[Lever, ...] = ()
    unit: str = "B"

    def _amount(self, value: float) -> str:
        return binary(value) if self.unit == "B" else f"{value:.4g} {self.unit}"

    def text(self) -> str:
        """Return it as lines for people."""
        lines = [self.statement]
        shown = [term for term in self.terms if term.amount]
        if len(shown) > _TERMS:
            others = shown[_TERMS - 1 :]
            most = DemandTerm(f"{len(others)} more", sum(term.amount for term in others))
            shown = [*shown[: _TERMS - 1], most]
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
        """Return it as plain data."""
        return {
            "statement": self.statement,
            "unit": self.unit,
            **{name: getattr(self, name) for name in self.numbers},
            "terms": [asdict(term) for term in self.terms],
            "levers": [asdict(lever) for lever in self.levers],
        }


@dataclass(frozen=True, kw_only=True)
class Infeasible(ShortfallExplanation):
    """Why there is no answer, and what would give one.

    What there is falls short of what is asked by the gap. The terms add up to the demand, and each
    lever was tried: those that are enough come first.

    Attributes
    ----------
    demand
        What is asked.
    proved
        False where the demand is that of the best answer found, and a better one may exist.
    """

    numbers = ("demand", "bound", "gap", "proved")
    title = "what would help"

    demand: float
    proved: bool = True

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
        """Return it with the gap between demand and bound."""
        gap = float(demand - bound)
        return cls(
            statement,
            float(bound),
            gap,
            tuple(terms),
            tuple(levers),
            demand=float(demand),
            proved=proved,
        )


@dataclass(frozen=True, kw_only=True)
class Unproved(ShortfallExplanation):
    """Why an answer is not known to be the best.

    What it costs exceeds what no answer goes below by the gap. The terms are where the open cost
    lies, and a lever is enough where it would close the gap for sure.

    Attributes
    ----------
    best
        What the answer costs.
    """

    numbers = ("best", "bound", "gap")
    title = "what would close it"

    best: float


def over_working_set(
    problem: Problem, capacity_bytes: int, *, pointwise: frozenset[int] | None = None
) -> Infeasible:
    """Say why no schedule fits: a step needs more at once than there is.

    Parameters
    ----------
    pointwise
        Steps that work element by element, for the levers; by default those that look like sums.

    Raises
    ------
    ValueError
        Every step fits.
    """
    sets = problem.working_set_bytes
    over = [s for s, needed in enumerate(sets) if needed > capacity_bytes]
    if not over:
        raise ValueError(f"every step fits into {capacity_bytes} bytes")
    worst = max(over, key=lambda s: sets[s])
    gap = sets[worst] - capacity_bytes
    needs, there = sizes(sets[worst], capacity_bytes)
    statement = (
        f"'{label(problem.steps, worst)}' needs {needs} on chip at once, "
        f"of {there}: {binary(gap)} too much"
    )
    if len(over) > 1:
        others = len(over) - 1
        statement += f"; {others} other step{'s' * (others > 1)} need{'s' * (others == 1)} too much"
    levers = fewer_bytes(problem, capacity_bytes, pointwise)
    return Infeasible.of(statement, sets[worst], capacity_bytes, _of_step(problem, worst), levers)


def over_peak(
    problem: Problem,
    capacity_bytes: int,
    demand_bytes: int,
    order: Sequence[int] | None = None,
    *,
    proved: bool = True,
    pointwise: frozenset[int] | None = None,
    deadline: Deadline | None = None,
) -> Infeasible:
    """Say why nothing fits without spills: every order needs more at once than there is.

    Parameters
    ----------
    demand_bytes
        The least peak (`perfmodel.schedule.peak.minimum_peak`), or its bound.
    order
        An order of that peak, whose fullest moment gives the terms; by default the natural one.
    proved
        Whether no order needs less.
    pointwise
        As in `over_working_set`.
    deadline
        When to stop trying levers.
    """
    gap = demand_bytes - capacity_bytes
    if gap <= 0:
        raise ValueError(f"an order that needs {demand_bytes} bytes fits into {capacity_bytes}")
    steps = tuple(order) if order is not None else tuple(range(len(problem.steps)))
    script = Script(steps, ((),) * len(steps))
    trace = replay(problem, script)
    terms: tuple[DemandTerm, ...] = ()
    where = ""
    if trace.peak_bytes == demand_bytes:
        k = trace.held_bytes.index(trace.peak_bytes)
        terms = _at_moment(problem, script, trace, k)
        where = f", at '{label(problem.steps, steps[k])}'"
    needs, there = sizes(demand_bytes, capacity_bytes)
    statement = (
        f"without spills {'every' if proved else 'the best known'} order needs at least "
        f"{needs} on chip at once{where}, of {there}: {binary(gap)} too much"
    )
    levers = lower_peak(problem, capacity_bytes, demand_bytes, pointwise, deadline)
    return Infeasible.of(statement, demand_bytes, capacity_bytes, terms, levers, proved=proved)


def unpacked(
    problem: Problem,
    script: Script,
    layout: AddressLayout,
    capacity_bytes: int,
    *,
    alignment: int = 1,
    deadline: Deadline | None = None,
) -> Infeasible:
    """Say why the blocks of a schedule have no addresses, although they fit at each moment.

    Parameters
    ----------
    layout
        The packing that failed (`perfmodel.schedule.addresses.layout`).
    alignment
        Of the addresses.
    deadline
        When to stop trying levers.
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
        *_at_moment(problem, script, trace, k),
        DemandTerm("fragmentation", float(layout.height_bytes - trace.peak_bytes)),
    )
    levers = pack_anyway(
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
    """Say why a schedule is not known to be the cheapest, and what would settle it.

    Parameters
    ----------
    outcome
        With a script, not proved.
    deadline
        When to stop trying levers; two seconds where it is left out.
    """
    if outcome.solution is None or outcome.proved:
        raise ValueError("only a script that is not proved can be explained")
    best, bound = outcome.value, outcome.bound
    share = f" ({100.0 * (best - bound) / best:.1f} %)" if best else ""
    found, least = sizes(best, bound)
    statement = (
        f"the best found spills and reloads {found}; it is proved that none does with less "
        f"than {least}: {binary(best - bound)}{share} are open"
    )
    trace = replay(problem, outcome.solution, capacity_bytes)
    moved: dict[int, int] = {}
    for stay in trace.intervals:
        amount = problem.buffers[stay.buffer].size_bytes * (stay.spilled + stay.reloaded)
        moved[stay.buffer] = moved.get(stay.buffer, 0) + amount
    terms = tuple(
        DemandTerm(label(problem.buffers, t), float(amount))
        for t, amount in sorted(moved.items(), key=lambda pair: -pair[1])
        if amount
    )
    levers = prove_anyway(problem, capacity_bytes, outcome, deadline or Deadline(2.0))
    gap = float(best - bound)
    return Unproved(statement, float(bound), gap, terms, levers, best=float(best))


def _of_step(problem: Problem, s: int) -> tuple[DemandTerm, ...]:
    """Return the bytes that a step alone has on chip; they add up to its working set."""
    step = problem.steps[s]
    sizes = [b.size_bytes for b in problem.buffers]
    terms = [(t, "read", sizes[t]) for t in dict.fromkeys(step.reads)]
    terms += [(t, "written", sizes[t]) for t in step.writes]
    if step.takes_over >= 0:
        t = step.writes[0]
        shared = min(sizes[t], sizes[step.takes_over])
        over = f"written over {label(problem.buffers, step.takes_over)}"
        terms = [
            (t, over, sizes[t] - shared) if (u, said) == (t, "written") else (u, said, n)
            for u, said, n in terms
        ]
    found = [DemandTerm(f"{label(problem.buffers, t)} ({said})", float(n)) for t, said, n in terms]
    if step.scratch_bytes:
        found.append(DemandTerm(f"{label(problem.steps, s)} (scratch)", float(step.scratch_bytes)))
    return tuple(sorted(found, key=lambda term: -term.amount))


def _at_moment(problem: Problem, script: Script, trace: Trace, k: int) -> tuple[DemandTerm, ...]:
    """Return the bytes on chip at a position of an order."""
    s = script.order[k]
    mine = {*problem.steps[s].reads, *problem.steps[s].writes}
    held = [
        DemandTerm(
            f"{label(problem.buffers, i.buffer)} (kept)",
            float(problem.buffers[i.buffer].size_bytes),
        )
        for i in trace.intervals
        if i.first <= k <= i.last and i.buffer not in mine
    ]
    return tuple(sorted((*_of_step(problem, s), *held), key=lambda term: -term.amount))
