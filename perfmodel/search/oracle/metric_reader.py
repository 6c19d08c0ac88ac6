"""Metrics (latency, energy, memory, ...) of networks, from the summed costs of their layers.

Metrics that are affine in the sums are read by one matrix product; the others by building a
`Prediction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.capacity import demands, usable
from perfmodel.cost.capacity import resources as design_resources
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, nearest
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.silicon import silicon_of
from perfmodel.metrics import metrics_of, unsearched_fault
from perfmodel.prediction import Prediction
from perfmodel.prediction.ownership_metrics import COST_METRICS
from perfmodel.prediction.resource_usage import DESIGN_METRICS
from perfmodel.search.oracle.kernel_pricing import UNSUPPORTED, Floats, NotTabledError
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.stretch_chain import STORED, NetworkSums
from perfmodel.settings import FaultList
from perfmodel.workload.workload import Workload

#: Metrics of an oracle, named as the attributes of a prediction.
METRICS = metrics_of("search")

#: Prefix of the bytes across a memory's boundary: ``traffic_bytes.dram``.
TRAFFIC = "traffic_bytes."

#: Metric that is 1 if a network fits, else 0.
FEASIBLE = "feasible"

#: Metrics that are affine functions of the sums.
_AFFINE = COST_METRICS | {
    *("latency_s", "energy_j", "traffic_bytes", "macs", "bit_operations"),
    *(name for name in METRICS if name.endswith("_bytes")),
}
#: Metrics that follow from the energy.
_OF_ENERGY = COST_METRICS | {
    *("energy_j", "power_w", "energy_per_period_j", "average_power_w"),
    *("burst_s", "sustained_speed", "sustained_latency_s", "steady_celsius"),
    *("battery_hours", "battery_share_in_an_hour"),
}

#: Probe: a coefficient is measured as ``(metric(probe) - metric(0)) / probe``, with a probe that is
#: large relative to the constant term.
_PROBE = 1e15


def checked_metrics(metrics: Sequence[str], levels: Sequence[str]) -> tuple[str, ...]:
    """Return the requested metrics without duplicates.

    Raises
    ------
    InputError
        For all unknown names.
    """
    faults = FaultList(metric_faults(metrics, levels))
    faults.settle()
    return tuple(dict.fromkeys(metrics))


def metric_faults(metrics: Sequence[str], levels: Sequence[str]) -> list[Fault]:
    """Return the faults of requested metrics; `levels` are the memories with traffic."""
    known = [*METRICS, *(f"{TRAFFIC}{level}" for level in levels)]
    faults = [
        unsearched_fault(name, f"metrics[{i}]")
        or Fault(
            f"unknown metric '{name}'",
            path=f"metrics[{i}]",
            expected=f"one of {', '.join(known)}",
            suggestion=nearest(str(name), known),
        )
        for i, name in enumerate(metrics)
        if name not in known
    ]
    if not metrics:
        faults.append(Fault("no metric", path="metrics", expected=f"one of {', '.join(known)}"))
    return faults


def metric_of(prediction: Prediction, name: str) -> Value:
    """Return a metric of a prediction."""
    if name.startswith(TRAFFIC):
        return prediction.traffic_bytes[name.removeprefix(TRAFFIC)]
    return prediction.metric(name)


class MetricReader:
    """Computes the metrics of networks from their `NetworkSums`.

    Parameters
    ----------
    workload
        Any network of the space, for the items per run.
    names
        Names of the summed quantities.
    metrics
        Metrics to compute, in addition to `FEASIBLE`.
    priced
        Formats that the kind's energies cover in any network of the space (`Terms.priced`).

    Raises
    ------
    NotTabledError
        Networks of the space would have different energy models.

    Attributes
    ----------
    memories, capacities
        Memories with demands, and their usable capacities in bytes; so are resources of a design.
        `UNSUPPORTED` kernels demand more than the capacity of 0.
    items_per_run
        Frames, tokens, ... per run of `workload`.
    affine
        Whether all metrics are affine in the sums.
    constant, coefficients
        Only if `affine`: b, shape ``(metrics + memories,)``, and A, shape
        ``(metrics + memories, quantities + 3)``, of ``metrics = b + A @ sums``. The demands on
        `memories` follow the metrics; the last three sums are the bytes of `STORED`.
    """

    def __init__(
        self,
        pricing: Pricing,
        workload: Workload,
        names: Sequence[str],
        metrics: Sequence[str],
        priced: Sequence[str] = (),
    ) -> None:
        self.pricing, self.workload = pricing, workload
        self.names, self.metrics = tuple(names), tuple(metrics)
        job = pricing.job
        table, terms, _ = job.rows(job.workload.parameters, job.machine.facts, job.precision, 1)
        covered = tuple(dict.fromkeys((*terms.priced, *priced)))
        self._table_and_terms = (table, replace(terms, priced=covered))
        if not _OF_ENERGY.isdisjoint(metrics):
            _check_energies(self.names, covered, pricing.setting)
        design = {f"resource {name}": amount for name, amount in terms.resources.items()}
        taken = {f"resource {name}" for name in design_resources(design, pricing.setting)}
        if not taken <= {*names} and not DESIGN_METRICS.isdisjoint(metrics):
            raise NotTabledError("what a design takes is no sum over its kernels")
        self.items_per_run = float(np.ravel(workload.items())[0])
        self._supported = UNSUPPORTED in names or not terms.unsupported
        self.memories: tuple[str, ...] = tuple(self._demands(_zero_sums(1, names)))
        resources = self._resources(_zero_sums(1, names))
        limits = {UNSUPPORTED: 0.0, **{name: limit for name, (_, limit) in resources.items()}}
        self.capacities = np.array(
            [float(limits[m] if m in limits else usable(pricing.setting, m)) for m in self.memories]
        )
        self.affine = all(m in _AFFINE or m.startswith(TRAFFIC) for m in metrics)
        of_period = "use.period" in job.machine.facts
        bent = of_period or _die_follows_weights(job.machine)
        if bent and not COST_METRICS.isdisjoint(metrics):
            self.affine = False
        # A design that takes more than its part has is without an energy.
        if taken & {*names} and not _OF_ENERGY.isdisjoint(metrics):
            self.affine = False
        if self.affine:
            self.constant, self.coefficients = self._affine_coefficients()

    def _affine_coefficients(self) -> tuple[Floats, Floats]:
        """Return b and A of ``metric = b + A @ sums``: see `constant` and `coefficients`.

        The first of the probed networks has sums of zero; each other one has one sum of `_PROBE`.
        """
        count = len(self.names)
        sums = _zero_sums(count + 4, self.names)
        each = np.arange(count)
        sums.values[1 + each, :, each] = _PROBE
        np.fill_diagonal(sums.stored[:, 1 + count :], _PROBE)
        metrics = self._read(sums, setting_index=0)
        rows = np.stack([*(metrics[name] for name in self.metrics), *self._demands(sums).values()])
        return rows[:, 0], (rows[:, 1:] - rows[:, :1]) / _PROBE

    def read(self, sums: NetworkSums) -> dict[str, Floats]:
        """Return metric -> array of shape ``(networks,)``, and `FEASIBLE` (0 or 1)."""
        return self._read(sums) | {FEASIBLE: self._fits(sums).astype(float)}

    def minima_over_settings(self, sums: NetworkSums) -> dict[str, float]:
        """Return the metrics of one network's sums, each minimised over the possible settings."""
        by_setting = [self._read(sums, index) for index in range(len(self.pricing.settings))]
        out = {name: min(float(read[name][0]) for read in by_setting) for name in self.metrics}
        out[FEASIBLE] = float(self._fits(sums)[0])
        return out

    def read_one(self, values: Floats, stored: Floats) -> dict[str, float]:
        """Return the metrics of one network; fast if affine.

        Parameters
        ----------
        values, stored
            Its sums, shape ``(modes, quantities)``, and its bytes in the order of `STORED`.
        """
        if not self.affine:
            sums = NetworkSums(self.names, values[None], stored[:, None])
            return {name: float(value[0]) for name, value in self.read(sums).items()}
        own = values[0]
        if len(values) > 1:
            (own,) = self.pricing.in_own_mode(self.names, values[None], stored.sum(keepdims=True))
        count = len(self.metrics)
        read = self.constant + self.coefficients @ np.concatenate((own, stored))
        out = dict(zip(self.metrics, read[:count].tolist(), strict=True))
        out[FEASIBLE] = float(self._supported and bool((read[count:] <= self.capacities).all()))
        return out

    def totals(self, sums: NetworkSums, setting_index: int | None = None) -> dict[str, Floats]:
        """Return the totals of predictions, as `perfmodel.cost.totals.network_totals`.

        Parameters
        ----------
        setting_index
            Setting in which all networks run; by default each runs in its own.

        Returns
        -------
        dict
            Name of a quantity (with `latency_s` for the whole run) or of `STORED` -> array of
            shape ``(networks,)``.
        """
        footprint = sums.stored.sum(axis=0)
        if setting_index is None:
            values = self.pricing.in_own_mode(sums.names, sums.values, footprint)
        else:
            values = self.pricing.under_setting(setting_index, sums.values, footprint)
        totals: dict[str, Floats] = dict(zip(sums.names, values.T, strict=True))
        totals["latency_s"] = totals["latency_s"] + self.pricing.per_run_s
        return totals | _stored(sums)

    def _read(self, sums: NetworkSums, setting_index: int | None = None) -> dict[str, Floats]:
        shape = sums.stored.shape[1:]
        totals = self.totals(sums, setting_index)
        prediction = self.pricing.opened(self.workload, totals, shape, self._table_and_terms)
        out: dict[str, Floats] = {}
        for name in self.metrics:
            value = metric_of(prediction, name)
            number = np.nan if value is None else value
            out[name] = np.broadcast_to(np.asarray(number, dtype=float), shape).copy()
        return out

    def _demands(self, sums: NetworkSums) -> dict[str, Floats]:
        needs = demands(_stored(sums), self.pricing.setting)
        if UNSUPPORTED in sums.names:
            needs[UNSUPPORTED] = sums.values[:, 0, sums.names.index(UNSUPPORTED)]
        return needs | {name: used for name, (used, _) in self._resources(sums).items()}

    def _resources(self, sums: NetworkSums) -> dict[str, tuple[Value, Value]]:
        """Return resources of the engine that networks share, as (required, available)."""
        used = dict(zip(sums.names, sums.values[:, 0].T, strict=True))
        return {
            f"resource {name}": each
            for name, each in design_resources(used, self.pricing.setting).items()
        }

    def _fits(self, sums: NetworkSums) -> npt.NDArray[np.bool_]:
        """Return which networks fit all memories and use supported formats only."""
        demanded = np.stack(list(self._demands(sums).values()))
        return np.asarray((demanded <= self.capacities[:, None]).all(axis=0) & self._supported)


def _check_energies(names: Sequence[str], priced: Sequence[str], setting: Setting) -> None:
    """Raise an error if only some formats have an energy, since `run_energy` then changes model."""
    head = f"engines.{setting.engine_name}.energy_per_op."
    known = {
        f"{head}{name.removeprefix('operations ')}" in setting.facts
        for name in names
        if name.startswith("operations ") and name != "operations vector" and name not in priced
    }
    if len(known) > 1:
        raise NotTabledError("the device states the energy of some of the formats only")


def _die_follows_weights(machine: Machine) -> bool:
    """Return whether the die holds the weights, so that its cost is a product with the latency."""
    none, many = (silicon_of(machine.device, machine.facts, size) for size in (0.0, 1e9))
    if "area" in machine or isinstance(none, str) or isinstance(many, str):
        return False
    return sum(none.areas(0.0).values()) != sum(many.areas(0.0).values())


def _stored(sums: NetworkSums) -> dict[str, Floats]:
    return dict(zip(STORED, sums.stored, strict=True))


def _zero_sums(networks: int, names: Sequence[str]) -> NetworkSums:
    values = np.zeros((networks, 1, len(names)))
    return NetworkSums(tuple(names), values, np.zeros((3, networks)))
