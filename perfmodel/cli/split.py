"""``perfmodel split``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import named_options, print_json, say, scalars, write_result
from perfmodel.cli.words import ModelFile
from perfmodel.errors import InputError
from perfmodel.settings import FaultList
from perfmodel.system.split import split as run

_SUFFIXES = (".json", ".csv", ".parquet", ".txt")
_OPTIONS = {
    "objective": "--objective", "rate": "--rate", "latency": "--latency", "system": "--system",
    "efficiency": "--efficiency", "link_format": "--link-format", "method": "--method",
    "input_bytes": "--input-bytes", "server_precision": "--server-precision",
    "server_engine": "--server-engine", "server_runtime": "--server-runtime",
}  # fmt: skip


def split(
    workload: ModelFile,
    device: str | None = None,
    server: str | None = None,
    /,
    *,
    system: str | None = None,
    rate: str | None = None,
    latency: str | None = None,
    efficiency: float | None = None,
    link_format: str | None = None,
    input_bytes: str | None = None,
    objective: str = "latency_s",
    set: list[str] | None = None,
    precision: str | None = None,
    server_precision: str | None = None,
    runtime: str | None = None,
    server_runtime: str | None = None,
    engine: str | None = None,
    server_engine: str | None = None,
    method: str = "auto",
    explain: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    plot: Path | None = None,
) -> int:
    """Find where to cut a network between a device and a server, for every rate of their link.

    Parameters
    ----------
    workload
        A model of the library, or a path to a model file.
    device
        The side that has the input and wants the output: a device of the library, or a path.
    server
        The other side.
    system
        Instead of the two: a spec file of a system, with its link.
    rate
        Of the link, headers included: "20 Mbit/s", "1..50 Mbit/s" (each whole number of it),
        "logspace(1 Mbit/s, 1 Gbit/s, 31)".
    latency
        One way, of an empty message: "5 ms".
    efficiency
        Share of the bits that carry tensors, above 0 and at most 1.
    link_format
        Format in which activations are sent: int8; as computed where left out.
    input_bytes
        Of the network's inputs as they are sent: "50 kB" (a JPEG); as computed where left out.
    objective
        latency_s of one run, energy_j of the device, or throughput of runs that follow each other.
    set
        NAME=VALUE for parameters of the workload and facts of the device.
    precision
        Formats of weights, activations and KV cache, of both sides.
    server_precision
        Of the server, where it has its own.
    runtime
        Software of the device; by default its own.
    server_runtime
        Software of the server; by default its own.
    engine
        Engine of the device; by default the runtime's.
    server_engine
        Engine of the server; by default the runtime's.
    method
        list: every cut; min_cut: minimum cuts of flow networks; auto: the first while there are at
        most 20,000 cuts.
    explain
        Print the arithmetic of the best cut at the lowest and the highest rate.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv and .parquet one row a rate and
        a cut that is the best somewhere.
    plot
        Write latency over rate to an .html file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    for path, suffixes, option in ((output, _SUFFIXES, "-o"), (plot, (".html",), "--plot")):
        faults.extend(output_faults(path, suffixes, option))
    named = {"precision": precision, "runtime": runtime, "engine": engine}
    with named_options(_OPTIONS, **named):
        found = None
        try:
            found = run(
                workload, device, server, system=system, rate=rate, latency=latency,
                efficiency=efficiency, link_format=link_format, input_bytes=input_bytes,
                objective=objective, precision=precision, server_precision=server_precision,
                runtime=runtime, server_runtime=server_runtime, engine=engine,
                server_engine=server_engine, set=settings, method=method,
            )  # fmt: skip
        except InputError as error:
            faults.extend(error.faults)
        faults.settle()
        assert found is not None
    if output is not None:
        write_result(output, found)
    if plot is not None and found.feasible:
        from perfmodel.plots.page import page

        write_text(plot, page(f"{workload}: where to cut", "", [found.plot.latency()]))
    if json:
        print_json(found.to_dict())
    elif explain:
        for at in dict.fromkeys((0, len(found.rates_bytes_per_s) - 1)):
            say(found.explain(at))
    elif output is None:
        say(repr(found))
    return DONE if found.feasible else INFEASIBLE
