"""Costs of the members of a space: `Oracle`."""

from perfmodel.search.oracle.oracle import Oracle

__all__ = ["Oracle"]
