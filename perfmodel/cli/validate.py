"""``perfmodel validate``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.common import note, print_json, say, to_json
from perfmodel.settings import FaultList

__all__ = ["validate"]


def validate(
    *names: str,
    data: Path | None = None,
    suffix: str = "",
    devices: Path | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Compare predictions with measured rows.

    Rows that are off are a report, not a failure: the exit code is 0.

    Parameters
    ----------
    names
        Data sets (llamacpp_apple_4167, cpu_zen4), or .csv files of your own; all where none is
        given.
    data
        Folder of the data sets; by default PERFMODEL_DATA, else ../shared/data.
    suffix
        Take the files with this suffix, such as _heldout.
    devices
        Folder of more device specs.
    json
        Print JSON.
    output
        Write the JSON to a file.
    """
    faults = FaultList()
    if output is not None:
        faults.extend(output_faults(output, (".json",)))
    faults.settle()
    module: Any = import_module("perfmodel.validate")
    found: list[dict[str, Any]] = module.run_validate(list(names) or None, data, suffix, devices)
    if output is not None:
        write_text(output, to_json(found))
    if json:
        print_json(found)
    elif output is None:
        for result in found:
            say(*_lines(result))
    if not found:
        note("no data set was found")
    return DONE


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['name']}: {result['rows']} rows, {100 * result['coverage']:.3g} % predicted"]
    for target, error in result["targets"].items():
        parts = [
            f"MAPE {_percent(error.get('mape'))}",
            f"median {_percent(error.get('median_ape'))}",
            f"bias {_percent(error.get('bias'))}",
            f"within 10 %: {_percent(error.get('within_10'))}",
        ]
        if error.get("spearman") is not None:
            parts.append(f"Spearman {error['spearman']:.3f}")
        lines.append(f"  {target:<12} " + ", ".join(parts))
    by_device: dict[str, Any] = result.get("by_device") or {}
    for device, error in by_device.items():
        inner: Any = error
        text = _percent(inner.get("mape") if isinstance(error, dict) else inner)
        lines.append(f"    {device:<24} MAPE {text}")
    return lines


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.3g} %"
