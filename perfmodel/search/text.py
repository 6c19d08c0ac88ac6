"""A search's result as text: what was found, how sure, what limits cost, bits a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.search.result import shown, strip

if TYPE_CHECKING:
    from perfmodel.search.result import SearchResult

__all__ = ["text_of"]

#: Layers shown one by one in a text.
_MOST = 24


def text_of(r: SearchResult) -> str:
    """Return a result as text."""
    size = math.prod(len(d.options) for d in r.space.decisions)
    n = len(r.space.decisions)
    lines = [
        f"{r.space.name} on {r.device}: {n} decisions, {_count(size)} configurations, {r.method}"
    ]
    lines += _best(r) if r.best is not None else _none(r)
    lines += [f"  note                 {note}" for note in r.notes]
    return "\n".join(lines)


def _best(r: SearchResult) -> list[str]:
    assert r.best is not None
    out = [_row(r.objective, shown(r.objective, abs(r.best.value), r.unit)
                + (f"  ({r.source})" if r.source else ""))]  # fmt: skip
    for use in r.limits:
        metric = use.constraint.metric
        said = f"{shown(metric, use.used)} of {shown(metric, use.constraint.bound)}"
        if math.isfinite(use.price) and use.price > 0:
            said += f", price {use.price:.3g} {r.objective} a unit"
        out.append(_row(metric, said))
    shown_already = {r.objective, *(u.constraint.metric for u in r.limits)}
    for name in ("latency_s", "energy_j", "peak_memory_bytes", "weight_bytes"):
        value = r.best.metrics.get(name, math.nan)
        if name not in shown_already and math.isfinite(value):
            out.append(_row(name, shown(name, value)))
    out.append(_row("proof", _proof(r)))
    out += [_row(name, str(value)) for name, value in r.best.configuration.items()
            if name not in _of_layers(r)]  # fmt: skip
    rows = strip(r.space, r.best.choice)
    return out + (_strip(rows) if rows else [])


def _of_layers(r: SearchResult) -> set[str]:
    return {d.name for d in r.space.decisions if getattr(d, "layers", ())}


def _proof(r: SearchResult) -> str:
    if r.proved:
        return f"proved of the model: {r.model}"
    if math.isfinite(r.gap):
        return f"within {100 * r.gap:.2g} % of a bound; {r.model}"
    return f"no bound; {r.model}"


def _none(r: SearchResult) -> list[str]:
    out = [_row("best", "nothing satisfies the constraints" + (" (proved)" if r.proved else ""))]
    if r.infeasible is not None:
        if r.infeasible.together:
            out.append(_row("cannot be together", "; ".join(r.infeasible.together)))
        out += [
            _row("would open", f"{o.limit} eased from {o.bound:.6g} to {o.least:.6g}")
            for o in r.infeasible.openings if o.least is not None
        ]  # fmt: skip
    return out


def _strip(rows: Sequence[tuple[str, dict[str, str]]]) -> list[str]:
    """Return layers and what is decided of them, runs of equal ones together."""
    runs: list[tuple[str, str, str, int]] = []
    for layer, options in rows:
        said = " ".join(
            f"{_ROLES.get(role, role)}{option or 'as is'}" for role, option in options.items()
        )
        if runs and runs[-1][2] == said:
            first, _, _, n = runs[-1]
            runs[-1] = (first, layer, said, n + 1)
        else:
            runs.append((layer, layer, said, 1))
    width = max((len(_span(first, last)) for first, last, _, _ in runs[:_MOST]), default=0)
    out = [f"  {_span(first, last):{width}}  {said}" + (f"  ({n} layers)" if n > 1 else "")
           for first, last, said, n in runs[:_MOST]]  # fmt: skip
    if len(runs) > _MOST:
        out.append(f"  ... {len(runs) - _MOST} more runs of layers")
    return out


_ROLES = {"weights": "w ", "activations": "a ", "channels": "c "}


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} ... {last}"


def _row(name: str, value: str) -> str:
    return f"  {name:20} {value}"


def _count(size: int) -> str:
    return f"{size:,}" if size < 10**7 else f"{float(size):.2g}"
