"""What a search chose, layer by layer: a strip of bits under the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

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
    Note,
    Panel,
    Picture,
    binary,
    si,
)
from perfmodel.charts.search_front import shortened
from perfmodel.errors import InputError, input_error, nearest
from perfmodel.formats import as_precision, fixed_format, stored_bits
from perfmodel.search.result import strip
from perfmodel.search.text import option_text, proof_text, quantity
from perfmodel.workload.rewrite import layers as layers_of

if TYPE_CHECKING:
    from perfmodel.search.result import SearchResult

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
#: Layers up to which each has its name, and the option in its cell.
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
        raise input_error(
            f"no bars of '{by}'", path="by", expected=" or ".join(BY), suggestion=nearest(by, BY)
        )
    if r.best is None:
        raise input_error(
            "nothing satisfies the constraints", path="layers", expected="a configuration"
        )
    return _Strip(r, by).chart()


class _Strip:
    """Layers, measured and declared."""

    def __init__(self, r: SearchResult, by: str) -> None:
        assert r.best is not None
        self.r, self.by, self.best = r, by, r.best
        self.default = self._undecided()
        self.layers = self._layers()
        self.rows = [role for role in _ROWS if any(role in x.options for x in self.layers)][::-1]
        self.styles = self._styles()

    def _undecided(self) -> str:
        """Return the format of weights that nothing decides."""
        of = getattr(self.r.space, "precision_of", None)
        precision = None if of is None else of(self.best.choice)
        return (precision or as_precision(self.r.workload.precision or "fp16")).weights.name

    def _option(self, layer: _PlottedLayer, role: str = "weights") -> str:
        return layer.options.get(role) or self.default

    def _layers(self) -> list[_PlottedLayer]:
        decisions, choice = self.r.space.decisions, self.best.choice
        options = dict(strip(self.r.space, choice))
        small = self._heights(choice)
        large = self._heights([_largest(d.options) for d in decisions])
        widths = {
            layer: float(d.options[i]) / (d.whole or max(map(float, d.options)))
            for d, i in zip(decisions, choice, strict=True)
            if getattr(d, "role", "") == "channels"
            for layer in d.layers
        }
        out: list[_PlottedLayer] = []
        for name, height in small.items():
            own = dict(options.get(name, {}))
            if name in widths:
                own["channels"] = f"{100 * widths[name]:.0f} %"
            out.append(_PlottedLayer(name, height, max(height, large.get(name, 0.0)), own))
        return out

    def _heights(self, choice: Sequence[int]) -> dict[str, float]:
        workload = self.r.space.workload(choice)
        graph = workload.graph()
        out: dict[str, float] = {}
        for layer in layers_of(graph):
            if self.by == "macs":
                out[layer.name] = _number(workload.number(layer.macs))
                continue
            formats = [graph.tensors[w].format for w in layer.weights]
            bits = max(stored_bits(f or self.default) for f in formats)
            out[layer.name] = _number(workload.number(layer.weight_elements)) * bits / 8.0
        return out

    def _styles(self) -> dict[str, tuple[str, str]]:
        """Return option of weights or activations -> colour and pattern."""
        options = {self._option(x) for x in self.layers}
        options |= {
            self._option(x, r) for x in self.layers for r in x.options if r == "activations"
        }
        used: dict[tuple[str, bool], int] = {}
        styles: dict[str, tuple[str, str]] = {}
        for option in sorted(options, key=lambda o: (element_bits(o), stored_bits(o), o)):
            color = next(c for most, c in _COLORS if element_bits(option) <= most)
            # Sparse ones are hatched.
            sparse = fixed_format(option)[1] is not None
            n = used[color, sparse] = used.get((color, sparse), int(sparse) - 1) + 1
            styles[option] = color, (_PATTERNS if sparse else _DENSE)[n % 4]
        return styles

    def chart(self) -> Chart:
        count, rows = len(self.layers), len(self.rows)
        ticks = self._ticks()
        longest = max(map(len, ticks.values()), default=1)
        size = 11 if count <= 44 else 9
        turned = longest * size * 0.6 > 760 / max(len(ticks), 1)
        below = int(longest * size * 0.62 + 24 if turned else 46)
        across = ChartAxis(
            low=-0.6,
            high=count - 0.4,
            ticks=ticks,
            grid=count > _NAMED,
            size=size,
            angle=-90.0 if turned else 0.0,
        )
        high = 1.06 * (max((x.largest for x in self.layers), default=1.0) or 1.0)
        dimension = "bytes" if self.by == "weights" else "count"
        share = 0.075 * rows
        strips = Panel(
            across,
            ChartAxis(
                low=0.0,
                high=rows,
                ticks={k + 0.45: _ROWS[row] for k, row in enumerate(self.rows)},
                grid=False,
            ),
            [bars for k, row in enumerate(self.rows) for bars in self._row(k, row)],
            notes=self._notes(),
            down=(0.0, share),
        )
        bars = Panel(
            replace(across, labels=not rows),
            ChartAxis(BY[self.by], 0.0, high, dimension),
            self._bars(),
            down=(share + (0.03 if rows else 0.0), 1.0),
        )
        return Chart(
            f"{self.r.space.name} on {self.r.device}, layer by layer",
            self._subtitle(),
            self._alt(),
            [bars, strips] if rows else [bars],
            heading="weights",
            height=400 + 42 * rows + below,
            margin={"b": below},
            gap=0.0,
        )

    def _strip(
        self, name: str, at: list[int], heights: list[float], style: tuple[str, str], **more: Any
    ) -> Bars:
        """Return bars at the places of layers."""
        hover = [self._hover(self.layers[i]) for i in at]
        look: dict[str, Any] = {"color": style[0], "pattern": style[1], "edge_width": 0.0}
        return Bars(name, at, heights, hover, **look, **more)

    def _bars(self) -> list[Bars]:
        places = range(len(self.layers))
        width = 0.86 if len(places) <= _NAMED else 1.0
        largest = [x.largest for x in self.layers]
        out: list[Bars] = []
        if any(x.largest > 1.001 * x.height for x in self.layers):
            out.append(
                Bars(
                    "largest option",
                    list(places),
                    largest,
                    width=width,
                    color=PALE,
                    edge_width=0.0,
                    meta={"what": "largest"},
                )
            )
        for option, style in self.styles.items():
            at = [i for i in places if self._option(self.layers[i]) == option]
            if at:
                heights = [self.layers[i].height for i in at]
                meta = {"what": "chosen"}
                out.append(self._strip(option, at, heights, style, width=width, meta=meta))
        return out

    def _row(self, k: int, role: str) -> list[Bars]:
        cells: dict[tuple[str, str], list[int]] = {}
        for i, x in enumerate(self.layers):
            if role in x.options:
                cells.setdefault(self._cell(role, x.options[role]), []).append(i)
        look: dict[str, Any] = {"width": 0.94 if len(self.layers) <= _NAMED else 1.0}
        look["meta"] = {"what": role}
        return [
            self._strip("", at, [0.9] * len(at), style, base=[float(k)] * len(at), **look)
            for style, at in cells.items()
        ]

    def _cell(self, role: str, option: str) -> tuple[str, str]:
        if role == "channels":
            return f"rgba(0,114,178,{0.15 + 0.0075 * float(option.split()[0]):.2f})", ""
        return self.styles[option or self.default]

    def _notes(self) -> list[Note]:
        """Return what stands in the cells, where there is room."""
        if len(self.layers) > _LETTERED:
            return []
        out: list[Note] = []
        for k, role in enumerate(self.rows):
            for i, x in enumerate(self.layers):
                option = x.options.get(role, "100 %")
                if option == "100 %":
                    continue
                channels = role == "channels"
                text = (
                    option.split()[0] if channels else f"{element_bits(option or self.default):g}"
                )
                dark = self._cell(role, option)[0] in (BLUE, VERMILION, INK, GREEN)
                dark |= channels and float(text) > 60.0
                color = "white" if dark else INK
                out.append(Note(text, i, k + 0.45, size=10, color=color))
        return out

    def _ticks(self) -> dict[float, str]:
        """Return the names of all layers, or of those at which at most forty stages begin."""
        names = [x.name for x in self.layers]
        if len(names) <= _NAMED:
            return dict(enumerate(names))
        heads = [name.split(".")[0] for name in names]
        at = [i for i, head in enumerate(heads) if not i or head != heads[i - 1]]
        if not 3 <= len(at) <= 40:
            at = list(range(len(names)))
        # Room for a line of text between one and the next.
        apart, out = len(names) * 16 / 670, dict[float, str]()
        for i in at:
            if not out or i - max(out) >= apart:
                out[i] = heads[i]
        return out

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


def _number(value: Any) -> float:
    return float(np.ravel(np.asarray(value, dtype=float))[0])
