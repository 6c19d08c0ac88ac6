"""Prices of operators that move or rename: views, copies, gathers, scatters, resizes, fills."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import OnnxNode
from perfmodel.workload.importers.onnx.pricing import CHANNELS_SECOND, Pricer, Pricing
from perfmodel.workload.symbols import Dim, product, simplify


def view(p: Pricer, n: OnnxNode) -> None:
    """Price a change of shape: nothing moves."""
    x = n.need(0)
    source = p.tensor(x)
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
        axes = range(len(n.need(0).known))
        order = n.wholes("perm") or tuple(reversed(axes))
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
    index = p.reads(*n.present[1:])
    reads: list[Tensor | tuple[Tensor, Dim]] = [*index, (w, y.elements)]
    p.add(n, "gather", reads, pair=(w.slot, "activation"))


def scatter(p: Pricer, n: OnnxNode) -> None:
    """Price a scatter: the whole data is copied, updates and indices are read."""
    p.add(n, "gather", p.reads(*n.present), inplace=n.need(0))


def resize(p: Pricer, n: OnnxNode) -> None:
    """Price ``Resize`` and ``Upsample``: 2 ** axes taps an output, lerped axis by axis."""
    x = n.need(0)
    mode = n.text("mode", "nearest")
    axes = sum(1 for a, b in zip(x.known, n.out.known, strict=False) if a != b)
    # Linear: 3 operations a lerp, 2**axes - 1 lerps; cubic: 4 products and 3 sums an axis.
    per_output = {"nearest": 0, "linear": 3 * (2**axes - 1), "cubic": 7 * (4**axes - 1) // 3}
    p.add(n, "resize", [p.tensor(x)], ops=product(per_output.get(mode, 0), n.out.elements),
          attributes={"mode": mode})  # fmt: skip


def sample(p: Pricer, n: OnnxNode) -> None:
    """Price ``GridSample``, ``RoiAlign``, ``AffineGrid``: a bilinear lookup an output."""
    ratio = max(n.whole("sampling_ratio", 1), 1) if n.op == "RoiAlign" else 1
    p.add(n, "resize", p.reads(*n.present), ops=product(9 * ratio**2, n.out.elements))


def pool_of_regions(p: Pricer, n: OnnxNode) -> None:
    """Price ``MaxRoiPool`` and ``MaxUnpool``: every input element once."""
    p.add(n, "pool", p.reads(*n.present), ops=n.need(0).elements)


def fill(p: Pricer, n: OnnxNode) -> None:
    """Price a tensor made from nothing but its shape: it is written."""
    p.add(n, "copy", [])


def gather_up(p: Pricer, n: OnnxNode) -> None:
    """Price what a loop leaves of every run: as much is read as is written in the end."""
    p.add(n, "copy", [(p.tensor(n.need(0)), n.out.elements)])


def masked_copy(p: Pricer, n: OnnxNode) -> None:
    """Price ``Trilu``: a copy."""
    p.add(n, "copy", [p.tensor(n.need(0))])


MOVEMENT: Mapping[str, Pricing] = {
    **dict.fromkeys(
        ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Optional",
         "OptionalGetElement", "BitCast", "ScanInput"),
        view,
    ),
    **dict.fromkeys(("Shape", "Size"), shape_only),
    **dict.fromkeys(
        ("Concat", "Transpose", "Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth",
         "ReverseSequence"),
        copy,
    ),
    **dict.fromkeys(("Slice", "Split", "CenterCropPad", "DynamicSlice"), part),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "Compress"), gather),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND", "TensorScatter"), scatter),
    **dict.fromkeys(("Resize", "Upsample"), resize),
    **dict.fromkeys(("GridSample", "RoiAlign", "AffineGrid", "CropAndResize"), sample),
    **dict.fromkeys(("MaxRoiPool", "MaxUnpool"), pool_of_regions),
    **dict.fromkeys(("Constant", "ConstantOfShape", "Range", "EyeLike", "OneHot", "HannWindow",
                     "HammingWindow", "BlackmanWindow", "MelWeightMatrix"), fill),
    "Trilu": masked_copy,
    "ScanOutput": gather_up,
}  # fmt: skip
