"""``perfmodel explore``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from perfmodel.catalog import need
from perfmodel.cli import DONE
from perfmodel.cli.common import Count, note
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
    """Open a page to turn the knobs of a prediction and watch it move.

    It is served to this machine alone, until Ctrl-C. Files are read only where they are named here.

    Parameters
    ----------
    workload
        What to begin with: a model of the library, or a path.
    device
        A device of the library, or a path to a spec file.
    beside
        A second device to compare with, or a path.
    set
        NAME=VALUE to begin with, as often as needed.
    precision
        Formats to begin with.
    runtime
        Software to begin with.
    port
        Where to serve it; 0, a free one, by default.
    browser
        Open it in a browser.
    """
    from perfmodel.explore.answer import ExplorerSelection
    from perfmodel.explore.choices import Choices
    from perfmodel.explore.page import application, serve

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
