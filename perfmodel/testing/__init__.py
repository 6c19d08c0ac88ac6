"""Conformance tests that perfmodel's own parts and third parties' pass alike."""

from perfmodel.testing.kinds import KindConformance
from perfmodel.testing.results import check_explanation, check_result

__all__ = ["KindConformance", "check_explanation", "check_result"]
