"""``perfmodel hardwire``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.cli import DONE
from perfmodel.cli.common import answer, scalars
from perfmodel.cli.words import ModelFile
from perfmodel.kinds.hardwired.face import hardwire as run
from perfmodel.settings import FaultList


def hardwire(
    workload: ModelFile,
    device: str = "hnlpu",
    /,
    *,
    set: list[str] | None = None,
    precision: str = "w=fp4,a=fp16",
    systems: float = 1.0,
    years: float = 3.0,
    updates: float = 2.0,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Find what a model takes and costs with its weights as wires: metal, chips, masks, years.

    Parameters
    ----------
    workload
        A model of the library, or a path.
    device
        Chips of kind hardwired whose areas, powers and prices are taken.
    set
        NAME=VALUE for facts of the device, as often as needed.
    precision
        Formats; the weights' bits decide.
    systems
        Systems to own.
    years
        Years of use.
    updates
        Times that the weights change in them: new masks and new chips.
    json
        Print JSON.
    output
        Write the result to a .json or .txt file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, (".json", ".txt")))
    found = run(
        workload, device, precision=precision, systems=systems, years=years, updates=updates,
        set=settings, faults=faults,
    )  # fmt: skip
    answer(found, json=json, output=output)
    return DONE
