"""Flash that computes: dies multiply the weights that they hold, a processor the rest."""

from perfmodel.kinds.nand.geometry import Flash, Matrix, Tile, best_columns, tile
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
    "best_columns",
    "in_flash_time",
    "split",
    "tile",
]
