"""What was measured or published, beside what is predicted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.api.things import hardware
from perfmodel.asked import remember
from perfmodel.errors import Fault
from perfmodel.hardware import library as devices
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import DeviceLike
from perfmodel.settings import FaultList

if TYPE_CHECKING:
    from perfmodel.calibrate import Calibration


def validate(names: str | Iterable[str] | None = None, **options: Any) -> Any:
    """Compare predictions with measured rows; as `perfmodel.evaluate.validate`."""
    from importlib import import_module

    chosen = [names] if isinstance(names, str) else names
    found = import_module("perfmodel.evaluate").validate(chosen, **options)
    for result in found:
        remember(result, "validate", (names if isinstance(names, str) else result.name,), options)
    return found


def calibrate(
    device: DeviceLike | None, runtime: str | Path | Runtime | None, measurements: str | Path,
    *, skip_bad_rows: bool = False,
) -> Calibration:  # fmt: skip
    """Fit multipliers of the seconds of each class to a few measured rows of a device.

    Parameters
    ----------
    device, runtime
        That the rows are of; ``None`` for those that they name.
    measurements
        A CSV file as `validate` takes it: ``model``, ``device``, ``latency_s`` ...
    skip_bad_rows
        Fit without the rows that have a cell at fault; the notes name the cells.

    Returns
    -------
    Calibration
        Its ``machine()`` is what `predict` takes; ``to_yaml()`` the text of a file.
    """
    from importlib import import_module

    faults = FaultList()
    if not isinstance(measurements, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        faults.append(Fault(f"a {type(measurements).__name__} is no file", path="measurements",
                            expected="a path to a .csv file"))  # fmt: skip
    found = faults.trying(hardware, device) if isinstance(device, str | Path) else device
    spec = found.device if isinstance(found, Machine) else found
    named = isinstance(runtime, str | Path)
    chosen = faults.trying(devices.runtime, runtime) if named else runtime
    faults.settle()
    return import_module("perfmodel.evaluate.calibration").calibrate(
        measurements, spec, chosen, skip_bad_rows=skip_bad_rows
    )


def reproduce(names: str | Iterable[str] | None = None) -> Any:
    """Predict what published systems claim; as `perfmodel.evaluate.reproduce`."""
    from importlib import import_module

    return import_module("perfmodel.evaluate").reproduce(names)
