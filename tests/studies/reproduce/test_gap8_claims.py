"""Kernels on GAP8's eight cores and a network of nano-drones against what is published."""

from __future__ import annotations

from perfmodel.evaluate import reproduce


def test_gap8() -> None:
    rows = {row.claim: row for row in reproduce("gap8")}
    off = [name for name, row in rows.items() if row.verdict != "within"]
    assert off == ["m4_slowdown"]
    assert rows["classical_speed_up"].basis == "given"
