"""Trust page: errors on every data set and published result, in one Markdown document.

Written by ``perfmodel validate --trust``.
"""

from perfmodel.evaluate.trust.page import trust_page

__all__ = ["trust_page"]
