"""Caches of a core, and clocks of streaming loops on them by the Execution-Cache-Memory model."""

from perfmodel.kinds.cache.hierarchy import cycles_per_line
from perfmodel.kinds.cache.spec import Cache

__all__ = ["Cache", "cycles_per_line"]
