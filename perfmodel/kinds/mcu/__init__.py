"""Microcontrollers: small in-order cores, SRAM and flash, clusters of cores with a DMA."""

from perfmodel.kinds.mcu.kind import KIND
from perfmodel.kinds.mcu.spec import Microcontroller

__all__ = ["KIND", "Microcontroller"]
