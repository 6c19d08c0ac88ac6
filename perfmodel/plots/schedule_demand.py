"""What each step needs on chip by itself, against the capacity: why nothing fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.plots.schedule_stays import title_of
from perfmodel.plots.style import BLUE, INK, VERMILION, axis, binary, figure, ticks

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.result import Schedule


def demand(s: Schedule) -> Figure:
    """Draw the working set of each step, in the network's own order.

    What a step reads and writes, and its scratch, lie on chip together while it runs: a capacity
    below the largest of these sums has no schedule, whatever the order and the spills.
    """
    problem = s.problem
    sets = problem.working_set_bytes
    room = s.capacity_bytes
    over = [room is not None and need > room for need in sets]
    worst = int(np.argmax(sets))
    high = 1.16 * max(*sets, room or 0, 1)
    hover = [
        f"<b>{step.name}</b><br>{binary(need)}"
        + (f", {binary(need - room)} too much" if room is not None and need > room else "")
        for step, need in zip(problem.steps, sets, strict=True)
    ]
    left = worst < len(sets) / 2
    largest = f"{problem.steps[worst].name}: {binary(sets[worst])}"
    notes: list[dict[str, Any]] = [
        {"x": worst, "y": sets[worst], "text": largest, "showarrow": False,
         "xanchor": "left" if left else "right", "yanchor": "bottom", "font": {"size": 12}}
    ]  # fmt: skip
    shapes: list[dict[str, Any]] = []
    if room is not None:
        shapes.append(
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": room, "y1": room,
             "line": {"color": INK, "width": 1.4, "dash": "dash"}}
        )  # fmt: skip
        notes.append(
            {"xref": "paper", "x": 1.0, "y": room, "text": f"capacity<br>{binary(room)}",
             "showarrow": False, "xanchor": "left", "xshift": 6, "align": "left",
             "font": {"size": 12}}
        )  # fmt: skip
    groups = [("fits", BLUE, False), ("needs too much", VERMILION, True)]
    traces = [
        {"type": "bar", "name": name, "width": 1.0, "offset": -0.5,
         "x": [i for i, o in enumerate(over) if o == is_over],
         "y": [need for need, o in zip(sets, over, strict=True) if o == is_over],
         "marker": {"color": color, "line": {"color": "white",
                                             "width": 0.5 if len(sets) <= 300 else 0}},
         "hoverinfo": "text",
         "hovertext": [h for h, o in zip(hover, over, strict=True) if o == is_over],
         "meta": {"over": is_over}}
        for name, color, is_over in groups if is_over in over
    ]  # fmt: skip
    # The loads of inputs are no steps that run.
    runs = [o for o, step in zip(over, problem.steps, strict=True) if not step.load]
    count = sum(runs)
    says = (
        f"{count} of {len(runs)} steps need more than {binary(room)}"
        if room is not None and count
        else f"every step by itself fits; the largest needs {binary(sets[worst])}"
        if room is not None
        else f"the largest working set is {binary(sets[worst])}"
    )
    return figure(
        traces, f"What each step of {title_of(s)} needs on chip",
        f"{s.scheduled.precision}: what it reads, writes and its scratch; {says}",
        f"Working sets of {title_of(s)}: {says}. The largest is {binary(sets[worst])} at step "
        f"{worst}, {problem.steps[worst].name}.",
        shapes=shapes, annotations=notes, barmode="overlay", bargap=0.0,
        margin={"l": 95, "r": 110, "t": 84, "b": 66},
        xaxis=axis("step, in the order of the network", range=[-0.5, len(sets) - 0.5],
                   showgrid=False),
        yaxis=axis("working set", range=[0, high], **ticks(high, "bytes", 7)),
        showlegend=len(traces) > 1,
        legend={"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
