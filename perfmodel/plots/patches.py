"""Activations on chip layer by layer, with and without patches, against what the memory holds.

The form of the plot is that of figure 1 of Lin et al., "MCUNetV2", NeurIPS 2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from perfmodel.errors import input_error
from perfmodel.plots.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    VERMILION,
    axis,
    binary,
    figure,
    percent,
    ticks,
)
from perfmodel.schedule.tiling.choose import PatchPlan, layer_by_layer
from perfmodel.schedule.tiling.patches import PatchStageCost
from perfmodel.units import UnitError, parse

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_OVERLAP = {
    "recompute": "overlap computed again",
    "horizontal": "columns of the overlap kept",
    "cached": "overlap kept",
}


def patches(
    plan: PatchPlan, plain: PatchPlan | None = None, *, capacity: float | str | None = None
) -> Figure:
    """Draw the most bytes on chip while each layer runs, of a plan and of layer by layer.

    Parameters
    ----------
    plan
        Of `perfmodel.schedule.tiling.choose.patch_plan`; stretches that run in patches are shaded.
    plain
        What to compare with; by default the same network layer by layer.
    capacity
        What the memory holds of activations: bytes, or a text such as ``"256 KiB"``.

    Raises
    ------
    InputError
        A capacity that is none, or plans of different networks.
    """
    plain = layer_by_layer(plan.network) if plain is None else plain
    if len(plain.held_bytes) != len(plan.held_bytes):
        raise input_error("the two plans are not of one network", path="plain")
    room = None if capacity is None else _capacity(capacity)
    high = 1.12 * max(plain.peak_bytes, plan.peak_bytes, room or 0)
    shapes, notes = _stages(plan, high)
    if room is not None:
        shapes.append(
            {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": room, "y1": room,
             "line": {"color": INK, "width": 1.2, "dash": "dash"}}
        )  # fmt: skip
        notes.append(
            {"x": 1, "xref": "x domain", "y": room, "text": f"memory {binary(room)}",
             "xanchor": "right", "yanchor": "bottom", "showarrow": False, "font": {"size": 12}}
        )  # fmt: skip
    net = plan.network
    return figure(
        [
            _trace(plain, "layer by layer", VERMILION, "rgba(213,94,0,0.15)"),
            _trace(plan, "with patches", BLUE, "rgba(0,114,178,0.25)"),
        ],
        f"Memory of {net.name} with and without patches",
        f"activations on chip while each layer runs; {_summary(plan)}",
        _alt(plan, plain, room),
        shapes=shapes, annotations=notes,
        xaxis=axis("layers in order", range=[0.5, len(net.layers) + 0.5], showgrid=False),
        yaxis=axis("activations on chip", range=[0, high], **ticks(high, "bytes", 7)),
        legend={"x": 0.98, "y": 0.9, "xanchor": "right", "bgcolor": "rgba(255,255,255,0.8)"},
    )  # fmt: skip


def _capacity(capacity: float | str) -> float:
    try:
        value = parse(capacity, "bytes") if isinstance(capacity, str) else float(capacity)
    except UnitError as error:
        raise input_error(error.message, path="capacity", expected=error.expected) from None
    if not (math.isfinite(value) and value > 0):
        raise input_error(f"{capacity} is no capacity", path="capacity", expected="bytes above 0")
    return value


def _trace(plan: PatchPlan, name: str, color: str, fill: str) -> dict[str, Any]:
    held = plan.held_bytes
    stages = [s for s in plan.stages for _ in s.held_bytes]
    hover = [
        f"<b>{layer.name}</b><br>{name}: {binary(held[i])}<br>{_how(stages[i])}"
        for i, layer in enumerate(plan.network.layers)
    ]
    # A step is as wide as its layer, half a place to both sides.
    return {
        "type": "scatter", "mode": "lines", "name": f"{name}: peak {binary(plan.peak_bytes)}",
        "x": [0.5, *range(1, len(held) + 1), len(held) + 0.5], "y": [held[0], *held, held[-1]],
        "line": {"color": color, "width": 1.8, "shape": "hvh"}, "fill": "tozeroy",
        "fillcolor": fill, "hoverinfo": "text", "hovertext": [hover[0], *hover, hover[-1]],
        "meta": {"plan": name, "peak_bytes": plan.peak_bytes},
    }  # fmt: skip


def _grid(stage: PatchStageCost) -> str:
    return " × ".join(map(str, stage.patches.grid))


def _how(stage: PatchStageCost) -> str:
    if stage.patches.count == 1:
        return "whole"
    more = percent(stage.extra_macs, stage.least_macs) if stage.extra_macs else "no"
    return f"{_grid(stage)} patches, {_OVERLAP[stage.patches.mode]}, {more} more work"


def _stages(plan: PatchPlan, high: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return shades and labels of the stretches that run in patches."""
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    total = len(plan.network.layers)
    level = 0
    end_of_label = 0.0
    for stage in plan.stages:
        p = stage.patches
        if p.count == 1:
            continue
        shapes.append(
            {"type": "rect", "x0": p.start + 0.5, "x1": p.end + 0.5, "y0": 0, "y1": 1,
             "yref": "y domain", "fillcolor": "#F1F1F1", "layer": "below",
             "line": {"width": 1, "color": PALE}}
        )  # fmt: skip
        text = _grid(stage)
        place = (p.start + p.end + 1) / 2
        wide = 0.009 * total * len(text)
        level = level + 1 if place - wide / 2 < end_of_label else 0
        end_of_label = place + wide / 2
        notes.append(
            {"x": place, "y": high * (0.985 - 0.04 * (level % 3)), "text": text,
             "showarrow": False, "yanchor": "top", "font": {"size": 11, "color": GREY},
             "hovertext": _how(stage)}
        )  # fmt: skip
    return shapes, notes


def _summary(plan: PatchPlan) -> str:
    patched = [s for s in plan.stages if s.patches.count > 1]
    if not patched:
        return "nothing runs in patches"
    work = percent(plan.extra_macs, plan.network.macs) if plan.extra_macs else "0 %"
    kinds = "; ".join(dict.fromkeys(_OVERLAP[s.patches.mode] for s in patched))
    return f"shaded: in patches, {kinds}; {work} more multiply-accumulates"


def _alt(plan: PatchPlan, plain: PatchPlan, room: float | None) -> str:
    low, high = binary(plan.peak_bytes), binary(plain.peak_bytes)
    parts = [
        f"Activations of {plan.network.name} on chip over {len(plan.network.layers)} layers.",
        f"Layer by layer they peak at {high}, with patches at {low}.",
    ]
    if room is not None:
        fits = [
            f"{name} {'fits' if p.peak_bytes <= room else 'does not fit'}"
            for name, p in (("layer by layer", plain), ("with patches", plan))
        ]
        parts.append(f"In {binary(room)} {' and '.join(fits)}.")
    names = [layer.name for layer in plan.network.layers]
    for stage in plan.stages:
        p = stage.patches
        if p.count > 1:
            parts.append(f"{names[p.start]} to {names[p.end - 1]}: {_how(stage)}.")
    return " ".join(parts)
