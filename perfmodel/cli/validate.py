"""``perfmodel validate``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.common import note, print_json, say, to_json
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.settings import FaultList


def validate(
    *names: str,
    data: Path | None = None,
    suffix: str = "",
    devices: Path | None = None,
    left_out: bool = False,
    nested: bool = False,
    skip_bad_rows: bool = False,
    trust: Path | None = None,
    evidence: Path | None = None,
    report: Path | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Compare predictions with measured rows.

    Rows that are off are a report, not a failure: the exit code is 0.

    Parameters
    ----------
    names
        Data sets (llamacpp_apple_4167, cpu_zen4, genz, flash_read), or .csv files of your own;
        those that the folder has where none is given.
    data
        Folder of the data sets; by default PERFMODEL_DATA, else ../shared/data.
    suffix
        Take the files with this suffix, such as _heldout.
    devices
        Folder of more device specs.
    left_out
        Refit fitted constants with each device left out, and report the errors on it.
    nested
        Leave devices out of every choice too: of constants held in refits, and of how hard each is
        pulled to its family's value. Implies --left-out.
    skip_bad_rows
        Leave out what a file has at fault, name it, and predict the rest.
    trust
        Write a page of all errors (Markdown), with published results beside measured rows.
    evidence
        Write what the rows say of runtimes (YAML): what intervals and bases rest on.
    report
        Write the answer as one HTML file that needs nothing else.
    json
        Print JSON.
    output
        Write the JSON to a file.
    """
    faults = FaultList()
    faults.extend(output_faults(output, (".json",)))
    faults.extend(output_faults(trust, (".md",), "--trust"))
    faults.extend(output_faults(evidence, (".yaml", ".yml"), "--evidence"))
    faults.extend(report_faults(report))
    faults.settle()
    module: Any = import_module("perfmodel.evaluate")
    results = module.validate(
        list(names) or None, data=data, suffix=suffix, devices=devices, left_out=left_out,
        nested=nested, skip_bad_rows=skip_bad_rows,
    )  # fmt: skip
    found: list[dict[str, Any]] = [result.to_dict() for result in results]
    if output is not None:
        write_text(output, to_json(found))
    known: Any = module.evidence_of(results) if trust or evidence else None
    if evidence is not None:
        write_text(evidence, known.to_yaml())
    if trust is not None:
        claims = module.reproduce()
        root = module.data_folder(data, suffix).root
        page = import_module("perfmodel.evaluate.trust").trust_page
        write_text(trust, page(results, claims, root, known))
    if results:
        write_report(report, "validation", results)
    if json:
        print_json(found)
    elif output is None and trust is None and evidence is None:
        for result in results:
            say(*result.lines())
    if not found:
        note("no data set was found")
    return DONE
