"""The once-for-all networks that were specialised for six devices, ranked.

The table (Cai et al., mit-han-lab/once-for-all) states latency, MACs and parameters of a network,
not which network of the space it is, and the library has none of the six devices. So networks of
the space that have the stated MACs and parameters are costed on a device of the same sort, and one
factor a device brings such a cost to milliseconds: the factor of the *other* networks of that
device. Ranks within a device need no factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.library import hardware
from perfmodel.measurements import Row, Rows, read_rows
from perfmodel.search.oracle import Oracle
from perfmodel.validate.files import DataFolder
from perfmodel.validate.metrics import errors, spearman
from perfmodel.validate.result import ValidationResult
from perfmodel.validate.run import error_of, grouped, worst_of
from perfmodel.workload.nas_spaces import space
from perfmodel.workload.nas_spaces.base import ArchitectureSpace

Floats: TypeAlias = npt.NDArray[np.float64]

NAME: Final = "ofa_specialized_nets"
TITLE: Final = (
    "once-for-all networks specialised for six devices, on devices of the same sort, ranked"
)
#: Where its file lies.
PLACES: Final = ("measured/ofa_specialized_nets.csv", "ofa_specialized_nets.csv")

#: Networks drawn from the space of each width multiplier, and how many of them stand for a row:
#: those nearest in MACs and parameters.
DRAWN: Final = 40_000
ALIKE: Final = 16
#: Where those are further off than a hundredth, their neighbours are tried, for so many rounds.
NEAR: Final = 0.01
ROUNDS: Final = 8


class StandIn(NamedTuple):
    """What a device of the table is costed as."""

    device: str
    runtime: str
    batch: int


_PHONE = StandIn("pixel_6a_core", "litert", 1)
#: How a device's name starts in the table, in lower case -> its stand-in; a phone otherwise.
STAND_INS: Final = {
    "intel xeon": StandIn("zen4_core", "onnxruntime_cpu", 1),
    "1080ti": StandIn("rtx_4090", "generic", 64),
    "v100": StandIn("a100", "generic", 64),
    "jetson": StandIn("jetson_agx_orin", "generic", 16),
}

_COLUMNS = ("net", "device", "latency_ms", "params_M", "macs_M")


@dataclass(frozen=True)
class _Net:
    name: str
    device: str
    latency_s: float
    macs: float
    params: float


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict and rank every network.

    Returns
    -------
    ValidationResult
        Errors after a factor a device that the row itself has no part in. `details`: by device the
        rank correlation of the costs and of the MACs, both errors, the spread of the costs of
        networks with the same MACs and parameters, and how far those are from the stated ones.
    """
    path = folder.need(NAME, *PLACES)
    nets = _nets(read_rows(path))
    by_device: dict[str, list[_Net]] = {}
    for net in nets:
        by_device.setdefault(net.device, []).append(net)
    pools: dict[StandIn, _Pool] = {}
    rows: list[dict[str, Any]] = []
    details: dict[str, Any] = {}
    for device, own in by_device.items():
        instead = stand_in(device)
        if instead not in pools:
            pools[instead] = _Pool(instead, devices)
        alike = [pools[instead].alike(net) for net in own]
        costs = np.array([np.median(seconds) for seconds, _ in alike])
        spread = [
            float(np.ptp(np.percentile(t, [10, 90])) / (2.0 * np.median(t))) for t, _ in alike
        ]
        measured = np.array([net.latency_s for net in own])
        macs = np.array([net.macs for net in own])
        told, plain = (_scaled(c, measured) for c in (costs, macs))
        rows += [
            {"name": net.name, "device": device, "group": instead.device, "target": "latency_s",
             "measured": net.latency_s, "predicted": a, "error": a / net.latency_s - 1.0,
             "compute": b}
            for net, a, b in zip(own, told.tolist(), plain.tolist(), strict=True)
        ]  # fmt: skip
        details[device] = {
            "stand_in": instead._asdict(),
            "rows": len(own),
            "spearman": spearman(costs, measured),
            "spearman_macs": spearman(macs, measured),
            "mape": errors(told.tolist(), measured.tolist())["mape"],
            "mape_macs": errors(plain.tolist(), measured.tolist())["mape"],
            "spread": float(np.mean(spread)),
            "off_macs_params": max(off for _, off in alike),
        }
    return ValidationResult(
        NAME, len(nets), 1.0, {"latency_s": error_of(rows)}, "latency_s",
        grouped(rows, lambda r: r["device"]), grouped(rows, lambda r: r["group"]),
        {"compute": error_of(rows, "compute")}, (), worst_of(rows), tuple(rows),
        (_NOTE, *folder.note(path)), details,
    )  # fmt: skip


_NOTE: Final = (
    "networks of the stated MACs and parameters, on devices of the same sort; one factor a device, "
    "from its other rows, for predictions and for the MACs (operations over peak) alike"
)


def stand_in(device: str) -> StandIn:
    """Return what a device of the table is costed as."""
    name = device.lower()
    return next((found for head, found in STAND_INS.items() if head in name), _PHONE)


def _nets(rows: Rows) -> list[_Net]:
    faults = rows.missing(_COLUMNS)
    if faults:
        raise InputError(faults)
    nets: list[_Net] = []
    for row in rows:
        numbers = [
            _number(rows, row, column, faults, scale)
            for column, scale in (("latency_ms", 1e-3), ("macs_M", 1e6), ("params_M", 1e6))
        ]
        nets.append(_Net(row.get("net"), row.get("device"), *numbers))
    if faults:
        raise InputError(faults)
    return nets


def _number(rows: Rows, row: Row, column: str, faults: list[Fault], scale: float) -> float:
    count = len(faults)
    found = rows.number(row, column, faults, scale=scale)
    if found is None and len(faults) == count:
        faults.append(rows.fault(row, column, "no number", "a number above zero"))
    return found or 1.0


class _Pool:
    """Networks of both widths on a stand-in, with their latency, MACs and parameters."""

    def __init__(self, instead: StandIn, devices: Sequence[str | Path]) -> None:
        self._batch = instead.batch
        self._oracles = [
            Oracle(
                hardware(instead.device, devices),
                space("ofa_mobilenet_v3", width_multiplier=width, batch_norm="folded"),
                ("latency_s", "macs", "weight_bytes"), precision="fp32", runtime=instead.runtime,
                warm=True, settings={"batch": instead.batch},
            ) for width in (1.0, 1.2)
        ]  # fmt: skip
        self._drawn = [self._of(i, _space(o).sample(DRAWN, seed=0))
                       for i, o in enumerate(self._oracles)]  # fmt: skip

    def _of(self, width: int, choices: npt.NDArray[np.int64]) -> _Drawn:
        found = self._oracles[width].batch(choices)
        macs = found["macs"] / self._batch
        return _Drawn(width, choices, found["latency_s"], macs, found["weight_bytes"] / 4.0)

    def alike(self, net: _Net) -> tuple[Floats, float]:
        """Return latencies of `ALIKE` networks nearest to a row, and their median distance.

        Those drawn, then, while they are further off than `NEAR`, the best among their neighbours.
        """
        near = [drawn.nearest(net) for drawn in self._drawn]
        best = min(near, key=lambda drawn: float(np.median(drawn.apart(net))))
        there = _space(self._oracles[best.width])
        for _ in range(ROUNDS):
            off = float(np.median(best.apart(net)))
            if off <= NEAR:
                break
            around = {tuple(choice) for choice in best.choices.tolist()}
            for choice in tuple(around):
                around.update(there.neighbours(choice))
            best = self._of(best.width, np.array(sorted(around), dtype=np.int64)).nearest(net)
            if float(np.median(best.apart(net))) >= off:
                break
        return best.latency_s, float(np.median(best.apart(net)))


class _Drawn(NamedTuple):
    """Networks of one width: columns of shape ``(n,)``, choices ``(n, decisions)``."""

    width: int
    choices: npt.NDArray[np.int64]
    latency_s: Floats
    macs: Floats
    params: Floats

    def apart(self, net: _Net) -> Floats:
        """Return how far MACs and parameters are from a row's, as a fraction."""
        return np.hypot(self.macs / net.macs - 1.0, self.params / net.params - 1.0)

    def nearest(self, net: _Net) -> _Drawn:
        """Return the `ALIKE` nearest to a row."""
        at = np.argsort(self.apart(net), kind="stable")[:ALIKE]
        return _Drawn(
            self.width, self.choices[at], self.latency_s[at], self.macs[at], self.params[at]
        )


def _space(oracle: Oracle) -> ArchitectureSpace:
    assert isinstance(oracle.space, ArchitectureSpace)
    return oracle.space


def _scaled(costs: Floats, measured: Floats) -> Floats:
    """Return costs times the factor of the other rows (geometric mean; their own for one alone)."""
    ratios = np.log(measured / costs)
    n = len(ratios)
    others = (ratios.sum() - ratios) / (n - 1) if n > 1 else ratios
    return costs * np.exp(others)
