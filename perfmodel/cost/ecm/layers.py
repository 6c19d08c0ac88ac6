"""Cache miss shares of repeatedly swept working sets, and layer conditions of stencils.

Layer conditions: Stengel et al., ICS 2015 (arXiv:1410.5010), section 4. A stencil of radius ``r``
reads ``2 r + 1`` rows (and, in three dimensions, planes) at a time. If those of the source grid and
one of the destination grid fit into a cache, each line is loaded once; if the rows of one plane fit
but the planes do not, once per plane; else once per row.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace


def miss_share(size: Value, centre: Value, sharpness: Value) -> Value:
    """Return the share of lines that miss when a working set is swept again.

    A smooth step, ``1 / (1 + (centre / size) ** sharpness)``: pages map to cache sets at random and
    replacement only approximates least-recently-used, so that hits neither vanish nor persist
    completely at the capacity.

    Parameters
    ----------
    size
        Bytes of the working set, positive.
    centre
        Working set size at which half of the lines miss, bytes.
    sharpness
        Steepness, positive; large for an abrupt step.
    """
    xp = namespace(size, centre, sharpness, 0.0)
    # Evaluated in logarithms, so that a steep step does not overflow.
    steps = sharpness * (xp.log(xp.asarray(centre) * 1.0) - xp.log(xp.asarray(size) * 1.0))
    return 1.0 / (1.0 + xp.exp(xp.clip(steps, -700.0, 700.0)))


def layer_lines(
    radius: Value, row: Value, plane: Value, centre: Value, sharpness: Value, *, dimensions: int
) -> Value:
    """Return the lines of a star stencil's source grid loaded into a cache per line of results.

    With m(x) the miss share of x bytes, ``1 + 2 r m((2 r + 2) row)`` in two dimensions, and
    ``1 + 2 r (m((2 r + 2) plane) + m(rows of the layer condition))`` in three.

    Parameters
    ----------
    radius
        Radius of the stencil (neighbours along the axes).
    row, plane
        Bytes of a row and of a plane of the grid; `plane` is ignored in two dimensions.
    centre, sharpness
        Parameters of the cache; see `miss_share`.
    dimensions
        Number of dimensions, 2 or 3.

    Returns
    -------
    lines
        Between 1 and ``1 + 2 radius (dimensions - 1)``.
    """
    layers = 2.0 * radius + 2.0
    if dimensions == 2:
        return 1.0 + 2.0 * radius * miss_share(layers * row, centre, sharpness)
    # Rows of the middle plane, one row of every other plane, and one of the destination grid.
    rows = (2.0 * radius + 1.0) * row + 2.0 * radius * row + row
    plane_misses = miss_share(layers * plane, centre, sharpness)
    return 1.0 + 2.0 * radius * (plane_misses + miss_share(rows, centre, sharpness))
