"""Flash that computes: dies multiply by the weights they store, a processor does the rest."""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.kinds.nand.geometry import (
    Flash,
    FlashMatrix,
    ReadComputeTile,
    published_columns,
    tile,
    widths,
)
from perfmodel.kinds.nand.kind import KIND
from perfmodel.kinds.nand.spec import InFlashCompute, NandFlash
from perfmodel.kinds.nand.split import FlashSplit, in_flash_time, split

__all__ = [
    "KIND",
    "Flash",
    "FlashMatrix",
    "FlashSplit",
    "InFlashCompute",
    "NandFlash",
    "ReadComputeTile",
    "in_flash_time",
    "published_columns",
    "split",
    "tile",
    "widths",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(
        __name__, Matrix="FlashMatrix", Split="FlashSplit", Tile="ReadComputeTile"
    )
