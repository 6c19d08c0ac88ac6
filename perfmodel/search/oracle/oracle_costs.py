"""Backends of an oracle: tables for spaces that decompose into rows, predictions for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, Protocol

import numpy as np

from perfmodel.bulk_allocation import collector_paused
from perfmodel.errors import InputError, input_error
from perfmodel.formats import as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.optimise.deadline import Deadline
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.search.constraints import PER_ITEM, RATES
from perfmodel.search.oracle.kernel_pricing import Floats, Index, NotTabledError
from perfmodel.search.oracle.metric_reader import (
    FEASIBLE,
    MetricReader,
    checked_metrics,
    metric_faults,
    metric_of,
)
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.stretch_chain import NetworkSums
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.settings import FaultList
from perfmodel.workload.nas_spaces import ArchitectureSpace


class OracleCosts(Protocol):
    """Costs of the members of a space: the interface that an oracle calls."""

    metrics: tuple[str, ...]
    method: str
    reason: str

    def metrics_of(self, choices: Index, deadline: Deadline | None = None) -> dict[str, Floats]:
        """Return metric -> ``(networks,)`` for choices ``(networks, decisions)``.

        Raises
        ------
        OutOfTimeError
            The deadline passed before all members were costed.
        """
        ...

    def one(self, choice: Sequence[int]) -> dict[str, float]:
        """Return the metrics of one choice."""
        ...

    def lower_bound(self, allowed: Sequence[Sequence[int]]) -> dict[str, float]:
        """Return a lower bound on each metric over the choices of allowed options."""
        ...


class Summed(Protocol):
    """Tables of a space whose rows are additive."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the summed quantities."""
        ...

    @property
    def priced(self) -> tuple[str, ...]:
        """Formats that the kind's energies cover under any choice (`Terms.priced`)."""
        ...

    def sums(self, choices: Index, deadline: Deadline | None = None) -> NetworkSums:
        """Return the sums of networks, or raise `OutOfTimeError` if the deadline passes first."""
        ...

    def one(self, choice: Sequence[int]) -> tuple[Floats, Floats]:
        """Return values ``(modes, quantities)`` and stored bytes of one network."""
        ...

    def least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        """Return a lower bound on the sums of all networks of allowed options, as one network."""
        ...


class TabulatedCosts:
    """`OracleCosts` that derive metrics from sums over tables."""

    method, reason = "tabled", ""

    def __init__(
        self, tables: Summed, reader: MetricReader, items: Callable[[Index], Floats] | None = None
    ) -> None:
        self.tables, self.reader, self._items = tables, reader, items
        self.metrics = reader.metrics
        # The reader takes the items of a run from the sample workload.
        powers = dict.fromkeys(RATES, 1) | dict.fromkeys(PER_ITEM, -1)
        self._by_items = {
            name: power
            for name, power in powers.items()
            if name in reader.metrics and items is not None
        }

    def metrics_of(self, choices: Index, deadline: Deadline | None = None) -> dict[str, Floats]:
        """See `OracleCosts`."""
        if len(choices) == 1 and not self._by_items:
            # Fast path for an outer loop that evaluates one choice at a time.
            return {n: np.array([v]) for n, v in self.one(choices[0].tolist()).items()}
        metrics = self.reader.read(self.tables.sums(choices, deadline))
        if self._by_items and self._items is not None:
            times = self._items(choices) / self.reader.items_per_run
            for name, power in self._by_items.items():
                metrics[name] = metrics[name] * times**power
        return metrics

    def one(self, choice: Sequence[int]) -> dict[str, float]:
        """See `OracleCosts`."""
        if self._by_items:
            metrics = self.metrics_of(np.array([choice], dtype=np.intp))
            return {name: float(value[0]) for name, value in metrics.items()}
        return self.reader.read_one(*self.tables.one(choice))

    def lower_bound(self, allowed: Sequence[Sequence[int]]) -> dict[str, float]:
        """See `OracleCosts`."""
        if not self.reader.affine:
            expected = "latency, energy, bytes, MACs, bit operations"
            raise input_error("a metric has no bound", path="metrics", expected=expected)
        # Demands are lower bounds too: feasible = 1 only means that a member may fit.
        return self.reader.minima_over_settings(self.tables.least(allowed))


def predicted_member(
    space: Any,
    choice: Sequence[int],
    device: Device | Machine,
    settings: Mapping[str, float],
    options: Mapping[str, Any],
) -> Prediction:
    """Return the prediction of a member of a space, with its own options and device facts."""
    own: dict[str, Any] = space.options_of(choice) if hasattr(space, "options_of") else {}
    facts: dict[str, Any] = space.facts_of(choice) if hasattr(space, "facts_of") else {}
    varied: Any = device.vary(facts) if facts else device
    return predict(space.workload(choice, **settings), varied, **{**options, **own})


class Predicted:
    """`OracleCosts` that predict every member separately."""

    method = "predicted"

    def __init__(
        self,
        device: Device | Machine,
        space: Any,
        metrics: tuple[str, ...],
        reason: str,
        settings: Mapping[str, float],
        options: Mapping[str, Any],
    ) -> None:
        self.metrics, self.reason = metrics, reason
        self._device, self._space = device, space
        self._settings, self._options = dict(settings), dict(options)

    def one(self, choice: Sequence[int]) -> dict[str, float]:
        """See `OracleCosts`."""
        member = predicted_member(self._space, choice, self._device, self._settings, self._options)
        out: dict[str, float] = {}
        for name in self.metrics:
            value = metric_of(member, name)
            out[name] = float("nan") if value is None else float(value)
        return out | {FEASIBLE: float(member.feasible)}

    def metrics_of(self, choices: Index, deadline: Deadline | None = None) -> dict[str, Floats]:
        """See `OracleCosts`."""
        rows: list[dict[str, float]] = []
        for choice in choices.tolist():
            if deadline is not None:
                deadline.check(f"{len(rows)} of {len(choices)} members had been predicted")
            rows.append(self.one(choice))
        names = (*self.metrics, FEASIBLE)
        return {name: np.array([row[name] for row in rows], dtype=float) for name in names}

    def lower_bound(self, allowed: Sequence[Sequence[int]]) -> dict[str, float]:
        """Raise an error: unpredicted members have no known bound."""
        raise input_error(
            f"there are no bounds: every member is predicted separately ({self.reason})",
            path="lower_bound",
            expected="a space and a device whose costs are tabled",
        )


class Grouped:
    """`OracleCosts` of each combination of hardware facts and whole-network precision.

    Attributes
    ----------
    outer
        Decisions on facts and on the precision of the whole network.
    """

    method, reason = "tabled", ""

    def __init__(
        self,
        device: Device | Machine,
        space: ConfigurationSpace,
        metrics: tuple[str, ...],
        options: Mapping[str, Any],
        settings: Mapping[str, float],
        deadline: Deadline | None = None,
    ) -> None:
        self._device, self._space, self._metrics = device, space, metrics
        self._settings, self._options = dict(settings), dict(options)
        outer = [i for i, d in enumerate(space.decisions) if d.role in {"fact", "precision"}]
        self.outer = outer
        self._inner = [i for i in range(len(space.decisions)) if i not in outer]
        self._costs: dict[tuple[int, ...], OracleCosts] = {}
        first = self.of((0,) * len(outer), deadline)
        self.metrics = first.metrics
        self.method, self.reason = first.method, first.reason

    def of(self, key: tuple[int, ...], deadline: Deadline | None = None) -> OracleCosts:
        """Return the costs of one combination, computed on first use.

        Raises
        ------
        OutOfTimeError
            The deadline passed before they were complete.
        """
        costs = self._costs.get(key)
        if costs is None:
            decisions = self._space.decisions
            facts: dict[str, Any] = {}
            options = dict(self._options)
            for i, option in zip(self.outer, key, strict=True):
                value = decisions[i].options[option]
                if decisions[i].role == "fact":
                    facts[decisions[i].members[0]] = value
                else:
                    options["precision"] = value
            precision = options["precision"]
            inner = replace(
                self._space,
                decisions=tuple(decisions[i] for i in self._inner),
                precision=None if precision is None else as_precision(precision),
            )
            device: Any = self._device.vary(facts) if facts else self._device
            costs = self._costs[key] = costs_of(
                device, inner, self._metrics, options, self._settings, deadline
            )
        return costs

    def one(self, choice: Sequence[int]) -> dict[str, float]:
        """See `OracleCosts`."""
        key = tuple(choice[i] for i in self.outer)
        return self.of(key).one(tuple(choice[i] for i in self._inner))

    def metrics_of(self, choices: Index, deadline: Deadline | None = None) -> dict[str, Floats]:
        """See `OracleCosts`."""
        keys, where = np.unique(choices[:, self.outer], axis=0, return_inverse=True)
        out: dict[str, Floats] = {}
        for k, key in enumerate(keys.tolist()):
            mine = np.reshape(where, -1) == k
            costs = self.of(tuple(key), deadline)
            metrics = costs.metrics_of(choices[mine][:, self._inner], deadline)
            for name, values in metrics.items():
                out.setdefault(name, np.zeros(len(choices)))[mine] = values
        return out

    def lower_bound(self, allowed: Sequence[Sequence[int]]) -> dict[str, float]:
        """See `OracleCosts`."""
        inner = [allowed[i] for i in self._inner]
        bounds = [
            self.of(key).lower_bound(inner)
            for key in product(*(tuple(allowed[i]) for i in self.outer))
        ]
        least = {name: min(b[name] for b in bounds) for name in bounds[0]}
        least[FEASIBLE] = max(b[FEASIBLE] for b in bounds)
        return least


@collector_paused()
def costs_of(
    device: Device | Machine,
    space: Any,
    metrics: Sequence[str],
    options: Mapping[str, Any],
    settings: Mapping[str, float],
    deadline: Deadline | None = None,
) -> OracleCosts:
    """Return the costs of a space on a device, from tables if it decomposes, else predicted.

    Parameters
    ----------
    options
        ``precision``, ``runtime``, ``engine``, ``model`` and ``warm``, as for `predict`.
    settings
        Values of free dimensions.

    Raises
    ------
    InputError
        For all unknown names at once.
    OutOfTimeError
        The deadline passed before the tables were complete.
    """
    zero = (0,) * len(space.decisions)
    plain = device.device if isinstance(device, Machine) else device
    faults = FaultList(metric_faults(metrics, [m.name for m in plain.memories]))
    try:
        sample = space.workload(zero, **settings)
    except InputError as error:
        faults += error.faults
        sample = space.workload(zero)
    if isinstance(space, ConfigurationSpace):
        options = {**options, **space.options_of(zero)}
        if not faults and any(d.role in {"fact", "precision"} for d in space.decisions):
            return Grouped(device, space, tuple(metrics), options, settings, deadline)
    if not faults:
        _check(deadline)
    try:
        levels = predict(sample, device, **options).levels
    except InputError as error:
        raise InputError([*faults, *error.faults]) from None
    faults.settle()
    names = checked_metrics(metrics, levels)
    _check(deadline)
    try:
        pricing = Pricing.of(sample, device, **options)
        _check(deadline)
        tables = _tables(space, pricing, settings, deadline)
        reader = MetricReader(pricing, sample, tables.names, names, tables.priced)
        return TabulatedCosts(tables, reader, _items(space, settings))
    except NotTabledError as error:
        return Predicted(device, space, names, str(error), settings, options)


def _check(deadline: Deadline | None) -> None:
    if deadline is not None:
        deadline.check("the network was being read")


def _items(space: Any, settings: Mapping[str, float]) -> Callable[[Index], Floats] | None:
    """Return a function of the items per run of each choice, if a decision sets them (a batch)."""
    if not isinstance(space, ConfigurationSpace) or not space.sized:
        return None
    return partial(space.items, **settings)


def _tables(
    space: Any, pricing: Pricing, settings: Mapping[str, float], deadline: Deadline | None
) -> Summed:
    if isinstance(space, ArchitectureSpace):
        from perfmodel.search.oracle.architecture_costs import ArchitectureCosts

        return ArchitectureCosts(space, pricing, settings, deadline)
    if isinstance(space, ConfigurationSpace):
        from perfmodel.search.oracle.configuration_costs import ConfigurationCosts

        return ConfigurationCosts(space, pricing, settings, deadline)
    raise NotTabledError("the space has no tables")
