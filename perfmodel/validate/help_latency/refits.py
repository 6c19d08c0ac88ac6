"""Constants of the eager runtimes on trial: refitted without a device, on its networks judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perfmodel.calibrate import Constant
from perfmodel.calibrate.fit import Forward
from perfmodel.predict import predict
from perfmodel.validate.files import DataFolder
from perfmodel.validate.help_latency.evaluate import PRECISION, Latencies, latencies_of
from perfmodel.validate.help_latency.kernels import KernelCounts
from perfmodel.validate.help_latency.spaces import SPACES, Space
from perfmodel.validate.refit import Refit
from perfmodel.workload.workload import Workload

__all__ = ["refits_of"]

Vector = npt.NDArray[np.float64]

_KERNELS: Final = "runtime.kernels."
_FLOORS: Final = tuple(
    Constant(f"{_KERNELS}{name}.host_floor", start, 2e-6, 3e-4)
    for name, start in (("conv", 6e-5), ("elementwise.batch_norm", 4.5e-5),
                        ("elementwise", 2.2e-5), ("pool", 2e-5))
)  # fmt: skip
_SHARES: Final = tuple(
    Constant(f"{_KERNELS}{name}", start, low, high)
    for name, start, low, high in (
        ("conv.peak_share", 0.6, 0.05, 3.0), ("conv.bandwidth_share", 0.8, 0.05, 1.0),
        ("elementwise.bandwidth_share", 0.8, 0.05, 1.0),
        ("elementwise.batch_norm.bandwidth_share", 0.8, 0.05, 1.0),
        ("pool.bandwidth_share", 0.2, 0.05, 1.0),
    )
)  # fmt: skip
#: Architectures, of which shares are; a device's tags say which it is of.
_ARCHITECTURES: Final = ("pascal", "turing")
#: How the hosts of the measured GPUs differ: of no concern to another device, so left at 1 there.
_HOST: Final = "host."
_HOST_PRIOR: Final = 0.02
#: On CPUs and phones.
_ONE_BY_ONE: Final = (
    Constant("runtime.per_operator", 2e-5, 1e-6, 1e-3),
    Constant("runtime.efficiency.conv", 0.3, 0.005, 3.0),
    Constant(f"{_KERNELS}conv.launch", 5e-5, 1e-6, 1e-3),
    Constant(f"{_KERNELS}pool.launch", 2e-5, 1e-6, 1e-3),
)


def refits_of(
    folder: DataFolder, name: str, places: Sequence[str], devices: Sequence[str | Path] = ()
) -> list[Refit]:
    """Return how the constants were fitted on NAS-Bench-201, by class of machines.

    Those are judged whose devices are two or more.
    """
    kind = SPACES["nas_bench_201"]
    found, _, _, _ = latencies_of(folder, name, places, kind, devices)
    out: list[Refit] = []
    for group, build in (("gpu", _gpus), ("server_cpu", _cores), ("phone", _cores)):
        some = [item for item in found if item.column.place.group == group]
        if len({item.device.name for item in some}) > 1:
            constants, forward = build(some, kind)
            measured = np.concatenate([item.seconds[item.sample] for item in some])
            labels = [item.device.name for item in some for _ in item.sample]
            parts = [item.column.name for item in some for _ in item.sample]
            out.append(Refit(f"{group}_latency_s", measured, labels, constants, forward,
                             scale=0.05 if group == "gpu" else 0.1, parts=parts))  # fmt: skip
    return out


def _works(item: Latencies, kind: Space) -> list[Workload]:
    there = kind.build(item.column.place.form)
    return [
        there.workload(item.choices[i].tolist(), batch=float(item.column.batch))
        for i in item.sample.tolist()
    ]


def _gpus(some: Sequence[Latencies], kind: Space) -> tuple[list[Constant], Forward]:
    counts = [KernelCounts(_works(i, kind), i.device, i.column.place.runtime) for i in some]
    known = [next((a for a in _ARCHITECTURES if a in i.device.tags), "") for i in some]
    hosts = dict.fromkeys(item.device.name for item in some)
    constants = [
        *_FLOORS,
        *(Constant(f"{a}.{c.name}", c.start, c.low, c.high)
          for a in _ARCHITECTURES if a in known for c in _SHARES),
        *(Constant(f"{_HOST}{host}", 1.0, 0.4, 2.5, _HOST_PRIOR) for host in hosts),
    ]  # fmt: skip

    def forward(values: Mapping[str, float]) -> Vector:
        out: list[Vector] = []
        for item, count, architecture in zip(some, counts, known, strict=True):
            host = values[f"{_HOST}{item.device.name}"]
            own = {c.name: host * values[c.name] for c in _FLOORS}
            own |= {c.name: values[f"{architecture}.{c.name}"] for c in _SHARES if architecture}
            out.append(count(own))
        return np.concatenate(out)

    return constants, forward


def _cores(some: Sequence[Latencies], kind: Space) -> tuple[list[Constant], Forward]:
    parts = [_Rows(_works(item, kind), item) for item in some]

    def forward(values: Mapping[str, float]) -> Vector:
        return np.concatenate([part(values) for part in parts])

    return list(_ONE_BY_ONE), forward


class _Rows:
    """Rows of networks on a roofline, summed under other constants of a runtime."""

    def __init__(self, works: Sequence[Workload], item: Latencies) -> None:
        self.networks = len(works)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("network", "count", "matrix", "vector", "memory", "conv", "pool")
        }
        efficiency = 1.0
        for i, work in enumerate(works):
            found = predict(work, item.device, precision=PRECISION, warm=True,
                            runtime=item.column.place.runtime)  # fmt: skip
            table, terms = found._opened  # pyright: ignore[reportPrivateUsage]
            efficiency = float(found._setting.facts["runtime.efficiency.conv"])  # pyright: ignore[reportPrivateUsage]
            rows = len(table.rows)
            column: Callable[[Any], Vector] = lambda v, n=rows: np.broadcast_to(v, (n, 1))[:, 0]  # noqa: E731
            columns["network"].append(np.full(rows, i))
            columns["count"].append(column(table.count))
            columns["matrix"].append(column(terms.compute["matrix"]))
            columns["vector"].append(column(terms.compute["vector"]))
            columns["memory"].append(np.max([column(v) for v in terms.memory.values()], axis=0))
            kinds = np.array([row.kind for row in table.rows])
            columns["conv"].append(np.isin(kinds, ("conv", "depthwise", "grouped")))
            columns["pool"].append(kinds == "pool")
        self.of = {name: np.concatenate(values) for name, values in columns.items()}
        # At an efficiency of one.
        self.of["matrix"] = np.where(
            self.of["conv"], self.of["matrix"] * efficiency, self.of["matrix"]
        )

    def __call__(self, values: Mapping[str, float]) -> Vector:
        of = self.of
        share = np.where(of["conv"], values["runtime.efficiency.conv"], 1.0)
        body = np.maximum(of["matrix"] / share + of["vector"], of["memory"])
        launch = values["runtime.per_operator"] + of["conv"] * values[f"{_KERNELS}conv.launch"]
        launch = launch + of["pool"] * values[f"{_KERNELS}pool.launch"]
        out = np.zeros(self.networks)
        np.add.at(out, of["network"], of["count"] * (body + launch))
        return out
