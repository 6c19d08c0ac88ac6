"""Costs of candidate mappings on a row-stationary array, and bounds on them for blocks of layers.

Layers that differ only in the buffer's capacity B and in the number of images i, as in a sweep over
batches, have the same candidates. With n images per pass, ``g = ceil(i / n)`` groups of images and
F groups of filters, a candidate costs, per image,

    ``each_image + each_load * g / i + each_reload * (F(B / n) - 1)``

because sums and inputs in the buffer grow with n, filters are loaded once per group of images, and
inputs once per group of filters. The cost increases with ``g / i`` and decreases with ``B / n``, so
that its values at the ends of both ranges bound it for a block of layers.

Matrix products that differ in their rows N have the same candidates too. With strips of e rows the
cost per row is at least that of a full strip, and at most ``ceil(N / e) e / N`` times as much.
Likewise for layers with more groups than sets of elements, which differ in the groups.
`cheapest_mapping` searches with these bounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.kinds.distinct_columns import Floats, Places
from perfmodel.kinds.spatial.candidates import filters_that_fit
from perfmodel.kinds.spatial.counts import RowCounts, buffer_demand, count
from perfmodel.kinds.spatial.shapes import (
    AccessCosts,
    GroupedConvolution,
    PeArray,
    RowMapping,
    ceil_div,
)


def movement_cost(counts: RowCounts, costs: AccessCosts) -> Value:
    """Return the energy that depends on the mapping: words to each level, and clocks."""
    return (
        counts.cycles * costs.clock
        + counts.array_words * costs.array
        + (counts.buffer_input + counts.buffer_sum) * costs.buffer
        + (counts.dram_input + counts.dram_filter + counts.dram_output) * costs.dram
    )


def tie_broken_cost(counts: RowCounts, costs: AccessCosts) -> Floats:
    """Return the cost; fewer clocks break ties."""
    return movement_cost(counts, costs) * (1.0 + 1e-9 * counts.cycles / (counts.cycles + 1e9))


class CandidateCosts(NamedTuple):
    """Parts of the cost of each candidate, and what it keeps in the buffer, for one image.

    Attributes
    ----------
    each_image, each_load, each_reload
        Cost per image, per group of images, and per image and further group of filters; of a
        matrix product with full strips, per row.
    inputs, sums, passes
        Words of inputs, words of sums of the filters of a pass, and passes of all filters.
    short_rows, short_groups
        Rows by which the last strip, and groups by which the last pass, may fall short; 0 unless
        costs are per row, or per group.
    """

    each_image: Floats
    each_load: Floats
    each_reload: Floats
    inputs: Floats
    sums: Floats
    passes: Floats
    short_rows: Floats
    short_groups: Floats

    def bound(
        self, capacity: Floats, loads: Floats, per_row: Value = 0.0, per_group: Value = 0.0
    ) -> Floats:
        """Return the cost per image (row, group); infinite where the candidate does not fit.

        Parameters
        ----------
        capacity, loads
            Words of the buffer, and groups of images, per image.
        per_row, per_group
            Reciprocals of the least rows and groups for an upper bound, 0 for a lower bound.
        """
        fit = np.clip(np.floor((capacity - self.inputs) / self.sums + 1e-9), 0.0, self.passes)
        reloads = ceil_div(self.passes, np.maximum(fit, 1.0)) - 1.0
        cost = self.each_image + self.each_load * loads + self.each_reload * reloads
        cost = cost * (1.0 + self.short_rows * per_row) * (1.0 + self.short_groups * per_group)
        return np.where(fit >= 1.0, cost, np.inf)


def candidate_costs(
    columns: Floats, mapping: RowMapping, cut: float, replicate: int
) -> CandidateCosts:
    """Return the parts of the cost of each candidate; `columns` has the layer of each."""
    layer, array, costs = split_columns(columns)
    by_row, by_group = is_product(layer), shares_groups(layer, array, replicate)
    per_row = 1.0 + by_row * (mapping.rows - 1.0)
    per_group = 1.0 + by_group * (mapping.group_sets - 1.0)
    rows = layer.out_rows + by_row * (mapping.rows - layer.out_rows)
    layer = layer._replace(
        groups=layer.groups + by_group * (mapping.group_sets - layer.groups),
        images=np.ones_like(rows),
        out_rows=rows,
        in_rows=layer.in_rows + by_row * (mapping.rows - layer.in_rows),
    )
    counts = count(layer, mapping._replace(filters=layer.filters), array, blocks=cut)
    # Filters and the fill of the array do not grow with the images of a pass.
    strip_rows = rows / ceil_div(rows, mapping.rows)
    load = counts.dram_filter * (costs.dram + costs.array * strip_rows)
    load = load + counts.passes * counts.fill_cycles * costs.clock
    per = per_row * per_group
    part = layer._replace(out_columns=layer.out_columns / cut, in_columns=layer.in_columns / cut)
    once = mapping.set_filters * mapping.filter_sets
    return CandidateCosts(
        (movement_cost(counts, costs) - load) / per,
        load / per,
        counts.dram_input * costs.dram / per,
        buffer_demand(part, mapping._replace(filters=0.0)),
        mapping.group_sets * mapping.rows * part.out_columns * once,
        ceil_div(layer.filters, once),
        per_row - 1.0,
        per_group - 1.0,
    )


def prices(columns: Floats, mapping: RowMapping, cut: float) -> Floats:
    """Return the exact cost of each mapping with the most filters that the buffer holds.

    Parameters
    ----------
    columns
        Layer of each mapping, as in `cheapest_mapping.cheapest`.
    mapping
        With the images per pass.
    cut
        Blocks of the output columns.
    """
    layer, array, costs = split_columns(columns)
    # First as one group of filters; each further group reads the inputs again.
    counts = count(layer, mapping._replace(filters=layer.filters), array, blocks=cut)
    part = layer._replace(out_columns=layer.out_columns / cut, in_columns=layer.in_columns / cut)
    filters = filters_that_fit(part, mapping, array)
    groups = ceil_div(layer.filters, np.maximum(filters, 1.0))
    price = tie_broken_cost(counts, costs) + counts.dram_input * costs.dram * (groups - 1.0)
    return np.where(filters > 0.0, price, np.inf)


class ImagesPerPass(NamedTuple):
    """Numbers of images per pass that are tried for each layer, sorted into blocks.

    Attributes
    ----------
    layer, option, images
        Index of the layer, index of the number among those that are tried, and the number.
    starts, sizes
        First position and length of each block.
    capacity, loads
        Least and largest words of the buffer, and groups of images, per image in a block,
        ``(2, blocks)``.
    """

    layer: Places
    option: Places
    images: Floats
    starts: Places
    sizes: Places
    capacity: Floats
    loads: Floats


def images_per_pass(
    layer: GroupedConvolution, words: Floats, alike: Places, block: int
) -> ImagesPerPass:
    """Return the numbers of images per pass, sorted so that costs in a block are similar.

    Parameters
    ----------
    words
        Words of the buffer.
    alike
        Number of each layer, the same for those that share their candidates.
    block
        Layers x numbers of images in a block.
    """
    most = np.ceil(layer.images)
    tried = [np.ones_like(most), np.where(most > 4, 4.0, 0.0), np.where(most > 1, most, 0.0)]
    option, place = np.nonzero(np.stack(tried))
    images = np.stack(tried)[option, place]
    capacity = words[place] / images
    loads = ceil_div(layer.images[place], images) / layer.images[place]
    similar = loads, capacity, layer.groups[place], layer.out_rows[place]
    order = np.lexsort((*similar, option, alike[place]))
    place, option, images = place[order], option[order], images[order]
    capacity, loads = capacity[order], loads[order]
    run = 3 * alike[place] + option
    begin = np.flatnonzero(np.diff(run, prepend=-1))
    within = np.arange(len(run)) - np.repeat(begin, np.diff(begin, append=len(run)))
    starts = np.flatnonzero(within % block == 0)
    ranges = (
        np.stack([np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)])
        for values in (capacity, loads)
    )
    return ImagesPerPass(place, option, images, starts, np.diff(starts, append=len(run)), *ranges)


def is_product(layer: GroupedConvolution) -> npt.NDArray[np.bool_]:
    """Return whether each layer is a matrix product of one image, with independent rows."""
    ones = layer.images, layer.out_columns, layer.in_columns, layer.kernel_rows
    ones = (*ones, layer.kernel_columns, layer.row_stride)
    return np.logical_and.reduce([values == 1.0 for values in ones]) & (
        layer.in_rows == layer.out_rows
    )


def shares_groups(
    layer: GroupedConvolution, array: PeArray, replicate: int
) -> npt.NDArray[np.bool_]:
    """Return whether the candidates of each layer do not depend on its number of groups."""
    return (layer.groups >= array.height * array.width) | (not replicate)


def split_columns(columns: Floats) -> tuple[GroupedConvolution, PeArray, AccessCosts]:
    """Return the layers, arrays and costs whose fields are the rows of an array."""
    a = len(GroupedConvolution._fields)
    b = a + len(PeArray._fields)
    return GroupedConvolution(*columns[:a]), PeArray(*columns[a:b]), AccessCosts(*columns[b:])
