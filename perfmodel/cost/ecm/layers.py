"""What fits into a cache: working sets that are swept again, and the layers of stencils.

Layer conditions: Stengel et al., ICS 2015 (arXiv:1410.5010), section 4. A stencil of radius ``r``
reads ``2 r + 1`` rows (and, in three dimensions, planes) at a time. While those of the grid that is
read and one of the grid that is written fit, each line comes in once; where the rows of one plane
fit but the planes do not, once for each plane; else once for each row.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace


def miss_share(size: Value, centre: Value, sharpness: Value) -> Value:
    """Return the share of lines that are gone when a working set is swept again.

    A ramp, ``1 / (1 + (centre / size) ** sharpness)``: pages fall on the sets of a cache by chance,
    and replacement is not quite least-recently-used, so that a cache neither holds all of what
    just fits nor nothing of what just does not.

    Parameters
    ----------
    size
        Bytes of the working set, positive.
    centre
        Bytes of which half are gone.
    sharpness
        Positive; large for a step.
    """
    xp = namespace(size, centre, sharpness, 0.0)
    # In logarithms, so that a step does not overflow.
    steps = sharpness * (xp.log(xp.asarray(centre) * 1.0) - xp.log(xp.asarray(size) * 1.0))
    return 1.0 / (1.0 + xp.exp(xp.clip(steps, -700.0, 700.0)))


def layer_lines(
    radius: Value, row: Value, plane: Value, centre: Value, sharpness: Value, *, dimensions: int
) -> Value:
    """Return lines of a stencil's grid that come into a cache for one line of results.

    Star stencils (neighbours along the axes).

    Parameters
    ----------
    radius
        Reach of the stencil.
    row, plane
        Bytes of a row and of a plane of the grid; `plane` is not used in two dimensions.
    centre, sharpness
        Of the cache's edge, as `miss_share` takes them.
    dimensions
        2 or 3.

    Returns
    -------
    lines
        Between 1 and ``1 + 2 radius (dimensions - 1)``.
    """
    layers = 2.0 * radius + 2.0
    if dimensions == 2:
        return 1.0 + 2.0 * radius * miss_share(layers * row, centre, sharpness)
    # Rows of the middle plane, and one of each other plane and of the grid that is written.
    rows = (2.0 * radius + 1.0) * row + 2.0 * radius * row + row
    planes_gone = miss_share(layers * plane, centre, sharpness)
    return 1.0 + 2.0 * radius * (planes_gone + miss_share(rows, centre, sharpness))
