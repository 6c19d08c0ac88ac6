"""Inputs of a prediction as attributes of its result: workload, machine, precision, free sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmodel.arrays import Value

if TYPE_CHECKING:
    from perfmodel.prediction.job import PredictionJob


class InputAttributes:
    """Inputs of a resolved prediction, read from its job."""

    job: PredictionJob

    @property
    def workload(self) -> Any:
        """The workload."""
        return self.job.workload

    @property
    def machine(self) -> Any:
        """The machine: device, runtime and facts."""
        return self.job.machine

    @property
    def precision(self) -> str:
        """Text of the precision, with the formats that the model file fixes for operands."""
        rows = self.job.lowered.rows
        fixed = {
            slot.partition("=")[2]
            for row in rows
            if row.products
            for slot in row.pair
            if "=" in slot
        }
        text = str(self.job.precision)
        return f"{text} ({', '.join(sorted(fixed))} by the file)" if fixed else text

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.job.machine.device.name

    @property
    def runtime(self) -> str:
        """Name of the runtime."""
        return self.job.machine.runtime.name

    @property
    def varied(self) -> dict[str, Value]:
        """Modified facts of the device, by path."""
        return dict(self.job.machine.varied)

    @property
    def parameters_bound(self) -> dict[str, Value]:
        """Free dimension -> number or array that it is bound to."""
        return dict(self.job.workload.parameters)

    @property
    def not_priced(self) -> tuple[str, ...]:
        """Operators without a cost model, each with the reason."""
        return self.job.lowered.graph.not_priced

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions made when the network was read."""
        return self.job.workload.notes
