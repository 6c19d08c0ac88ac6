"""``perfmodel request``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.axes import parse_axis
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import Count, named_options, print_json, say, scalars, write_result
from perfmodel.cli.words import DeviceSpec, LanguageModel
from perfmodel.errors import Fault
from perfmodel.settings import FaultList
from perfmodel.system.request import Request
from perfmodel.system.request import request as run
from perfmodel.table.text import as_text

_SUFFIXES = (".json", ".csv", ".parquet", ".txt")
_AXES = ("prompt", "generate", "batch")


def request(
    model: LanguageModel,
    device: DeviceSpec,
    /,
    *,
    prompt: str = "1024",
    generate: str = "256",
    batch: str = "1",
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    explain: bool = False,
    rows: Count = 4,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Predict a whole request to a language model: prefill, then decode over the growing context.

    Parameters
    ----------
    model
        A model of the library, or a path to a model file.
    device
        A device of the library, or a path to a spec file.
    prompt
        Tokens in; a list or range (512,2048 or 2**9..2**12) asks for each.
    generate
        Tokens out; lists as for the prompt, in every combination.
    batch
        Sequences that run together; lists as for the prompt.
    set
        NAME=VALUE, as often as needed: facts of the device, fields of the structure.
    precision
        Formats of weights, activations and KV cache; of a .gguf the weights are as the file says.
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device; by default the runtime's.
    explain
        Show how the parts add up, and the kernels of both phases.
    rows
        How many kernels --explain opens in each phase; 4 by default.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv and .parquet one row a question.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    values: dict[str, tuple[float, ...]] = {}
    for name, text in zip(_AXES, (prompt, generate, batch), strict=True):
        axis = faults.trying(parse_axis, name, text, "", f"--{name}")
        if axis is None or not axis.is_number or axis.spread is not None:
            if axis is not None:
                faults.append(Fault(f"'{text}' is no list of numbers", file=f"--{name}",
                                    expected="whole numbers, such as 512,2048"))  # fmt: skip
        else:
            values[name] = tuple(float(v) for v in axis.values)
    single = all(len(v) == 1 for v in values.values())
    grid = np.meshgrid(*(values.get(n, (1.0,)) for n in _AXES), indexing="ij")
    sizes = [v.reshape(-1)[0].item() if single else v.reshape(-1) for v in grid]
    if explain and not single:
        faults.append(Fault("shows the arithmetic of one request", file="--explain",
                            expected="one prompt, generate and batch"))  # fmt: skip
    with named_options({name: f"--{name}" for name in _AXES}):
        found = faults.trying(
            run, model, device, prompt=sizes[0], generate=sizes[1], batch=sizes[2],
            precision=precision, runtime=runtime, engine=engine, set=settings,
        )  # fmt: skip
        faults.settle()
    assert found is not None
    text = found.explain(rows) if explain else _text(found)
    if output is not None:
        write_result(output, found, text=text)
    if json:
        print_json(found.to_dict() | ({"explain": text} if explain else {}))
    elif output is None:
        say(text)
    return DONE if np.any(found.feasible) else INFEASIBLE


def _text(found: Request) -> str:
    if not found.shape:
        return repr(found)
    return "\n".join([as_text(found.table, 1000), *(f"note: {note}" for note in found.notes)])
