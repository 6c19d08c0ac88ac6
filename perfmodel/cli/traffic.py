"""``perfmodel traffic``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import note, print_json, say, scalars, to_json
from perfmodel.cli.words import ModelFile
from perfmodel.settings import FaultList
from perfmodel.traffic import traffic as run
from perfmodel.units import show

_SUFFIXES = (".json", ".csv", ".parquet")


def traffic(
    workload: ModelFile,
    /,
    *,
    capacity: str,
    set: list[str] | None = None,
    precision: str | None = None,
    buffering: str = "double",
    halo: str = "refetched",
    allocation: str = "even",
    partial_bytes: float = 4.0,
    keep: float = 0.0,
    layers: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Find the least traffic of a network against the capacity of a buffer, on no machine.

    Parameters
    ----------
    workload
        A model of the library, or a path.
    capacity
        Sizes of the buffer: "64 KiB", "16 KiB,64 KiB,1 MiB", 2**14..2**22.
    set
        NAME=VALUE for parameters of the workload, as often as needed.
    precision
        Formats of weights, activations and KV cache; int8 where the file has none of its own.
    buffering
        double: the next tile is fetched while one is used; or single.
    halo
        refetched: overlapping input of neighbouring tiles is fetched again; or kept.
    allocation
        even: all operands share one tile; or uneven, where one may keep a full panel.
    partial_bytes
        Bytes of an output element while it is summed up.
    keep
        Share of the buffer that activations may keep between layers; 0 is layer by layer.
    layers
        One row a layer.
    json
        Print JSON.
    output
        Write the table to a .json, .csv or .parquet file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    rules: dict[str, Any] = {"buffering": buffering, "halo": halo, "allocation": allocation}
    found = run(
        workload, capacity, precision=precision, partial_bytes=partial_bytes, keep=keep,
        layers=layers, settings=settings, faults=faults, **rules,
    )  # fmt: skip
    if output is not None:
        match output.suffix:
            case ".json":
                write_text(output, to_json(found.to_records()))
            case ".csv":
                found.to_csv(output)
            case _:
                found.to_parquet(output)
    if json:
        print_json(found.to_records())
    elif output is None:
        say(str(found.select(*(name for name in found if name != "model"))), found["model"][0])
    if np.all(np.isfinite(found["traffic_bytes"])):
        return DONE
    small = found["capacity_bytes"][~np.isfinite(found["traffic_bytes"])].max()
    by_layer = run(
        workload, float(small), precision=precision, partial_bytes=partial_bytes, keep=keep,
        layers=True, settings=settings, **rules,
    )  # fmt: skip
    stuck = by_layer["name"][~np.isfinite(by_layer["traffic_bytes"])]
    note(
        f"in {show(float(small), 'bytes')} not even the smallest tile fits: {', '.join(stuck[:5])}"
    )
    return INFEASIBLE
