"""Hierarchies of accelerators whose access costs are published."""

from __future__ import annotations

from perfmodel.cost.mapping.hierarchy import Hierarchy, Memory, Port, Spread

_PJ = 1e-12


def tpu_like() -> Hierarchy:
    """The TPU-like accelerator of ZigZag 3.9.1 (``inputs/hardware/tpu_like.yaml``, KU Leuven).

    A systolic array of 32 x 32 units: output channels along one side, input channels along the
    other. A unit keeps 128 bytes of weights and 2 bytes of a partial sum; inputs and outputs share
    an SRAM of 2 MB; weights come straight from DRAM. An access of the whole 2048 bits of the SRAM
    costs 416.16 pJ (read) and 378.4 pJ (write), of the 64 bits of DRAM 700 and 750 pJ.
    """
    return Hierarchy(
        name="tpu_like",
        mac_j=0.04 * _PJ,
        spread=(
            Spread("D1", 32, (("out_channels", 32),), systolic=True),
            Spread("D2", 32, (("in_channels", 32),), systolic=True),
        ),
        memories=(
            Memory(
                "rf_128B", 128, 0.095 * _PJ, 0.095 * _PJ,
                (Port(8, 8, (("weight", "feed"),)), Port(8, 8, (("weight", "fill"),))),
            ),
            Memory(
                "rf_2B", 2, 0.021 * _PJ, 0.021 * _PJ,
                (
                    Port(16, 16, (("output", "feed"),)),
                    Port(16, 16, (("output", "drain"),)),
                    Port(16, 16, (("output", "fill"),)),
                    Port(16, 16, (("output", "collect"),)),
                ),
            ),
            Memory(
                "sram_2MB", 2**21, 416.16 * _PJ, 378.4 * _PJ,
                (
                    Port(2048, 64, (("input", "feed"), ("output", "feed"), ("output", "drain"))),
                    Port(2048, 64, (("input", "fill"), ("output", "fill"), ("output", "collect"))),
                ),
                serves=("D1", "D2"),
            ),
            Memory(
                "dram", 1.25e9, 700 * _PJ, 750 * _PJ,
                (
                    Port(
                        64, 64,
                        (
                            ("input", "fill"), ("input", "feed"),
                            ("weight", "fill"), ("weight", "feed"),
                            ("output", "fill"), ("output", "feed"),
                            ("output", "collect"), ("output", "drain"),
                        ),
                    ),
                ),
                serves=("D1", "D2"),
            ),
        ),
    )  # fmt: skip
