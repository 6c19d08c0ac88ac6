"""Spaces of what is decided about a network beside its architecture."""

from perfmodel.search.space.product import ProductSpace, product_space

__all__ = ["ProductSpace", "product_space"]
