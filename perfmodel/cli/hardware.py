"""``perfmodel hardware list|show|check|diff|schema``; `new` and `near` have a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from perfmodel import units
from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import BAD_INPUT, DONE
from perfmodel.cli.common import note, print_json, say, tag_faults, to_json
from perfmodel.cli.format import repr_all
from perfmodel.cli.hardware_new import near_hardware, new_hardware
from perfmodel.differences import fact_differences, show_fact
from perfmodel.errors import Fault, InputError
from perfmodel.hardware import library
from perfmodel.hardware.device import Device, Source
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.hardware.technology.tables import cited
from perfmodel.settings import FaultList
from perfmodel.specfile import read
from perfmodel.table import Table

__all__ = [
    "check_hardware",
    "diff_hardware",
    "list_hardware",
    "near_hardware",
    "new_hardware",
    "schema_hardware",
    "show_hardware",
]


def list_hardware(*, tag: str | None = None, runtimes: bool = False, json: bool = False) -> int:
    """Names of the devices (or runtimes), with their tags.

    Parameters
    ----------
    tag
        Only those with this tag.
    runtimes
        List runtimes instead of devices.
    json
        Print JSON.
    """
    room: library.Room = "runtimes" if runtimes else "devices"
    tags = [each for e in library.entries(room).values() for each in e.tags]
    FaultList(tag_faults(tag, tags, room.removesuffix("s"))).settle()
    found = [e for e in library.entries(room).values() if tag is None or tag in e.tags]
    found.sort(key=lambda entry: entry.name)
    if json:
        print_json([
            {"name": e.name, "title": e.title, "tags": e.tags, "aliases": e.aliases} for e in found
        ])  # fmt: skip
        return DONE
    if found:
        say(repr_all(Table({
            "name": [e.name for e in found],
            "title": [e.title for e in found],
            "tags": [" ".join(e.tags) for e in found],
        })))  # fmt: skip
    return DONE


def show_hardware(
    name: str,
    /,
    *,
    runtime: str | None = None,
    yaml: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """What the library knows of a device, with the source of every number.

    Parameters
    ----------
    name
        A device (or runtime) of the library, or a path to a spec file.
    runtime
        Runtime whose facts are shown beside the device's; by default the device's own.
    yaml
        Print the spec as a file that `check` accepts.
    json
        Print JSON.
    output
        Write to a file what would be printed.
    """
    faults = FaultList()
    faults.extend(output_faults(output))
    if yaml and json:
        faults.append(Fault("--yaml and --json exclude each other", expected="one of them"))
    spec = faults.trying(_spec, name)
    used = faults.trying(library.runtime, runtime) if runtime is not None else None
    faults.settle()
    assert spec is not None
    if yaml:
        text = spec.to_yaml()
    elif json:
        text = to_json(_shown(spec, used))
    else:
        text = _text(spec, used)
    if output is not None:
        write_text(output, text)
    else:
        say(text.removesuffix("\n"))
    return DONE


def _spec(name: str) -> Device | Runtime:
    """A device by name or path; else a runtime."""
    if name in library.entries("runtimes") and name not in library.entries("devices"):
        return library.runtime(name)
    if Path(name).suffix in (".yaml", ".yml", ".json"):
        return library.check(name)
    return library.hardware(name)


def _shown(spec: Device | Runtime, runtime: Runtime | None) -> dict[str, Any]:
    head: dict[str, Any] = {
        "name": spec.name,
        "title": spec.title,
        "aliases": spec.aliases,
        "tags": spec.tags,
        "hash": spec.content_hash,
        "sources": {key: s.model_dump(exclude_none=True) for key, s in spec.sources.items()},
    }
    if isinstance(spec, Runtime):
        return head | {"spec": spec.model_dump(mode="json", exclude_defaults=True)}
    machine = Machine(spec, runtime)
    grade = spec.grade()
    return head | {
        "runtime": machine.runtime.name,
        "engine": machine.engine,
        "main_memory": machine.main_memory,
        "overlap": spec.overlap,
        "power_boundary": spec.power.boundary if spec.power else None,
        "grade": {"letter": grade.letter, "score": grade.score, "advice": grade.advice},
        "facts": facts_with_provenance(machine),
        "sources": {k: s.model_dump(exclude_none=True) for k, s in _sources(machine).items()},
    }


def facts_with_provenance(machine: Machine) -> dict[str, Any]:
    """Fact by path: value in SI, as text, writer, source, confidence and note."""
    found: dict[str, Any] = {}
    for path, value in machine.facts.items():
        origin = machine.provenance[path]
        dimension = machine.dimension(path)
        found[path] = {
            "value": value,
            "text": show_fact(path, value, dimension),
            "unit": units.DIMENSIONS[dimension].unit,
            "writer": origin.writer,
            "source": origin.source,
            "confidence": origin.confidence,
            "note": origin.note,
        }
    return found


def _text(spec: Device | Runtime, runtime: Runtime | None) -> str:
    title = f"{spec.name}: {spec.title}" if spec.title else spec.name
    lines = [title]
    if spec.tags:
        lines.append("tags: " + ", ".join(spec.tags))
    if spec.note:
        lines.append(spec.note.strip())
    if isinstance(spec, Runtime):
        return "\n".join([*lines, "", spec.to_yaml()])
    machine = Machine(spec, runtime)
    path_of = " <- ".join(m.name for m in machine.hierarchy())
    lines += [
        f"engine {machine.engine} <- {path_of}; main memory {machine.main_memory}",
        f"runtime {machine.runtime.name}",
        f"grade {spec.grade()}",
        "",
    ]
    facts = facts_with_provenance(machine)
    shown = {p: f for p, f in facts.items() if f["writer"] != "default"}
    table = Table({
        "fact": list(shown),
        "value": [f["text"] for f in shown.values()],
        "confidence": [f["confidence"] or "" for f in shown.values()],
        "source": [f["source"] or "" for f in shown.values()],
        "writer": [f["writer"] for f in shown.values()],
    })  # fmt: skip
    lines.append(repr_all(table))
    sources = _sources(machine)
    if sources:
        lines += ["", "sources:"]
        lines += [
            f"  {key}: " + ", ".join(str(part) for part in
                                     (s.title, s.publisher, s.year, s.url) if part)
            for key, s in sources.items()
        ]  # fmt: skip
    return "\n".join(lines)


def _sources(machine: Machine) -> dict[str, Source]:
    """The device's own documents, and those of the tables that filled facts in."""
    found = dict(machine.device.sources)
    for origin in machine.provenance.values():
        for key, source in cited(origin.writer, origin.source).items():
            found.setdefault(key, source)
    return found


def check_hardware(*specs: str, json: bool = False) -> int:
    """Read spec files, name every fault, and grade what is left.

    Parameters
    ----------
    specs
        Paths, or names of the library; the whole library where none is given.
    json
        Print JSON.
    """
    wanted = specs or tuple(library.names("devices")) + tuple(library.names("runtimes"))
    results: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for name in wanted:
        try:
            results.append(_checked(name))
            faults += results[-1].pop("_faults")
        except InputError as error:
            faults += error.faults
            results.append({"name": name, "ok": False, "faults": [str(f) for f in error.faults]})
    if json:
        print_json(results)
    else:
        for r in results:
            if r["ok"]:
                letter = f"{r['grade']} ({r['score']:.2f})" if "grade" in r else r["kind"]
                say(f"{r['name']}: {letter}  {r.get('advice', '')}".rstrip())
    note(*(f"error: {fault}" for fault in faults))
    return BAD_INPUT if faults else DONE


def _is_system(name: str) -> bool:
    """Whether a spec file is of two devices and a link."""
    if Path(name).suffix not in (".yaml", ".yml", ".json"):
        return False
    keys = read(Path(name))[1].root.children
    return "server" in keys and "engines" not in keys


def _checked(name: str) -> dict[str, Any]:
    if _is_system(name):
        library.system(name)
        return {"name": name, "ok": True, "kind": "system", "faults": [], "_faults": []}
    spec = _spec(name)
    # A grade names a place only where the numbers stand in the file itself.
    file = name if Path(name).suffix else spec.name
    if isinstance(spec, Runtime):
        return {"name": name, "ok": True, "kind": "runtime", "faults": [], "_faults": []}
    from perfmodel.hardware.grade import grade

    found = grade(spec, file)
    return {
        "name": name,
        "ok": not found.faults,
        "kind": "device",
        "grade": found.letter,
        "score": found.score,
        "counts": found.counts,
        "missing": found.missing,
        "advice": found.advice,
        "faults": [str(f) for f in found.faults],
        "_faults": list(found.faults),
    }


def diff_hardware(a: str, b: str, /, *, runtime: str | None = None, json: bool = False) -> int:
    """Facts in which two devices differ.

    Parameters
    ----------
    a, b
        Devices: names or paths.
    runtime
        Runtime of both; by default each device's own.
    json
        Print JSON.
    """
    faults = FaultList()
    first, second = faults.trying(library.hardware, a), faults.trying(library.hardware, b)
    used = faults.trying(library.runtime, runtime) if runtime is not None else None
    faults.settle()
    assert first is not None
    assert second is not None
    table = fact_differences(Machine(first, used), Machine(second, used))
    if json:
        print_json(table.to_records())
    else:
        say(repr_all(table) if table else "no fact differs")
    return DONE


def schema_hardware(kind: Literal["device", "runtime", "system"] = "device", /) -> int:
    """JSON Schema of spec files.

    Parameters
    ----------
    kind
        What the files describe.
    """
    from perfmodel.hardware.schema import json_schema

    print_json(json_schema(kind))
    return DONE
