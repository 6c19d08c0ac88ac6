"""What compiling keeps: a graph for each structure, and what was made of it."""

from __future__ import annotations

from typing import Final

from perfmodel.workload.dispatches import _with_views  # pyright: ignore[reportPrivateUsage]
from perfmodel.workload.executed import _executed  # pyright: ignore[reportPrivateUsage]
from perfmodel.workload.layouts import _converted  # pyright: ignore[reportPrivateUsage]
from perfmodel.workload.library import forget_variants
from perfmodel.workload.lower import _lower  # pyright: ignore[reportPrivateUsage]
from perfmodel.workload.rewrite.compressed import (
    _rewritten,  # pyright: ignore[reportPrivateUsage]
    _unrolled,  # pyright: ignore[reportPrivateUsage]
)
from perfmodel.workload.sizes import _small  # pyright: ignore[reportPrivateUsage]
from perfmodel.workload.workload import _built  # pyright: ignore[reportPrivateUsage]

_KEPT: Final = (_built, _executed, _converted, _with_views, _unrolled, _rewritten, _lower, _small)


def forget_structures(above: int) -> None:
    """Forget every structure where more than some are known: what runs for days must not grow.

    The caches have bounds of their own, for searches that meet hundreds of small structures; those
    of a process that answers anybody's questions may each be large. What is forgotten is compiled
    again.
    """
    if any(cache.cache_info().currsize > above for cache in _KEPT):
        forget_variants()
        for cache in _KEPT:
            cache.cache_clear()
