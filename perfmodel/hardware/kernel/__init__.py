"""Constants of a runtime's kernels, for kinds of hardware that model what a kernel does.

A file for what the constants are of: `common` (any kernel), `products`, `attention`, `collectives`,
`cores` (a core with vectors), `lookups` (products by tables on its shuffles), `fabric` (circuits in
an FPGA), `neural` (vendors' units), `overlays` (designs in an FPGA that run networks),
`microcontrollers` (clocks a product), `panels` (whole columns of a product), and `algorithms` of
convolutions; `constants` has them all in one, `stated` reads what a machine's runtime states.
"""

from perfmodel.hardware.kernel.constants import KERNEL_CLASSES, Kernel

__all__ = ["KERNEL_CLASSES", "Kernel"]
