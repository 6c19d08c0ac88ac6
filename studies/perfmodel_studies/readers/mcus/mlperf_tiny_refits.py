"""How constants of MLPerf Tiny's libraries and cores were fitted, and the power of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate import Constant
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase, subject_of

from perfmodel_studies.readers.mcus.counts import TERMS, clocks, counts
from perfmodel_studies.readers.mcus.fpga_designs import is_fpga
from perfmodel_studies.readers.mcus.libraries import UNSEEN

__all__ = ["latency", "power"]

#: Microarchitecture of a part that has a fitted factor; others are the reference, or stand alone.
_CORES: Final = {
    "stm32u575": "cortex_m33",
    "stm32f746": "cortex_m7",
    "stm32g0b1": "cortex_m0_plus",
}
#: Parts with the reference core, a Cortex-M4.
_REFERENCE: Final = ("stm32l4r5", "m467", "psoc62")


def latency(cases: Cases) -> Refit:
    """Return the refit of libraries that ran on several parts."""
    asked_for = [(case, q) for case, q in cases.with_quantities("latency_s") if not _on_fpga(case)]
    ran = {(str(case.runtime), _part(case)) for case, _ in asked_for}
    many = {name for name, _ in ran if sum(other == name for other, _ in ran) > 1}
    asked_for = [(case, q) for case, q in asked_for if str(case.runtime) in many]
    libraries = [str(case.runtime) for case, _ in asked_for]
    parts = [_part(case) for case, _ in asked_for]
    cores = [_CORES.get(part, part if part not in _REFERENCE else "") for part in parts]
    known = {q.workload.name: counts(q.workload) for _, q in asked_for}
    done = np.array([known[q.workload.name][0] for _, q in asked_for])
    beside = np.array([known[q.workload.name][1] for _, q in asked_for])
    clock = np.array([_clock(case) for case, _ in asked_for])
    constants = _constants(libraries)
    groups = [f"{library} on {part}" for library, part in zip(libraries, parts, strict=True)]
    measured = np.array([q.measured for _, q in asked_for])
    return Refit(
        "latency_s",
        measured,
        groups,
        constants,
        lambda values: clocks(done, beside, libraries, cores, values) / clock,
        "library on a part",
        judged=_judged(libraries, parts),
        subjects=[subject_of(case, q) for case, q in asked_for],
    )


def _on_fpga(case: ValidationCase) -> bool:
    return isinstance(case.machine, pm.Machine) and is_fpga(case.machine)


def _machine(case: ValidationCase) -> pm.Machine:
    assert isinstance(case.machine, pm.Machine)
    return case.machine


def _part(case: ValidationCase) -> str:
    return _machine(case).device.name.removesuffix("_single_bank").removesuffix("_smps")


def _clock(case: ValidationCase) -> float:
    return float(_machine(case).facts["engines.cpu.clock"])


def _judged(libraries: Sequence[str], parts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which rows have their library on another part, and their core under another one."""
    pairs = set(zip(libraries, parts, strict=True))

    def seen(library: str, part: str) -> bool:
        core = _CORES.get(part)
        others = pairs - {(library, part)}
        elsewhere = any(name == library for name, _ in others)
        alike = core is None and part in _REFERENCE
        return elsewhere and (alike or any(p == part for _, p in others))

    return np.array([seen(a, b) for a, b in zip(libraries, parts, strict=True)])


def _constants(libraries: Sequence[str]) -> list[Constant]:
    """Return constants of each library, pulled to those of an unseen one, and of each core."""
    prior = _prior()
    out = [
        Constant(f"{name}.{kernel}.{field}", prior[kernel, field], *_BOUNDS[kernel, field])
        for name in dict.fromkeys(libraries)
        for kernel, field in TERMS
    ]
    start = {"cortex_m33": 0.86, "cortex_m7": 0.6, "cortex_m0_plus": 4.6}
    out += [
        Constant(f"{core}.relative_{kernel}", first, 0.1, 10.0, prior=0.1)
        for core, first in start.items()
        for kernel in ("conv", "depthwise", "gemm")
    ]
    return out


#: Least, most, and weight of the pull to an unseen library. Two networks have depthwise layers:
#: what a tap costs and what it costs more at an edge are told apart by the pull.
_BOUNDS: Final = {
    ("conv", "mac_clocks"): (0.03, 100.0, 0.03),
    ("depthwise", "mac_clocks"): (0.75, 100.0, 0.05),
    ("depthwise", "edge_tap_clocks"): (0.1, 100.0, 0.1),
    ("gemm", "mac_clocks"): (0.03, 100.0, 0.03),
    ("conv", "narrow_mac_clocks"): (0.03, 100.0, 0.1),
}


def _prior() -> dict[tuple[str, str], float]:
    """Return the constants of an unseen library, by class of kernels and field."""
    facts = pm.hardware("stm32l4r5").machine(UNSEEN).facts
    return {
        (kernel, field): float(facts[f"runtime.kernels.{kernel}.{field}"])
        for kernel, field in TERMS
    }


def power(cases: Cases) -> list[Refit]:
    """Return the power of each part from its other networks, time being that of the run.

    A processor whose layers run in hardware stands apart: its power goes with the network.
    """
    asked_for = [
        (case, q)
        for case, q in cases.with_quantities("power_w")
        if "engines.cpu.clock_energy" in _facts(case)
    ]
    cores = [(case, q) for case, q in asked_for if case.runtime != "syntiant"]
    others = [(case, q) for case, q in asked_for if case.runtime == "syntiant"]
    parts = (("power_w", cores), ("power_w, NDP9120", others))
    return [_power_of(target, rows) for target, rows in parts if rows]


def _power_of(target: str, pairs: Sequence[tuple[ValidationCase, MeasuredQuantity]]) -> Refit:
    names = [_facts_name(case) for case, _ in pairs]
    scale = np.array([_scale(case) for case, _ in pairs])
    leaks = np.array([_leakage(case) for case, _ in pairs])
    measured = np.array([q.measured for _, q in pairs])
    constants = [
        Constant(f"{name}.clock_energy", 2e-10, 1e-12, 1e-8) for name in dict.fromkeys(names)
    ]

    def forward(values: Mapping[str, float]) -> npt.NDArray[np.float64]:
        return np.array([values[f"{name}.clock_energy"] for name in names]) * scale + leaks

    return Refit(target, measured, [case.group for case, _ in pairs], constants, forward, "network")


def _facts(case: ValidationCase) -> dict[str, float]:
    return dict(_machine(case).facts)


def _facts_name(case: ValidationCase) -> str:
    """Return the device and the software of a case: kernels differ in what a clock draws."""
    return f"{_machine(case).device.name}, {case.runtime}"


def _ratio(facts: Mapping[str, float]) -> float:
    nominal = facts["engines.cpu.nominal_supply"]
    return facts.get("engines.cpu.supply", nominal) / nominal


def _scale(case: ValidationCase) -> float:
    facts = _facts(case)
    return facts["engines.cpu.clock"] * _ratio(facts) ** facts["engines.cpu.supply_exponent"]


def _leakage(case: ValidationCase) -> float:
    facts = _facts(case)
    part = _ratio(facts) ** (facts["engines.cpu.supply_exponent"] / 2.0)
    return facts.get("engines.cpu.leakage", 0.0) * part
