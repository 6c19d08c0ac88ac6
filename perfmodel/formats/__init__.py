"""Numeric formats and precisions."""

from perfmodel.formats.format import Format, find, format_named, formats
from perfmodel.formats.precision import (
    FALLBACKS,
    Precision,
    as_precision,
    compute_format,
    parse_precision,
)

__all__ = [
    "FALLBACKS",
    "Format",
    "Precision",
    "as_precision",
    "compute_format",
    "find",
    "format_named",
    "formats",
    "parse_precision",
]
