"""Test of additivity: measured joint changes of layers against the sum of their single changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.search.accuracy.accuracy_faults import option_list_faults, unknown_layer_faults
from perfmodel.search.accuracy.accuracy_model import AccuracyModel, Configuration
from perfmodel.search.accuracy.layer_option import LayerOption, describe


@dataclass(frozen=True, slots=True)
class AdditivityReport:
    """Comparison of measured joint changes with sums of measured single changes.

    Attributes
    ----------
    name
        Name of the tested model or callable.
    base
        Measured figure of the base configuration.
    singles
        (Layer, option) -> measured change.
    choices
        Joint configurations, shape ``(joints, layers)``.
    measured, summed
        Measured joint change, and sum of the single changes, shape ``(joints,)``.
    correlation, rank_correlation
        Pearson and Spearman correlation between both; NaN if either is constant.
    relative_error
        Median of ``|summed - measured| / |measured|`` over joints with a change.
    worst_relative_error
        Maximum of the same.
    model_rank_correlation
        Spearman correlation between the model's loss and the measured figure, over all
        configurations; ``None`` for a callable.
    evaluations
        Number of evaluated configurations.
    """

    name: str
    base: float
    singles: dict[tuple[str, str], float]
    choices: npt.NDArray[np.intp]
    measured: Array
    summed: Array
    correlation: float
    rank_correlation: float
    relative_error: float
    worst_relative_error: float
    model_rank_correlation: float | None
    evaluations: int

    def __str__(self) -> str:
        """Return the comparison in one sentence."""
        text = (
            f"{self.name}: {len(self.measured)} joint changes against the sums of "
            f"{len(self.singles)} single ones ({self.evaluations} evaluations): correlation "
            f"{self.correlation:.3f}, rank correlation {self.rank_correlation:.3f}, the sum is off "
            f"by {self.relative_error:.1%} (median), {self.worst_relative_error:.1%} (worst)"
        )
        if self.model_rank_correlation is not None:
            text += f"; the model ranks them with {self.model_rank_correlation:.3f}"
        return text


def additivity(
    model_or_callable: AccuracyModel | Callable[[Configuration], float],
    layers: Sequence[str],
    options: Sequence[Sequence[LayerOption]],
    evaluate: Callable[[Configuration], float] | None = None,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    joints: int = 20,
    seed: int = 0,
) -> AdditivityReport:
    """Measure whether the effects of changes in several layers add up.

    Parameters
    ----------
    model_or_callable
        A model whose ranking is also compared, or the callable to evaluate with.
    layers, options
        The space. The base configuration has the unchanged option of each layer, or else its first
        option.
    evaluate
        Configuration -> measured figure (an error or an accuracy); by default the callable.
    pairs
        Pairs of layers to change together, with one random other option of each per entry. By
        default `joints` random configurations that change two or more layers.
    seed
        Seed of the random draws.

    Raises
    ------
    InputError
        For all faults of the question; no callable to evaluate with; figures that are not finite.
    """
    model = cast("AccuracyModel", model_or_callable) if _is_model(model_or_callable) else None
    if evaluate is None and model is None:
        evaluate = cast("Callable[[Configuration], float]", model_or_callable)
    faults = option_list_faults(layers, options)
    for pair in pairs or ():
        faults += unknown_layer_faults(pair, layers, "the layers")
    if evaluate is None:
        faults.append(Fault("nothing to measure with", "evaluate", expected="a callable"))
    if not faults and sum(len(offered) > 1 for offered in options) < 2:
        faults.append(Fault("fewer than two layers have a choice", "options", expected="two"))
    if faults or evaluate is None:
        raise InputError(faults)
    start = [next((i for i, o in enumerate(row) if o == LayerOption()), 0) for row in options]
    measured = _MeasuredChoices(evaluate, layers, options)
    base = measured(start)
    choices = _joint(layers, options, start, pairs, joints, np.random.default_rng(seed))
    singles: dict[tuple[str, str], float] = {}
    summed = np.zeros(len(choices))
    for j, row in enumerate(choices):
        for i in np.flatnonzero(row != start).tolist():
            single = [*start[:i], int(row[i]), *start[i + 1 :]]
            change = measured(single) - base
            singles[layers[i], describe(options[i][single[i]])] = change
            summed[j] += change
    joint = np.array([measured(row.tolist()) - base for row in choices])
    changed = joint != 0
    errors = np.abs(summed[changed] - joint[changed]) / np.abs(joint[changed])
    ranked = None
    if model is not None:
        losses = model.table(layers, options).loss(np.array(list(measured.known)))
        ranked = _correlation(_ranks(losses), _ranks(np.array(list(measured.known.values()))))
    return AdditivityReport(
        model.name if model is not None else "callable",
        base,
        singles,
        choices,
        joint,
        summed,
        _correlation(summed, joint),
        _correlation(_ranks(summed), _ranks(joint)),
        float(np.median(errors)) if errors.size else 0.0,
        float(errors.max(initial=0.0)),
        ranked,
        len(measured.known),
    )


class _MeasuredChoices:
    """Cache of measured figures, so that each configuration is evaluated once."""

    def __init__(
        self,
        evaluate: Callable[[Configuration], float],
        layers: Sequence[str],
        options: Sequence[Sequence[LayerOption]],
    ) -> None:
        self.evaluate, self.layers, self.options = evaluate, layers, options
        self.known: dict[tuple[int, ...], float] = {}

    def __call__(self, choice: Sequence[int]) -> float:
        key = tuple(choice)
        if key not in self.known:
            rows = zip(self.layers, self.options, key, strict=True)
            figure = float(self.evaluate({layer: offered[c] for layer, offered, c in rows}))
            self.known[key] = figure
            if not np.isfinite(figure):
                message = f"evaluate gave {figure}"
                raise input_error(message, "evaluate", expected="finite numbers")
        return self.known[key]


def _is_model(value: object) -> bool:
    return hasattr(value, "table") and hasattr(value, "predicted")


def _joint(
    layers: Sequence[str],
    options: Sequence[Sequence[LayerOption]],
    start: Sequence[int],
    pairs: Sequence[tuple[str, str]] | None,
    joints: int,
    draw: np.random.Generator,
) -> npt.NDArray[np.intp]:
    """Return the joint configurations: given pairs of layers, or random sets of changed layers."""
    free = [i for i, offered in enumerate(options) if len(offered) > 1]
    place = {layer: i for i, layer in enumerate(layers)}
    rows: list[list[int]] = []
    if pairs is not None:
        groups = [[place[a], place[b]] for a, b in pairs]
    else:
        sizes = draw.integers(2, len(free) + 1, size=joints)
        groups = [draw.choice(free, size=int(n), replace=False).tolist() for n in sizes]
    for group in groups:
        row = list(start)
        for i in group:
            others = [c for c in range(len(options[i])) if c != start[i]]
            if others:
                row[i] = int(draw.choice(others))
        rows.append(row)
    return np.array(rows, dtype=np.intp).reshape(-1, len(layers))


def _ranks(values: Array) -> Array:
    """Return ranks; ties receive their mean rank."""
    ordered = np.sort(values)
    low, high = (np.searchsorted(ordered, values, side=s) for s in ("left", "right"))
    return np.asarray((low + high + 1) / 2, dtype=np.float64)


def _correlation(one: Array, other: Array) -> float:
    a, b = one - float(one.mean()), other - float(other.mean())
    scale = float(np.sqrt(np.vdot(a, a) * np.vdot(b, b)))
    return float(np.vdot(a, b)) / scale if scale > 0 else float("nan")
