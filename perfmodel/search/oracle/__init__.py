"""What a member of a space costs: `Oracle`."""

from perfmodel.search.oracle.oracle import Oracle, OracleSpace
from perfmodel.search.oracle.reader import METRICS

__all__ = ["METRICS", "Oracle", "OracleSpace"]
