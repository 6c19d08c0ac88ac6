"""Prices of operators that move or rename: views, copies, gathers, scatters, resizes, fills."""

from __future__ import annotations

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import OnnxNode
from perfmodel.workload.importers.onnx.pricing import CHANNELS_SECOND, Pricer
from perfmodel.workload.symbols import Dim, product, simplify


def view(p: Pricer, n: OnnxNode) -> None:
    """Price a change of shape: nothing moves."""
    source = p.tensor(n.need(0))
    y = p.tensor(n.out)
    p.builder.operator(
        n.name or n.op, "view", [(source, 0)], [(y, 0)], inplace=source, attributes={"op": n.op}
    )


def shape_only(p: Pricer, n: OnnxNode) -> None:
    """``Shape`` and ``Size`` read no data; their outputs are known with the graph."""
    for edge in n.made:
        edge.kind = "constant"


def copy(p: Pricer, n: OnnxNode) -> None:
    """Price a copy of whole inputs: concat, transpose, tile, pad."""
    said: dict[str, object] = {}
    if n.op == "Transpose":
        order = n.wholes("perm") or tuple(reversed(range(len(n.shape(0)))))
        if p.channels_last and len(order) == 4:
            order = tuple(CHANNELS_SECOND.index(order[axis]) for axis in CHANNELS_SECOND)
        said["order"] = order
    p.add(n, "copy", p.reads(*(n.present if n.op == "Concat" else n.present[:1])), attributes=said)


def part(p: Pricer, n: OnnxNode) -> None:
    """Price a copy of a part: only what is written is read."""
    x = p.tensor(n.need(0))
    moved: Dim = 0
    for edge in n.made:
        moved = moved + edge.elements
    p.add(n, "copy", [(x, simplify(moved))])


def gather(p: Pricer, n: OnnxNode) -> None:
    """Price a lookup: the indices and the elements picked."""
    table, y = n.need(0), n.out
    if table.kind == "weight" and table.tensor is None and len(table.known) == 2:
        table.tag = "embedding"
    w = p.tensor(table)
    reads: list[Tensor | tuple[Tensor, Dim]] = [*p.reads(*n.present[1:]), (w, y.elements)]
    p.add(n, "gather", reads, pair=(w.slot, "activation"))


def resize(p: Pricer, n: OnnxNode) -> None:
    """Price ``Resize`` and ``Upsample``: 2 ** axes taps an output, lerped axis by axis."""
    x = n.need(0)
    mode = n.text("mode", "nearest")
    axes = sum(1 for a, b in zip(x.known, n.out.known, strict=False) if a != b)
    # Linear: 3 operations a lerp, 2**axes - 1 lerps; cubic: 4 products and 3 sums an axis.
    per_output = {"nearest": 0, "linear": 3 * (2**axes - 1), "cubic": 7 * (4**axes - 1) // 3}
    p.add(
        n,
        "resize",
        [p.tensor(x)],
        ops=product(per_output.get(mode, 0), n.out.elements),
        attributes={"mode": mode},
    )


def sample(p: Pricer, n: OnnxNode) -> None:
    """Price ``GridSample``, ``RoiAlign``, ``AffineGrid``: a bilinear lookup an output."""
    ratio = max(n.whole("sampling_ratio", 1), 1) if n.op == "RoiAlign" else 1
    p.add(n, "resize", p.reads(*n.present), ops=product(9 * ratio**2, n.out.elements))


def gather_up(p: Pricer, n: OnnxNode) -> None:
    """Price what a loop leaves of every run: as much is read as is written in the end."""
    p.add(n, "copy", [(p.tensor(n.need(0)), n.out.elements)])
