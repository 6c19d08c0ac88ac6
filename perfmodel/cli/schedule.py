"""``perfmodel schedule``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from perfmodel.atomic import output_faults, write_text
from perfmodel.cli import outcome
from perfmodel.cli.common import Whole, answer, named_options, note, scalars
from perfmodel.cli.reporting import report_faults, write_report
from perfmodel.errors import Fault
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.face import schedule as run
from perfmodel.settings import FaultList

_SUFFIXES = (".json", ".txt")
_OPTIONS = {
    "capacity": "--capacity", "method": "--method", "objective": "--objective",
    "memory": "--memory", "weights": "--weights", "alignment": "--alignment",
    "time_limit_s": "--time-limit",
}  # fmt: skip


def schedule(
    workload: str,
    device: str | None = None,
    /,
    *,
    capacity: str | None = None,
    set: list[str] | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    method: str = "exact",
    objective: str = "bytes",
    memory: str | None = None,
    weights: str = "streamed",
    unfused: bool = False,
    apart: bool = False,
    tiles: bool = False,
    alignment: Whole = 1,
    time_limit: float = 20.0,
    alternatives: bool = False,
    curve: bool = False,
    report: Path | None = None,
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    plan: Path | None = None,
    plot: Path | None = None,
    lp: Path | None = None,
) -> int:
    """Find the order of operators, what stays on chip, what is spilled, and where each tensor lies.

    Parameters
    ----------
    workload
        A model of the library, or a path; an operator graph .json with sizes alone too.
    device
        A device of the library, or a path to a spec file; may be left out with a capacity.
    capacity
        Bytes for activations: "256 KiB" or 262144; "64 KiB,96 KiB" or "64 KiB..1 MiB" (doubling)
        give a curve. By default what the device's scratchpad holds.
    set
        NAME=VALUE for facts of the device and parameters of the workload, as often as needed.
    precision
        Formats of weights, activations and KV cache; without a device int8 by default.
    runtime
        Software that runs it; by default the device's.
    engine
        Engine of the device to run on.
    method
        greedy, beam, ilp or exact: from the fastest to the one that proves.
    objective
        bytes spilled and reloaded, latency_s, offchip_energy_j (transfers and idle power), or peak
        (the least memory without spills).
    memory
        Memory of the device to schedule; by default its outermost scratchpad.
    weights
        streamed past the memory, in it as scratch while their operator runs, or resident.
    unfused
        Every operator is a step of its own.
    apart
        No output takes over the place of an input.
    tiles
        Operators larger than the capacity run in tiles, their operands off chip.
    alignment
        Addresses are multiples of it.
    time_limit
        Seconds after which the best so far is returned, with a bound.
    alternatives
        Also say what fusion, tiles, patches and more capacity would do.
    curve
        Also every capacity at which fewer bytes need to be spilled, and how many.
    report
        Write the answer as one HTML file that needs nothing else.
    json
        Print JSON.
    output
        Write the result to a .json or .txt file.
    plan
        Write the plan to a .json file, for predict --plan.
    lp
        Write the integer programme of the evictions, in the order found, to an .lp file.
    plot
        Write timeline and memory map, or the curve, or what does not fit, to an .html file.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    for path, suffixes, option in (
        (output, _SUFFIXES, "-o"), (plan, (".json",), "--plan"), (plot, (".html",), "--plot"),
        (lp, (".lp",), "--lp"),
    ):  # fmt: skip
        faults.extend(output_faults(path, suffixes, option))
    faults.extend(report_faults(report))
    if capacity is not None and ("," in capacity or ".." in capacity):
        faults.extend(
            Fault(f"{what} of one capacity", file=option, expected="a single --capacity")
            for asked, what, option in (
                (plan is not None, "a plan is", "--plan"),
                (lp is not None, "an LP file is", "--lp"),
                (alternatives, "alternatives are", "--alternatives"),
                (curve, "this curve is", "--curve"),
            )
            if asked
        )  # fmt: skip
    if curve and (objective != "bytes" or tiles):
        faults.append(Fault("a curve is of fewest bytes, of whole operators", file="--curve",
                            expected="no --tiles, and --objective bytes"))  # fmt: skip
    options: dict[str, Any] = {
        "method": method, "objective": objective, "memory": memory, "weights": weights,
        "unfused": unfused, "in_place": not apart, "tiles": tiles, "alignment": alignment,
        "time_limit_s": time_limit,
    }  # fmt: skip
    with named_options(_OPTIONS, precision=precision, runtime=runtime, engine=engine):
        found = run(
            workload, device, capacity=capacity, settings=settings, faults=faults,
            precision=precision, runtime=runtime, engine=engine, **options,
        )  # fmt: skip
    if plan is not None and not isinstance(found, Curve):
        if found.feasible:
            write_text(plan, found.plan.to_json(indent=1) + "\n")
        else:
            note(f"{plan} is not written: infeasible")
    if lp is not None and not isinstance(found, Curve):
        if found.outcome.script is None:
            note(f"{lp} is not written: infeasible")
        elif found.trace.cost_bytes == 0:
            note(f"{lp} is not written: everything fits, there is nothing to decide")
        else:
            found.write_lp(lp)
    changes = None
    if alternatives and not isinstance(found, Curve):
        changes = found.alternatives()
    steps = found.curve() if curve and not isinstance(found, Curve) else None
    if isinstance(found, Curve):
        write_report(report, "curve", found)
    else:
        write_report(report, "schedule", found, steps=steps)
    if plot is not None:
        page = found.plot.page() if steps is None else found.plot.page(steps.curve)
        write_text(plot, page)
    more: dict[str, Any] = {}
    if changes is not None:
        more["alternatives"] = changes.to_records()
    if steps is not None:
        more["curve"] = steps.to_dict()
    data = {**found.to_dict(), **more}
    text = "\n\n".join([repr(found), *(str(part) for part in (changes, steps) if part is not None)])
    answer(found, json=json, output=output, text=text, data=data)
    if isinstance(found, Curve):
        # Ascending: what the largest of those that fail lacks, the smaller ones lack too.
        failed = [s.infeasible for s in found.schedules if s.infeasible is not None]
        if failed:
            note(failed[-1].text())
    return outcome(feasible=found.feasible, decided=found.decided)
