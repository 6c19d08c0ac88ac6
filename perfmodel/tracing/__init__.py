"""Straight-line programs of array functions: traced once, replayed on floats or vectors."""

from perfmodel.tracing.codegen import Program, trace
from perfmodel.tracing.expression import NotTraceable

__all__ = ["NotTraceable", "Program", "trace"]
