"""Kernels on GAP8's eight cores and a network of nano-drones against what is published."""

from __future__ import annotations

from perfmodel.evaluate import reproduce


def test_gap8() -> None:
    rows = {row.claim: row for row in reproduce("gap8")}
    off = [name for name, row in rows.items() if row.verdict != "within"]
    # The energy of a network of few channels is half too low.
    assert off == ["m4_slowdown", "tiny_dronet_j"]
    assert rows["classical_speed_up"].basis == "given"
