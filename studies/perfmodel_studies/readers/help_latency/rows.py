"""Rows of networks on a roofline, whose times follow from any constants of a runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.cost.operand_bytes import weight_bytes

__all__ = ["HelpLatencyEvaluator"]

Vector = npt.NDArray[np.float64]

_KERNELS: Final = "runtime.kernels."
_NUMBERS: Final = ("network", "count", "matrix", "vector", "memory", "narrow", "weights")


class HelpLatencyEvaluator:
    """Networks on a device under a runtime; calling it gives the seconds of each.

    Parameters
    ----------
    workloads
        Bound to one batch.
    device, runtime
        One of kind `roofline`, and a runtime that may state launches by class.
    """

    def __init__(self, workloads: Sequence[pm.Workload], device: pm.Device, runtime: str) -> None:
        self.networks = len(workloads)
        columns: dict[str, list[Any]] = {name: [] for name in _NUMBERS}
        kinds: list[str] = []
        self.stated = {
            path: float(value)
            for path, value in device.machine(runtime).facts.items()
            if path.startswith((_KERNELS, "runtime.per_operator", "runtime.efficiency."))
        }
        for i, work in enumerate(workloads):
            prediction = pm.predict(work, device, precision="fp32", warm=True, runtime=runtime)
            table, terms = prediction.opened
            rows = len(table.rows)
            column: Callable[[Any], Vector] = lambda v, n=rows: np.broadcast_to(v, (n, 1))[:, 0]  # noqa: E731
            columns["network"].append(np.full(rows, i))
            columns["count"].append(column(table.count))
            columns["matrix"].append(column(terms.compute["matrix"]))
            columns["vector"].append(column(terms.compute["vector"]))
            columns["memory"].append(np.max([column(v) for v in terms.memory.values()], axis=0))
            columns["narrow"].append(column(table.extents.get("narrow", 0.0)))
            weights = weight_bytes(table, prediction.setting)
            columns["weights"].append(column(weights))
            kinds += [row.kind for row in table.rows]
        self.of = {name: np.concatenate(values) for name, values in columns.items()}
        self.kinds = {kind: np.array([k == kind for k in kinds]) for kind in dict.fromkeys(kinds)}
        # At an efficiency of one.
        for kind, at in self.kinds.items():
            self.of["matrix"] = np.where(
                at, self.of["matrix"] * self._share(kind, self.stated), self.of["matrix"]
            )

    def __call__(self, constants: Mapping[str, float]) -> Vector:
        """Return the seconds of each network, shape ``(networks,)``.

        Parameters
        ----------
        constants
            Paths of facts -> values; what is left out is as the runtime states it.
        """
        values, of = {**self.stated, **constants}, self.of
        narrow = values.get(f"{_KERNELS}depthwise.narrow_launch", 0.0)
        matrix = of["matrix"].copy()
        launch = values.get("runtime.per_operator", 0.0) + narrow * of["narrow"]
        for kind, at in self.kinds.items():
            matrix = matrix / np.where(at, self._share(kind, values), 1.0)
            head = f"{_KERNELS}{kind}."
            launch = launch + at * values.get(f"{head}launch", 0.0)
            launch = launch + at * of["weights"] / values.get(f"{head}layout_bandwidth", np.inf)
        out = np.zeros(self.networks)
        body = np.maximum(matrix + of["vector"], of["memory"])
        np.add.at(out, of["network"], of["count"] * (body + launch))
        return out

    @staticmethod
    def _share(kind: str, values: Mapping[str, float]) -> float:
        """Return the share of the peak of a class of products; 1 for all others."""
        if kind not in ("conv", "grouped", "depthwise", "gemm"):
            return 1.0
        wider = {"grouped": "conv"}.get(kind, kind)
        head = "runtime.efficiency."
        return values.get(f"{head}{kind}", values.get(f"{head}{wider}", 1.0))
