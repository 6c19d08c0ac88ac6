"""A prediction as HTML: headline numbers, time by what binds, the slowest kernels."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.prediction.rows import (
    brief,
    facts_line,
    rate,
    row_columns,
    seconds_by_bound,
    warnings_of,
)
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

# Okabe and Ito's colours, as the plots use them: arithmetic, memories from the main one, overheads.
_ARITHMETIC = {"matrix": "#0072B2", "vector": "#56B4E9"}
_MEMORIES = ("#D55E00", "#E69F00", "#CC79A7", "#8F6A00", "#A0522D")
_OTHER = ("#009E73", "#767676")
_ROWS = 8
_LEFT = "text-align:left;padding:2px 10px 2px 0"
_RIGHT = "text-align:right;padding:2px 10px 2px 0"
_SOFT = "opacity:.65;font-weight:normal"


def html(prediction: Prediction) -> str:
    """Return the prediction as an HTML fragment that needs no style sheet and no script."""
    inner = _many(prediction) if prediction.shape else _one(prediction)
    return f"<div>{_head(prediction)}{inner}</div>"


def _head(p: Prediction) -> str:
    machine = p.machine
    bound = [f"{name} {brief(value)}" for name, value in p.workload.parameters.items()]
    rest = ", ".join([*bound, p.precision, f"runtime {machine.runtime.name}"])
    warnings = "".join(
        f"<div style='color:#B24700'>&#9888; {escape(text)}</div>" for text in warnings_of(p)
    )
    return (
        f"<div><b>{escape(p.workload.name)}</b> on <b>{escape(machine.device.name)}</b> "
        f"<span style='{_SOFT}'>{escape(rest)}</span></div>{warnings}"
    )


def _one(p: Prediction) -> str:
    facts = "".join(
        f"<tr><th style='{_LEFT};{_SOFT}'>{escape(label)}</th>"
        f"<td style='{_RIGHT}'>{escape(text)}</td></tr>"
        for label, text in facts_line(p)
    )
    columns = row_columns(p)
    order = np.argsort(-columns["total_s"], kind="stable")[:_ROWS]
    whole = float(p.latency_s) or 1.0
    spent = seconds_by_bound(p)
    names = sorted(spent, key=lambda name: -spent[name])
    colors = _colors(p, names)
    rows = "".join(_row(columns, int(i), whole, colors) for i in order)
    rest = len(columns["name"]) - len(order)
    if rest > 0:
        rows += f"<tr><td style='{_LEFT};{_SOFT}'>and {rest} more</td><td colspan='4'></td></tr>"
    head = "".join(
        f"<th style='{style}'>{text}</th>"
        for text, style in (
            ("kernel", _LEFT), ("times", _RIGHT), ("each", _RIGHT), ("of latency", _LEFT),
            ("bound by", _LEFT),
        )
    )  # fmt: skip
    return (
        f"{_bar(names, spent, whole, colors)}"
        "<div style='display:flex;flex-wrap:wrap;gap:2.5em;align-items:flex-start'>"
        f"<table>{facts}</table><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        "</div>"
    )


def _colors(p: Prediction, names: list[str]) -> dict[str, str]:
    memories = {m: _MEMORIES[i % len(_MEMORIES)] for i, m in enumerate(reversed(p.levels))}
    known = memories | _ARITHMETIC
    others = [name for name in names if name not in known]
    return {n: _OTHER[i % len(_OTHER)] for i, n in enumerate(others)} | known


def _row(columns: dict[str, Any], i: int, whole: float, colors: dict[str, str]) -> str:
    share = float(columns["total_s"][i]) / whole
    bound = str(columns["bound_by"][i])
    bar = (
        f"<span style='display:inline-block;height:.7em;width:{60 * share:.1f}px;"
        f"background:{colors[bound]};margin-right:5px'></span>{100 * share:.1f} %"
    )
    cells = (
        (escape(str(columns["name"][i])), _LEFT),
        (f"{columns['count'][i]:g}", _RIGHT),
        (escape(show(float(columns["row_s"][i]), "time")), _RIGHT),
        (bar, _LEFT),
        (escape(bound), _LEFT),
    )
    return "<tr>" + "".join(f"<td style='{s}'>{text}</td>" for text, s in cells) + "</tr>"


def _bar(names: list[str], spent: dict[str, float], whole: float, colors: dict[str, str]) -> str:
    """Return one bar of the latency, parted by what binds, with its key."""
    parts = "".join(
        f"<span style='width:{100 * spent[n] / whole:.2f}%;background:{colors[n]}' "
        f"title='{escape(n)}: {escape(show(spent[n], 'time'))}'></span>"
        for n in names
    )
    key = " ".join(
        f"<span style='white-space:nowrap;margin-right:1em'><span style='display:inline-block;"
        f"width:.7em;height:.7em;background:{colors[n]}'></span> {escape(n)} "
        f"{100 * spent[n] / whole:.3g} %</span>"
        for n in names
        if spent[n] > 0.0005 * whole
    )
    return (
        "<div style='margin:6px 0 8px;max-width:640px'><div style='display:flex;height:10px;"
        f"background:#8883'>{parts}</div><div style='font-size:smaller'>bound by: {key}</div></div>"
    )


def _many(p: Prediction) -> str:
    """Return the range of each headline number over the points."""
    metrics = [("latency", p.latency_s, "time"), ("memory", p.peak_memory_bytes, "bytes")]
    if p.tokens_per_s is not None:
        metrics.insert(1, ("tokens/s", p.tokens_per_s, ""))
    else:
        metrics.insert(1, (f"{p.workload.unit}/s", p.frames_per_s, ""))
    if not np.any(np.isnan(np.asarray(p.energy_j, dtype=float))):
        metrics.insert(2, (f"energy ({p.energy_boundary})", p.energy_j, "energy"))
    rows = ""
    for label, values, dimension in metrics:
        ends = [float(f(np.asarray(values, dtype=float))) for f in (np.min, np.max)]
        texts = [show(v, dimension) if dimension else rate(v) for v in ends]
        rows += f"<tr><th style='{_LEFT};{_SOFT}'>{escape(label)}</th>" + "".join(
            f"<td style='{_RIGHT}'>{escape(text)}</td>" for text in texts
        )
        rows += "</tr>"
    fit = int(np.sum(np.asarray(p.feasible)))
    count = int(np.prod(p.shape))
    return (
        f"<table><thead><tr><th style='{_LEFT}'></th><th style='{_RIGHT}'>least</th>"
        f"<th style='{_RIGHT}'>most</th></tr></thead><tbody>{rows}</tbody></table>"
        f"<div>{count} points of shape {escape(str(p.shape))}; {fit} fit</div>"
    )
