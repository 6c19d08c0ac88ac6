"""``perfmodel finetune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import named_options, print_json, say, scalars, write_result
from perfmodel.cli.words import ModelFile
from perfmodel.errors import InputError
from perfmodel.search.finetune import finetune as run
from perfmodel.settings import FaultList

_SUFFIXES = (".json", ".csv", ".parquet", ".txt")
_OPTIONS = {
    "limit": "--limit", "train": "--train", "parts": "--parts", "optimizer": "--optimizer",
    "gradients": "--gradients", "gains": "--gains", "time_limit_s": "--time-limit",
}  # fmt: skip


def finetune(
    workload: ModelFile,
    device: str | None = None,
    /,
    *,
    limit: str | None = None,
    train: str | None = None,
    parts: str = "bias,0.125,0.25,0.5,1",
    optimizer: str = "sgd",
    gradients: str | None = None,
    late_updates: bool = False,
    gains: Path | None = None,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    time_limit: float = 20.0,
    explain: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Find what of a network can be trained within a memory, and what a step takes.

    Parameters
    ----------
    workload
        A model of the library, or a path to a model file.
    device
        A device of the library, or a path; may be left out where a limit is stated.
    limit
        Most bytes of memory: "256 KiB"; by default what the device's main memory has.
    train
        What is trained, instead of looking for the best: PATTERN=PART with commas, the last that
        matches a layer's name: "*=bias,classifier=all". Parts: bias, all, weight, a share of the
        weight's input channels (0.25), lora8.
    parts
        What of a layer may be trained, for the search.
    optimizer
        sgd, momentum or adam.
    gradients
        Format of gradients; that of the activations where left out.
    late_updates
        All gradients of weights stay until the backward pass is over.
    gains
        CSV file layer,part,gain: what training a part is worth; parameters where left out.
    set
        NAME=VALUE for parameters of the workload and facts of the device.
    precision
        Formats of weights, activations and KV cache.
    runtime
        Software that runs it; by default the device's.
    time_limit
        Seconds after which the best so far is returned, with a bound; 20 by default.
    explain
        Print what the memory holds.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv and .parquet one row a layer.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    with named_options(_OPTIONS, precision=precision, runtime=runtime):
        found = None
        try:
            found = run(
                workload, device, limit=limit, train=train, parts=parts, optimizer=optimizer,
                gradients=gradients, late_updates=late_updates, gains=gains, precision=precision,
                runtime=runtime, set=settings, time_limit_s=time_limit,
            )  # fmt: skip
        except InputError as error:
            faults.extend(error.faults)
        faults.settle()
        assert found is not None
    if output is not None:
        write_result(output, found)
    if json:
        print_json(found.to_dict())
    elif explain:
        say(found.explain())
    elif output is None:
        say(repr(found))
    return DONE if found.feasible else INFEASIBLE
