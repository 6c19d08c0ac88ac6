"""The mapping of each layer: found once a content, and the same for numbers, arrays and tracers.

Given how many inputs a pass takes, how high a strip is and how the sets are shared, the best number
of filters in the buffer is the most that fits (main memory sends the inputs again for every group
of filters). What is left is a fixed list, priced at once by the access costs that the array states.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached
from perfmodel.kinds.spatial.counts import RowCounts, count
from perfmodel.kinds.spatial.search import Floats, cheapest
from perfmodel.kinds.spatial.shapes import AccessCosts, GroupedConvolution, PeArray, RowMapping

_FIELDS = len(GroupedConvolution._fields) + len(PeArray._fields) + len(AccessCosts._fields)
#: Layers of one call whose mappings are kept by content; longer calls are sweeps, used once.
_KEPT = 4096


class Chosen(NamedTuple):
    """A mapping and what it costs; `blocks` as in `count`."""

    mapping: RowMapping
    counts: RowCounts
    blocks: Value


def choose(
    layer: GroupedConvolution,
    array: PeArray,
    costs: AccessCosts,
    *,
    replicate_groups: bool = True,
    relaxed: bool = False,
) -> Chosen:
    """Return the cheapest candidate mapping of each layer and its counts.

    Parameters
    ----------
    layer, array, costs
        Numbers or arrays that broadcast to the layers (and points).
    replicate_groups
        Whether sets may work on other groups side by side (not in the chip).
    relaxed
        Counts of the chosen mapping as in `count`.

    Notes
    -----
    Its cost never rises with the buffer, nor, at the same access costs, with the array. Where not
    even one row of sums of one filter fits in the buffer, the columns are cut into as many blocks
    as needed, each with a halo. The mapping is a step function: its slope is zero.
    """
    given = (*layer, *array, *costs)
    xp = namespace(*given)
    if xp is np:
        whole = np.stack(np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in given)))
        found = _mapped(whole, replicate_groups)
    else:
        found = _traced(given, replicate_groups, xp)
    mapping, blocks = RowMapping(*found[:-1]), found[-1]
    counts = count(layer, mapping, array, blocks=blocks, relaxed=relaxed)
    return Chosen(mapping, counts, blocks)


def _mapped(whole: Floats, replicate: bool) -> Floats:
    """Return mappings and blocks ``(9, ...)`` of fields ``(27, ...)``; equal columns once."""
    flat = np.ascontiguousarray(whole.reshape(_FIELDS, -1))
    if flat.shape[1] <= _KEPT:
        found = _kept(flat.tobytes(), replicate)
    else:
        found = _distinct(flat, replicate)
    return found.reshape(len(found), *whole.shape[1:])


@cached(128 << 10)
def _kept(content: bytes, replicate: bool) -> Floats:
    found = _distinct(np.frombuffer(content).reshape(_FIELDS, -1), replicate)
    found.flags.writeable = False
    return found


def _distinct(flat: Floats, replicate: bool) -> Floats:
    alike, where = np.unique(flat, axis=1, return_inverse=True)
    return cheapest(alike, replicate=replicate)[:, where.reshape(-1)]


def _traced(given: tuple[Value, ...], replicate: bool, xp: Any) -> Value:
    """Return what `_mapped` does for arrays of JAX, tracers too: the host maps, without a slope."""
    import jax  # pyright: ignore[reportMissingImports]

    stacked = xp.stack(xp.broadcast_arrays(*(xp.asarray(v, dtype=float) for v in given)), axis=-1)

    def on_host(values: Any) -> Any:
        fields = np.moveaxis(np.asarray(values, dtype=float), -1, 0)
        return np.moveaxis(_mapped(fields, replicate), 0, -1).astype(stacked.dtype)

    shape = jax.ShapeDtypeStruct((*stacked.shape[:-1], 9), stacked.dtype)
    found = jax.pure_callback(
        on_host, shape, jax.lax.stop_gradient(stacked), vmap_method="expand_dims"
    )
    return xp.moveaxis(jax.lax.stop_gradient(found), -1, 0)
