"""``perfmodel cite``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perfmodel.api.predictions import cite as find
from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.common import say, scalars, to_json
from perfmodel.cli.words import DeviceSpec, ModelFile
from perfmodel.errors import Fault
from perfmodel.predict import predict
from perfmodel.resolve import resolve
from perfmodel.settings import FaultList


def cite(
    workload: ModelFile,
    device: DeviceSpec,
    /,
    *,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    warm: bool = False,
    bibtex: bool = False,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Name the documents that a prediction rests on: equations, facts, constants, network.

    Parameters
    ----------
    workload
        A model of the library, or a path to a model file.
    device
        A device of the library, or a path to a spec file.
    set
        NAME=VALUE, as for `perfmodel predict`.
    precision
        Formats of weights, activations and KV cache.
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device; by default the runtime's.
    model
        Kind of cost model; "roofline" is the bare roofline.
    warm
        Weights stay in the nearest memory that holds everything, from one run to the next.
    bibtex
        Print BibTeX.
    json
        Print JSON.
    output
        Write to a file what would be printed: .txt, .json or .bib, which decides the form.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, (".txt", ".json", ".bib")))
    if bibtex and json:
        faults.append(Fault("--bibtex and --json exclude each other", expected="one of them"))
    subject = resolve(workload, device, precision, runtime, settings, engine=engine, model=model,
                      faults=faults)  # fmt: skip
    found = find(predict(
        subject.workload, subject.device, precision=subject.precision, runtime=subject.runtime,
        engine=subject.engine, model=subject.model, warm=warm,
    ))  # fmt: skip
    form = output.suffix if output is not None else ""
    if bibtex or form == ".bib":
        text = found.bibtex()
    elif json or form == ".json":
        text = to_json(found.to_dict())
    else:
        text = f"{found}\n"
    if output is not None:
        write_text(output, text)
    else:
        say(text.removesuffix("\n"))
    return DONE
