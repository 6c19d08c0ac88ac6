"""A prediction: numbers, and everything needed to open any of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.arrays import Value, first_number, is_array, namespace
from perfmodel.cost.capacity import Violation, demands, fits, holds, usable, violations
from perfmodel.cost.energy import Energy, run_energy
from perfmodel.cost.residency import TRAFFIC_MODEL, WARM
from perfmodel.cost.setting import Setting
from perfmodel.cost.thermal import Thermal, thermal_outcome
from perfmodel.cost.totals import once_a_run
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth, vector_peak
from perfmodel.prediction import audit
from perfmodel.prediction.spread import PredictionSpread
from perfmodel.workload.lower import OperatorTable

if TYPE_CHECKING:
    from perfmodel.prediction.cited import Citations
    from perfmodel.prediction.job import PredictionJob
    from perfmodel.table import Table

#: What `to_dict` gives, in this order: the keys of the JSON output.
METRICS = (
    "latency_s",
    "tokens_per_s",
    "frames_per_s",
    "ttft_s",
    "tpot_s",
    "energy_j",
    "power_w",
    "traffic_bytes",
    "bandwidth_bytes_per_s",
    "required_bandwidth_bytes_per_s",
    "utilization",
    "peak_memory_bytes",
    "weight_bytes",
    "kv_bytes",
    "activation_bytes",
    "macs",
    "bit_operations",
    "parameters",
    "active_parameters",
)


class Prediction(PredictionSpread):
    """What a workload costs on a machine.

    Every metric is a float where all inputs were numbers, else an array of the inputs' broadcast
    shape. `latency_s` is one run: one decode step, one prefill, one request, one batch of frames.
    Its plots: ``roofline()``, ``bottlenecks()``, ``memory()`` and others.
    """

    noun = "prediction"

    def __init__(
        self,
        job: PredictionJob,
        totals: dict[str, Value],
        shape: tuple[int, ...],
        setting: Setting,
        rows: tuple[OperatorTable, Terms] | None,
    ) -> None:
        self._job = job
        self._totals = totals
        self.shape = shape
        self._setting = setting
        self._rows = rows

    def __reduce__(self) -> Any:
        # What it is made of, and not its rows: those are the same when it runs again.
        return type(self._job).run, (self._job,), {"_asked": self.__dict__.get("_asked")}

    # what was asked

    @property
    def workload(self) -> Any:
        """The workload."""
        return self._job.workload

    @property
    def machine(self) -> Any:
        """The machine: device, runtime and facts."""
        return self._job.machine

    @property
    def precision(self) -> str:
        """Text of the precision, with the formats that the file itself fixes for products."""
        rows = self._job.lowered.rows
        fixed = {
            slot.partition("=")[2]
            for row in rows
            if row.products
            for slot in row.pair
            if "=" in slot
        }
        text = str(self._job.precision)
        return f"{text} ({', '.join(sorted(fixed))} by the file)" if fixed else text

    @property
    def device(self) -> str:
        """Name of the device."""
        return self._job.machine.device.name

    @property
    def runtime(self) -> str:
        """Name of the runtime."""
        return self._job.machine.runtime.name

    @property
    def varied(self) -> dict[str, Value]:
        """Facts of the device that were set, by path."""
        return dict(self._job.machine.varied)

    @property
    def parameters_bound(self) -> dict[str, Value]:
        """Free dimension -> the number or array it is bound to."""
        return dict(self._job.workload.parameters)

    @property
    def not_priced(self) -> tuple[str, ...]:
        """Operators that no cost stands for, each with why."""
        return self._job.lowered.graph.not_priced

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed in reading the network."""
        return self._job.workload.notes

    @property
    def energy_model(self) -> str:
        """Name of the model that gave the energy."""
        return self.energy.model

    @property
    def traffic_model(self) -> str:
        """Which traffic model was used."""
        if self._job.model.bare:
            apart = self._setting.weights_memory != self._setting.levels[-1]
            return f"compulsory; main memory{' and that of the weights' if apart else ''} only"
        if self._opened[1].traffic_model:
            return self._opened[1].traffic_model
        return TRAFFIC_MODEL + (WARM if self._job.warm else "")

    # metrics

    def _shaped(self, value: Value) -> Value:
        if not self.shape:
            if isinstance(value, float | int):
                return float(value)
            if namespace(value) is not np:
                return value.reshape(())
            return first_number(value)
        xp = self._setting.xp
        if xp is np:
            array = np.asarray(value, dtype=float)
            flat = array if array.size > 1 else np.broadcast_to(array.reshape(-1), self._count)
            return flat.reshape(self.shape)
        return xp.broadcast_to(xp.asarray(value).reshape(-1), (self._count,)).reshape(self.shape)

    @property
    def _count(self) -> int:
        return int(np.prod(self.shape))

    @property
    def latency_s(self) -> Value:
        """Seconds of one run."""
        return self._shaped(self._totals["latency_s"])

    @property
    def once_a_run_s(self) -> Value:
        """Seconds of a run beside its rows: the runtime's own, and the host's of each sequence."""
        return self._shaped(once_a_run(self._setting))

    @property
    def _items(self) -> Value:
        return self._job.workload.items()

    @property
    def tokens_per_s(self) -> Value:
        """Tokens a second; ``None`` for a workload that yields none."""
        return self._items / self.latency_s if self._job.workload.unit == "tokens" else None

    @property
    def frames_per_s(self) -> Value:
        """Frames (or runs, sequences) a second; ``None`` for one that yields tokens."""
        return None if self._job.workload.unit == "tokens" else self._items / self.latency_s

    def phase_s(self, name: str) -> Value:
        """Seconds of a phase: ``prefill``, ``decode``, ``encode``; ``None`` without such a one."""
        found = self._totals.get(f"phase {name}")
        if found is not None:
            return self._shaped(found)
        phases = {row.phase for row in self._job.lowered.rows}
        return self.latency_s if phases == {name} else None

    @property
    def ttft_s(self) -> Value:
        """Time to first token: seconds of the prefill, and of an encoder before it, if any.

        ``None`` without a prefill.
        """
        prefill, encoder = self.phase_s("prefill"), self._totals.get("phase encode")
        if prefill is None or encoder is None:
            return prefill
        return prefill + self._shaped(encoder)

    @property
    def tpot_s(self) -> Value:
        """Time per output token: seconds of one decode step; ``None`` without one."""
        seconds = self.phase_s("decode")
        steps = self._job.workload.parameters.get("generate")
        if seconds is None or steps is None:
            return seconds
        return seconds / steps

    @cached_property
    def energy(self) -> Energy:
        """Energy with its parts and the model that gave it; numbers in the prediction's shape."""
        flat = self._flat_energy
        joule = None if flat.joule is None else self._shaped(flat.joule)
        return Energy(joule, {n: self._shaped(v) for n, v in flat.parts.items()}, flat.model)

    @cached_property
    def _flat_energy(self) -> Energy:
        own = any(key.startswith("energy ") for key in self._totals)
        return run_energy(self._totals, self._setting, self._opened[1].priced if own else ())

    @property
    def energy_j(self) -> Value:
        """Joule of one run within `energy_boundary`; NaN where the device states nothing."""
        return self._shaped(self._flat_joule)

    @property
    def energy_boundary(self) -> str:
        """What the energy includes: ``core``, ``module``, ``board``, ``wall`` or ``unstated``."""
        power = self._job.machine.device.power
        return power.boundary if power else "unstated"

    @property
    def power_w(self) -> Value:
        """Average power: energy over latency."""
        return self.energy_j / self.latency_s

    @property
    def thermal(self) -> Thermal:
        """What heat and battery make of the run, repeated: sustained speed, burst, runs a charge.

        From ``power.thermal_resistance``, ``heat_capacity``, ``limit`` and ``battery``; NaN or
        infinite where the device does not state them.
        """
        facts = {p: v for p, v in self._setting.facts.items() if p.startswith("power.")}
        found = thermal_outcome(facts, self._totals["latency_s"], self._flat_joule)
        return Thermal(*(self._shaped(value) for value in found))

    @property
    def _flat_joule(self) -> Value:
        joule = self._flat_energy.joule
        return float("nan") if joule is None else joule

    @property
    def levels(self) -> tuple[str, ...]:
        """Memories whose boundary is modelled, nearest first."""
        return tuple(k[8:] for k in self._totals if k.startswith("traffic "))

    @property
    def traffic_bytes(self) -> dict[str, Value]:
        """Memory -> bytes across its boundary in one run."""
        return {n: self._shaped(self._totals[f"traffic {n}"]) for n in self.levels}

    @property
    def bandwidth_bytes_per_s(self) -> dict[str, Value]:
        """Memory -> achieved bandwidth: its traffic over the latency."""
        return {n: moved / self.latency_s for n, moved in self.traffic_bytes.items()}

    def rate_of(self, memory: str) -> float:
        """Return the bandwidth that a kernel draws from a memory, bytes per second (one point).

        Raises
        ------
        KeyError
            The machine states no bandwidth of that memory.
        """
        rate = bandwidth(self._setting, memory)
        return first_number(rate)

    @property
    def required_bandwidth_bytes_per_s(self) -> dict[str, Value]:
        """Memory -> bandwidth at which its traffic would take no longer than the arithmetic."""
        seconds = self._shaped(self._compute_seconds)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                n: moved / seconds if is_array(seconds) or seconds else float("inf")
                for n, moved in self.traffic_bytes.items()
            }

    @property
    def _compute_seconds(self) -> Value:
        total: Value = 0.0
        for key, done in self._totals.items():
            if key.startswith("operations "):
                name = key[11:]
                total = total + done / self._peak(name)
        return total

    def _peak(self, name: str) -> Value:
        if name == "vector":
            return vector_peak(self._setting)[1]
        return audit.peak_of(self._setting, name, self._job.model.kind)

    @property
    def utilization(self) -> Value:
        """Fraction of the latency that the multiply-accumulates would take at their peak."""
        total: Value = 0.0
        for key, done in self._totals.items():
            if key.startswith("operations ") and key != "operations vector":
                total = total + done / self._peak(key[11:])
        return self._shaped(total) / self.latency_s

    @property
    def weight_bytes(self) -> Value:
        """Bytes of stored weights."""
        return self._shaped(self._totals["weight_bytes"])

    @property
    def kv_bytes(self) -> Value:
        """Bytes of KV cache and recurrent state."""
        return self._shaped(self._totals["kv_bytes"])

    @property
    def activation_bytes(self) -> Value:
        """Peak bytes of live activations in the given order."""
        return self._shaped(self._totals["activation_bytes"])

    @property
    def peak_memory_bytes(self) -> Value:
        """Weights + KV cache + peak activations, bytes, over all memories."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes

    @property
    def macs(self) -> Value:
        """Multiply-accumulates that are executed."""
        return self._shaped(self._totals["macs"])

    @property
    def parameters(self) -> Value:
        """Stored parameters of the network."""
        stored = self._job.workload.weights
        return self._setting.xp.broadcast_to(stored, self.shape) if self.shape else stored

    @property
    def active_parameters(self) -> Value:
        """Parameters that one run reads: of experts those touched, of embeddings the rows."""
        read = self._job.workload.active_weights
        return self._setting.xp.broadcast_to(read, self.shape) if self.shape else read

    @property
    def bit_operations(self) -> Value:
        """Multiply-accumulates x bits of either operand, summed over the rows."""
        return self._shaped(self._totals["bit_operations"])

    @property
    def feasible(self) -> Value:
        """Whether it fits, in formats that the engine computes, at no more than stated rates."""
        good = fits(self._totals, self._setting)
        if self.unsupported:
            good = good & False
        if self._beyond is not False:
            good = good & ~self._beyond
        xp = namespace(good)
        if not self.shape:
            return bool(np.reshape(good, -1)[0]) if xp is np else good.reshape(())
        return xp.broadcast_to(xp.asarray(good).reshape(-1), (self._count,)).reshape(self.shape)

    @cached_property
    def _beyond(self) -> Value:
        return audit.beyond(self)

    # opened on access

    @property
    def breaches(self) -> list[audit.Breach]:
        """What passes a rate or a power that the machine states (of the first such point)."""
        return audit.breaches(self)

    @cached_property
    def unsupported(self) -> tuple[str, ...]:
        """Compute formats that the engine has in no form."""
        return self._opened[1].unsupported

    @cached_property
    def executed(self) -> dict[str, str]:
        """Wanted compute format -> the format in which the engine runs it."""
        return dict(self._opened[1].executed)

    @cached_property
    def _opened(self) -> tuple[OperatorTable, Terms]:
        """Rows of the prediction, or of its first point where it has many."""
        if self._rows is not None:
            return self._rows
        return self.at(0)._opened

    def at(self, *index: int) -> Prediction:
        """Return the prediction of one point of an array-valued one.

        Parameters
        ----------
        index
            Its index along each axis, or one flat index.
        """
        if not self.shape:
            return self
        flat = index[0] if len(index) == 1 else int(np.ravel_multi_index(index, self.shape))
        return self._job.at(flat).run()

    @property
    def violations(self) -> list[Violation]:
        """Limits exceeded, with demand, bound, gap and levers (of the first bad point)."""
        if self.shape:
            bad = np.flatnonzero(~np.asarray(self.feasible).reshape(-1))
            return self.at(int(bad[0])).violations if bad.size else []
        found = violations(self._totals, self._setting, self._job.workload.parameters)
        found += audit.lacking(self._setting, self.unsupported)
        return found

    @property
    def resources(self) -> dict[str, dict[str, Value]]:
        """Resource of the engine (``lut``, ``dsp`` ...) -> ``used``, ``available``, ``share``.

        Empty for engines that are there whatever runs on them.
        """
        from perfmodel.prediction.scarce import taken

        return taken(self)

    @property
    def placement(self) -> dict[str, Any]:
        """Where tensors live: memory -> bytes it must hold, beside what it has."""
        held = demands(self._totals, self._setting)
        return {
            memory: {
                "demand_bytes": self._shaped(need),
                "capacity_bytes": self._shaped(usable(self._setting, memory)),
                "holds": holds(memory, self._setting, self._totals),
            }
            for memory, need in held.items()
        }

    @property
    def kernels(self) -> tuple[tuple[str, ...], ...]:
        """Operators of each row of `table`."""
        return tuple(row.operators for row in self._job.lowered.rows)

    @cached_property
    def table(self) -> Table:
        """One row per kernel: class, count, work, bytes, seconds, and what binds it (one point)."""
        from perfmodel.prediction.rows import row_table

        return row_table(self)

    @cached_property
    def bottleneck(self) -> str:
        """What takes most of the latency: ``matrix``, ``vector``, a memory, ``launch`` ..."""
        from perfmodel.prediction.rows import seconds_by_bound

        shares = seconds_by_bound(self)
        return max(shares, key=lambda name: shares[name]) if shares else ""

    def explain(self, rows: int = 8) -> str:
        """Return the arithmetic behind the latency, numbers put in, the largest rows first."""
        from perfmodel.prediction.explain import explain

        return explain(self, rows)

    def cite(self) -> Citations:
        """Return the documents that it rests on: equations, facts, constants, network."""
        from perfmodel.prediction.cited import citations

        return citations(self)

    @property
    def headline(self) -> str:
        """What was predicted, under which formats and software."""
        from perfmodel.prediction.rows import headline

        return headline(self)

    def glance(self) -> list[tuple[str, str]]:
        """Return the headline numbers with their labels; of many points their ranges."""
        from perfmodel.prediction.rows import facts_line

        return facts_line(self)

    def cautions(self) -> list[str]:
        """Return what does not fit or cannot be, and what to know of what fits (one point)."""
        from perfmodel.prediction.rows import warnings_of

        return [] if self.shape else [f"! {text}" for text in warnings_of(self)]

    def html_sections(self) -> str:
        """Return the time by what binds, and the slowest kernels, as HTML (one point)."""
        from perfmodel.prediction.html import bar, slowest

        return "" if self.shape else bar(self) + slowest(self)

    def to_dict(self) -> dict[str, Any]:
        """Return every metric with what it depends on, ready for JSON (arrays as lists)."""
        from perfmodel.prediction.rows import to_dict

        return to_dict(self)
