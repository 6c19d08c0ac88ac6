"""Inference of shapes that an operator-graph file omits.

An exporter that does not evaluate values does not know the extent of a slice with computed bounds
(``channels // 2``). If a convolution reads the slice, its weights state the channels,
``weights.shape[1] * groups``; otherwise the slice has the channels of its source that the source's
other slices do not cover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, Shape
from perfmodel.workload.importers.onnx.shape_inference import infer


def complete_shapes(nodes: Sequence[OnnxNode]) -> list[str]:
    """Set missing output shapes that follow from the other shapes in the file.

    Parameters
    ----------
    nodes
        Nodes in order of execution; the edges they share are updated in place.

    Returns
    -------
    list of str
        Labels of the slices whose shape was assumed.
    """
    readers: dict[str, list[OnnxNode]] = {}
    for node in nodes:
        for edge in node.present_inputs:
            readers.setdefault(edge.name, []).append(node)
    assumed: list[str] = []
    for node in nodes:
        missing = [edge for edge in node.present_outputs if edge.shape is None and edge.is_data]
        if not missing or any(e.is_data and e.shape is None for e in node.present_inputs):
            continue
        if node.op == "Slice":
            shape = _sliced_shape(node, readers)
            if shape is not None:
                missing[0].shape = shape
                assumed.append(node.label)
            continue
        with suppress(NotPricedError):
            infer(node, {}, [None] * len(node.outputs), [""] * len(node.outputs))
        if node.opened_extents or not all(_is_fixed(edge.shape) for edge in missing):
            # An operator graph has no free dimensions, so an open extent means unknown.
            node.opened_extents.clear()
            for edge in missing:
                edge.shape = None
    return assumed


def _is_fixed(shape: Shape | None) -> bool:
    return shape is not None and all(isinstance(extent, int) for extent in shape)


def _sliced_shape(node: OnnxNode, readers: Mapping[str, Sequence[OnnxNode]]) -> Shape | None:
    """Return the shape of a slice of channels, from its reader or from its sibling slices."""
    source = node.inputs[0]
    if source is None or source.shape is None or len(source.shape) < 3:
        return None
    channels = _channels_of_reader(node, readers)
    if channels is None:
        siblings = [s for s in readers[source.name] if s.op == "Slice" and s is not node]
        sibling_channels = [_channels_of_reader(s, readers) for s in siblings]
        if not siblings or None in sibling_channels:
            return None
        channels = source.shape[1] - sum(c for c in sibling_channels if c is not None)
    if not isinstance(channels, int) or not isinstance(source.shape[1], int):
        return None
    if not 0 < channels <= source.shape[1]:
        return None
    return (source.shape[0], channels, *source.shape[2:])


def _channels_of_reader(node: OnnxNode, readers: Mapping[str, Sequence[OnnxNode]]) -> int | None:
    """Return the number of input channels of a convolution that reads the node's output."""
    for reader in (r for edge in node.present_outputs for r in readers.get(edge.name, ())):
        weight: OnnxValue | None = reader.get(1)
        if reader.op != "Conv" or weight is None or not weight.shape or weight.is_data:
            continue
        channels_per_group = weight.shape[1]
        if isinstance(channels_per_group, int):
            return channels_per_group * int(reader.attributes.get("group", 1))
    return None
