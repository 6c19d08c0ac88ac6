"""An assignment on devices: what people ask of it, as numbers, a table, a plan and a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from perfmodel.plan import Plan
from perfmodel.schedule.assign.evaluate import interval_s, sent, sequential_s
from perfmodel.schedule.assign.network import AssignmentNetwork
from perfmodel.schedule.assign.plans import to_plan
from perfmodel.schedule.assign.problem import Index
from perfmodel.schedule.assign.result import Assignment
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import aligned
from perfmodel.units import show

#: Stretches that the text shows; the rest is counted.
_SHOWN = 24


class Stretch(NamedTuple):
    """Kernels that follow one another on one engine.

    Attributes
    ----------
    seconds
        Of the kernels themselves.
    receiving_s
        Of what reaches the engine from others for them.
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
    """Kernels that the first engine does not run, and what it costs that others must.

    Attributes
    ----------
    why
        What the engine lacks -> how many kernels want it.
    seconds
        Of these kernels, where they run now.
    transfer_s
        Of everything that crosses between engines, there and back.
    """

    engine: str
    kernels: int
    why: Mapping[str, int]
    seconds: float
    transfer_s: float


@dataclass(frozen=True, eq=False, repr=False)
class DeviceAssignment(Result):
    """Kernels of a network on the engines of one or several devices.

    Attributes
    ----------
    objective
        ``latency_s`` or ``throughput``.
    result
        The assignment of the problem (`perfmodel.schedule.assign.Assignment`).

    Its plot: ``timeline()``.
    """

    noun = "assignment"

    network: AssignmentNetwork
    objective: str
    result: Assignment
    contiguous: bool = False

    @property
    def feasible(self) -> bool:
        """Whether every kernel has an engine, and everything reaches where it is read."""
        return self.result.feasible

    @property
    def proved(self) -> bool:
        """Whether nothing better exists under these times."""
        return self.result.proved

    @property
    def decided(self) -> bool:
        """Whether it is known if anything fits: something does, or nothing is proved to."""
        return self.feasible or self.proved

    @property
    def bound_s(self) -> float:
        """Lower bound of what was minimised, seconds (without `AssignmentNetwork.per_run_s`)."""
        return self.result.bound

    @property
    def gap(self) -> float:
        """Part by which the value exceeds its bound at most."""
        return self.result.gap

    @property
    def method(self) -> str:
        """What found it."""
        return self.result.method

    @property
    def latency_s(self) -> float:
        """Seconds of one run, the runtime's cost of a run included; infinite where there is none.

        Of a pipeline, that of a run by itself, one thing at a time.
        """
        if self.result.solution is None:
            return float("inf")
        if self.objective == "latency_s":
            return self.result.value + self.network.per_run_s
        return sequential_s(self.network.problem, self.result.engine) + self.network.per_run_s

    @property
    def interval_s(self) -> float:
        """Seconds from one run to the next when runs follow each other through the engines."""
        if self.result.solution is None:
            return float("inf")
        return interval_s(self.network.problem, self.result.engine)

    @property
    def runs_per_s(self) -> float:
        """Runs a second of that pipeline."""
        return 1.0 / self.interval_s if self.interval_s > 0 else float("inf")

    @property
    def engine(self) -> dict[str, str]:
        """Kernel -> engine, in the order of the network."""
        names = self.network.problem.engines
        return {
            name: names[e] if e >= 0 else ""
            for name, e in zip(
                self.network.problem.operators, self.result.engine.tolist(), strict=True
            )
        }

    @property
    def transfer_s(self) -> float:
        """Seconds of everything that crosses between engines."""
        if self.result.solution is None:
            return 0.0
        moved = sent(self.network.problem, self.result.engine)
        return float(self.network.problem.delays[moved.tensor, moved.source, moved.target].sum())

    @property
    def transfer_bytes(self) -> float:
        """Bytes that cross between engines, each tensor once an engine that reads it."""
        if self.result.solution is None:
            return 0.0
        moved = sent(self.network.problem, self.result.engine)
        return float(sum(self.network.flows[int(t)].size_bytes for t in moved.tensor))

    @cached_property
    def alone_s(self) -> dict[str, float]:
        """Engine -> the objective with everything on it; infinite where it cannot run it all."""
        problem = self.network.problem
        return {name: float(problem.costs[:, e].sum()) for e, name in enumerate(problem.engines)}

    @cached_property
    def delegated_s(self) -> float:
        """Seconds of a run, one thing at a time, with all that the first engine can on it.

        The rest goes to whatever engine runs it fastest: what runtimes with delegates do.
        """
        costs = self.network.problem.costs
        if self.network.problem.unsupported:
            return float("inf")
        engine: Index = np.where(np.isfinite(costs[:, 0]), 0, np.argmin(costs, axis=1))
        return sequential_s(self.network.problem, engine)

    @cached_property
    def fallback(self) -> Fallback:
        """What the first engine does not run, and what that costs in this assignment."""
        first = self.network.measured[0]
        rows = sorted(first.why)
        seconds = 0.0
        if self.result.solution is not None:
            seconds = float(self.network.problem.costs[rows, self.result.engine[rows]].sum())
        return Fallback(
            first.station.name,
            len(rows),
            dict(Counter(first.why[i] for i in rows).most_common()),
            seconds,
            self.transfer_s if rows else 0.0,
        )

    @property
    def unsupported(self) -> dict[str, dict[str, str]]:
        """Kernel that no engine runs -> engine -> what it lacks."""
        problem = self.network.problem
        return {
            problem.operators[i]: {m.station.name: m.why[i] for m in self.network.measured}
            for i in problem.unsupported
        }

    @property
    def overfull(self) -> dict[str, tuple[float, float]]:
        """Device -> bytes of weights and caches, and room for them, where all do not fit on one."""
        problem = self.network.problem
        labels = list(dict.fromkeys(s.device for s in self.network.stations))
        need = problem.demand.max(axis=2).sum(axis=1)
        return {
            label: (float(demand), float(limit))
            for label, demand, limit in zip(labels, need, problem.limits, strict=True)
            if demand > limit
        }

    @cached_property
    def plan(self) -> Plan:
        """The plan of one run, for the graph with repetitions written out.

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
        """Kernels in their order, those that follow one another on an engine together."""
        run, problem = self.result.solution, self.network.problem
        if run is None:
            return []
        received = {
            (int(t), int(f)): float(b - a)
            for t, f, a, b in zip(run.tensor, run.target, run.sent_s, run.arrived_s, strict=True)
        }
        found: list[Stretch] = []
        for e, first, last in self.result.stretches():
            into = 0.0
            for i in range(first, last + 1):
                for t in problem.reads[i]:
                    into += received.pop((t, e), 0.0)
            found.append(
                Stretch(
                    problem.engines[e],
                    problem.operators[first],
                    problem.operators[last],
                    last - first + 1,
                    float(run.start_s[first : last + 1].min()),
                    float(run.end_s[first : last + 1].max()),
                    float(problem.costs[first : last + 1, e].sum()),
                    into,
                )
            )
        return found

    @cached_property
    def table(self) -> Table:
        """One row for each kernel: engine, start and end of a run, seconds on every engine."""
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
        """Engine -> seconds until it starts on what another made; None where nothing states it."""
        found: dict[str, float | None] = {}
        for s in self.network.stations:
            given = s.machine.get(f"engines.{s.engine}.handover")
            found[s.name] = None if given is None else float(given)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON (infinite numbers as null)."""
        first = self.fallback
        problem = self.network.problem
        return plain(
            {
                "workload": self.network.workload.name,
                "devices": list(dict.fromkeys(s.device for s in self.network.stations)),
                "engines": list(problem.engines),
                "precision": str(self.network.precision),
                "objective": self.objective,
                "goal": self.result.goal,
                "contiguous": self.contiguous,
                "feasible": self.feasible,
                "latency_s": self.latency_s,
                "interval_s": self.interval_s,
                "runs_per_s": self.runs_per_s,
                "value_s": self.result.value,
                "bound_s": self.bound_s,
                "gap": self.gap,
                "proved": self.proved,
                "method": self.method,
                "counts": self.result.work,
                "per_run_s": self.network.per_run_s,
                "transfer_s": self.transfer_s,
                "transfer_bytes": self.transfer_bytes,
                "handover_s": self.handover_s,
                "alone_s": self.alone_s,
                "delegated_s": self.delegated_s,
                "fallback": first._asdict(),
                "unsupported": self.unsupported,
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
        """Which network, on what."""
        network = self.network
        devices = " and ".join(dict.fromkeys(s.device for s in network.stations))
        return f"{network.workload.name} on {devices}, {network.precision}"

    def sections(self) -> list[str]:
        """Return a line for each stretch of kernels on an engine."""
        return ["\n".join(f"  {line}" for line in aligned(self._rows()))] if self.feasible else []

    def cautions(self) -> list[str]:
        """Return why there is no assignment."""
        if self.feasible:
            return []
        if not self.unsupported and self.overfull:
            return [
                f"! {device} would hold {show(need, 'bytes')} beside activations, and has room "
                f"for {show(room, 'bytes')}"
                for device, (need, room) in self.overfull.items()
            ]
        if not self.unsupported:
            how = "in one stretch an engine " if self.contiguous else ""
            sure = "" if self.proved else " was found"
            return [f"no assignment {how}lets everything reach where it is read{sure}"]
        lines = [f"{len(self.unsupported)} kernels run on no engine:"]
        for kernel, lacks in list(self.unsupported.items())[:8]:
            said = ", ".join(f"{engine} lacks {what}" for engine, what in lacks.items())
            lines.append(f"! {kernel}: {said}")
        left = len(self.unsupported) - 8
        return [*lines, f"  ... {left} more"] if left > 0 else lines

    def glance(self) -> list[tuple[str, str]]:
        """Return seconds, proof, what crosses, and what each engine would take by itself."""
        if not self.feasible:
            return []
        how = {
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
            runtime = self.network.stations[0].machine.runtime.name
            out.append(("per run", f"{extra} of the runtime {runtime}, part of the latency"))
        kind = "contiguous, " if self.contiguous else ""
        moved = f"{show(self.transfer_bytes, 'bytes')}, {show(self.transfer_s, 'time')}"
        out += [("assignment", f"{kind}{how}; {proof} ({self.method})"), ("transfers", moved)]
        if self.result.solution is not None and len(self.result.solution.tensor):
            used = {self.network.problem.engines[int(f)] for f in self.result.solution.target}
            silent = [name for name in sorted(used) if self.handover_s[name] is None]
            if silent:
                text = f"none stated for {', '.join(silent)}: taken as 0 s (engines.NAME.handover)"
                out.append(("handover", text))
        alone = [
            f"{name} {show(value, 'time')}" if np.isfinite(value) else f"{name} cannot"
            for name, value in self.alone_s.items()
        ]
        return [*out, ("alone", ", ".join(alone)), *self._fall_back()]

    def _fall_back(self) -> list[tuple[str, str]]:
        fall = self.fallback
        if not fall.kernels:
            return []
        why = ", ".join(f"{what} ({count})" for what, count in fall.why.items())
        elsewhere = f"{show(fall.seconds, 'time')} elsewhere"
        text = f"{fall.kernels} kernels that {fall.engine} lacks: {why}; {elsewhere}"
        out = [("fall-back", text)]
        if np.isfinite(self.delegated_s):
            seconds = show(self.delegated_s, "time")
            out.append(("delegated", f"{seconds} with all that {fall.engine} can on it"))
        return out

    def _rows(self) -> list[tuple[str, ...]]:
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
        left = len(self.stretches) - _SHOWN
        if left > 0:
            rows.append((f"... {left} more", "", "", "", "", "", ""))
        return rows
