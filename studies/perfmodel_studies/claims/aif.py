"""What the model says of the bandwidth inside AiF's flash."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.kinds.nand import FlashMatrix, published_columns, tile
from perfmodel.kinds.nand.timeline import geometry

#: Seconds of conventional reads of the three pages of a TLC wordline.
_CONVENTIONAL = (37e-6, 46e-6, 37e-6)


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    flash = geometry(pm.hardware("aif_ssd").machine())
    pages = flash.channels * flash.dies * flash.cores * flash.page
    matrix = FlashMatrix(4096.0, 4096.0, 1.0, 1.0, 1.0, 1.0)
    pace = tile(flash, matrix, published_columns(flash, matrix)).round_time
    reads = sum(_CONVENTIONAL) / len(_CONVENTIONAL)
    return {
        "internal_gb_s": float(pages / pace) / 1e9,
        "conventional_gb_s": float(pages / reads) / 1e9,
    }
