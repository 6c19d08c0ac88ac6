"""What one piece of an overlay takes of the fabric, and what all pieces take together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeAlias

from perfmodel.arrays import Value, is_array
from perfmodel.hardware.quantity import Of, Quantity, Spec

Amount: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e8)]

_NONE: Final = Quantity(value=0.0)


class Fabric(Spec):
    """Resources that something in the fabric takes."""

    lut: Amount = _NONE
    """Look-up tables."""
    ff: Amount = _NONE
    """Flip-flops."""
    dsp: Amount = _NONE
    """DSP slices."""
    bram: Amount = _NONE
    """Memory blocks of 18 Kb; a block of 36 Kb counts as two."""
    uram: Amount = _NONE
    """UltraRAM blocks of 288 Kb."""
    source: str | None = None
    """Source of every number below that names none."""


def overlay_resources(pieces: Iterable[tuple[Fabric, Value]], xp: Any) -> dict[str, Value]:
    """Return `Counts.resources` of an overlay: its pieces, each so many times.

    Parameters
    ----------
    pieces
        What a piece takes, and how often it is there.
    xp
        Array namespace.

    Returns
    -------
    dict
        Resource -> amount, ``(points,)`` or ``(1,)``; resources of which nothing is stated are left
        out.
    """
    out: dict[str, Value] = {}
    for piece, times in pieces:
        stated = {
            "lut": piece.lut,
            "ff": piece.ff,
            "dsp": piece.dsp,
            "bram": piece.bram,
            "uram": piece.uram,
        }
        for name, amount in stated.items():
            out[name] = out.get(name, 0.0) + amount * times
    return {
        name: xp.asarray(total, dtype=float).reshape(-1)
        for name, total in out.items()
        if is_array(total) or total
    }
