"""``perfmodel allocate``."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import outcome
from perfmodel.cli.common import Count, Whole, named_options, note, print_json, say, to_json
from perfmodel.errors import Fault
from perfmodel.schedule.allocate import Allocation, read_lifetimes
from perfmodel.schedule.allocate import allocate as run
from perfmodel.schedule.allocate.allocate import hold_faults, option_faults
from perfmodel.settings import FaultList
from perfmodel.units import UnitError, whole_bytes

_SUFFIXES = (".csv", ".json", ".txt")
_OPTIONS = {
    "capacity_bytes": "--capacity", "time_limit_s": "--time-limit", "node_limit": "--nodes",
    "alignment": "--alignment",
}  # fmt: skip


def allocate(
    buffers: Path,
    /,
    *,
    capacity: str | None = None,
    alignment: str = "1",
    time_limit: float = 20.0,
    seed: Count = 0,
    nodes: Whole | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    plot: Path | None = None,
) -> int:
    """Give buffers addresses in one memory, or prove that they do not fit.

    Parameters
    ----------
    buffers
        A CSV file: id, lower, upper (first time after its life), size in bytes; where wanted,
        alignment, offset (lies there and stays), hint (lay there before).
    capacity
        Of the memory: bytes, or a size with its unit ("256 KiB"). Without it the lowest packing
        is looked for.
    alignment
        Every offset is a multiple of it: bytes, or a size with its unit.
    time_limit
        Seconds after which the best so far is returned, with a bound; 20 by default.
    seed
        Of the search; 0 by default.
    nodes
        Steps of the search after which it stops, on any machine at the same place.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv the buffers with their offsets,
        where they fit.
    plot
        Write the map of the memory to an .html file.
    """
    faults = FaultList()
    for path, suffixes in ((output, _SUFFIXES), (plot, (".html",))):
        faults.extend(output_faults(path, suffixes, "-o" if path is output else "--plot"))
    limit = None if capacity is None else _bytes(capacity, "--capacity", faults)
    step = _bytes(alignment, "--alignment", faults)
    faults.extend(option_faults(limit, time_limit, nodes, 1 if step is None else step))
    lives = faults.trying(read_lifetimes, buffers)
    if lives is not None and step:
        faults.extend(hold_faults(lives, step))
    with named_options(_OPTIONS):
        faults.settle()
    assert lives is not None
    assert step is not None
    found = run(
        lives, limit, time_limit_s=time_limit, node_limit=nodes, seed=seed, alignment=step
    )  # fmt: skip
    if output is not None:
        _write(output, found)
    if plot is not None:
        write_text(plot, found.plot.page())
    if json:
        print_json(found.to_dict())
    elif output is None:
        say(repr(found))
    return outcome(feasible=found.packed, decided=found.decided)


def _bytes(text: str, option: str, faults: FaultList) -> int | None:
    """Read whole bytes, plain or with a unit."""
    try:
        return whole_bytes(text)
    except UnitError as error:
        faults.append(Fault(error.message, file=option, expected=error.expected,
                            suggestion=error.suggestion))  # fmt: skip
        return None


def _write(output: Path, found: Allocation) -> None:
    match output.suffix:
        case ".json":
            write_text(output, to_json(found.to_dict()))
        case ".csv" if found.packed:
            lines = io.StringIO()
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerow(["id", "lower", "upper", "size", "offset"])
            writer.writerows(
                (b.id, b.lower, b.upper, b.size_bytes, found.offsets[b.id]) for b in found.buffers
            )
            write_text(output, lines.getvalue())
        case ".csv":
            note(f"{output} is not written: {found.status}")
        case _:
            write_text(output, repr(found) + "\n")
