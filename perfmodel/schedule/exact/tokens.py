"""Interchangeable steps: copies of one type, of which only counts per location matter.

A step is private if all its outputs are read by one and the same step. Two private steps have the
same type if they read the same external buffers and as many outputs of each type, and need and
write as many bytes. (Heads of an attention layer: queries and keys are one type, values another,
products of queries and keys a third.) The inputs of a private step are freed and its output serves
one reader, so that the steps of one type, each with all steps that lead to it, may be permuted:
whichever output a reader consumes, relabelling yields a schedule of the original problem of the
same cost. A search therefore needs one state for all labellings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.masks import bits, mask_of


@dataclass(frozen=True, slots=True)
class TokenType:
    """Copies of a step, each with a single output.

    Attributes
    ----------
    steps, buffers
        The copies and, in the same order, their outputs.
    readers
        The only reader of each output.
    """

    steps: tuple[int, ...]
    buffers: tuple[int, ...]
    readers: tuple[int, ...]
    steps_mask: int
    buffers_mask: int


def token_types(core: BitmaskProblem) -> tuple[TokenType, ...]:
    """Return the types with more than one copy, readers before their inputs."""
    kind: dict[int, int] = {}
    known: dict[tuple[object, ...], int] = {}
    for s in range(core.steps):
        reader = core.readers[core.writes[s].bit_length() - 1] if core.writes[s] else 0
        if core.writes[s].bit_count() != 1 or reader.bit_count() != 1:
            continue
        written = core.writes[s].bit_length() - 1
        outside, inside = 0, list[int]()
        for t in bits(core.reads[s]):
            maker = core.maker[t]
            if maker in kind:
                inside.append(kind[maker])
            else:
                outside |= 1 << t
        signature = (
            core.growth[s],
            core.sizes[written],
            core.stored >> written & 1,
            outside,
            tuple(sorted(inside)),
        )
        kind[s] = known.setdefault(signature, len(known))
    members: dict[int, list[int]] = {}
    for s, k in kind.items():
        members.setdefault(k, []).append(s)
    types = [_type(core, steps) for steps in members.values() if len(steps) > 1]
    # A type is numbered after those that it reads, so the last come first.
    return tuple(reversed(types))


def _type(core: BitmaskProblem, steps: Sequence[int]) -> TokenType:
    buffers = tuple(core.writes[s].bit_length() - 1 for s in steps)
    return TokenType(
        tuple(steps),
        buffers,
        tuple(core.readers[t].bit_length() - 1 for t in buffers),
        mask_of(steps),
        mask_of(buffers),
    )


class Tokens:
    """Canonical labelling of states: the first copies are done, those off chip come first."""

    def __init__(self, core: BitmaskProblem, *, merge: bool = True) -> None:
        self.types = token_types(core) if merge else ()
        self.kind = {t: i for i, kind in enumerate(self.types) for t in kind.buffers}
        self.steps_mask = sum(t.steps_mask for t in self.types)
        self.buffers_mask = sum(t.buffers_mask for t in self.types)

    def __bool__(self) -> bool:
        return bool(self.types)

    def done(self, done: int) -> int:
        """Return the canonical set of executed steps."""
        for kind in self.types:
            many = (done & kind.steps_mask).bit_count()
            others = done & ~kind.steps_mask
            consumed, waiting = 0, list[int]()
            for step, reader in zip(kind.steps, kind.readers, strict=True):
                if others >> reader & 1:
                    consumed |= 1 << step
                else:
                    waiting.append(step)
            for step in waiting[: many - consumed.bit_count()]:
                consumed |= 1 << step
            done = others | consumed
        return done

    def pools(self, done: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return, for each type with live buffers, their mask and the masks of the last k.

        `done` is canonical. The k-th entry has the last k buffers that wait for their reader.
        """
        pools: list[tuple[int, tuple[int, ...]]] = []
        for kind in self.types:
            last = [0]
            for step, buffer, reader in zip(
                reversed(kind.steps), reversed(kind.buffers), reversed(kind.readers), strict=True
            ):
                if done >> step & 1 and not done >> reader & 1:
                    last.append(last[-1] | 1 << buffer)
            if last[-1]:
                pools.append((kind.buffers_mask, tuple(last)))
        return tuple(pools)

    def representative(self, step: int, done: int) -> bool:
        """Return whether `step` is the copy that represents all copies not yet executed."""
        for kind in self.types:
            if kind.steps_mask >> step & 1:
                return next(s for s in kind.steps if not done >> s & 1) == step
        return True

    def takes(
        self, core: BitmaskProblem, step: int, done: int
    ) -> tuple[tuple[int, int], ...] | None:
        """Return, for each type that a step reads, the waiting outputs and the number consumed.

        None if fewer are waiting.
        """
        takes: list[tuple[int, int]] = []
        for kind in self.types:
            count = (core.reads[step] & kind.buffers_mask).bit_count()
            if count:
                waiting = mask_of(
                    b
                    for s, b, r in zip(kind.steps, kind.buffers, kind.readers, strict=True)
                    if done >> s & 1 and not done >> r & 1
                )
                if waiting.bit_count() < count:
                    return None
                takes.append((waiting, count))
        return tuple(takes)

    def exclusive(self, core: BitmaskProblem, step: int, done: int) -> bool:
        """Return whether only `step` and its copies can consume its inputs before it runs."""
        own = 1 << step
        for kind in self.types:
            if kind.steps_mask >> step & 1:
                own = kind.steps_mask
        own |= core.descendants[step]
        return not any(
            core.reads[step] & kind.buffers_mask
            and any(not (done | own) >> reader & 1 for reader in kind.readers)
            for kind in self.types
        )
