"""Family ``layers``: a network written as a plain list of named layers in a workload file.

A layer is ``{name, op, input or inputs, ...}``; without inputs it reads the previous layer. Extents
are numbers, names of `parameters`, or arithmetic on them. ``op: repeat`` with ``count`` and
``layers`` repeats layers, each repetition with separate weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import SkipValidation, model_validator

from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import checked
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.layer_template import FrozenMapping, freeze, read_template
from perfmodel.workload.symbols import Dim, symbol
from perfmodel.workload.template_interpreter import TemplateInterpreter

#: Semantics for checking a graph: all operators are built.
EVERYTHING = ExecutionSemantics(runs_dead_branches=True)


class LayersStructure(FrozenModel):
    """A plain graph.

    Attributes
    ----------
    parameters
        Free dimensions -> default number.
    inputs
        Name -> shape, or -> ``{shape, format}``.
    layers
        The layers in order of execution.
    outputs
        Names of the layers that are outputs of the network; by default the last one.
    unit
        Unit of one run's result: ``frames``, ``tokens`` ...; ``batch`` of them if that is free.
    """

    parameters: SkipValidation[Mapping[str, float]] = FrozenMapping()
    inputs: SkipValidation[Mapping[str, Any]] = FrozenMapping()
    layers: SkipValidation[tuple[Any, ...]] = ()
    outputs: SkipValidation[tuple[str, ...]] = ()
    unit: str = "runs"

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        """Validate the graph, reporting all faults at once, and freeze it."""
        if not isinstance(data, Mapping):
            return data
        graph = cast("Mapping[str, Any]", data)
        template = read_template(graph)
        flaws = TemplateInterpreter(template, {}, EVERYTHING).flaws
        flaws = flaws or TemplateInterpreter(template, {}, EVERYTHING, at_defaults=True).flaws
        return checked({key: freeze(value) for key, value in graph.items()}, flaws)


def build(structure: LayersStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph, with layers that reach no output only if the runtime executes them."""
    data = {key: getattr(structure, key) for key in type(structure).model_fields}
    return TemplateInterpreter(read_template(data), {}, semantics, checked=False).graph()


def parameters(structure: LayersStructure) -> dict[str, float]:
    """Return the free dimensions and their default numbers."""
    return dict(structure.parameters)


def items(structure: LayersStructure) -> tuple[str, Dim]:
    """Return the unit of a run and its number per run: 1 or ``batch``."""
    return structure.unit, symbol("batch") if "batch" in structure.parameters else 1


FAMILY_LAYERS = Family("layers", LayersStructure, parameters, build, items)
