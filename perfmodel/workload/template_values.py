"""Evaluation of a template's values in the current scope; a faulty value becomes a `Flaw`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.layer_declarations import Field
from perfmodel.workload.layer_expressions import (
    Scope,
    SizeError,
    evaluate_expression,
    fill_expressions,
    interpolate,
    shown,
)
from perfmodel.workload.layer_fields import FlawList, Place, prepare_fields, read_values
from perfmodel.workload.layer_steps import LayerStep


class TemplateValues:
    """Evaluator of a template's expressions; a value that cannot be computed becomes a flaw.

    Attributes
    ----------
    scope
        Values of names at the current step.
    flaws
        All flaws so far.
    """

    def __init__(self, scope: Scope, flaws: Iterable[Flaw] = ()) -> None:
        self.scope = scope
        self.flaws = FlawList(flaws)

    def fields(self, step: LayerStep, fields: Mapping[str, Field]) -> dict[str, Any]:
        """Return the values of all fields of a step, defaults included.

        Fields of kind ``layer`` remain names. Values that are independent of the scope are read
        once and cached in the step.
        """
        prepared = step.prepared.get(id(fields))
        if prepared is None:
            before = len(self.flaws)
            prepared = prepare_fields(step.raw, fields, step.place, self.scope, self.flaws)
            if len(self.flaws) == before:
                step.prepared[id(fields)] = prepared
        fixed, varying = prepared
        return read_values(dict(fixed), varying, step.place, self.scope, self.flaws)

    def value(self, raw: Any, place: Place) -> Any:
        """Return plain data or the value of an expression; ``None`` if it has no value."""
        try:
            if isinstance(raw, str):
                return evaluate_expression(raw, self.scope, "an expression")
            return fill_expressions(raw, self.scope)
        except SizeError as error:
            self.flaws += error.flaws(place)
            return None

    def truth(self, raw: Any, place: Place) -> bool:
        """Return whether a condition is true."""
        value = self.value(raw, place)
        if value is not None and not isinstance(value, bool):
            self.flaws.note(place, f"{shown(value)} is neither true nor false", "a condition")
        return value is True

    def text(self, text: str, place: Place) -> str:
        """Return a text with the expressions in braces evaluated; empty if one has no value."""
        try:
            return interpolate(text, self.scope)
        except SizeError as error:
            self.flaws += error.flaws(place)
            return ""
