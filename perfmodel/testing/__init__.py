"""Conformance tests for the hardware kinds and results of perfmodel and of other packages."""

from perfmodel.testing.kinds import KindConformance
from perfmodel.testing.results import check_explanation, check_result

__all__ = ["KindConformance", "check_explanation", "check_result"]
