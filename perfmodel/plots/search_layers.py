"""What a search chose, layer by layer: a strip of bits under the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from perfmodel.errors import InputError, input_error, nearest
from perfmodel.formats import as_precision, fixed_format, stored_bits
from perfmodel.plots.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    axis,
    figure,
    si,
    ticks,
)
from perfmodel.search.result import strip
from perfmodel.units import binary
from perfmodel.workload.rewrite import layers as layers_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.search.result import SearchResult

#: What the heights of the bars may be.
BY: Final = ("weights", "macs")
#: Bits up to which a colour goes, warm to cold.
_COLORS: Final = ((2.5, VERMILION), (3.5, PURPLE), (5.0, ORANGE), (7.0, GREEN), (12.0, SKY),
                  (20.0, BLUE), (math.inf, INK))  # fmt: skip
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
    block: str
    height: float
    largest: float
    options: dict[str, str] = field(default_factory=dict[str, str])


def layers(r: SearchResult, *, by: str = "weights") -> Figure:
    """Draw the layers in order, as high as their weights, coloured by their bits.

    Pale is what a layer would take with the largest of its options. Strips below say what was
    chosen: bits of weights, of the activations that the layer reads, channels kept.

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
    return _Strip(r, by).figure()


class _Strip:
    """Layers, measured and drawn."""

    def __init__(self, r: SearchResult, by: str) -> None:
        assert r.best is not None
        self.r, self.by = r, by
        self.rest = self._undecided()
        self.found = self._layers()
        roles = [role for role in _ROWS if any(role in x.options for x in self.found)]
        self.rows = roles[::-1]
        self.shared = [
            (d.name, d.options[i]) for d, i in zip(r.space.decisions, r.best.choice, strict=True)
            if not getattr(d, "layers", ())
        ]  # fmt: skip
        self.styles = self._styles()
        self.width = 0.86 if len(self.found) <= _NAMED else 1.0

    def _undecided(self) -> str:
        """Return the format of weights that nothing decides."""
        assert self.r.best is not None
        of = getattr(self.r.space, "precision_of", None)
        precision = None if of is None else of(self.r.best.choice)
        return (precision or as_precision(self.r.workload.precision or "fp16")).weights.name

    def _layers(self) -> list[_PlottedLayer]:
        assert self.r.best is not None
        chosen = dict(strip(self.r.space, self.r.best.choice))
        small = self._heights(self.r.best.choice)
        large = self._heights([_largest(d.options) for d in self.r.space.decisions])
        widths = {
            layer: float(d.options[i]) / (d.whole or max(map(float, d.options)))
            for d, i in zip(self.r.space.decisions, self.r.best.choice, strict=True)
            if getattr(d, "role", "") == "channels"
            for layer in d.layers
        }  # fmt: skip
        out: list[_PlottedLayer] = []
        for name, (block, height) in small.items():
            options = dict(chosen.get(name, {}))
            if name in widths:
                options["channels"] = f"{100 * widths[name]:.0f} %"
            largest = max(height, large.get(name, ("", 0.0))[1])
            out.append(_PlottedLayer(name, block, height, largest, options))
        return out

    def _heights(self, choice: Sequence[int]) -> dict[str, tuple[str, float]]:
        """Return layer -> its block, and the height of its bar."""
        workload = self.r.space.workload(choice)
        graph = workload.graph()
        out: dict[str, tuple[str, float]] = {}
        for layer in layers_of(graph):
            if self.by == "macs":
                out[layer.name] = layer.block, _number(workload.number(layer.macs))
                continue
            formats = [graph.tensors[w].format for w in layer.weights]
            bits = max(stored_bits(f or self.rest) for f in formats)
            elements = _number(workload.number(layer.weight_elements))
            out[layer.name] = layer.block, elements * bits / 8.0
        return out

    def _styles(self) -> dict[str, tuple[str, str]]:
        """Return option of weights or activations -> colour and pattern."""
        options = [x.options.get("weights") or self.rest for x in self.found]
        options += [x.options[role] or self.rest for x in self.found for role in x.options
                    if role == "activations"]  # fmt: skip
        used: dict[tuple[str, bool], int] = {}
        styles: dict[str, tuple[str, str]] = {}
        for option in sorted(
            dict.fromkeys(options), key=lambda o: (element_bits(o), stored_bits(o))
        ):
            color = next(c for most, c in _COLORS if element_bits(option) <= most)
            # Sparse ones are hatched.
            sparse = fixed_format(option)[1] is not None
            n = used[color, sparse] = used.get((color, sparse), int(sparse) - 1) + 1
            styles[option] = color, (_PATTERNS if sparse else _DENSE)[n % 4]
        return styles

    def figure(self) -> Figure:
        n = len(self.found)
        share = 0.075 * len(self.rows)
        traces = [*self._bars(), *[t for k, row in enumerate(self.rows) for t in self._row(k, row)]]
        high = max((x.largest for x in self.found), default=1.0) or 1.0
        named = n <= _NAMED
        labels = [x.name for x in self.found] if named else None
        marks = list(range(n)) if named else self._firsts()
        texts = labels or [self.found[i].name.split(".")[0] for i in marks]
        longest = max(map(len, texts), default=1)
        size = 11 if n <= 44 else 9
        angle = -90 if longest * size * 0.6 > 760 / max(len(marks), 1) else 0
        below = longest * size * 0.62 + 24 if angle else 46
        title = {"weights": "bytes of weights", "macs": "multiply-accumulates"}[self.by]
        lines = ticks(1.06 * high, "bytes") if self.by == "weights" else {}
        more: dict[str, Any] = {}
        if self.rows:
            more["yaxis2"] = axis(
                "", domain=[0.0, share], range=[0, len(self.rows)], showgrid=False, ticks="",
                tickmode="array", tickvals=[k + 0.45 for k in range(len(self.rows))],
                ticktext=[_ROWS[row] for row in self.rows], showline=False, fixedrange=True,
            )  # fmt: skip
        height = 400 + 42 * len(self.rows) + int(below)
        return figure(
            traces, f"{self.r.space.name} on {self.r.device}, layer by layer", self._subtitle(),
            self._alt(), height=height, barmode="overlay", bargap=0.0, annotations=self._notes(),
            margin={"l": 100, "r": 130, "t": 96, "b": below},
            legend={"x": 1.01, "y": 1.0, "traceorder": "normal", "title": {"text": "weights"}},
            xaxis=axis(
                "", range=[-0.6, n - 0.4], tickmode="array", tickvals=marks, ticktext=texts,
                tickangle=angle, tickfont={"size": size}, anchor="y2" if self.rows else "y",
                showgrid=not named, automargin=False,
            ),
            yaxis=axis(title, domain=[share + (0.03 if self.rows else 0.0), 1.0],
                       range=[0, 1.06 * high], **lines),
            **more,
        )  # fmt: skip

    def _bars(self) -> list[dict[str, Any]]:
        n = len(self.found)
        out: list[dict[str, Any]] = []
        if any(x.largest > 1.001 * x.height for x in self.found):
            out.append(
                {"type": "bar", "x": list(range(n)), "y": [x.largest for x in self.found],
                 "width": self.width, "marker": {"color": PALE, "line": {"width": 0}},
                 "name": "largest option", "hoverinfo": "skip", "meta": {"what": "largest"}}
            )  # fmt: skip
        for option, (color, pattern) in self.styles.items():
            at = [i for i, x in enumerate(self.found)
                  if (x.options.get("weights") or self.rest) == option]  # fmt: skip
            if at:
                out.append(
                    {"type": "bar", "x": at, "y": [self.found[i].height for i in at],
                     "width": self.width, "name": option, "hoverinfo": "text",
                     "hovertext": [self._hover(self.found[i]) for i in at],
                     "marker": _marker(color, pattern), "meta": {"what": "chosen"}}
                )  # fmt: skip
        return out

    def _row(self, k: int, role: str) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        cells: dict[tuple[str, str], list[int]] = {}
        for i, x in enumerate(self.found):
            if role in x.options:
                cells.setdefault(self._cell(role, x.options[role]), []).append(i)
        for (color, pattern), at in cells.items():
            out.append(
                {"type": "bar", "x": at, "y": [0.9] * len(at), "base": [float(k)] * len(at),
                 "width": 0.94 if len(self.found) <= _NAMED else 1.0, "yaxis": "y2",
                 "showlegend": False, "hoverinfo": "text",
                 "hovertext": [self._hover(self.found[i]) for i in at],
                 "marker": _marker(color, pattern), "meta": {"what": role}}
            )  # fmt: skip
        return out

    def _cell(self, role: str, option: str) -> tuple[str, str]:
        if role == "channels":
            kept = float(option.split()[0]) / 100.0
            return f"rgba(0,114,178,{0.15 + 0.75 * kept:.2f})", ""
        return self.styles[option or self.rest]

    def _notes(self) -> list[dict[str, Any]]:
        """Return what stands in the cells, where there is room."""
        if len(self.found) > _LETTERED:
            return []
        out: list[dict[str, Any]] = []
        for k, role in enumerate(self.rows):
            for i, x in enumerate(self.found):
                if role not in x.options or x.options[role] == "100 %":
                    continue
                text = x.options[role] or self.rest
                text = text.split()[0] if role == "channels" else f"{element_bits(text):g}"
                color = self._cell(role, x.options[role])[0]
                dark = color in (BLUE, VERMILION, INK, GREEN) or (
                    role == "channels" and float(text) > 60.0
                )
                out.append(
                    {"x": i, "y": k + 0.45, "yref": "y2", "text": text, "showarrow": False,
                     "font": {"size": 10, "color": "white" if dark else INK}}
                )  # fmt: skip
        return out

    def _firsts(self) -> list[int]:
        """Return the layers at which a stage begins, at most forty of them."""
        heads = [x.name.split(".")[0] for x in self.found]
        at = [i for i, head in enumerate(heads) if not i or head != heads[i - 1]]
        if not 3 <= len(at) <= 40:
            at = list(range(len(self.found)))
        # Room for a line of text between one and the next.
        apart, kept = len(self.found) * 16 / 670, list[int]()
        for i in at:
            if not kept or i - kept[-1] >= apart:
                kept.append(i)
        return kept

    def _hover(self, x: _PlottedLayer) -> str:
        size = binary(x.height, digits=4) if self.by == "weights" else si(x.height, "MAC")
        lines = [f"<b>{x.name}</b>", size]
        if x.largest > 1.001 * x.height:
            share = 100.0 * x.height / x.largest
            lines[-1] += f", {share:.0f} % of the largest option"
        lines += [f"{_ROWS[role]}: {option or self.rest}" for role, option in x.options.items()]
        return "<br>".join(lines)

    def _total(self) -> str:
        now = sum(x.height for x in self.found)
        most = sum(x.largest for x in self.found)
        if self.by == "macs":
            return f"{si(now, 'MAC')} of {si(most, 'MAC')}" if most > now else si(now, "MAC")
        said = f"{binary(now, digits=4)} of weights"
        if most > 1.001 * now:
            said += f", {100 * now / most:.0f} % of what the largest options take"
        return said

    def _subtitle(self) -> str:
        from perfmodel.search.text import option_text, proof_text, quantity

        best = self.r.best
        assert best is not None
        value = best.metrics.get(self.r.objective, best.value)
        says = [f"{self.r.objective} {quantity(self.r.objective, value, self.r.unit)}"]
        uses = {use.constraint.metric: use.used for use in self.r.limits[:3]}
        says += [f"{name} {quantity(name, used)}" for name, used in uses.items()
                 if name != self.r.objective]  # fmt: skip
        first = f"{self._total()}; " + ", ".join(says)
        shared = [f"{name} {option_text(name, option)}" for name, option in self.shared[:4]]
        if len(self.shared) > 4:
            shared = [f"{len(self.shared)} decisions of no layer"]
        second = "; ".join([*([", ".join(shared)] if shared else []), proof_text(self.r)])
        second = second if len(second) <= 122 else second[:119] + "..."
        return f"{escape(first, False)}<br>{escape(second, False)}"

    def _alt(self) -> str:
        counts: dict[str, int] = {}
        for x in self.found:
            option = x.options.get("weights") or self.rest
            counts[option] = counts.get(option, 0) + 1
        said = ", ".join(f"{n} in {option}" for option, n in counts.items())
        text = (
            f"{len(self.found)} layers of {self.r.space.name}: weights of {said}. {self._total()}."
        )
        heavy = sorted(self.found, key=lambda x: -x.height)[:3]
        sizes = [binary(x.height, digits=4) if self.by == "weights" else si(x.height, "MAC")
                 for x in heavy]  # fmt: skip
        text += " Largest: " + ", ".join(
            f"{x.name} ({size})" for x, size in zip(heavy, sizes, strict=True)
        )
        for role in ("activations", "channels"):
            chosen = [x.options[role] or self.rest for x in self.found if role in x.options]
            if chosen:
                text += f". {_ROWS[role].capitalize()}: " + ", ".join(
                    f"{chosen.count(o)} x {o}" for o in dict.fromkeys(chosen)
                )
        return text + "."


def element_bits(option: str) -> float:
    """Return the bits of an element of a format by itself, without scales and without zeros."""
    return float(fixed_format(option)[0].element_bits)


def _marker(color: str, pattern: str) -> dict[str, Any]:
    made: dict[str, Any] = {"color": color, "line": {"width": 0}}
    if pattern:
        made["pattern"] = {"shape": pattern, "fgcolor": "white", "size": 6, "solidity": 0.35}
    return made


def _largest(options: Sequence[Any]) -> int:
    """Return the option of most bits, or the largest number."""
    sizes: list[float] = []
    for option in options:
        if isinstance(option, int | float):
            sizes.append(float(option))
        elif not option:
            sizes.append(math.inf)
        else:
            try:
                sizes.append(stored_bits(str(option)))
            except InputError:
                sizes.append(0.0)
    return int(np.argmax(sizes))


def _number(value: Any) -> float:
    return float(np.ravel(np.asarray(value, dtype=float))[0])
