"""Result of a few-shot calibration (`Calibration`), and the overlay file of calibrated facts.

An overlay maps facts of a device under a runtime to multipliers; ``perfmodel predict --overlay``
applies it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate.next_rows import NextMeasurements, next_rows
from perfmodel.evidence import Scatter
from perfmodel.hardware.calibration_overlay import Overlay
from perfmodel.hardware.calibration_posterior import Posterior
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Runtime
from perfmodel.prediction.basis import LEVELS
from perfmodel.table import Result, Table, plain


@dataclass(frozen=True, slots=True)
class LeaveOneOutRow:
    """A measured row, with its prediction by multipliers fitted to all others.

    Attributes
    ----------
    name
        Name of the row.
    measured_s, predicted_s
        Latencies; `plain_s` is the prediction without a calibration.
    """

    name: str
    measured_s: float
    predicted_s: float
    plain_s: float

    @property
    def error(self) -> float:
        """Predicted over measured, minus 1."""
        return self.predicted_s / self.measured_s - 1.0


@dataclass(frozen=True, repr=False)
class Calibration(Result):
    """Multipliers of the seconds of each class, fitted to measured rows of one device.

    Attributes
    ----------
    device, runtime
        Measured device and runtime.
    scale
        Class of seconds -> multiplier.
    fitted_on
        Description of the rows.
    rows
        Number of rows.
    before, after
        Mean absolute percentage error on the rows, as a fraction, without and with the multipliers.
    left_out
        Leave-one-out error: each row by multipliers fitted to all others; ``None`` for one row.
    each
        Leave-one-out rows; empty for a single row.
    notes
        Rows of the file that were skipped, and why.
    pool
        Errors of predictions of this kind, from the evidence on other devices; the prior of the
        multipliers.
    posterior
        Posterior of the multipliers: the expected error of new predictions.
    slopes
        Derivatives of log predictions by log multipliers, shape ``(rows, classes)``.
    precision
        Precision of the first row.
    measured
        Workload and sizes of each row.
    """

    noun = "calibration"

    device: Device
    runtime: Runtime
    scale: Mapping[str, float]
    fitted_on: str
    rows: int
    before: float | None
    after: float | None
    left_out: float | None
    each: tuple[LeaveOneOutRow, ...]
    notes: tuple[str, ...]
    pool: Scatter
    posterior: Posterior
    slopes: npt.NDArray[np.float64]
    precision: str | None = None
    measured: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def expected(self) -> dict[str, float]:
        """Level in per cent -> mean factor, either way, that contains that share of new rows."""
        return {
            f"{100 * level:g}": float(np.asarray(self.posterior.factor(self.slopes, level)).mean())
            for level in (LEVELS if self.rows else ())
        }

    @property
    def overlay(self) -> dict[str, Quantity]:
        """Facts by path, the overlay of `perfmodel.hardware.machine.Machine`."""
        return self._file().values()

    def machine(self) -> Machine:
        """Return the device under the runtime with the calibrated facts, for `predict`."""
        return Machine(self.device, self.runtime, self.overlay, self.posterior)

    def next(
        self, count: int = 1, candidates: Sequence[str] = (), targets: Sequence[str] = ()
    ) -> NextMeasurements:
        """Return the measurements that would narrow predictions of the device most.

        Parameters
        ----------
        count
            Number of measurements, selected greedily.
        candidates, targets
            Models that may be measured, and those whose predictions matter; if left out, a
            diverse list of the library's models for the class of workloads of the rows.

        Raises
        ------
        InputError
            Unknown names, models that do not run on the device, no list for the class.

        Notes
        -----
        The criterion is that of `perfmodel.calibrate.next_rows.narrowing`.
        """
        machine, posterior = self.machine(), self.posterior
        return next_rows(
            machine, posterior, count, candidates, targets, self.precision, self.measured
        )

    def _file(self) -> Overlay:
        """The overlay file."""
        return Overlay(
            overlay_version=2,
            device=self.device.name,
            runtime=self.runtime.name,
            fitted_on=self.fitted_on,
            facts={f"runtime.scale.{name}": value for name, value in self.scale.items()},
            posterior=self.posterior,
        )

    def to_yaml(self) -> str:
        """Return the text of an overlay file (`read_overlay`)."""
        import yaml

        text = self._file().model_dump_json(exclude_none=True)
        data = json.loads(text, parse_float=lambda number: float(f"{float(number):.6g}"))
        return yaml.safe_dump(data, sort_keys=False, width=100, default_flow_style=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON-ready values."""
        return plain(
            {
                "device": self.device.name,
                "runtime": self.runtime.name,
                "scale": self.scale,
                "fitted_on": self.fitted_on,
                "rows": self.rows,
                "mape_before": self.before,
                "mape_after": self.after,
                "mape_left_out": self.left_out,
                "expected": self.expected,
                "pool": self.pool._asdict(),
                "posterior": self.posterior.model_dump(),
                "left_out": [asdict(row) for row in self.each],
                "notes": self.notes,
            }
        )

    @cached_property
    def table(self) -> Table:
        """One row per class of seconds, with its multiplier."""
        return Table({"class": list(self.scale), "multiplier": list(self.scale.values())})

    @property
    def headline(self) -> str:
        """Device, runtime and rows."""
        return f"{self.device.name} under {self.runtime.name}, {self.fitted_on}"

    def cautions(self) -> list[str]:
        """Return the expected errors, and the notes."""
        bias, noise = (f"{100 * np.expm1(part):.0f} %" for part in self.pool[:2])
        pool = f"such predictions are off by {bias} from device to device, {noise} from row to row"
        if not self.rows:
            return [pool]
        before, after, left_out = (
            "-" if value is None else f"{100 * value:.1f} %"
            for value in (self.before, self.after, self.left_out)
        )
        factors = [f"{level} % within x{factor:.3g}" for level, factor in self.expected.items()]
        lines = [
            f"mean error {before} before, {after} after, {left_out} on each row by the others",
            f"to expect of a new row: {', '.join(factors)} of the prediction, either way",
            pool,
        ]
        worst = sorted(self.each, key=lambda row: -abs(row.error))[:3]
        if worst:
            names = ", ".join(f"{row.name} {100 * row.error:+.1f} %" for row in worst)
            lines.append(f"farthest off when left out: {names}")
        return [*lines, *(f"note: {note}" for note in self.notes)]

    def glance(self) -> list[tuple[str, str]]:
        """Return the multipliers."""
        if not self.rows:
            return []
        return [(f"runtime.scale.{name}", f"{value:.4g}") for name, value in self.scale.items()]
