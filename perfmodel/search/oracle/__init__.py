"""What a member of a space costs: `Oracle`."""

from perfmodel.search.oracle.oracle import Oracle

__all__ = ["Oracle"]
