"""Magnitude pruning: of whole tensors, of n:m groups, and of output channels by norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.deprecation import deprecated_parameters
from perfmodel.formats.sparsity import Sparsity


def prune(weights: npt.ArrayLike, sparsity: Sparsity, axis: int | None = 0) -> Array:
    """Return the weights with those of smallest magnitude set to zero.

    Parameters
    ----------
    weights
        Any shape.
    sparsity
        ``unstructured``: the largest ``round(density * size)`` of the whole tensor remain (Han et
        al., NeurIPS 2015). ``n:m``: the n largest of every m along the input channels remain
        (Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021), also in a shorter last
        group. Of equal magnitudes the earlier remains.
    axis
        Axis of the output channels; ``None``: groups run along the last axis.
    """
    dense = np.asarray(weights, dtype=np.float64)
    if not dense.size:
        return dense.copy()
    if sparsity.pattern == "unstructured":
        keep = round(sparsity.density * dense.size)
        order = np.argsort(-np.abs(dense), axis=None, kind="stable")
        mask = np.zeros(dense.size, dtype=bool)
        mask[order[:keep]] = True
        return np.where(mask.reshape(dense.shape), dense, 0.0)
    n, m = (int(part) for part in sparsity.pattern.split(":"))
    inner = _input_axis(dense, axis)
    inputs_last = np.moveaxis(dense, inner, -1)
    short = -inputs_last.shape[-1] % m
    padded = np.pad(inputs_last, [(0, 0)] * (inputs_last.ndim - 1) + [(0, short)])
    size = np.abs(padded).reshape(-1, m)
    if short:  # padding is never among the largest of a group
        size.reshape(padded.shape)[..., -short:] = -1.0
    order = np.argsort(-size, axis=1, kind="stable")[:, :n]
    mask = np.zeros(size.shape, dtype=bool)
    np.put_along_axis(mask, order, True, axis=1)
    pruned = np.where(mask.reshape(padded.shape), padded, 0.0)[..., : inputs_last.shape[-1]]
    return np.moveaxis(pruned, -1, inner)


def _input_axis(dense: npt.NDArray[Any], axis: int | None) -> int:
    if axis is None or dense.ndim < 2:
        return dense.ndim - 1
    return 1 if axis % dense.ndim == 0 else 0


def channel_norms(weights: npt.ArrayLike, axis: int = 0, norm: int = 2) -> Array:
    """Return the norm of each output channel, shape ``(channels,)``.

    Parameters
    ----------
    weights
        Any shape.
    axis
        Axis of the output channels.
    norm
        1: sum of magnitudes (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017); 2:
        Euclidean (He et al., "Soft Filter Pruning", IJCAI 2018).
    """
    rows = np.moveaxis(np.asarray(weights, dtype=np.float64), axis, 0)
    rows = np.abs(rows.reshape(rows.shape[0], -1))
    return rows.sum(axis=1) if norm == 1 else np.sqrt((rows**2).sum(axis=1))


def largest_channels(norms: Array, share: float) -> npt.NDArray[np.intp]:
    """Return the ascending indices of the channels of largest norm.

    These are ``max(1, round(share * channels))`` channels; of equal norms the earlier remains.
    """
    count = max(1, round(share * len(norms)))
    return np.sort(np.argsort(-norms, kind="stable")[:count])


@deprecated_parameters(kept="share")
def prune_channels(weights: npt.ArrayLike, share: float, axis: int = 0, *, norm: int = 2) -> Array:
    """Return the weights with the output channels of smallest norm set to zero.

    Parameters
    ----------
    weights, axis, norm
        As for `channel_norms`, which ranks the channels.
    share
        Fraction of channels that remain, 0 to 1.
    """
    dense = np.asarray(weights, dtype=np.float64)
    remaining = largest_channels(channel_norms(dense, axis, norm), share)
    out = np.zeros_like(dense)
    index = (slice(None),) * (axis % dense.ndim) + (remaining,)
    out[index] = dense[index]
    return out
