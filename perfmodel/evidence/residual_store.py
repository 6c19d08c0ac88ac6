"""Store of measured residuals by quantity, class of workloads, runtime and device.

``perfmodel validate --left-out --evidence FILE`` predicts measured rows and writes the distribution
of ``log(measured / predicted)``; the file that ships with the package is read here, and
`residual_spread` derives the interval of every prediction from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError
from perfmodel.package_data import data_root

Floats = npt.NDArray[np.float64]

#: Name of the library's evidence file.
FILE: Final = "evidence.yaml"
#: Ways of predicting a row: with the library's constants; with constants fitted without some rows
#: of its device, such as those of its network; with constants fitted without its device; or under
#: the generic runtime, which represents unknown software.
WAYS: Final = ("as_is", "rows_left_out", "left_out", "generic")
#: Maximum number of stored quantiles per device, at the midpoints of equal shares.
_MAX_QUANTILES: Final = 20
#: Resolution of stored residuals, in logarithms.
_STEP: Final = 0.001

_HEAD: Final = """\
# Written by `perfmodel validate --left-out --evidence FILE`: how far predictions lay from what was
# measured. By quantity, class of workloads, runtime and device: the number of measured rows, and
# quantiles of 1000 log(measured / predicted), evenly spaced, by how the rows were predicted: as_is,
# with the library's constants; rows_left_out, with constants fitted without some of the device's
# rows, such as those of a network; left_out, with constants fitted without the device; generic,
# under the runtime that stands for software which nobody measured. Stretches, by quantity, class
# and basis: by what the widths of the 50 % and the 90 % interval are multiplied so that they hold
# so many rows of devices that they know nothing of.
"""


#: Metric -> quantity for which it is evidence; a rate is evidence for a time.
QUANTITIES: Final = {
    "latency_s": "time",
    "ttft_s": "time",
    "tpot_s": "time",
    "tokens_per_s": "time",
    "frames_per_s": "time",
    "admitted_ttft_s": "time",
    "energy_j": "energy",
    "power_w": "power",
    "process_bytes": "process_memory",
    "arena_bytes": "arena_memory",
}
#: Metric of a served load -> quantity for which it is evidence.
_SERVED_QUANTITIES: Final = {"energy_per_token_j": "energy"}
#: Quantities that err in another way where they follow from the class of an engine: from energies
#: of its operations and bytes (``class_energy``), or from one power by its clocks
#: (``clock_energy``).
_OF_CLASS: Final = ("energy", "power")
#: Writer of powers that follow from the class of an engine.
_CLASS_WRITER: Final = "table power_classes"
#: Confidences of a power that was read from a meter.
METERED: Final = ("measured", "fitted")
#: Metrics that grow as the time of a run shrinks.
RATES: Final = frozenset({"tokens_per_s", "frames_per_s"})


class Subject(NamedTuple):
    """Subject of a measurement or prediction, under which evidence is stored.

    Attributes
    ----------
    runtime, device
        Names in the library.
    workload_class
        Class name of `classes_of`.
    quantity
        ``time``, ``energy``, ``power``, ``process_memory``, ``arena_memory``; ``class_energy`` and
        ``class_power`` by the power model of a class of engines, ``clock_energy`` and
        ``clock_power`` by one power that such a model has.
    """

    runtime: str
    device: str
    workload_class: str
    quantity: str = "time"


class _Provided(Protocol):
    """Facts of a machine by path, each with the confidence of its provenance."""

    @property
    def facts(self) -> Mapping[str, Any]: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...


def quantity_of(metric: str, machine: _Provided, engine: str) -> str:
    """Return the quantity for which a metric is evidence; empty if there is none.

    Parameters
    ----------
    machine, engine
        Machine and its engine, which may have the power model of its class: energies of
        operations and bytes, or one power that no meter read.
    """
    quantity = QUANTITIES.get(metric, _SERVED_QUANTITIES.get(metric, ""))
    if quantity not in _OF_CLASS:
        return quantity
    if f"engines.{engine}.running_power" in machine.facts:
        return f"class_{quantity}"
    busy = machine.provenance.get(f"engines.{engine}.busy_power")
    if busy is None or f"engines.{engine}.clock_energy" in machine.facts:
        return quantity
    metered = busy.writer != _CLASS_WRITER or busy.confidence in METERED
    return quantity if metered else f"clock_{quantity}"


#: Phase -> class of its part of concurrently served requests (`perfmodel.serve`).
SERVED: Final = {"prefill": "served/prefill", "decode": "served/decode"}
#: Class -> substitute class for runtimes that were not measured in it.
RELATED: Final = {f"tokens/{phase}": served for phase, served in SERVED.items()}
#: Maximum number of operators of a single kernel: experts have three.
_MAX_KERNEL_OPERATORS: Final = 3
_PHASES: Final = {"ttft_s": "prefill", "admitted_ttft_s": "prefill", "tpot_s": "decode"}


def classes_of(unit: str, phases: Collection[str], operators: int = 1) -> dict[str, str]:
    """Return phase -> class of workloads that share evidence.

    Parameters
    ----------
    unit
        Output unit of a run (``tokens``, ``frames``, ``runs``).
    phases
        Phases of the network's rows.
    operators
        Number of distinct operators: with the unit ``runs``, a network with more than three
        counts as ``frames``, otherwise as a kernel.

    Returns
    -------
    dict
        Classes by phase; for a network with a single class, the only key is ``""``.
    """
    if unit == "tokens":
        by_phase = {phase: f"tokens/{phase}" for phase in ("prefill", "decode") if phase in phases}
        if by_phase:
            return by_phase
        if not any(phases):  # a step of a decoder that is not divided, such as Whisper's
            return {"": "tokens/decode"}
    if unit == "runs" and operators > _MAX_KERNEL_OPERATORS:
        unit = "frames"
    return {"": f"{unit}/training" if "backward" in phases else unit}


def class_of(classes: Mapping[str, str], metric: str) -> str:
    """Return the class of a metric; that of the last phase for metrics of all phases."""
    return classes.get(_PHASES.get(metric, ""), list(classes.values())[-1])


@dataclass(frozen=True)
class DeviceEvidence:
    """Evidence of a device under a runtime in a class of workloads.

    Attributes
    ----------
    rows
        Number of measured rows.
    residuals
        Way (`WAYS`) -> evenly spaced quantiles of ``log(measured / predicted)``; ways without rows
        are omitted.
    """

    rows: int
    residuals: Mapping[str, Floats]


#: Runtime -> device -> evidence.
ByRuntime = Mapping[str, Mapping[str, DeviceEvidence]]


@dataclass(frozen=True)
class Evidence:
    """Evidence of all devices, with the width corrections derived from it.

    Attributes
    ----------
    classes
        (quantity, class of workloads) -> runtime -> device -> evidence.
    stretches
        (quantity, class of workloads, basis) -> factors on the widths of the 50 % and the 90 %
        interval.
    """

    classes: Mapping[tuple[str, str], ByRuntime]
    stretches: Mapping[tuple[str, str, str], tuple[float, float]] = field(
        default_factory=dict[tuple[str, str, str], tuple[float, float]]
    )

    def of(self, subject: Subject) -> DeviceEvidence | None:
        """Return the evidence of a subject; ``None`` if there is none."""
        return self.devices(subject).get(subject.device)

    def devices(self, subject: Subject) -> Mapping[str, DeviceEvidence]:
        """Return device -> evidence under the subject's runtime, in its class."""
        return self.runtimes(subject).get(subject.runtime, {})

    def runtimes(self, subject: Subject) -> ByRuntime:
        """Return runtime -> device -> evidence in the subject's class."""
        return self.classes.get((subject.quantity, subject.workload_class), {})

    def to_yaml(self) -> str:
        """Return the text of the file: YAML in flow style, which is JSON after its comments."""
        data: dict[str, Any] = {"schema_version": 1}
        if self.stretches:
            data["stretches"] = {
                " ".join(key): [float(f"{factor:.4g}") for factor in factors]
                for key, factors in sorted(self.stretches.items())
            }
        for (quantity, name), runtimes in sorted(self.classes.items()):
            data.setdefault(quantity, {})[name] = {
                runtime: {device: _entry(each) for device, each in sorted(devices.items())}
                for runtime, devices in sorted(runtimes.items())
            }
        return _HEAD + _one_line_entries(data) + "\n"


def gathered(residuals: Iterable[tuple[Subject, str, float]]) -> Evidence:
    """Return the evidence of rows given as (subject, way of prediction, residual)."""
    known: dict[Subject, dict[str, list[float]]] = {}
    for subject, way, residual in residuals:
        known.setdefault(subject, {}).setdefault(way, []).append(residual)
    classes: dict[tuple[str, str], dict[str, dict[str, DeviceEvidence]]] = {}
    for subject, ways in known.items():
        rows = max(len(values) for way, values in ways.items() if way != "generic")
        quantiles = {way: _quantiles(np.array(values)) for way, values in ways.items()}
        runtimes = classes.setdefault((subject.quantity, subject.workload_class), {})
        runtimes.setdefault(subject.runtime, {})[subject.device] = DeviceEvidence(rows, quantiles)
    return Evidence(classes)


def read_evidence(path: Path) -> Evidence:
    """Read a file of evidence.

    Raises
    ------
    InputError
        The file is not a valid evidence file.
    """
    text = path.read_text(encoding="utf-8")
    try:
        data: dict[str, Any] = json.loads(text[text.index("{") :])
        if data.pop("schema_version") != 1:
            raise ValueError("schema_version")
        stretches = {
            _class_key(key): (float(half), float(most))
            for key, (half, most) in data.pop("stretches", {}).items()
        }
        return Evidence(
            {
                (quantity, name): {
                    runtime: {device: _parse_entry(entry) for device, entry in devices.items()}
                    for runtime, devices in runtimes.items()
                }
                for quantity, classes in data.items()
                for name, runtimes in classes.items()
            },
            stretches,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            Fault(
                f"is not a file of evidence: {error}",
                file=str(path),
                expected="a file that `perfmodel validate --left-out --evidence` writes",
            )
        ) from None


@lru_cache(maxsize=1)
def library_evidence() -> Evidence:
    """Return the evidence that ships with the package, read on its first use."""
    path = data_root() / FILE
    return read_evidence(path) if path.is_file() else Evidence({})


def _quantiles(residuals: Floats) -> Floats:
    """Return the sorted residuals, reduced to `_MAX_QUANTILES` quantiles if there are more."""
    if len(residuals) <= _MAX_QUANTILES:
        return np.sort(residuals)
    return np.quantile(residuals, (np.arange(_MAX_QUANTILES) + 0.5) / _MAX_QUANTILES)


def _entry(device: DeviceEvidence) -> dict[str, Any]:
    """Return the data of a device: the number of its rows, and the texts of its residuals."""
    entry: dict[str, Any] = {"rows": device.rows}
    for way in WAYS:
        if way in device.residuals:
            numbers = np.rint(device.residuals[way] / _STEP).astype(int)
            entry[way] = " ".join(map(str, numbers.tolist()))
    return entry


def _one_line_entries(data: Any, indent: str = "") -> str:
    """Return data as JSON in which mappings of plain values take one line."""
    if not isinstance(data, dict) or "rows" in data:
        return json.dumps(data)
    inner = indent + "  "
    entries = cast("dict[str, Any]", data).items()
    lines = [f"{inner}{json.dumps(key)}: {_one_line_entries(v, inner)}" for key, v in entries]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _parse_entry(entry: Mapping[str, Any]) -> DeviceEvidence:
    residuals = {way: _STEP * np.fromstring(entry[way], sep=" ") for way in WAYS if way in entry}
    return DeviceEvidence(int(entry["rows"]), residuals)


def _class_key(text: str) -> tuple[str, str, str]:
    quantity, name, basis = text.split(" ")
    return quantity, name, basis
