"""Perceptrons as circuits of hls4ml: whole designs, and how their clocks were fitted.

The YAML beside this file says what each design asks of `predict`. A prediction rounds the clocks of
a softmax, so that a fit through it never moves their constants: here they are not rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.datasets import DeclaredDataset
from perfmodel.evaluate.refit import PredictedRows, Refit
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase

from perfmodel_studies.tables import constants_of

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

_DESIGNS: Final = DeclaredDataset(Path(__file__).with_name("hls4ml_mlp_csynth.yaml"))
NAME: Final = _DESIGNS.NAME
TITLE: Final = _DESIGNS.TITLE
#: Where its file lies.
PLACES: Final = _DESIGNS.PLACES

_GEMM, _SOFTMAX = "runtime.kernels.gemm.", "runtime.kernels.softmax."
#: Constants of clocks, with how far each may go.
CONSTANTS: Final = constants_of("hls4ml")
#: Share of the clock that the tool keeps for wires: the design's own default.
_MARGIN: Final = 0.125


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the designs."""
    return _DESIGNS.load(folder, devices)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how clocks and amounts were fitted, a network left out at a time."""
    rows = [
        (case, quantity)
        for case, quantity in load(folder, devices).with_quantities("latency_s")
        if case.values is not None and case.values.text("{multipliers_1}")
    ]
    networks = [case.group for case, _ in rows]
    if len(set(networks)) < 2:
        return []
    forward = _UnroundedClocks(rows)
    measured = np.rint(np.array([quantity.measured for _, quantity in rows]) * forward.clock)
    clocks = Refit("clocks", measured, networks, CONSTANTS, forward, left_out="network")
    return [clocks, *_DESIGNS.refits(folder, devices)]


class _UnroundedClocks:
    """Clocks of designs: those of a prediction whose softmax has none, and its own beside them."""

    def __init__(self, rows: Sequence[tuple[ValidationCase, MeasuredQuantity]]) -> None:
        self._layers = PredictedRows(rows, CONSTANTS, _without_softmax)
        machines = [case.machine for case, _ in rows if isinstance(case.machine, pm.Machine)]
        self.clock = np.array([float(m["engines.main.clock"]) for m in machines])
        classes = np.array([list(q.workload.parameters.values())[-1] for _, q in rows])
        self._levels = np.ceil(np.log2(classes.astype(float)))
        self._in_dsp = np.array([not m.device.name.endswith("_lut_multipliers") for m in machines])

    def __call__(self, constants: Mapping[str, float]) -> Any:
        """Return clocks of all rows, shape ``(rows,)``."""
        return self.points({name: np.array([value]) for name, value in constants.items()})[0]

    def points(self, constants: Mapping[str, Any]) -> Any:
        """Return clocks under constants of shape ``(points,)``: ``(points, rows)``."""
        base, delay, multiplier = (
            constants[_SOFTMAX + name][:, None]
            for name in ("base_clocks", "level_delay", "multiplier_clocks")
        )
        period = (1.0 - _MARGIN) / self.clock
        softmax = base + self._levels * delay / period + self._in_dsp * multiplier
        # Seconds times clocks per second: whole clocks again, so that equal designs are equal.
        layers: npt.NDArray[np.float64] = self._layers.points(constants) * self.clock
        return np.round(layers, 9) + softmax


def _without_softmax(case: ValidationCase, constants: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return facts of a case's machine: constants of layers, and a softmax that takes no clock."""
    del case
    return {path: 0.0 * v if path.startswith(_SOFTMAX) else v for path, v in constants.items()}
