"""Compressed weights under an option: channel pruning, weight pruning, then quantisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.search.accuracy.layer_option import LayerOption
from perfmodel.search.accuracy.magnitude_pruning import channel_norms, largest_channels, prune
from perfmodel.search.accuracy.simulated_quantisation import Clip, fake_quantise


def compress(
    weights: npt.ArrayLike, option: LayerOption, axis: int = 0, *, norm: int = 2, clip: Clip = "mse"
) -> Array:
    """Return the weights after compression by an option, in their original shape.

    Parameters
    ----------
    weights
        Any shape.
    option
        Channels of smallest norm become zero (`channels`), then the weights of smallest magnitude
        in the remaining channels (`sparsity`); the others are quantised, and zeros remain zero.
    axis
        Axis of the output channels.
    norm
        Norm that ranks the channels, 1 or 2.
    clip
        As for `perfmodel.search.accuracy.fake_quantise`.
    """
    dense = np.asarray(weights, dtype=np.float64)
    out = np.zeros_like(dense)
    part, index = dense, (slice(None),) * dense.ndim
    if option.channels < 1.0:
        remaining = largest_channels(channel_norms(dense, axis, norm), option.channels)
        index = (*index[: axis % dense.ndim], remaining)
        part = dense[index]
    pruned = part if option.sparsity is None else prune(part, option.sparsity, axis)
    out[index] = pruned
    if option.weights is not None:
        quantised = fake_quantise(pruned, option.weights, axis=axis, clip=clip)
        if option.sparsity is not None:
            quantised = np.where(pruned != 0, quantised, 0.0)
            if option.weights.element_bits == 1:
                # The levels were fitted to zeros too; rescale to the mean of nonzero weights.
                quantised *= _over_nonzero(pruned, axis)
        out[index] = quantised
    return out


def _over_nonzero(weights: Array, axis: int) -> Array:
    """Return the ratio of all to nonzero weights, per output channel."""
    others = tuple(i for i in range(weights.ndim) if i != axis % weights.ndim)
    count = np.count_nonzero(weights, axis=others, keepdims=True)
    return (weights.size / weights.shape[axis]) / np.maximum(count, 1)


def noise_ratio(
    tensors: Sequence[tuple[Array, int]],
    option: LayerOption,
    *,
    norm: int = 2,
    clip: Clip = "mse",
) -> float:
    """Return ``||C(W) - W||^2 / ||W||^2`` over tensors, where C compresses; 0 if all are zero.

    Parameters
    ----------
    tensors
        (weights, axis of the output channels) pairs.
    """
    power = sum(float(np.vdot(w, w)) for w, _ in tensors)
    error = sum(squared_error(w, option, axis, norm=norm, clip=clip) for w, axis in tensors)
    return error / power if power > 0 else 0.0


def squared_error(
    weights: Array, option: LayerOption, axis: int, *, norm: int = 2, clip: Clip = "mse"
) -> float:
    """Return ``||C(W) - W||^2`` of an option, which combines pruning and quantisation error."""
    if option.weights is None and option.sparsity is None and option.channels == 1.0:
        return 0.0
    error = compress(weights, option, axis, norm=norm, clip=clip) - weights
    return float(np.vdot(error, error))
