"""Constants of cold weights on a Zen 4 core, fitted on nodes of networks and judged on networks.

Nodes of a family are left out together, and its networks are predicted by constants of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate import Constant
from perfmodel.errors import InputError
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import ValidationCase
from perfmodel.measurement_csv import CsvTable, read_rows

__all__ = ["CONSTANTS", "NODES", "Networks", "refit_of"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

#: Where the times of nodes lie.
NODES: Final = ("cpu_zen4/nodes.csv.gz", "nodes.csv.gz")
_COLUMNS: Final = ("model", "macs", "param_bytes", "t_us_low25mean")

_START, _END = "memories.l3.ramp_start", "memories.l3.ramp_end"
_SHARE, _HIDDEN = "bandwidth_share", "hidden_share"
_PROFILER: Final = "profiler_s"
_MIB: Final = 2.0**20
#: Bounds: nothing that the L2 (1 MiB) holds misses the L3 (32 MiB); all of 64 MiB does in a loop.
#: What the profiler adds to a node is fitted with them and stays out of a network's latency.
CONSTANTS: Final = (
    Constant(_START, 8 * _MIB, 1 * _MIB, 16 * _MIB),
    Constant(_END, 32 * _MIB, 16 * _MIB, 64 * _MIB),
    Constant(_SHARE, 0.75, 0.4, 1.0),
    Constant(_PROFILER, 1.2e-6, 0.3e-6, 6e-6),
)
#: Classes of rows whose kernels load weights.
_KERNELS: Final = ("conv", "depthwise", "grouped", "gemm")
#: Multiplications a weight, at most, of a product of a matrix and a vector.
_ONCE: Final = 1.25
#: Main memory takes a microsecond for these: the resolution of the profiler.
_LEAST_BYTES: Final = 32 * 1024.0
#: Channels that the runtime pads make a node's weights more than the graph's by this at most.
_PADDED: Final = 0.2


class Networks:
    """Rows of networks as what the constants multiply: read once, summed for any constants.

    Parameters
    ----------
    cases
        Each with a device of kind `simd` and a runtime that states kernels.
    """

    def __init__(self, cases: Sequence[ValidationCase]) -> None:
        machines = [_machine(case) for case in cases]
        runs = [_cold_run(case, machine) for case, machine in zip(cases, machines, strict=True)]
        tables = [run.table for run in runs]
        self.network = np.repeat(np.arange(len(cases)), [len(t["count"]) for t in tables])
        self.count, self.macs, cold, launch, per_run = (
            np.concatenate([_column(t, name) for t in tables])
            for name in ("count", "macs", "cold_weights_s", "launch_s", "row_s")
        )
        kinds = np.concatenate([np.asarray(t["kind"], dtype=str) for t in tables])
        ours = np.isin(kinds, _KERNELS)
        self._once = np.array([float(run.once_a_run_s) for run in runs])
        footprint = [run.weight_bytes + run.kv_bytes + run.activation_bytes for run in runs]
        self._footprint = np.array(footprint, dtype=np.float64)[self.network]
        self._launch, self._body = launch, per_run - cold - launch
        self._rate = _facts(machines, "memories.dram.bandwidth")[self.network]
        shares = _facts(machines, f"runtime.kernels.gemm.{_SHARE}")[self.network]
        self._hidden = _facts(machines, f"runtime.kernels.gemm.{_HIDDEN}")[self.network]
        #: Bytes of weights of each row that its kernel loads, 0 of other rows.
        self.weights = np.where(ours, cold * self._rate * shares, 0.0)
        self._others = np.where(ours, 0.0, cold)

    def rows(self, k: Mapping[str, float]) -> Floats:
        """Return seconds of one execution of every row, as `perfmodel.kinds.simd` composes them."""
        missed = np.clip((self._footprint - k[_START]) / (k[_END] - k[_START]), 0.0, 1.0)
        seconds = self.weights / (self._rate * k[_SHARE])
        cold = np.maximum(seconds - self._body, (1.0 - self._hidden) * seconds)
        return np.asarray(self._body + self._launch + missed * (cold + self._others))

    def seconds(self, rows: Floats) -> Floats:
        """Return seconds of whole networks from those of their rows."""
        total = np.bincount(self.network, weights=rows * self.count, minlength=len(self._once))
        return np.asarray(self._once + total, dtype=np.float64)


def refit_of(cases: Sequence[ValidationCase], folder: DataFolder) -> Sequence[Refit]:
    """Return how constants fitted on nodes of other families predict the networks of one.

    Fitted on products of a matrix and a vector, each node the same; none where the times of nodes
    are not there, or of one family alone.

    Raises
    ------
    InputError
        The file of nodes cannot be read.
    """
    path = folder.find(*NODES)
    known = [case for case in cases if isinstance(case.machine, pm.Device)]
    if path is None or not known:
        return []
    networks = Networks(known)
    at, times = _nodes(read_rows(path), known, networks)
    groups = [str(case.group) for case in known]
    owners = [groups[int(i)] for i in networks.network[at]]
    if len(set(owners)) < 2:
        return []

    def forward(k: Mapping[str, float]) -> Floats:
        rows = networks.rows(k)
        return np.concatenate([rows[at] + k[_PROFILER], networks.seconds(rows)])

    judged = np.repeat([False, True], [len(at), len(known)])
    measured = np.concatenate([times, [case.quantities[0].measured for case in known]])
    return [
        Refit(
            "latency_s",
            measured,
            owners + groups,
            CONSTANTS,
            forward,
            left_out="family",
            weights=np.where(judged, 0.0, 1.0),
            judged=judged,
        )
    ]


def _nodes(
    rows: CsvTable, cases: Sequence[ValidationCase], networks: Networks
) -> tuple[Places, Floats]:
    """Return the rows that products of a matrix and a vector became, and the nodes' seconds.

    Of each network they are paired by their weights in ascending order, where there are as many of
    the one as of the other.
    """
    faults = rows.missing(_COLUMNS)
    if faults:
        raise InputError(faults)
    nodes: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    # Without either there is no product with weights.
    for row in rows.select(lambda row: "0" not in (row.get("macs"), row.get("param_bytes"))):
        if row.get("model") not in nodes:
            continue
        macs, weights, seconds = (
            rows.number(row, name, faults, scale=scale)
            for name, scale in zip(_COLUMNS[1:], (1.0, 1.0, 1e-6), strict=True)
        )
        if macs and weights and seconds and macs < _ONCE * weights / 4.0:
            nodes[row.get("model")].append((weights, seconds))
    if faults:
        raise InputError(faults)
    once = (networks.macs > 0) & (networks.macs < _ONCE * networks.weights / 4.0)
    once &= networks.count == 1.0
    at: list[int] = []
    times: list[float] = []
    for i, case in enumerate(cases):
        here = np.flatnonzero(once & (networks.network == i))
        here = here[np.argsort(networks.weights[here], kind="stable")]
        there = sorted(nodes[case.name])
        if len(here) != len(there):
            continue
        for row, (weights, seconds) in zip(here.tolist(), there, strict=True):
            bytes_ = float(networks.weights[row])
            if bytes_ >= _LEAST_BYTES and abs(bytes_ / weights - 1.0) < _PADDED:
                at.append(row)
                times.append(seconds)
    return np.array(at, dtype=np.intp), np.array(times, dtype=np.float64)


def _machine(case: ValidationCase) -> pm.Machine:
    assert isinstance(case.machine, pm.Device)
    return case.machine.machine(case.runtime)


def _cold_run(case: ValidationCase, machine: pm.Machine) -> Any:
    """Return a prediction that finds no weight in the L3, and hides none behind arithmetic."""
    hidden = {f"runtime.kernels.{name}.{_HIDDEN}": 0.0 for name in _KERNELS}
    varied = machine.vary({_START: 1.0, _END: 2.0, **hidden})
    return pm.predict(case.quantities[0].workload, varied, warm=True)


def _facts(machines: Sequence[pm.Machine], path: str) -> Floats:
    return np.array([float(machine.facts[path]) for machine in machines])


def _column(table: Any, name: str) -> Floats:
    return np.asarray(table[name], dtype=np.float64)
