"""``perfmodel workload list|show|check|import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import BAD_INPUT, DONE
from perfmodel.cli.common import note, print_json, say, scalars, tag_faults, to_json
from perfmodel.cli.format import repr_all
from perfmodel.cli.words import ModelFile
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.settings import FaultList
from perfmodel.table import Table
from perfmodel.workload import library
from perfmodel.workload.importers.table import is_imported
from perfmodel.workload.library_counts import published_counts
from perfmodel.workload.workload import Workload

Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]


def list_workload(*, tag: str | None = None, published: bool = False, json: bool = False) -> int:
    """Names of the models.

    Parameters
    ----------
    tag
        Only those with this tag.
    published
        Only those whose counts others published: theirs beside ours.
    json
        Print JSON.
    """
    entries = [library.describe(name) for name in library.names()]
    FaultList(tag_faults(tag, (t for e in entries for t in e.tags), "workload")).settle()
    found = [e for e in entries if tag is None or tag in e.tags]
    if published:
        counts = [row for e in found for row in published_counts(e)]
        if json:
            print_json(counts)
        elif counts:
            say(_beside(counts))
        return DONE
    if json:
        print_json([
            {"name": e.name, "title": e.title, "tags": e.tags, "aliases": e.aliases,
             "family": e.family.name, "free": dict(e.parameters)}
            for e in found
        ])  # fmt: skip
    elif found:
        say(repr_all(Table({
            "name": [e.name for e in found],
            "title": [e.title for e in found],
            "tags": [" ".join(e.tags) for e in found],
            "free": [", ".join(f"{k}={v:g}" for k, v in e.parameters.items()) for e in found],
        })))  # fmt: skip
    return DONE


def _beside(counts: list[dict[str, Any]]) -> str:
    """Counts as a text, and how far the differences go."""
    off = [abs(row["difference"]) for row in counts]
    exact, models = sum(not each for each in off), len({row["name"] for row in counts})
    told = (f"{len(counts)} counts of {models} models: {exact} met to the last digit, "
            f"the largest difference {100.0 * max(off):.2f} %")  # fmt: skip
    table = repr_all(Table({
        "name": [row["name"] for row in counts],
        "of": [row["of"] for row in counts],
        "ours": [f"{row['counted']:,.0f}" for row in counts],
        "published": [f"{row['published']:,.0f}" for row in counts],
        "difference": [f"{100.0 * row['difference']:+.2f} %" for row in counts],
        "by": [row["by"] for row in counts],
    }))  # fmt: skip
    return f"{table}\n{told}"


def show_workload(
    name: ModelFile,
    /,
    *,
    set: list[str] | None = None,
    operators: bool = False,
    json: bool = False,
    output: Output = None,
) -> int:
    """Parameters, multiply-accumulates, free dimensions and operators of a model.

    Parameters
    ----------
    name
        A model of the library, or a path to a model file.
    set
        NAME=VALUE, as often as needed: batch=8, phase=prefill, height=320.
    operators
        List the operators (JSON always does).
    json
        Print JSON.
    output
        Write the operators to a .csv or .parquet file, or everything to a .json file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, (".csv", ".parquet", ".json")))
    made = faults.trying(library.find, name, settings)
    faults.settle()
    assert made is not None
    data = described(made, name)
    _write(made, data, output)
    if json:
        print_json(data)
    elif output is None:
        _say(data)
        if operators:
            say("", repr_all(operator_table(made)))
    return DONE


def described(made: Workload, name: str) -> dict[str, Any]:
    """Counts, free dimensions and operators of a workload, ready for JSON."""
    graph = made.graph()
    library_entry = None
    if not is_imported(name):
        library_entry = library.describe(name)
    published = library_entry.published if library_entry else None
    by_kind: dict[str, float] = {}
    records = operator_table(made).to_records()
    for record in records:
        by_kind[record["kind"]] = by_kind.get(record["kind"], 0.0) + record["total_macs"]
    return {
        "name": made.name,
        "title": library_entry.title if library_entry else "",
        "parameters": made.weights,
        "active_parameters": made.active_weights,
        "macs": made.macs,
        "unit": made.unit,
        "items": made.items(),
        "free": dict(made.parameters),
        "structure": library_entry.structure.model_dump(mode="json") if library_entry else None,
        "precision": made.precision,
        "predictable": not graph.schedulable_only,
        "published": published.model_dump(exclude_none=True) if published else None,
        "macs_by_kind": by_kind,
        "not_priced": list(graph.not_priced),
        "notes": list(made.notes),
        "operators": records,
    }


def operator_table(made: Workload) -> Table:
    """One row an operator: block, name, kind, how often, multiply-accumulates, other work."""
    graph = made.graph()
    rows: list[dict[str, Any]] = []
    for block in graph.blocks:
        for operator in block.operators:
            count = float(made.number(block.count))
            macs = float(made.number(operator.macs))
            rows.append({
                "block": block.name,
                "name": operator.name,
                "kind": operator.kind,
                "count": count,
                "macs": macs,
                "vector_ops": float(made.number(operator.vector_ops)),
                "total_macs": count * macs,
            })  # fmt: skip
    names = ("block", "name", "kind", "count", "macs", "vector_ops", "total_macs")
    return Table({name: [row[name] for row in rows] for name in names})


def _say(data: dict[str, Any]) -> None:
    free = ", ".join(f"{k}={v:g}" for k, v in data["free"].items()) or "none"
    say(
        f"{data['name']}: {data['title']}" if data["title"] else data["name"],
        f"  parameters       {data['parameters']:,.0f}",
        f"  active           {data['active_parameters']:,.0f} read by a run",
        f"  macs             {data['macs']:,.0f} a run",
        f"  a run yields     {data['items']:g} {data['unit']}",
        f"  free dimensions  {free}",
        f"  operators        {len(data['operators'])}",
    )
    for kind, macs in sorted(data["macs_by_kind"].items(), key=lambda pair: -pair[1]):
        if macs:
            say(f"    {kind:<14} {100 * macs / data['macs']:5.1f} % of the macs")
    published: dict[str, Any] = data["published"] or {}
    for key, ours in (("params", data["parameters"]), ("macs", data["macs"])):
        if key in published:
            off = 100 * (ours / published[key] - 1)
            say(f"  published {key:<6} {published[key]:,.0f} ({off:+.2f} %)")
    for text in data["not_priced"]:
        say(f"  ! not priced: {text}")
    for text in data["notes"]:
        say(f"  note: {text}")
    if not data["predictable"]:
        say("  holds sizes only: can be scheduled, not predicted")


def _write(made: Workload, data: dict[str, Any], output: Path | None) -> None:
    if output is None:
        return
    if output.suffix == ".csv":
        operator_table(made).to_csv(output)
    elif output.suffix == ".parquet":
        operator_table(made).to_parquet(output)
    else:
        write_text(output, to_json(data))


def check_workload(*files: str, set: list[str] | None = None, json: bool = False) -> int:
    """Read model files and name every fault.

    Parameters
    ----------
    files
        Paths, or names of the library; the whole library where none is given.
    set
        NAME=VALUE for all of them.
    json
        Print JSON.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.settle()
    results: list[dict[str, Any]] = []
    found: list[Fault] = []
    for name in files or library.names():
        try:
            made = library.find(name, settings)
            graph = made.graph()
            results.append({
                "name": name, "ok": True, "faults": [], "parameters": made.weights,
                "macs": made.macs, "not_priced": list(graph.not_priced),
            })  # fmt: skip
        except InputError as error:
            found += error.faults
            results.append({"name": name, "ok": False, "faults": [str(f) for f in error.faults]})
    if json:
        print_json(results)
    else:
        for r in results:
            if r["ok"]:
                unpriced = len(r["not_priced"])
                extra = f", {unpriced} operators not priced" if unpriced else ""
                say(f"{r['name']}: {r['parameters']:,.0f} parameters, {r['macs']:,.0f} macs{extra}")
    note(*(f"error: {fault}" for fault in found))
    return BAD_INPUT if found else DONE


def import_workload(
    file: ModelFile,
    /,
    *,
    set: list[str] | None = None,
    json: bool = False,
    output: Output = None,
) -> int:
    """Read a model file and write what was understood of it.

    Parameters
    ----------
    file
        A model of the library, or a path to a model file.
    set
        NAME=VALUE, as often as needed: height=320.
    json
        Print JSON.
    output
        .yaml: a workload file of the library's form (for models of a known family); .csv or
        .parquet: one row an operator; .json: everything.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, (".yaml", ".csv", ".parquet", ".json")))
    made = faults.trying(library.find, file, settings)
    text = ""
    if made is not None and output is not None and output.suffix == ".yaml":
        text = faults.trying(as_yaml, made) or ""
    faults.settle()
    assert made is not None
    data = described(made, file)
    if text and output is not None:
        write_text(output, text)
    else:
        _write(made, data, output)
    if json:
        print_json(data)
    else:
        _say(data)
    return DONE


def as_yaml(made: Workload) -> str:
    """A workload of a family as a file of the library's form."""
    import re

    import yaml

    from perfmodel.workload.workload import StructureBuild

    build = made._build  # pyright: ignore[reportPrivateUsage]
    if not isinstance(build, StructureBuild):
        raise input_error(
            f"'{made.name}' is a graph of its own, of no family",
            file="-o",
            expected="a .json, .csv or .parquet file",
        )
    name = re.sub(r"[^a-z0-9_]+", "_", made.name.lower()).strip("_") or "model"
    data = {
        "schema_version": 1,
        "name": name,
        "family": build.family.name,
        "structure": build.structure.model_dump(mode="json", exclude_defaults=True),
        "parameters": {k: float(v) for k, v in made.parameters.items()},
    }
    if made.precision:
        data["precision"] = made.precision
    return yaml.safe_dump(data, sort_keys=False, width=100)
