"""What tests of kinds share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def doubles() -> Iterator[Any]:
    """JAX with numbers of 64 bits, for slopes beside finite differences."""
    jax = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)
