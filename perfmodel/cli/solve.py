"""``perfmodel solve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import answer, scalars
from perfmodel.cli.words import DeviceSpec, ModelFile
from perfmodel.settings import FaultList
from perfmodel.solve import solve as run


def solve(
    workload: ModelFile,
    device: DeviceSpec,
    /,
    *,
    variable: Annotated[str, Parameter(name="--for")],
    until: str,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    relaxed: bool = False,
    warm: bool = False,
    ignore_memory: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Find the value of one number at which a condition starts to hold.

    Searched from a thousandth to a million times the value that the device or workload has.

    Parameters
    ----------
    workload
        A model of the library, or a path.
    device
        A device of the library, or a path to a spec file.
    variable
        A fact of the device (memories.main.bandwidth), a parameter of the workload (batch), or
        weight_bits, activation_bits, kv_bits.
    until
        A condition: "tokens_per_s >= 20", "tpot_s <= 50 ms and energy_j < 2 J".
    set
        NAME=VALUE, as often as needed, for everything else.
    precision
        Formats of weights, activations and KV cache.
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device; by default the runtime's.
    model
        Kind of cost model; "roofline" is the bare roofline.
    relaxed
        Continuous forms of ceilings and floors.
    warm
        Weights stay in the nearest memory that holds everything.
    ignore_memory
        The condition alone; by default the workload must fit as well.
    json
        Print JSON.
    output
        Write the result to a .json or .txt file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, (".json", ".txt")))
    found = run(
        workload, device, variable, until, precision=precision, runtime=runtime, set=settings,
        engine=engine, model=model, relaxed=relaxed, warm=warm, fits=not ignore_memory,
        faults=faults,
    )  # fmt: skip
    answer(found, json=json, output=output)
    return DONE if found.feasible else INFEASIBLE
