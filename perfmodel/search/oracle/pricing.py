"""Pricing of rows on a device under a runtime and a precision, resolved once as in `predict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import per_run_overhead_s
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction import Prediction, stages
from perfmodel.prediction.job import PredictionJob
from perfmodel.search.oracle.kernel_pricing import (
    ARRAYS,
    Floats,
    NotTabledError,
    Priced,
    States,
    price,
    resident_share,
    states_of,
)
from perfmodel.search.oracle.table_structure import TableStructure
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.workload import Workload

_NO_STATES: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Pricing:
    """A device, a runtime and a precision, ready to cost rows and to convert sums to predictions.

    Attributes
    ----------
    job
        Prediction job of a sample workload, for everything that is independent of the network.
    structure
        What the rows of tables depend on besides the network.
    states
        Capacities that determine the residency of activations.
    """

    job: PredictionJob
    structure: TableStructure
    states: States
    settings: tuple[Setting, ...]
    footprints: tuple[float, ...]

    @classmethod
    def of(
        cls,
        workload: Workload,
        device: Device | Machine,
        *,
        precision: str | Precision | None = None,
        runtime: str | Runtime | None = None,
        engine: str | None = None,
        model: str | None = None,
        warm: bool = False,
    ) -> Pricing:
        """Resolve device, runtime and model as `perfmodel.predict.predict` does for a workload.

        Raises
        ------
        NotTabledError
            Facts of the device vary, the phases of a run are distinguished, or the kind or runtime
            has costs that depend on the whole network.
        """
        subject = stages.resolve(workload, device, precision, runtime, engine, model)
        modelled, facts = subject.model, subject.machine.facts
        structure = TableStructure.of(modelled, subject.precision)
        lowered = structure.lowered(workload.graph(modelled.semantics))
        bare = modelled.bare
        job = PredictionJob.of(subject, lowered, warm=warm)
        added = None if bare else modelled.execution
        if any(np.ndim(value) for value in facts.values()):
            raise NotTabledError("facts of the device vary")
        setting = job.setting(workload.parameters, facts, subject.precision)
        streamed = setting.choices.get("weights", "streamed") == "streamed"
        for reason, holds in {
            "the runtime dispatches views": added is not None
            and added.views
            and lowered.graph.views != 0,
            "layers are split over devices": facts.get("runtime.split", 1.0) != 1.0,
            "a run has several phases": len({row.phase for row in lowered.rows}) > 1,
            "which weights stay depends on all of the network's": warm
            and not bare
            and not streamed,
        }.items():
            if holds:
                raise NotTabledError(reason)
        states = states_of(setting)
        settings = (setting,)
        if resident_share(setting) and not bare:
            settings = (replace(setting, resident=False), replace(setting, resident=True))
        elif ARRAYS in modelled.kind.network_wide and not bare:
            settings = (replace(setting, resident=False),)
        footprints = (0.0,)
        if warm and not bare:
            footprints = _footprints(setting, states)
        return cls(job, structure, states, settings, footprints)

    @property
    def setting(self) -> Setting:
        """Setting of the cost functions, with network-wide choices left open."""
        return replace(self.settings[0], resident=None)

    @property
    def per_run_s(self) -> float:
        """Seconds per run in addition to the rows."""
        return float(per_run_overhead_s(self.setting))

    @property
    def ramped(self) -> bool:
        """Whether the miss rate of some cache ramps up with the size of the network."""
        return len(self.footprints) > len(self.states.needs)

    @property
    def modes(self) -> int:
        """Number of modes in which the whole network may run: settings times footprints."""
        return len(self.settings) * len(self.footprints)

    def priced(
        self,
        table: OperatorTable,
        rows: Sequence[int],
        fixed: Mapping[str, int] = _NO_STATES,
        sequences: Value = 1.0,
        *,
        columns: bool = False,
    ) -> Priced:
        """Cost rows of a table in all modes and states; parameters are those of `price`."""
        return price(
            table,
            rows,
            self.job.model.kind,
            self.settings,
            self.states,
            self.footprints,
            fixed,
            sequences,
            columns=columns,
        )

    def leaves_room(self, arrays: float) -> bool:
        """Return whether matrices that take so many arrays may all stay in arrays that compute."""
        return arrays <= self.job.machine.facts[f"engines.{self.setting.engine_name}.units"]

    def in_own_mode(self, names: Sequence[str], sums: Floats, footprint: Floats) -> Floats:
        """Return the sums of each network, ``(networks, quantities)``, in the mode it runs in.

        Parameters
        ----------
        sums : array of shape ``(networks, modes, quantities)``
        footprint : array of shape ``(networks,)``
            Weights, caches and activations in bytes, for warm runs.
        """
        by_setting = [
            self.under_setting(index, sums, footprint) for index in range(len(self.settings))
        ]
        if len(by_setting) == 1:
            return by_setting[0]
        levels = {self.setting.levels[-1], self.setting.weights_memory}
        columns = [i for i, name in enumerate(names) if name in {f"traffic {x}" for x in levels}]
        traffic = [each[:, columns].sum(axis=1) for each in by_setting]
        # Activations are kept resident if that moves fewer bytes over the whole network.
        return np.where((traffic[1] < traffic[0])[:, None], by_setting[1], by_setting[0])

    def under_setting(self, setting_index: int, sums: Floats, footprint: Floats) -> Floats:
        """Return the sums of each network under one of the settings.

        Costs are interpolated linearly between the tabulated footprints (`_footprints`).
        """
        setting_count = len(self.settings)
        if len(self.footprints) == 1 or sums.shape[1] == 1:
            return sums[:, min(setting_index, sums.shape[1] - 1)]
        rows = np.arange(len(sums))
        known = np.array(self.footprints)
        above = np.minimum(np.searchsorted(known, footprint), len(known) - 1)
        below = np.maximum(above - 1, 0)
        low, high = known[below], known[above]
        within = np.isfinite(high) & (high > low)
        gap = np.where(within, high, low + 1.0) - low
        share = np.where(within, (footprint - low) / gap, 1.0)
        # Without a ramp costs only have steps.
        share = np.where((above == below) | (not self.ramped), 1.0, share)[:, None]
        upper = sums[rows, above * setting_count + setting_index]
        return np.where(
            share == 1.0,
            upper,
            sums[rows, below * setting_count + setting_index] * (1 - share) + upper * share,
        )

    def opened(
        self,
        workload: Workload,
        totals: dict[str, Value],
        shape: tuple[int, ...],
        rows: tuple[OperatorTable, Terms],
    ) -> Prediction:
        """Return a prediction with the given sums over its network."""
        job = replace(self.job, workload=workload)
        return Prediction(job, totals, shape, self.setting, rows)


def _footprints(setting: Setting, states: States) -> tuple[float, ...]:
    """Return the footprints in bytes at which warm runs are tabulated, ascending.

    Costs step where a cache no longer holds the network, bend at the ends of a ramp
    (`perfmodel.hardware.memory.Memory.ramp_start`), and are linear in between. Both sides of each
    step are tabulated if there is a ramp, otherwise one side.
    """
    ends = {
        float(setting.facts[path])
        for level in setting.levels[:-1]
        for path in (f"memories.{level}.ramp_start", f"memories.{level}.ramp_end")
        if path in setting.facts
    }
    if not ends:
        return tuple(states.needs.tolist())
    edges = sorted(ends | {*states.thresholds})
    return tuple(f for edge in edges for f in (edge, float(np.nextafter(edge, np.inf)))) + (np.inf,)
