"""``perfmodel doctor --probe``: measure the host and write a device spec."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import DONE
from perfmodel.cli.printing import note, print_json, say
from perfmodel.errors import Fault, InputError
from perfmodel.settings import FaultList
from perfmodel.table.text import as_text

if TYPE_CHECKING:
    from perfmodel.calibrate.probe import HostFacts
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.runtime import Runtime
    from perfmodel.table import Table

#: Longer budgets do not improve the measurements.
_LONGEST_S = 3600.0
_SUFFIXES = (".yaml", ".yml")


def probe_host(
    output: Path | None,
    runtime_output: Path | None,
    *,
    force: bool,
    seconds: float,
    cores: int,
    json: bool,
) -> int:
    """Measure the host, compare it with the library, write its specs.

    Parameters
    ----------
    output, runtime_output
        Files for the device and for onnxruntime with its measured dispatch; optional.
    force
        Replace existing files.
    seconds
        Time budget in seconds.
    cores
        Cores of the resulting device.
    json
        Print the answer as JSON.
    """
    from perfmodel.calibrate.probe import identify, probe
    from perfmodel.calibrate.probe.device_spec import device_of
    from perfmodel.calibrate.probe.nearest import differences, nearest_device

    who = identify()
    onnxruntime = _onnxruntime()
    faults = _output_faults(output, runtime_output, force, onnxruntime)
    if not 0.0 < seconds <= _LONGEST_S:
        expected = f"seconds above zero, at most {_LONGEST_S:g}"
        faults.append(
            Fault(f"{seconds:g} is not a valid budget", file="--probe-seconds", expected=expected)
        )
    most = who.threads or 1024
    if not 0 < cores <= most:
        message = f"{cores} cores are not here"
        faults.append(Fault(message, file="--probe-cores", expected=f"1 to {most}"))
    faults.settle()
    if onnxruntime is None:
        note("onnxruntime is not installed: its dispatch is not measured")
    with _Progress() as progress:
        facts = probe(seconds, cores, identity=who, onnxruntime=onnxruntime, progress=progress.say)
    year = date.today().year
    device = device_of(facts, _name(output, "host"), year)
    software = _dispatching(facts, device, runtime_output, year)
    known = nearest_device(device)
    table = None if known is None else differences(known, device)
    if output is not None:
        write_text(output, device.to_yaml())
    if runtime_output is not None and software is not None:
        write_text(runtime_output, software.to_yaml())
    if json:
        print_json(
            {
                "host": who,
                "how": facts.how,
                "rounds": facts.rounds,
                "notes": [*who.notes, *facts.notes],
                "device": device.model_dump(mode="json", exclude_defaults=True),
                "runtime": software and software.model_dump(mode="json", exclude_defaults=True),
                "nearest": known and known.name,
                "differences": [] if table is None else [_plain(r) for r in table.to_records()],
            }
        )
        return DONE
    say(f"{device.title}", device.note or "", "")
    _say_differences(known, table)
    if output is not None:
        note(f"written: {output}; perfmodel predict WORKLOAD {output}")
    else:
        note("nothing is written; -o FILE.yaml keeps the device")
    return DONE


def _dispatching(
    facts: HostFacts, device: Device, output: Path | None, year: int
) -> Runtime | None:
    """Return onnxruntime with its measured dispatch; None if that was not measured.

    Raises
    ------
    InputError
        It was not measured, although a file for it is requested.
    """
    from perfmodel.calibrate.probe.runtime_spec import runtime_of
    from perfmodel.hardware.library import runtime

    if facts.dispatch is not None:
        base = runtime(device.default_runtime)
        return runtime_of(facts, _name(output, "host_onnxruntime"), base, year)
    if output is not None:
        note(*facts.notes)
        message = "the dispatch of onnxruntime was not measured"
        raise InputError(_runtime_fault(message, "an onnxruntime that runs"))
    return None


def _say_differences(known: Device | None, table: Table | None) -> None:
    """Print the differences between the host and the nearest device of the library."""
    if known is None or table is None:
        say("the library has no processor to compare with")
        return
    differs = np.asarray(table["differs"], bool)
    say(
        f"beside {known.name}, the nearest device of the library:",
        as_text(_difference_table(table), rows=len(table)),
    )
    names = ", ".join(str(fact) for fact in np.asarray(table["fact"])[differs])
    say(f"more than 10 % apart: {names}" if names else "nothing is more than 10 % apart")


def _output_faults(
    output: Path | None, runtime_output: Path | None, force: bool, onnxruntime: Any
) -> FaultList:
    """Return the faults of the files to write."""
    faults = FaultList()
    for option, path in (("-o", output), ("--runtime-output", runtime_output)):
        faults.extend(_file_faults(path, option, force))
    if runtime_output is not None:
        if output == runtime_output:
            faults.append(_runtime_fault("is the device's file too", "a file of its own"))
        if onnxruntime is None:
            expected = "pip install onnxruntime, or no such file"
            faults.append(_runtime_fault("onnxruntime is not installed", expected))
    return faults


def _runtime_fault(message: str, expected: str) -> Fault:
    """Return a fault of the runtime's file."""
    return Fault(message, file="--runtime-output", expected=expected)


def _onnxruntime() -> Any:
    """Return the installed onnxruntime, or None if it cannot be imported."""
    from perfmodel.catalog import need
    from perfmodel.errors import InputError

    try:
        return need("onnxruntime")
    except InputError:
        return None


def _file_faults(path: Path | None, option: str, force: bool) -> list[Fault]:
    """Return the faults of one file to write."""
    if path is None:
        return []
    faults = output_faults(path, _SUFFIXES, option)
    if not faults and path.exists() and not force:
        expected = "another file, or --force to replace it"
        faults.append(Fault(f"'{path}' exists", file=option, expected=expected))
    return faults


def _name(path: Path | None, otherwise: str) -> str:
    """Return a file's stem as a library name: snake case beginning with a letter."""
    if path is None:
        return otherwise
    plain = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    if not plain:
        return otherwise
    return plain if plain[0].isalpha() else f"{otherwise}_{plain}"


def _difference_table(table: Table) -> Table:
    """Return the differences with texts in place of missing ratios."""
    from perfmodel.table import Table

    ratio = np.asarray(table["ratio"], float)
    return Table(
        {
            "fact": table["fact"],
            "library": table["library"],
            "measured": table["measured"],
            "ratio": ["" if np.isnan(r) else f"{r:.3f}" for r in ratio],
            "differs": ["*" if d else "" for d in np.asarray(table["differs"], bool)],
        }
    )


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with a plain Boolean."""
    return record | {"differs": bool(record["differs"])}


class _Progress:
    """Progress on stderr; on a terminal a single line that is overwritten."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._round = ""

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")

    def say(self, text: str) -> None:
        """Show the present step; without a terminal only the first of each round."""
        if self._live:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            return
        # Without a terminal one line per round is enough.
        head = text.partition(",")[0]
        if head != self._round:
            self._round = head
            note(f"probe: {head}")
