"""Constants of attention: over a prompt in blocks of queries, over a cache in splits."""

from __future__ import annotations

from perfmodel.hardware.kernel.ranges import Cost, Rows, Time
from perfmodel.hardware.quantity import Spec


class AttentionConstants(Spec):
    """What fused attention costs; `perfmodel.kinds.tensor_core.attention`."""

    exp_cost: Cost | None = None
    """Attention: seconds of exponentials that do not hide behind the products, by those at the full
    rate of the special function units; above 1 it stands for the rest of the softmax."""
    block_time: Time | None = None
    """Attention over a prompt: time of a block of queries beside its products, at 1.8 GHz."""
    narrow_slowdown: Cost | None = None
    """Attention over a prompt: its arithmetic takes so many times as long with an 8-bit cache."""
    narrow_launch: Time | None = None
    """Attention over a cache: further time where the cache is in 8 bits."""
    query_rows: Rows | None = None
    """Attention over a cache: rows of the query tile, which heads that share keys are padded to."""
    combine: Time | None = None
    """Attention over a cache: time of joining a split sequence, for each doubling of its blocks."""
