"""Cost of convolutions computed as matrix products on panels of packed columns.

One factor is the matrix of filters. The other has one column per output pixel with the elements of
its window: the image itself for a 1 x 1 kernel, otherwise the image unfolded (im2col) row by row.
Kernels compute a fixed number of columns at a time and pad the last ones (Goto and van de Geijn,
"Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008, describe the packing).
Functions return the padded multiply-accumulates and the elements moved around the product.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfmodel.workload.graph import Operator
from perfmodel.workload.symbols import Dim, ceil_div, constant, product, simplify

#: Columns of `perfmodel.workload.operator_table.OperatorTable.extents` that this module computes.
EXTENTS: Final[tuple[str, ...]] = ("packed", "unfolded", "strided", "unfolded_rows", "stored")


class Panels(NamedTuple):
    """Panel sizes of a runtime for the products of convolutions.

    Attributes
    ----------
    columns
        Columns computed at once, to which the last ones are padded; 0 without packing.
    depth
        Elements of the summed dimension after which sums are stored; 0 for all of them.
    """

    columns: int = 0
    depth: int = 0


PLAIN: Final = Panels()


def uses_panels(operator: Operator, panels: Panels) -> bool:
    """Return whether an operator is a dense convolution that is computed on panels."""
    dense = operator.kernel_class == "conv" and not operator.attribute("transposed")
    plain = operator.attribute("kernel") is not None and not operator.algorithm
    return bool(panels.columns and plain and dense and operator.nests)


def padded_macs(operator: Operator, panels: Panels) -> Dim:
    """Return the multiply-accumulates including padded columns: ``B N K P``.

    K is the depth, ``C`` times the taps, and P the output pixels rounded up to whole panels.
    """
    nest = operator.nests[0]
    return product(
        *(nest.size(d) for d in "bn"), _summed_elements(operator), _padded_columns(operator, panels)
    )


def panel_extents(operator: Operator, panels: Panels) -> dict[str, Dim]:
    """Return the data movement around the product, in elements.

    Returns
    -------
    dict
        ``packed``: elements of the padded matrix of windows; ``unfolded``: elements unfolded before
        packing if the kernel is not 1 x 1 or has a stride, or ``strided`` if these are not adjacent
        in the image; ``unfolded_rows``: image rows read by unfolding, one per tap; ``stored``:
        sums, each counted as often as it is stored.
    """
    nest, kernel = operator.nests[0], tuple(operator.attribute("kernel"))
    strides = tuple(operator.attribute("stride") or (1,) * len(kernel))
    depth, pixels = _summed_elements(operator), _output_pixels(operator)
    batch = nest.size("b")
    out: dict[str, Dim] = {
        "packed": product(batch, depth, _padded_columns(operator, panels)),
        "stored": product(batch, nest.size("n"), pixels, _stores_per_sum(depth, panels)),
    }
    if set(kernel) != {1} or set(strides) != {1}:
        rows = product(*(nest.size(f"o{i}") for i in range(len(kernel) - 1)))
        out["unfolded" if strides[-1] == 1 else "strided"] = product(batch, depth, pixels)
        out["unfolded_rows"] = product(batch, depth, rows)
    return out


def is_narrow(operator: Operator, channels: int) -> bool:
    """Return whether a depthwise convolution has fewer than two vectors of channels, one unfilled.

    A convolution with free channels is not narrow.
    """
    if not channels or operator.kind != "depthwise" or not operator.nests:
        return False
    nest = operator.nests[0]
    # Channels are the dimensions that index both filters and result, whatever their names.
    of_filters, of_result = (
        {dim for o in nest.operands if o.role == role for axis in o.axes for dim, _ in axis}
        for role in ("weight", "output")
    )
    width = constant(product(*(size for d, size in nest.dims if d in of_filters & of_result)))
    return width is not None and width < 2 * channels and width % channels != 0


def _stores_per_sum(depth: Dim, panels: Panels) -> Dim:
    """Return how often a sum is stored: once per slice of the depth, and once with the bias."""
    return simplify(1 + (ceil_div(depth, panels.depth) if panels.depth else 1))


def _summed_elements(operator: Operator) -> Dim:
    nest = operator.nests[0]
    return product(nest.size("c"), *(size for d, size in nest.dims if d.startswith("r")))


def _output_pixels(operator: Operator) -> Dim:
    return product(*(size for d, size in operator.nests[0].dims if d.startswith("o")))


def _padded_columns(operator: Operator, panels: Panels) -> Dim:
    return product(ceil_div(_output_pixels(operator), panels.columns), panels.columns)
