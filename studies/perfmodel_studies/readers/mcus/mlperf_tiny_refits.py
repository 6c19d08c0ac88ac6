"""How constants of MLPerf Tiny's libraries and cores were fitted, and the power of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate import Constant
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase, subject_of
from perfmodel.hardware.technology import clock_constants, clock_energy, microcontroller
from perfmodel.units import parse

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
    """Return the power and the energy of parts from other parts, and from parts of other makers.

    Left out with a part are both constants of the class: what networks draw over the loop of a
    data sheet, and the energy of a clock of a part whose data sheet states none. The time of an
    energy is predicted with the constants of the library.
    """
    rows = {
        target: [pair for pair in cases.with_quantities(target) if _counts_clocks(pair[0])]
        for target in ("power_w", "energy_j")
    }
    makers = [
        _power(f"{target}, makers", pairs, "maker", _maker)
        for target, pairs in rows.items()
        if pairs
    ]
    parts = [_power(target, pairs, "part", _part) for target, pairs in rows.items() if pairs]
    by_law = [
        _power(f"{target}, no data sheet", pairs, "part", _part, by_law=True)
        for target, pairs in rows.items()
        if pairs
    ]
    # Evidence is that of the first: of parts of which least is known.
    return [*by_law, *parts, *makers]


def _power(
    target: str,
    pairs: Sequence[tuple[ValidationCase, MeasuredQuantity]],
    left_out: str,
    group: Callable[[ValidationCase], str],
    *,
    by_law: bool = False,
) -> Refit:
    """Return a refit of the constants of the class of microcontrollers.

    Every row counts twice in the fit, by the data sheet and by the class; one of both is judged.
    A part counts as much as any other.
    """
    cases = [case for case, _ in pairs]
    known = clock_constants()
    loops = [_loop_watts(case) for case in cases]
    bases = _base_watts(cases)
    seconds = np.array(
        [1.0 if q.target == "power_w" else case.predict(q.workload).latency_s for case, q in pairs]
    )
    stated = np.array([loop is not None for loop in loops])
    loop = np.array([loop or 0.0 for loop in loops])

    def forward(values: Mapping[str, float]) -> npt.NDArray[np.float64]:
        law = bases[0] + values["clock_energy"] * bases[1]
        return np.tile(seconds, 2) * np.concatenate(
            [np.where(stated, values["load"] * loop, law), law]
        )

    measured = np.array([q.measured for _, q in pairs])
    parts = [_part(case) for case in cases]
    weights = np.array([1.0 / parts.count(part) for part in parts])
    subjects = [subject_of(case, q) for case, q in pairs]
    of_class = [each._replace(quantity=f"clock_{each.quantity}") for each in subjects]
    return Refit(
        target,
        np.tile(measured, 2),
        [group(case) for case in cases] * 2,
        [
            Constant("load", known["load"]["value"], 0.3, 10.0),
            Constant("clock_energy", parse(known["clock_energy"]["value"], "energy"), 1e-12, 1e-8),
        ],
        forward,
        left_out,
        weights=np.tile(weights / weights.mean(), 2),
        judged=np.repeat([not by_law, by_law], len(pairs)),
        subjects=of_class * 2,
    )


def _counts_clocks(case: ValidationCase) -> bool:
    return "engines.cpu.clock_energy" in _machine(case)


def _maker(case: ValidationCase) -> str:
    return _machine(case).device.title.split(maxsplit=1)[0]


def _loop_watts(case: ValidationCase) -> float | None:
    """Return the power of the data sheet's loop at the clock and supply of a row, W."""
    facts = _machine(case).facts
    loop = facts.get("engines.cpu.loop_energy")
    if loop is None:
        return None
    nominal = facts["engines.cpu.nominal_supply"]
    ratio = facts.get("engines.cpu.supply", nominal) / nominal
    return float(loop * ratio ** facts["engines.cpu.supply_exponent"]) * _clock(case)


def _base_watts(cases: Sequence[ValidationCase]) -> npt.NDArray[np.float64]:
    """Return the power by the class of each row at an energy of a clock of 0, and its slope."""
    watts = np.empty((2, len(cases)))
    for i, case in enumerate(cases):
        machine = _machine(case)
        part = microcontroller(machine.facts, machine.device, "cpu")
        watts[0, i] = float(clock_energy(part, 0.0)) * _clock(case)
        watts[1, i] = float(clock_energy(part, 1.0)) * _clock(case) - watts[0, i]
    return watts
