"""What a backend's kernels of one class reach and cost, and the classes."""

from __future__ import annotations

from typing import Final

from perfmodel.hardware.kernel.algorithms import Algorithms
from perfmodel.hardware.kernel.attention import AttentionConstants
from perfmodel.hardware.kernel.collectives import CollectiveConstants
from perfmodel.hardware.kernel.common import CommonConstants
from perfmodel.hardware.kernel.cores import CoreConstants
from perfmodel.hardware.kernel.fabric import FabricConstants
from perfmodel.hardware.kernel.lookups import LookupConstants
from perfmodel.hardware.kernel.microcontrollers import MicrocontrollerConstants
from perfmodel.hardware.kernel.neural import NeuralConstants
from perfmodel.hardware.kernel.overlays import OverlayConstants
from perfmodel.hardware.kernel.panels import PanelConstants
from perfmodel.hardware.kernel.products import ProductConstants

KERNEL_CLASSES: Final = (
    "gemm", "gemv", "conv", "grouped", "depthwise", "attention_prefill", "attention_decode", "moe",
    "batched_gemm", "recurrent", "elementwise", "norm", "softmax", "pool", "copy", "gather",
    "tree", "resize",
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all",
)  # fmt: skip
"""Classes of kernels; ``gemm.fp8`` are the constants of one compute or weight format,
``elementwise.gelu_tanh`` those of one function, ``all_reduce.custom`` those of one library beside
another. ``batched_gemm`` are the products of attention whose scores are written to memory."""


# Spec files and schemas list fields from the last of these on.
class Kernel(
    LookupConstants, FabricConstants, NeuralConstants, OverlayConstants,
    MicrocontrollerConstants, PanelConstants, CoreConstants, CollectiveConstants,
    AttentionConstants, ProductConstants, Algorithms, CommonConstants,
):  # fmt: skip
    """What a backend's kernels of one class reach and cost.

    A kind that models an effect reads its constants here and takes no efficiency for it; which
    constants a kind reads, and their equations, is in its documentation.
    """
