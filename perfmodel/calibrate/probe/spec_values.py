"""Values of measured specs: numbers with their measuring conditions and notes."""

from __future__ import annotations

from typing import Any, TypeAlias

from perfmodel.calibrate.probe.measure import Figure

#: Fields of a spec in the form of its YAML file; the spec's class validates them.
SpecFields: TypeAlias = dict[str, Any]

SOURCE = "probe"
AS_REPORTED = "as the system reports it"


def rounded(value: float) -> float:
    """Return four significant digits; no measurement is repeatable to more."""
    return float(f"{value:.4g}")


def with_note(value: Any, note: str, **more: Any) -> SpecFields:
    """Return a value with a note."""
    return {"value": value, **more, "note": note}


def measured(figure: Figure, note: str = "") -> SpecFields:
    """Return the best rate of a measurement, with its measuring conditions."""
    at = f"best of {figure.trials} trials, the median {figure.spread:.1%} below"
    return {"value": rounded(figure.best), "measured_at": at, **({"note": note} if note else {})}


def measurement_source(year: int | None, of: str = "") -> SpecFields:
    """Return the measurement as a source document."""
    title = f"This host, measured by perfmodel doctor --probe{of}"
    when = {"year": year} if year else {}
    return {SOURCE: {"title": title, "publisher": "perfmodel", **when}}
