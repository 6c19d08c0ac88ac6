"""``perfmodel hardware new|near``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from perfmodel import units
from perfmodel.cli import DONE
from perfmodel.cli.common import Count, fact_value, pairs, print_json, say
from perfmodel.cli.format import repr_all
from perfmodel.hardware.copying.spec import NewSpec, saving_faults
from perfmodel.hardware.likeness.distance import as_records
from perfmodel.hardware.own import near, new
from perfmodel.settings import FaultList, plain_value
from perfmodel.table import Table
from perfmodel.units import is_number


def new_hardware(
    name: str,
    /,
    *,
    base: Annotated[str | None, Parameter(name="--from")] = None,
    set: list[str] | None = None,
    like: str | None = None,
    kind: str | None = None,
    bandwidth: str | None = None,
    peak: str | None = None,
    format: str | None = None,
    title: str | None = None,
    source: str | None = None,
    confidence: Literal["estimated", "datasheet", "measured"] = "estimated",
    runtime: str | None = None,
    force: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Write a spec of a device of your own, copied from the nearest of the library.

    Parameters
    ----------
    name
        Its name in snake case.
    base
        Device to copy; the nearest by what else is given where left out.
    set
        PATH=VALUE, as often as needed: memories.main.bandwidth="25 GB/s", power.busy="7 W".
    like
        Words that the copied device has in its name, title or tags: "phone qualcomm".
    kind
        Kind of one of its engines: roofline, tensor_core, npu, mcu, ...
    bandwidth
        Of its main memory; chooses the device to copy, and is set.
    peak
        Dense peak, "8 TOP/s"; chooses the device to copy, and is set.
    format
        Compute format of the peak; by default that of the copied device's largest.
    title
        Full name of the product.
    source
        Document that the numbers you set are from.
    confidence
        Of the numbers you set.
    runtime
        Default runtime; by default that of the copied device.
    force
        Replace a file that is there.
    json
        Print JSON.
    output
        File to write; NAME.yaml by default.
    """
    faults = FaultList()
    settings: dict[str, Any] = {}
    for path, text in pairs(set or (), faults).items():
        value = plain_value(text)
        plain = is_number(value)
        settings[path] = float(value) if plain else text
    place = output or Path(f"{name if _is_name(name) else 'device'}.yaml")
    faults.extend(saving_faults(place, force))
    made = faults.trying(
        new, name, base, settings, like=like or "", kind=kind or "", bandwidth=_rate(bandwidth),
        peak=_rate(peak), format=format or "", title=title or "", source=source or "",
        confidence=confidence, runtime=runtime or "",
    )  # fmt: skip
    faults.settle()
    assert made is not None
    made.save(place, force=force)
    if json:
        print_json({"file": str(place), **made.to_dict()})
    else:
        _tell(made, place)
    return DONE


def _is_name(name: str) -> bool:
    return name.replace("_", "").isalnum() and len(name) < 100


def _rate(text: str | None) -> str | float | None:
    """A plain number is SI, as everywhere on the command line."""
    return None if text is None else fact_value(text)


def _tell(made: NewSpec, place: Path) -> None:
    say(f"{place}: a copy of {made.base}" + (f" ({made.why})" if made.why else ""))
    say(*(f"  {change}" for change in made.changes))
    if made.carried_over:
        word = "number" if made.carried_over == 1 else "numbers"
        say(f"  {made.carried_over} measured or fitted {word} of {made.base} became estimates")
    if made.overrides:
        say(
            f"  the library has a device {made.device.name} too: its name stands for that one, and "
            "this file is taken by its path, or by name where its folder is named (--devices)"
        )
    say(f"  runtime {made.device.default_runtime}, whose constants hold where they were fitted")
    grade = made.device.grade()
    say(f"grade {grade.letter} ({grade.score:.2f})  {grade.advice}")


def near_hardware(
    device: str | None = None,
    /,
    *,
    like: str | None = None,
    kind: str | None = None,
    bandwidth: str | None = None,
    peak: str | None = None,
    format: str | None = None,
    most: Count = 5,
    json: bool = False,
) -> int:
    """Devices of the library that are nearest to a device, a known product, or facts.

    Parameters
    ----------
    device
        A device, or a well-known product that the library has no spec of.
    like
        Words that the devices have in their names, titles or tags.
    kind
        Kind of one of their engines.
    bandwidth
        Wanted bandwidth of the main memory.
    peak
        Wanted dense peak.
    format
        Compute format of the peak; each device's best by default.
    most
        How many to list; 5 by default.
    json
        Print JSON.
    """
    found = near(device, like=like or "", kind=kind or "", bandwidth=_rate(bandwidth),
                 peak=_rate(peak), format=format or "", most=most)  # fmt: skip
    if json:
        print_json(as_records(found))
        return DONE
    say(repr_all(Table({
        "name": [each.name for each in found],
        "distance": [f"{each.distance:.2f}" for each in found],
        "bandwidth": [_shown(each.bandwidth, "bandwidth", each.bandwidth_ratio) for each in found],
        "peak": [_shown(e.peak, "compute", e.peak_ratio, _unit(e.format)) for e in found],
        "format": [each.format for each in found],
        "kind": [each.kind for each in found],
        "title": [each.title for each in found],
    })))  # fmt: skip
    return DONE


def _unit(format: str) -> str:
    return "FLOP/s" if format.startswith(("fp", "bf", "tf")) else "OP/s"


def _shown(value: float | None, dimension: str, ratio: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    times = "" if ratio is None else f" (x{ratio:.2g})"
    return units.show(value, dimension, unit=unit) + times
