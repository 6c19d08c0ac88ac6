"""Reports: one self-contained HTML file each, which needs no network.

`write` implements ``prediction.report("x.html")`` and similar methods, looked up by name through
`perfmodel.catalog`.
"""

from typing import TYPE_CHECKING

from perfmodel.former import former_names
from perfmodel.report.base import ReportInvocation, write

__all__ = ["ReportInvocation", "write"]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Asked="ReportInvocation")
