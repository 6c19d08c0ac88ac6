"""Fourier transforms of signals, ``DFT`` and ``STFT``: output shapes and operation counts.

A complex FFT of length n costs ``5 n log2 n`` real operations (Cooley and Tukey, Mathematics of
Computation 19(90), 1965, radix 2), a transform of real input half as many. Entries of
``workloads/operators/onnx.yaml`` name these functions.
"""

from __future__ import annotations

import math

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    normalise_axis,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.importers.onnx.symbolic_extents import floor_div
from perfmodel.workload.symbols import Dim, constant, product, simplify


def dft_axis(node: OnnxNode) -> int:
    """Return the axis that a ``DFT`` transforms: an attribute, or an input from operator set 20."""
    rank = len(node.shape(0))
    third = node.get(2)
    if third is not None:
        return normalise_axis(require_integer(node.number(2, "the axis"), "an axis"), rank)
    # Operator set 20 changed the default from 1 to the second-to-last axis. In rank 3 both are the
    # same; the attribute is the older form.
    return node.axis(-2 if rank == 3 else 1, rank)


def stft_frames(node: OnnxNode) -> tuple[Dim, Dim]:
    """Return the number of frames of an ``STFT`` and their length.

    For a signal of n samples, frames of l samples and a step s: ``floor((n - l) / s) + 1`` frames.
    """
    signal = node.shape(0)
    step = require_integer(node.number(1, "the frame step"), "the frame step")
    if node.get(3) is not None:
        length = node.number(3, "the frame length")
    elif node.get(2) is not None:
        length = node.shape(2)[0]
    else:
        raise ContradictionError("neither a window nor a frame length")
    if step <= 0:
        raise ContradictionError(f"a frame step of {step}")
    return simplify(floor_div(signal[1] - length, step) + 1), length


def stft_shape(node: OnnxNode) -> None:
    """Set the shape of ``STFT``: ``(N, frames, bins, 2)``, with real and imaginary parts last.

    One-sided spectra have ``floor(l / 2) + 1`` bins, others l.
    """
    frames, length = stft_frames(node)
    bins = floor_div(length, 2) + 1 if node.integer("onesided", 1) else length
    set_output(node, (node.shape(0)[0], frames, bins, 2))


def fft_operations(size: int) -> float:
    """Return the real operations of a complex FFT of length n: ``5 n log2 n``."""
    return 5.0 * size * math.log2(size) if size > 1 else 0.0


def price_dft(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``DFT`` as one FFT per signal, at half the operations for real input."""
    x = node.require(0)
    size = x.extents[dft_axis(node)]
    real = constant(x.extents[-1]) == 1
    signals = simplify(product(*x.extents[:-1]) / size)
    each = fft_operations(require_integer(size, "the length of a transform")) * (
        0.5 if real else 1.0
    )
    ops = product(signals, each)
    pricer.add(node, "elementwise", [x], ops=ops, function="fft")


def price_stft(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``STFT``: per frame of l samples, l products and a real FFT of ``2.5 l log2 l``."""
    x = node.require(0)
    frames, length = stft_frames(node)
    size = require_integer(length, "the length of a frame")
    pricer.add(
        node,
        "elementwise",
        [(pricer.tensor(x), product(x.extents[0], frames, size)), *pricer.reads(node.get(2))],
        ops=product(x.extents[0], frames, 0.5 * fft_operations(size) + size),
        function="fft",
    )
