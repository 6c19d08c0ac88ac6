"""Caches of a core, and clocks of streaming loops on them by the Execution-Cache-Memory model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.lazy_names import lazy_names

if TYPE_CHECKING:
    from perfmodel.kinds.cache.hierarchy import cycles_per_line
    from perfmodel.kinds.cache.spec import Cache

__all__ = ["Cache", "cycles_per_line"]

__getattr__ = lazy_names(__name__, {"hierarchy": ("cycles_per_line",), "spec": ("Cache",)})
