"""Views of facts: shared where every prediction has the same, dropped where a block varies them."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from perfmodel.hardware.fact_views import views_of


class Facts(dict[str, object]):
    """Facts to which a test may hold a weak reference."""


def test_views_of_numbers_are_shared() -> None:
    facts, choices = Facts(clock=1e9), Facts()
    assert views_of(facts, choices, "main") is views_of(facts, choices, "main")


def test_views_of_a_block_of_points_are_dropped_with_it() -> None:
    facts = Facts(clock=np.linspace(1e9, 2e9, 1000))
    views = views_of(facts, Facts(), "main")
    block = weakref.ref(facts)
    del facts, views
    gc.collect()
    assert block() is None
