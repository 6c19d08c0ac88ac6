"""Shapes of domain ``ai.onnx.ml``: a label and scores a sample, or what was read, changed."""

from __future__ import annotations

from perfmodel.workload.importers.onnx.node import OnnxNode, Shape
from perfmodel.workload.importers.onnx.operators_ml import categories_of, classes_of
from perfmodel.workload.importers.onnx.shapes import give


def _rows(node: OnnxNode) -> Shape:
    x = node.need(0).known
    return x[:1] if len(x) > 1 else (1,)


def encoded(node: OnnxNode) -> None:
    """``LabelEncoder``: shaped as what it reads, whole numbers where it encodes to them."""
    labels = any(key.startswith(("values_int", "default_int")) for key in node.attributes)
    give(node, node.need(0).known, format="int64" if labels else "")


def classifier(node: OnnxNode) -> None:
    """Labels, then a score a class; of pairs of classes where no probabilities join them."""
    rows, count = _rows(node), classes_of(node)
    give(node, rows, format="int64")
    pairs = "vectors_per_class" in node.attributes and "prob_a" not in node.attributes
    give(node, (*rows, count * (count - 1) // 2 if pairs and count > 2 else count), 1)


def regressor(node: OnnxNode) -> None:
    """Numbers of each sample."""
    name = "n_targets" if node.op.startswith("Tree") else "targets"
    give(node, (*_rows(node), int(node.whole(name, 1))))


def one_hot(node: OnnxNode) -> None:
    """``OneHotEncoder``: one more axis, with a place for each category."""
    give(node, (*node.need(0).known, categories_of(node)), format="")


def columns(node: OnnxNode) -> None:
    """``ArrayFeatureExtractor``: as many columns as are picked."""
    x, y = node.need(0).known, node.need(1)
    give(node, (*x[:-1], y.elements))
