"""How the constants of ncnn's runtimes were fitted to its page: all rows in one pass of numpy.

`predict` is asked once a row with every constant at 1; its table says what each constant divides
or multiplies, so that a trial of other constants is sums over those columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import Cases, ValidationCase, subject_of

from perfmodel_studies.tables import constants_of

__all__ = ["BUILDS", "CONSTANTS", "refits_of"]

Floats = npt.NDArray[np.float64]

#: Runtime -> the older build of it whose rows are fitted with it.
BUILDS: Final[Mapping[str, str]] = {
    "ncnn": "ncnn_2021",
    "ncnn_in_order": "ncnn_in_order_2021",
    "ncnn_armv7": "",
    "ncnn_x86": "",
}

_SHARE: Final = "runtime.efficiency."
_OLDER: Final = "2021: runtime.efficiency."
#: The network decides little of some of them: a weak pull holds those near where they start.
CONSTANTS: Final = constants_of("ncnn")
#: Of the older build, where there is one.
OLDER: Final = constants_of("ncnn_older")

#: What the constants are while the columns are read: the draw of a core so high that it is none.
_NEUTRAL: Final = {
    **{c.name: 1.0 for c in CONSTANTS if c.name.startswith(_SHARE)},
    "runtime.draw_bytes_per_clock_per_unit": 1e6,
    "runtime.per_operator": 1.0,
    "runtime.serial_share": 0.0,
}
_MATRIX: Final = {"conv": 0, "grouped": 0, "depthwise": 1, "gemm": 2, "attention": 3}
#: Error from which on a row counts less in a fit.
_SCALE: Final = 0.2


def refits_of(cases: Cases) -> Sequence[Refit]:
    """Return a refit for each of the runtimes that has rows of two devices or more."""
    refits: list[Refit] = []
    for runtime, older in BUILDS.items():
        rows = [c for c in cases.cases if c.runtime in (runtime, older) and c.machine is not None]
        if len({c.device for c in rows}) < 2:
            continue
        columns = _NcnnKernelColumns(rows, older)
        constants = CONSTANTS + (OLDER if columns.older.any() else ())
        measured = np.array([c.quantities[0].measured for c in rows])
        devices = [c.device for c in rows]
        refits.append(
            Refit(
                f"latency_s, {runtime}",
                measured,
                devices,
                constants,
                columns.seconds,
                scale=_SCALE,
                subjects=[subject_of(c, c.quantities[0]) for c in rows],
            )
        )
    return refits


class _NcnnKernelColumns:
    """Seconds of every kernel of every row with neutral constants."""

    def __init__(self, cases: Sequence[ValidationCase], older: str) -> None:
        tables = [_table(case) for case in cases]
        self._row = np.repeat(np.arange(len(cases)), [len(t["count"]) for t in tables])
        kinds = np.concatenate([np.asarray(t["kind"]) for t in tables]).tolist()
        self._class = np.array([_MATRIX.get(kind, 4) for kind in kinds])
        # What is no matrix operator and no copy takes the vector units' share.
        self._vector_alone = (self._class == 4) & (np.array(kinds) != "copy")
        self._seconds = {
            name: np.concatenate([_column(t, f"{name}_s") for t in tables])
            for name in ("matrix", "vector", "dram", "cache", "launch")
        }
        self._count = np.concatenate([_column(t, "count") for t in tables])
        self._narrow = np.array([c.precision == "int8" for c in cases])[self._row]
        self.older = np.array([c.runtime == older for c in cases])
        machines = [_machine(c) for c in cases]
        self._units = np.array([float(m["engines.cpu.units"]) for m in machines])
        self._clock = np.array([float(m["engines.cpu.clock"]) for m in machines])
        self._bandwidth = np.array([float(m["memories.main.bandwidth"]) for m in machines])

    def seconds(self, values: Mapping[str, float]) -> Floats:
        """Return seconds of all rows under some constants, as the roofline kind composes them."""
        older = self.older[self._row]
        plain = [values[_SHARE + name] for name in ("conv", "depthwise", "gemm", "attention")]
        narrow = [values[f"{_SHARE}{name}.int8"] for name in ("conv", "depthwise")] + plain[2:]
        share = np.where(
            self._narrow,
            np.array([*narrow, 1.0])[self._class],
            np.array([*plain, 1.0])[self._class],
        )
        if self.older.any():
            conv = np.where(self._narrow, values[_OLDER + "conv.int8"], values[_OLDER + "conv"])
            share = np.where(older & (self._class == 0), conv, share)
        units = self._units[self._row]
        matrix = self._seconds["matrix"] / share
        matrix = matrix * (1.0 + values["runtime.serial_share"] * (units - 1.0))
        vector = self._seconds["vector"] / np.where(
            self._vector_alone, values[_SHARE + "vector"], 1.0
        )
        draw = values["runtime.draw_bytes_per_clock_per_unit"] * self._units * self._clock
        rate = ((self._bandwidth * values[_SHARE + "bandwidth"]) ** -4.0 + draw**-4.0) ** -0.25
        dram = self._seconds["dram"] * (self._bandwidth / rate)[self._row]
        launch = self._seconds["launch"] * values["runtime.per_operator"]
        total = matrix + vector + dram + self._seconds["cache"] + launch
        times = np.bincount(self._row, weights=total * self._count, minlength=len(self.older))
        return times.astype(np.float64)


def _machine(case: ValidationCase) -> pm.Machine:
    assert isinstance(case.machine, pm.Machine)
    return case.machine


def _table(case: ValidationCase) -> Any:
    machine = _machine(case).vary(_NEUTRAL)
    return pm.predict(
        case.quantities[0].workload, machine, precision=case.precision, runtime=case.runtime
    ).table


def _column(table: Any, name: str) -> Floats:
    if name not in table.columns:
        return np.zeros(len(table["count"]))
    return np.asarray(table[name], dtype=np.float64)
