"""What is assigned: seconds of every operator on every engine, and of what flows between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perfmodel.errors import Fault, InputError, input_error

Floats: TypeAlias = NDArray[np.float64]
Index: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class AssignmentProblem:
    """Operators in an order in which each stands behind what it reads, engines, tensors.

    Semantics, which every method and the replay share. An operator runs on one engine, whole. A
    tensor that another engine reads is sent there once and stays there for its later readers; it
    leaves when its maker has ended. Sending takes ``delays[tensor, maker's engine, reader's
    engine]`` seconds and no time of either engine. Pairs of engines may share a channel, which
    sends one tensor at a time.

    Attributes
    ----------
    costs
        Seconds of operator on engine, shape ``(operators, engines)``; infinite where the engine
        cannot run it.
    maker
        Operator that makes each tensor, shape ``(tensors,)``.
    readers
        Operators that read each tensor, ascending, each later than the maker.
    delays
        Seconds to send each tensor, shape ``(tensors, engines, engines)``, zero on the diagonal;
        conversion of formats included.
    channels
        Channel that carries from engine to engine, shape ``(engines, engines)``; -1 where sending
        waits for nothing else.
    operators, engines
        Names.
    shared
        Seconds that operator on engine keeps what all engines share (a memory) busy, shape
        ``(resources, operators, engines)``. Engines in parallel and pipelines of runs take at least
        what each adds up to.
    demand, limits
        Bytes that operator on engine takes of a memory, shape ``(memories, operators, engines)``,
        and bytes that each memory has: what all operators take together must fit.
    """

    costs: Floats
    maker: Index
    readers: tuple[tuple[int, ...], ...]
    delays: Floats
    channels: Index
    operators: tuple[str, ...]
    engines: tuple[str, ...]
    shared: Floats
    demand: Floats
    limits: Floats

    @classmethod
    def of(
        cls,
        costs: ArrayLike,
        edges: Iterable[tuple[int, int]] = (),
        bytes_: ArrayLike = 0.0,
        *,
        latency_s: ArrayLike = 0.0,
        seconds_per_byte: ArrayLike = 0.0,
        conversion_s: ArrayLike = 0.0,
        channels: ArrayLike | None = None,
    ) -> AssignmentProblem:
        """Return a problem whose edges each carry a tensor of their own.

        Parameters
        ----------
        costs
            Seconds, shape ``(operators, engines)``; infinite where not supported.
        edges
            Pairs (operator that makes, operator that reads).
        bytes_
            Bytes of each edge, or of all.
        latency_s, seconds_per_byte
            Of a message from engine to engine, broadcast to ``(engines, engines)``; the diagonal is
            ignored.
        conversion_s
            Seconds more on each edge, broadcast to ``(edges, engines, engines)``.
        channels
            As the attribute; without it nothing waits for a channel.

        Raises
        ------
        InputError
            As `check`.
        """
        table = np.array(costs, dtype=np.float64)
        if table.ndim != 2:
            raise input_error("costs is no table", "costs", expected="operators x engines")
        m = table.shape[1]
        pairs = [(int(i), int(j)) for i, j in edges]
        size: Floats = np.broadcast_to(np.asarray(bytes_, dtype=np.float64), (len(pairs),))
        each = np.broadcast_to(np.asarray(seconds_per_byte, dtype=np.float64), (m, m))
        start = np.broadcast_to(np.asarray(latency_s, dtype=np.float64), (m, m))
        with np.errstate(invalid="ignore"):  # no bytes over no link
            moved: Floats = np.nan_to_num(size[:, None, None] * each, nan=0.0, posinf=np.inf)
        whole: Floats = start + moved + np.asarray(conversion_s, dtype=np.float64)
        return cls.with_tensors(
            table, [i for i, _ in pairs], [(j,) for _, j in pairs], whole, channels=channels
        )

    @classmethod
    def with_tensors(
        cls,
        costs: ArrayLike,
        maker: Sequence[int],
        readers: Sequence[Sequence[int]],
        delays: ArrayLike,
        *,
        channels: ArrayLike | None = None,
        operators: Sequence[str] = (),
        engines: Sequence[str] = (),
        shared: ArrayLike | None = None,
        demand: ArrayLike | None = None,
        limits: ArrayLike = (),
    ) -> AssignmentProblem:
        """Return a problem over tensors that several operators may read; see the attributes.

        Raises
        ------
        InputError
            As `check`.
        """
        table = np.array(costs, dtype=np.float64)
        n, m = table.shape
        sent: Floats = np.array(
            np.broadcast_to(np.asarray(delays, dtype=np.float64), (len(maker), m, m))
        )
        sent[:, np.arange(m), np.arange(m)] = 0.0
        lanes: Index = np.full((m, m), -1, dtype=np.intp)
        if channels is not None:
            lanes[...] = np.asarray(channels, dtype=np.intp)
        made = cls(
            table,
            np.asarray(maker, dtype=np.intp),
            tuple(tuple(sorted({int(r) for r in each})) for each in readers),
            sent,
            lanes,
            tuple(operators) or tuple(f"operator {i}" for i in range(n)),
            tuple(engines) or tuple(f"engine {e}" for e in range(m)),
            np.zeros((0, n, m)) if shared is None else np.array(shared, dtype=np.float64),
            np.zeros((0, n, m)) if demand is None else np.array(demand, dtype=np.float64),
            np.array(limits, dtype=np.float64),
        )
        made.check()
        return made

    def check(self) -> None:
        """Refuse what is no problem.

        Raises
        ------
        InputError
            Negative or undefined seconds; a tensor whose reader does not come after its maker.
        """
        faults: list[Fault] = []
        n, m = self.costs.shape
        if m < 1:
            faults.append(Fault("there is no engine", "costs", expected="at least one"))
        if np.isnan(self.costs).any() or (self.costs < 0).any():
            faults.append(
                Fault(
                    "a cost is negative or undefined",
                    "costs",
                    expected="seconds from 0, or infinite",
                )
            )
        if np.isnan(self.delays).any() or (self.delays < 0).any():
            faults.append(
                Fault("a delay is negative or undefined", "delays", expected="seconds from 0")
            )
        for t, (made, read) in enumerate(zip(self.maker, self.readers, strict=True)):
            if not read or made < 0 or read[0] <= made or read[-1] >= n:
                faults.append(
                    Fault(
                        f"tensor {t} is made by {made} and read by {list(read)}",
                        "readers",
                        expected=f"readers after the maker, below {n}",
                    )
                )
        if self.shared.shape[1:] != (n, m) or not (self.shared >= 0).all():
            faults.append(
                Fault(
                    "shared seconds are none, or not of every operator on every engine",
                    "shared",
                    expected="seconds from 0",
                )
            )
        held, limits = self.demand, self.limits
        if held.shape != (len(limits), n, m) or not ((held >= 0).all() and (limits >= 0).all()):
            faults.append(
                Fault(
                    "memories have no limit each, or a demand is below zero",
                    "demand",
                    expected="bytes from 0",
                )
            )
        if len(self.operators) != n or len(self.engines) != m:
            faults.append(Fault("names do not match the table of costs", "operators"))
        if faults:
            raise InputError(faults)

    @property
    def count(self) -> int:
        """Number of operators."""
        return self.costs.shape[0]

    @property
    def width(self) -> int:
        """Number of engines."""
        return self.costs.shape[1]

    @cached_property
    def unsupported(self) -> tuple[int, ...]:
        """Operators that no engine runs."""
        return tuple(int(i) for i in np.flatnonzero(~np.isfinite(self.costs).any(axis=1)))

    @cached_property
    def pairs(self) -> tuple[Index, Index]:
        """Tensor and reader of every read, shape ``(reads,)`` each."""
        tensor = [t for t, read in enumerate(self.readers) for _ in read]
        reader = [r for read in self.readers for r in read]
        return np.array(tensor, dtype=np.intp), np.array(reader, dtype=np.intp)

    @cached_property
    def made(self) -> tuple[tuple[int, ...], ...]:
        """Tensors that each operator makes."""
        out: list[list[int]] = [[] for _ in range(self.count)]
        for t, maker in enumerate(self.maker):
            out[int(maker)].append(t)
        return tuple(map(tuple, out))

    @cached_property
    def reads(self) -> tuple[tuple[int, ...], ...]:
        """Tensors that each operator reads."""
        out: list[list[int]] = [[] for _ in range(self.count)]
        for t, read in enumerate(self.readers):
            for r in read:
                out[r].append(t)
        return tuple(map(tuple, out))

    @cached_property
    def entering(self) -> Floats:
        """Least seconds for a tensor to reach each engine from any other, ``(tensors, engines)``.

        Infinite on the only engine of a problem, which nothing enters.
        """
        m = self.width
        off = np.where(np.eye(m, dtype=bool), np.inf, self.delays)
        found: Floats = off.min(axis=1) if len(self.delays) else np.zeros((0, m))
        return found
