"""What one piece of an overlay takes of the fabric, and what all pieces take together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from perfmodel.arrays import Value, is_array
from perfmodel.cost.setting import Setting
from perfmodel.hardware.quantity import Of, Quantity, Spec

#: Resources of a part, as `perfmodel.kinds.fpga.spec.FpgaSpec` names them.
RESOURCES: Final = ("lut", "ff", "dsp", "bram", "uram")

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


def overlay_resources(setting: Setting, pieces: Mapping[str, Value]) -> dict[str, Value]:
    """Return `Terms.resources` of an overlay: its pieces, each so many times.

    Parameters
    ----------
    pieces
        Field of the design that holds a `Fabric` (``core``) -> how often it is there.

    Returns
    -------
    dict
        Resource -> amount, ``(points,)`` or ``(1,)``; resources of which nothing is stated are left
        out.
    """
    head, xp = f"engines.{setting.engine}.design.", setting.xp
    out: dict[str, Value] = {}
    for name in RESOURCES:
        parts = [
            setting.facts[f"{head}{piece}.{name}"] * times
            for piece, times in pieces.items()
            if f"{head}{piece}.{name}" in setting.facts
        ]
        total = sum(parts[1:], parts[0]) if parts else 0.0
        if is_array(total) or total:
            out[name] = xp.asarray(total, dtype=float).reshape(-1)
    return out
