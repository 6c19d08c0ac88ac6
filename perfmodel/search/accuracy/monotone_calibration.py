"""Calibration of a loss to accuracy by a monotone map through a few evaluations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import input_error
from perfmodel.search.accuracy.accuracy_model import AccuracyModel, Configuration
from perfmodel.search.accuracy.accuracy_table import AccuracyTable, Floats
from perfmodel.search.accuracy.layer_option import LayerOption
from perfmodel.search.accuracy.ridge_predictor import Better


def isotonic(values: npt.ArrayLike, *, falling: bool = False) -> Array:
    """Return the closest monotone sequence in least squares, shape ``(count,)``.

    Pool-adjacent-violators algorithm: Ayer et al., Annals of Mathematical Statistics 1955.
    """
    regression: Any = import_module("scipy.optimize").isotonic_regression
    return regression(np.asarray(values, dtype=np.float64), increasing=not falling).x


@dataclass(frozen=True)
class MonotoneMap:
    """A monotone curve through points, constant outside their range.

    Attributes
    ----------
    x, y
        Points with ascending x and monotone y.
    floor
        Offset of the abscissa ``log(loss + floor)``, used because losses of formats span decades.
        ``None``: the abscissa is the loss.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    floor: float | None = None

    def __call__(self, loss: npt.ArrayLike) -> Floats:
        """Return the curve's values at losses, in the same shape.

        Monotone piecewise cubic: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 1984.
        """
        at = _abscissa(np.asarray(loss, dtype=np.float64), self.floor)
        x, y = np.array(self.x), np.array(self.y)
        if len(x) == 1:
            return np.full(at.shape, y[0])
        at = np.clip(at, x[0], x[-1])
        piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
        ends = np.sort([y[piece], y[piece + 1]], axis=0)
        # Rounding errors must not break monotonicity.
        return np.clip(self._curve(at), *ends)

    @cached_property
    def _curve(self) -> Callable[[Array], Array]:
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self.x, self.y)


def _abscissa(loss: Array, floor: float | None) -> Array:
    return loss if floor is None else np.log(np.maximum(loss, 0.0) + floor)


def monotone_map(losses: npt.ArrayLike, values: npt.ArrayLike, *, falling: bool) -> MonotoneMap:
    """Return the monotone curve closest to points, shapes ``(points,)``.

    Points with equal loss are averaged and violators are pooled (`isotonic`); a pool is constant
    from its first loss to its last. Monotone data are interpolated exactly.
    """
    loss = np.asarray(losses, dtype=np.float64)
    value = np.asarray(values, dtype=np.float64)
    positive = loss[loss > 0]
    floor = float(positive.min()) / 16.0 if loss.min() >= 0 and positive.size else None
    order = np.argsort(loss, kind="stable")
    x, value = _abscissa(loss[order], floor), value[order]
    # Losses that differ by rounding errors count as one.
    gap = np.diff(x, prepend=x[0]) > 1e-9 * max(float(x[-1] - x[0]), 1e-300)
    group = np.cumsum(gap)
    count = np.bincount(group)
    x, y = (np.bincount(group, weights=part) / count for part in (x, value))
    y = isotonic(y, falling=falling)
    edges = np.ones(len(x), dtype=bool)
    if len(x) > 2:  # interior points of a pool carry no information but its level
        edges[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    return MonotoneMap(tuple(x[edges].tolist()), tuple(y[edges].tolist()), floor)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A model whose loss is mapped to a measured figure: see `calibrated`.

    Attributes
    ----------
    curve
        Map from loss to figure.
    losses, values
        Calibration points, shape ``(k,)``.
    top
        The best value if higher is better, from which losses count; else None.
    """

    model: AccuracyModel
    curve: MonotoneMap
    losses: tuple[float, ...]
    values: tuple[float, ...]
    unit: str
    measured_error: float
    error_note: str
    top: float | None = None

    @property
    def name(self) -> str:
        """Name of the underlying model, and the number of calibration points."""
        return f"{self.model.name}, calibrated with {len(self.values)} evaluations"

    @property
    def separable(self) -> bool:
        """Whether the underlying model is separable."""
        return self.model.separable

    def table(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> AccuracyTable:
        """Return the table of the underlying model: a monotone map preserves its ranking."""
        return self.model.table(layers, options)

    def predicted(self, loss: Floats) -> Floats:
        """Return the predicted figure at losses, in `unit`."""
        return self.curve(loss)


def calibrated(
    model: AccuracyModel,
    evaluate: Callable[[Configuration], float],
    k: int = 12,
    *,
    layers: Sequence[str],
    options: Sequence[Sequence[LayerOption]],
    unit: str = "points of top-1",
    better: Better = "higher",
    seed: int = 0,
) -> Calibrated:
    """Calibrate a monotone map from a model's loss to a measured figure.

    Parameters
    ----------
    model
        A separable model.
    evaluate
        Configuration (layer -> option) -> figure, in `unit`; called `k` times.
    k
        Number of evaluations, spread evenly over the range of the loss (of its logarithm if
        positive).
    layers, options
        Layers, and the options of each.
    unit, better
        Unit of the figure, and its direction.
    seed
        Seed of the sampled configurations.

    Returns
    -------
    Calibrated
        Its error is the leave-one-out root mean square over the points; an end point is predicted
        by the nearest remaining point's figure.

    Raises
    ------
    InputError
        Fewer than three evaluations, or one that is not finite.
    """
    if k < 3:
        raise input_error(f"{k} evaluations", path="k", expected="three or more")
    table = model.table(layers, options)
    choices = spread_choices(table, k, seed)
    losses = table.loss(choices)
    figures: list[float] = []
    for row in choices:
        named = zip(layers, options, row.tolist(), strict=True)
        figures.append(float(evaluate({name: offered[int(c)] for name, offered, c in named})))
    values = np.array(figures)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise input_error(
            f"evaluation {bad + 1} of {len(values)} gave {values[bad]}",
            path="evaluate",
            expected="finite numbers",
        )
    falling = better == "higher"
    misses: list[float] = []
    for i in range(len(values)):
        others = np.arange(len(values)) != i
        curve = monotone_map(losses[others], values[others], falling=falling)
        misses.append(float(curve(losses[i]) - values[i]))
    return Calibrated(
        model,
        monotone_map(losses, values, falling=falling),
        tuple(losses.tolist()),
        tuple(values.tolist()),
        unit,
        float(np.sqrt(np.mean(np.square(misses)))),
        f"root mean square, leave-one-out over {len(values)} evaluations",
        float(values.max()) if falling else None,
    )


def spread_choices(table: AccuracyTable, k: int, seed: int) -> npt.NDArray[np.intp]:
    """Return at most `k` distinct choices whose losses span the range evenly, ascending.

    Shape ``(choices, layers)``.
    """
    draw = np.random.default_rng(seed)
    orders = [np.argsort(losses, kind="stable") for losses in table.unary]
    level = np.concatenate([[0.0, 1.0], draw.random(4094)])
    columns: list[npt.NDArray[np.intp]] = []
    for order in orders:
        last = len(order) - 1
        loose = level * last + draw.normal(scale=0.3 * last, size=level.size)
        loose[:2] = 0, last
        columns.append(order[np.clip(np.rint(loose), 0, last).astype(np.intp)])
    drawn = np.unique(np.column_stack(columns), axis=0)
    losses = table.loss(drawn)
    floor = float(losses[losses > 0].min(initial=np.inf)) / 16.0
    spread = _abscissa(losses, floor if losses.min() >= 0 and np.isfinite(floor) else None)
    picks: list[int] = []
    for goal in np.linspace(float(spread.min()), float(spread.max()), k).tolist():
        distance = np.abs(spread - float(goal))
        for known in picks:
            distance[np.isclose(spread, spread[known], rtol=1e-9, atol=1e-12)] = np.inf
        pick = int(np.argmin(distance))
        if np.isfinite(distance[pick]):
            picks.append(pick)
    return drawn[sorted(picks, key=lambda i: float(losses[i]))]
