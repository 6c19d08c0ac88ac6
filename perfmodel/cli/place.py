"""``perfmodel place``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.cli import outcome
from perfmodel.cli.common import answer, listed, named_options, pairs, scalars
from perfmodel.cli.words import DeviceSpec, ModelFile
from perfmodel.errors import Fault, InputError
from perfmodel.resolve import resolve
from perfmodel.schedule.place import Geometric, PlacementLevel
from perfmodel.schedule.place import place as run
from perfmodel.schedule.place.place import option_faults
from perfmodel.schedule.place.popularity import popularity_of as read_popularity
from perfmodel.settings import FaultList

_SUFFIXES = (".json", ".csv", ".parquet", ".txt")
_OPTIONS = {
    "method": "--method", "objective": "--objective", "by": "--by", "seconds": "--seconds",
    "levels": "--only", "kv_levels": "--kv", "capacities": "--capacity", "pinned": "--pin",
    "cached": "--cache", "popularity": "--popularity", "context": "--context-limit",
}  # fmt: skip


def place(
    workload: ModelFile,
    device: DeviceSpec,
    /,
    *,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    method: str = "exact",
    objective: str = "latency_s",
    only: str | None = None,
    level: list[str] | None = None,
    capacity: list[str] | None = None,
    kv: str | None = None,
    pin: list[str] | None = None,
    cache: str | None = None,
    popularity: str | None = None,
    by: str = "tensor",
    seconds: float = 10.0,
    context_limit: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Place weights and KV cache in the memories of a device.

    Parameters
    ----------
    workload
        A model of the library, or a path.
    device
        A device of the library, or a path to a spec file.
    set
        NAME=VALUE, as often as needed: memories.main.bandwidth="25 GB/s", batch=8, context=4096.
    precision
        Formats of weights, activations and KV cache.
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device; by default the runtime's.
    method
        exact (with a proof, or a bound where it is stopped), lp or greedy.
    objective
        latency_s: seconds of reading; or energy_j.
    only
        Memories to use, by name: sram,dram.
    level
        NAME=CAPACITY,BANDWIDTH of a memory beside the device: --level "host=64 GB,25 GB/s".
    capacity
        NAME=SIZE that weights and KV cache may take of a memory: --capacity "dram=6 GB".
    kv
        Memories that may hold the KV cache; by default all but flash, storage and disk.
    pin
        NAME=LEVEL: a tensor, or all whose names begin so, must lie there.
    cache
        Memory whose spare room is an LRU cache of the experts.
    popularity
        How unevenly routers choose: exponent of a Zipf law, geometric:RATE, or a weight for each
        expert (3,1,1,1).
    by
        tensor or layer: what is placed as one piece.
    seconds
        Time limit of exact.
    context_limit
        Also find the longest context at which everything has a place.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv and .parquet one row a piece.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    options: dict[str, Any] = {
        "extra": extra_levels(level or (), faults),
        "capacities": pairs(capacity or (), faults, "--capacity"),
        "pinned": pairs(pin or (), faults, "--pin"),
        "popularity": popularity_of(popularity, faults),
        "levels": listed(only), "kv_levels": listed(kv), "cached": cache, "by": by,
        "method": method, "objective": objective, "seconds": seconds,
    }  # fmt: skip
    subject = faults.trying(resolve, workload, device, precision, runtime, settings, engine)
    with named_options(_OPTIONS, precision=precision, runtime=runtime, engine=engine):
        if subject is None:
            raise InputError([*option_faults(method, objective, by, seconds), *faults])
        found = run(
            subject.workload, subject.device, precision=subject.precision, runtime=subject.runtime,
            engine=subject.engine, faults=faults, **options,
        )  # fmt: skip
        data = found.to_dict()
        text = f"{found!r}\n\n{found.table}" if found.feasible else repr(found)
        if context_limit:
            data["context_limit"] = found.context_limit()
            text += f"\n\nlongest context: {data['context_limit']}"
    answer(found, json=json, output=output, text=text, data=data)
    return outcome(feasible=found.feasible, decided=found.decided)


def extra_levels(
    items: Iterable[str], faults: FaultList, option: str = "--level"
) -> tuple[PlacementLevel, ...]:
    """Read ``NAME=CAPACITY,BANDWIDTH`` texts; one at fault is a level all the same, by its name."""
    items = list(items)
    found = {
        name: PlacementLevel(name, 1.0, 1.0)
        for item in items
        if (name := item.partition("=")[0].strip())
    }
    for name, text in pairs(items, faults, option).items():
        size, mark, rate = text.partition(",")
        if not mark:
            faults.append(Fault(f"'{text}' is no memory", path=name, file=option,
                                expected="NAME=CAPACITY,BANDWIDTH"))  # fmt: skip
            continue
        made = faults.trying_for(option, PlacementLevel.of, name, size.strip(), rate.strip())
        found[name] = made or found[name]
    return tuple(found.values())


def popularity_of(text: str | None, faults: FaultList) -> float | Geometric | list[float] | None:
    """Read the law by which routers choose."""
    if text is None:
        return None
    gathered = FaultList()
    found = gathered.trying(read_popularity, text)
    faults += [replace(fault, file="--popularity", path="") for fault in gathered]
    return found
