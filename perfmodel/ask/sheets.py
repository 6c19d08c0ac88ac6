"""Public functions that show one device, model, format or schema of the library or a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from perfmodel import units
from perfmodel.ask.library import LibraryAnswer, format_row, spec_of
from perfmodel.errors import InputError, input_error, no_such
from perfmodel.formats import Format, Precision, as_precision, compute_format, find
from perfmodel.hardware import library as devices
from perfmodel.hardware.device import Device, OperatingPoint, Source
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.hardware.technology.tables import cited
from perfmodel.machine_differences import fact_differences, show_fact
from perfmodel.resolve import WorkloadLike
from perfmodel.settings import gathered
from perfmodel.table import Table
from perfmodel.table.text import as_text
from perfmodel.workload import library as workloads
from perfmodel.workload.importers.readers import is_imported
from perfmodel.workload.template_family import TemplateStructure, structure_as_written
from perfmodel.workload.workload import StructureBuild, Workload

SpecKind = Literal["device", "runtime", "system"]


def show_device(
    device: str | Path, *, runtime: str | Path | Runtime | None = None
) -> LibraryAnswer:
    """Return what the library knows of a device, with the source of every number.

    Parameters
    ----------
    device
        A device (or runtime) of the library, or a path to a spec file.
    runtime
        Runtime whose facts are listed too. By default that of the device.

    Raises
    ------
    InputError
        Unknown names, and every fault of the file.

    Examples
    --------
    >>> show_device("a100").data["facts"]["memories.hbm.bandwidth"]["unit"]
    'B/s'
    """
    faults = gathered()
    spec = faults.trying(spec_of, str(device))
    used = None if runtime is None else faults.trying(devices.runtime, runtime)
    faults.settle()
    assert spec is not None
    head: dict[str, Any] = {
        "name": spec.name,
        "title": spec.title,
        "aliases": spec.aliases,
        "tags": spec.tags,
        "hash": spec.content_hash,
        "sources": {key: s.model_dump(exclude_none=True) for key, s in spec.sources.items()},
    }
    title = f"{spec.name}: {spec.title}" if spec.title else spec.name
    lines = [f"tags: {', '.join(spec.tags)}"] if spec.tags else []
    lines += [spec.note.strip()] if spec.note else []
    if isinstance(spec, Runtime):
        data = head | {"spec": spec.model_dump(mode="json", exclude_defaults=True)}
        body = "\n".join([*lines, "", spec.to_yaml()])
        return LibraryAnswer(title, data, body, spec=spec.to_yaml)
    machine, grade = Machine(spec, used), spec.grade()
    facts, sources = _facts(machine), _sources(machine)
    data = head | {
        "runtime": machine.runtime.name,
        "engine": machine.engine,
        "main_memory": machine.main_memory,
        "overlap": spec.overlap,
        "power_boundary": spec.power.boundary if spec.power else None,
        "grade": {name: getattr(grade, name) for name in ("letter", "score", "advice")},
        "facts": facts,
        "sources": {key: s.model_dump(exclude_none=True) for key, s in sources.items()},
    }
    shown = {path: fact for path, fact in facts.items() if fact["writer"] != "default"}
    columns = {"value": "text", "confidence": "confidence", "source": "source", "writer": "writer"}
    table = Table(
        {"fact": list(shown)}
        | {name: [fact[key] or "" for fact in shown.values()] for name, key in columns.items()}
    )
    if modes := spec.operating_points:
        data["operating_points"] = {
            n: m.model_dump(exclude_defaults=True) for n, m in modes.items()
        }
    path = " <- ".join(memory.name for memory in machine.hierarchy())
    lines += [
        f"engine {machine.engine} <- {path}; main memory {machine.main_memory}",
        f"runtime {machine.runtime.name}",
        f"grade {grade}",
        *(_mode_line(name, mode) for name, mode in modes.items()),
        "",
        as_text(table, rows=len(table)),
        *(["", "sources:"] if sources else []),
    ]
    for key, s in sources.items():
        parts = filter(None, (s.title, s.publisher, s.year, s.url))
        lines.append(f"  {key}: {', '.join(map(str, parts))}")
    return LibraryAnswer(title, data, "\n".join(lines), table, spec=spec.to_yaml)


def _mode_line(name: str, mode: OperatingPoint) -> str:
    """Return what an operating point sets, and where that is from."""
    facts = ", ".join(f"{path} {value}" for path, value in mode.facts.items())
    text = facts or (f"as {mode.device}" if mode.device else "as stated below")
    origin = ", ".join(filter(None, (mode.source, mode.confidence, mode.note)))
    return f"operating_point={name}: {text}" + (f" ({origin})" if facts else "")


def _facts(machine: Machine) -> dict[str, Any]:
    """Return a mapping from path to fact: SI value, text, author, source, confidence and note."""
    facts: dict[str, Any] = {}
    for path, value in machine.facts.items():
        origin, dimension = machine.provenance[path], machine.dimension(path)
        facts[path] = {
            "value": value,
            "text": show_fact(path, value, dimension),
            "unit": units.DIMENSIONS[dimension].unit,
            **{n: getattr(origin, n) for n in ("writer", "source", "confidence", "note")},
        }
    return facts


def _sources(machine: Machine) -> dict[str, Source]:
    """Return the documents of the device, and of the tables that supply its default facts."""
    sources = dict(machine.device.sources)
    for origin in machine.provenance.values():
        for key, source in cited(origin.writer, origin.source).items():
            sources.setdefault(key, source)
    return sources


def diff_devices(
    a: str | Path | Device,
    b: str | Path | Device,
    *,
    runtime: str | Path | Runtime | None = None,
) -> LibraryAnswer:
    """Return the facts in which two devices differ.

    Parameters
    ----------
    a, b
        A device of the library, or a path to a spec file.
    runtime
        Runtime of both devices. By default each device's own.

    Raises
    ------
    InputError
        Unknown names, and every fault of the files.

    Examples
    --------
    >>> diff_devices("a100", "a100").headline
    'no fact differs'
    """
    faults = gathered()
    both = [faults.trying(devices.hardware, device) for device in (a, b)]
    used = None if runtime is None else faults.trying(devices.runtime, runtime)
    faults.settle()
    first, second = (Machine(spec, used) for spec in both if spec is not None)
    table = fact_differences(first, second)
    count = f"{len(table)} facts differ" if table else "no fact differs"
    body = as_text(table, rows=len(table)) if table else ""
    return LibraryAnswer(count, table.to_records(), body, table)


def show_workload(workload: WorkloadLike, *, set: Mapping[str, Any] | None = None) -> LibraryAnswer:
    """Return parameters, multiply-accumulates, free dimensions and operators of a model.

    Parameters
    ----------
    workload
        As for `predict`.
    set
        Parameters of the workload: batch=8, phase=prefill, height=320.

    Raises
    ------
    InputError
        Every fault of the file and of the settings.

    Examples
    --------
    >>> show_workload("resnet18").data["parameters"]
    11689512.0
    """
    faults = gathered()
    model = faults.trying(workloads.find, workload, set or {})
    faults.settle()
    assert model is not None
    graph, table = model.graph(), operator_table(model)
    entry = None
    if isinstance(workload, str | Path) and not is_imported(str(workload)):
        entry = workloads.describe(workload)
    published = entry.published if entry else None
    by_kind: dict[str, float] = {}
    for row in table.rows():
        by_kind[row.kind] = by_kind.get(row.kind, 0.0) + row.total_macs
    data: dict[str, Any] = {
        "name": model.name,
        "title": entry.title if entry else "",
        "parameters": model.weights,
        "active_parameters": model.active_weights,
        "macs": model.macs,
        "unit": model.unit,
        "items": model.items(),
        "free": dict(model.parameters),
        "structure": entry.structure.model_dump(mode="json") if entry else None,
        "precision": model.precision,
        "predictable": not graph.schedulable_only,
        "published": published.model_dump(exclude_none=True) if published else None,
        "macs_by_kind": by_kind,
        "not_priced": list(graph.not_priced),
        "notes": list(model.notes),
        "operators": table.to_records(),
    }
    title = f"{model.name}: {data['title']}" if data["title"] else model.name
    body = "\n".join(_workload_lines(data))
    return LibraryAnswer(title, data, body, table, (), lambda: _yaml_of(model))


def operator_table(workload: Workload) -> Table:
    """Return the table of operators with their numbers of executions and their work."""
    rows = [
        {
            "block": block.name,
            "name": operator.name,
            "kind": operator.kind,
            "count": (count := float(workload.number(block.count))),
            "macs": (macs := float(workload.number(operator.macs))),
            "vector_ops": float(workload.number(operator.vector_ops)),
            "total_macs": count * macs,
        }
        for block in workload.graph().blocks
        for operator in block.operators
    ]
    names = ("block", "name", "kind", "count", "macs", "vector_ops", "total_macs")
    return Table({name: [row[name] for row in rows] for name in names})


def _workload_lines(data: Mapping[str, Any]) -> list[str]:
    """Return the counts of a model as lines."""
    free = ", ".join(f"{k}={v:g}" for k, v in data["free"].items()) or "none"
    lines = [
        f"  parameters       {data['parameters']:,.0f}",
        f"  active           {data['active_parameters']:,.0f} read by a run",
        f"  macs             {data['macs']:,.0f} a run",
        f"  a run yields     {data['items']:g} {data['unit']}",
        f"  free dimensions  {free}",
        f"  operators        {len(data['operators'])}",
    ]
    for kind, macs in sorted(data["macs_by_kind"].items(), key=lambda pair: -pair[1]):
        if macs:
            lines.append(f"    {kind:<14} {100 * macs / data['macs']:5.1f} % of the macs")
    published: Mapping[str, Any] = data["published"] or {}
    for key, ours in (("params", data["parameters"]), ("macs", data["macs"])):
        if key in published:
            off = 100 * (ours / published[key] - 1)
            lines.append(f"  published {key:<6} {published[key]:,.0f} ({off:+.2f} %)")
    lines += [f"  ! not priced: {text}" for text in data["not_priced"]]
    lines += [f"  note: {text}" for text in data["notes"]]
    return lines + (
        [] if data["predictable"] else ["  holds sizes only: can be scheduled, not predicted"]
    )


def _yaml_of(workload: Workload) -> str:
    """Return a workload of a model family in the file format of the library."""
    build = workload._build  # pyright: ignore[reportPrivateUsage]
    if not isinstance(build, StructureBuild):
        raise input_error(
            f"'{workload.name}' is a graph of its own, of no family",
            file="-o",
            expected="a .json, .csv or .parquet file",
        )
    structure = build.structure
    name = re.sub(r"[^a-z0-9_]+", "_", workload.name.lower()).strip("_") or "model"
    data: dict[str, Any] = {
        "schema_version": 1,
        "name": name,
        "family": build.family.name,
        "structure": structure_as_written(structure)
        if isinstance(structure, TemplateStructure)
        else structure.model_dump(mode="json", exclude_defaults=True),
        "parameters": {k: float(v) for k, v in workload.parameters.items()},
    }
    if workload.precision:
        data["precision"] = workload.precision
    return yaml.safe_dump(data, sort_keys=False, width=100)


def show_format(name: str) -> LibraryAnswer:
    """Return what a format or precision stores and computes.

    Parameters
    ----------
    name
        A format (q4_k_m) or a precision (w4a16kv8).

    Raises
    ------
    InputError
        It is neither.

    Examples
    --------
    >>> show_format("int4g128").data["bits"]
    4.15625
    """
    one = find(name.strip().lower())
    data = _described(as_precision(name)) if one is None else _format_data(one)
    lines: list[str] = []
    for key, value in data.items():
        if isinstance(value, dict):
            parts: dict[str, Any] = data[key]
            lines.append(f"{key}:")
            lines += [f"  {part:<13} {_bits(parts[part])}" for part in parts]
        elif value not in ("", 0):
            lines.append(f"{key:<15} {value}")
    return LibraryAnswer(lines[0], data, "\n".join(lines[1:]))


def _bits(of: Any) -> Any:
    """Return the bits of a part of a format; other values unchanged."""
    return cast("dict[str, Any]", of).get("bits", of) if isinstance(of, dict) else of


def _format_data(each: Format) -> dict[str, Any]:
    """Return the facts of a format, ready for JSON."""
    mixture = {
        tag: {"bits": float(each.bits_of(tag)), "of": {part.name: share for share, part in parts}}
        for tag, parts in each.overrides
    }
    return format_row(each) | {"mixture": mixture, "source": each.source, "note": each.note}


def _described(precision: Precision) -> dict[str, Any]:
    """Return the formats by role, and the operand formats of the multipliers."""
    weights = _format_data(precision.weights)
    if precision.sparsity is not None:
        weights |= {
            "bits": float(precision.bits("weight")),
            "sparsity": precision.sparsity.pattern,
            "density": precision.sparsity.density,
        }
    return {
        "name": str(precision),
        "weights": weights,
        "activations": _format_data(precision.activations),
        "kv": _format_data(precision.kv),
        "compute": compute_format(precision.weights, precision.activations),
    }


def show_schema(kind: SpecKind = "device") -> LibraryAnswer:
    """Return the JSON Schema of spec files.

    Parameters
    ----------
    kind
        Type of the spec files: device, runtime or system.

    Raises
    ------
    InputError
        There are no such files.

    Examples
    --------
    >>> show_schema("device").data["required"]
    ['name']
    """
    from perfmodel.hardware.schema import json_schema

    kinds = get_args(SpecKind)
    if kind not in kinds:
        raise InputError(no_such(f"there is no schema of '{kind}'", kind, kinds, "kind"))
    return LibraryAnswer(f"JSON Schema of a {kind}", json_schema(kind))
