"""Cheapest mappings of few layers that are searched again and again with other batches.

Of a convolution with n images per pass the cost per image is a line over the groups of images per
image (`candidate_costs`). Batches differ in that share only, so that the candidates near the lower
envelope of the lines over its whole range are listed once. A matrix product has the batch in its
rows, which decide the heights of its strips; the candidates near the cheapest of each height are
listed when it is first tried. Those that are near the cheapest at the batch of a question are
priced exactly, as `cheapest_mapping` does, which also searches what is not covered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from perfmodel.caches import cached
from perfmodel.kinds.distinct_columns import Floats, Places, at
from perfmodel.kinds.spatial.candidate_costs import (
    CandidateCosts,
    candidate_costs,
    is_product,
    movement_cost,
    prices,
    shares_groups,
    split_columns,
)
from perfmodel.kinds.spatial.candidates import (
    candidates_of,
    filters_that_fit,
    interleaved_channels,
    strip_heights,
)
from perfmodel.kinds.spatial.counts import buffer_demand, count
from perfmodel.kinds.spatial.shapes import GroupedConvolution, PeArray, RowMapping, ceil_div

#: Relative margin of the bounds: more than ties by clocks and rounding can decide.
MARGIN: Final = 1e-8
#: Most blocks of columns that are tried where the buffer is small.
MOST_BLOCKS: Final = 16.0
GROUPS_PLACE: Final = GroupedConvolution._fields.index("groups")
IMAGES_PLACE: Final = GroupedConvolution._fields.index("images")
ROW_PLACES: Final = [GroupedConvolution._fields.index(name) for name in ("out_rows", "in_rows")]
CAPACITY_PLACE: Final = len(GroupedConvolution._fields) + PeArray._fields.index("buffer_words")
#: Images per pass that are tried for every batch, and the range of groups of images per image:
#: of one, and of four where there are more than four.
_PASSES: Final = ((1.0, 1.0, 2.0), (4.0, 0.25, 0.5))


class NearCandidates(NamedTuple):
    """Candidates that may be the cheapest of their layer at some batch.

    Attributes
    ----------
    layer
        Index of the layer.
    each, load
        Cost per image (or row) and per group of images, with the further groups of filters.
    short_rows, short_groups
        As in `CandidateCosts`.
    mapping
        Fields of `RowMapping`, ``(8, candidates)``.
    rank
        Order that decides ties; modulo 9 it is the filters of an element, plus 3 times the index of
        the images per pass among those that are tried.
    """

    layer: Places
    each: Floats
    load: Floats
    short_rows: Floats
    short_groups: Floats
    mapping: Floats
    rank: Floats


class RepeatedLayers:
    """Layers whose images, or rows of a matrix product, differ from search to search.

    Parameters
    ----------
    columns
        As in `cheapest_mapping.cheapest`, with more than one image where a layer is no product.
    replicate
        Whether sets may process other groups in parallel.
    """

    def __init__(self, columns: Floats, replicate: int) -> None:
        layer, array, costs = split_columns(columns)
        self._columns, self._replicate = columns, replicate
        product, least = is_product(layer), RowMapping(*np.ones((8, columns.shape[1])))
        demand = buffer_demand(layer, least)
        in_blocks = demand * np.minimum(MOST_BLOCKS, layer.out_columns) > array.buffer_words
        #: Whether every layer is mapped without blocks of columns.
        self.is_covered = not in_blocks.any()
        of_one = np.where(shares_groups(layer, array, replicate), 1.0, layer.groups)
        one = layer._replace(groups=of_one, images=np.ones_like(demand))
        self._least_mapping_cost = movement_cost(count(one, least, array), costs)
        self._by_height: dict[tuple[int, float], NearCandidates] = {}
        self._products = np.flatnonzero(product).tolist()
        # No strip is higher than all elements, one above the other.
        self._most_rows = (array.height * array.width).tolist()
        self._near: list[NearCandidates] = []
        # All candidates of convolutions, with the most images that a pass of any may hold.
        self._all: list[tuple[float, NearCandidates, CandidateCosts]] = []
        for place in np.flatnonzero(~product).tolist():
            self._list_convolution(place)

    def _list_convolution(self, place: int) -> None:
        """List all candidates of a convolution, and those near the cheapest at some batch."""
        words = self._columns[CAPACITY_PLACE, place]
        heights = strip_heights(self._columns[ROW_PLACES[:1], place])
        near, parts = self._candidates(place, heights)
        most = np.max(words / (parts.inputs + (1.0 - 1e-9) * parts.sums), initial=0.0)
        self._all.append((float(most), near, parts))
        for option, (images, low, high) in enumerate(_PASSES):
            each = parts.bound(words / images, np.array(0.0))
            some = _near_envelope(each, near.load, parts.short_groups, low, high)
            tried = at(near._replace(each=each, rank=near.rank + 3.0 * option), some)
            self._near.append(self._filled(tried, np.full(len(some), images)))

    def _near_at_height(self, place: int, height: float) -> NearCandidates:
        """Return the candidates of a matrix product with strips of a height."""
        listed = self._by_height.get((place, height))
        if listed is None:
            near, parts = self._candidates(place, np.array([[height]]))
            each = parts.bound(self._columns[CAPACITY_PLACE, place], np.array(0.0))
            # Strips of this height have at most that many times the rows.
            most = (each + near.load) * (1.0 + 2.0 / height) * (1.0 + near.short_groups)
            least = np.min(most, initial=np.inf) * (1.0 + MARGIN)
            some = np.flatnonzero(each + near.load <= min(least, np.finfo(float).max))
            near = at(near._replace(each=each), some)
            layer, array, _ = split_columns(self._columns[:, near.layer])
            fewer = near.mapping[_CHANNELS_PLACE] < interleaved_channels(layer, array)
            # Candidates are in the order of channels, heights, and the others.
            near = near._replace(rank=near.rank + 9.0 * (height * 1e6 + fewer * 1e12))
            listed = self._filled(near, np.ones(len(some)))
            self._by_height[place, height] = listed
        return listed

    def _candidates(self, place: int, heights: Floats) -> tuple[NearCandidates, CandidateCosts]:
        """Return all candidates of a layer with some heights, and the parts of their costs."""
        layer, array, _ = split_columns(self._columns[:, [place]])
        tried = candidates_of(layer, array, heights, replicate=bool(self._replicate))
        owner = np.full(len(tried.layer), place)
        parts = candidate_costs(self._columns[:, owner], tried.mapping, 1.0, self._replicate)
        mapping, rank = np.stack(tried.mapping), tried.rank.astype(float)
        short = parts.short_rows, parts.short_groups
        return NearCandidates(
            owner, parts.each_image, parts.each_load, *short, mapping, rank
        ), parts

    def _filled(self, near: NearCandidates, images: Floats) -> NearCandidates:
        """Return candidates with so many images per pass and the most filters."""
        layer, array, _ = split_columns(self._columns[:, near.layer])
        mapping = RowMapping(*near.mapping)._replace(images=images)
        mapping = mapping._replace(filters=filters_that_fit(layer, mapping, array))
        return near._replace(mapping=np.stack(mapping))

    def _in_one_pass(self, images: Floats) -> list[NearCandidates]:
        """Return the candidates of convolutions whose passes hold all images, near the cheapest."""
        listed: list[NearCandidates] = []
        for most, near, parts in self._all:
            place = near.layer[0] if most else 0
            together = np.ceil(images[place])
            if not 1.0 < together <= most:
                continue
            each = parts.bound(self._columns[CAPACITY_PLACE, place] / together, np.array(0.0))
            lower = each + near.load * (1.0 / images[place])
            least = np.min(lower * (1.0 + near.short_groups)) * (1.0 + MARGIN)
            some = np.flatnonzero(lower <= min(least, np.finfo(float).max))
            tried = at(near._replace(each=each, rank=near.rank + 6.0), some)
            listed.append(self._filled(tried, np.full(len(some), together)))
        return listed

    def cheapest(self, columns: Floats) -> Floats | None:
        """Return the mappings as `cheapest_mapping.cheapest`; ``None`` where that must search."""
        layer = split_columns(columns)[0]
        if not self.is_covered:
            return None
        parts = self._near + self._in_one_pass(layer.images)
        for place in self._products:
            most, heights = self._most_rows[place], strip_heights(layer.out_rows[[place]])
            fitting = [height for height in heights[0].tolist() if 0.0 < height <= most]
            parts += [self._near_at_height(place, height) for height in fitting]
        near = _joined(parts)
        images, rows, groups = (
            values[near.layer] for values in (layer.images, layer.out_rows, layer.groups)
        )
        per_pass = near.mapping[0]
        lower = near.each + near.load * (ceil_div(images, per_pass) / images)
        lower[(near.rank % 9.0 // 3.0 == 1.0) & (images <= per_pass)] = np.inf
        upper = lower
        for extent, short in (rows, near.short_rows), (groups, near.short_groups):
            upper = upper * (ceil_div(extent, short + 1.0) * (short + 1.0) / extent)
        least = np.full(columns.shape[1], np.inf)
        np.minimum.at(least, near.layer, upper)
        if not (least * (1.0 + 1e-6) < self._least_mapping_cost).all():
            return None
        some = at(near, np.flatnonzero(lower <= least[near.layer] * (1.0 + MARGIN)))
        if len(some.layer) > len(least):
            price = prices(columns[:, some.layer], RowMapping(*some.mapping), 1.0)
            order = np.lexsort((some.rank, price, some.layer))
            some = at(some, order[np.flatnonzero(np.diff(some.layer[order], prepend=-1))])
        mappings = np.ones((9, len(least)))
        mappings[:-1, some.layer] = some.mapping
        return mappings


_CHANNELS_PLACE: Final = RowMapping._fields.index("set_channels")


def _joined(parts: Sequence[NearCandidates]) -> NearCandidates:
    return NearCandidates(*(np.concatenate(c, axis=-1) for c in zip(*parts, strict=True)))


def _near_envelope(
    each: Floats, load: Floats, short_groups: Floats, low: float, high: float
) -> Places:
    """Return which lines ``each + load x`` are near the least upper bound anywhere in a range.

    The least of the upper bounds is concave and linear between its corners. A line less the least
    is convex, so that it is lowest at a corner or at an end of the range.
    """
    most = 1.0 + short_groups
    upper, slope = each * most, load * most
    corners = [low]
    while corners[-1] < high and np.isfinite(each).any():
        x = corners[-1]
        own = np.lexsort((slope, upper + slope * x))[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = (upper - upper[own]) / (slope[own] - slope)
        crossing = crossing[(slope < slope[own]) & (crossing > x)]
        corners.append(float(np.min(crossing, initial=high)))
    tried = np.array(corners)[:, None]
    least = np.min(upper + slope * tried, axis=1, initial=np.inf)[:, None]
    is_near = (each + load * tried <= least * (1.0 + MARGIN)) & np.isfinite(each)
    return np.flatnonzero(is_near.any(axis=0))


@cached(64 << 10)
def _repeated_layers(content: bytes, fields: int, replicate: int) -> RepeatedLayers:
    return RepeatedLayers(np.frombuffer(content).reshape(fields, -1), replicate)


def cheapest_again(columns: Floats, replicate: int) -> Floats | None:
    """Return the mappings as `cheapest_mapping.cheapest`; ``None`` where that must search.

    Parameters
    ----------
    columns, replicate
        As in `cheapest_mapping.cheapest`; few layers, which were searched with other batches.
    """
    layer, array, _ = split_columns(columns)
    product, shared = is_product(layer), columns.copy()
    shared[IMAGES_PLACE] = np.where(product, 1.0, 2.0)
    shared[ROW_PLACES] = np.where(product, 1.0, shared[ROW_PLACES])
    any_groups = shares_groups(layer, array, replicate)
    shared[GROUPS_PLACE] = np.where(any_groups, array.height * array.width, layer.groups)
    return _repeated_layers(shared.tobytes(), len(shared), replicate).cheapest(columns)
