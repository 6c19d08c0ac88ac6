"""From sums over networks to metrics: the words of `Prediction`, for one network or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.capacity import demands, usable
from perfmodel.cost.setting import Setting
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.prediction import Prediction
from perfmodel.search.oracle.chain import STORED, NetworkSums
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, NotTabledError
from perfmodel.workload.workload import Workload

#: What an oracle tells; keys as the attributes of a prediction.
METRICS = (
    "latency_s",
    "energy_j",
    "power_w",
    "peak_memory_bytes",
    "weight_bytes",
    "kv_bytes",
    "activation_bytes",
    "macs",
    "bit_operations",
    "tokens_per_s",
    "frames_per_s",
    "utilization",
)

#: What a run yields a second.
RATES = ("tokens_per_s", "frames_per_s")

#: Prefix of the bytes across a memory's boundary: ``traffic_bytes.dram``.
TRAFFIC = "traffic_bytes."

#: Key that tells whether a network fits: 1 or 0.
FEASIBLE = "feasible"

#: Metrics that are a constant plus multiples of the sums.
_AFFINE = frozenset(
    {
        "latency_s",
        "energy_j",
        "peak_memory_bytes",
        "weight_bytes",
        "kv_bytes",
        "activation_bytes",
        "macs",
        "bit_operations",
    }
)

#: A sum at which a metric's multiple is read: large beside what stands in the constant.
_LARGE = 1e15


def checked_metrics(metrics: Sequence[str], levels: Sequence[str]) -> tuple[str, ...]:
    """Return metrics as asked for.

    Raises
    ------
    InputError
        Every unknown name.
    """
    faults = metric_faults(metrics, levels)
    if faults:
        raise InputError(faults)
    return tuple(dict.fromkeys(metrics))


def metric_faults(metrics: Sequence[str], levels: Sequence[str]) -> list[Fault]:
    """Return what is wrong with metrics as asked for; `levels` are memories with traffic."""
    known = [*METRICS, *(f"{TRAFFIC}{level}" for level in levels)]
    faults = [
        Fault(
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
    return getattr(prediction, name)


class MetricReader:
    """Reads metrics off sums.

    Parameters
    ----------
    workload
        Any network of the space, for what a run yields.
    names
        Quantities of the sums.
    metrics
        What is read, beside `FEASIBLE`.
    priced
        What the energies of the kind cover in any network of the space (`Terms.priced`).

    Raises
    ------
    NotTabledError
        Networks of the space differ in how their energy is known.

    Attributes
    ----------
    memories, bounds
        Memories that must hold something, and how much each may.
    items
        Frames, tokens ... of a run of `workload`.
    affine
        Whether every metric is a constant plus multiples of the sums: `constant` and `multiples`,
        ``(metrics + memories, quantities + 3)``, the last three of bytes of weights, caches and
        activations.
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
        self._opened = (table, replace(terms, priced=covered))
        if not {"energy_j", "power_w"}.isdisjoint(metrics):
            _check_energies(self.names, covered, pricing.setting)
        self.items = float(np.ravel(workload.items())[0])
        self._supported = not terms.unsupported
        self.memories: tuple[str, ...] = tuple(self._demands(_nothing(1, names)))
        self.bounds = np.array([float(usable(pricing.setting, m)) for m in self.memories])
        self.affine = all(m in _AFFINE or m.startswith(TRAFFIC) for m in metrics)
        if self.affine:
            self.constant, self.multiples = self._multiples()

    def _multiples(self) -> tuple[Floats, Floats]:
        """Return metrics of nothing, and what each sum adds: ``(metrics + memories, sums)``.

        Sums are the quantities, then bytes of weights, of caches and of activations.
        """
        m = len(self.names)
        sums = _nothing(m + 4, self.names)
        each = np.arange(m)
        sums.values[1 + each, :, each] = _LARGE
        np.fill_diagonal(sums.stored[:, 1 + m :], _LARGE)
        metrics = self._read(sums, way=0)
        rows = np.stack([*(metrics[name] for name in self.metrics), *self._demands(sums).values()])
        return rows[:, 0], (rows[:, 1:] - rows[:, :1]) / _LARGE

    def read(self, sums: NetworkSums) -> dict[str, Floats]:
        """Return metric -> array of shape ``(networks,)``, and `FEASIBLE` (0 or 1)."""
        return self._read(sums) | {FEASIBLE: self._fits(sums).astype(float)}

    def least(self, sums: NetworkSums) -> dict[str, float]:
        """Return metrics of one network's least sums: the least of the ways in which it may run."""
        ways = [self._read(sums, way=way) for way in range(len(self.pricing.settings))]
        out = {name: min(float(way[name][0]) for way in ways) for name in self.metrics}
        out[FEASIBLE] = float(self._fits(sums)[0])
        return out

    def one(self, values: Floats, stored: Floats) -> dict[str, float]:
        """Return the metrics of one network whose mode is the only one; quick where affine."""
        if not self.affine:
            sums = NetworkSums(self.names, values[None, None], stored[:, None])
            return {name: float(value[0]) for name, value in self.read(sums).items()}
        numbers = self.constant + self.multiples @ np.concatenate((values, stored))
        n = len(self.metrics)
        out = dict(zip(self.metrics, numbers[:n].tolist(), strict=True))
        out[FEASIBLE] = float(self._supported and bool((numbers[n:] <= self.bounds).all()))
        return out

    def totals(self, sums: NetworkSums, way: int | None = None) -> dict[str, Floats]:
        """Return what predictions are made of, `perfmodel.cost.totals.network_totals`."""
        footprint = sums.stored.sum(axis=0)
        if way is None:
            values = self.pricing.chosen(sums.names, sums.values, footprint)
        else:
            values = self.pricing.in_way(way, sums.values, footprint)
        totals: dict[str, Floats] = dict(zip(sums.names, values.T, strict=True))
        totals["latency_s"] = totals["latency_s"] + self.pricing.per_run_s
        return totals | _stored(sums)

    def _read(self, sums: NetworkSums, way: int | None = None) -> dict[str, Floats]:
        shape = sums.stored.shape[1:]
        totals = self.totals(sums, way)
        prediction = self.pricing.opened(self.workload, totals, shape, self._opened)
        out: dict[str, Floats] = {}
        for name in self.metrics:
            value = metric_of(prediction, name)
            number = np.nan if value is None else value
            out[name] = np.broadcast_to(np.asarray(number, dtype=float), shape).copy()
        return out

    def _demands(self, sums: NetworkSums) -> dict[str, Floats]:
        return demands(_stored(sums), self.pricing.setting)

    def _fits(self, sums: NetworkSums) -> npt.NDArray[np.bool_]:
        """Return which networks every memory holds, in formats that the engine computes."""
        demanded = np.stack(list(self._demands(sums).values()))
        return np.asarray((demanded <= self.bounds[:, None]).all(axis=0) & self._supported)


def _check_energies(names: Sequence[str], priced: Sequence[str], setting: Setting) -> None:
    """Refuse formats of which only some have an energy: `run_energy` then changes its model."""
    head = f"engines.{setting.engine_name}.energy_per_op."
    known = {
        f"{head}{name.removeprefix('operations ')}" in setting.facts
        for name in names
        if name.startswith("operations ") and name != "operations vector" and name not in priced
    }
    if len(known) > 1:
        raise NotTabledError("the device states the energy of some of the formats only")


def _stored(sums: NetworkSums) -> dict[str, Floats]:
    return dict(zip(STORED, sums.stored, strict=True))


def _nothing(networks: int, names: Sequence[str]) -> NetworkSums:
    values = np.zeros((networks, 1, len(names)))
    return NetworkSums(tuple(names), values, np.zeros((3, networks)))
