"""Text of a search result: best configuration, proof, prices of limits, options per layer.

The price of a limit is its Lagrange multiplier: the change of the objective per unit of the bound.
Charts and reports of a search use the same functions, so that all state a proof in the same words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from perfmodel.columns import RATE, dimension_of, more_is_better
from perfmodel.errors import InputError
from perfmodel.metrics import ENERGIES
from perfmodel.prediction.presentation import spread_lines
from perfmodel.search.constraints import Constraint, parse_constraints
from perfmodel.search.search_result import shown
from perfmodel.table.text import align_columns
from perfmodel.units import binary, is_number

if TYPE_CHECKING:
    from perfmodel.search.exact import Opening
    from perfmodel.search.search_result import SearchResult
    from perfmodel.table import Table

#: Maximum number of runs of layers in a text.
_MAX_RUNS = 24

#: Units of prices by dimension, in descending order.
_UNITS: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "bytes": (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)),
    "time": (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)),
    "energy": (("J", 1), ("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9)),
    "power": (("W", 1), ("mW", 1e-3), ("uW", 1e-6)),
}


def head_line(r: SearchResult) -> str:
    """Return the line with space, device, size and method."""
    size = math.prod(len(d.options) for d in r.space.decisions)
    n = len(r.space.decisions)
    noun = "decision" if n == 1 else "decisions"
    return f"{r.space.name} on {r.device}: {n} {noun}, {_count(size)} configurations, {r.method}"


def glance(r: SearchResult) -> list[tuple[str, str]]:
    """Return (label, text) pairs of the best configuration, or of the infeasibility."""
    return _infeasible_lines(r) if r.best is None else _best_lines(r)


def explanation(r: SearchResult) -> str:
    """Return the answer with its bound, the model of its proof, and the search's counts."""
    lines = [f"{'proved' if r.proved else 'not proved'}; the model: {r.model}"]
    if math.isfinite(r.bound):
        bound = quantity(r.objective, _displayed_value(r, r.bound), r.unit)
        lines.append(f"no configuration is better than {bound}")
    if r.work:
        lines.append(f"counted: {', '.join(f'{name} {n}' for name, n in r.work.items())}")
    return "\n".join([str(r), "", *lines])


def quantity(name: str, value: float, unit: str = "") -> str:
    """Return a metric with its unit, bytes with binary prefixes, in the notation of limits."""
    if dimension_of(name) == "bytes" and math.isfinite(value):
        return binary(value, digits=4)
    if dimension_of(name) == RATE and math.isfinite(value):
        return f"{value:.4g}/s"
    return shown(name, value, unit)


def model_of(r: SearchResult) -> str:
    """Return the model of a proof without its source, which is shown with the objective."""
    return r.model.replace(f" ({r.source})", "") if r.source else r.model


def proof_text(r: SearchResult) -> str:
    """Return the certainty of a result, and the model it applies to."""
    model = model_of(r)
    if r.proved:
        return f"proved under the model: {model}"
    if math.isfinite(r.gap):
        return f"within {100 * r.gap:.2g} % of a bound; {model}"
    return f"no bound; {model}"


def price_text(r: SearchResult, constraint: Constraint, price: float) -> str:
    """Return the marginal cost of a limit: ``each KiB less costs 0.0024 sensitivity``."""
    dimension = dimension_of(constraint.metric)
    unit, scale = "", 1.0
    for name, size in _UNITS.get(dimension, ()):
        if abs(constraint.bound) >= 4.0 * size:
            unit, scale = name, float(size)
            break
    cost = _cost(r, abs(price) * scale)
    way = "less" if constraint.at_most else "more"
    if unit:
        return f"each {unit} {way} costs {cost}"
    cost = _cost(r, abs(price * constraint.bound) * 0.01)
    return f"1 % {way} costs {cost}"


def relief_lines(
    r: SearchResult, eased: Mapping[str, float | None], share: float = 0.1
) -> list[str]:
    """Return one line per limit: the objective with its bound relaxed by a share.

    Parameters
    ----------
    eased
        As returned by `SearchResult.relief`.
    """
    if not eased:
        return ["there is no limit to ease"]
    out = [f"what {100 * share:g} % more of each limit would change, the others as they are:"]
    width = max((len(text) for text in eased), default=0)
    for text, value in eased.items():
        known = None if value is None or not math.isfinite(value) else _displayed_value(r, value)
        if known is None:
            change = "still nothing satisfies the constraints"
        elif r.best is None:
            change = f"opens it: {r.objective} {quantity(r.objective, known, r.unit)}"
        else:
            now = _displayed_value(r, r.best.value)
            if abs(known - now) <= 1e-9 * max(abs(now), 1e-300):
                change = "nothing"
            else:
                change = (
                    f"{r.objective} {quantity(r.objective, known, r.unit)} instead of "
                    f"{quantity(r.objective, now, r.unit)}"
                )
                if now:
                    change += f" ({100 * (known / now - 1):+.2g} %)"
        out.append(f"  {text:{width}}  {change}")
    return out


def front_text(r: SearchResult, table: Table) -> str:
    """Return a front with one line per point: both metrics, the proof, and counts of options."""
    metric = next((n for n in table if n != r.objective), r.objective)
    lines = [f"front of {r.objective} against {metric}, {len(table)} points:"]
    rows: list[tuple[str, str, str, str]] = []
    for i in range(len(table)):
        value, bound = float(table[r.objective][i]), _bound(table, i)
        gap = abs(value - bound) / max(abs(value), 1e-300)
        sure = (
            "proved"
            if gap <= 1e-6
            else (f"within {100 * gap:.2g} %" if math.isfinite(gap) else "no bound")
        )
        options_text = ", ".join(options_of(r, table, i))
        rows.append(
            (
                quantity(metric, float(table[metric][i])),
                quantity(r.objective, value, r.unit),
                sure,
                options_text,
            )
        )
    texts = align_columns([(*row[:3], _truncated(row[3])) for row in rows], range(3))
    lines += [f"  {line}" for line in texts]
    return "\n".join(lines)


def options_of(r: SearchResult, table: Table, i: int) -> list[str]:
    """Return the options in a row of a front: counts of layer options, then all others."""
    layered: Counter[str] = Counter()
    others: list[str] = []
    for decision in r.space.decisions:
        if decision.name not in table:
            continue
        name: str = decision.name
        option = str(table[name][i])
        if not getattr(decision, "layers", ()):
            others.append(f"{decision.name} {option}")
        elif decision.role == "channels" and decision.full_width:
            layered[f"{100 * float(option) / decision.full_width:.0f} % channels"] += 1
        else:
            layered[f"{_ROLES.get(decision.role, '')}{option or 'as is'}"] += 1
    return [f"{n} x {option}" for option, n in sorted(layered.items())] + others


def _bound(table: Table, i: int) -> float:
    return float(table["bound"][i]) if "bound" in table else -math.inf


def option_text(name: str, value: Any) -> str:
    """Return an option with its unit."""
    if is_number(value) and "." in name:
        return quantity(name, float(value))
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def short_option(role: str, option: str) -> str:
    """Return a layer's option in short form: ``w int4``, ``48 channels``."""
    if role == "channels":
        return f"{option} channels"
    return f"{_ROLES.get(role, role + ' ')}{option or 'as is'}"


def _displayed_value(r: SearchResult, value: float) -> float:
    """Return an objective for display: values of which more is better are searched negated."""
    return -value if more_is_better(r.objective) else value


def _cost(r: SearchResult, price: float) -> str:
    dimension = dimension_of(r.objective)
    if dimension in _UNITS:
        return quantity(r.objective, price)
    return f"{price:.3g} {r.unit or r.objective}"


def _source_suffix(r: SearchResult, metric: str) -> str:
    """Return the source of a loss; empty for other metrics."""
    return f"  ({r.source})" if r.source and metric in ("accuracy_drop", "sensitivity") else ""


def _best_lines(r: SearchResult) -> list[tuple[str, str]]:
    """Return (label, text) pairs of the best configuration, its limits and its proof."""
    assert r.best is not None
    value = _displayed_value(r, r.best.value)
    out = [(r.objective, quantity(r.objective, value, r.unit) + _source_suffix(r, r.objective))]
    for use in r.limits:
        metric = use.constraint.metric
        unit = r.unit if metric == r.objective else ""
        sign = "at most" if use.constraint.at_most else "at least"
        usage = (
            f"{quantity(metric, use.used, unit)} of {sign} "
            f"{quantity(metric, use.constraint.bound, unit)}"
        )
        if math.isfinite(use.price):
            usage += "; " + (
                price_text(r, use.constraint, use.price) if use.price else "costs nothing"
            )
        out.append((metric, usage + _source_suffix(r, metric)))
    shown_already = {r.objective, *(u.constraint.metric for u in r.limits)}
    for name in ("latency_s", "energy_j", "peak_memory_bytes", "weight_bytes"):
        value = r.best.metrics.get(name, math.nan)
        if name not in shown_already and math.isfinite(value):
            out.append((name, quantity(name, value)))
    if r.prediction is not None:
        out += [
            (f"time,{label}" if "%" in label else label.strip(), text)
            for label, text in spread_lines(r.prediction)
        ]
        out += _energy_interval(r)
    out.append(("proof", proof_text(r)))
    layered = {d.name for d in r.space.decisions if getattr(d, "layers", ())}
    out += [
        (name, option_text(name, value))
        for name, value in r.best.configuration.items()
        if name not in layered
    ]
    return out


def _energy_interval(r: SearchResult) -> list[tuple[str, str]]:
    """Return the interval of an energy or a power that the search minimised or limited."""
    named = dict.fromkeys((r.objective, *(use.constraint.metric for use in r.limits)))
    prediction = r.prediction
    if prediction is None:
        return []
    known = f"({prediction.energy_boundary}; {prediction.energy_basis})"
    return [
        (f"{name}, 90 % in", f"{prediction.interval(name).show(dimension_of(name))} {known}")
        for name in named
        if name in ENERGIES
    ]


def _infeasible_lines(r: SearchResult) -> list[tuple[str, str]]:
    """Return (label, text) pairs of an infeasible or undecided search."""
    verdict = "nothing satisfies the constraints"
    if not r.decided:
        verdict = (
            "nothing was found in time; whether anything satisfies the constraints is not known"
        )
    out = [("best", verdict)]
    if r.proved:
        out.append(("proof", proof_text(r)))
    if r.infeasible is not None:
        if len(r.infeasible.together) == 1:
            out.append(("cannot be", r.infeasible.together[0]))
        elif r.infeasible.together:
            out.append(("cannot be together", "; ".join(r.infeasible.together)))
        out += [
            ("would open it", _opening(opening))
            for opening in r.infeasible.openings
            if opening.least is not None
        ]
    return out


def _opening(opening: Opening) -> str:
    """Return the relaxation of one limit that makes the problem feasible."""
    assert opening.least is not None
    try:
        (limit,) = parse_constraints(opening.limit, [opening.limit.split()[0]])
    except (InputError, ValueError):
        name = "x_bytes" if opening.limit.endswith("holds the network") else ""
        return (
            f"{opening.limit}: {quantity(name, opening.least)} instead of "
            f"{quantity(name, opening.bound)}"
        )
    sign = "<=" if limit.at_most else ">="
    sure = "" if opening.proved else " (less may do)"
    return f"{limit.metric} {sign} {_relaxed_bound(limit, opening.least)} alone{sure}"


def _relaxed_bound(limit: Constraint, least: float) -> str:
    """Return a bound rounded to four digits in the direction that relaxes it."""
    text = quantity(limit.metric, least)
    for step in range(1, 12):
        written = text.removesuffix("/s")
        (read,) = parse_constraints(f"{limit.metric} <= {written}", [limit.metric])
        if read.bound >= least if limit.at_most else read.bound <= least:
            break
        nudge = 1.0 + 1e-4 * step if limit.at_most else 1.0 - 1e-4 * step
        text = quantity(limit.metric, least * nudge)
    return text


def strip_lines(rows: Sequence[tuple[str, dict[str, str]]]) -> list[str]:
    """Return layers with their options, one line per run of layers with equal options."""
    runs: list[tuple[str, str, str, int]] = []
    for layer, options in rows:
        shown_options = ", ".join(short_option(role, option) for role, option in options.items())
        if runs and runs[-1][2] == shown_options:
            first, _, _, n = runs[-1]
            runs[-1] = (first, layer, shown_options, n + 1)
        else:
            runs.append((layer, layer, shown_options, 1))
    width = max(
        (len(_layer_range(first, last)) for first, last, _, _ in runs[:_MAX_RUNS]), default=0
    )
    out = [
        f"  {_layer_range(first, last):{width}}  {shown_options}"
        + (f"  ({n} layers)" if n > 1 else "")
        for first, last, shown_options, n in runs[:_MAX_RUNS]
    ]
    if len(runs) > _MAX_RUNS:
        more = sum(n for _, _, _, n in runs[_MAX_RUNS:])
        out.append(f"  ... {more} more {'layer' if more == 1 else 'layers'}")
    return out


_ROLES: Final = {"weights": "w ", "activations": "a "}


def _layer_range(first: str, last: str) -> str:
    return first if first == last else f"{first} ... {last}"


def _count(size: int) -> str:
    return f"{size:,}" if size < 10**7 else f"{float(size):.2g}"


def _truncated(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
