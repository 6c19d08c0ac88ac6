"""APQ on Bit Fusion: rows of its table of latencies and energies; what mixed bits are worth."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import perfmodel as pm
from perfmodel.workload import GraphBuilder

from perfmodel_studies.mixed_bits import (
    BitWidthAssignment,
    bit_costs,
    choose_bits,
    relative_noise,
)
from perfmodel_studies.tables import table

DEVICE = "bit_fusion_apq"
#: Bits that APQ chooses from.
PAIRS = tuple((w, a) for w in (4, 6, 8) for a in (4, 6, 8))
#: Bits whose noise, everywhere alike, is the most that a mixture may have.
NOISE_BITS = 6
#: Bit operations of the networks that it reports, billions.
REPORTED = {"12_7": 12.7, "14_6": 14.6, "16_5": 16.5, "23_6": 23.6}


class TableRow(NamedTuple):
    """A key of the table: channels, taps, stride, rows of the input, bits; whether it is first."""

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    rows: int
    weight_bits: int
    input_bits: int
    first: bool = False


#: Every network's first and last convolution, and layers of its space.
ROWS = {name: TableRow(*row) for name, row in table("apq_layers").items()}


def layer(row: TableRow) -> tuple[float, float]:
    """Return milliseconds and millijoules of a row, leakage of its time included."""
    g = GraphBuilder("layer")
    x = g.input("image", (1, row.in_channels, row.rows, row.rows))
    if not row.first:
        x = g.elementwise("relu", x)
    groups = row.in_channels if row.in_channels == row.out_channels else 1
    y = g.conv(
        x,
        row.out_channels,
        row.kernel,
        stride=row.stride,
        padding=row.kernel // 2,
        groups=groups,
        bias=False,
    )
    g.output(y)
    graph = g.build()
    prediction = pm.predict(
        pm.Workload("layer", lambda _: graph, {}),
        pm.hardware(DEVICE),
        precision=f"w=int{row.weight_bits},a=int{row.input_bits}",
    )
    table, facts = prediction.table, prediction.machine.facts
    at = int(np.argmax(np.asarray(table["macs"], dtype=float)))
    seconds = float(table["row_s"][at])
    joules = seconds * float(facts["power.idle"])
    joules += float(table["dram_bytes"][at]) * float(facts["memories.dram.energy_per_byte"])
    joules += sum(float(table[n][at]) for n in table.columns if n.endswith(" energy_j"))
    return 1e3 * seconds, 1e3 * joules


@lru_cache(maxsize=8)
def mixed(network: str) -> dict[str, BitWidthAssignment]:
    """Return bits of a network within the noise of `NOISE_BITS`: fastest, least energy; eight."""
    costs = bit_costs(network, DEVICE, PAIRS)
    noise = relative_noise(costs)
    most = 2.0 * 4.0**-NOISE_BITS * len(costs.layers)
    return {
        "eight": costs.uniform((8, 8)),
        "four": costs.uniform((4, 4)),
        "fastest": choose_bits(costs, loss=noise, most_loss=most),
        "least_energy": choose_bits(costs, loss=noise, most_loss=most, least="joules"),
    }


def predicted() -> dict[str, float]:
    """Return claim -> number, units as in the file of claims."""
    out: dict[str, float] = {}
    for name, row in ROWS.items():
        out[f"{name}.ms"], out[f"{name}.mj"] = layer(row)
    mixed_bits = mixed("mobilenet_v2")
    eight, four = mixed_bits["eight"], mixed_bits["four"]
    out["mixed.latency_gain"] = eight.seconds / mixed_bits["fastest"].seconds
    out["mixed.energy_gain"] = eight.joules / mixed_bits["least_energy"].joules
    out["four_bits.latency_gain"] = eight.seconds / four.seconds
    out["four_bits.energy_gain"] = eight.joules / four.joules
    costs = bit_costs("mobilenet_v2", DEVICE, PAIRS)
    noise = relative_noise(costs)
    for name, billions in REPORTED.items():
        best = choose_bits(costs, loss=noise, most_bit_operations=billions * 1e9, least="loss")
        out[f"network_{name}.ms"] = 1e3 * best.seconds
        out[f"network_{name}.mj"] = 1e3 * best.joules
    return out
