"""Loss of a configuration as a sum of tables over decisions, from an accuracy model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from perfmodel.formats import fixed_format
from perfmodel.search.accuracy import AccuracyModel, Configuration, LayerOption
from perfmodel.search.exact import Sum, Term
from perfmodel.search.oracle.kernel_pricing import Floats, Index
from perfmodel.search.space import ConfigurationSpace, Decision


class LayerDecisions(NamedTuple):
    """A layer and the decisions that affect it.

    Attributes
    ----------
    layer
        Name of the layer's operator.
    decisions
        Ascending indices of the decisions on its weights, its input activation and its width.
    """

    layer: str
    decisions: tuple[int, ...]


def loss_in_unit(model: AccuracyModel, losses: Floats) -> Floats:
    """Return summed losses in the model's unit, where more is worse.

    If more is better (an accuracy), this is the difference to the best figure of the model.
    """
    figures = np.asarray(model.predicted(losses), dtype=float)
    top = getattr(model, "top", None)
    return figures if top is None else top - figures


def layer_decisions(space: ConfigurationSpace) -> list[LayerDecisions]:
    """Return the layers with decisions, in order."""
    by_layer: dict[str, list[int]] = {}
    for i, decision in enumerate(space.decisions):
        if decision.role in {"weights", "activations", "channels"}:
            for layer in decision.layers:
                by_layer.setdefault(layer, []).append(i)
    return [LayerDecisions(layer, tuple(sorted(own))) for layer, own in by_layer.items()]


def loss_tables(model: AccuracyModel, space: ConfigurationSpace) -> Sum:
    """Return the loss of every configuration as a sum of tables.

    Raises
    ------
    InputError
        Layers or options that the model does not know.
    """
    layers = layer_decisions(space)
    shapes = [tuple(len(space.decisions[i].options) for i in each.decisions) for each in layers]
    options = [
        [option_of(space, each, choice) for choice in product(*(range(n) for n in shape))]
        for each, shape in zip(layers, shapes, strict=True)
    ]
    table = model.table([each.layer for each in layers], options)
    tables: dict[tuple[int, ...], Floats] = {}

    def add(decisions: tuple[int, ...], values: Floats) -> None:
        known = tables.get(decisions)
        tables[decisions] = values if known is None else known + values

    for each, shape, losses in zip(layers, shapes, table.unary, strict=True):
        add(each.decisions, np.asarray(losses, dtype=float).reshape(shape))
    for (i, j), losses in table.pairs.items():
        add(*_pair(space, layers[i], layers[j], np.asarray(losses, dtype=float)))
    return Sum(float(table.constant), tuple(Term(d, v) for d, v in tables.items()))


def _pair(
    space: ConfigurationSpace, one: LayerDecisions, other: LayerDecisions, losses: Floats
) -> tuple[tuple[int, ...], Floats]:
    """Return a table over the decisions of two layers, some of which may be shared."""
    decisions = tuple(sorted({*one.decisions, *other.decisions}))
    sizes = [len(space.decisions[i].options) for i in decisions]
    place = {decision: k for k, decision in enumerate(decisions)}
    grid: Index = np.indices(sizes, dtype=np.intp)

    def index(each: LayerDecisions) -> Index:
        at: Index = np.zeros(sizes, dtype=np.intp)
        for decision in each.decisions:
            at = at * len(space.decisions[decision].options) + grid[place[decision]]
        return at

    table: Floats = losses[index(one), index(other)]
    return decisions, table


def option_of(
    space: ConfigurationSpace, layer: LayerDecisions, choice: Sequence[int]
) -> LayerOption:
    """Return the option of a layer under a choice of its decisions."""
    result = LayerOption()
    for i, option in zip(layer.decisions, choice, strict=True):
        result = _with(result, space.decisions[i], space.decisions[i].options[option])
    return result


def _with(changed: LayerOption, decision: Decision, value: Any) -> LayerOption:
    if decision.role == "channels":
        full = decision.full_width or max(map(float, decision.options))
        return changed._replace(channels=min(1.0, float(value) / full))
    text = str(value)
    if not text:
        return changed
    format, sparsity = fixed_format(text)
    if decision.role == "activations":
        return changed._replace(activations=format)
    return changed._replace(weights=format, sparsity=sparsity)


def configuration_of(space: ConfigurationSpace, choice: Sequence[int]) -> Configuration:
    """Return layer -> option under a choice."""
    return {
        each.layer: option_of(space, each, [choice[i] for i in each.decisions])
        for each in layer_decisions(space)
    }
