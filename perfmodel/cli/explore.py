"""Command ``perfmodel explore``: serve the interactive page of `perfmodel.explore` locally."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from perfmodel.catalog import need
from perfmodel.cli import DONE
from perfmodel.cli.printing import note
from perfmodel.cli.typed_values import Count
from perfmodel.hardware.library import hardware
from perfmodel.settings import FaultList
from perfmodel.workload.library import find


def explore(
    workload: str = "llama_3_8b",
    device: str = "jetson_agx_orin",
    /,
    *,
    beside: str | None = None,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    port: Count = 0,
    browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
) -> int:
    """Open a local page to change the inputs of a prediction and see the effect.

    Only this machine can open the page; Ctrl-C ends it. The page reads no files except those that
    this command line names.

    Parameters
    ----------
    workload
        Workload to start with: a model of the library, or a path.
    device
        Device to start with: a device of the library, or a path to a spec file.
    beside
        Second device to compare with, or a path.
    set
        Setting to start with, as NAME=VALUE; may be repeated.
    precision
        Precision to start with.
    runtime
        Runtime to start with.
    port
        Port of the local server. By default any free port.
    browser
        Open the page in a browser.
    """
    from perfmodel.explore.choices import Choices
    from perfmodel.explore.page import application, serve
    from perfmodel.explore.selection import ExplorerSelection

    faults = FaultList()
    faults.trying(need, "dash", "perfmodel predict --report FILE")
    faults.trying(find, workload, {})
    for name in (device, beside):
        if name is not None:
            faults.trying(hardware, name)
    choices = Choices().with_files(workload, device, beside or "")
    faults.extend(choices.faults(workload, device, beside or "", runtime or ""))
    faults.settle()
    start = ExplorerSelection(
        workload,
        device,
        beside or "",
        runtime=runtime or "",
        precision=precision or "",
        settings="; ".join(set or ()),
    )

    def ready(address: str) -> None:
        note(f"perfmodel explore: {address} (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(address)

    try:
        serve(application(start, choices), port, ready)
    except KeyboardInterrupt:
        note("")
    return DONE
