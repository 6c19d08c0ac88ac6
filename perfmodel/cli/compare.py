"""``perfmodel compare``: kernels or layers side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perfmodel.cli.answer import Answer, Shown
from perfmodel.cli.common import Count
from perfmodel.compare import Comparison
from perfmodel.table.text import as_text


@dataclass(kw_only=True)
class ComparisonAnswer(Answer):
    """Two predictions side by side.

    Parameters
    ----------
    layers
        Layer by layer: what each takes on both, largest difference first, and nothing else.
    rows
        How many kernels (or layers) to show; by default 10 kernels, or all layers.
    """

    ROW: ClassVar[str] = "kernel, or with --layers one row per layer"
    PLOT: ClassVar[str] = "Write the time of both sides by what binds it to an .html file."
    EXPLAIN: ClassVar[str] = "Show all kernels, and the facts that make the difference."

    layers: bool = False
    rows: Count | None = None

    def shown(self, result: Comparison) -> Shown:
        """Return kernels with the facts that matter, or layers."""
        if self.explain:
            return super().shown(result)
        if self.layers:
            return Shown(_layers_text(result, self.rows), table=result.layers)
        return Shown(_text(result, 10 if self.rows is None else self.rows))


def _text(found: Comparison, rows: int) -> str:
    facts, more = found.used_facts, len(found.facts) - len(found.used_facts)
    return "\n".join(
        [
            f"a: {_side(found, 'a')}",
            f"b: {_side(found, 'b')}",
            "",
            *found.sentences,
            "",
            as_text(found.metrics, rows=40),
            "",
            as_text(found.table, rows=rows),
            "",
            f"facts that differ and matter here (of {more + len(facts)} that differ):",
            as_text(facts, rows=60) if facts else "none",
        ]
    )


def _layers_text(found: Comparison, rows: int | None) -> str:
    table = found.layers
    return "\n".join(
        [
            f"a: {_side(found, 'a')}",
            f"b: {_side(found, 'b')}",
            "",
            found.reasons[0],
            *found.spreads,
            "",
            as_text(table, rows=len(table) if rows is None else rows),
        ]
    )


def _side(found: Comparison, name: str) -> str:
    each = getattr(found, name)
    return each.headline
