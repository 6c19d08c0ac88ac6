"""Reports: one HTML file each, that needs nothing else, not even a network.

`write` is what ``prediction.report("x.html")`` and its likes call, found by name through
`perfmodel.catalog`.
"""

from perfmodel.report.write import Asked, write

__all__ = ["Asked", "write"]
