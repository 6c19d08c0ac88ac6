"""Reports: one self-contained HTML file for each result, which needs no network.

`write` implements ``prediction.report("x.html")`` and similar methods, looked up by name through
`perfmodel.catalog`. `base` is the report of any result; a class of results adds its own sections in
a module ``of_*``.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.report.base import ReportInvocation, write

__all__ = ["ReportInvocation", "write"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Asked="ReportInvocation")
