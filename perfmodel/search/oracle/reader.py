"""From sums over networks to metrics: the words of `Prediction`, for one network or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.cost.capacity import fits
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.search.oracle.chain import Sums
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats
from perfmodel.workload.workload import Workload

__all__ = ["METRICS", "Reader", "checked_metrics"]

#: What an oracle tells; keys as the attributes of a prediction.
METRICS = (
    "latency_s", "energy_j", "power_w", "peak_memory_bytes", "weight_bytes", "kv_bytes",
    "activation_bytes", "macs", "bit_operations", "tokens_per_s", "frames_per_s", "utilization",
)  # fmt: skip

#: Prefix of the bytes across a memory's boundary: ``traffic_bytes.dram``.
TRAFFIC = "traffic_bytes."


def checked_metrics(metrics: Sequence[str], levels: Sequence[str]) -> tuple[str, ...]:
    """Return metrics as asked for.

    Raises
    ------
    InputError
        Every unknown name.
    """
    known = [*METRICS, *(f"{TRAFFIC}{level}" for level in levels)]
    faults = [
        Fault(f"unknown metric '{name}'", path=f"metrics[{i}]",
              expected=f"one of {', '.join(known)}", suggestion=nearest(name, known))
        for i, name in enumerate(metrics)
        if name not in known
    ]  # fmt: skip
    if not metrics:
        faults.append(Fault("no metric", path="metrics", expected=f"one of {', '.join(known)}"))
    if faults:
        raise InputError(faults)
    return tuple(dict.fromkeys(metrics))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads metrics off sums.

    Attributes
    ----------
    workload
        Any network of the space, for what a run yields.
    """

    pricing: Pricing
    workload: Workload

    def metrics(self, sums: Sums, names: Sequence[str]) -> dict[str, Floats]:
        """Return metric -> array of shape ``(networks,)``, and ``feasible`` (0 or 1)."""
        totals = self.totals(sums)
        shape = (len(sums.peak_bytes),)
        job = self.pricing.job
        rows = job.rows(job.workload.parameters, job.machine.facts, job.precision, 1)
        prediction = self.pricing.opened(self.workload, totals, shape, rows[:2])
        out: dict[str, Floats] = {}
        for name in names:
            if name.startswith(TRAFFIC):
                value = prediction.traffic_bytes[name.removeprefix(TRAFFIC)]
            else:
                value = getattr(prediction, name)
            if value is None:
                value = np.nan
            out[name] = np.broadcast_to(np.asarray(value, dtype=float), shape).copy()
        good = fits(totals, self.pricing.setting)
        supported = not prediction.unsupported
        out["feasible"] = np.broadcast_to(np.asarray(good) & supported, shape).astype(float)
        return out

    def totals(self, sums: Sums) -> dict[str, Floats]:
        """Return what predictions are made of, `perfmodel.cost.totals.network_totals`."""
        footprint = sums.weight_bytes + sums.kv_bytes + sums.peak_bytes
        mode = self.pricing.chosen_mode(sums.names, sums.values, footprint)
        chosen = sums.values[np.arange(len(mode)), mode]
        totals: dict[str, Floats] = {name: chosen[:, i] for i, name in enumerate(sums.names)}
        totals["latency_s"] = totals["latency_s"] + self.pricing.per_run_s
        parts: Mapping[str, Floats] = {
            "weight_bytes": sums.weight_bytes, "kv_bytes": sums.kv_bytes,
            "activation_bytes": sums.peak_bytes,
        }  # fmt: skip
        return totals | dict(parts)
