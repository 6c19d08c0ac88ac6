"""``perfmodel calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.common import Count, listed, named_options, print_json, say
from perfmodel.errors import Fault
from perfmodel.settings import FaultList


def calibrate(
    measurements: Path | None = None,
    /,
    *,
    device: str | None = None,
    runtime: str | None = None,
    next: Annotated[list[Count] | None, Parameter(consume_multiple=(0, 1))] = None,
    candidates: str | None = None,
    targets: str | None = None,
    skip_bad_rows: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Fit multipliers to a few measured rows of a device, or say what to measure next.

    Parameters
    ----------
    measurements
        A .csv file as `perfmodel validate` takes it: model, device, latency_s, ... With --device
        and --next it may be left out: nothing is measured yet.
    device
        Device that all rows must be of; the one that they name where left out.
    runtime
        Runtime that all rows ran under, where they do not say.
    next
        Name the measurements that would narrow the predictions most, as many as are wanted (one
        where no number follows), each chosen after those before it.
    candidates
        Models that may be measured, with commas between them; where left out, a varied list of the
        library's models of the kind that was measured.
    targets
        Models whose predictions are to be narrowed; the same list where left out.
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
    if measurements is None and next is None:
        faults.append(
            Fault(
                "no file of measurements", expected="one, or --device and --next: what to measure"
            )
        )
    options = {"candidates": candidates, "targets": targets}
    for name, value in options.items():
        if value is not None and next is None:
            faults.append(Fault("says what to measure next", file=f"--{name}", expected="--next"))
    models = {name: listed(value) or () for name, value in options.items()}
    module: Any = import_module("perfmodel.evaluate.calibration")
    with named_options({"candidates": "--candidates", "targets": "--targets", "next": "--next"}):
        result: Any = faults.trying(
            module.calibrate,
            device,
            runtime,
            measurements,
            skip_bad_rows=skip_bad_rows,
            models=models["candidates"],
        )
        faults.settle()
        following: Any = None if next is None else result.next(next[0] if next else 1, **models)
    if output is not None:
        write_text(output, result.to_yaml())
    if json:
        more: dict[str, Any] = {} if following is None else following.to_dict()
        print_json({**result.to_dict(), **more})
    elif following is not None:
        say(f"{result}\n{following}")
    elif output is None:
        say(str(result))
    return DONE
