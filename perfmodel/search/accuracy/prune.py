"""Weights that go: the least in magnitude, of a tensor, of each group of m, or whole channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.formats.sparsity import Sparsity


def prune(weights: npt.ArrayLike, sparsity: Sparsity, axis: int | None = 0) -> Array:
    """Return the weights with the least in magnitude set to zero.

    Parameters
    ----------
    weights
        Any shape.
    sparsity
        ``unstructured``: the largest ``round(density * size)`` of the whole tensor stay (Han et
        al., NeurIPS 2015). ``n:m``: the n largest of every m along the input channels (Mishra et
        al., "Accelerating Sparse Deep Neural Networks", 2021); a last group that is short keeps its
        n largest. Of equal magnitudes the earlier stays.
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
    moved = np.moveaxis(dense, inner, -1)
    short = -moved.shape[-1] % m
    padded = np.pad(moved, [(0, 0)] * (moved.ndim - 1) + [(0, short)])
    size = np.abs(padded).reshape(-1, m)
    if short:  # what pads a group is never among its largest
        size.reshape(padded.shape)[..., -short:] = -1.0
    order = np.argsort(-size, axis=1, kind="stable")[:, :n]
    mask = np.zeros(size.shape, dtype=bool)
    np.put_along_axis(mask, order, True, axis=1)
    kept = np.where(mask.reshape(padded.shape), padded, 0.0)[..., : moved.shape[-1]]
    return np.moveaxis(kept, -1, inner)


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


def kept_channels(norms: Array, kept: float) -> npt.NDArray[np.intp]:
    """Return the indices, rising, of the channels that stay: those of the largest norms.

    ``round(kept * channels)`` of them and at least one; of equal norms the earlier stays.
    """
    count = max(1, round(kept * len(norms)))
    return np.sort(np.argsort(-norms, kind="stable")[:count])


def prune_channels(weights: npt.ArrayLike, kept: float, axis: int = 0, *, norm: int = 2) -> Array:
    """Return the weights with the output channels of the least norm set to zero.

    Parameters
    ----------
    weights, axis, norm
        As for `channel_norms`, which ranks the channels.
    kept
        Fraction of channels that stay, 0 to 1.
    """
    dense = np.asarray(weights, dtype=np.float64)
    stay = kept_channels(channel_norms(dense, axis, norm), kept)
    out = np.zeros_like(dense)
    index = (slice(None),) * (axis % dense.ndim) + (stay,)
    out[index] = dense[index]
    return out
