"""Numeric formats, precisions and sparsity of tensors: stored bits per element, compute format."""

from perfmodel.formats.format import Format, find, format_named, formats
from perfmodel.formats.precision import (
    FALLBACKS,
    Precision,
    as_precision,
    compute_format,
    fixed_format,
    parse_precision,
    stored_bits,
)
from perfmodel.formats.sparsity import Sparsity, parse_sparsity

__all__ = [
    "FALLBACKS",
    "Format",
    "Precision",
    "Sparsity",
    "as_precision",
    "compute_format",
    "find",
    "fixed_format",
    "format_named",
    "formats",
    "parse_precision",
    "parse_sparsity",
    "stored_bits",
]
