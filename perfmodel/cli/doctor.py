"""Command ``perfmodel doctor``: check the installation, or measure the host.

The check lists versions of needed and optional packages and makes one prediction; ``--probe``
delegates to `perfmodel.cli.doctor_probe`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel._version import __version__
from perfmodel.catalog import EXTRAS, kinds, loaded
from perfmodel.cli import BAD_INPUT, DONE
from perfmodel.cli.printing import print_or_save
from perfmodel.cli.typed_values import Count
from perfmodel.errors import Fault
from perfmodel.settings import FaultList
from perfmodel.table import Result, plain

_NEEDED = (
    "numpy",
    "scipy",
    "pydantic",
    "PyYAML",
    "networkx",
    "plotly",
    "pulp",
    "highspy",
    "cyclopts",
    "rich",
)
_DISTRIBUTIONS = {"genz_llm": "genz-llm", "distributed": "distributed"}


def doctor(
    *,
    probe: bool = False,
    probe_seconds: float | None = None,
    probe_cores: Count | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    runtime_output: Path | None = None,
    force: bool = False,
) -> int:
    """Check the installation; with --probe, measure this host.

    Parameters
    ----------
    probe
        Measure the host: peak compute rates, bandwidths and latencies of its memories, and the
        dispatch overhead of onnxruntime if it is installed. Print them beside the nearest device of
        the library.
    probe_seconds
        Time budget of the probe in seconds. The default is 30.
    probe_cores
        Number of cores that the device spec describes. The default is 1.
    json
        Print the answer as JSON.
    output
        With --probe: write the host as a device spec (.yaml) for `perfmodel predict`.
    runtime_output
        With --probe: write onnxruntime, with its dispatch overhead on this host, as a runtime spec
        (.yaml).
    force
        Replace existing files.
    """
    if probe:
        from perfmodel.cli.doctor_probe import probe_host

        return probe_host(
            output,
            runtime_output,
            force=force,
            json=json,
            seconds=30.0 if probe_seconds is None else probe_seconds,
            cores=1 if probe_cores is None else probe_cores,
        )
    options = {
        "-o": output,
        "--runtime-output": runtime_output,
        "--force": force or None,
        "--probe-seconds": probe_seconds,
        "--probe-cores": probe_cores,
    }
    FaultList(
        Fault("belongs to a probe", file=option, expected="--probe beside it")
        for option, value in options.items()
        if value is not None
    ).settle()
    result = report()
    print_or_save(result, json=json)
    return DONE if not result.data["problems"] else BAD_INPUT


@dataclass(frozen=True, repr=False)
class DoctorReport(Result):
    """State of the installation.

    Attributes
    ----------
    data
        Versions, optional libraries, sizes of the library, a prediction, and problems.
    """

    noun = "doctor"

    data: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return all contents as JSON-ready values."""
        return plain(self.data)

    @property
    def headline(self) -> str:
        """Versions of the package and of Python, and the system."""
        return "perfmodel {perfmodel}, Python {python}, {platform}".format(**self.data)

    def glance(self) -> list[tuple[str, str]]:
        """Return the library's contents, and the installed packages."""
        needed = (f"{name} {v or 'MISSING'}" for name, v in self.data["needed"].items())
        return [
            ("library", ", ".join(f"{n} {noun}" for noun, n in self.data["library"].items())),
            ("needed", ", ".join(needed)),
            *(
                (name, entry["version"] or f"not installed: {entry['install']}")
                for name, entry in self.data["optional"].items()
            ),
        ]

    def cautions(self) -> list[str]:
        """Return the problems."""
        return [f"! {problem}" for problem in self.data["problems"]] or ["everything works"]


def report() -> DoctorReport:
    """Return versions, optional packages, the library's size, and one prediction as a check."""
    problems: list[str] = []
    needed = {name: _version(name) for name in _NEEDED}
    problems += [f"{name} is missing: pip install {name}" for name, v in needed.items() if not v]
    optional = {
        module: {
            "version": _version(_DISTRIBUTIONS.get(module, module)) if loaded(module) else None,
            "install": f"pip install 'perfmodel[{extra}]'" if extra else f"pip install {module}",
        }
        for module, extra in EXTRAS.items()
    }
    library: dict[str, int] = {}
    latency: float | None = None
    try:
        from perfmodel.hardware.library import device_names, names
        from perfmodel.predict import predict
        from perfmodel.resolve import resolve
        from perfmodel.workload.library import names as workload_names

        library = {
            "devices": len(device_names()),
            "runtimes": len(names("runtimes")),
            "workloads": len(workload_names()),
            "kinds": len(kinds()),
        }
        latency = predict(*resolve("resnet18", "a100")[:2]).latency_s
    except Exception as error:
        problems.append(f"a prediction of resnet18 on a100 fails: {type(error).__name__}: {error}")
    problems += [f"the library has no {noun}" for noun, count in library.items() if not count]
    return DoctorReport(
        {
            "perfmodel": __version__,
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "executable": sys.executable,
            "needed": needed,
            "optional": optional,
            "library": library,
            "resnet18_on_a100_latency_s": latency,
            "problems": problems,
        }
    )


def _version(name: str) -> str | None:
    """Return the installed version of a distribution; ``None`` if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
