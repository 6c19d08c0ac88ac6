"""Pages of results whose pictures depend on what there is to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.charts.page import page
from perfmodel.charts.schedule_curve import curve as curve_picture
from perfmodel.charts.schedule_memory import demand, memory
from perfmodel.charts.schedule_timeline import timeline
from perfmodel.charts.search_front import front as front_picture
from perfmodel.charts.search_layers import layers

if TYPE_CHECKING:
    from perfmodel.schedule.curve import Curve
    from perfmodel.schedule.result import Schedule
    from perfmodel.search.result import SearchResult


def schedule_page(s: Schedule, curve: Curve | None = None) -> str:
    """Return a page of a schedule, and of a curve of the same network where there is one."""
    below = [] if curve is None else [curve_picture.chart(curve)]
    none = s.outcome.script is None
    charts = [demand.chart(s)] if none else [memory.chart(s), timeline.chart(s)]
    return page(s.problem.name, s.to_html(), [*charts, *below])


def curve_page(curve: Curve) -> str:
    """Return a page of schedules over capacities: the curve, its table, the tightest schedule."""
    fitting = [s for s in curve.schedules if s.outcome.script is not None]
    charts = [demand.chart(curve.schedules[-1])]
    if fitting:
        charts = [curve_picture.chart(curve), memory.chart(fitting[0])]
    return page(curve.schedules[0].problem.name, curve.to_html(), charts)


def search_page(result: SearchResult, *, front: bool = False) -> str:
    """Return a page of a search, with its front where that is wanted."""
    charts = [front_picture.chart(result)] if front else []
    charts += [layers.chart(result)] if result.best is not None else []
    return page(f"{result.space.name} on {result.device}", result.to_html(), charts)
