"""Kernels on a cluster of eight cores, classical machine learning, and a nano-drone's network."""

from __future__ import annotations

from statistics import fmean
from typing import Final

import perfmodel as pm

#: Clocks an iteration on one core (gap_sdk).
_ONE_CORE: Final = {
    "conv": 922413.0,
    "conv_vectorial": 177410.0,
    "product": 57651.0,
    "product_vectorial": 14659.0,
    "pool": 25738.0,
}
_CLASSICAL: Final = (
    "svm_linear_digits",
    "svm_rbf_digits",
    "svm_poly_digits",
    "knn_digits",
    "k_means_digits",
    "logistic_digits",
    "naive_bayes_digits",
    "random_forest_digits",
)
_ENGINE: Final = "engines.cpu."


def predicted() -> dict[str, float]:
    """Return claim -> clocks, quotient, share or frames per second."""
    facts = pm.hardware("gap8").machine().facts
    share = float(facts["runtime.kernels.conv.parallel_share"])
    fork = float(facts[_ENGINE + "fork_clocks"])
    eight = {
        f"{name}_eight_cores": clocks * (1.0 - share + share / 8.0) + fork
        for name, clocks in _ONE_CORE.items()
    }
    lanes = float(facts[_ENGINE + "simd_macs"])
    ratios = [_classical(name) for name in _CLASSICAL]
    speed_up = fmean(r[0] for r in ratios)
    return {
        **eight,
        "product_vectorial": _ONE_CORE["product"] / lanes,
        "classical_speed_up": speed_up,
        "native_float": fmean(r[1] for r in ratios),
        "m4_slowdown": fmean(r[2] for r in ratios),
        "parallel_energy_cut": 1.0 - 1.0 / speed_up,
    }


def _classical(name: str) -> tuple[float, float, float]:
    """Return the speed-up of eight cores, of a unit for floats, and of all over a Cortex-M4."""

    def clocks(device: str, runtime: str, units: float = 0.0) -> float:
        machine = pm.hardware(device).machine(runtime)
        if units:
            machine = machine.vary({_ENGINE + "units": units})
        prediction = pm.predict(pm.workload(name), machine, precision="fp32")
        return float(prediction.latency_s * machine.facts[_ENGINE + "clock"])

    soft = clocks("gap8", "gap_flow", 1.0)
    native = clocks("pulp_open", "gap_flow", 1.0)
    return (
        soft / clocks("gap8", "gap_flow"),
        soft / native,
        clocks("stm32l4r5", "mcu_library") / clocks("pulp_open", "gap_flow"),
    )
