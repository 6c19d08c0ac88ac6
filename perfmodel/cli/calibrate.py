"""``perfmodel calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.common import print_json, say
from perfmodel.settings import FaultList


def calibrate(
    measurements: Path,
    /,
    *,
    device: str | None = None,
    runtime: str | None = None,
    skip_bad_rows: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Fit multipliers to a few measured rows of a device.

    Parameters
    ----------
    measurements
        A .csv file as `perfmodel validate` takes it: model, device, latency_s, ...
    device
        Device that all rows must be of; the one that they name where left out.
    runtime
        Runtime that all rows ran under, where they do not say.
    skip_bad_rows
        Fit without the rows that have a cell at fault, and name them.
    json
        Print JSON.
    output
        Write the multipliers to a .yaml file, for `perfmodel predict --overlay`.
    """
    from importlib import import_module

    faults = FaultList()
    faults.extend(output_faults(output, (".yaml", ".yml")))
    module: Any = import_module("perfmodel.evaluate.calibration")
    found: Any = faults.trying(
        module.calibrate, device, runtime, measurements, skip_bad_rows=skip_bad_rows
    )
    faults.settle()
    if output is not None:
        write_text(output, found.to_yaml())
    if json:
        print_json(found.to_dict())
    elif output is None:
        say(str(found))
    return DONE
