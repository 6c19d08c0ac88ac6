"""Names in free texts of tables: whole words, never parts of them."""

from __future__ import annotations

import re

__all__ = ["has_words"]


def has_words(text: str, words: str) -> bool:
    """Tell whether a text has words as such: ``A7`` is in ``Cortex-A7``, not in ``A78`` or ``1A7``.

    Case is of no consequence. A version goes on after a point: ``3.1`` is not in ``3.1.5``.
    """
    pattern = rf"(?<![a-z0-9]){re.escape(words)}(?!\.?[a-z0-9])"
    return re.search(pattern, text, re.IGNORECASE) is not None
