"""``perfmodel stream``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.cli import outcome
from perfmodel.cli.common import Whole, answer, named_options, scalars
from perfmodel.cli.place import extra_levels, popularity_of
from perfmodel.cli.words import DeviceSpec, ModelFile
from perfmodel.errors import InputError
from perfmodel.resolve import resolve
from perfmodel.schedule.stream import stream as run
from perfmodel.schedule.stream.stream import option_faults
from perfmodel.settings import FaultList

_SUFFIXES = (".json", ".csv", ".parquet", ".txt")
_OPTIONS = {
    "source": "--source", "memory": "--memory", "depth": "--depth", "spread": "--spread",
    "popularity": "--popularity", "hit_fraction": "--hits", "accuracy": "--accuracy",
    "runs": "--runs", "seed": "--seed", "cached": "--cached",
}  # fmt: skip


def stream(
    workload: ModelFile,
    device: DeviceSpec,
    /,
    *,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    source: str | None = None,
    memory: str | None = None,
    depth: Whole = 2,
    keep: Annotated[bool, Parameter(negative="--no-keep")] = True,
    spread: str = "even",
    cached: bool = False,
    popularity: str | None = None,
    hits: float | None = None,
    accuracy: float = 0.0,
    grouped: bool = False,
    runs: Whole = 16,
    seed: Whole = 0,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Stream weights that do not stay in main memory, and say what it costs.

    Parameters
    ----------
    workload
        A model of the library, or a path.
    device
        A device of the library, or a path to a spec file.
    set
        NAME=VALUE, as often as needed: memories.storage.depth=8, batch=4, context=4096.
    precision
        Formats of weights, activations and KV cache.
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device; by default the runtime's.
    source
        Memory that weights come from, or one beside the device: --source "host=64 GB,25 GB/s".
    memory
        Main memory for weights, KV cache and buffer: "6 GB".
    depth
        Loads that the buffer holds; 1 loads nothing ahead, 2 is double buffering.
    keep
        Keep in memory what has room there; else every run brings all weights.
    spread
        Which layers stay: even, between those that are streamed, or first.
    cached
        Spare memory is an LRU cache of the experts; by default experts are pinned.
    popularity
        How unevenly routers choose: exponent of a Zipf law, geometric:RATE, or a weight for each
        expert.
    hits
        Share of the visits of experts that memory serves, where it is known.
    accuracy
        Probability that a missing expert is guessed a layer ahead; wrong guesses are loaded too.
    grouped
        The engine computes one matrix of all experts at a time, as llama.cpp does.
    runs
        Runs to simulate.
    seed
        Of the draw of experts that are missing.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv and .parquet one row a load.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    beside = (
        extra_levels([source], faults, "--source") if source is not None and "=" in source else ()
    )
    options: dict[str, Any] = {
        "source": beside[0] if beside else source, "memory": memory, "depth": depth, "keep": keep,
        "spread": spread, "cached": cached, "popularity": popularity_of(popularity, faults),
        "hit_fraction": hits, "accuracy": accuracy, "grouped": grouped, "runs": runs, "seed": seed,
    }  # fmt: skip
    subject = faults.trying(resolve, workload, device, precision, runtime, settings, engine)
    with named_options(_OPTIONS, precision=precision, runtime=runtime, engine=engine):
        if subject is None:
            wrong = option_faults(depth, spread, hits, accuracy, runs, seed, memory)
            raise InputError([*wrong, *faults])
        found = run(
            subject.workload, subject.device, precision=subject.precision, runtime=subject.runtime,
            engine=subject.engine, faults=faults, **options,
        )  # fmt: skip
    answer(found, json=json, output=output)
    return outcome(feasible=found.feasible, decided=found.decided)
