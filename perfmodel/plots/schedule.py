"""Plots of schedules, of curves of them, and of patches: the face that ``.plot`` shows."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from perfmodel.plots.page import page

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.curve import Curve
    from perfmodel.schedule.result import Schedule
    from perfmodel.schedule.tiling.face import PatchResult


class SchedulePlots:
    """Plots of a schedule; each returns a plotly figure."""

    def __init__(self, found: Schedule) -> None:
        self._found = found

    def timeline(self) -> Figure:
        """Steps and transfers; see `perfmodel.plots.schedule_timeline.timeline`."""
        from perfmodel.plots.schedule_timeline import timeline

        return timeline(self._found)

    def memory(self, steps: tuple[int, int] | None = None) -> Figure:
        """What lies on chip, where and when; see `perfmodel.plots.schedule_memory.memory`."""
        from perfmodel.plots.schedule_memory import memory

        return memory(self._found, steps)

    def demand(self) -> Figure:
        """What each step needs by itself; see `perfmodel.plots.schedule_demand.demand`."""
        from perfmodel.plots.schedule_demand import demand

        return demand(self._found)

    def compare(self, other: Schedule, names: tuple[str, str] | None = None) -> Figure:
        """Beside another schedule; see `perfmodel.plots.schedule_compare.compare`."""
        from perfmodel.plots.schedule_compare import compare

        return compare(self._found, other, names)

    def page(self, curve: Curve | None = None) -> str:
        """Return an HTML page of its own: the schedule at a glance and its figures.

        Parameters
        ----------
        curve
            Of the same network over capacities, drawn below.
        """
        from perfmodel.schedule.text import html

        s = self._found
        drawn = [self.demand()] if s.outcome.script is None else [self.memory(), self.timeline()]
        if curve is not None:
            drawn.append(CurvePlots(curve).curve())
        return page(s.problem.name, html(s), drawn)

    def __repr__(self) -> str:
        return "plots: timeline, memory, demand, compare"


class CurvePlots:
    """Plots of schedules over capacities; each returns a plotly figure."""

    def __init__(self, found: Curve) -> None:
        self._found = found

    def curve(self) -> Figure:
        """Bytes and latency over capacity; see `perfmodel.plots.schedule_curve.curve`."""
        from perfmodel.plots.schedule_curve import curve

        return curve(self._found)

    def page(self) -> str:
        """Return an HTML page of its own: the curve, its table, and the tightest schedule."""
        from perfmodel.schedule.text import curve_html

        found = self._found
        fitting = [s for s in found.schedules if s.outcome.script is not None]
        drawn = (
            [self.curve(), SchedulePlots(fitting[0]).memory()]
            if fitting
            else [SchedulePlots(found.schedules[-1]).demand()]
        )
        return page(found.schedules[0].problem.name, curve_html(found), drawn)

    def __repr__(self) -> str:
        return "plots: curve"


class PatchPlots:
    """Plots of a plan of patches; each returns a plotly figure."""

    def __init__(self, found: PatchResult) -> None:
        self._found = found

    def memory(self) -> Figure:
        """Activations with and without patches; see `perfmodel.plots.patches.patches`."""
        from perfmodel.plots.patches import patches

        found = self._found
        return patches(found.plan or found.plain, found.plain, capacity=found.at.capacity_bytes)

    def page(self) -> str:
        """Return an HTML page of its own with the plan and the figure."""
        found = self._found
        return page(found.workload, f"<pre>{escape(repr(found))}</pre>", [self.memory()])

    def __repr__(self) -> str:
        return "plots: memory"


def schedule_plots(found: Schedule) -> SchedulePlots:
    """Return the plots of a schedule."""
    return SchedulePlots(found)


def curve_plots(found: Curve) -> CurvePlots:
    """Return the plots of schedules over capacities."""
    return CurvePlots(found)


def patch_plots(found: PatchResult) -> PatchPlots:
    """Return the plots of a plan of patches."""
    return PatchPlots(found)
