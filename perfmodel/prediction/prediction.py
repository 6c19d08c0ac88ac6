"""Result of a prediction: metrics, and the rows, facts and references behind them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from perfmodel.arrays import Value, first_number, is_array, namespace
from perfmodel.call_record import CALL_ATTRIBUTE
from perfmodel.cost.capacity import Violation, demands, fits, holds, usable, violations
from perfmodel.cost.energy import KERNELS, Energy, energy_of_what_fits, run_energy
from perfmodel.cost.residency import TRAFFIC_MODEL, WARM
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import per_run_overhead_s, total
from perfmodel.hardware.device import CLASS_BOUNDARY
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth, vector_peak
from perfmodel.prediction import audit, presentation
from perfmodel.prediction.input_attributes import InputAttributes
from perfmodel.prediction.interval_results import PredictionIntervals
from perfmodel.prediction.memory_metrics import MemoryMetrics
from perfmodel.prediction.ownership_metrics import OwnershipMetrics
from perfmodel.prediction.resource_usage import ResourceMetrics
from perfmodel.prediction.silicon_metrics import SiliconMetrics
from perfmodel.prediction.stages import energy_parts
from perfmodel.workload.operator_table import OperatorTable

if TYPE_CHECKING:
    from perfmodel.prediction.citations import Citations
    from perfmodel.prediction.job import PredictionJob
    from perfmodel.table import Table


class Prediction(
    InputAttributes,
    MemoryMetrics,
    ResourceMetrics,
    SiliconMetrics,
    OwnershipMetrics,
    PredictionIntervals,
):
    """Predicted cost of a workload on a machine.

    Every metric is a float if all inputs are numbers, else an array of the inputs' broadcast
    shape. `latency_s` is that of one run: one decode step, one prefill, one request, or one batch
    of frames. Plots: ``roofline()``, ``bottlenecks()``, ``memory()`` and others.

    Attributes
    ----------
    job : PredictionJob
        Resolved prediction; it can evaluate further points.
    totals : dict of str to Value
        Network totals by name, flat over the points.
    shape : tuple of int
        Broadcast shape of the inputs; empty for one point.
    evaluated : tuple of OperatorTable and Terms, or None
        Rows of all points; ``None`` if the points were evaluated in chunks, or replayed.
    """

    noun = "prediction"

    def __init__(
        self,
        job: PredictionJob,
        totals: dict[str, Value],
        shape: tuple[int, ...],
        setting: Setting | None,
        rows: tuple[OperatorTable, Terms] | None,
    ) -> None:
        self.job = job
        self.totals = totals
        self.shape = shape
        if setting is not None:
            self.setting = setting
        self.evaluated = rows

    def __reduce__(self) -> Any:
        # The rows are not pickled, since they are reproduced by another run.
        recorded = {CALL_ATTRIBUTE: self.__dict__.get(CALL_ATTRIBUTE)}
        return type(self.job).run, (self.job,), recorded

    # inputs

    @cached_property
    def setting(self) -> Setting:
        """Facts, formats and choices used by the cost functions, flat over the points."""
        return self.job.settings

    @property
    def energy_model(self) -> str:
        """Name of the energy model."""
        return self.flat_energy.model

    @property
    def traffic_model(self) -> str:
        """Name of the traffic model."""
        if self.job.model.bare:
            apart = self.setting.weights_memory != self.setting.levels[-1]
            return f"compulsory; main memory{' and that of the weights' if apart else ''} only"
        if self.categories.traffic_model:
            return self.categories.traffic_model
        return TRAFFIC_MODEL + (WARM if self.job.warm else "")

    # metrics

    def shaped(self, value: Value) -> Value:
        """Return a flat total in the shape of the prediction: a float, or an array over points."""
        if not self.shape:
            if isinstance(value, float | int):
                return float(value)
            if namespace(value) is not np:
                return value.reshape(())
            return first_number(value)
        xp = self.setting.xp
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
        """Latency of one run, seconds."""
        return self.shaped(self.totals["latency_s"])

    @property
    def once_a_run_s(self) -> Value:
        """Seconds per run outside the rows: runtime overhead, and host time of each sequence."""
        return self.shaped(per_run_overhead_s(self.setting))

    @property
    def _items(self) -> Value:
        return self.job.workload.items()

    @property
    def tokens_per_s(self) -> Value:
        """Tokens per second; ``None`` for workloads without tokens."""
        return self._items / self.latency_s if self.job.workload.unit == "tokens" else None

    @property
    def frames_per_s(self) -> Value:
        """Frames (or runs, sequences) per second; ``None`` for workloads with tokens."""
        return None if self.job.workload.unit == "tokens" else self._items / self.latency_s

    def phase_s(self, name: str) -> Value:
        """Return the seconds of a phase (``prefill``, ``decode``, ``encode``), or ``None``."""
        seconds = self.totals.get(f"phase {name}")
        if seconds is not None:
            return self.shaped(seconds)
        phases = {row.phase for row in self.job.lowered.rows}
        return self.latency_s if phases == {name} else None

    @property
    def ttft_s(self) -> Value:
        """Time to first token, seconds: that of the prefill, and of an encoder before it, if any.

        ``None`` without a prefill.
        """
        prefill, encoder = self.phase_s("prefill"), self.totals.get("phase encode")
        if prefill is None or encoder is None:
            return prefill
        return prefill + self.shaped(encoder)

    @property
    def tpot_s(self) -> Value:
        """Time per output token, seconds: that of one decode step; ``None`` without decoding."""
        seconds = self.phase_s("decode")
        steps = self.job.workload.parameters.get("generate")
        if seconds is None or steps is None:
            return seconds
        return seconds / steps

    @cached_property
    def energy(self) -> Energy:
        """Energy with its parts and its model; numbers in the shape of the prediction."""
        flat, rows = self.flat_energy, self.all_rows
        joule = None if flat.joule is None else self.shaped(flat.joule)
        parts = dict(flat.parts)
        if parts.pop(KERNELS, None) is not None:
            sums = self.job.summed(_parts) if rows is None else _parts(*rows, self.setting, {})
            parts = {**sums, **parts}
        return Energy(joule, {n: self.shaped(v) for n, v in parts.items()}, flat.model)

    @cached_property
    def flat_energy(self) -> Energy:
        """Energy, flat over the points like `totals`; of a class, kernels are one part."""
        own = {key for key in self.totals if key.startswith("energy ")} - {f"energy {KERNELS}"}
        spent = run_energy(self.totals, self.setting, self.categories.priced if own else ())
        return energy_of_what_fits(spent, self.totals, self.setting)

    @property
    def energy_j(self) -> Value:
        """Energy of one run within `energy_boundary`, joules; NaN if unknown."""
        return self.shaped(self._flat_joule)

    @property
    def energy_boundary(self) -> str:
        """Boundary of the energy: ``core``, ``module``, ``board``, ``wall`` or ``unstated``.

        Where the device states none, the energy of its class is that of a module.
        """
        power = self.job.machine.device.power
        if power:
            return power.boundary
        head = f"engines.{self.setting.engine_name}."
        of_class = {head + "running_power", head + "busy_power"} & self.setting.facts.keys()
        return CLASS_BOUNDARY if of_class else "unstated"

    @property
    def power_w(self) -> Value:
        """Average power, watts: energy / latency."""
        return self.energy_j / self.latency_s

    @property
    def _flat_joule(self) -> Value:
        joule = self.flat_energy.joule
        return float("nan") if joule is None else joule

    @property
    def levels(self) -> tuple[str, ...]:
        """Memories with a modelled boundary, nearest first."""
        return tuple(k[8:] for k in self.totals if k.startswith("traffic "))

    @property
    def traffic_bytes(self) -> dict[str, Value]:
        """Memory -> bytes across its boundary per run."""
        return {n: self.shaped(self.totals[f"traffic {n}"]) for n in self.levels}

    @property
    def bandwidth_bytes_per_s(self) -> dict[str, Value]:
        """Memory -> average bandwidth, bytes per second: traffic / latency."""
        return {n: bytes_ / self.latency_s for n, bytes_ in self.traffic_bytes.items()}

    def metric(self, name: str) -> Value:
        """Return a metric as a number for each point; of those by memory that of main memory.

        ``None`` where it does not apply.
        """
        value = getattr(self, name)
        if isinstance(value, dict):
            return cast("dict[str, Value]", value).get(self.machine.main_memory)
        return value

    def rate_of(self, memory: str) -> float:
        """Return the bandwidth of a memory that a kernel uses, bytes per second (one point).

        Raises
        ------
        KeyError
            The machine states no bandwidth of that memory.
        """
        rate = bandwidth(self.setting, memory)
        return first_number(rate)

    @property
    def required_bandwidth_bytes_per_s(self) -> dict[str, Value]:
        """Memory -> bandwidth at which its traffic takes as long as the arithmetic, bytes/s."""
        seconds = self.shaped(self._compute_seconds)
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                n: bytes_ / seconds if is_array(seconds) or seconds else float("inf")
                for n, bytes_ in self.traffic_bytes.items()
            }

    @property
    def _compute_seconds(self) -> Value:
        total: Value = 0.0
        for key, done in self.totals.items():
            if key.startswith("operations "):
                name = key[11:]
                total = total + done / self._peak(name)
        return total

    def _peak(self, name: str) -> Value:
        if name == "vector":
            return vector_peak(self.setting)[1]
        return audit.peak_of(self.setting, name, self.job.model.kind)

    @property
    def utilization(self) -> Value:
        """Ratio of the time of all multiply-accumulates at peak rate to the latency."""
        total: Value = 0.0
        for key, done in self.totals.items():
            if key.startswith("operations ") and key != "operations vector":
                total = total + done / self._peak(key[11:])
        return self.shaped(total) / self.latency_s

    @property
    def macs(self) -> Value:
        """Number of executed multiply-accumulate operations."""
        return self.shaped(self.totals["macs"])

    @property
    def parameters(self) -> Value:
        """Stored parameters of the network."""
        stored = self.job.workload.weights
        return self.setting.xp.broadcast_to(stored, self.shape) if self.shape else stored

    @property
    def active_parameters(self) -> Value:
        """Parameters read in one run: of activated experts, and of accessed embedding rows."""
        read = self.job.workload.active_weights
        return self.setting.xp.broadcast_to(read, self.shape) if self.shape else read

    @property
    def bit_operations(self) -> Value:
        """Sum over the rows of multiply-accumulates x bits of one operand x bits of the other."""
        return self.shaped(self.totals["bit_operations"])

    @property
    def feasible(self) -> Value:
        """Whether capacities, formats and stated rates of the machine suffice."""
        good = fits(self.totals, self.setting)
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
        return audit.exceeds_limits(self)

    # opened on access

    @property
    def breaches(self) -> list[audit.Breach]:
        """Exceeded rate and power limits of the machine (of the first point at fault)."""
        return audit.breaches(self)

    @cached_property
    def unsupported(self) -> tuple[str, ...]:
        """Compute formats that the engine cannot execute in any form."""
        return self.categories.unsupported

    @cached_property
    def executed(self) -> dict[str, str]:
        """Requested compute format -> format in which the engine executes it."""
        return dict(self.categories.executed)

    @cached_property
    def opened(self) -> tuple[OperatorTable, Terms]:
        """Rows of the prediction, of its first point if it has many."""
        return self.all_rows or self.at(0).opened

    @cached_property
    def all_rows(self) -> tuple[OperatorTable, Terms] | None:
        """Rows of all points; ``None`` if there are more than are evaluated at once."""
        return self.job.all_rows() if self.evaluated is None else self.evaluated

    @cached_property
    def categories(self) -> Terms:
        """Terms of one point or more, for what they state in names: formats and models."""
        return self.opened[1]

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
        return self.job.at(flat).run()

    def bind(self, **sizes: Value) -> Prediction:
        """Return the same prediction for other sizes of the network's free dimensions.

        This is the fastest way to ask again, since nothing is looked up by name; the device, its
        runtime and the precision remain.

        Parameters
        ----------
        sizes
            Free dimension -> number, or array over points.

        Raises
        ------
        InputError
            All unknown names and invalid extents, at once.

        Examples
        --------
        >>> import perfmodel as pm
        >>> p = pm.predict(pm.workload("llama_3_8b", phase="decode"), "h100")
        >>> p.bind(context=2048).latency_s < p.bind(context=8192).latency_s
        True
        """
        return self.job.bind(sizes).run()

    @property
    def violations(self) -> list[Violation]:
        """Exceeded limits with demand, bound, gap and remedies (of the first point at fault)."""
        if self.shape:
            bad = np.flatnonzero(~np.asarray(self.feasible).reshape(-1))
            return self.at(int(bad[0])).violations if bad.size else []
        exceeded = violations(self.totals, self.setting, self.job.workload.parameters)
        exceeded += audit.unsupported_formats(self.setting, self.unsupported)
        return exceeded

    @property
    def placement(self) -> dict[str, Any]:
        """Placement of tensors: required and available bytes of each memory."""
        required = demands(self.totals, self.setting)
        return {
            memory: {
                "demand_bytes": self.shaped(need),
                "capacity_bytes": self.shaped(usable(self.setting, memory)),
                "holds": holds(memory, self.setting, self.totals),
            }
            for memory, need in required.items()
        }

    @property
    def kernels(self) -> tuple[tuple[str, ...], ...]:
        """Operators of each row of `table`."""
        return tuple(row.operators for row in self.job.lowered.rows)

    @cached_property
    def table(self) -> Table:
        """Table of kernels: class, count, work, bytes, seconds, bottleneck (one point)."""
        return presentation.row_table(self)

    @cached_property
    def bottleneck(self) -> str:
        """Bottleneck with the largest share of the latency: ``matrix``, ``vector``, a memory ..."""
        shares = presentation.seconds_by_bound(self)
        return max(shares, key=lambda name: shares[name]) if shares else ""

    def explain(self, rows: int = 8) -> str:
        """Return the arithmetic behind the latency with numbers inserted, largest rows first."""
        from perfmodel.prediction.explain import explain

        return explain(self, rows)

    def cite(self) -> Citations:
        """Return the references of equations, facts, constants and network."""
        from perfmodel.prediction.citations import citations

        return citations(self)

    @property
    def headline(self) -> str:
        """Title: workload, device, formats and software."""
        return presentation.headline(self)

    def glance(self) -> list[tuple[str, str]]:
        """Return the headline numbers with their labels; ranges if there are many points."""
        return presentation.headline_numbers(self)

    def cautions(self) -> list[str]:
        """Return warnings about exceeded limits, and remarks about valid results (one point)."""
        return [] if self.shape else [f"! {text}" for text in presentation.warnings_of(self)]

    def html_sections(self) -> str:
        """Return the latency by bottleneck, and the slowest kernels, as HTML (one point)."""
        from perfmodel.prediction.latency_html import bar, slowest

        return "" if self.shape else bar(self) + slowest(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics and inputs as a JSON-compatible dictionary (arrays as lists)."""
        return presentation.to_dict(self)


def _parts(
    table: OperatorTable, terms: Terms, setting: Setting, _: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the joules of a run by part of its kernels' energy."""
    parts = energy_parts(terms, setting)
    return {name: total(table.count, joule) for name, joule in parts.items()}
