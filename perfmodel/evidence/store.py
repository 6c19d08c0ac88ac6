"""The file of evidence: residuals of measured rows by quantity, class, runtime and device."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError
from perfmodel.shipped import data_root

Floats = npt.NDArray[np.float64]

#: File of the library.
FILE: Final = "evidence.yaml"
#: Ways in which a row was predicted: with the library's constants, with constants fitted without
#: its device, under the runtime that stands for software which nobody measured.
WAYS: Final = ("as_is", "left_out", "generic")
#: Quantiles that are kept of a device's residuals: those of midpoints of as many equal shares.
_KEPT: Final = 20
#: Residuals are kept as whole numbers of this logarithm.
_STEP: Final = 0.001

_HEAD: Final = """\
# Written by `perfmodel validate --left-out --evidence FILE`: how far predictions lay from what was
# measured. By quantity, class of workloads, runtime and device: the number of measured rows, and
# quantiles of 1000 log(measured / predicted), evenly spaced, by how the rows were predicted: as_is,
# with the library's constants; left_out, with constants fitted without the device; generic, under
# the runtime that stands for software which nobody measured. Stretches, by quantity, class and
# basis: by what the widths of the 50 % and the 90 % interval are multiplied so that they hold so
# many rows of devices that they know nothing of.
schema_version: 1
"""


@dataclass(frozen=True)
class DeviceEvidence:
    """What is known of a device under a runtime in a class of workloads.

    Attributes
    ----------
    rows
        Measured rows.
    residuals
        Way (`WAYS`) -> quantiles of the logarithms of measured over predicted, each of them as
        many rows' as another's; ways without rows are left out.
    """

    rows: int
    residuals: Mapping[str, Floats]


#: Runtime -> device -> what is known of it.
ByRuntime = Mapping[str, Mapping[str, DeviceEvidence]]


@dataclass(frozen=True)
class Evidence:
    """All of it.

    Attributes
    ----------
    classes
        (quantity, class of workloads) -> runtime -> device -> what is known.
    stretches
        (quantity, class of workloads, basis) -> by what the widths of the 50 % and the 90 %
        interval are multiplied.
    """

    classes: Mapping[tuple[str, str], ByRuntime]
    stretches: Mapping[tuple[str, str, str], tuple[float, float]] = field(
        default_factory=dict[tuple[str, str, str], tuple[float, float]]
    )

    def of(self, subject: Subject) -> DeviceEvidence | None:
        """Return what is known of a subject; ``None`` where nothing was measured of it."""
        return self.devices(subject).get(subject.device)

    def devices(self, subject: Subject) -> Mapping[str, DeviceEvidence]:
        """Return device -> what is known of it under the subject's runtime, in its class."""
        return self.runtimes(subject).get(subject.runtime, {})

    def runtimes(self, subject: Subject) -> ByRuntime:
        """Return runtime -> device -> what is known in the subject's class."""
        return self.classes.get((subject.quantity, subject.workload_class), {})

    def to_yaml(self) -> str:
        """Return the text of the file."""
        lines = ["stretches:"] if self.stretches else []
        for of, (half, most) in sorted(self.stretches.items()):
            lines.append(f"  {' '.join(of)}: [{half:.4g}, {most:.4g}]")
        quantities = dict.fromkeys(quantity for quantity, _ in sorted(self.classes))
        for quantity in quantities:
            lines.append(f"{quantity}:")
            for (own, name), runtimes in sorted(self.classes.items()):
                if own != quantity:
                    continue
                lines.append(f"  {name}:")
                for runtime, devices in sorted(runtimes.items()):
                    lines.append(f"    {runtime}:")
                    lines += [f"      {d}: {_text(devices[d])}" for d in sorted(devices)]
        return _HEAD + "\n".join(lines) + "\n"


def gathered(residuals: Iterable[tuple[Subject, str, float]]) -> Evidence:
    """Return the evidence of single rows: subject, way of prediction, residual."""
    known: dict[Subject, dict[str, list[float]]] = {}
    for subject, way, residual in residuals:
        known.setdefault(subject, {}).setdefault(way, []).append(residual)
    classes: dict[tuple[str, str], dict[str, dict[str, DeviceEvidence]]] = {}
    for subject, ways in known.items():
        rows = max(len(of) for way, of in ways.items() if way != "generic")
        quantiles = {way: _quantiles(np.array(of)) for way, of in ways.items()}
        runtimes = classes.setdefault((subject.quantity, subject.workload_class), {})
        runtimes.setdefault(subject.runtime, {})[subject.device] = DeviceEvidence(rows, quantiles)
    return Evidence(classes)


def read_evidence(path: Path) -> Evidence:
    """Read a file of evidence.

    Raises
    ------
    InputError
        It is none.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)
        if data.pop("schema_version") != 1:
            raise ValueError("schema_version")
        stretches = {
            _three(of): (float(half), float(most))
            for of, (half, most) in data.pop("stretches", {}).items()
        }
        return Evidence(
            {
                (quantity, name): {
                    runtime: {device: _read(entry) for device, entry in devices.items()}
                    for runtime, devices in runtimes.items()
                }
                for quantity, classes in data.items()
                for name, runtimes in classes.items()
            },
            stretches,
        )
    except (AttributeError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            Fault(
                f"is no file of evidence: {error}",
                file=str(path),
                expected="what `perfmodel validate --left-out --evidence` writes",
            )
        ) from None


@lru_cache(maxsize=1)
def library_evidence() -> Evidence:
    """Return the evidence that ships with the package, read on its first use."""
    path = data_root() / FILE
    return read_evidence(path) if path.is_file() else Evidence({})


def _quantiles(residuals: Floats) -> Floats:
    """Return at most `_KEPT` numbers that stand for the residuals."""
    if len(residuals) <= _KEPT:
        return np.sort(residuals)
    return np.quantile(residuals, (np.arange(_KEPT) + 0.5) / _KEPT)


def _text(device: DeviceEvidence) -> str:
    parts = [f"rows: {device.rows}"]
    for way in WAYS:
        if way in device.residuals:
            numbers = np.rint(device.residuals[way] / _STEP).astype(int)
            parts.append(f'{way}: "{" ".join(map(str, numbers.tolist()))}"')
    return "{" + ", ".join(parts) + "}"


def _read(entry: Mapping[str, Any]) -> DeviceEvidence:
    residuals = {way: _numbers(str(entry[way])) for way in WAYS if way in entry}
    return DeviceEvidence(int(entry["rows"]), residuals)


def _three(text: str) -> tuple[str, str, str]:
    quantity, name, basis = text.split(" ")
    return quantity, name, basis


def _numbers(text: str) -> Floats:
    words: Sequence[str] = text.split()
    return _STEP * np.array([int(word) for word in words], dtype=float)


#: Metric -> quantity that its evidence is of; a rate is evidence of a time.
QUANTITIES: Final = {
    "latency_s": "time",
    "ttft_s": "time",
    "tpot_s": "time",
    "tokens_per_s": "time",
    "frames_per_s": "time",
    "admitted_ttft_s": "time",
    "energy_j": "energy",
    "power_w": "power",
}
#: Metrics that grow as the time of a run shrinks.
RATES: Final = frozenset({"tokens_per_s", "frames_per_s"})


class Subject(NamedTuple):
    """What a row was measured of.

    Attributes
    ----------
    runtime, device
        Names of the library.
    workload_class
        As `classes_of` names it.
    quantity
        ``time``, ``energy`` or ``power``.
    """

    runtime: str
    device: str
    workload_class: str
    quantity: str = "time"


#: Phase -> class of its part of requests that a server runs beside others (`perfmodel.serve`).
SERVED: Final = {"prefill": "served/prefill", "decode": "served/decode"}
#: Class -> the one whose evidence stands for it where a runtime was not measured in its own.
RELATED: Final = {f"tokens/{phase}": served for phase, served in SERVED.items()}
#: Operators of a single kernel, at most: experts have three.
_KERNEL: Final = 3
_PHASES: Final = {"ttft_s": "prefill", "admitted_ttft_s": "prefill", "tpot_s": "decode"}


def classes_of(unit: str, phases: Collection[str], operators: int = 1) -> dict[str, str]:
    """Return phase -> class of workloads that share their evidence.

    Parameters
    ----------
    unit
        What a run yields (``tokens``, ``frames``, ``runs``).
    phases
        Of the rows of a network.
    operators
        How many it has, each counted once: a network of which nothing says what it yields is one
        of frames, and a few operators are a kernel.

    Returns
    -------
    dict
        Of a network of one class its only key is ``""``.
    """
    if unit == "tokens":
        found = {phase: f"tokens/{phase}" for phase in ("prefill", "decode") if phase in phases}
        if found:
            return found
    if unit == "runs" and operators > _KERNEL:
        unit = "frames"
    return {"": f"{unit}/training" if "backward" in phases else unit}


def class_of(classes: Mapping[str, str], metric: str) -> str:
    """Return the class that a metric belongs to; the last phase's for what is of all of them."""
    return classes.get(_PHASES.get(metric, ""), list(classes.values())[-1])
