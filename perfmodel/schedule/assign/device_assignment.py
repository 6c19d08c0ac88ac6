"""Result of `assign`: metrics, table, plan and text of an assignment on devices.

Also what an assignment is compared with: everything on one engine, and delegation, in which each
kernel runs on the first engine wherever that supports it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from perfmodel.plan import Plan
from perfmodel.schedule.assign.assignment import Assignment
from perfmodel.schedule.assign.assignment_costs import interval_s, sequential_s, transfers_between
from perfmodel.schedule.assign.assignment_energy import assignment_energy_j
from perfmodel.schedule.assign.assignment_plan import to_plan
from perfmodel.schedule.assign.network_problem import AssignmentNetwork
from perfmodel.schedule.assign.problem import Index
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import align_columns
from perfmodel.units import show

#: Maximum number of stretches shown in the text; the rest is counted.
_SHOWN = 24


class Stretch(NamedTuple):
    """Consecutive kernels on one engine.

    Attributes
    ----------
    seconds
        Seconds of the kernels, without transfers.
    receiving_s
        Seconds of the transfers from other engines to these kernels.
    """

    engine: str
    first: str
    last: str
    kernels: int
    start_s: float
    end_s: float
    seconds: float
    receiving_s: float


class Fallback(NamedTuple):
    """Kernels that the first engine cannot run, and their cost on other engines.

    Attributes
    ----------
    why
        Missing capability of the engine -> number of kernels that need it.
    seconds
        Seconds of these kernels on their assigned engines.
    transfer_s
        Seconds of all transfers between engines, in both directions.
    """

    engine: str
    kernels: int
    why: Mapping[str, int]
    seconds: float
    transfer_s: float


@dataclass(frozen=True, eq=False, repr=False)
class DeviceAssignment(Result):
    """Assignment of the kernels of a network to the engines of one or several devices.

    Attributes
    ----------
    objective
        ``latency_s`` or ``throughput``.
    result
        Assignment of the problem (`perfmodel.schedule.assign.Assignment`).

    Its plot: ``timeline()``.
    """

    noun = "assignment"
    attributes = (
        "objective",
        "contiguous",
        "feasible",
        "latency_s",
        "interval_s",
        "runs_per_s",
        "bound_s",
        "gap",
        "proved",
        "method",
        "transfer_s",
        "transfer_bytes",
        "handover_s",
        "alone_s",
        "delegated_s",
        "unsupported",
        "energy_j",
        "energy_model",
        "energy_boundary",
    )

    network: AssignmentNetwork
    objective: str
    result: Assignment
    contiguous: bool = False

    @property
    def feasible(self) -> bool:
        """Whether every kernel has an engine, and every tensor can reach its readers."""
        return self.result.feasible

    @property
    def proved(self) -> bool:
        """Whether the assignment is proved optimal under these times."""
        return self.result.proved

    @property
    def decided(self) -> bool:
        """Whether feasibility is known: an assignment exists, or it is proved that none exists."""
        return self.feasible or self.proved

    @property
    def bound_s(self) -> float:
        """Lower bound of the objective in seconds (without `AssignmentNetwork.per_run_s`)."""
        return self.result.bound

    @property
    def gap(self) -> float:
        """Largest relative excess of the value over its bound."""
        return self.result.gap

    @property
    def method(self) -> str:
        """Method that found the assignment."""
        return self.result.method

    @property
    def latency_s(self) -> float:
        """Seconds of one run, including the runtime's overhead per run; infinite if there is none.

        For a pipeline, the seconds of a single serial run.
        """
        if self.result.solution is None:
            return float("inf")
        if self.objective == "latency_s":
            return self.result.value + self.network.per_run_s
        return sequential_s(self.network.problem, self.result.engine) + self.network.per_run_s

    @property
    def interval_s(self) -> float:
        """Seconds between the starts of consecutive runs in a pipeline over the engines."""
        if self.result.solution is None:
            return float("inf")
        return interval_s(self.network.problem, self.result.engine)

    @property
    def runs_per_s(self) -> float:
        """Runs per second of that pipeline."""
        return 1.0 / self.interval_s if self.interval_s > 0 else float("inf")

    @property
    def engine(self) -> dict[str, str]:
        """Engine of each kernel, in the order of the network."""
        problem = self.network.problem
        return {
            name: problem.engines[e] if e >= 0 else ""
            for name, e in zip(problem.operators, self.result.engine.tolist(), strict=True)
        }

    @property
    def transfer_s(self) -> float:
        """Total seconds of transfers between engines."""
        problem = self.network.problem
        return float(transfers_between(problem, self.result.engine).seconds(problem).sum())

    @property
    def transfer_bytes(self) -> float:
        """Bytes transferred between engines, each tensor once per engine that reads it."""
        tensors: list[int] = transfers_between(
            self.network.problem, self.result.engine
        ).tensor.tolist()
        return float(sum(self.network.flows[t].size_bytes for t in tensors))

    @cached_property
    def energy_j(self) -> float:
        """Joules of one run, kernel by kernel as in `predict`; NaN if unknown."""
        if self.result.solution is None:
            return float("nan")
        return assignment_energy_j(self.network, self.result.engine, self.latency_s)

    @property
    def energy_model(self) -> str:
        """Models of the engines that run a kernel, with what they and the sum leave out."""
        used = set(self.engine.values())
        models = dict.fromkeys(
            profile.prediction.energy_model
            for profile in self.network.profiles
            if profile.device_engine.name in used
        )
        return "; ".join((*models, "transfers between engines not counted"))

    @property
    def energy_boundary(self) -> str:
        """Boundary of the energy, of each device."""
        boundaries = (profile.prediction.energy_boundary for profile in self.network.profiles)
        return ", ".join(dict.fromkeys(boundaries))

    @cached_property
    def alone_s(self) -> dict[str, float]:
        """Objective with everything on one engine, per engine; infinite if not supported."""
        problem = self.network.problem
        return {name: float(problem.costs[:, e].sum()) for e, name in enumerate(problem.engines)}

    @cached_property
    def delegated_s(self) -> float:
        """Seconds of a serial run with every kernel on the first engine that it can run.

        The remaining kernels go to the engine that runs them fastest, as in runtimes with
        delegates.
        """
        costs = self.network.problem.costs
        if self.network.problem.unsupported:
            return float("inf")
        engine: Index = np.where(np.isfinite(costs[:, 0]), 0, np.argmin(costs, axis=1))
        return sequential_s(self.network.problem, engine)

    @cached_property
    def fallback(self) -> Fallback:
        """Kernels that the first engine cannot run, and their cost in this assignment."""
        first = self.network.profiles[0]
        rows = sorted(first.why)
        seconds = 0.0
        if self.result.solution is not None:
            seconds = float(self.network.problem.costs[rows, self.result.engine[rows]].sum())
        return Fallback(
            first.device_engine.name,
            len(rows),
            dict(Counter(first.why[i] for i in rows).most_common()),
            seconds,
            self.transfer_s if rows else 0.0,
        )

    @property
    def unsupported(self) -> dict[str, dict[str, str]]:
        """Missing capabilities of each engine, for each kernel that no engine can run."""
        problem = self.network.problem
        return {
            problem.operators[i]: {m.device_engine.name: m.why[i] for m in self.network.profiles}
            for i in problem.unsupported
        }

    @property
    def overfull(self) -> dict[str, tuple[float, float]]:
        """Bytes of weights and caches, and capacity, per device that cannot hold all of them."""
        problem = self.network.problem
        labels = list(dict.fromkeys(s.device for s in self.network.device_engines))
        need = problem.demand.max(axis=2).sum(axis=1)
        return {
            label: (float(demand), float(limit))
            for label, demand, limit in zip(labels, need, problem.limits, strict=True)
            if demand > limit
        }

    @cached_property
    def plan(self) -> Plan:
        """The plan of one run, for the graph with repetitions unrolled.

        Raises
        ------
        ValueError
            There is no assignment.
        """
        if self.result.solution is None:
            raise ValueError("no assignment, so no plan")
        return to_plan(self.network, self.result.solution, self.method)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """Kernels in order, grouped into consecutive ones on the same engine."""
        run, problem = self.result.solution, self.network.problem
        if run is None:
            return []
        seconds = run.arrived_s - run.sent_s
        received = {
            (int(t), int(f)): float(s)
            for t, f, s in zip(run.tensor, run.target, seconds, strict=True)
        }
        stretches: list[Stretch] = []
        for e, first, last in self.result.stretches():
            rows = slice(first, last + 1)
            tensors = [t for reads in problem.reads[rows] for t in reads]
            stretches.append(
                Stretch(
                    problem.engines[e],
                    problem.operators[first],
                    problem.operators[last],
                    last - first + 1,
                    float(run.start_s[rows].min()),
                    float(run.end_s[rows].max()),
                    float(problem.costs[rows, e].sum()),
                    sum(received.pop((t, e), 0.0) for t in tensors),
                )
            )
        return stretches

    @cached_property
    def table(self) -> Table:
        """One row per kernel: engine, start and end in a run, seconds on every engine."""
        problem, run = self.network.problem, self.result.solution
        columns: dict[str, Any] = {
            "kernel": np.array(problem.operators, dtype=object),
            "kind": np.array(self.network.kinds, dtype=object),
            "engine": np.array(list(self.engine.values()), dtype=object),
        }
        if run is not None:
            columns |= {"start_s": run.start_s, "end_s": run.end_s}
        columns |= {f"{name}_s": problem.costs[:, e] for e, name in enumerate(problem.engines)}
        return Table(columns)

    @property
    def handover_s(self) -> dict[str, float | None]:
        """Seconds until each engine starts on another engine's output; None if not stated."""
        stated = {
            s.name: s.machine.get(f"engines.{s.engine}.handover")
            for s in self.network.device_engines
        }
        return {name: None if value is None else float(value) for name, value in stated.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return all results as a dictionary for JSON (infinite numbers as null)."""
        problem = self.network.problem
        return plain(
            {
                "workload": self.network.workload.name,
                "devices": list(dict.fromkeys(s.device for s in self.network.device_engines)),
                "engines": list(problem.engines),
                "precision": str(self.network.precision),
                "goal": self.result.goal,
                **super().to_dict(),
                "value_s": self.result.value,
                "counts": self.result.work,
                "per_run_s": self.network.per_run_s,
                "fallback": self.fallback._asdict(),
                "overfull": {
                    device: {"need_bytes": need, "room_bytes": room}
                    for device, (need, room) in self.overfull.items()
                },
                "loads_s": dict(zip(problem.engines, self.result.loads_s.tolist(), strict=True)),
                "stretches": [s._asdict() for s in self.stretches],
                "assignment": self.engine if self.feasible else {},
            }
        )

    @property
    def headline(self) -> str:
        """Name of the network, the devices, and the precision."""
        network = self.network
        devices = " and ".join(dict.fromkeys(s.device for s in network.device_engines))
        return f"{network.workload.name} on {devices}, {network.precision}"

    def sections(self) -> list[str]:
        """Return one line per stretch of kernels on an engine."""
        return (
            ["\n".join(f"  {line}" for line in align_columns(self._rows()))]
            if self.feasible
            else []
        )

    def cautions(self) -> list[str]:
        """Return the reasons for the lack of an assignment."""
        if self.feasible:
            return []
        if not self.unsupported and self.overfull:
            return [
                f"! {device} would hold {show(need, 'bytes')} beside activations, and has room "
                f"for {show(room, 'bytes')}"
                for device, (need, room) in self.overfull.items()
            ]
        if not self.unsupported:
            manner = "in one stretch per engine " if self.contiguous else ""
            status = "exists" if self.proved else "was found"
            return [f"no assignment {manner}{status} in which every tensor reaches its readers"]
        lines = [f"{len(self.unsupported)} kernels run on no engine:"]
        for kernel, lacks in list(self.unsupported.items())[:8]:
            missing = ", ".join(
                f"{engine} lacks {capability}" for engine, capability in lacks.items()
            )
            lines.append(f"! {kernel}: {missing}")
        omitted = len(self.unsupported) - 8
        return [*lines, f"  ... {omitted} more"] if omitted > 0 else lines

    def glance(self) -> list[tuple[str, str]]:
        """Return seconds, proof, transfers, and the seconds with everything on each engine."""
        if not self.feasible:
            return []
        mode = {
            "sequential": "one thing at a time",
            "parallel": "engines in parallel",
            "throughput": "as a pipeline of runs",
        }[self.result.goal]
        proof = "proved" if self.proved else f"at most {100 * self.gap:.2g} % above the least"
        out = [("latency", show(self.latency_s, "time"))]
        if self.objective == "throughput":
            rate = f"{self.runs_per_s:.4g} runs/s"
            out.append(("interval", f"{show(self.interval_s, 'time')}, {rate}"))
        if self.network.per_run_s:
            extra = show(self.network.per_run_s, "time")
            runtime = self.network.device_engines[0].machine.runtime.name
            out.append(("per run", f"{extra} of the runtime {runtime}, part of the latency"))
        kind = "contiguous, " if self.contiguous else ""
        crossing = f"{show(self.transfer_bytes, 'bytes')}, {show(self.transfer_s, 'time')}"
        out += [("assignment", f"{kind}{mode}; {proof} ({self.method})"), ("transfers", crossing)]
        if np.isfinite(self.energy_j):
            scope = f"{self.energy_boundary}; transfers between engines not counted"
            out.append(("energy", f"{show(self.energy_j, 'energy')} ({scope})"))
        else:
            out.append(("energy", "unknown: an engine states neither energies nor power"))
        if self.result.solution is not None and len(self.result.solution.tensor):
            used = {self.network.problem.engines[int(f)] for f in self.result.solution.target}
            silent = [name for name in sorted(used) if self.handover_s[name] is None]
            if silent:
                text = f"none stated for {', '.join(silent)}: taken as 0 s (engines.NAME.handover)"
                out.append(("handover", text))
        single = [
            f"{name} {show(value, 'time')}" if np.isfinite(value) else f"{name} cannot"
            for name, value in self.alone_s.items()
        ]
        return [*out, ("alone", ", ".join(single)), *self._fall_back()]

    def _fall_back(self) -> list[tuple[str, str]]:
        """Return the summary lines of kernels that the first engine cannot run."""
        fall = self.fallback
        if not fall.kernels:
            return []
        why = ", ".join(f"{capability} ({count})" for capability, count in fall.why.items())
        elsewhere = f"{show(fall.seconds, 'time')} elsewhere"
        text = f"{fall.kernels} kernels that {fall.engine} lacks: {why}; {elsewhere}"
        out = [("fall-back", text)]
        if np.isfinite(self.delegated_s):
            seconds = show(self.delegated_s, "time")
            out.append(("delegated", f"{seconds} with all that {fall.engine} can on it"))
        return out

    def _rows(self) -> list[tuple[str, ...]]:
        """Return one row of texts per stretch, preceded by the column titles."""
        rows = [("engine", "kernels", "from", "to", "start", "seconds", "received")]
        rows += [
            (
                s.engine,
                str(s.kernels),
                s.first,
                s.last,
                show(s.start_s, "time"),
                show(s.seconds, "time"),
                show(s.receiving_s, "time"),
            )
            for s in self.stretches[:_SHOWN]
        ]
        omitted = len(self.stretches) - _SHOWN
        if omitted > 0:
            rows.append((f"... {omitted} more", "", "", "", "", "", ""))
        return rows
