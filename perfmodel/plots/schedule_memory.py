"""The memory of a schedule over its order: what lies where, what is spilled and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfmodel.errors import input_error
from perfmodel.plots.memory_map import memory_map
from perfmodel.plots.schedule_stays import COLORS, ResidencyRectangle, pieces, proof, title_of
from perfmodel.plots.style import INK, VERMILION, binary
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.schedule.result import Schedule


def memory(s: Schedule, steps: tuple[int, int] | None = None) -> Figure:
    """Draw what is on chip at each step of the order, at its address, below the capacity.

    Spills and reloads are marked; a dotted line leads from where a tensor left to where it comes
    back. Without addresses the tensors are stacked, the oldest below.

    Parameters
    ----------
    steps
        Positions of the order from the first until just before the second; by default all.

    Raises
    ------
    InputError
        There is no schedule, or no such positions.
    """
    found = pieces(s)
    count = len(s.script.order)
    begin, end = steps or (0, count)
    if not 0 <= begin < end <= count:
        expected = f"a first and a later one within 0 and {count}"
        said = f"{steps} are no positions of the order"
        raise input_error(said, path="steps", expected=expected)
    found = [p for p in found if p.upper > begin and p.lower < end]
    packed = s.layout is not None and s.layout.packed
    kinds = {p.name: p.kind for p in found}
    says = [
        f"{binary(s.trace.spill_bytes)} spilled, {binary(s.trace.reload_bytes)} reloaded",
        f"peak {binary(s.peak_bytes)}",
    ]
    if s.layout is not None and packed:
        says.append(f"packed into {binary(s.layout.height_bytes)}")
    elif s.layout is not None:
        says.append(f"no addresses: {binary(s.layout.gap_bytes)} short of a packing")
    says.append(proof(s))
    # Cut to what is shown, so that names stand in the middle of it.
    shown = [p._replace(lower=max(p.lower, begin), upper=min(p.upper, end)) for p in found]
    drawn: Any = memory_map(
        [p[:5] for p in shown], s.capacity_bytes, kinds=kinds,
        title=f"Memory of {title_of(s)} over the schedule",
        subtitle=f"{s.scheduled.precision}, {s.method}: {'; '.join(says)}",
        time="step of the order",
    )  # fmt: skip
    hover = {
        (cut.name, cut.lower, cut.offset): _hover(s, p)
        for cut, p in zip(shown, found, strict=True)
    }  # fmt: skip
    for trace in drawn.data:
        if trace.type != "bar":
            continue
        kind: str = trace.meta["kind"]
        trace.marker.color = COLORS[kind]
        trace.hovertext = [
            hover[name.partition("<br>")[0], x - wide / 2, base]
            for name, x, wide, base in zip(
                trace.hovertext, trace.x, trace.width, trace.base, strict=True
            )
        ]
    for trace in _moves(s, found):
        drawn.add_trace(trace)
    drawn.layout.xaxis.range = [begin, end]
    drawn.layout.yaxis.title.text = "address" if packed else "bytes on chip"
    for note in drawn.layout.annotations:
        if s.capacity_bytes is not None:
            note.text = note.text.replace(
                show(float(s.capacity_bytes), "bytes"), binary(s.capacity_bytes)
            )
    drawn.layout.meta = {"alt": _alt(s, found, packed=packed)}
    return drawn


def _hover(s: Schedule, p: ResidencyRectangle) -> str:
    order, steps = s.script.order, s.problem.steps
    first, last = int(p.lower), max(int(p.lower), int(p.upper - 0.25))
    lines = [
        f"<b>{p.name}</b>: {binary(p.size)} at {p.offset}",
        f"from step {first}, {steps[order[first]].name}",
        f"to step {last}, {steps[order[last]].name}",
    ]
    if p.stay >= 0:
        stay = s.trace.intervals[p.stay]
        lines += ["reloaded before it"] if stay.reloaded else []
        lines += ["spilled after it"] if stay.spilled else []
    return "<br>".join(lines)


def _moves(s: Schedule, found: list[ResidencyRectangle]) -> list[dict[str, Any]]:
    """Return marks where tensors leave and come back, and lines between the two."""
    stays = s.trace.intervals
    first: dict[int, ResidencyRectangle] = {}
    last: dict[int, ResidencyRectangle] = {}
    for p in found:
        if p.stay >= 0:
            first[p.stay] = min(first.get(p.stay, p), p, key=lambda q: q.lower)
            last[p.stay] = max(last.get(p.stay, p), p, key=lambda q: q.upper)
    left = {i: last[i] for i, stay in enumerate(stays) if stay.spilled and i in last}
    back = {i: first[i] for i, stay in enumerate(stays) if stay.reloaded and i in first}
    by_buffer: dict[int, list[int]] = {}
    for i, stay in enumerate(stays):
        by_buffer.setdefault(stay.buffer, []).append(i)
    x: list[float | None] = []
    y: list[float | None] = []
    for i, p in back.items():
        mine = sorted(by_buffer[stays[i].buffer], key=lambda j: stays[j].first)
        at = mine.index(i)
        before = last.get(mine[at - 1]) if at else None
        if before is not None:
            x += [before.upper, p.lower, None]
            y += [before.offset + before.size / 2, p.offset + p.size / 2, None]
    out: list[dict[str, Any]] = []
    if x:
        out.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": "off chip",
             "line": {"color": VERMILION, "width": 1, "dash": "dot"}, "hoverinfo": "skip"}
        )  # fmt: skip
    for name, which, symbol in (("spill", left, "triangle-up"), ("reload", back, "triangle-down")):
        if which:
            ends = [p.upper if name == "spill" else p.lower for p in which.values()]
            out.append(
                {"type": "scatter", "mode": "markers", "name": name, "x": ends,
                 "y": [p.offset + p.size / 2 for p in which.values()], "hoverinfo": "text",
                 "hovertext": [f"{name} of {p.name}: {binary(p.size)}" for p in which.values()],
                 "marker": {"symbol": symbol, "size": 11 if len(stays) <= 150 else 7,
                            "color": VERMILION if name == "spill" else INK,
                            "line": {"color": "white", "width": 0.8}},
                 "meta": {"move": name}}
            )  # fmt: skip
    return out


def _alt(s: Schedule, found: list[ResidencyRectangle], *, packed: bool) -> str:
    steps = len(s.script.order)
    how = "at their addresses" if packed else "stacked, without addresses"
    stays = len({p.stay for p in found} - {-1})
    said = f"{stays} stays of tensors {how}, at most {binary(s.peak_bytes)}"
    parts = [f"Memory of {title_of(s)} over {steps} steps: {said}"]
    if s.capacity_bytes is not None:
        parts[0] += f" of {binary(s.capacity_bytes)}"
    names = [
        f"{s.problem.buffers[i.buffer].name} ({binary(s.problem.buffers[i.buffer].size_bytes)}) "
        f"after step {i.last}"
        for i in s.trace.intervals
        if i.spilled
    ]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        parts.append(f"Spilled: {', '.join(names[:3])}{more}")
    moved = f"{binary(s.spill_bytes)} are spilled, {binary(s.reload_bytes)} reloaded"
    return ". ".join([*parts, moved if s.trace.cost_bytes else "Nothing is spilled", ""]).strip()
