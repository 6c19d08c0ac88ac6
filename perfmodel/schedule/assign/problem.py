"""Assignment problem: seconds of operators on engines, and of tensors between engines.

All methods of `solve.py` and the replay (`list_scheduling.py`) share its semantics; it knows
nothing of networks and devices, from which `network_problem.py` builds it.
"""

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
    """Operators in topological order, engines, and tensors.

    Semantics, shared by all methods and the replay: an operator runs entirely on one engine. A
    tensor that another engine reads is sent there once and remains there for later readers; it is
    sent after its maker has ended. A transfer takes ``delays[tensor, maker's engine, reader's
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
        includes the conversion of formats.
    channels
        Channel between each pair of engines, shape ``(engines, engines)``; -1 if transfers do not
        contend.
    operators, engines
        Names of operators and engines.
    shared
        Seconds for which an operator on an engine occupies resources shared by all engines (a
        memory), shape ``(resources, operators, engines)``. The total of each resource is a lower
        bound for engines in parallel and for pipelines of runs.
    demand, limits
        Bytes that an operator on an engine needs in a memory, shape ``(memories, operators,
        engines)``, and capacity of each memory in bytes, for the total of all operators.
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
        """Return a problem in which each edge carries a separate tensor.

        Parameters
        ----------
        costs
            Seconds, shape ``(operators, engines)``; infinite if not supported.
        edges
            Pairs (maker, reader) of operators.
        bytes_
            Bytes of each edge, or of all edges.
        latency_s, seconds_per_byte
            Latency and reciprocal bandwidth from engine to engine, broadcast to ``(engines,
            engines)``; the diagonal is ignored.
        conversion_s
            Additional seconds on each edge, broadcast to ``(edges, engines, engines)``.
        channels
            As the attribute; without channels transfers do not contend.

        Raises
        ------
        InputError
            As for `check`.
        """
        table = np.array(costs, dtype=np.float64)
        if table.ndim != 2:
            raise input_error(
                "costs do not form a table", "costs", expected="shape (operators, engines)"
            )
        m = table.shape[1]
        pairs = [(int(i), int(j)) for i, j in edges]
        size: Floats = np.broadcast_to(np.asarray(bytes_, dtype=np.float64), (len(pairs),))
        each = np.broadcast_to(np.asarray(seconds_per_byte, dtype=np.float64), (m, m))
        start = np.broadcast_to(np.asarray(latency_s, dtype=np.float64), (m, m))
        with np.errstate(invalid="ignore"):  # zero bytes over a missing link
            streaming: Floats = np.nan_to_num(size[:, None, None] * each, nan=0.0, posinf=np.inf)
        delays: Floats = start + streaming + np.asarray(conversion_s, dtype=np.float64)
        return cls.with_tensors(
            table, [i for i, _ in pairs], [(j,) for _, j in pairs], delays, channels=channels
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
        """Return a problem over tensors with any number of readers; see the attributes.

        Raises
        ------
        InputError
            As for `check`.
        """
        table = np.array(costs, dtype=np.float64)
        n, m = table.shape
        sent: Floats = np.array(
            np.broadcast_to(np.asarray(delays, dtype=np.float64), (len(maker), m, m))
        )
        sent[:, np.arange(m), np.arange(m)] = 0.0
        channel: Index = np.full((m, m), -1, dtype=np.intp)
        if channels is not None:
            channel[...] = np.asarray(channels, dtype=np.intp)
        problem = cls(
            table,
            np.asarray(maker, dtype=np.intp),
            tuple(tuple(sorted({int(r) for r in each})) for each in readers),
            sent,
            channel,
            tuple(operators) or tuple(f"operator {i}" for i in range(n)),
            tuple(engines) or tuple(f"engine {e}" for e in range(m)),
            np.zeros((0, n, m)) if shared is None else np.array(shared, dtype=np.float64),
            np.zeros((0, n, m)) if demand is None else np.array(demand, dtype=np.float64),
            np.array(limits, dtype=np.float64),
        )
        problem.check()
        return problem

    def check(self) -> None:
        """Raise an error if the problem is invalid.

        Raises
        ------
        InputError
            Negative or undefined seconds; a tensor with a reader that does not follow its maker.
        """
        n, m = self.costs.shape
        shared, demand, limits = self.shared, self.demand, self.limits
        is_nonnegative = (demand >= 0).all() and (limits >= 0).all()
        checks = [
            (m < 1, "there are no engines", "costs", "at least one"),
            (
                not (self.costs >= 0).all(),
                "a cost is negative or undefined",
                "costs",
                "seconds from 0, or infinite",
            ),
            (
                not (self.delays >= 0).all(),
                "a delay is negative or undefined",
                "delays",
                "seconds from 0",
            ),
            *(
                (
                    not read or maker < 0 or read[0] <= maker or read[-1] >= n,
                    f"tensor {t} is made by operator {maker} and read by {list(read)}",
                    "readers",
                    f"readers after the maker, below {n}",
                )
                for t, (maker, read) in enumerate(zip(self.maker, self.readers, strict=True))
            ),
            (
                shared.shape[1:] != (n, m) or not (shared >= 0).all(),
                "shared seconds are negative, or do not cover every operator on every engine",
                "shared",
                "seconds from 0",
            ),
            (
                demand.shape != (len(limits), n, m) or not is_nonnegative,
                "a memory has no limit, or a demand is negative",
                "demand",
                "bytes from 0",
            ),
            (
                len(self.operators) != n or len(self.engines) != m,
                "names do not match the table of costs",
                "operators",
                "",
            ),
        ]
        faults = [Fault(text, path, expected=right) for holds, text, path, right in checks if holds]
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
        """Operators that no engine can run."""
        return tuple(int(i) for i in np.flatnonzero(~np.isfinite(self.costs).any(axis=1)))

    @cached_property
    def pairs(self) -> tuple[Index, Index]:
        """Tensor and reader of every read, shape ``(reads,)`` each."""
        tensor = [t for t, read in enumerate(self.readers) for _ in read]
        reader = [r for read in self.readers for r in read]
        return np.array(tensor, dtype=np.intp), np.array(reader, dtype=np.intp)

    @cached_property
    def feeds(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each operator the reads of its outputs: index into `pairs`, and reader."""
        out: list[list[tuple[int, int]]] = [[] for _ in range(self.count)]
        for k, (t, reader) in enumerate(zip(*self.pairs, strict=True)):
            out[int(self.maker[t])].append((k, int(reader)))
        return tuple(map(tuple, out))

    @cached_property
    def writes(self) -> tuple[tuple[int, ...], ...]:
        """Tensors that each operator writes."""
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

        Infinite if the problem has a single engine.
        """
        return np.where(np.eye(self.width, dtype=bool), np.inf, self.delays).min(axis=1)
