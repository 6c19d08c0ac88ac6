"""The reader's selection on the explorer's page, and the parsing of its typed texts.

The page (`perfmodel.explore.page`) fills an `ExplorerSelection` from its form. `read_limits` and
`read_settings` turn the typed texts into numbers and settings of `perfmodel.predict`; every fault
is appended to a list, so that the page can show all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perfmodel.errors import Fault
from perfmodel.explore.choices import LENGTHS, parameters_of, phases_of
from perfmodel.settings import RESERVED, FaultList, is_fact, plain_value
from perfmodel.units import UnitError, is_number, parse

#: Limit -> the metric that it bounds, and the dimension of that metric.
LIMITS = {
    "latency": ("latency_s", "time"),
    "memory": ("peak_memory_bytes", "bytes"),
    "energy": ("energy_j", "energy"),
}


@dataclass(frozen=True)
class ExplorerSelection:
    """Selection sent by the page: unvalidated texts and numbers.

    Attributes
    ----------
    second_device
        Device to compare with; empty if there is nothing to compare.
    batch, length
        Values of the sliders; ``None`` if the workload has no such parameter.
    settings
        ``NAME=VALUE``, separated by semicolons or line breaks.
    limits
        Key of `LIMITS` -> text with a unit; empty if there is no limit.
    """

    workload: str
    device: str
    second_device: str = ""
    phase: str = ""
    runtime: str = ""
    precision: str = ""
    batch: float | None = None
    length: float | None = None
    settings: str = ""
    limits: Mapping[str, str] = field(default_factory=dict[str, str])


def read_limits(selection: ExplorerSelection, faults: FaultList) -> dict[str, float]:
    """Return metric -> upper bound in SI units."""
    limits: dict[str, float] = {}
    for name, (metric, dimension) in LIMITS.items():
        text = selection.limits.get(name, "").strip()
        try:
            bound = parse(text, dimension) if text else 0.0
        except UnitError as error:
            faults.append(Fault(str(error), path=f"limit of {name}"))
            continue
        if bound > 0:
            limits[metric] = bound
        elif text:
            message, expected = f"'{text}' is not a valid limit", "a value above 0"
            faults.append(Fault(message, path=f"limit of {name}", expected=expected))
    return limits


def read_settings(selection: ExplorerSelection, faults: FaultList) -> dict[str, Any]:
    """Return the settings for `perfmodel.predict`: phase, sliders, and the typed settings.

    A phase or slider at its default is left out, so that the command line shown on the page states
    only what the reader changed. A typed setting replaces a slider of the same name.
    """
    phases = phases_of(selection.workload)
    phase = selection.phase if selection.phase in phases else ""
    settings: dict[str, Any] = {"phase": phase} if phase and phase != phases[0] else {}
    defaults = parameters_of(selection.workload, phase)
    length = next((name for name in LENGTHS if name in defaults), "")
    for name, value in (("batch", selection.batch), (length, selection.length)):
        if name in defaults and value is not None and float(value) != defaults[name]:
            settings[name] = int(value) if float(value).is_integer() else float(value)
    for item in filter(str.strip, selection.settings.replace("\n", ";").split(";")):
        name, _, text = (part.strip() for part in item.partition("="))
        if not name or not text:
            message, expected = f"'{item.strip()}' sets nothing", "NAME=VALUE, with ; between"
        elif name in RESERVED:
            message, expected = f"'{name}' has a choice of its own", "the choice above"
        else:
            value: Any = plain_value(text)
            # A fact of the device is a number, or a text with a unit that `predict` parses.
            fact = float(value) if is_number(value) else text
            settings[name] = fact if is_fact(name) else value
            continue
        faults.append(Fault(message, path="settings", expected=expected))
    return settings
