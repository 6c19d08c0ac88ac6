"""What a search chose, layer by layer: a strip of bits under the network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
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
from perfmodel.search.result import EvaluatedConfiguration, SearchResult, strip
from perfmodel.search.text import option_text, proof_text, quantity
from perfmodel.workload.rewrite import layers as layers_of

#: What the heights of the bars may be, and the title of their axis.
BY: Final = {"weights": "bytes of weights", "macs": "multiply-accumulates"}
#: Bits up to which a colour goes, warm to cold.
_COLORS: Final = (
    (2.5, VERMILION),
    (3.5, PURPLE),
    (5.0, ORANGE),
    (7.0, GREEN),
    (12.0, SKY),
    (20.0, BLUE),
    (math.inf, INK),
)
#: Options of one colour are told apart by what is drawn over them.
_PATTERNS: Final = ("", "/", "x", "\\")
_DENSE: Final = ("", ".", "-", "|")
#: Layers up to which there is room between the bars, and for the option in each cell.
_NAMED, _LETTERED = 64, 44
_ROWS: Final = {"weights": "weights", "activations": "activations", "channels": "channels, %"}


@dataclass
class _PlottedLayer:
    """A layer of the network as it was chosen."""

    name: str
    height: float
    largest: float
    options: dict[str, str] = field(default_factory=dict[str, str])


@Picture
def layers(r: SearchResult, *, by: str = "weights") -> Chart:
    """Draw the layers in order, as high as their weights, coloured by their bits.

    Pale is what a layer would take with the largest of its options. Strips below say what was
    chosen: bits of weights, of the activations that the layer reads, channels that remain.

    Parameters
    ----------
    by
        ``weights``: bytes; ``macs``: multiply-accumulates of one run.

    Raises
    ------
    InputError
        Nothing satisfies the constraints, or there is no such height.
    """
    if by not in BY:
        raise InputError(no_such(f"no bars of '{by}'", by, BY, "by"))
    if r.best is None:
        raise input_error(
            "nothing satisfies the constraints", path="layers", expected="a configuration"
        )
    return _Strip(r, by, r.best).chart()


class _Strip:
    """Layers, measured and declared."""

    def __init__(self, r: SearchResult, by: str, best: EvaluatedConfiguration) -> None:
        self.r, self.by, self.best = r, by, best
        of = getattr(r.space, "precision_of", None)
        precision = (of and of(best.choice)) or as_precision(r.workload.precision or "fp16")
        #: The format of weights that nothing decides.
        self.default = precision.weights.name
        self.layers = self._layers()
        self.rows = [role for role in _ROWS if any(role in x.options for x in self.layers)][::-1]
        self.styles = self._styles()
        self.wide = len(self.layers) <= _NAMED

    def _option(self, layer: _PlottedLayer, role: str = "weights") -> str:
        return layer.options.get(role) or self.default

    def _layers(self) -> list[_PlottedLayer]:
        space, choice = self.r.space, self.best.choice
        options = dict(strip(space, choice))
        large = self._heights([_largest(d.options) for d in space.decisions])
        for d, i in zip(space.decisions, choice, strict=True):
            if getattr(d, "role", "") == "channels":
                share = 100 * float(d.options[i]) / (d.whole or max(map(float, d.options)))
                for layer in d.layers:
                    options[layer]["channels"] = f"{share:.0f} %"
        return [
            _PlottedLayer(name, height, max(height, large.get(name, 0.0)), options.get(name, {}))
            for name, height in self._heights(choice).items()
        ]

    def _heights(self, choice: Sequence[int]) -> dict[str, float]:
        workload = self.r.space.workload(choice)
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

    def _styles(self) -> dict[str, tuple[str, str]]:
        """Return option of weights or activations -> colour and pattern."""
        options = {
            self._option(x, role)
            for x in self.layers
            for role in ("weights", *x.options)
            if role != "channels"
        }
        used: Counter[tuple[str, bool]] = Counter()
        styles: dict[str, tuple[str, str]] = {}
        for option in sorted(options, key=lambda o: (element_bits(o), stored_bits(o), o)):
            color = next(c for most, c in _COLORS if element_bits(option) <= most)
            # Sparse ones are hatched.
            sparse = fixed_format(option)[1] is not None
            place = used[color, sparse] + sparse
            used[color, sparse] += 1
            styles[option] = color, (_PATTERNS if sparse else _DENSE)[place % 4]
        return styles

    def chart(self) -> Chart:
        rows, names = len(self.rows), [x.name for x in self.layers]
        share = 0.075 * rows
        high = 1.06 * (max((x.largest for x in self.layers), default=1.0) or 1.0)
        across = ChartAxis(names=names, grid=False, size=11 if len(names) <= _LETTERED else 9)
        ticks = {k + 0.45: _ROWS[row] for k, row in enumerate(self.rows)}
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
            f"{self.r.space.name} on {self.r.device}, layer by layer",
            self._subtitle(),
            self._alt(),
            [bars, strips] if rows else [bars],
            heading="weights",
            height=500 + 42 * rows,
            gap=0.0,
        )

    def _series(
        self, name: str, own: list[_PlottedLayer], style: tuple[str, str], what: str, **more: Any
    ) -> Bars:
        return Bars(
            name,
            [x.name for x in own],
            hover=[self._hover(x) for x in own],
            color=style[0],
            pattern=style[1],
            edge_width=0.0,
            meta={"what": what},
            **more,
        )

    def _bars(self) -> list[Bars]:
        width = 0.86 if self.wide else 1.0
        groups: dict[str, list[_PlottedLayer]] = {option: [] for option in self.styles}
        for x in self.layers:
            groups[self._option(x)].append(x)
        series = [
            self._series(
                option, own, self.styles[option], "chosen", y=[x.height for x in own], width=width
            )
            for option, own in groups.items()
            if own
        ]
        if any(x.largest > 1.001 * x.height for x in self.layers):
            heights = [x.largest for x in self.layers]
            style = PALE, ""
            more = {"y": heights, "width": width}
            series.insert(0, self._series("largest option", self.layers, style, "largest", **more))
        return series

    def _row(self, k: int, role: str) -> list[Bars]:
        """Return the cells of a strip, with what they stand for where there is room."""
        cells: dict[str, list[_PlottedLayer]] = {}
        for x in self.layers:
            if role in x.options:
                cells.setdefault(x.options[role] or self.default, []).append(x)
        series: list[Bars] = []
        for option, own in cells.items():
            if role == "channels":
                share = float(option.split()[0])
                style = f"rgba(0,114,178,{0.15 + 0.0075 * share:.2f})", ""
                text = "" if share == 100.0 else f"{share:.0f}"
            else:
                style, text = self.styles[option], f"{element_bits(option):g}"
            count = len(own)
            series.append(
                self._series(
                    "",
                    own,
                    style,
                    role,
                    y=[0.9] * count,
                    base=[float(k)] * count,
                    text=[text] * count if len(self.layers) <= _LETTERED else (),
                    width=0.94 if self.wide else 1.0,
                )
            )
        return series

    def _amount(self, value: float) -> str:
        return binary(value) if self.by == "weights" else si(value, "MAC")

    def _hover(self, x: _PlottedLayer) -> str:
        text = self._amount(x.height)
        if x.largest > 1.001 * x.height:
            text += f", {100.0 * x.height / x.largest:.0f} % of the largest option"
        options = [f"{_ROWS[role]}: {option or self.default}" for role, option in x.options.items()]
        return "<br>".join([f"<b>{x.name}</b>", text, *options])

    def _total(self) -> str:
        now, most = sum(x.height for x in self.layers), sum(x.largest for x in self.layers)
        if self.by == "macs":
            return f"{si(now, 'MAC')} of {si(most, 'MAC')}" if most > now else si(now, "MAC")
        text = f"{binary(now)} of weights"
        if most > 1.001 * now:
            text += f", {100 * now / most:.0f} % of what the largest options take"
        return text

    def _subtitle(self) -> str:
        r, best = self.r, self.best
        value = best.metrics.get(r.objective, best.value)
        metrics = [f"{r.objective} {quantity(r.objective, value, r.unit)}"]
        uses = {use.constraint.metric: use.used for use in r.limits[:3]}
        metrics += [f"{n} {quantity(n, used)}" for n, used in uses.items() if n != r.objective]
        shared = [
            f"{d.name} {option_text(d.name, d.options[i])}"
            for d, i in zip(r.space.decisions, best.choice, strict=True)
            if not getattr(d, "layers", ())
        ]
        if len(shared) > 4:
            shared = [f"{len(shared)} decisions of no layer"]
        first = f"{self._total()}; {', '.join(metrics)}"
        second = "; ".join(filter(None, (", ".join(shared), proof_text(r))))
        return f"{escape(first, quote=False)}<br>{escape(shortened(second), quote=False)}"

    def _alt(self) -> str:
        weights = self._counts([self._option(x) for x in self.layers], "{} in {}")
        heavy = sorted(self.layers, key=lambda x: -x.height)[:3]
        parts = [
            f"{len(self.layers)} layers of {self.r.space.name}: weights of {weights}",
            self._total(),
            "Largest: " + ", ".join(f"{x.name} ({self._amount(x.height)})" for x in heavy),
        ]
        for role in ("activations", "channels"):
            options = [self._option(x, role) for x in self.layers if role in x.options]
            if options:
                parts.append(f"{_ROWS[role].capitalize()}: {self._counts(options, '{} x {}')}")
        return ". ".join(parts) + "."

    def _counts(self, options: list[str], form: str) -> str:
        return ", ".join(form.format(options.count(o), o) for o in dict.fromkeys(options))


def element_bits(option: str) -> float:
    """Return the bits of an element of a format by itself, without scales and without zeros."""
    return float(fixed_format(option)[0].element_bits)


def _largest(options: Sequence[Any]) -> int:
    """Return the option of most bits, or the largest number."""

    def size(option: Any) -> float:
        if isinstance(option, int | float):
            return float(option)
        try:
            return stored_bits(str(option)) if option else math.inf
        except InputError:
            return 0.0

    return int(np.argmax([size(option) for option in options]))
