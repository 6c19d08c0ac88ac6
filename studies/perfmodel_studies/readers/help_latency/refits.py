"""Constants of the eager runtimes on trial: refitted without a device, on its networks judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate import Constant
from perfmodel.calibrate.fit import Forward
from perfmodel.evaluate.refit import Refit

from perfmodel_studies.readers.help_latency.evaluate import Latencies
from perfmodel_studies.readers.help_latency.kernels import KernelCounts
from perfmodel_studies.readers.help_latency.rows import HelpLatencyEvaluator
from perfmodel_studies.readers.help_latency.spaces import Space
from perfmodel_studies.tables import constants_of

__all__ = ["refits_of"]

Vector = npt.NDArray[np.float64]

_KERNELS: Final = "runtime.kernels."
_FLOORS: Final = constants_of("help_gpu_floors")
_SHARES: Final = constants_of("help_gpu_shares")
#: Architectures, of which shares are; a device's tags say which it is of.
_ARCHITECTURES: Final = ("pascal", "turing")
#: How the hosts of the measured GPUs differ: of no concern to another device, so left at 1 there.
_HOST: Final = "host."
_HOST_PRIOR: Final = 0.02
#: Of FBNet's on CPUs and phones; the last is of servers alone.
_FBNET: Final = constants_of("help_fbnet")
#: Weights are laid out alike in kernels in groups.
_LAYOUT: Final = f"{_KERNELS}conv.layout_bandwidth"
_GROUPED_LAYOUT: Final = f"{_KERNELS}grouped.layout_bandwidth"
#: A factor is weakly held to 1.
_FACTOR_PRIOR: Final = 3e-3
#: On CPUs and phones.
_ONE_BY_ONE: Final = constants_of("help_cores")


#: Constants and forward function of the columns of one class of machines.
Builder: TypeAlias = Callable[[Sequence[Latencies], Space], tuple[list[Constant], Forward]]


def refits_of(latencies: Sequence[Latencies], kind: Space) -> list[Refit]:
    """Return how the constants were fitted on a space, by class of machines.

    Those classes are judged that have two or more devices.
    """
    out: list[Refit] = []
    for group, build in _BUILDERS.get(kind.name, {}).items():
        some = [item for item in latencies if item.column.place.group == group]
        if len({item.device.name for item in some}) > 1:
            constants, forward = build(some, kind)
            out.append(
                Refit(
                    f"{group}_latency_s",
                    np.concatenate([item.seconds[item.sample] for item in some]),
                    [item.device.name for item in some for _ in item.sample],
                    constants,
                    forward,
                    scale=0.05 if group == "gpu" else 0.1,
                    parts=[item.column.name for item in some for _ in item.sample],
                    subjects=[item.subject for item in some for _ in item.sample],
                )
            )
    return out


def _works(item: Latencies, kind: Space) -> list[pm.Workload]:
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
        *(
            Constant(f"{a}.{c.name}", c.start, c.low, c.high)
            for a in _ARCHITECTURES
            if a in known
            for c in _SHARES
        ),
        *(Constant(f"{_HOST}{host}", 1.0, 0.4, 2.5, _HOST_PRIOR) for host in hosts),
    ]

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
    parts = [
        HelpLatencyEvaluator(_works(item, kind), item.device, item.column.place.runtime)
        for item in some
    ]

    def forward(values: Mapping[str, float]) -> Vector:
        return np.concatenate([part(values) for part in parts])

    return list(_ONE_BY_ONE), forward


def _with_hosts(
    own: Sequence[Constant], some: Sequence[Latencies], kind: Space
) -> tuple[list[Constant], Forward]:
    """Return constants of depthwise kernels and what goes with them, and a factor per column.

    All others are NAS-Bench-201's; a column was measured with another host and build, which its
    factor stands for.
    """
    parts = [
        HelpLatencyEvaluator(_works(item, kind), item.device, item.column.place.runtime)
        for item in some
    ]
    factors = [f"{_HOST}{item.device.name}" for item in some]

    def forward(values: Mapping[str, float]) -> Vector:
        shared = {k: v for k, v in values.items() if not k.startswith(_HOST)}
        shared[_GROUPED_LAYOUT] = shared[_LAYOUT]
        each = zip(factors, parts, strict=True)
        return np.concatenate([values[name] * part(shared) for name, part in each])

    return [*own, *(Constant(name, 1.0, 0.1, 20.0, _FACTOR_PRIOR) for name in factors)], forward


_BUILDERS: Final[Mapping[str, Mapping[str, Builder]]] = {
    "nas_bench_201": {"gpu": _gpus, "server_cpu": _cores, "phone": _cores},
    "fbnet": {
        "server_cpu": partial(_with_hosts, _FBNET),
        "phone": partial(_with_hosts, _FBNET[:-1]),
    },
}
