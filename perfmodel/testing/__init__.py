"""Conformance tests that perfmodel's own parts and third parties' pass alike."""

from perfmodel.testing.kinds import KindConformance
from perfmodel.testing.results import check_result
from perfmodel.testing.text import check_explanation

__all__ = ["KindConformance", "check_explanation", "check_result"]
