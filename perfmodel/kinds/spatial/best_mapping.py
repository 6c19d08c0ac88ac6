"""Best mapping of each layer on a row-stationary array, and its counts.

As in Eyeriss (Chen, Emer and Sze, ISCA 2016), the mapping is that with the least energy of data
movement. Given the images of a pass, the height of a strip and the assignment of sets, the best
number of filters in the buffer is the largest that fits, because inputs are read from main memory
once per group of filters; `cheapest_mapping` searches the other parameters. Results are cached by
content, and the same for numbers, arrays and tracers.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value
from perfmodel.kinds.distinct_columns import search_distinct
from perfmodel.kinds.spatial.cheapest_mapping import cheapest_mappings
from perfmodel.kinds.spatial.counts import RowCounts, count
from perfmodel.kinds.spatial.shapes import AccessCosts, GroupedConvolution, PeArray, RowMapping


class Chosen(NamedTuple):
    """A mapping and its counts; `blocks` as in `count`."""

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
        Whether sets may process other groups in parallel (not in the published chip).
    relaxed
        Evaluate the counts of the mapping as in `count` with `relaxed`.

    Notes
    -----
    The cost never increases with the buffer, nor, at the same access costs, with the array. Where
    not even one row of sums of one filter fits in the buffer, the columns are split into as many
    blocks as needed, each with a halo. The mapping is a step function, with zero derivative.
    """
    fields = (*layer, *array, *costs)
    parts = (len(RowMapping._fields) + 1,)
    *mapping, blocks = search_distinct(
        fields, cheapest_mappings, replicate_groups, parts, repeated=replicate_groups + 2
    )
    mapped = RowMapping(*mapping)
    return Chosen(mapped, count(layer, mapped, array, blocks=blocks, relaxed=relaxed), blocks)
