"""``perfmodel compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.common import Count, print_json, say, scalars, to_json
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.cli.words import DeviceSpec, ModelFile
from perfmodel.compare import Comparison
from perfmodel.compare import compare as run
from perfmodel.errors import Fault
from perfmodel.settings import FaultList
from perfmodel.table.text import as_text


def compare(
    workload: ModelFile,
    device_a: DeviceSpec,
    device_b: DeviceSpec,
    /,
    *,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    model: str | None = None,
    warm: bool = False,
    layers: bool = False,
    rows: Count | None = None,
    bounds: bool = False,
    report: Path | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Say what differs between two devices on a workload, and why.

    Parameters
    ----------
    workload
        A model of the library, or a path.
    device_a, device_b
        Devices of the library, or paths; the same one twice compares precisions or runtimes.
    set
        NAME=VALUE for both, as often as needed.
    precision
        Of both; two separated by ":" give each its own: w16a16:w4a16.
    runtime
        Of both; two separated by ":" give each its own.
    model
        Kind of cost model; "roofline" is the bare roofline.
    warm
        Weights stay in the nearest memory that holds everything.
    layers
        Layer by layer: what each takes on both, largest difference first, and nothing else.
    rows
        How many kernels (or layers) to show; by default 10 kernels, or all layers.
    bounds
        Let a bound (--runtime A:ideal) be faster than a prediction.
    report
        Write the answer as one HTML file that needs nothing else.
    json
        Print JSON.
    output
        Write the result to a file: .json, or .csv and .parquet with one row a kernel (with
        --layers a layer), or .txt.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, (".json", ".csv", ".parquet", ".txt")))
    faults.extend(report_faults(report))
    pair = {"precision": _pair("precision", precision, faults),
            "runtime": _pair("runtime", runtime, faults)}  # fmt: skip
    found = faults.trying(
        run,
        workload,
        device_a,
        device_b,
        set=settings,
        model=model,
        warm=warm,
        bounds=bounds,
        **pair,
    )
    faults.settle()
    assert found is not None
    text = _layers_text(found, rows) if layers else _text(found, 10 if rows is None else rows)
    write_report(report, "comparison", found)
    if output is not None:
        if output.suffix in (".csv", ".parquet"):
            getattr(found.layers if layers else found.table, f"to_{output.suffix[1:]}")(output)
        else:
            write_text(output, to_json(found.to_dict()) if output.suffix == ".json" else text)
    if json:
        print_json(found.to_dict())
    elif output is None:
        say(text)
    return DONE


def _pair(name: str, text: str | None, faults: FaultList) -> str | tuple[str, ...] | None:
    if text is None or ":" not in text:
        return text
    if "+" in text and text.count(":") == 1:
        return text  # w8a8+2:4 is one precision, of sparse weights
    parts = tuple(part.strip() for part in text.split(":"))
    if len(parts) != 2 or not all(parts):
        faults.append(Fault(f"'{text}' is no pair", file=f"--{name}", expected="A or A:B"))
        return None
    return parts


def _text(found: Comparison, rows: Count) -> str:
    facts, more = found.used_facts, len(found.facts) - len(found.used_facts)
    return "\n".join(
        [
            f"a: {_side(found, 'a')}",
            f"b: {_side(found, 'b')}",
            "",
            *found.sentences,
            "",
            as_text(found.metrics, rows=40),
            "",
            as_text(found.table, rows=rows),
            "",
            f"facts that differ and matter here (of {more + len(facts)} that differ):",
            as_text(facts, rows=60) if facts else "none",
        ]
    )


def _layers_text(found: Comparison, rows: int | None) -> str:
    table = found.layers
    return "\n".join(
        [
            f"a: {_side(found, 'a')}",
            f"b: {_side(found, 'b')}",
            "",
            found.reasons[0],
            *found.spreads,
            "",
            as_text(table, rows=len(table) if rows is None else rows),
        ]
    )


def _side(found: Comparison, name: str) -> str:
    each = getattr(found, name)
    return repr(each).splitlines()[0]
