"""Result of `place`: rows of items in levels, read times, and the plan.

The placement is proved when its seconds or joules reach the lower bound of the knapsack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.cost.capacity import Violation
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.prediction.presentation import energy_line, energy_terms
from perfmodel.schedule.place.items import Item
from perfmodel.schedule.place.levels import PlacementLevel
from perfmodel.table import CertifiedResult, Table, plain
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.plan import Plan


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """Copies of an item in a level.

    Attributes
    ----------
    name, role
        Name and role of the item: tensor, block or expert; ``weight`` or ``kv``.
    level
        Level that contains them.
    copies, first
        Number of copies, and index of the first.
    stored_bytes
        Bytes of these copies.
    reads
        Expected number of reads of each copy per run.
    read_bytes, read_s
        Bytes of them that a run moves, and the seconds of that.
    energy_j
        Joules of moving them; NaN if the device states no energy.
    cached_in, hit_fraction
        Level that caches them, and share of the visits that it serves.
    """

    name: str
    role: str
    level: str
    copies: int
    first: int
    stored_bytes: float
    reads: float
    read_bytes: float
    read_s: float
    energy_j: float
    cached_in: str = ""
    hit_fraction: float = 0.0


@dataclass(frozen=True, repr=False, kw_only=True)
class PlacementResult(CertifiedResult[tuple[PlacementRow, ...]]):
    """Locations of weights and KV cache, and the cost of reading them, as `Certified`.

    The solution consists of copies of items in levels; the method is ``greedy``, ``lp`` or
    ``exact``.

    Attributes
    ----------
    prediction
        Prediction that provides sizes, reads and bandwidths.
    levels
        Memories considered, fastest first.
    items
        Items to place.
    objective
        Objective that is minimised: ``latency_s`` or ``energy_j``.
    violations
        Reasons for infeasibility: demand, bound, gap and levers.
    counts
        Copies of each item in each level.
    cache_bytes
        Bytes of each level that cache items of outer levels.

    Its plot: ``levels()``.
    """

    noun = "placement"

    prediction: Prediction
    levels: tuple[PlacementLevel, ...]
    items: tuple[Item, ...]
    objective: str
    violations: tuple[Violation, ...] = ()
    counts: tuple[tuple[int, ...], ...] = ()
    cache_bytes: Mapping[str, float] = field(default_factory=dict[str, float])
    _again: Callable[[int], PlacementResult] | None = field(default=None, compare=False)

    @property
    def rows(self) -> tuple[PlacementRow, ...]:
        """Copies of items in levels; empty if nothing fits."""
        return self.solution or ()

    @property
    def read_s(self) -> float:
        """Seconds in which a run moves all items, one level after the other."""
        return sum(row.read_s for row in self.rows)

    @property
    def energy_j(self) -> float:
        """Joules of moving all items; NaN if a level states no energy."""
        return sum(row.energy_j for row in self.rows)

    @property
    def used_bytes(self) -> dict[str, float]:
        """Bytes stored in each level, without copies cached from other levels."""
        used = dict.fromkeys((level.name for level in self.levels), 0.0)
        for row in self.rows:
            used[row.level] += row.stored_bytes
        return used

    @property
    def level_s(self) -> dict[str, float]:
        """Seconds per run in which each level is read."""
        seconds = dict.fromkeys((level.name for level in self.levels), 0.0)
        by_name = {level.name: level for level in self.levels}
        for row in self.rows:
            if row.cached_in:
                hit = row.read_bytes * row.hit_fraction
                seconds[row.cached_in] += hit / by_name[row.cached_in].bandwidth_bytes_per_s
                seconds[row.level] += (row.read_bytes - hit) / by_name[
                    row.level
                ].bandwidth_bytes_per_s
            else:
                seconds[row.level] += row.read_s
        return seconds

    @property
    def assumed_s(self) -> float | None:
        """Seconds of the same reads from the memories that `predict` assumes.

        Weights in the memory that stores them, the KV cache in main memory, whether or not they fit
        there. ``None`` if these are not among the levels.
        """
        rates = {level.name: level.bandwidth_bytes_per_s for level in self.levels}
        setting = self.prediction.setting
        assumed_levels = {"weight": setting.weights_memory, "kv": setting.levels[-1]}
        total = 0.0
        for item in self.items:
            rate = rates.get(assumed_levels[item.role])
            if rate is None:
                return None
            total += item.copies * item.read_bytes / rate
        return total

    def context_limit(self) -> int:
        """Return the longest context at which everything has a place; 0 if there is none.

        Raises
        ------
        InputError
            The workload has no context.
        """
        from perfmodel.schedule.place.place import longest_context

        assert self._again is not None
        return longest_context(self.prediction.workload, self._again)

    @cached_property
    def table(self) -> Table:
        """The rows as a table."""
        texts = ("name", "role", "level", "cached_in")
        columns: dict[str, Any] = {}
        for name in PlacementRow.__slots__:
            values = [getattr(row, name) for row in self.rows]
            columns[name] = np.array(values, dtype=object if name in texts else float)
        if not any(row.cached_in for row in self.rows):
            del columns["cached_in"], columns["hit_fraction"]
        return Table(columns)

    def to_plan(self) -> Plan:
        """Return the placement as a plan of the workload's unrolled graph, in its own order.

        Every weight and cache has a residency in each memory that holds some of it, for the full
        run; activations are in main memory while they are live.

        Raises
        ------
        InputError
            Nothing fits.
        """
        from perfmodel.schedule.place.placement_plan import to_plan

        return to_plan(self)

    @cached_property
    def planned(self) -> Prediction | None:
        """Prediction of the run with this placement; None if nothing fits.

        Levels that are no memories of the device have no energies: None, too.
        """
        p = self.prediction
        memories = {memory.name for memory in p.machine.device.memories}
        if not self.feasible or not memories.issuperset(level.name for level in self.levels):
            return None
        return predict(p.workload, p.machine, precision=p.precision, plan=self.to_plan())

    @property
    def run_energy_j(self) -> float | None:
        """Energy in joules of the run, by the sum of `predict` with this placement.

        Caches of experts are not in it; None if nothing fits, or the device states no energies.
        """
        joule = float("nan") if self.planned is None else float(self.planned.energy_j)
        return None if math.isnan(joule) else joule

    def to_dict(self) -> dict[str, Any]:
        """Return all results as a dictionary for JSON."""
        workload, machine = self.prediction.workload, self.prediction.machine
        return plain(
            {
                "workload": workload.name,
                "device": machine.device.name,
                "runtime": machine.runtime.name,
                "precision": self.prediction.precision,
                "feasible": self.feasible,
                "objective": self.objective,
                "value": self.value,
                "bound": self.bound,
                "proved": self.proved,
                "method": self.method,
                "read_s": self.read_s if self.feasible else None,
                "assumed_s": self.assumed_s,
                "energy_j": self.energy_j if self.feasible else None,
                "run_energy_j": self.run_energy_j,
                **({} if self.planned is None else energy_terms(self.planned)),
                "levels": [
                    {
                        "name": level.name,
                        "capacity_bytes": level.capacity_bytes,
                        "used_bytes": self.used_bytes[level.name],
                        "cache_bytes": self.cache_bytes.get(level.name, 0.0),
                        "bandwidth_bytes_per_s": level.bandwidth_bytes_per_s,
                        "read_s": self.level_s[level.name],
                        "holds": level.holds,
                    }
                    for level in self.levels
                ],
                "rows": self.table.to_records(),
                "violations": self.violations,
            }
        )

    @property
    def headline(self) -> str:
        """Workload, and the least seconds or joules per run, or that nothing fits."""
        prediction = self.prediction
        head = f"{prediction.workload.name} on {prediction.device}, {prediction.precision}"
        if not self.feasible:
            return f"{head}: {'does not fit' if self.proved else 'no placement found'}"
        unit = "time" if self.objective == "latency_s" else "energy"
        least = "the least" if self.proved else f"at most {100 * self.gap:.2g} % above the least"
        return f"{head}: {show(self.value, unit)} a run ({self.method}, {least})"

    def glance(self) -> list[tuple[str, str]]:
        """Return the contents of each memory, and the seconds in which it is read."""
        if not self.feasible:
            return []
        seconds, used = self.level_s, self.used_bytes
        out: list[tuple[str, str]] = []
        for level in self.levels:
            cache = self.cache_bytes.get(level.name, 0.0)
            of = show(level.capacity_bytes, "bytes") if math.isfinite(level.capacity_bytes) else "-"
            text = (
                f"{show(used[level.name], 'bytes'):>10} of {of:>10}  "
                f"{show(level.bandwidth_bytes_per_s, 'bandwidth'):>12}  "
                f"{show(seconds[level.name], 'time'):>10}"
            )
            if cache:
                text += f"  and {show(cache, 'bytes')} of cache"
            out.append((level.name, text))
        return out if self.planned is None else [*out, energy_line(self.planned)]

    def cautions(self) -> list[str]:
        """Return why nothing fits, or the read times under the assumptions of `predict`."""
        if not self.feasible:
            return [str(violation) for violation in self.violations]
        assumed = self.assumed_s
        if assumed is None or self.objective != "latency_s":
            return []
        return [f"where predict assumes it: {show(assumed, 'time')}"]
