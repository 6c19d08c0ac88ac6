"""Pauses of the cyclic garbage collector while many objects are made that live on.

A graph of ten thousand operators is some hundred thousand objects without cycles. The collector
visits them again and again while they are made, and frees nothing: a third of the time of an
import.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Generator[None]:
    """Pause the collector, unless it is off already; also a decorator of functions.

    Of several threads, the first that ends switches it on again, which costs time only.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
