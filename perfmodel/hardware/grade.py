"""Grade of a device spec: a letter from the provenance and completeness of its numbers.

``score = sum(weight * worth) / sum(weight) - 0.02 * number of missing numbers``, where the worth of
a number follows from its confidence (`WORTH`) and peaks and bandwidths weigh most. Thresholds and
weights are conventions of this project.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perfmodel.errors import Fault
from perfmodel.hardware.device import Device
from perfmodel.hardware.facts import Provenance, facts_of
from perfmodel.hardware.ownership import is_of_body, is_of_ownership
from perfmodel.hardware.runtime import ideal_runtime

WORTH: Final = {"measured": 1.0, "datasheet": 0.9, "fitted": 0.7, "estimated": 0.4, "unstated": 0.2}
"""Worth of a number by its confidence. A convention of this project: a measurement outranks a
vendor's claim, and an estimate is worth less than half."""

_LETTERS: Final = ((0.85, "A"), (0.75, "B"), (0.6, "C"), (0.45, "D"), (0.0, "E"))
#: Facts that no latency or energy depends on, unless a question asks for what needs them.
_BESIDE: Final = ("area", "power.voltage", "power.sleep")
_WEIGHTS: Final = {"peaks": 3.0, "bandwidth": 3.0, "capacity": 2.0, "clock": 1.0, "power": 1.0}
_COARSE: Final = ("fp16", "bf16", "fp8", "int8", "int4")
"""Formats whose peak depends on the accumulator on common hardware."""


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of a device spec.

    Attributes
    ----------
    letter : str
        A to F; F if a fault rules the spec out as a reference.
    score : float
        0 to 1: ``sum(weight * worth) / sum(weight) - 0.02 * len(missing)``, at least 0.
    counts : dict of str to int
        Number of facts by confidence.
    missing : tuple of str
        Paths of missing numbers that an expert would expect, most valuable first.
    faults : tuple of Fault
        Peaks and bandwidths without a source.
    advice : str
        Steps that would raise the grade.
    """

    letter: str
    score: float
    counts: dict[str, int]
    missing: tuple[str, ...]
    faults: tuple[Fault, ...]
    advice: str

    def __str__(self) -> str:
        numbers = ", ".join(f"{n} {confidence}" for confidence, n in self.counts.items() if n)
        return f"{self.letter} ({self.score:.2f}): {numbers}. {self.advice}"


def grade(device: Device, file: str = "") -> Grade:
    """Grade a device by the provenance and completeness of its numbers.

    Parameters
    ----------
    device : Device
    file : str
        File name for the faults.

    Returns
    -------
    Grade
        Has the letter F, and a fault for each peak or bandwidth without a source, if there are any.
    """
    origins = {
        path: origin
        for path, origin in facts_of(device, ideal_runtime()).provenance.items()
        # Numbers from technology tables are not the spec's own.
        if origin.writer != "default"
        and not origin.writer.startswith("table ")
        and not path.startswith("runtime.")
    }
    faults = tuple(
        Fault("has no source", path, file, expected="a source: the key of an entry of sources")
        for path, origin in origins.items()
        if origin.source is None and _needs_source(path)
    )
    counts = dict.fromkeys(WORTH, 0)
    worth = weight = 0.0
    for path, origin in origins.items():
        confidence = _confidence(origin)
        counts[confidence] += 1
        # Such a number is better than none, even where it is only recalled.
        beside = is_of_ownership(path) or is_of_body(path) or path in _BESIDE
        share = 0.0 if beside and confidence == "estimated" else _weight(path)
        weight += share
        worth += share * WORTH[confidence]
    missing = tuple(_missing(device))
    score = max(0.0, worth / weight - 0.02 * len(missing)) if weight else 0.0
    letter = "F" if faults else next(name for least, name in _LETTERS if score >= least)
    return Grade(letter, score, counts, missing, faults, _advice(origins, missing, faults))


def _confidence(origin: Provenance) -> str:
    # A claimed measurement or data sheet value counts as unstated if it cites no document.
    if origin.source is None and origin.confidence in ("datasheet", "measured"):
        return "unstated"
    return origin.confidence or "unstated"


def _needs_source(path: str) -> bool:
    parts = path.split(".")
    return (len(parts) > 2 and parts[2] in ("peaks", "vector_peaks")) or (
        parts[0] == "memories" and parts[-1] in ("bandwidth", "sustained_fraction")
    )


def _weight(path: str) -> float:
    parts = path.split(".")
    keys = {parts[0], *parts[2:3]}
    if "vector_peaks" in keys or "sustained_fraction" in keys:
        return 2.0
    return max((_WEIGHTS.get(key, 0.5) for key in keys), default=0.5)


def _missing(device: Device) -> Iterable[str]:
    main = device.memory(device.main_memory)
    if main.sustained_bandwidth is None:
        yield f"memories.{main.name}.sustained_bandwidth"
    if device.power is None:
        yield "power"
    else:
        for name in ("busy", "idle"):
            if getattr(device.power, name) is None:
                yield f"power.{name}"
    for engine in device.engines:
        if engine.clock is None:
            yield f"engines.{engine.name}.clock"
        for key, peak in engine.peaks.items():
            if key in _COARSE and peak.accumulator is None:
                yield f"engines.{engine.name}.peaks.{key}.accumulator"


def _advice(
    origins: dict[str, Provenance], missing: tuple[str, ...], faults: tuple[Fault, ...]
) -> str:
    if faults:
        return "Name a source for " + ", ".join(fault.path for fault in faults)
    weak = [
        (_weight(path) * (1.0 - WORTH[_confidence(origin)]), path)
        for path, origin in origins.items()
        if _confidence(origin) in ("estimated", "unstated")
    ]
    steps: list[str] = []
    if weak:
        best = [path for _, path in sorted(weak, key=lambda pair: (-pair[0], pair[1]))[:3]]
        steps.append("find a data sheet or a measurement for " + ", ".join(best))
    if missing:
        steps.append("add " + ", ".join(missing[:3]))
    if not steps:
        steps.append("measure what the data sheets only claim")
    text = "; ".join(steps)
    return f"To lift it: {text}."
