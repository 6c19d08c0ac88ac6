"""What the model says of liquid state machines in resistive memory beside digital hardware.

The macro's energies are not public: NeuRRAM's arrays (130 nm, measured) stand for it, and digital
products with weights from SRAM for what it is held against.
"""

from __future__ import annotations

import numpy as np
import perfmodel as pm
from perfmodel.hardware.technology import operation_energy, sram_access_energy

#: Pairs of networks whose outputs are brought together.
PAIRS = {"audio_visual": ("lsm_n_mnist", "lsm_n_tidigits"), "neural": ("lsm_eeg", "lsm_e_mnist")}
NODE_NM = 40.0


def digital_j(name: str) -> float:
    """Return joules of a window with products of 8 bits, clocked, weights from SRAM at 40 nm."""
    net = pm.workload(name, execution="clocked")
    read = sram_access_energy(float(np.asarray(net.weights)), 8, NODE_NM)
    each = operation_energy("int8", NODE_NM) + read
    return float(np.asarray(net.macs) * each)


def in_memory_j(name: str, rate: float = 0.1) -> float:
    """Return joules of a window in resistive arrays, all of it on as many as it takes."""
    net = pm.workload(name, spike_rate=rate, input_rate=rate)
    machine = pm.hardware("neurram").machine().vary({"engines.arrays.units": 4096})
    return float(pm.predict(net, machine, precision="w=int4,a=int4").energy_j)


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    out: dict[str, float] = {}
    for pair, names in PAIRS.items():
        out[f"{pair}.energy_gain"] = sum(map(digital_j, names)) / sum(map(in_memory_j, names))
    return out
