"""On-chip activations layer by layer, with and without patches, against the capacity.

The form of the plot is that of figure 1 of Lin et al., "MCUNetV2", NeurIPS 2021.
"""

from __future__ import annotations

from perfmodel.charts import (
    BLUE,
    GREY,
    PALE,
    VERMILION,
    Band,
    Chart,
    ChartAxis,
    Lines,
    Note,
    Panel,
    Picture,
    ReferenceLine,
    binary,
    percent,
)
from perfmodel.charts.prediction_point import size_of
from perfmodel.errors import input_error
from perfmodel.schedule.tiling.patch_parameters import PatchStageCost
from perfmodel.schedule.tiling.patch_plan_result import PatchPlan, layer_by_layer
from perfmodel.schedule.tiling.patches_question import PatchResult

_OVERLAP = {
    "recompute": "overlap computed again",
    "horizontal": "columns of the overlap kept",
    "cached": "overlap kept",
}


@Picture
def patches(
    plan: PatchPlan, plain: PatchPlan | None = None, *, capacity: float | str | None = None
) -> Chart:
    """Draw the peak bytes on chip of each layer, for a plan and for layer-by-layer execution.

    Parameters
    ----------
    plan
        Result of `perfmodel.schedule.tiling.patch_plan`; patched stages are shaded.
    plain
        Reference; by default the same network layer by layer.
    capacity
        Capacity for activations: bytes, or a text such as ``"256 KiB"``.

    Raises
    ------
    InputError
        An invalid capacity, or plans of different networks.
    """
    plain = layer_by_layer(plan.network) if plain is None else plain
    if len(plain.held_bytes) != len(plan.held_bytes):
        raise input_error("the two plans are not of one network", path="plain")
    room = None if capacity is None else size_of(capacity, "capacity", "capacity")
    high = 1.12 * max(plain.peak_bytes, plan.peak_bytes, room or 0)
    net = plan.network
    bands, notes = _stage_bands(plan, high)
    limits: list[ReferenceLine] = []
    if room is not None:
        limits = [ReferenceLine(room, text=f"memory {binary(room)}", width=1.2)]
    return Chart(
        f"Memory of {net.name} with and without patches",
        f"activations on chip while each layer runs; {_subtitle(plan)}",
        _text_alternative(plan, plain, room),
        [
            Panel(
                ChartAxis("layers in order", 0.5, len(net.layers) + 0.5, grid=False),
                ChartAxis("activations on chip", 0.0, high, "bytes", most=7),
                [
                    _peak_line(plain, "layer by layer", VERMILION, "rgba(213,94,0,0.15)"),
                    _peak_line(plan, "with patches", BLUE, "rgba(0,114,178,0.25)"),
                ],
                bands=bands,
                limits=limits,
                notes=notes,
            )
        ],
        legend="inside",
    )


@Picture
def patch_memory(result: PatchResult) -> Chart:
    """Draw the activations of a plan and of layer-by-layer execution; see `patches`."""
    plan = result.plan or result.plain
    return patches.chart(plan, result.plain, capacity=result.at.capacity_bytes)


def _peak_line(plan: PatchPlan, name: str, color: str, fill: str) -> Lines:
    """Return the peak bytes of a plan over its layers, as steps."""
    bytes_ = plan.held_bytes
    stages = [s for s in plan.stages for _ in s.held_bytes]
    hover = [
        f"<b>{layer.name}</b><br>{name}: {binary(most)}<br>{_execution_of(stage)}"
        for layer, most, stage in zip(plan.network.layers, bytes_, stages, strict=True)
    ]
    # Steps extend half a place to both sides of their layer.
    return Lines(
        f"{name}: peak {binary(plan.peak_bytes)}",
        [0.5, *range(1, len(bytes_) + 1), len(bytes_) + 0.5],
        [bytes_[0], *bytes_, bytes_[-1]],
        [hover[0], *hover, hover[-1]],
        color=color,
        width=1.8,
        step="hvh",
        fill=fill,
        meta={"plan": name, "peak_bytes": plan.peak_bytes},
    )


def _patched_stages(plan: PatchPlan) -> list[PatchStageCost]:
    """Return the stages of a plan that run in patches."""
    return [stage for stage in plan.stages if stage.patches.count > 1]


def _grid_text(stage: PatchStageCost) -> str:
    """Return the grid of a stage's patches as text."""
    return " × ".join(map(str, stage.patches.grid))


def _execution_of(stage: PatchStageCost) -> str:
    """Return how a stage runs: whole, or in which patches with how much more work."""
    if stage.patches.count == 1:
        return "whole"
    more = percent(stage.extra_macs, stage.least_macs) if stage.extra_macs else "no"
    return f"{_grid_text(stage)} patches, {_OVERLAP[stage.patches.mode]}, {more} more work"


def _stage_bands(plan: PatchPlan, high: float) -> tuple[list[Band], list[Note]]:
    """Return shading and labels of patched stages."""
    bands: list[Band] = []
    notes: list[Note] = []
    level, last = 0, 0.0
    for stage in _patched_stages(plan):
        p, text = stage.patches, _grid_text(stage)
        bands.append(Band(p.start + 0.5, p.end + 0.5, color="#F1F1F1", edge=PALE))
        place = (p.start + p.end + 1) / 2
        half = 0.0045 * len(plan.network.layers) * len(text)
        # Labels that would overlap alternate between three levels.
        level = level + 1 if place - half < last else 0
        last = place + half
        notes.append(
            Note(
                text,
                place,
                high * (0.985 - 0.04 * (level % 3)),
                anchor="auto top",
                size=11,
                color=GREY,
                hover=_execution_of(stage),
            )
        )
    return bands, notes


def _subtitle(plan: PatchPlan) -> str:
    """Return the effect of patches on the work, as the subtitle."""
    patched = _patched_stages(plan)
    if not patched:
        return "nothing runs in patches"
    work = percent(plan.extra_macs, plan.network.macs) if plan.extra_macs else "0 %"
    modes = "; ".join(dict.fromkeys(_OVERLAP[s.patches.mode] for s in patched))
    return f"shaded: in patches, {modes}; {work} more multiply-accumulates"


def _text_alternative(plan: PatchPlan, plain: PatchPlan, room: float | None) -> str:
    """Return the picture as text."""
    names = [layer.name for layer in plan.network.layers]
    low, high = binary(plan.peak_bytes), binary(plain.peak_bytes)
    parts = [
        f"Activations of {plan.network.name} on chip over {len(names)} layers.",
        f"Layer by layer they peak at {high}, with patches at {low}.",
    ]
    if room is not None:
        fits = [
            f"{name} {'fits' if p.peak_bytes <= room else 'does not fit'}"
            for name, p in (("layer by layer", plain), ("with patches", plan))
        ]
        parts.append(f"In {binary(room)} {' and '.join(fits)}.")
    for stage in _patched_stages(plan):
        p = stage.patches
        parts.append(f"{names[p.start]} to {names[p.end - 1]}: {_execution_of(stage)}.")
    return " ".join(parts)
