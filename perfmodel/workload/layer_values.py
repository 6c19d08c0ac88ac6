"""Values and faults of a template while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.layer_expressions import (
    Scope,
    SizeError,
    evaluated,
    filled,
    interpolated,
    shown,
)
from perfmodel.workload.layer_fields import FlawList, Place


class TemplateValues:
    """Evaluates what a template states; what has no value becomes a flaw.

    Attributes
    ----------
    scope
        What names mean where the template runs.
    flaws
        Everything that is wrong.
    """

    def __init__(self, scope: Scope, flaws: Iterable[Flaw] = ()) -> None:
        self.scope = scope
        self.flaws = FlawList(flaws)

    def take(self, item: Any) -> bool:
        """Note a flaw; tell whether it was one."""
        if isinstance(item, Flaw):
            self.flaws.append(item)
            return True
        return False

    def value(self, raw: Any, place: Place) -> Any:
        """Return plain data or the value of an expression; ``None`` where it has none."""
        try:
            if isinstance(raw, str):
                return evaluated(raw, self.scope, "an expression")
            return filled(raw, self.scope)
        except SizeError as error:
            self.flaws.note(place, str(error), error.expected, error.suggestion)
            return None

    def truth(self, raw: Any, place: Place) -> bool:
        """Tell whether a condition holds."""
        value = self.value(raw, place)
        if value is not None and not isinstance(value, bool):
            self.flaws.note(place, f"{shown(value)} is neither true nor false", "a condition")
        return value is True

    def text(self, text: str, place: Place) -> str:
        """Return a text with what stands in its braces; empty where that has no value."""
        try:
            return interpolated(text, self.scope)
        except SizeError as error:
            self.flaws.note(place, str(error), error.expected, error.suggestion)
            return ""
