"""The oracle: what an architecture or a configuration of a space costs, for any outer loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.prediction import Prediction
from perfmodel.search.grid import every_choice, near_choices
from perfmodel.search.oracle.costs import OracleCosts, costs_of, predicted_member
from perfmodel.search.oracle.reader import FEASIBLE
from perfmodel.search.oracle.rows import Floats, Index
from perfmodel.workload.nas_spaces.base import checked_choice
from perfmodel.workload.workload import Workload

#: Choices up to which a space is costed whole.
WHOLE = 40_000


class OracleSpace(Protocol):
    """What an oracle asks of a space.

    `decisions` have a `name` and `options`; a *choice* is one option index a decision.
    """

    @property
    def name(self) -> str:
        """Name of the space."""
        ...

    @property
    def decisions(self) -> Sequence[Any]:
        """What is decided."""
        ...

    def encode(self, native: Any) -> tuple[int, ...]:
        """Return the choice that the space's own notation names."""
        ...

    def checked(self, choice: Sequence[Any]) -> tuple[int, ...]:
        """Return a choice as ints, or refuse it."""
        ...

    def workload(self, choice: Sequence[int], **settings: Any) -> Workload:
        """Return the workload of a choice."""
        ...


class Oracle:
    """Costs of a space on a device, found once and looked up.

    Equal to `perfmodel.predict.predict` on every member. Frozen, silent, deterministic, safe from
    several threads, equal and hashed by content, pickled as its arguments. What does not fit is a
    value: ``feasible`` is 0.

    Parameters
    ----------
    device
        A device, its name or the path of its file.
    space
        `pm.space(...)`: architectures, or configurations of a network.
    metrics
        Attributes of a prediction, such as ``latency_s`` and ``energy_j``; ``traffic_bytes.dram``
        for one memory.
    precision, runtime, engine, model, warm
        As for `predict`.
    settings
        Numbers for free dimensions of the workloads (``batch=8``).
    deadline
        When to give up making tables.

    Attributes
    ----------
    method
        ``tabled``: sums of rows, each costed once in every state of residency; ``predicted``: every
        member is predicted by itself, for the reason in `reason`.

    Raises
    ------
    InputError
        Unknown names, every fault at once.
    """

    def __init__(
        self,
        device: Device | Machine | str,
        space: OracleSpace,
        metrics: Sequence[str] = ("latency_s",),
        *,
        precision: str | Precision | None = None,
        runtime: str | Runtime | None = None,
        engine: str | None = None,
        model: str | None = None,
        warm: bool = False,
        settings: Mapping[str, float] | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        from perfmodel.hardware.library import hardware

        if not hasattr(space, "decisions") or not hasattr(space, "workload"):
            expected = "pm.space(name), or pm.space(network, choices)"
            raise input_error(f"{space!r} is no space", path="space", expected=expected)
        machine = device if isinstance(device, Device | Machine) else hardware(device)
        names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        self._arguments = (machine, space, names)
        self._options: dict[str, Any] = {
            "precision": precision,
            "runtime": runtime,
            "engine": engine,
            "model": model,
            "warm": warm,
            "settings": dict(settings or {}),
        }
        self.space = space
        self.device: Device = machine.device if isinstance(machine, Machine) else machine
        self._sizes = tuple(len(d.options) for d in space.decisions)
        self.costs: OracleCosts = costs_of(
            machine, space, names, **self._options, deadline=deadline
        )
        self.metrics: tuple[str, ...] = self.costs.metrics
        self.method, self.reason = self.costs.method, self.costs.reason
        self._table: dict[str, Floats] | None = None
        self._places = tuple(prod(self._sizes[i + 1 :]) for i in range(len(self._sizes)))
        if self.method == "tabled" and prod(self._sizes) <= WHOLE:
            with suppress(OutOfTimeError):
                # Looking up saves adding up; without it the tables answer as well.
                self._table = self.costs.metrics_of(every_choice(self._sizes), deadline)
        if self._table is not None:
            columns = [column.tolist() for column in self._table.values()]
            self._lines = list(zip(*columns, strict=True))
            self._names = list(self._table)
        self._frozen = True

    def __setattr__(self, name: str, value: object) -> None:
        if getattr(self, "_frozen", False):
            raise AttributeError("an oracle is frozen")
        super().__setattr__(name, value)

    # asking

    def __call__(self, architecture: Any) -> dict[str, float]:
        """Return metric -> number, and ``feasible`` (1 or 0), of one member.

        Parameters
        ----------
        architecture
            A choice (option indices), or the space's own notation.

        Raises
        ------
        InputError
            It is no member.
        """
        choice = self._choice(architecture)
        if self._table is not None:
            index = 0
            for option, place in zip(choice, self._places, strict=True):
                index += option * place
            return dict(zip(self._names, self._lines[index], strict=True))
        return self.costs.one(choice)

    def predict(self, architecture: Any) -> Prediction:
        """Return the prediction of one member: every metric, with its basis and intervals.

        Parameters
        ----------
        architecture
            As `__call__` takes it.
        """
        device, space, _ = self._arguments
        options = {name: value for name, value in self._options.items() if name != "settings"}
        choice = self._choice(architecture)
        return predicted_member(space, choice, device, self._options["settings"], options)

    def batch(self, architectures: Any, deadline: Deadline | None = None) -> dict[str, Floats]:
        """Return metric -> array of shape ``(members,)``, and ``feasible``.

        Parameters
        ----------
        architectures
            An integer array ``(members, decisions)`` of option indices, or a sequence of what
            `__call__` takes.
        deadline
            When to give up.

        Raises
        ------
        InputError
            Every one that is no member.
        OutOfTimeError
            The deadline passed before all of them were costed.
        """
        choices = self._choices(architectures)
        if not len(choices):
            return {name: np.zeros(0) for name in (*self.metrics, FEASIBLE)}
        if self._table is not None:
            index = choices @ np.array(self._places, dtype=np.intp)
            return {name: column[index] for name, column in self._table.items()}
        return self.costs.metrics_of(choices, deadline)

    def lower_bound(self, partial: Sequence[int | None]) -> dict[str, float]:
        """Return for each metric what no completion of a partial choice is below.

        Parameters
        ----------
        partial
            An option index a decision, ``None`` where it is open.

        Raises
        ------
        InputError
            Bounds are known of tabled costs of latency, energy, bytes, MACs and bit operations.
        """
        allowed = self._allowed(partial)
        return self.costs.lower_bound(allowed)

    def gradient(self, weights: Sequence[Any]) -> tuple[dict[str, float], dict[str, list[Floats]]]:
        """Return expected metrics under probabilities of the options, and their slopes.

        The expectation is expanded around the most likely member: its own cost plus, for every
        other option, its probability times what taking that option alone changes. It is the cost
        itself where one member is certain, and exact where costs add. Staircases of the hardware
        (channels, tiles) stand as they are: the probabilities are what is relaxed.

        Parameters
        ----------
        weights
            One array of probabilities a decision; they need not be normalised.

        Returns
        -------
        values
            Metric -> expected number.
        slopes
            Metric -> one array a decision: derivative by each (normalised) probability.
        """
        shares = self._shares(weights)
        likely = [int(np.argmax(share)) for share in shares]
        metrics = self.batch(np.concatenate([[likely], near_choices(likely, self._sizes)]))
        values: dict[str, float] = {}
        slopes: dict[str, list[Floats]] = {}
        for name in self.metrics:
            base, *near = metrics[name]
            changes = np.split(np.array(near) - base, np.cumsum(self._sizes)[:-1])
            gains = [float(share @ change) for share, change in zip(shares, changes, strict=True)]
            values[name], slopes[name] = sum(gains, float(base)), changes
        return values, slopes

    # content

    @property
    def content_hash(self) -> str:
        """Hash of device, space, metrics and options."""
        device, space, metrics = self._arguments
        varied: dict[str, Any] = {}
        if isinstance(device, Machine):
            device, varied = device.device, dict(device.varied)
        text = repr(
            (
                device.model_dump_json(),
                sorted(varied.items()),
                getattr(space, "content_hash", None) or repr(space),
                metrics,
                sorted(self._options.items()),
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Oracle) and other.content_hash == self.content_hash

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (*self._arguments, self._options)

    def __repr__(self) -> str:
        _, space, _ = self._arguments
        method = self.method if not self.reason else f"{self.method}: {self.reason}"
        return f"Oracle({self.device.name}, {space.name}: {', '.join(self.metrics)}; {method})"

    # input

    def _choice(self, member: Any) -> tuple[int, ...]:
        if type(member) is tuple:
            choice = cast("tuple[Any, ...]", member)
            if len(choice) == len(self._sizes):
                for option, size in zip(choice, self._sizes, strict=True):
                    if type(option) is not int or not 0 <= option < size:
                        break
                else:
                    return choice
        if not isinstance(member, Sequence | np.ndarray) or isinstance(member, str):
            return self.space.encode(member)
        items = list(cast("Sequence[Any]", member))
        if items and all(isinstance(i, str) for i in items):
            return self.space.encode(items)
        return self.space.checked(items)

    def _choices(self, members: Any) -> Index:
        if isinstance(members, np.ndarray):
            array = cast("npt.NDArray[Any]", members)
            sizes = np.array(self._sizes)
            if (
                array.dtype.kind in "iu"
                and array.ndim == 2
                and array.shape[1] == len(sizes)
                and np.all((array >= 0) & (array < sizes))
            ):
                return array.astype(np.intp, copy=False)
            members = array.tolist()
        text = repr(str(members)[:60])
        if isinstance(members, str | Mapping) or not isinstance(members, Iterable):
            raise input_error(
                f"{text} is no list of members",
                path="architectures",
                expected="an integer array (members, decisions), or a sequence of members",
            )
        faults: list[Fault] = []
        rows: list[tuple[int, ...]] = []
        for i, member in enumerate(cast("Iterable[Any]", members)):
            try:
                rows.append(self._choice(member))
            except InputError as error:
                faults += [replace(f, path=f"[{i}].{f.path}".rstrip(".")) for f in error.faults]
        if faults:
            raise InputError(faults)
        return np.array(rows, dtype=np.intp).reshape(-1, len(self._sizes))

    def _allowed(self, partial: Sequence[int | None]) -> list[list[int]]:
        options: Any = partial
        if isinstance(options, Sequence | np.ndarray) and not isinstance(options, str):
            options = [0 if option is None else option for option in partial]
        choice = checked_choice(self.space, options)
        return [
            list(range(size)) if stated is None else [option]
            for stated, option, size in zip(partial, choice, self._sizes, strict=True)
        ]

    def _shares(self, weights: Sequence[Any]) -> list[Floats]:
        faults: list[Fault] = []
        shares: list[Floats] = []
        expected = f"one array a decision: {len(self._sizes)}"
        rows: Any = weights
        if isinstance(rows, str) or not isinstance(rows, Sequence | np.ndarray):
            raise input_error("no weights", path="weights", expected=expected)
        if len(weights) != len(self._sizes):
            raise input_error(f"{len(weights)} arrays of weights", expected=expected)
        for i, (given, size) in enumerate(zip(weights, self._sizes, strict=True)):
            try:
                share = np.asarray(given, dtype=float)
            except (TypeError, ValueError):
                share = np.zeros(0)
            if share.shape != (size,) or not np.all(share >= 0) or not 0 < share.sum() < np.inf:
                expected = f"{size} numbers of 0 or more, not all 0"
                name = self.space.decisions[i].name
                faults.append(Fault("no probabilities", path=name, expected=expected))
            else:
                shares.append(share / share.sum())
        if faults:
            raise InputError(faults)
        return shares


def _restored(
    device: Device | Machine, space: OracleSpace, metrics: tuple[str, ...], options: dict[str, Any]
) -> Oracle:
    return Oracle(device, space, metrics, **options)
