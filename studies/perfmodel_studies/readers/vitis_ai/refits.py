"""How the constants of the runtime `vitis_ai` were fitted: all rows in one pass of numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict

__all__ = ["CONSTANTS", "refits_of"]

Floats = npt.NDArray[np.float64]

_HOST: Final = "runtime.kernels.copy.host_bandwidth"
_DRAW: Final = "runtime.draw_bytes_per_clock_per_unit"
_SHARE: Final = "runtime.efficiency.bandwidth"
#: The processor's part is what a thread takes longer than several do on one core: 0.47 ms of 224 x
#: 224 pixels, 0.27 ms of 128 x 128, 0.79 ms of 299 x 299, whatever the network.
_PULL: Final = 0.5
CONSTANTS: Final = (
    Constant("runtime.per_run", 150e-6, 1e-6, 5e-3, _PULL),
    Constant("runtime.per_operator", 7e-6, 1e-7, 1e-4),
    Constant(_HOST, 430e6, 5e7, 1e10, _PULL),
    Constant(_DRAW, 28.0, 5.0, 32.0),
    Constant(_SHARE, 0.8, 0.1, 1.0),
)
#: While the columns are read.
_NEUTRAL: Final = {"runtime.per_operator": 1.0, _DRAW: 1.0}
#: Runtimes whose constants these are.
RUNTIMES: Final = ("vitis_ai", "vitis_ai_threads")


def refits_of(cases: Cases) -> Sequence[Refit]:
    """Return the refit of all rows with boards left out, and with families of networks left out."""
    rows = [
        c for c in cases.cases
        if isinstance(c.machine, Machine) and c.machine.runtime.name in RUNTIMES
    ]  # fmt: skip
    if len({c.device for c in rows}) < 2:
        return ()
    columns = _VitisKernelColumns(rows)
    measured = np.array([c.questions[0].measured for c in rows])
    groups = {"device": [c.device for c in rows], "family of networks": [c.group for c in rows]}
    single = np.array([c.questions[0].target == "latency_s" for c in rows])
    # Widths of pruned networks are guessed: nothing is fitted to them.
    known = np.array([not c.group.startswith("pruned") for c in rows])
    return tuple(
        Refit(f"{target}, a {kind} left out", measured, names, CONSTANTS, columns.seconds,
              left_out=kind, judged=judged & known, weights=known.astype(np.float64))
        for kind, names in groups.items()
        for target, judged in (("latency_s", single), ("threads_s", ~single))
    )  # fmt: skip


class _VitisKernelColumns:
    """What each constant multiplies or divides, of every kernel of every row."""

    def __init__(self, cases: Sequence[ValidationCase]) -> None:
        tables = [_table(case) for case in cases]
        self._row = np.repeat(np.arange(len(cases)), [len(t["count"]) for t in tables])
        self._count = np.concatenate([_column(t, "count") for t in tables])
        self._compute = _joined(tables, "array_s") + _joined(tables, "alu_s")
        self._launch = _joined(tables, "launch_s")
        self._bytes = _joined(tables, "dram_bytes")
        machines = [c.machine for c in cases if isinstance(c.machine, Machine)]
        clock = np.array([float(m["engines.dpu.clock"]) for m in machines])
        images = np.array([float(c.questions[0].workload.parameters["batch"]) for c in cases])
        self._board = np.array([float(m["memories.dram.bandwidth"]) for m in machines])
        self._ports = clock * images
        # Seconds of a pass beside the layer, at a draw of a byte a clock: its bytes.
        rate = (self._board**-4.0 + self._ports**-4.0) ** -0.25
        self._added = _joined(tables, "add_s") * rate[self._row]
        self._host = np.array([
            0.0 if c.questions[0].target != "latency_s" else float(np.sum(
                _column(t, "host_s") * _column(t, "count"))) * float(_host(c))
            for c, t in zip(cases, tables, strict=True)
        ])  # fmt: skip
        self._runs = np.array([c.questions[0].target == "latency_s" for c in cases], dtype=float)

    def seconds(self, values: Mapping[str, float]) -> Floats:
        """Return seconds of all rows under some constants, as the style `dpu` composes them."""
        board = self._board * values[_SHARE]
        rate = ((board**-4.0 + (self._ports * values[_DRAW]) ** -4.0) ** -0.25)[self._row]
        moved = (self._bytes - self._added) / rate
        total = np.maximum(self._compute, moved) + self._added / rate
        total = total + self._launch * values["runtime.per_operator"]
        found = np.bincount(self._row, weights=total * self._count, minlength=len(self._board))
        found = found + self._runs * values["runtime.per_run"] + self._host / values[_HOST]
        return found.astype(np.float64)


def _host(case: ValidationCase) -> float:
    assert isinstance(case.machine, Machine)
    return float(case.machine[_HOST])


def _table(case: ValidationCase) -> Any:
    assert isinstance(case.machine, Machine)
    machine = case.machine.vary({**_NEUTRAL, _SHARE: 1.0})
    return predict(case.questions[0].workload, machine, precision=case.precision).table


def _joined(tables: Sequence[Any], name: str) -> Floats:
    return np.concatenate([_column(t, name) for t in tables])


def _column(table: Any, name: str) -> Floats:
    if name not in table.columns:
        return np.zeros(len(table["count"]))
    return np.asarray(table[name], dtype=np.float64)
