"""References: catalogue of documents, resolution of citations, and BibTeX output."""

from perfmodel.references.bibtex import to_bibtex
from perfmodel.references.catalogue import known, resolve, specified
from perfmodel.references.reference import Reference, of_source, same_address

__all__ = [
    "Reference",
    "known",
    "of_source",
    "resolve",
    "same_address",
    "specified",
    "to_bibtex",
]
