"""How far to trust it: every data set and published result, on one page."""

from perfmodel.evaluate.trust.page import trust_page

__all__ = ["trust_page"]
