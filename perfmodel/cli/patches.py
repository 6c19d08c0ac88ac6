"""``perfmodel patches``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import outcome
from perfmodel.cli.common import Whole, answer, named_options, scalars
from perfmodel.cli.words import ModelFile
from perfmodel.schedule.tiling.face import patches as run
from perfmodel.settings import FaultList

_SUFFIXES = (".json", ".txt")
_OPTIONS = {
    "capacity": "--capacity", "objective": "--objective", "modes": "--mode",
    "most_patched": "--most-patched", "memory": "--memory", "time_limit_s": "--time-limit",
}  # fmt: skip


def patches(
    workload: ModelFile,
    device: str | None = None,
    /,
    *,
    capacity: str | None = None,
    objective: str = "offchip",
    mode: list[str] | None = None,
    most_patched: Whole | None = None,
    in_place_depthwise: bool = False,
    memory: str | None = None,
    set: list[str] | None = None,
    precision: str | None = None,
    time_limit: float = 60.0,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    plot: Path | None = None,
) -> int:
    """Find the layers that run in patches, their grids, and what the halo costs.

    Parameters
    ----------
    workload
        A network of images: a model of the library, or a path.
    device
        A device of the library, or a path to a spec file; may be left out with a capacity.
    capacity
        Bytes for activations: "256 KiB". By default what the device's scratchpad holds.
    objective
        offchip: fewest bytes across the chip's boundary, weights read again included; macs: least
        recomputation with no intermediate map off chip; peak: least memory.
    mode
        What may happen to the overlap: recompute, horizontal, cached; as often as needed, all by
        default.
    most_patched
        Stretches that may run in patches; MCUNetV2 allows one.
    in_place_depthwise
        A depthwise convolution overwrites its input, as in TinyEngine.
    memory
        Memory of the device; by default its outermost scratchpad.
    set
        NAME=VALUE for facts of the device and parameters of the workload, as often as needed.
    precision
        Formats; without a device int8 by default.
    time_limit
        Seconds after which the best so far is returned, not proved; 60 by default.
    json
        Print JSON.
    output
        Write the result to a .json or .txt file.
    plot
        Write the memory layer by layer, with and without patches, to an .html file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    faults.extend(output_faults(plot, (".html",), "--plot"))
    options: dict[str, Any] = {"objective": objective}
    if mode:
        options["modes"] = tuple(mode)
    with named_options(_OPTIONS, precision=precision):
        found = run(
            workload, device, capacity=capacity, set=settings, precision=precision, memory=memory,
            most_patched=most_patched, in_place_depthwise=in_place_depthwise,
            time_limit_s=time_limit, faults=faults, **options,
        )  # fmt: skip
    if plot is not None:
        write_text(plot, found.plot.page())
    answer(found, json=json, output=output)
    return outcome(feasible=found.feasible, decided=found.decided)
