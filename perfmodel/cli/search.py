"""``perfmodel search``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import outcome
from perfmodel.cli.common import Whole, fact_value, note, print_json, say, scalars, to_json
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.search.declared import SearchProblem
from perfmodel.search.problem_file import load
from perfmodel.search.result import SearchResult
from perfmodel.search.sources import parse_source
from perfmodel.search.text import front_text, relief_lines
from perfmodel.settings import FaultList, is_fact, plain_value

_SUFFIXES: Final = (".json", ".csv", ".parquet", ".txt")
_OPTIONS: Final = {
    "choices": "--choice", "constraints": "--constraint", "objective": "--objective",
    "accuracy": "--accuracy", "share": "--share", "precision": "--precision",
    "runtime": "--runtime", "engine": "--engine", "method": "--method", "seconds": "--seconds",
    "evaluations": "--evaluations", "seed": "--seed", "settings": "--set", "workload": "",
    "device": "",
}  # fmt: skip
_HEAD: Final = re.compile(r"(\w+)(?:\[\d+\])?(?:\.|$)")


def search(
    workload: str,
    device: str | None = None,
    /,
    *,
    choice: list[str] | None = None,
    constraint: list[str] | None = None,
    objective: str | None = None,
    accuracy: str | None = None,
    calibration: Path | None = None,
    share: str | None = None,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    method: str | None = None,
    seconds: float | None = None,
    evaluations: Whole | None = None,
    seed: Whole | None = None,
    front: bool = False,
    relief: bool = False,
    report: Path | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    plot: Path | None = None,
) -> int:
    """Find the formats, sparsity, widths, or architecture that are best under limits.

    Parameters
    ----------
    workload
        A model of the library, a path, or a space of architectures (nas_bench_201, fbnet,
        ofa_mobilenet_v3, mcunet). Without a device: a .yaml or .json file with the whole problem.
    device
        A device of the library, or a path to a spec file.
    choice
        What is decided: weight_bits=2,4,8 or sparsity=0,2:4 or channels=1,0.75 or
        memories.main.bandwidth="25 GB/s,50 GB/s"; for some layers alone
        "weight_bits:layer1.*=4,8" or "weight_bits:kind:depthwise=8", of which the last that fits
        holds. As often as needed.
    constraint
        "latency_s <= 5 ms", "peak_memory_bytes <= 512 KiB", "frames_per_s >= 30", as often as
        needed.
    objective
        What is to be small: a metric, or accuracy_drop; by default that where there is a source of
        accuracy, else latency_s.
    accuracy
        sqnr[:WEIGHTS] (noise of real weights, .onnx or .safetensors), table:FILE (losses by layer
        and option; for architectures their accuracies), hawq:FILE (traces).
    calibration
        File of activations, for sqnr of activation formats.
    share
        Which layers decide together: layer (each by itself), block, kind or network.
    set
        NAME=VALUE for facts of the device and parameters of the workload, as often as needed.
    precision
        Formats of what is not decided.
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device to run on.
    method
        exact (tables, with a proof), exhaustive, evolve, or auto: the first of these that can.
    seconds
        Time limit, after which the best so far is the answer; 60 by default.
    evaluations
        Of evolution; 4000 by default.
    seed
        Of evolution; 0 by default.
    front
        Also find the front: the objective against the metric of the first constraint.
    relief
        Also say what 10 % more of each limit would change.
    report
        Write the answer as one HTML file that needs nothing else.
    json
        Print JSON.
    output
        Write the result to a .json or .txt file, or the configuration (with --front the front) to
        .csv or .parquet.
    plot
        Write the network under a strip of its bits, with --front above it the front, to an .html
        file.
    """
    since = monotonic()
    faults = FaultList()
    for path, suffixes, option in ((output, _SUFFIXES, "-o"), (plot, (".html",), "--plot")):
        faults.extend(output_faults(path, suffixes, option))
    faults.extend(report_faults(report))
    scalar: dict[str, Any] = {
        "method": method, "seconds": seconds, "evaluations": evaluations, "seed": seed,
    }  # fmt: skip
    scalar = {name: value for name, value in scalar.items() if value is not None}
    if front and device is not None and not constraint:
        faults.append(Fault("a front of what? there is no constraint to sweep", file="--front",
                            expected="a --constraint"))  # fmt: skip
    if device is None:
        stated: dict[str, Any] = {
            "--choice": choice, "--constraint": constraint, "--objective": objective,
            "--accuracy": accuracy, "--calibration": calibration, "--share": share, "--set": set,
            "--precision": precision, "--runtime": runtime, "--engine": engine,
        }  # fmt: skip
        problem = faults.trying(_declared, workload, stated, scalar)
    else:
        settings = scalars(set or (), faults)
        choices = read_choices(choice or (), faults)
        source = None
        if accuracy is not None:
            try:
                source = parse_source(accuracy, calibration)
            except InputError as error:
                faults.extend(map(_option, error.faults))
            # What is at fault in the source is told; that there is one, the rest may assume.
            source = source or _any_loss
        elif calibration is not None:
            faults.append(Fault("a calibration without accuracy", file="--calibration",
                                expected="--accuracy sqnr[:WEIGHTS]"))  # fmt: skip
        given: dict[str, Any] = {
            "share": share, "objective": objective, "precision": precision, "runtime": runtime,
            "engine": engine,
        }  # fmt: skip
        problem = SearchProblem(
            workload, device, settings, None if choice is None else choices,
            constraints=tuple(constraint or ()), accuracy=source, place=_option,
            **{name: value for name, value in given.items() if value is not None}, **scalar,
        )  # fmt: skip
    if problem is None:
        faults.settle()
    assert problem is not None
    return _told(problem.search(faults, since), front, relief, json, output, plot, report)


def _any_loss(choices: Any) -> Any:
    raise AssertionError(f"no loss of {choices}")


def _declared(
    file: str, stated: Mapping[str, Any], scalar: Mapping[str, Any]
) -> SearchProblem:  # fmt: skip
    """Return the problem of a file, with what the command line may say instead of it."""
    if not file.endswith((".yaml", ".yml", ".json")):
        raise input_error(
            "DEVICE is missing",
            file="perfmodel search",
            expected="a device, or the .yaml file of a problem alone",
        )
    names = [option for option, value in stated.items() if value is not None]
    try:
        problem = load(file, names)
    except InputError as error:
        raise InputError(
            [replace(f, file=f.path, path="") if f.path in names else f for f in error.faults]
        ) from None
    return replace(problem, **scalar, place=_Overridden(problem.place, scalar))


class _Overridden:
    """Places faults in the file, those of options that were given here at the options."""

    def __init__(self, inner: Any, scalar: Mapping[str, Any]) -> None:
        self.inner, self.scalar = inner, scalar

    def __call__(self, fault: Fault) -> Fault:
        return _option(fault) if fault.path in self.scalar else self.inner(fault)


def _option(fault: Fault) -> Fault:
    """Name the option in place of the field of the problem."""
    found = _HEAD.match(fault.path)
    if found is None or found[1] not in _OPTIONS:
        return fault
    rest = fault.path[found.end() :]
    return replace(fault, file=_OPTIONS[found[1]], path=rest)


def read_choices(items: Iterable[str], faults: FaultList) -> dict[str, Any]:
    """Read ``NAME=OPTIONS`` and ``NAME:PATTERN=OPTIONS``; options have commas between them."""
    found: dict[str, dict[str, list[Any]]] = {}
    for item in items:
        name, mark, text = (part.strip() for part in item.partition("="))
        word, part, pattern = (piece.strip() for piece in name.partition(":"))
        if not mark or not word or not text or (part and not pattern):
            faults.append(
                Fault(f"'{item}' decides nothing", file="--choice",
                      expected="NAME=OPTIONS or NAME:LAYERS=OPTIONS, such as weight_bits=2,4,8")
            )  # fmt: skip
            continue
        options = [option.strip() for option in text.split(",")]
        if not all(options):
            faults.append(Fault(f"'{text}' has an empty option", path=name, file="--choice",
                                expected="options with commas between"))  # fmt: skip
            continue
        values = [option if is_fact(word) else plain_value(option) for option in options]
        if is_fact(word):
            values = [fact_value(option) for option in options]
        own = found.setdefault(word, {})
        if pattern in own:
            faults.append(Fault(f"'{name}' is given twice", file="--choice",
                                expected="all options at once"))  # fmt: skip
        own[pattern] = values
    return {word: _merged(own) for word, own in found.items()}


def _merged(own: Mapping[str, list[Any]]) -> Any:
    """Return options, or patterns -> options: those of all layers first, as the last one holds."""
    if list(own) == [""]:
        return own[""]
    every = {"*": own[""]} if "" in own else {}
    return every | {pattern: options for pattern, options in own.items() if pattern}


def _told(
    found: SearchResult, front: bool, relief: bool, json: bool, output: Path | None,
    plot: Path | None, report: Path | None,
) -> int:  # fmt: skip
    """Ask what else was asked for, then write and print."""
    eased = found.relief() if relief else None
    table = found.front if front and found.feasible else None
    data = found.to_dict()
    text = str(found)
    if eased is not None:
        data["relief"] = eased = {k: v if abs(v) < float("inf") else None for k, v in eased.items()}
        text += "\n" + "\n".join(relief_lines(found, eased))
    if table is not None:
        data["front"] = table.to_records()
        text += "\n\n" + front_text(found, table)
    if plot is not None:
        if found.feasible:
            write_text(plot, found.plot.page(front=front))
        else:
            note(f"{plot} is not written: nothing satisfies the constraints")
    write_report(report, "search", found)
    if output is not None:
        _write(found, table, output, text, data)
    if json:
        print_json(data)
    elif output is None:
        say(text)
    return outcome(feasible=found.feasible, decided=found.decided)


def _write(
    found: SearchResult, table: Any, output: Path, text: str, data: Mapping[str, Any]
) -> None:  # fmt: skip
    if output.suffix == ".json":
        write_text(output, to_json(data))
    elif output.suffix == ".txt":
        write_text(output, text + "\n")
    elif not found.feasible:
        note(f"{output} is not written: nothing satisfies the constraints")
    else:
        rows = found.table if table is None else table
        (rows.to_csv if output.suffix == ".csv" else rows.to_parquet)(output)
