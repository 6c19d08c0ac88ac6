"""Levers: changes that make an infeasible schedule feasible, each tried on the problem."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

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

#: Maximum number of names listed in a sentence.
_NAMES = 4

#: Maximum number of columns for which the full integer programme is tried.
_COLUMNS = 1500

#: Numbers of parts into which a tensor may be split.
_PARTS = (2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class DemandTerm:
    """One term of a demand: name and amount."""

    name: str
    amount: float


@dataclass(frozen=True, slots=True)
class Lever:
    """A change that reduces a demand.

    Attributes
    ----------
    statement
        Description of the change.
    saves
        Reduction of the demand, in its unit; 0 if not applicable.
    enough
        Whether the change makes the answer feasible without any other.
    """

    statement: str
    saves: float
    enough: bool

    @classmethod
    def more_memory(cls, gap_bytes: int) -> Lever:
        """Return the lever of additional memory for the whole gap."""
        return cls(f"{binary(gap_bytes)} more", float(gap_bytes), True)


@dataclass(frozen=True, slots=True)
class InfeasibleInstance:
    """A problem, the capacity that it does not fit, and its pointwise steps."""

    problem: Problem
    capacity: int
    pointwise: frozenset[int]

    def over(self) -> list[int]:
        """Return the steps that do not fit, the largest first."""
        sets = self.problem.working_set_bytes
        over = [s for s, needed in enumerate(sets) if needed > self.capacity]
        return sorted(over, key=lambda s: -sets[s])

    def fused(self, *pairs: tuple[int, int]) -> InfeasibleInstance:
        """Return the instance with pairs of steps fused, as `changes.fused` does."""
        # A fused step is no longer pointwise: two convolutions cannot be fused into one.
        firsts = sorted(first for first, _ in pairs)
        left = self.pointwise.difference(*pairs)
        pointwise = frozenset(s - bisect(firsts, s) for s in left)
        return replace(self, problem=fused(self.problem, *pairs), pointwise=pointwise)


def _instance(
    problem: Problem, capacity_bytes: int, pointwise: frozenset[int] | None
) -> InfeasibleInstance:
    return InfeasibleInstance(
        problem, capacity_bytes, sums(problem) if pointwise is None else pointwise
    )


#: Changed instance and description of the change; None if there is nothing to change.
Changed: TypeAlias = tuple[InfeasibleInstance, str] | None
Change: TypeAlias = Callable[[InfeasibleInstance], Changed]


def label(items: Sequence[Buffer] | Sequence[Step], i: int) -> str:
    """Return the name of a step or buffer, with its index if the name is not unique."""
    name = items[i].name
    return name if sum(item.name == name for item in items) == 1 else f"{name}[{i}]"


def fewer_bytes(
    problem: Problem, capacity_bytes: int, pointwise: frozenset[int] | None = None
) -> tuple[Lever, ...]:
    """Return levers that bring the largest working set down to a capacity, or closer to it.

    Parameters
    ----------
    pointwise
        Steps that compute elementwise, which can be fused into the step before them or overwrite an
        input; by default those that look like sums.
    """
    case = _instance(problem, capacity_bytes, pointwise)
    demand = problem.largest_working_set_bytes
    gap = demand - capacity_bytes
    levers = [Lever.more_memory(gap)]
    tried: list[Change] = []
    for change in (_fuse, _write_over, _stream_scratch, _halve):
        changed = change(case)
        if changed is None:
            continue
        tried.append(change)
        less = changed[0].problem.largest_working_set_bytes
        if less < demand:
            levers.append(Lever(changed[1], float(demand - less), less <= capacity_bytes))
    for one, two in combinations(tried, 2):
        both = _both(case, one, two)
        if both is None or (less := both[0].problem.largest_working_set_bytes) > capacity_bytes:
            continue
        if not any(v.enough and v.statement in both[1] for v in levers[1:]):
            levers.append(Lever(both[1], float(demand - less), True))
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
    """Return levers that make an order fit without spills, or the cost of spills.

    Parameters
    ----------
    deadline
        Time at which to stop trying levers, each of which gets at most a second.
    """
    from perfmodel.schedule.peak import minimum_peak

    case = _instance(problem, capacity_bytes, pointwise)
    gap = demand_bytes - capacity_bytes
    levers = [Lever.more_memory(gap)]
    spilled = greedy(problem, capacity_bytes)
    if spilled.solution is not None:
        statement = f"spill and reload {binary(spilled.value)} at most"
        levers.append(Lever(statement, float(gap), True))
    deadline = deadline or Deadline()
    for change in (_fuse_all, _write_over_all, _halve):
        if deadline.passed():
            break
        changed = change(case)
        if changed is None:
            continue
        less = minimum_peak(changed[0].problem, deadline.within(1.0)).value
        if less < demand_bytes:
            levers.append(Lever(changed[1], float(demand_bytes - less), less <= capacity_bytes))
    return _sorted(levers)


def pack_anyway(
    problem: Problem,
    script: Script,
    gap_bytes: int,
    capacity_bytes: int,
    alignment: int,
    deadline: Deadline,
) -> tuple[Lever, ...]:
    """Return levers that let the blocks of a script be packed."""
    from perfmodel.schedule.addresses import layout
    from perfmodel.schedule.ilp import retention

    levers = [Lever.more_memory(gap_bytes)]

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
            statement = (
                f"schedule the same order for {binary(less)}: {binary(again.value - cost)} "
                "more spilled and reloaded"
            )
            levers.append(Lever(statement, float(gap_bytes), True))
            break
    return _sorted(levers)


def prove_anyway(
    problem: Problem, capacity_bytes: int, outcome: Certified[Script], deadline: Deadline
) -> tuple[Lever, ...]:
    """Return levers that would settle whether a schedule is the cheapest."""
    from perfmodel.schedule.exact import search
    from perfmodel.schedule.ilp import full, full_size, retention
    from perfmodel.schedule.peak import minimum_peak

    open_bytes = float(outcome.value - outcome.bound)
    levers: list[Lever] = []
    peak = minimum_peak(problem, deadline.within(deadline.left() / 2)).value
    if peak > capacity_bytes:
        statement = f"{binary(peak - capacity_bytes)} more: nothing is spilled then"
        levers.append(Lever(statement, open_bytes, True))
    assert outcome.solution is not None
    order = outcome.solution.order
    evicted = retention(problem, order, capacity_bytes, deadline, incumbent=outcome.solution)
    if evicted.value < outcome.value:
        statement = f"the same order with the best evictions: {binary(evicted.value)}"
        saves = float(outcome.value - evicted.value)
        levers.append(Lever(statement, saves, evicted.value == outcome.bound))
    elif evicted.work["order_optimal"]:
        levers.append(Lever("another order: this one's evictions are the best it has", 0.0, False))
    tries: dict[str, Callable[[Deadline], Certified[Script]]] = {}
    if outcome.method != "exact":
        tries["exact"] = lambda limit: search(problem, capacity_bytes, limit, outcome.solution)
    if full_size(problem) <= _COLUMNS:
        tries["ilp"] = lambda limit: full(problem, capacity_bytes, limit, outcome.solution)
    for name, attempt in tries.items():
        if deadline.passed():
            break
        answer = attempt(deadline.within(deadline.left() / 2))
        if answer.proved:
            statement = f"method {name}, which proves {binary(answer.value)}"
            levers.append(Lever(statement, open_bytes, True))
            break
        better = [f"finds {binary(answer.value)}"] * (answer.value < outcome.value)
        better += [f"proves no less than {binary(answer.bound)}"] * (answer.bound > outcome.bound)
        if better and answer.solution is not None:
            closes = max(0, outcome.value - answer.value)
            closes += max(0, answer.bound - outcome.bound)
            statement = f"method {name}, which soon {' and '.join(better)}"
            levers.append(Lever(statement, float(closes), False))
    levers.append(Lever("more time", 0.0, False))
    return _sorted(levers)


def _sorted(levers: Sequence[Lever]) -> tuple[Lever, ...]:
    return tuple(sorted(levers, key=lambda v: not v.enough))


def _list(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    more = len(shown) - _NAMES
    if more > 0:
        return ", ".join(shown[:_NAMES]) + f" and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _both(case: InfeasibleInstance, one: Change, two: Change) -> Changed:
    first = one(case)
    second = None if first is None else two(first[0])
    if first is None or second is None:
        return None
    return second[0], f"{first[1]}, and {second[1]}"


def _pair(problem: Problem, first: int, second: int) -> str:
    return f"{label(problem.steps, first)} with {label(problem.steps, second)}"


def _fuse(case: InfeasibleInstance) -> Changed:
    """Fuse each step that is too large with a neighbour, if that makes it smaller."""
    pairs: list[str] = []
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
        pairs.append(_pair(case.problem, *best[1:]))
        case = case.fused(best[1:])
    return (case, f"fuse {_list(pairs)}") if pairs else None


def _fuse_all(case: InfeasibleInstance) -> Changed:
    names: list[str] = []
    while pairs := apart(fusable(case.problem, case.pointwise)):
        names += [_pair(case.problem, *pair) for pair in pairs]
        case = case.fused(*pairs)
    return (case, f"fuse {_list(names)}") if names else None


def _write_over(case: InfeasibleInstance) -> Changed:
    """Let each step that is too large overwrite an input without other readers."""
    return _written_over(case, case.over())


def _write_over_all(case: InfeasibleInstance) -> Changed:
    return _written_over(case, range(len(case.problem.steps)))


def _written_over(case: InfeasibleInstance, steps: Sequence[int]) -> Changed:
    problem = case.problem
    source = {s: in_place_source(problem, s) for s in steps if s in case.pointwise}
    able = [s for s, t in source.items() if t >= 0]
    if not able:
        return None
    names = [f"{label(problem.steps, s)} over {label(problem.buffers, source[s])}" for s in able]
    changed = replace(case, problem=in_place(problem, able))
    return changed, f"write in place: {_list(names)}"


def _stream_scratch(case: InfeasibleInstance) -> Changed:
    problem = case.problem
    able = [s for s in case.over() if problem.steps[s].scratch_bytes]
    if not able:
        return None
    names = _list([label(problem.steps, s) for s in able])
    changed = replace(case, problem=without_scratch(problem, able))
    return changed, f"stream the weights and workspace of {names}"


def _halve(case: InfeasibleInstance) -> Changed:
    changed = replace(case, problem=narrowed(case.problem))
    return changed, "half the bits of every activation (as from 8 to 4)"


def _in_parts(case: InfeasibleInstance) -> Lever | None:
    """Stream the largest tensors of each step that is too large through the memory in parts."""
    problem, capacity_bytes = case.problem, case.capacity
    sizes = [b.size_bytes for b in problem.buffers]
    names: list[str] = []
    traffic = after = 0
    for s in case.over():
        step, needed = problem.steps[s], problem.working_set_bytes[s]
        fixed = {step.takes_over, step.writes[0]} if step.takes_over >= 0 else set[int]()
        streams = [t for t in dict.fromkeys((*step.reads, *step.writes)) if t not in fixed]
        streams.sort(key=lambda t: -sizes[t])
        # Fewest tensors first, then fewest parts.
        ways = (
            (left, parts, streamed)
            for count in range(1, len(streams) + 1)
            for streamed in [streams[:count]]
            for parts in _PARTS
            for left in [needed - sum(sizes[t] - -(-sizes[t] // parts) for t in streamed)]
            if left <= capacity_bytes
        )
        left, parts, streamed = next(ways, (0, 0, list[int]()))
        if not parts:
            return None
        after = max(after, left)
        tensors = " and ".join(label(problem.buffers, t) for t in streamed)
        names.append(f"{tensors} of {label(problem.steps, s)} in {parts} parts")
        traffic += sum(sizes[t] for t in streamed)
    others = max((w for w in problem.working_set_bytes if w <= capacity_bytes), default=0)
    saves = problem.largest_working_set_bytes - max(after, others)
    statement = (
        f"tile rows, beside the halo: stream {_list(names)}, for up to {binary(traffic)} "
        "off-chip traffic"
    )
    return Lever(statement, float(saves), True)
