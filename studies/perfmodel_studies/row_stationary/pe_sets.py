"""Sets of elements alone: replication, folding and utilisation, before any scratchpad or buffer.

The count that nn_dataflow makes (Gao et al., ASPLOS 2017), and with it DRACO (Jha et al., ISVLSI
2020, arXiv:2006.15103): a set is filter rows by output rows; sets repeat on the array as often as
they fit, fold where they do not, and each takes taps of a row x outputs of a row clocks.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from perfmodel.arrays import Value, namespace
from perfmodel.kinds.spatial.shapes import ceil_div

__all__ = ["SetArray", "SetRun", "Sharing", "fit_sets", "run_sets"]

#: What the copies of a set share out: channels and filters of a convolution (``filters``), groups
#: of a depthwise one or regions of a pooling (``groups``), or only the filters within one group at
#: a time (``within_group``), which leaves a depthwise convolution one set.
Sharing: TypeAlias = Literal["filters", "groups", "within_group"]


class SetArray(NamedTuple):
    """Copies of a set on an array, and folds of one that is too large.

    Attributes
    ----------
    high, wide
        Copies above and beside one another, after blocks of a wide set have been stacked.
    fold_high, fold_wide
        Pieces in time of a set.
    """

    high: Value
    wide: Value
    fold_high: Value
    fold_wide: Value


class SetRun(NamedTuple):
    """Clocks of a layer, and the share of the array's products in them."""

    cycles: Value
    utilization: Value


def fit_sets(kernel_rows: Value, out_rows: Value, height: Value, width: Value) -> SetArray:
    """Return how often a set of kernel rows x output rows fits on an array; arrays broadcast."""
    xp = namespace(kernel_rows, out_rows, height, width)
    high = xp.maximum(xp.floor(height / kernel_rows + 1e-9), 1.0)
    wide = xp.maximum(xp.floor(width / out_rows + 1e-9), 1.0)
    fold_high, fold_wide = ceil_div(kernel_rows, height), ceil_div(out_rows, width)
    stacked = xp.minimum(high, fold_wide)
    return SetArray(xp.floor(high / stacked + 1e-9), wide, fold_high, ceil_div(fold_wide, stacked))


def run_sets(
    *,
    groups: Value,
    filters: Value,
    channels: Value,
    out_rows: Value,
    out_columns: Value,
    kernel_rows: Value,
    kernel_columns: Value,
    height: Value,
    width: Value,
    sharing: Sharing,
    images: Value = 1.0,
) -> SetRun:
    """Return clocks and utilisation of layers on an array.

    Parameters
    ----------
    groups, filters, channels
        Filters and channels are those of one group.
    sharing
        Category; see `Sharing`. Copies above one another are shared out between channels and
        filters as is best; those beside one another take filters only.

    Returns
    -------
    SetRun
        Of the shape to which the arguments broadcast.
    """
    xp = namespace(groups, filters, channels, out_rows, height, width)
    fit = fit_sets(kernel_rows, out_rows, height, width)
    each = kernel_columns * out_columns * fit.fold_high * fit.fold_wide * images
    if sharing == "groups":
        rounds = filters * channels * ceil_div(groups, fit.high * fit.wide)
    elif sharing == "within_group":
        rounds = groups * channels * ceil_div(filters, fit.high * fit.wide)
    else:
        most = int(np.max(fit.high))
        options: list[Value] = []
        for deep in range(1, most + 1):
            across = fit.high / deep
            integral = xp.floor(across) == across
            passes = ceil_div(channels, deep) * ceil_div(filters, across * fit.wide)
            options.append(xp.where(integral, passes, np.inf))
        rounds = groups * xp.min(xp.stack(options), axis=0)
    cycles = each * rounds
    done = images * groups * filters * channels * out_rows * out_columns
    done = done * kernel_rows * kernel_columns
    return SetRun(cycles, done / (cycles * height * width))
