"""Shapes and prices of Fourier transforms of signals."""

from __future__ import annotations

import math

from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import ContradictionError, OnnxNode, axis_of, fixed
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.symbols import Dim, constant, product, simplify


def transform_axis(node: OnnxNode) -> int:
    """Return the axis that a ``DFT`` transforms (an attribute, or an input since set 20)."""
    rank = len(node.shape(0))
    third = node.get(2)
    if third is not None:
        return axis_of(fixed(node.number(2, "the axis"), "an axis"), rank)
    # Operator set 20 changed the default from 1 to the second-to-last axis. In rank 3 both are the
    # same; the attribute is the older form.
    return node.axis(-2 if rank == 3 else 1, rank)


def stft_lengths(node: OnnxNode) -> tuple[Dim, Dim]:
    """Return the number of frames of an ``STFT`` and their length.

    ``floor((signal - length) / step) + 1`` frames.
    """
    signal = node.shape(0)
    step = fixed(node.number(1, "the frame step"), "the frame step")
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
    """Set the shape of ``STFT``: frames by frequency bins by real and imaginary part."""
    frames, length = stft_lengths(node)
    bins = floor_div(length, 2) + 1 if node.integer("onesided", 1) else length
    give(node, (node.shape(0)[0], frames, bins, 2))


def fft(size: int) -> float:
    """Return the real operations of a complex FFT, ``5 n log2 n`` (Cooley-Tukey, radix 2)."""
    return 5.0 * size * math.log2(size) if size > 1 else 0.0


def dft(p: Pricer, n: OnnxNode) -> None:
    """Price ``DFT`` as an FFT, at half the operations for real input."""
    x = n.need(0)
    size = x.known[transform_axis(n)]
    real = constant(x.known[-1]) == 1
    signals = simplify(product(*x.known[:-1]) / size)
    each = fft(fixed(size, "the length of a transform")) * (0.5 if real else 1.0)
    ops = product(signals, each)
    p.add(n, "elementwise", [p.tensor(x)], ops=ops, function="fft")


def stft(p: Pricer, n: OnnxNode) -> None:
    """Price ``STFT``: one window product and one real FFT per frame."""
    x = n.need(0)
    frames, length = stft_lengths(n)
    size = fixed(length, "the length of a frame")
    p.add(
        n,
        "elementwise",
        [(p.tensor(x), product(x.known[0], frames, size)), *p.reads(n.get(2))],
        ops=product(x.known[0], frames, 0.5 * fft(size) + size),
        function="fft",
    )
