"""Operators that classical models share: distances, powers, votes, the largest of some scores.

Work that a runtime may price apart is visible in the operator table: a product of differences is a
row of class ``gemm`` whose function is ``squared_distance``, a walk down decision trees a row of
class ``tree``, and exponentials, logarithms and powers are functions of elementwise rows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from perfmodel.frozen import FrozenModel
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.symbols import Dim, product, simplify, symbol

Extent = Annotated[int, Field(gt=0, le=10**9)]
"""A number of rows, features or nodes."""

Distance = Literal["squared", "expanded", "manhattan"]
"""How far two points are apart, see `distances`."""


class ClassicStructure(FrozenModel):
    """What every model over rows of features has.

    Attributes
    ----------
    features
        Numbers of a sample; a free dimension, this is its default.
    scaled
        A shift and a scale of each feature come first (standardisation).
    """

    features: Extent
    scaled: bool = False


def samples(g: GraphBuilder, *, scaled: bool) -> Tensor:
    """Declare the samples ``(batch, features)``, standardised where `scaled`."""
    x = g.input("samples", (symbol("batch"), symbol("features")))
    if not scaled:
        return x
    moments = g.weight("scaler.weight", (2, symbol("features")), tag="vector")
    y = g.tensor("scaler.out", x.shape)
    g.operator(
        "scaler", "elementwise", [x, moments], [y], vector_ops=2 * y.elements, inplace=x,
        attributes={"function": "scale"},
    )  # fmt: skip
    return y


def distances(
    g: GraphBuilder, x: Tensor, points: Tensor, form: Distance, *, name: str = "distance",
    ranks: bool = True,
) -> Tensor:  # fmt: skip
    """Add the distance of every sample to every point: ``(batch, points)``.

    ``squared``: a subtraction and a multiply-accumulate a feature. ``expanded``: ``|p|^2 -
    2 x p``, a matrix product with the squares stored, and ``|x|^2`` added unless the distances
    only rank the points. ``manhattan``: a subtraction, an absolute value and an addition.
    """
    batch, features = x.shape
    count = points.shape[0]
    y = g.tensor(f"{name}.out", (batch, count))
    pairs = product(batch, count, features)
    if form == "manhattan":
        g.operator(
            name, "elementwise", [x, points], [y], vector_ops=3 * pairs,
            attributes={"function": "manhattan_distance"},
        )  # fmt: skip
        return y
    nest = gemm_nest(1, batch, count, features, x.name, points.name, y.name, b_batched=False)
    pair = (points.slot, x.slot)
    if form == "squared":
        g.operator(
            name, "gemm", [x, points], [y], nests=[nest], vector_ops=pairs, pair=pair,
            attributes={"function": "squared_distance"},
        )  # fmt: skip
        return y
    squares = g.weight(f"{points.name}.squares", (count,), tag="vector")
    g.operator(
        name, "gemm", [x, points, squares], [y], nests=[nest], vector_ops=y.elements, pair=pair
    )
    if ranks:
        return y
    norms = g.tensor(f"{name}.norms", (batch, 1))
    g.operator(
        f"{name}.norms", "pool", [x], [norms], vector_ops=2 * x.elements,
        attributes={"function": "sum_of_squares"},
    )  # fmt: skip
    return g.elementwise("add", y, norms, name=f"{name}.add")


def best(g: GraphBuilder, scores: Tensor, *, function: str = "argmax", name: str = "") -> Tensor:
    """Add the position of the largest (``argmax``) or smallest (``argmin``) score of a row.

    A comparison a score but one.
    """
    batch, count = scores.shape
    name = name or function
    y = g.tensor(f"{name}.out", (batch,), format="int32")
    g.operator(
        name, "pool", [scores], [y], vector_ops=simplify(batch * (count - 1)),
        attributes={"function": function},
    )  # fmt: skip
    return y


def nearest(g: GraphBuilder, distances: Tensor, count: Dim, *, name: str = "top_k") -> Tensor:
    """Add the positions of the `count` smallest of each row, by as many passes over it.

    Pass ``i`` (from 0) compares what is left, ``n - 1 - i`` times: ``k n - k (k + 1) / 2``.
    """
    batch, points = distances.shape
    y = g.tensor(f"{name}.out", (batch, count), format="int32")
    compared = batch * (count * points - count * (count + 1) * 0.5)
    g.operator(
        name, "pool", [distances], [y], vector_ops=simplify(compared),
        attributes={"function": "top_k"},
    )  # fmt: skip
    return y


def multiplications(degree: int) -> int:
    """Return the multiplications of a power by repeated squaring."""
    return degree.bit_length() - 1 + degree.bit_count() - 1


def each_sample(structure: BaseModel) -> tuple[str, Dim]:
    """Return what a run yields: a sample each of the batch."""
    del structure
    return "samples", symbol("batch")
