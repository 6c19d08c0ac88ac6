"""What the law of storage says of a phone's reads, with all constants and with a size left out."""

from __future__ import annotations

from typing import Final, NamedTuple

import perfmodel as pm
from perfmodel.kinds.storage import storage_bandwidth


class UfsReadConstants(NamedTuple):
    """Seconds, bytes per second, commands per second, and bytes per second of a lane."""

    latency: float
    bandwidth: float
    commands: float
    lane: float


#: Block size in KiB that is left out -> constants by least squares of the logarithms of the rows of
#: all other sizes; a test repeats the fit.
LEFT_OUT: Final = {
    128: UfsReadConstants(149.32e-6, 2.5279e9, 33305.0, 2.0922e9),
    512: UfsReadConstants(185.68e-6, 2.4992e9, 60975.0, 2.1110e9),
    1024: UfsReadConstants(183.42e-6, 2.4994e9, 57888.0, 2.1190e9),
    4096: UfsReadConstants(182.22e-6, 2.5505e9, 51858.0, 2.1452e9),
    8192: UfsReadConstants(184.96e-6, 2.4482e9, 64338.0, 2.1032e9),
}
#: Lanes of the session in which every size was read, and of the one before it with 4 MiB alone.
_LANES, _FIRST = (2, 4, 8), (1, 2, 4, 8, 12, 16, 24, 32)


def predicted() -> dict[str, float]:
    """Return claim -> MiB a second."""
    facts, head = pm.hardware("ufs_4_phone").machine().facts, "memories.storage."
    stated = UfsReadConstants(
        facts[head + "command_latency"],
        facts[head + "bandwidth"] * facts[head + "sustained_fraction"],
        facts[head + "commands_per_s"],
        facts[head + "lane_bandwidth"],
    )
    out: dict[str, float] = {}
    for size, left_out in LEFT_OUT.items():
        for lanes in _FIRST if size == 4096 else _LANES:
            again = ("", "_again") if size == 4096 and lanes in _LANES else ("",)
            for suffix in again:
                name = f"kib_{size}_lanes_{lanes}{suffix}"
                out[name] = _rate(size, lanes, stated)
                out[f"left_out_{name}"] = _rate(size, lanes, left_out)
    return out


def _rate(size: int, lanes: int, constants: UfsReadConstants) -> float:
    latency, bandwidth, commands, lane = constants
    rate = storage_bandwidth(
        size * 1024.0, float(lanes), latency, bandwidth, commands=commands, lane=lane
    )
    return float(rate) / 2**20
