"""Prices of elementwise functions, normalisations and pools."""

from __future__ import annotations

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.pricing import Pricer, Pricing
from perfmodel.workload.importers.onnx.shapes import pads_of
from perfmodel.workload.symbols import Dim, product, simplify


def elementwise(cost: str | float | None = None) -> Pricing:
    """Return the price of a function of each element, broadcast.

    Parameters
    ----------
    cost
        Entry of `VECTOR_OPS`, or operations per element by the same count (a transcendental counts
        4, a division 4, a comparison or product 1); by default one for each input after the first.
    """

    def pricing(p: Pricer, n: OnnxNode) -> None:
        whole = next(
            (
                e
                for e in n.present
                if e.is_data and e.shape == n.out.shape and e.format == n.out.format
            ),
            None,
        )
        for edge in n.present:
            if edge.kind == "weight" and len(edge.known) <= 1:
                p.vector(edge)
        each: Dim = VECTOR_OPS[cost] if isinstance(cost, str) else cost or 0
        if cost is None:
            each = max(len(n.present) - 1, 1) + (n.op == "Mean")
        p.add(
            n,
            "elementwise",
            p.reads(*n.present),
            ops=product(each, n.out.elements),
            inplace=whole,
            function=cost if isinstance(cost, str) else n.op.lower(),
        )

    return pricing


def batch_norm(p: Pricer, n: OnnxNode) -> None:
    """Price ``BatchNormalization``: a scale and a shift at inference.

    Scale, shift, mean and variance are read; a runtime that folds them into the convolution before
    fuses the operator away.
    """
    vectors = [t for e in n.present[1:] for t in p.vector(e)]
    p.add(
        n,
        "elementwise",
        [p.tensor(n.need(0)), *vectors],
        [p.tensor(n.out)],
        ops=product(VECTOR_OPS["batch_norm"], n.out.elements),
        inplace=n.need(0),
        function="batch_norm",
    )


def norm(each: float) -> Pricing:
    """Return the price of a normalisation over some axes, with its scale and shift."""

    def pricing(p: Pricer, n: OnnxNode) -> None:
        x = n.need(0)
        vectors = [
            t
            for e in n.present[1:]
            for t in (p.vector(e) if len(e.known) <= 1 and not e.is_data else p.reads(e))
        ]
        written = [p.tensor(e) for e in n.made if e.shape is not None]
        p.add(
            n,
            "norm",
            [p.tensor(x), *vectors],
            written,
            ops=product(each, n.out.elements),
            inplace=x,
            function=n.op,
        )

    return pricing


def pool(p: Pricer, n: OnnxNode) -> None:
    """Price a pooling window: one operation a tap and an output."""
    kernel = n.wholes("kernel_shape")
    if kernel is None:
        raise NotPricedError("attribute 'kernel_shape' is missing")
    ops = product(*kernel, n.out.elements)
    axes = len(kernel)
    p.add(
        n,
        "pool",
        [p.tensor(n.need(0))],
        ops=simplify(ops * (2 if n.op == "LpPool" else 1)),
        attributes={
            "kernel": kernel,
            "stride": n.wholes("strides") or (1,) * axes,
            "dilation": n.wholes("dilations") or (1,) * axes,
            "padding": pads_of(n, axes),
        },
    )
