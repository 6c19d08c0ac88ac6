"""The oracle: costs of the members of a space on a device, for any outer search loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
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
from perfmodel.search.choice_rows import all_choices, neighbouring_choices
from perfmodel.search.oracle.kernel_pricing import Floats, Index
from perfmodel.search.oracle.metric_reader import FEASIBLE
from perfmodel.search.oracle.oracle_costs import OracleCosts, costs_of, predicted_member
from perfmodel.settings import FaultList
from perfmodel.workload.workload import Workload

#: Largest number of choices for which a space is tabulated in full.
MAX_TABULATED_CHOICES = 40_000


class OracleSpace(Protocol):
    """Interface of a space that an oracle reads.

    Each of `decisions` has a `name` and `options`; a *choice* is one option index per decision.
    """

    @property
    def name(self) -> str:
        """Name of the space."""
        ...

    @property
    def decisions(self) -> Sequence[Any]:
        """The decisions, in order."""
        ...

    def encode(self, native: Any) -> tuple[int, ...]:
        """Return the choice for a member in the space's own notation."""
        ...

    def checked(self, choice: Sequence[Any]) -> tuple[int, ...]:
        """Return a choice as a tuple of ints, or raise an error if it is invalid."""
        ...

    def workload(self, choice: Sequence[int], **settings: Any) -> Workload:
        """Return the workload of a choice."""
        ...


class Oracle:
    """Costs of the members of a space on a device, computed once and then looked up.

    The result equals `perfmodel.predict.predict` for every member. Oracles are immutable, silent,
    deterministic and thread-safe; they compare and hash by content and are pickled as their
    arguments. A member that does not fit has ``feasible`` 0; it is not an error.

    Parameters
    ----------
    device
        A device, its name or the path of its spec file.
    space
        `pm.space(...)`: architectures, or configurations of a network.
    metrics
        Attributes of a prediction, for example ``latency_s`` and ``energy_j``;
        ``traffic_bytes.dram`` for one memory.
    precision, runtime, engine, model, warm
        As for `predict`.
    settings
        Values of free dimensions of the workloads (``batch=8``).
    deadline
        Time limit for the construction of tables.

    Attributes
    ----------
    method
        ``tabled``: sums of rows, each costed once in every state of residency; ``predicted``: every
        member is predicted separately, for the reason in `reason`.

    Raises
    ------
    InputError
        For all unknown names at once.
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
            raise input_error(f"{space!r} is not a space", path="space", expected=expected)
        machine = device if isinstance(device, Device | Machine) else hardware(device)
        names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
        self._arguments = (machine, space, names)
        self._options: dict[str, Any] = {
            "precision": precision,
            "runtime": runtime,
            "engine": engine,
            "model": model,
            "warm": warm,
        }
        self._settings = dict(settings or {})
        self.space = space
        self.device: Device = machine.device if isinstance(machine, Machine) else machine
        self._sizes = tuple(len(d.options) for d in space.decisions)
        self.costs: OracleCosts = costs_of(
            machine, space, names, self._options, self._settings, deadline
        )
        self.metrics: tuple[str, ...] = self.costs.metrics
        self.method, self.reason = self.costs.method, self.costs.reason
        self._table: dict[str, Floats] | None = None
        self._places = tuple(prod(self._sizes[i + 1 :]) for i in range(len(self._sizes)))
        if self.method == "tabled" and prod(self._sizes) <= MAX_TABULATED_CHOICES:
            with suppress(OutOfTimeError):
                # The full table only saves summation; without it the row tables suffice.
                self._table = self.costs.metrics_of(all_choices(self._sizes), deadline)
        self._frozen = True

    def __setattr__(self, name: str, value: object) -> None:
        if getattr(self, "_frozen", False):
            raise AttributeError("an oracle is frozen")
        super().__setattr__(name, value)

    @cached_property
    def _rows_of_table(self) -> list[list[float]]:
        """Metrics of each choice in the full table, as numbers of Python."""
        return np.stack([*(self._table or {}).values()], axis=-1).tolist()

    # asking

    def __call__(self, architecture: Any) -> dict[str, float]:
        """Return metric -> value, and ``feasible`` (1 or 0), of one member.

        Parameters
        ----------
        architecture
            A choice (option indices), or the space's own notation.

        Raises
        ------
        InputError
            The argument is not a member of the space.
        """
        choice = self._choice(architecture)
        if self._table is not None:
            index = 0
            for option, place in zip(choice, self._places, strict=True):
                index += option * place
            return dict(zip(self._table, self._rows_of_table[index], strict=True))
        return self.costs.one(choice)

    def predict(self, architecture: Any) -> Prediction:
        """Return the prediction of one member: every metric, with its basis and intervals.

        Parameters
        ----------
        architecture
            As for `__call__`.
        """
        device, space, _ = self._arguments
        choice = self._choice(architecture)
        return predicted_member(space, choice, device, self._settings, self._options)

    def batch(self, architectures: Any, deadline: Deadline | None = None) -> dict[str, Floats]:
        """Return metric -> array of shape ``(members,)``, and ``feasible``, of many members.

        Parameters
        ----------
        architectures
            An integer array ``(members, decisions)`` of option indices, or a sequence of arguments
            of `__call__`.
        deadline
            Time limit.

        Raises
        ------
        InputError
            For all entries that are not members.
        OutOfTimeError
            The deadline passed before all members were costed.
        """
        choices = self._choices(architectures)
        if not len(choices):
            return {name: np.zeros(0) for name in (*self.metrics, FEASIBLE)}
        if self._table is not None:
            index = choices @ np.array(self._places, dtype=np.intp)
            return {name: column[index] for name, column in self._table.items()}
        return self.costs.metrics_of(choices, deadline)

    def lower_bound(self, partial: Sequence[int | None]) -> dict[str, float]:
        """Return a lower bound on each metric over all completions of a partial choice.

        Parameters
        ----------
        partial
            An option index per decision; ``None`` for an open decision.

        Raises
        ------
        InputError
            Bounds exist only for tabled costs of latency, energy, bytes, MACs and bit operations.
        """
        allowed = self._allowed(partial)
        return self.costs.lower_bound(allowed)

    def gradient(self, weights: Sequence[Any]) -> tuple[dict[str, float], dict[str, list[Floats]]]:
        """Return expected metrics under option probabilities, and their derivatives.

        The expectation is expanded to first order around the most likely member c: E = f(c) +
        sum over decisions i and options k of p[i, k] (f(c with c_i = k) - f(c)). It equals the cost
        if one member is certain, and is exact for additive costs. Staircases of the hardware
        (channels, tiles) are not smoothed; only the choice is relaxed.

        Parameters
        ----------
        weights
            One array of probabilities per decision, not necessarily normalised.

        Returns
        -------
        values
            Metric -> expected value.
        slopes
            Metric -> one array per decision: derivative by each normalised probability.
        """
        shares = self._shares(weights)
        likely = [int(np.argmax(share)) for share in shares]
        metrics = self.batch(np.concatenate([[likely], neighbouring_choices(likely, self._sizes)]))
        values: dict[str, float] = {}
        slopes: dict[str, list[Floats]] = {}
        for name in self.metrics:
            base, *near = metrics[name]
            # Times that never end have no slope.
            with np.errstate(invalid="ignore"):
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
                sorted(self._all_options.items()),
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def _all_options(self) -> dict[str, Any]:
        return {**self._options, "settings": self._settings}

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Oracle) and other.content_hash == self.content_hash

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (*self._arguments, self._all_options)

    def __repr__(self) -> str:
        _, space, _ = self._arguments
        method = self.method if not self.reason else f"{self.method}: {self.reason}"
        return f"Oracle({self.device.name}, {space.name}: {', '.join(self.metrics)}; {method})"

    # input

    def _choice(self, member: Any) -> tuple[int, ...]:
        """Return a member as a choice; option indices take a fast path."""
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
        """Return members as an index array ``(members, decisions)``, or raise all faults."""
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
                f"{text} is not a list of members",
                path="architectures",
                expected="an integer array (members, decisions), or a sequence of members",
            )
        faults = FaultList()
        rows: list[tuple[int, ...]] = []
        for i, member in enumerate(cast("Iterable[Any]", members)):
            try:
                rows.append(self._choice(member))
            except InputError as error:
                faults += [replace(f, path=f"[{i}].{f.path}".rstrip(".")) for f in error.faults]
        faults.settle()
        return np.array(rows, dtype=np.intp).reshape(-1, len(self._sizes))

    def _allowed(self, partial: Sequence[int | None]) -> list[list[int]]:
        options: Any = partial
        if isinstance(options, Sequence | np.ndarray) and not isinstance(options, str):
            options = [0 if option is None else option for option in partial]
        choice = self.space.checked(options)
        return [
            list(range(size)) if stated is None else [option]
            for stated, option, size in zip(partial, choice, self._sizes, strict=True)
        ]

    def _shares(self, weights: Sequence[Any]) -> list[Floats]:
        """Return normalised probabilities, or raise all faults of the weights."""
        faults = FaultList()
        shares: list[Floats] = []
        expected = f"one array per decision: {len(self._sizes)}"
        rows: Any = weights
        if isinstance(rows, str) or not isinstance(rows, Sequence | np.ndarray):
            raise input_error("no weights", path="weights", expected=expected)
        if len(weights) != len(self._sizes):
            raise input_error(f"{len(weights)} arrays of weights", expected=expected)
        for i, (stated, size) in enumerate(zip(weights, self._sizes, strict=True)):
            try:
                share = np.asarray(stated, dtype=float)
            except (TypeError, ValueError):
                share = np.zeros(0)
            if share.shape != (size,) or not np.all(share >= 0) or not 0 < share.sum() < np.inf:
                expected = f"{size} numbers of 0 or more, not all 0"
                name = self.space.decisions[i].name
                faults.append(Fault("no probabilities", path=name, expected=expected))
            else:
                shares.append(share / share.sum())
        faults.settle()
        return shares


def _restored(
    device: Device | Machine, space: OracleSpace, metrics: tuple[str, ...], options: dict[str, Any]
) -> Oracle:
    return Oracle(device, space, metrics, **options)
