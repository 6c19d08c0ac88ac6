"""``perfmodel reproduce``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.common import print_json, say, to_json
from perfmodel.settings import FaultList


def reproduce(
    *names: str,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Predict what published systems claim, one row a claim.

    Claims that are off are a report, not a failure: the exit code is 0.

    Parameters
    ----------
    names
        Systems, such as cambricon_llm or eyeriss; all where none is given.
    json
        Print JSON: a list of claims.
    output
        Write the JSON to a file.
    """
    faults = FaultList()
    faults.extend(output_faults(output, (".json",)))
    faults.settle()
    module: Any = import_module("perfmodel.evaluate")
    results = module.reproduce(list(names) or None)
    found: list[dict[str, Any]] = [result.to_dict() for result in results]
    if output is not None:
        write_text(output, to_json(found))
    if json:
        print_json(found)
    elif output is None:
        say(*module.lines(results))
    return DONE
