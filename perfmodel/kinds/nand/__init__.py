"""Flash that computes: dies multiply the weights that they hold, a processor the rest."""

from perfmodel.kinds.nand.geometry import (
    Flash,
    Matrix,
    Tile,
    Tiling,
    published_columns,
    tile,
    widths,
)
from perfmodel.kinds.nand.kind import KIND, InFlash
from perfmodel.kinds.nand.spec import InFlashCompute, NandFlash
from perfmodel.kinds.nand.split import Split, in_flash_time, split

__all__ = [
    "KIND",
    "Flash",
    "InFlash",
    "InFlashCompute",
    "Matrix",
    "NandFlash",
    "Split",
    "Tile",
    "Tiling",
    "in_flash_time",
    "published_columns",
    "split",
    "tile",
    "widths",
]
