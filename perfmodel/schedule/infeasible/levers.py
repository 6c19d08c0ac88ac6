"""Levers: changes that make an infeasible schedule feasible, each evaluated on the problem.

A lever changes the problem (`problem_changes`: fuse steps, write outputs in place, narrower
tensors, tiles) and evaluates the result again: the largest working set ``max_s bytes(s)`` where a
step does not fit, the least peak over all orders where the order does not, a packing or a proof
where that is missing. ``saves`` is the demand before minus the demand after. The four public
functions each serve one case of `explanations`; all stop at a deadline.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TypeAlias

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import greedy
from perfmodel.schedule.infeasible.problem_changes import (
    disjoint_pairs,
    fusable,
    fused,
    in_place,
    in_place_source,
    narrowed,
    sum_steps,
    without_scratch,
)
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay
from perfmodel.units import binary

#: Maximum number of names listed in a sentence.
_MAX_NAMES = 4

#: Maximum number of columns for which the full integer programme is tried.
_MAX_COLUMNS = 1500

#: Numbers of parts into which a tensor may be split.
_PART_COUNTS = (2, 4, 8, 16, 32, 64, 128, 256)


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
    """A problem, the capacity that it does not fit, its pointwise steps, and when to stop."""

    problem: Problem
    capacity: int
    pointwise: frozenset[int]
    deadline: Deadline = field(default_factory=Deadline)

    @classmethod
    def of(
        cls,
        problem: Problem,
        capacity_bytes: int,
        pointwise: frozenset[int] | None,
        deadline: Deadline | None,
    ) -> InfeasibleInstance:
        """Return an instance; by default the steps that look like sums are pointwise."""
        pointwise = sum_steps(problem) if pointwise is None else pointwise
        return cls(problem, capacity_bytes, pointwise, deadline or Deadline())

    def over(self) -> list[int]:
        """Return the steps that do not fit, the largest first."""
        sets = self.problem.working_set_bytes
        over = [s for s, needed in enumerate(sets) if needed > self.capacity]
        return sorted(over, key=lambda s: -sets[s])

    def fused(self, *pairs: tuple[int, int]) -> InfeasibleInstance:
        """Return the instance with pairs of steps fused, as `problem_changes.fused` does."""
        # A fused step is no longer pointwise: two convolutions cannot be fused into one.
        firsts = sorted(first for first, _ in pairs)
        left = self.pointwise.difference(*pairs)
        pointwise = frozenset(s - bisect(firsts, s) for s in left)
        return replace(self, problem=fused(self.problem, *pairs), pointwise=pointwise)


#: Changed instance and description of the change; None if there is nothing to change.
Changed: TypeAlias = tuple[InfeasibleInstance, str] | None
Change: TypeAlias = Callable[[InfeasibleInstance], Changed]


def label(items: Sequence[Buffer] | Sequence[Step], i: int) -> str:
    """Return the name of a step or buffer, with its index if the name is not unique."""
    name = items[i].name
    return name if [item.name for item in items].count(name) == 1 else f"{name}[{i}]"


def working_set_levers(case: InfeasibleInstance) -> tuple[Lever, ...]:
    """Return levers that bring the largest working set down to a capacity, or closer to it."""
    demand = case.problem.largest_working_set_bytes
    gap = demand - case.capacity
    levers = [Lever.more_memory(gap)]
    tried: list[Change] = []
    for change in (_fuse, _write_over, _stream_scratch, _narrow_tensors):
        changed = change(case)
        if changed is None:
            continue
        tried.append(change)
        less = changed[0].problem.largest_working_set_bytes
        if less < demand:
            levers.append(Lever(changed[1], float(demand - less), less <= case.capacity))
    for one, two in combinations(tried, 2):
        if case.deadline.passed():
            break
        both = _combined(case, one, two)
        if both is None or (less := both[0].problem.largest_working_set_bytes) > case.capacity:
            continue
        if not any(v.enough and v.statement in both[1] for v in levers[1:]):
            levers.append(Lever(both[1], float(demand - less), True))
    cut = _stream_in_parts(case)
    if cut is not None:
        levers.append(cut)
    return _sufficient_first(levers)


def peak_levers(case: InfeasibleInstance, demand_bytes: int) -> tuple[Lever, ...]:
    """Return levers that make an order fit without spills, or the cost of spills.

    Each lever gets an equal share of the time that is left.
    """
    from perfmodel.schedule.peak import minimum_peak

    gap = demand_bytes - case.capacity
    levers = [Lever.more_memory(gap)]
    spilled = greedy(case.problem, case.capacity)
    if spilled.solution is not None:
        statement = f"spill and reload {binary(spilled.value)} at most"
        levers.append(Lever(statement, float(gap), True))
    changes = (_fuse_all, _write_over_all, _narrow_tensors)
    for left, change in zip(range(len(changes), 0, -1), changes, strict=True):
        if case.deadline.passed():
            break
        changed = change(case)
        if changed is None:
            continue
        allowed = case.deadline.within(case.deadline.left() / left)
        less = minimum_peak(changed[0].problem, allowed).value
        if less < demand_bytes:
            levers.append(Lever(changed[1], float(demand_bytes - less), less <= case.capacity))
    return _sufficient_first(levers)


def packing_levers(
    problem: Problem,
    script: Script,
    gap_bytes: int,
    capacity_bytes: int,
    alignment: int,
    deadline: Deadline,
) -> tuple[Lever, ...]:
    """Return levers that let the blocks of a script be packed."""
    from perfmodel.schedule.addresses import pack_blocks
    from perfmodel.schedule.ilp import retention

    levers = [Lever.more_memory(gap_bytes)]

    def packs(tried: Script, step: int) -> bool:
        trace = replay(problem, tried, capacity_bytes)
        allowed = deadline.within(deadline.left() / 2)
        return pack_blocks(problem, tried, trace, capacity_bytes, allowed, alignment=step).packed

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
    return _sufficient_first(levers)


def proof_levers(
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
    if full_size(problem) <= _MAX_COLUMNS:
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
    return _sufficient_first(levers)


def _sufficient_first(levers: Sequence[Lever]) -> tuple[Lever, ...]:
    """Return the levers, those that are enough first."""
    return tuple(sorted(levers, key=lambda v: not v.enough))


def _enumeration(names: Sequence[str], count: int = 0) -> str:
    """Return the first names of `count` in a phrase; by default all names count."""
    shown = list(dict.fromkeys(names))
    more = max(count, len(shown)) - _MAX_NAMES
    if more > 0:
        return ", ".join(shown[:_MAX_NAMES]) + f" and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _combined(case: InfeasibleInstance, one: Change, two: Change) -> Changed:
    """Apply a change after another; None if either does not apply."""
    first = one(case)
    second = None if first is None else two(first[0])
    if first is None or second is None:
        return None
    return second[0], f"{first[1]}, and {second[1]}"


def _pair(problem: Problem, first: int, second: int) -> str:
    """Return the names of two steps that are fused."""
    return f"{label(problem.steps, first)} with {label(problem.steps, second)}"


def _fuse(case: InfeasibleInstance) -> Changed:
    """Fuse each step that is too large with a neighbour, if that makes it smaller.

    Greedy: the largest step first, each time with the neighbour that leaves the least.
    """
    pairs: list[str] = []
    while (over := case.over()) and not case.deadline.passed():
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
    return (case, f"fuse {_enumeration(pairs)}") if pairs else None


def _fuse_all(case: InfeasibleInstance) -> Changed:
    """Fuse every pointwise step into the step before it."""
    names: list[str] = []
    while pairs := disjoint_pairs(fusable(case.problem, case.pointwise)):
        names += [_pair(case.problem, *pair) for pair in pairs]
        case = case.fused(*pairs)
    return (case, f"fuse {_enumeration(names)}") if names else None


def _write_over(case: InfeasibleInstance) -> Changed:
    """Let each step that is too large overwrite an input without other readers."""
    return _written_over(case, case.over())


def _write_over_all(case: InfeasibleInstance) -> Changed:
    """Let each pointwise step overwrite an input without other readers."""
    return _written_over(case, range(len(case.problem.steps)))


def _written_over(case: InfeasibleInstance, steps: Sequence[int]) -> Changed:
    """Let those of some steps that are pointwise overwrite an input without other readers."""
    problem = case.problem
    source = {s: in_place_source(problem, s) for s in steps if s in case.pointwise}
    pointwise = [s for s, t in source.items() if t >= 0]
    if not pointwise:
        return None
    names = [
        f"{label(problem.steps, s)} over {label(problem.buffers, source[s])}"
        for s in pointwise[:_MAX_NAMES]
    ]
    changed = replace(case, problem=in_place(problem, pointwise))
    return changed, f"write in place: {_enumeration(names, len(pointwise))}"


def _stream_scratch(case: InfeasibleInstance) -> Changed:
    """Stream weights and workspace of each step that is too large instead of holding them."""
    problem = case.problem
    large = [s for s in case.over() if problem.steps[s].scratch_bytes]
    if not large:
        return None
    names = _enumeration([label(problem.steps, s) for s in large[:_MAX_NAMES]], len(large))
    changed = replace(case, problem=without_scratch(problem, large))
    return changed, f"stream the weights and workspace of {names}"


def _narrow_tensors(case: InfeasibleInstance) -> Changed:
    """Store every activation in half as many bits."""
    changed = replace(case, problem=narrowed(case.problem))
    return changed, "half the bits of every activation (as from 8 to 4)"


def _stream_in_parts(case: InfeasibleInstance) -> Lever | None:
    """Stream the largest tensors of each step that is too large through the memory in parts.

    A step that needs ``n`` bytes and streams tensors of ``b_t`` bytes in ``p`` parts then needs
    ``n - sum_t (b_t - ceil(b_t / p))``. None if some step still does not fit.
    """
    problem, capacity_bytes = case.problem, case.capacity
    sizes = [b.size_bytes for b in problem.buffers]
    described: list[str] = []
    steps = case.over()
    traffic = largest = 0
    for s in steps:
        step, needed = problem.steps[s], problem.working_set_bytes[s]
        in_place_pair = {step.takes_over, step.writes[0]} if step.takes_over >= 0 else set[int]()
        streams = [t for t in dict.fromkeys((*step.reads, *step.writes)) if t not in in_place_pair]
        streams.sort(key=lambda t: -sizes[t])
        # Fewest tensors first, then fewest parts.
        options = (
            (left, parts, streamed)
            for count in range(1, len(streams) + 1)
            for streamed in [streams[:count]]
            for parts in _PART_COUNTS
            for left in [needed - sum(sizes[t] - -(-sizes[t] // parts) for t in streamed)]
            if left <= capacity_bytes
        )
        left, parts, streamed = next(options, (0, 0, list[int]()))
        if not parts:
            return None
        largest = max(largest, left)
        if len(described) < _MAX_NAMES:
            tensors = " and ".join(label(problem.buffers, t) for t in streamed)
            described.append(f"{tensors} of {label(problem.steps, s)} in {parts} parts")
        traffic += sum(sizes[t] for t in streamed)
    others = max((w for w in problem.working_set_bytes if w <= capacity_bytes), default=0)
    saves = problem.largest_working_set_bytes - max(largest, others)
    streams = _enumeration(described, len(steps))
    statement = f"tile rows, beside the halo: stream {streams}"
    statement += f", for up to {binary(traffic)} off-chip traffic"
    return Lever(statement, float(saves), True)
