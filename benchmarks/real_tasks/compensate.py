"""Rounding that makes up for its own error: GPTQ's, from moments of each layer's input.

Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers",
2023, algorithm 1: weights of a row are rounded one after another, and what each is off by is taken
from the later ones so that the output of the layer on calibration inputs moves least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper

from benchmarks.real_tasks.networks import Array, Network, open_session
from perfmodel.search.accuracy.quantisation_scales import symmetric
from perfmodel.search.accuracy.representable_numbers import Integers

#: Added to the diagonal, relative to its mean (the paper's 1 %).
_DAMPING = 0.01


def moments(network: Network, feeds: Sequence[Mapping[str, Array]]) -> list[Array | None]:
    """Return E[x x'] of each layer's input in the order of a row's weights.

    (inputs, inputs), or (rows, inputs, inputs) where each row has inputs of its own (depthwise
    convolutions). None for operators whose input is not looked at (recurrent ones).
    """
    model = onnx.ModelProto()
    model.CopyFrom(network.proto)
    nodes = {
        layer.name: next(n for n in model.graph.node if layer.name in n.input)
        for layer in network.layers
    }
    looked_at = {name: n for name, n in nodes.items() if n.op_type in {"Conv", "MatMul", "Gemm"}}
    read = {name: n.input[1 - list(n.input).index(name)] for name, n in looked_at.items()}
    given = {i.name for i in model.graph.input}
    kinds = {v.name: v.type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    kept = sorted(set(read.values()) - given)
    for name in kept:
        model.graph.output.append(helper.make_value_info(name, kinds[name]))
    session = open_session(model.SerializeToString())
    sums: dict[str, Array] = {}
    counts: dict[str, int] = {}
    for feed in feeds:
        values = dict(feed) | dict(zip(kept, session.run(kept, dict(feed)), strict=True))
        for layer in network.layers:
            if layer.name not in read:
                continue
            inputs = _columns(nodes[layer.name], layer.values, values[read[layer.name]])
            one = inputs @ inputs.swapaxes(-1, -2)
            sums[layer.name] = sums.get(layer.name, 0.0) + one.astype(float)
            counts[layer.name] = counts.get(layer.name, 0) + inputs.shape[-1]
    return [
        sums[layer.name] / counts[layer.name] if layer.name in sums else None
        for layer in network.layers
    ]


def _columns(node: Any, weights: Array, given: Array) -> Array:
    """What the rows are multiplied with, (inputs, positions) or (rows, inputs, positions)."""
    if node.op_type != "Conv":
        return np.ascontiguousarray(given.reshape(-1, given.shape[-1]).T)
    told = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    sides = list(told.get("pads", [0] * 2 * (weights.ndim - 2)))
    half = len(sides) // 2
    around = [(0, 0), (0, 0), *zip(sides[:half], sides[half:], strict=True)]
    kernel = weights.shape[2:]
    views = sliding_window_view(np.pad(given, around), kernel, axis=tuple(range(2, weights.ndim)))
    steps = told.get("strides", [1] * half)
    views = views[(slice(None), slice(None), *(slice(None, None, s) for s in steps))]
    # (batch, channels, positions..., kernel...) -> (channels, kernel, batch and positions)
    spatial = tuple(range(2, 2 + half))
    taps = tuple(range(2 + half, 2 + 2 * half))
    ordered = views.transpose(1, *taps, 0, *spatial)
    ordered = ordered.reshape(given.shape[1], int(np.prod(kernel)), -1)
    group = int(told.get("group", 1))
    if group == 1:
        return ordered.reshape(-1, ordered.shape[-1])
    if weights.shape[1] != 1 or weights.shape[0] != group:
        raise NotImplementedError("grouped convolutions that are not depthwise")
    return np.ascontiguousarray(ordered)


class Compensated:
    """Rounds the rows of one layer, at any width.

    Parameters
    ----------
    moment
        Of the layer's input, as `moments` returns it; None: rounding to nearest.
    """

    def __init__(self, moment: Array | None) -> None:
        self._upper: Array | None = None
        if moment is not None:
            diagonal = np.diagonal(moment, axis1=-2, axis2=-1).mean(-1)
            damping = np.where(diagonal > 0, _DAMPING * diagonal, 1.0)[..., None, None]
            inverse = np.linalg.inv(moment + damping * np.eye(moment.shape[-1]))
            self._upper = np.linalg.cholesky(inverse).swapaxes(-1, -2)

    def __call__(self, rows: Array, bits: int, start: int = 0) -> Array:
        """Return rows from `start` on as symmetric integers hold them.

        A row's scale is that of least squared error, as `fake_quantise` takes it.
        """
        grid = Integers(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
        left = np.array(rows, dtype=float)
        scale = symmetric(left, grid, clip="mse")
        scale = np.where(scale > 0, scale, 1.0)
        if self._upper is None:
            return grid.nearest(left / scale[:, None]) * scale[:, None]
        upper = self._upper
        own = upper.ndim == 3  # each row its own moments
        if own:
            upper = upper[start : start + len(left)]
        made = np.empty_like(left)
        for k in range(left.shape[1]):
            made[:, k] = grid.nearest(left[:, k] / scale) * scale
            off = (left[:, k] - made[:, k]) / upper[..., k, k]
            after = upper[..., k, k + 1 :]
            left[:, k + 1 :] -= off[:, None] * after if own else np.outer(off, after)
        return made
