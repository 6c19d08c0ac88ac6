"""Evidence on predictions: residuals of measured rows, and the intervals derived from them."""

from perfmodel.evidence.interval_coverage import Coverage, coverage, stretched
from perfmodel.evidence.residual_spread import BASES, UNKNOWN, Scatter, Spread, scatter, spread
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
    read_evidence,
)

__all__ = [
    "BASES",
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
    "read_evidence",
    "scatter",
    "spread",
    "stretched",
]
