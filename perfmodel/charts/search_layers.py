"""Picture of the best configuration of a search: size and options of every layer.

Bars show the bytes (or multiply-accumulates) of each layer, coloured by the bits of its weights;
strips below them show the options of activations and channels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Final

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    Bars,
    Chart,
    ChartAxis,
    Panel,
    Picture,
    binary,
    si,
)
from perfmodel.charts.search_front import shortened
from perfmodel.errors import InputError, input_error, no_such
from perfmodel.formats import as_precision, fixed_format, stored_bits
from perfmodel.search.search_result import EvaluatedConfiguration, SearchResult, strip
from perfmodel.search.search_text import option_text, proof_text, quantity
from perfmodel.workload.rewrite import layers as layers_of

#: Quantity of the bar heights -> title of its axis.
BY: Final = {"weights": "bytes of weights", "macs": "multiply-accumulates"}
#: Upper limit on bits -> colour, from warm to cold.
_COLORS: Final = (
    (2.5, VERMILION),
    (3.5, PURPLE),
    (5.0, ORANGE),
    (7.0, GREEN),
    (12.0, SKY),
    (20.0, BLUE),
    (math.inf, INK),
)
#: Patterns that distinguish options of one colour: sparse formats are hatched.
_SPARSE_PATTERNS: Final = ("/", "x", "\\", "+")
_DENSE_PATTERNS: Final = ("", ".", "-", "|")
#: Largest number of layers that are drawn with gaps between the bars.
_MOST_WITH_GAPS = 64
#: Largest number of layers that are drawn with texts in the cells of the strips.
_MOST_WITH_TEXTS = 44
#: Ratio of sizes below which they count as equal.
_ROUNDING = 1.001
#: Role of a decision -> title of its strip.
_ROLE_TITLES: Final = {
    "weights": "weights",
    "activations": "activations",
    "channels": "channels, %",
}


@dataclass
class _PlottedLayer:
    """A layer of the network under the chosen configuration."""

    name: str
    height: float
    largest: float
    options: dict[str, str] = field(default_factory=dict[str, str])


@Picture
def layers(result: SearchResult, *, by: str = "weights") -> Chart:
    """Draw the layers in order, as high as their weights, coloured by their bits.

    Pale bars are the sizes under each layer's largest option. Strips below show the choices: bits
    of weights, bits of the activations that the layer reads, remaining channels.

    Parameters
    ----------
    by
        ``weights``: bytes; ``macs``: multiply-accumulates of one run.

    Raises
    ------
    InputError
        The constraints are infeasible, or `by` is unknown.
    """
    if by not in BY:
        raise InputError(no_such(f"no bars of '{by}'", by, BY, "by"))
    if result.best is None:
        raise input_error(
            "nothing satisfies the constraints", path="layers", expected="a configuration"
        )
    return _LayerChart(result, by, result.best).chart()


class _LayerChart:
    """Chart of the layers under the best configuration: bars, and a strip per role."""

    def __init__(self, result: SearchResult, by: str, best: EvaluatedConfiguration) -> None:
        self.result, self.by, self.best = result, by, best
        of = getattr(result.space, "precision_of", None)
        precision = (of and of(best.choice)) or as_precision(result.workload.precision or "fp16")
        #: Format of weights without a decision.
        self.default = precision.weights.name
        self.layers = self._layers()
        self.rows = [role for role in _ROLE_TITLES if any(role in x.options for x in self.layers)][
            ::-1
        ]
        self.styles = format_styles(
            self._option(x, role)
            for x in self.layers
            for role in ("weights", *x.options)
            if role != "channels"
        )
        self.gaps = len(self.layers) <= _MOST_WITH_GAPS

    def _option(self, layer: _PlottedLayer, role: str = "weights") -> str:
        """Return the option of a layer in a role."""
        return layer.options.get(role) or self.default

    def _layers(self) -> list[_PlottedLayer]:
        """Return the layers with their size and their largest size under any option."""
        space, choice = self.result.space, self.best.choice
        options = dict(strip(space, choice))
        large = self._heights([_largest(d.options) for d in space.decisions])
        for d, i in zip(space.decisions, choice, strict=True):
            if getattr(d, "role", "") == "channels":
                share = 100 * float(d.options[i]) / (d.full_width or max(map(float, d.options)))
                for layer in d.layers:
                    options[layer]["channels"] = f"{share:.0f} %"
        return [
            _PlottedLayer(name, height, max(height, large.get(name, 0.0)), options.get(name, {}))
            for name, height in self._heights(choice).items()
        ]

    def _heights(self, choice: Sequence[int]) -> dict[str, float]:
        """Return layer -> bytes of its weights, or its multiply-accumulates."""
        workload = self.result.space.workload(choice)
        graph = workload.graph()
        heights: dict[str, float] = {}
        for layer in layers_of(graph):
            amount, scale = layer.macs, 1.0
            if self.by == "weights":
                formats = [graph.tensors[w].format for w in layer.weights]
                amount = layer.weight_elements
                scale = max(stored_bits(f or self.default) for f in formats) / 8.0
            heights[layer.name] = first_number(workload.number(amount)) * scale
        return heights

    def chart(self) -> Chart:
        """Return the chart."""
        rows, names = len(self.rows), [x.name for x in self.layers]
        share = 0.075 * rows
        high = 1.06 * (max((x.largest for x in self.layers), default=1.0) or 1.0)
        across = ChartAxis(
            names=names, grid=False, size=11 if len(names) <= _MOST_WITH_TEXTS else 9
        )
        ticks = {k + 0.45: _ROLE_TITLES[row] for k, row in enumerate(self.rows)}
        bars = Panel(
            replace(across, labels=not rows),
            ChartAxis(BY[self.by], 0.0, high, "bytes" if self.by == "weights" else "count"),
            self._bars(),
            down=(share + (0.03 if rows else 0.0), 1.0),
        )
        strips = Panel(
            across,
            ChartAxis(low=0.0, high=rows, ticks=ticks, grid=False),
            [bars for k, row in enumerate(self.rows) for bars in self._row(k, row)],
            down=(0.0, share),
        )
        return Chart(
            f"{self.result.space.name} on {self.result.device}, layer by layer",
            self._subtitle(),
            self._text_alternative(),
            [bars, strips] if rows else [bars],
            heading="weights",
            height=500 + 42 * rows,
            gap=0.0,
        )

    def _series(
        self, name: str, layers: list[_PlottedLayer], style: tuple[str, str], what: str, **more: Any
    ) -> Bars:
        """Return bars of some layers in one style."""
        return Bars(
            name,
            [x.name for x in layers],
            hover=[self._hover_text(x) for x in layers],
            color=style[0],
            pattern=style[1],
            edge_width=0.0,
            meta={"what": what},
            **more,
        )

    def _bars(self) -> list[Bars]:
        """Return the bars of all layers, a series for each option."""
        width = 0.86 if self.gaps else 1.0
        groups: dict[str, list[_PlottedLayer]] = {option: [] for option in self.styles}
        for x in self.layers:
            groups[self._option(x)].append(x)
        series = [
            self._series(
                option,
                layers,
                self.styles[option],
                "chosen",
                y=[x.height for x in layers],
                width=width,
            )
            for option, layers in groups.items()
            if layers
        ]
        if any(x.largest > _ROUNDING * x.height for x in self.layers):
            heights = [x.largest for x in self.layers]
            style = PALE, ""
            more = {"y": heights, "width": width}
            series.insert(0, self._series("largest option", self.layers, style, "largest", **more))
        return series

    def _row(self, k: int, role: str) -> list[Bars]:
        """Return the cells of a strip, with texts if there is space."""
        cells: dict[str, list[_PlottedLayer]] = {}
        for x in self.layers:
            if role in x.options:
                cells.setdefault(x.options[role] or self.default, []).append(x)
        series: list[Bars] = []
        for option, layers in cells.items():
            if role == "channels":
                share = float(option.split()[0])
                style = f"rgba(0,114,178,{0.15 + 0.0075 * share:.2f})", ""
                text = "" if share == 100.0 else f"{share:.0f}"
            else:
                style, text = self.styles[option], f"{element_bits(option):g}"
            count = len(layers)
            series.append(
                self._series(
                    "",
                    layers,
                    style,
                    role,
                    y=[0.9] * count,
                    base=[float(k)] * count,
                    text=[text] * count if len(self.layers) <= _MOST_WITH_TEXTS else (),
                    width=0.94 if self.gaps else 1.0,
                )
            )
        return series

    def _height_text(self, value: float) -> str:
        """Return a height with its unit."""
        return binary(value) if self.by == "weights" else si(value, "MAC")

    def _hover_text(self, x: _PlottedLayer) -> str:
        """Return the text shown for a layer."""
        text = self._height_text(x.height)
        if x.largest > _ROUNDING * x.height:
            text += f", {100.0 * x.height / x.largest:.0f} % of the largest option"
        options = [
            f"{_ROLE_TITLES[role]}: {option or self.default}" for role, option in x.options.items()
        ]
        return "<br>".join([f"<b>{x.name}</b>", text, *options])

    def _total(self) -> str:
        """Return the sum of all layers as text, beside that of the largest options."""
        now, most = sum(x.height for x in self.layers), sum(x.largest for x in self.layers)
        if self.by == "macs":
            return f"{si(now, 'MAC')} of {si(most, 'MAC')}" if most > now else si(now, "MAC")
        text = f"{binary(now)} of weights"
        if most > _ROUNDING * now:
            text += f", {100 * now / most:.0f} % of what the largest options take"
        return text

    def _subtitle(self) -> str:
        """Return the subtitle: total, metrics, and decisions of the whole network."""
        result, best = self.result, self.best
        value = best.metrics.get(result.objective, best.value)
        metrics = [f"{result.objective} {quantity(result.objective, value, result.unit)}"]
        uses = {use.constraint.metric: use.used for use in result.limits[:3]}
        metrics += [f"{n} {quantity(n, used)}" for n, used in uses.items() if n != result.objective]
        shared = [
            f"{d.name} {option_text(d.name, d.options[i])}"
            for d, i in zip(result.space.decisions, best.choice, strict=True)
            if not getattr(d, "layers", ())
        ]
        if len(shared) > 4:
            shared = [f"{len(shared)} network-wide decisions"]
        first = f"{self._total()}; {', '.join(metrics)}"
        second = "; ".join(filter(None, (", ".join(shared), proof_text(result))))
        return f"{escape(first, quote=False)}<br>{escape(shortened(second), quote=False)}"

    def _text_alternative(self) -> str:
        """Return the picture as text."""
        weights = self._counts([self._option(x) for x in self.layers], "{} in {}")
        heavy = sorted(self.layers, key=lambda x: -x.height)[:3]
        parts = [
            f"{len(self.layers)} layers of {self.result.space.name}: weights of {weights}",
            self._total(),
            "Largest: " + ", ".join(f"{x.name} ({self._height_text(x.height)})" for x in heavy),
        ]
        for role in ("activations", "channels"):
            options = [self._option(x, role) for x in self.layers if role in x.options]
            if options:
                parts.append(
                    f"{_ROLE_TITLES[role].capitalize()}: {self._counts(options, '{} x {}')}"
                )
        return ". ".join(parts) + "."

    def _counts(self, options: list[str], form: str) -> str:
        """Return how often each option occurs, as text."""
        return ", ".join(form.format(options.count(o), o) for o in dict.fromkeys(options))


def format_styles(options: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return format -> colour by the bits of its elements, and pattern.

    Sparse formats are hatched, however many of them share a colour.
    """
    used: Counter[tuple[str, bool]] = Counter()
    styles: dict[str, tuple[str, str]] = {}
    for option in sorted(set(options), key=lambda o: (element_bits(o), stored_bits(o), o)):
        color = next(c for most, c in _COLORS if element_bits(option) <= most)
        sparse = fixed_format(option)[1] is not None
        patterns = _SPARSE_PATTERNS if sparse else _DENSE_PATTERNS
        styles[option] = color, patterns[used[color, sparse] % len(patterns)]
        used[color, sparse] += 1
    return styles


def element_bits(option: str) -> float:
    """Return the bits of an element of a format, without scales and sparsity."""
    return float(fixed_format(option)[0].element_bits)


def _largest(options: Sequence[Any]) -> int:
    """Return the index of the option with the most bits, or of the largest number."""

    def size(option: Any) -> float:
        if isinstance(option, int | float):
            return float(option)
        try:
            return stored_bits(str(option)) if option else math.inf
        except InputError:
            return 0.0

    return int(np.argmax([size(option) for option in options]))
