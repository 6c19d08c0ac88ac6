"""What an option makes of a weight tensor: channels go, then weights, and the rest is quantised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.search.accuracy.option import LayerOption
from perfmodel.search.accuracy.prune import channel_norms, kept_channels, prune
from perfmodel.search.accuracy.quantise import Clip, fake_quantise


def compress(
    weights: npt.ArrayLike, option: LayerOption, axis: int = 0, *, norm: int = 2, clip: Clip = "mse"
) -> Array:
    """Return the weights as an option leaves them, in the shape they had.

    Parameters
    ----------
    weights
        Any shape.
    option
        Channels of the least norm become zero (`kept`), then of the channels that stay the weights
        of the least magnitude (`sparsity`); what is left is quantised and zeros stay zero.
    axis
        Axis of the output channels.
    norm
        1 or 2: by which channels are ranked.
    clip
        As for `perfmodel.search.accuracy.fake_quantise`.
    """
    dense = np.asarray(weights, dtype=np.float64)
    out = np.zeros_like(dense)
    part, index = dense, (slice(None),) * dense.ndim
    if option.kept < 1.0:
        stay = kept_channels(channel_norms(dense, axis, norm), option.kept)
        index = (*index[: axis % dense.ndim], stay)
        part = dense[index]
    kept = part if option.sparsity is None else prune(part, option.sparsity, axis)
    if option.weights is not None:
        made = fake_quantise(kept, option.weights, axis=axis, clip=clip)
        if option.sparsity is not None:
            made = np.where(kept != 0, made, 0.0)
            if option.weights.element_bits == 1:
                # Two levels were fitted to zeros as well; what stays has the mean of what stays.
                made *= _fuller(kept, axis)
        kept = made
    out[index] = kept
    return out


def _fuller(kept: Array, axis: int) -> Array:
    others = tuple(i for i in range(kept.ndim) if i != axis % kept.ndim)
    count = np.count_nonzero(kept, axis=others, keepdims=True)
    return (kept.size / kept.shape[axis]) / np.maximum(count, 1)


def noise_ratio(
    tensors: Sequence[tuple[Array, int]],
    option: LayerOption,
    *,
    norm: int = 2,
    clip: Clip = "mse",
) -> float:
    """Return ``||C(W) - W||^2 / ||W||^2`` over tensors; 0 where all are zero.

    Parameters
    ----------
    tensors
        Weights, and the axis of their output channels.
    """
    power = sum(float(np.vdot(w, w)) for w, _ in tensors)
    error = sum(squared_error(w, option, axis, norm=norm, clip=clip) for w, axis in tensors)
    return error / power if power > 0 else 0.0


def squared_error(
    weights: Array, option: LayerOption, axis: int, *, norm: int = 2, clip: Clip = "mse"
) -> float:
    """Return ``||C(W) - W||^2`` of an option: pruning and quantisation in one figure."""
    if option.weights is None and option.sparsity is None and option.kept == 1.0:
        return 0.0
    error = compress(weights, option, axis, norm=norm, clip=clip) - weights
    return float(np.vdot(error, error))
