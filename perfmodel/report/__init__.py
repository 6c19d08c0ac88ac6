"""Reports: one HTML file each, that needs nothing else, not even a network.

`write` is what ``prediction.report("x.html")`` and its likes call, found by name through
`perfmodel.catalog`.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.report.base import ReportInvocation, write

__all__ = ["ReportInvocation", "write"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Asked="ReportInvocation")
