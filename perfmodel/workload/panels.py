"""Work of convolutions that a runtime computes as products of matrices packed in panels.

The filters are one matrix; the other has a column for each pixel of the result, with the numbers
that its window covers: the image itself where the kernel is 1 x 1, else unfolded (im2col) row by
row. Kernels compute some columns at a time, and pad the last of them (Goto and van de Geijn,
"Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008, describe the packing).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfmodel.workload.graph import Operator
from perfmodel.workload.symbols import Dim, ceil_div, constant, product, simplify

#: Columns of `perfmodel.workload.lower.OperatorTable.extents` that are counted here.
EXTENTS: Final[tuple[str, ...]] = ("packed", "unfolded", "strided", "unfolded_rows", "stored")


class Panels(NamedTuple):
    """How a runtime cuts the products of convolutions.

    Attributes
    ----------
    columns
        Columns that are computed at once: the last are padded to them; 0 where nothing is packed.
    depth
        Numbers of the summed dimension after which sums are stored; 0 for all of them.
    """

    columns: int = 0
    depth: int = 0


PLAIN: Final = Panels()


def in_panels(operator: Operator, panels: Panels) -> bool:
    """Return whether an operator is a dense convolution that such products compute."""
    said = dict(operator.attributes)
    dense = constant(said.get("groups", 1)) == 1 and not said.get("transposed")
    plain = operator.kind == "conv" and "kernel" in said and not said.get("algorithm")
    return bool(panels.columns and plain and dense and operator.nests)


def padded_macs(operator: Operator, panels: Panels) -> Dim:
    """Return multiply-accumulates with the padded columns among them."""
    nest = operator.nests[0]
    return product(*(nest.size(d) for d in "bn"), _depth(operator), _padded(operator, panels))


def extents_of(operator: Operator, panels: Panels) -> dict[str, Dim]:
    """Return what is moved around the product.

    Returns
    -------
    dict
        ``packed``: numbers of the padded matrix of windows; ``unfolded``: those written before it
        where the kernel is not 1 x 1 or strides, ``strided``: those of them that are not next to
        each other in the image; ``unfolded_rows``: rows of the image that this goes by, a tap each;
        ``stored``: sums, as often as they are stored.
    """
    said, nest = dict(operator.attributes), operator.nests[0]
    kernel = tuple(said["kernel"])
    strides = tuple(said.get("stride") or (1,) * len(kernel))
    depth, pixels = _depth(operator), _pixels(operator)
    batch = nest.size("b")
    out: dict[str, Dim] = {
        "packed": product(batch, depth, _padded(operator, panels)),
        "stored": product(batch, nest.size("n"), pixels, _passes(depth, panels)),
    }
    if set(kernel) != {1} or set(strides) != {1}:
        rows = product(*(nest.size(f"o{i}") for i in range(len(kernel) - 1)))
        out["unfolded" if strides[-1] == 1 else "strided"] = product(batch, depth, pixels)
        out["unfolded_rows"] = product(batch, depth, rows)
    return out


def is_narrow(operator: Operator, channels: int) -> bool:
    """Return whether a depthwise convolution has fewer than two vectors of channels, one unfilled.

    One whose channels are free is not taken for narrow.
    """
    if not channels or operator.kind != "depthwise" or not operator.nests:
        return False
    nest = operator.nests[0]
    # Channels are what indexes both the filters and the result, by whatever names a nest has.
    of_filters, of_result = (
        {dim for o in nest.operands if o.role == role for axis in o.axes for dim, _ in axis}
        for role in ("weight", "output")
    )
    found = constant(product(*(size for d, size in nest.dims if d in of_filters & of_result)))
    return found is not None and found < 2 * channels and found % channels != 0


def _passes(depth: Dim, panels: Panels) -> Dim:
    """Return how often a sum is stored: for each slice of the depth, and with the bias at last."""
    return simplify(1 + (ceil_div(depth, panels.depth) if panels.depth else 1))


def _depth(operator: Operator) -> Dim:
    nest = operator.nests[0]
    return product(nest.size("c"), *(size for d, size in nest.dims if d.startswith("r")))


def _pixels(operator: Operator) -> Dim:
    return product(*(size for d, size in operator.nests[0].dims if d.startswith("o")))


def _padded(operator: Operator, panels: Panels) -> Dim:
    return product(ceil_div(_pixels(operator), panels.columns), panels.columns)
