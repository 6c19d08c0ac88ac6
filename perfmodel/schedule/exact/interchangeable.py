"""Symmetry of the exact search: interchangeable steps, such as the heads of an attention layer.

A step is private if all its outputs are read by one and the same step. Two private steps have the
same type if they read the same external buffers and as many outputs of each type, and need and
write as many bytes. (Queries and keys of all heads are one type, values another, products of
queries and keys a third.) The inputs of a private step are freed and its output serves one reader,
so that the steps of one type, each with all steps that lead to it, may be permuted: whichever
output a reader consumes, relabelling yields a schedule of the original problem of the same cost.

The search therefore needs one state for all labellings: it counts how many copies of each type
have run, and how many of their outputs are off chip, clean and dirty. `InterchangeableSteps` maps a
state to the canonical labelling with these counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.masks import bits, mask_of


@dataclass(frozen=True, slots=True)
class StepCopies:
    """Copies of a step, each with a single output.

    Attributes
    ----------
    steps, buffers
        The copies and, in the same order, their outputs.
    readers
        The only reader of each output.
    steps_mask, buffers_mask
        The copies and their outputs as masks.
    """

    steps: tuple[int, ...]
    buffers: tuple[int, ...]
    readers: tuple[int, ...]
    steps_mask: int
    buffers_mask: int


def interchangeable_steps(core: BitmaskProblem) -> tuple[StepCopies, ...]:
    """Return the types with more than one copy, readers before their inputs."""
    type_of: dict[int, int] = {}
    numbers: dict[tuple[object, ...], int] = {}
    for s in range(core.steps):
        reader = core.readers[core.writes[s].bit_length() - 1] if core.writes[s] else 0
        if core.writes[s].bit_count() != 1 or reader.bit_count() != 1:
            continue
        written = core.writes[s].bit_length() - 1
        outside, inside = 0, list[int]()
        for t in bits(core.reads[s]):
            maker = core.maker[t]
            if maker in type_of:
                inside.append(type_of[maker])
            else:
                outside |= 1 << t
        signature = (
            core.growth[s],
            core.sizes[written],
            core.stored >> written & 1,
            outside,
            tuple(sorted(inside)),
        )
        type_of[s] = numbers.setdefault(signature, len(numbers))
    members: dict[int, list[int]] = {}
    for s, number in type_of.items():
        members.setdefault(number, []).append(s)
    types = [_step_copies(core, steps) for steps in members.values() if len(steps) > 1]
    # A type is numbered after those that it reads, so the last come first.
    return tuple(reversed(types))


def _step_copies(core: BitmaskProblem, steps: Sequence[int]) -> StepCopies:
    """Return the copies of a type with their outputs and readers."""
    buffers = tuple(core.writes[s].bit_length() - 1 for s in steps)
    return StepCopies(
        tuple(steps),
        buffers,
        tuple(core.readers[t].bit_length() - 1 for t in buffers),
        mask_of(steps),
        mask_of(buffers),
    )


class InterchangeableSteps:
    """Canonical labelling of states: the first copies are done, those off chip come first.

    Parameters
    ----------
    merge
        Detect the interchangeable steps; otherwise there are none.

    Attributes
    ----------
    types
        The types with more than one copy.
    type_of
        Output of a copy -> index of its type.
    steps_mask, buffers_mask
        All copies and all their outputs as masks.
    """

    def __init__(self, core: BitmaskProblem, *, merge: bool = True) -> None:
        self.types = interchangeable_steps(core) if merge else ()
        self.type_of = {t: i for i, copies in enumerate(self.types) for t in copies.buffers}
        self.steps_mask = sum(t.steps_mask for t in self.types)
        self.buffers_mask = sum(t.buffers_mask for t in self.types)

    def __bool__(self) -> bool:
        return bool(self.types)

    def canonical_set(self, done: int) -> int:
        """Return the canonical set of executed steps."""
        for copies in self.types:
            count = (done & copies.steps_mask).bit_count()
            others = done & ~copies.steps_mask
            executed, waiting = 0, list[int]()
            for step, reader in zip(copies.steps, copies.readers, strict=True):
                if others >> reader & 1:
                    executed |= 1 << step
                else:
                    waiting.append(step)
            for step in waiting[: count - executed.bit_count()]:
                executed |= 1 << step
            done = others | executed
        return done

    def pools(self, done: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return, for each type with live buffers, their mask and the masks of the last k.

        `done` is canonical. The k-th entry has the last k buffers that wait for their reader.
        """
        pools: list[tuple[int, tuple[int, ...]]] = []
        for copies in self.types:
            last = [0]
            for step, buffer, reader in zip(
                reversed(copies.steps),
                reversed(copies.buffers),
                reversed(copies.readers),
                strict=True,
            ):
                if done >> step & 1 and not done >> reader & 1:
                    last.append(last[-1] | 1 << buffer)
            if last[-1]:
                pools.append((copies.buffers_mask, tuple(last)))
        return tuple(pools)

    def is_representative(self, step: int, done: int) -> bool:
        """Return whether `step` is the copy that represents all copies not yet executed."""
        for copies in self.types:
            if copies.steps_mask >> step & 1:
                return next(s for s in copies.steps if not done >> s & 1) == step
        return True

    def consumed(
        self, core: BitmaskProblem, step: int, done: int
    ) -> tuple[tuple[int, int], ...] | None:
        """Return, for each type that a step reads, the waiting outputs and the number consumed.

        None if fewer outputs wait than the step consumes, so that it is not ready.
        """
        consumed: list[tuple[int, int]] = []
        for copies in self.types:
            count = (core.reads[step] & copies.buffers_mask).bit_count()
            if count:
                waiting = mask_of(
                    b
                    for s, b, r in zip(copies.steps, copies.buffers, copies.readers, strict=True)
                    if done >> s & 1 and not done >> r & 1
                )
                if waiting.bit_count() < count:
                    return None
                consumed.append((waiting, count))
        return tuple(consumed)

    def is_exclusive(self, core: BitmaskProblem, step: int, done: int) -> bool:
        """Return whether only `step` and its copies can consume its inputs before it runs."""
        own = 1 << step
        for copies in self.types:
            if copies.steps_mask >> step & 1:
                own = copies.steps_mask
        own |= core.descendants[step]
        return not any(
            core.reads[step] & copies.buffers_mask
            and any(not (done | own) >> reader & 1 for reader in copies.readers)
            for copies in self.types
        )
