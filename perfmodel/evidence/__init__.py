"""Evidence on predictions: residuals of measured rows, and the intervals derived from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.evidence.residual_spread import (
    BASES,
    FACTORS,
    UNKNOWN,
    Scatter,
    Spread,
    scatter,
    spread,
)
from perfmodel.evidence.residual_store import (
    QUANTITIES,
    RATES,
    RELATED,
    SERVED,
    WAYS,
    DeviceEvidence,
    Evidence,
    Subject,
    class_of,
    classes_of,
    gathered,
    library_evidence,
    quantity_of,
    read_evidence,
)
from perfmodel.lazy_names import lazy_names

if TYPE_CHECKING:
    from perfmodel.evidence.interval_coverage import Coverage, coverage, stretched

__all__ = [
    "BASES",
    "FACTORS",
    "QUANTITIES",
    "RATES",
    "RELATED",
    "SERVED",
    "UNKNOWN",
    "WAYS",
    "Coverage",
    "DeviceEvidence",
    "Evidence",
    "Scatter",
    "Spread",
    "Subject",
    "class_of",
    "classes_of",
    "coverage",
    "gathered",
    "library_evidence",
    "quantity_of",
    "read_evidence",
    "scatter",
    "spread",
    "stretched",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"interval_coverage": ("Coverage", "coverage", "stretched")})
