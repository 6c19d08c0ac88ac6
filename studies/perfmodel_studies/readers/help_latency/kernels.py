"""Networks of a space as counts of distinct kernels, whose times follow from any constants.

A network of these spaces is a few of some hundred kernels: refitting the constants of a runtime
takes the time of each kernel once, not of each network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import Processor, gemm_times
from perfmodel.kinds.tensor_core.products import candidates_of, products
from perfmodel.kinds.tensor_core.streams import CLASSES

__all__ = ["KernelCounts"]

Vector = npt.NDArray[np.float64]

_PRODUCT: Final = ("m", "n", "k", "groups", "weight_bytes", "other_bytes")
_HEAD: Final = "runtime.kernels."


class KernelCounts:
    """Networks on one GPU under one runtime; calling it gives the seconds of each.

    Parameters
    ----------
    workloads
        Bound to one batch.
    device, runtime
        A GPU whose engine is of kind `tensor_core`, and a runtime that states kernels for all
        classes of rows that the networks have.
    """

    def __init__(self, workloads: Sequence[pm.Workload], device: pm.Device, runtime: str) -> None:
        place: dict[tuple[Any, ...], int] = {}
        counts: list[tuple[int, int, float]] = []
        self.machine: Processor | None = None
        for i, workload in enumerate(workloads):
            prediction = pm.predict(workload, device, precision="fp32", runtime=runtime, warm=True)
            table, _ = prediction.opened
            setting = prediction.setting
            base = ROOFLINE.cost(table, setting)
            rows = len(table.rows)
            count = np.broadcast_to(table.count, (rows, 1))[:, 0]
            main = setting.levels[-1]
            traffic = np.broadcast_to(base.traffic[main], (rows, 1))[:, 0]
            matrix = np.broadcast_to(base.compute["matrix"], (rows, 1))[:, 0]
            keys: dict[int, tuple[Any, ...]] = {
                j: (_class_of(row.kind, row.function), float(traffic[j]), float(matrix[j]))
                for j, row in enumerate(table.rows)
                if row.kind in CLASSES
            }
            for part in products(table, setting, base):
                self.machine = part.machine
                size = (len(part.rows), 1)
                numbers = [np.broadcast_to(getattr(part, n), size)[:, 0] for n in _PRODUCT]
                for j, row in enumerate(part.rows.tolist()):
                    keys[row] = (part.kind, *(float(n[j]) for n in numbers))
            for row, key in keys.items():
                counts.append((i, place.setdefault(key, len(place)), float(count[row])))
            self.bandwidth = float(setting.facts[f"memories.{main}.bandwidth"])
        self.counts = np.zeros((len(workloads), len(place)))
        for i, at, count in counts:
            self.counts[i, at] += count
        self.kernels = tuple(place)
        stated = device.machine(runtime).facts
        self.stated = {k: float(v) for k, v in stated.items() if k.startswith(_HEAD)}

    def __call__(self, constants: Mapping[str, float]) -> Vector:
        """Return the seconds of each network, shape ``(networks,)``.

        Parameters
        ----------
        constants
            Paths of facts -> values; what is left out is as the runtime states it.
        """
        values = {**self.stated, **constants}
        seconds = np.zeros(len(self.kernels))
        kinds = [key[0] for key in self.kernels]
        for kind in dict.fromkeys(kinds):
            at = [i for i, name in enumerate(kinds) if name == kind]
            head = f"{_HEAD}{kind}."
            own = {n.removeprefix(head): v for n, v in values.items() if n.startswith(head)}
            own = {n: v for n, v in own.items() if "." not in n}
            numbers = np.array([self.kernels[i][1:] for i in at]).T
            seconds[at] = (
                self._products(kind, numbers, own)
                if kind in ("conv", "grouped", "gemm")
                else self._streams(numbers, own)
            )
        return self.counts @ seconds

    def _products(self, kind: str, numbers: Vector, own: Mapping[str, float]) -> Vector:
        m, n, k, groups, weights, others = numbers
        assert self.machine is not None
        tiles, splits = candidates_of(kind)
        constants = TensorCoreKernel.constants(own)
        return gemm_times(
            m,
            n,
            k,
            groups=groups,
            machine=self.machine,
            constants=constants,
            moved_bytes=weights + others,
            left_bytes=4.0,
            right_bytes=4.0,
            tiles=tiles,
            splits=splits,
        ).total_s

    def _streams(self, numbers: Vector, own: Mapping[str, float]) -> Vector:
        traffic, matrix = numbers
        drawn = (
            own.get("passes", 1.0) * traffic / (own.get("bandwidth_share", 1.0) * self.bandwidth)
        )
        work = np.maximum(drawn, matrix / own.get("peak_share", 1.0))
        return np.maximum(own["launch"] + work, own.get("host_floor", 0.0))


def _class_of(kind: str, function: str) -> str:
    """Return the kernels of a row: batch normalisation has its own."""
    return f"{kind}.{function}" if function == "batch_norm" else kind
