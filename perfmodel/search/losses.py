"""The loss of a configuration as tables over decisions: an accuracy model asked layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from perfmodel.formats import fixed_format
from perfmodel.search.accuracy import AccuracyModel, Configuration, LayerOption
from perfmodel.search.exact import Sum, Term
from perfmodel.search.oracle.rows import Floats, Index
from perfmodel.search.space import ConfigurationSpace, Decision


class LayerDecisions(NamedTuple):
    """What decides a layer.

    Attributes
    ----------
    layer
        Name of its operator.
    decisions
        Indices, ascending: of its weights, of the activation that it reads, of its output width.
    """

    layer: str
    decisions: tuple[int, ...]


def lost(model: AccuracyModel, losses: Floats) -> Floats:
    """Return what summed losses mean in the model's unit, more being worse.

    A figure of which more is better (an accuracy) is told as what is missing to the best that the
    model has seen.
    """
    figures = np.asarray(model.predicted(losses), dtype=float)
    top = getattr(model, "top", None)
    return figures if top is None else top - figures


def layer_decisions(space: ConfigurationSpace) -> list[LayerDecisions]:
    """Return the layers that something is decided of, in order."""
    found: dict[str, list[int]] = {}
    for i, decision in enumerate(space.decisions):
        if decision.role in {"weights", "activations", "channels"}:
            for layer in decision.layers:
                found.setdefault(layer, []).append(i)
    return [LayerDecisions(layer, tuple(sorted(own))) for layer, own in found.items()]


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
        [option_of(space, each, chosen) for chosen in product(*(range(n) for n in shape))]
        for each, shape in zip(layers, shapes, strict=True)
    ]
    table = model.table([each.layer for each in layers], options)
    tables: dict[tuple[int, ...], Floats] = {}

    def add(decisions: tuple[int, ...], values: Floats) -> None:
        held = tables.get(decisions)
        tables[decisions] = values if held is None else held + values

    for each, shape, losses in zip(layers, shapes, table.unary, strict=True):
        add(each.decisions, np.asarray(losses, dtype=float).reshape(shape))
    for (i, j), losses in table.pairs.items():
        add(*_pair(space, layers[i], layers[j], np.asarray(losses, dtype=float)))
    return Sum(float(table.constant), tuple(Term(d, v) for d, v in tables.items()))


def _pair(
    space: ConfigurationSpace, one: LayerDecisions, other: LayerDecisions, losses: Floats
) -> tuple[tuple[int, ...], Floats]:
    """Return a table over the decisions of two layers, which may share some."""
    decisions = tuple(sorted({*one.decisions, *other.decisions}))
    sizes = [len(space.decisions[i].options) for i in decisions]
    place = {d: k for k, d in enumerate(decisions)}
    grid: Index = np.indices(sizes, dtype=np.intp)

    def index(each: LayerDecisions) -> Index:
        at: Index = np.zeros(sizes, dtype=np.intp)
        for d in each.decisions:
            at = at * len(space.decisions[d].options) + grid[place[d]]
        return at

    found: Floats = losses[index(one), index(other)]
    return decisions, found


def option_of(
    space: ConfigurationSpace, layer: LayerDecisions, chosen: Sequence[int]
) -> LayerOption:
    """Return what is done to a layer."""
    made = LayerOption()
    for i, option in zip(layer.decisions, chosen, strict=True):
        made = _with(made, space.decisions[i], space.decisions[i].options[option])
    return made


def _with(made: LayerOption, decision: Decision, value: object) -> LayerOption:
    if decision.role == "channels":
        widest = max(float(width) for width in decision.options)
        full = decision.whole or widest
        return made._replace(kept=min(1.0, float(value) / full))  # pyright: ignore[reportArgumentType]
    text = str(value)
    if not text:
        return made
    found, sparsity = fixed_format(text)
    if decision.role == "activations":
        return made._replace(activations=found)
    return made._replace(weights=found, sparsity=sparsity)


def configuration_of(space: ConfigurationSpace, choice: Sequence[int]) -> Configuration:
    """Return layer -> what a choice does to it."""
    return {
        each.layer: option_of(space, each, [choice[i] for i in each.decisions])
        for each in layer_decisions(space)
    }
