"""Latencies of many networks on one device, from those on others and a few measured on it.

Where no graph of a network is at hand, what it takes elsewhere says most of what it takes here:
``log t[network, device] = a[device, class] + b[network]`` is good to 10 to 30 % between neural
processors of one family. What is left over is of the device too (its memory beside its arithmetic,
its dispatch), and other devices deviate from the mean in the same ways: the new device's deviation
is a sum of theirs, its weights pulled towards 0, found on the networks that were measured on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["PRIOR", "completed", "spread", "transfer"]

Floats = npt.NDArray[np.float64]

#: Weight of the pull of another device's share towards 0, beside one network's squared error.
PRIOR = 0.1
#: The same of what a class (float, integer) has apart from the device's one factor.
_CLASS_PRIOR = 0.01
#: Relative error from which on a network counts less.
_SCALE = 0.1
#: Directions in which devices deviate that a missing measurement is filled from.
_DIRECTIONS = 2


def completed(logs: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Fill what was not measured.

    Parameters
    ----------
    logs
        Logarithms of seconds, shape ``(networks, devices)``; NaN where not measured. Every network
        and every device has a measurement.

    Returns
    -------
    tuple
        The mean of each network over devices, shape ``(networks,)``, and what each device takes
        beside it and beside its own mean, shape ``(networks, devices)``: as measured, or as the
        first directions of a singular value decomposition of the others say (Mazumder, Hastie and
        Tibshirani, "Spectral regularization algorithms for learning large incomplete matrices",
        JMLR 11, 2010: soft impute, threshold 1).
    """
    known_logs = np.asarray(logs, dtype=np.float64)
    seen = ~np.isnan(known_logs)
    plain = np.where(seen, known_logs, 0.0)
    count_n, count_d = seen.sum(axis=1), seen.sum(axis=0)
    device = np.zeros(known_logs.shape[1])
    network = np.zeros(known_logs.shape[0])
    for _ in range(30):
        network = np.where(seen, plain - device, 0.0).sum(axis=1) / count_n
        device = np.where(seen, plain - network[:, None], 0.0).sum(axis=0) / count_d
    residuals = np.where(seen, plain - device - network[:, None], 0.0)
    filled = residuals
    for _ in range(60):
        u, size, v = np.linalg.svd(filled, full_matrices=False)
        size = np.maximum(size - 1.0, 0.0)
        size[_DIRECTIONS:] = 0.0
        filled = np.where(seen, residuals, (u * size) @ v)
    mean = filled.mean(axis=1)
    return network + mean, filled - mean[:, None]


def transfer(
    known: npt.ArrayLike, anchors: npt.ArrayLike, classes: Sequence[str], *, prior: float = PRIOR
) -> Floats:
    """Predict a device from others and from a few networks measured on it.

    Parameters
    ----------
    known
        Seconds of each network on other devices, shape ``(networks, devices)``; NaN where not
        measured.
    anchors
        Seconds on the device itself, shape ``(networks,)``; NaN where not measured.
    classes
        Of each network, what has a factor of its own (``float``, ``integer``), shape
        ``(networks,)``.
    prior
        Weight of the pull of other devices' deviations towards none.

    Returns
    -------
    numpy.ndarray
        Seconds on the device, shape ``(networks,)``; NaN for a network measured nowhere else.

    Raises
    ------
    ValueError
        No network is measured both on the device and elsewhere, or shapes disagree.
    """
    elsewhere, here = np.asarray(known, dtype=np.float64), np.asarray(anchors, dtype=np.float64)
    if elsewhere.ndim != 2 or here.shape != elsewhere.shape[:1] or len(classes) != here.size:
        raise ValueError(f"shapes {elsewhere.shape}, {here.shape} and {len(classes)} classes")
    rows = ~np.isnan(elsewhere).all(axis=1)
    columns = ~np.isnan(elsewhere[rows]).all(axis=0)
    out = np.full(here.size, np.nan)
    anchored = np.flatnonzero(~np.isnan(here[rows]))
    if not anchored.size:
        raise ValueError("no network was measured on the device and on another")
    network, beside = completed(np.log(elsewhere[np.ix_(rows, columns)]))
    labels = np.asarray(classes)[rows]
    kinds = sorted(set(labels[anchored].tolist()))
    apart = np.stack([(labels == kind).astype(np.float64) for kind in kinds], axis=1)
    design = np.concatenate([np.ones((network.size, 1)), apart, beside], axis=1)
    pull = np.array([1e-6] + [_CLASS_PRIOR] * len(kinds) + [prior] * beside.shape[1])
    target = np.log(here[rows][anchored]) - network[anchored]
    seen, weights = design[anchored], np.ones(anchored.size)
    coefficients = np.zeros(design.shape[1])
    for _ in range(20):  # reweighted least squares of a soft L1 loss
        scaled = seen * weights[:, None]
        coefficients = np.linalg.solve(seen.T @ scaled + np.diag(pull), scaled.T @ target)
        off = (target - seen @ coefficients) / _SCALE
        weights = 1.0 / np.sqrt(1.0 + off * off)
    out[rows] = np.exp(network + design @ coefficients)
    return out


def spread(size: npt.ArrayLike, classes: Sequence[str], count: int) -> npt.NDArray[np.intp]:
    """Choose networks to measure: `count` of each class, from its quick to its slow ones.

    Parameters
    ----------
    size
        Seconds elsewhere, shape ``(networks,)``; a network with NaN is not chosen.

    Returns
    -------
    numpy.ndarray
        Indices, at equal steps of rank between a tenth and nine tenths.
    """
    values, labels = np.asarray(size, dtype=np.float64), np.asarray(classes)
    picked: list[int] = []
    for kind in sorted(set(labels.tolist())):
        those = np.flatnonzero((labels == kind) & ~np.isnan(values))
        if not those.size:
            continue
        order = those[np.argsort(values[those], kind="stable")]
        at = np.round(np.linspace(0.1, 0.9, min(count, order.size)) * (order.size - 1))
        picked += np.unique(order[at.astype(np.intp)]).tolist()
    return np.array(picked, dtype=np.intp)
