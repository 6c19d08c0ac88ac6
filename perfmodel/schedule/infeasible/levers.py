"""What would make an infeasible schedule feasible: each lever is tried on the problem itself."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import greedy
from perfmodel.schedule.infeasible.changes import (
    apart,
    fusable,
    fused,
    in_place,
    in_place_source,
    narrowed,
    sums,
    without_scratch,
)
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay
from perfmodel.units import binary

#: Most names that a sentence lists.
_NAMES = 4

#: Columns up to which the whole integer programme is tried.
_COLUMNS = 1500

#: Most parts that a tensor is cut into.
_PARTS = 256


@dataclass(frozen=True, slots=True)
class DemandTerm:
    """A part of a demand."""

    name: str
    amount: float


@dataclass(frozen=True, slots=True)
class Lever:
    """A change that helps.

    Attributes
    ----------
    statement
        What to do.
    saves
        By how much the demand falls, in the unit of the whole; 0 where it does not apply.
    enough
        It makes the answer feasible by itself.
    """

    statement: str
    saves: float
    enough: bool


@dataclass(frozen=True, slots=True)
class InfeasibleInstance:
    """A problem, the capacity that it does not fit, and its steps that work element by element."""

    problem: Problem
    capacity: int
    pointwise: frozenset[int]

    def over(self) -> list[int]:
        """Return the steps that do not fit, the largest first."""
        sets = self.problem.working_set_bytes
        over = [s for s, needed in enumerate(sets) if needed > self.capacity]
        return sorted(over, key=lambda s: -sets[s])

    def fused(self, *pairs: tuple[int, int]) -> InfeasibleInstance:
        """Return it with pairs of steps fused; see `perfmodel.schedule.infeasible.changes`."""
        # What was fused into once is no longer pointwise: two convolutions are not one.
        firsts = sorted(first for first, _ in pairs)
        left = self.pointwise.difference(*pairs)
        alone = frozenset(s - bisect(firsts, s) for s in left)
        return InfeasibleInstance(fused(self.problem, *pairs), self.capacity, alone)


#: Makes another case and says what it did; None where there is nothing to change.
Change = Callable[[InfeasibleInstance], tuple[InfeasibleInstance, str] | None]


def label(items: Sequence[Buffer] | Sequence[Step], i: int) -> str:
    """Return the name of a step or buffer, with its number where others have the same name."""
    name = items[i].name
    return name if sum(item.name == name for item in items) == 1 else f"{name}[{i}]"


def fewer_bytes(
    problem: Problem, capacity_bytes: int, pointwise: frozenset[int] | None = None
) -> tuple[Lever, ...]:
    """Return what brings the largest working set down to a capacity, or nearer to it.

    Parameters
    ----------
    pointwise
        Steps that work element by element, which can be fused into the step before them or write
        over an input; by default those that look like sums.
    """
    case = InfeasibleInstance(
        problem, capacity_bytes, sums(problem) if pointwise is None else pointwise
    )
    demand = problem.largest_working_set_bytes
    gap = demand - capacity_bytes
    levers = [Lever(f"{binary(gap)} more", float(gap), True)]
    tried: list[Change] = []
    for change in (_fuse, _write_over, _stream_scratch, _halve):
        made = change(case)
        if made is None:
            continue
        tried.append(change)
        less = made[0].problem.largest_working_set_bytes
        if less < demand:
            levers.append(Lever(made[1], float(demand - less), less <= capacity_bytes))
    for one, two in combinations(tried, 2):
        both = _both(case, one, two)
        if both is not None and both[0].problem.largest_working_set_bytes <= capacity_bytes:
            saves = demand - both[0].problem.largest_working_set_bytes
            alone = [v for v in levers[1:] if v.enough]
            if not any(v.statement in both[1] for v in alone):
                levers.append(Lever(both[1], float(saves), True))
    cut = _in_parts(case)
    if cut is not None:
        levers.append(cut)
    return _sorted(levers)


def lower_peak(
    problem: Problem,
    capacity_bytes: int,
    demand_bytes: int,
    pointwise: frozenset[int] | None = None,
    deadline: Deadline | None = None,
) -> tuple[Lever, ...]:
    """Return what makes an order fit without spills, or what spills would cost.

    Parameters
    ----------
    deadline
        When to stop trying them; a second each at most.
    """
    from perfmodel.schedule.peak import minimum_peak

    case = InfeasibleInstance(
        problem, capacity_bytes, sums(problem) if pointwise is None else pointwise
    )
    gap = demand_bytes - capacity_bytes
    levers = [Lever(f"{binary(gap)} more", float(gap), True)]
    spilled = greedy(problem, capacity_bytes)
    if spilled.solution is not None:
        said = f"spill and reload {binary(spilled.value)} at most"
        levers.append(Lever(said, float(gap), True))
    deadline = deadline or Deadline()
    for change in (_fuse_all, _write_over_all, _halve):
        if deadline.passed():
            break
        made = change(case)
        if made is None:
            continue
        less = minimum_peak(made[0].problem, deadline.within(1.0)).value
        if less < demand_bytes:
            levers.append(Lever(made[1], float(demand_bytes - less), less <= capacity_bytes))
    return _sorted(levers)


def pack_anyway(
    problem: Problem,
    script: Script,
    gap_bytes: int,
    capacity_bytes: int,
    alignment: int,
    deadline: Deadline,
) -> tuple[Lever, ...]:
    """Return what gives the blocks of a script addresses."""
    from perfmodel.schedule.addresses import layout
    from perfmodel.schedule.ilp import retention

    levers = [Lever(f"{binary(gap_bytes)} more", float(gap_bytes), True)]

    def packs(tried: Script, step: int) -> bool:
        trace = replay(problem, tried, capacity_bytes)
        allowed = deadline.within(deadline.left() / 2)
        return layout(problem, tried, trace, capacity_bytes, allowed, alignment=step).packed

    if alignment > 1 and not deadline.passed() and packs(script, 1):
        levers.append(
            Lever(
                f"addresses at any byte in place of multiples of {alignment}",
                float(gap_bytes),
                True,
            )
        )
    cost = replay(problem, script, capacity_bytes).cost_bytes
    least = problem.largest_working_set_bytes
    less = capacity_bytes
    while less > least and not deadline.passed():
        less = max(least, less - gap_bytes)
        again = retention(problem, script.order, less, deadline)
        if again.solution is not None and packs(again.solution, alignment):
            said = (
                f"schedule the same order for {binary(less)}: {binary(again.value - cost)} "
                "more spilled and reloaded"
            )
            levers.append(Lever(said, float(gap_bytes), True))
            break
    return _sorted(levers)


def prove_anyway(
    problem: Problem, capacity_bytes: int, outcome: Certified[Script], deadline: Deadline
) -> tuple[Lever, ...]:
    """Return what would settle whether a schedule is the cheapest."""
    from perfmodel.schedule.exact import search
    from perfmodel.schedule.ilp import full, full_size, retention
    from perfmodel.schedule.peak import minimum_peak

    open_bytes = float(outcome.value - outcome.bound)
    levers: list[Lever] = []
    peak = minimum_peak(problem, deadline.within(deadline.left() / 2)).value
    if peak > capacity_bytes:
        said = f"{binary(peak - capacity_bytes)} more: nothing is spilled then"
        levers.append(Lever(said, open_bytes, True))
    assert outcome.solution is not None
    order = outcome.solution.order
    kept = retention(problem, order, capacity_bytes, deadline, incumbent=outcome.solution)
    if kept.value < outcome.value:
        said = f"the same order with the best evictions: {binary(kept.value)}"
        saves = float(outcome.value - kept.value)
        levers.append(Lever(said, saves, kept.value == outcome.bound))
    elif kept.work["order_optimal"]:
        levers.append(Lever("another order: this one's evictions are the best it has", 0.0, False))
    tries: list[tuple[str, Callable[[Deadline], Certified[Script]]]] = []
    if outcome.method != "exact":
        tries.append(
            (
                "method exact",
                lambda limit: search(problem, capacity_bytes, limit, outcome.solution),
            )
        )
    if full_size(problem) <= _COLUMNS:
        tries.append(
            (
                "method ilp",
                lambda limit: full(problem, capacity_bytes, limit, outcome.solution),
            )
        )
    for name, attempt in tries:
        if deadline.passed():
            break
        found = attempt(deadline.within(deadline.left() / 2))
        if found.proved:
            said = f"{name}, which proves {binary(found.value)}"
            levers.append(Lever(said, open_bytes, True))
            break
        better = [f"finds {binary(found.value)}"] * (found.value < outcome.value)
        better += [f"proves no less than {binary(found.bound)}"] * (found.bound > outcome.bound)
        if better and found.solution is not None:
            closes = max(0, outcome.value - found.value)
            closes += max(0, found.bound - outcome.bound)
            said = f"{name}, which soon {' and '.join(better)}"
            levers.append(Lever(said, float(closes), False))
    levers.append(Lever("more time", 0.0, False))
    return _sorted(levers)


def _sorted(levers: Sequence[Lever]) -> tuple[Lever, ...]:
    return tuple(sorted(levers, key=lambda v: not v.enough))


def _list(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    rest = len(shown) - _NAMES
    if rest > 0:
        return ", ".join(shown[:_NAMES]) + f" and {rest} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _both(
    case: InfeasibleInstance, one: Change, two: Change
) -> tuple[InfeasibleInstance, str] | None:
    first = one(case)
    second = None if first is None else two(first[0])
    if first is None or second is None:
        return None
    return second[0], f"{first[1]}, and {second[1]}"


def _pair(problem: Problem, first: int, second: int) -> str:
    return f"{label(problem.steps, first)} with {label(problem.steps, second)}"


def _fuse(case: InfeasibleInstance) -> tuple[InfeasibleInstance, str] | None:
    """Fuse each step that is too large with a neighbour, where that makes it smaller."""
    said: list[str] = []
    while over := case.over():
        sets = case.problem.working_set_bytes
        best: tuple[int, int, int] | None = None
        for first, second in fusable(case.problem, case.pointwise):
            if over[0] not in (first, second):
                continue
            both = case.fused((first, second)).problem.working_set_bytes[second - 1]
            if both < max(sets[first], sets[second]) and (best is None or both < best[0]):
                best = (both, first, second)
        if best is None:
            break
        said.append(_pair(case.problem, *best[1:]))
        case = case.fused(best[1:])
    return (case, f"fuse {_list(said)}") if said else None


def _fuse_all(case: InfeasibleInstance) -> tuple[InfeasibleInstance, str] | None:
    said: list[str] = []
    while pairs := apart(fusable(case.problem, case.pointwise)):
        said += [_pair(case.problem, *pair) for pair in pairs]
        case = case.fused(*pairs)
    return (case, f"fuse {_list(said)}") if said else None


def _write_over(case: InfeasibleInstance) -> tuple[InfeasibleInstance, str] | None:
    """Let each step that is too large write over an input that nothing else reads."""
    return _written_over(case, case.over())


def _write_over_all(case: InfeasibleInstance) -> tuple[InfeasibleInstance, str] | None:
    return _written_over(case, range(len(case.problem.steps)))


def _written_over(
    case: InfeasibleInstance, steps: Sequence[int]
) -> tuple[InfeasibleInstance, str] | None:
    problem = case.problem
    source = {s: in_place_source(problem, s) for s in steps if s in case.pointwise}
    able = [s for s, t in source.items() if t >= 0]
    if not able:
        return None
    said = [f"{label(problem.steps, s)} over {label(problem.buffers, source[s])}" for s in able]
    made = InfeasibleInstance(in_place(problem, able), case.capacity, case.pointwise)
    return made, f"write in place: {_list(said)}"


def _stream_scratch(case: InfeasibleInstance) -> tuple[InfeasibleInstance, str] | None:
    problem = case.problem
    able = [s for s in case.over() if problem.steps[s].scratch_bytes]
    if not able:
        return None
    said = _list([label(problem.steps, s) for s in able])
    made = InfeasibleInstance(without_scratch(problem, able), case.capacity, case.pointwise)
    return made, f"stream the weights and workspace of {said}"


def _halve(case: InfeasibleInstance) -> tuple[InfeasibleInstance, str] | None:
    made = InfeasibleInstance(narrowed(case.problem), case.capacity, case.pointwise)
    return made, "half the bits of every activation (as from 8 to 4)"


def _in_parts(case: InfeasibleInstance) -> Lever | None:
    """Stream the largest tensors of each step that is too large through the memory in parts."""
    problem, capacity_bytes = case.problem, case.capacity
    sizes = [b.size_bytes for b in problem.buffers]
    said: list[str] = []
    traffic = after = 0
    for s in case.over():
        step, needed = problem.steps[s], problem.working_set_bytes[s]
        fixed = {step.takes_over, step.writes[0]} if step.takes_over >= 0 else set[int]()
        streams = [t for t in dict.fromkeys((*step.reads, *step.writes)) if t not in fixed]
        streams.sort(key=lambda t: -sizes[t])
        found: tuple[int, list[int]] | None = None
        for count in range(1, len(streams) + 1):
            chosen = streams[:count]
            whole = sum(sizes[t] for t in chosen)
            parts = 2
            while parts <= _PARTS:
                left = needed - whole + sum(-(-sizes[t] // parts) for t in chosen)
                if left <= capacity_bytes:
                    found = (parts, chosen)
                    after = max(after, left)
                    break
                parts *= 2
            if found:
                break
        if found is None:
            return None
        names = " and ".join(label(problem.buffers, t) for t in found[1])
        said.append(f"{names} of {label(problem.steps, s)} in {found[0]} parts")
        traffic += sum(sizes[t] for t in found[1])
    rest = max((w for w in problem.working_set_bytes if w <= capacity_bytes), default=0)
    saves = problem.largest_working_set_bytes - max(after, rest)
    statement = (
        f"tile rows, beside the halo: stream {_list(said)}, for up to {binary(traffic)} "
        "off-chip traffic"
    )
    return Lever(statement, float(saves), True)
