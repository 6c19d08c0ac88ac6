"""Prices of domain ``ai.onnx.ml``: classical models as skl2onnx and others export them.

What such a node stores stands in its attributes, not in initializers; the fields of a family of
classical models are read from them, and its operators are added. A library's own forest or support
vector machine may lay its tables out in another way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, Shape
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.symbols import Dim, product
from perfmodel.workload.template_family import add_block

#: Operations a score of what follows a decision, in the order of its numbers in ``TreeEnsemble``.
_TRANSFORMS: Mapping[str, float] = {
    "NONE": 0,
    "SOFTMAX": VECTOR_OPS["softmax"],
    "LOGISTIC": VECTOR_OPS["sigmoid"],
    "SOFTMAX_ZERO": VECTOR_OPS["softmax"] + 1,
    "PROBIT": 2 * VECTOR_OPS["log"],
}

_KERNELS = frozenset({"linear", "poly", "rbf", "sigmoid"})

#: Operations an element, and a sample, of a normalisation to the largest, the sum, or Euclid's.
_NORMS: Mapping[str, tuple[float, float]] = {"MAX": (6, 0), "L1": (6, 0), "L2": (6, 4)}


def _list(node: OnnxNode, name: str) -> Sequence[Any]:
    value = node.attributes.get(name, ())
    return cast("Sequence[Any]", value) if isinstance(value, tuple | list) else ()


def _classes(node: OnnxNode) -> int:
    """Return how many classes a classifier's labels name.

    Raises
    ------
    NotPricedError
        None.
    """
    names = "classlabels_ints", "classlabels_strings", "classlabels_int64s"
    return _named(node, "classes", *names)


def _named(node: OnnxNode, what: str, *names: str) -> int:
    count = next(filter(None, (len(_list(node, name)) for name in names)), 0)
    if not count:
        raise NotPricedError(f"it names no {what}")
    return count


def _columns(p: Pricer, node: OnnxNode) -> Tensor:
    """Return the samples as rows of features."""
    x = p.tensor(node.need(0))
    if len(x.shape) > 2:
        raise NotPricedError(f"samples are rows of features, not {len(x.shape)}-dimensional")
    return x if len(x.shape) == 2 else p.builder.view(x, (1, *x.shape), name="row")


def _finish(p: Pricer, node: OnnxNode, *made: Tensor) -> None:
    """Give the node's outputs the tensors that were made."""
    for edge, tensor in zip(node.outputs, made, strict=False):
        if edge is not None:
            edge.tensor = tensor


def _transformed(p: Pricer, node: OnnxNode, scores: Tensor, kind: str = "") -> Tensor:
    """Add what turns scores into probabilities."""
    kind = kind or node.text("post_transform", "NONE")
    each = _TRANSFORMS.get(kind)
    if each is None:
        raise NotPricedError(f"post_transform '{kind}' is not known")
    if not each:
        return scores
    function = "sigmoid" if kind == "LOGISTIC" else "softmax"
    if function == "softmax":
        return p.builder.softmax(scores, name=f"{node.op}.softmax")
    return p.builder.elementwise(function, scores, name=f"{node.op}.{function}", ops=each)


def _best(p: Pricer, scores: Tensor) -> Tensor:
    """Add the position of the largest score of a row."""
    return add_block(p.builder, "knn", "best", {"x": scores}, function="argmax")


def scaler(p: Pricer, n: OnnxNode) -> None:
    """Price ``Scaler``: an offset and a scale of each feature."""
    x = p.tensor(n.need(0))
    width = max(len(_list(n, "offset")), len(_list(n, "scale")), 1)
    moments = p.builder.weight(f"{n.name or n.op}.moments", (2, width), tag="vector")
    p.add(
        n,
        "elementwise",
        [x, moments],
        ops=product(2, x.elements),
        inplace=n.need(0),
        function="scale",
    )


def normalizer(p: Pricer, n: OnnxNode) -> None:
    """Price ``Normalizer``: rows over their largest number, sum, or length."""
    x = n.need(0)
    kind = n.text("norm", "MAX")
    if kind not in _NORMS:
        raise NotPricedError(f"norm '{kind}' is not known")
    each, row = _NORMS[kind]
    p.add(
        n,
        "norm",
        [p.tensor(x)],
        ops=each * x.elements + row * product(*x.known[:-1]),
        inplace=x,
        function=f"normalise_{kind.lower()}",
    )


def linear(p: Pricer, n: OnnxNode) -> None:
    """Price ``LinearClassifier`` and ``LinearRegressor``."""
    x = _columns(p, n)
    g = p.builder
    features = x.shape[1]
    stored = len(_list(n, "coefficients"))
    if n.op == "LinearRegressor":
        targets = int(n.whole("targets", 1))
        _finish(p, n, _transformed(p, n, g.linear(x, targets, name=n.name or "regressor")))
        return
    classes = _classes(n)
    # Two classes may have one weight vector, or one each.
    one = classes == 2 and stored != 0 and _rows(stored, features) == 1
    scores = g.linear(x, 1 if one else classes, name=n.name or "classifier")
    label = g.elementwise("compare", scores, name="sign") if one else _best(p, scores)
    _finish(p, n, label, _transformed(p, n, scores))


def _rows(stored: int, features: Dim) -> int:
    """Return how many weight vectors an attribute holds; 0 where the features are free."""
    return stored // features if isinstance(features, int) and features else 0


def support_vectors(p: Pricer, n: OnnxNode) -> None:
    """Price ``SVMClassifier`` and ``SVMRegressor`` as family ``svm``."""
    x = _columns(p, n)
    regression = n.op == "SVMRegressor"
    parameters = _list(n, "kernel_params")
    kernel = n.text("kernel_type", "LINEAR").lower()
    if kernel not in _KERNELS:
        raise NotPricedError(f"kernel '{n.attributes.get('kernel_type')}' is not known")
    if regression:
        vectors, classes = int(n.whole("n_supports", 0)), 1
    else:
        vectors, classes = sum(map(int, _list(n, "vectors_per_class"))), _classes(n)
    shape = {
        "kernel": kernel,
        "classes": classes,
        "degree": max(int(parameters[2]), 1) if len(parameters) > 2 else 3,
        # Without support vectors the file holds one weight vector a class.
        "collapsed": vectors == 0,
        "machines": "one_vs_one" if vectors else "one_vs_rest",
    }
    scores = add_block(p.builder, "svm", "decide", {"x": x}, vectors=vectors, **shape)
    if regression:
        _finish(p, n, _transformed(p, n, scores))
        return
    label = add_block(p.builder, "svm", "vote", {"x": scores}, **shape)
    if _list(n, "prob_a"):
        p.notes.append(
            f"{n.label}: probabilities of pairs are priced (a sigmoid each), the iterations that "
            "couple them are not"
        )
        scores = p.builder.elementwise("sigmoid", scores, name="pair.sigmoid")
        if classes > 2:
            scores = p.builder.copy([scores], (x.shape[0], classes), name="pair.join")
    _finish(p, n, label, _transformed(p, n, scores))


def trees(p: Pricer, n: OnnxNode) -> None:
    """Price ``TreeEnsembleClassifier`` and ``TreeEnsembleRegressor`` as family ``random_forest``.

    The mean path is the mean depth of the leaves: nothing in the file says which are reached how
    often. On scikit-learn's forests over its data sets (digits, breast cancer, wine, diabetes, 4000
    generated samples; grown full, or to depth 6) that is 3 % below to 10 % above the mean path of
    other samples, on iris 32 % above; branches taken half of the time would be 5 to 37 % below.
    """
    x = _columns(p, n)
    shape = _forest(n)
    regression = n.op.endswith("Regressor")
    leaf_numbers = len(_list(n, "target_weights" if regression else "class_weights"))
    outputs = int(n.whole("n_targets", 1)) if regression else _classes(n)
    sums = _walked(p, n, x, shape, outputs, leaf_numbers)
    if regression:
        _finish(p, n, _transformed(p, n, sums))
        return
    scores = sums if outputs > 1 else p.builder.view(sums, (x.shape[0], 1), name="scores")
    _finish(p, n, _best(p, scores), _transformed(p, n, scores))


def _walked(p: Pricer, n: OnnxNode, x: Tensor, shape: _Forest, outputs: int, leaves: int) -> Tensor:
    """Add the walks through the trees, say what they are, and return the sums of their leaves."""
    p.notes.append(
        f"{n.label}: {shape.trees} trees, {shape.inner:g} nodes and {shape.depth:.2f} comparisons "
        "a walk, the mean depth of the leaves"
    )
    many = outputs > 1 and leaves > shape.trees * (shape.inner + 1)
    kind = "value" if outputs == 1 else "distribution" if many else "label"
    shaped = shape._asdict()
    return add_block(
        p.builder, "random_forest", "walk", {"x": x}, classes=outputs, leaves=kind, **shaped
    )


def ensemble(p: Pricer, n: OnnxNode) -> None:
    """Price ``TreeEnsemble`` (operator set 5), which names roots and tells leaves from nodes."""
    x = _columns(p, n)
    shape = _rooted(n)
    outputs, leaves = int(n.whole("n_targets", 1)), len(_list(n, "leaf_targetids"))
    transform = n.whole("post_transform", 0)
    if not 0 <= transform < len(_TRANSFORMS):
        raise NotPricedError(f"post_transform {transform} is not known")
    sums = _walked(p, n, x, shape, outputs, leaves)
    _finish(p, n, _transformed(p, n, sums, list(_TRANSFORMS)[transform]))


def _rooted(node: OnnxNode) -> _Forest:
    """Read the trees of a ``TreeEnsemble`` from its roots.

    Raises
    ------
    NotPricedError
        Lists of different lengths, or nodes that lead nowhere or back.
    """
    names = "truenodeids", "falsenodeids", "trueleafs", "falseleafs"
    lists = [_list(node, f"nodes_{name}") for name in names]
    yes, no, yes_leaf, no_leaf = lists
    roots = _list(node, "tree_roots")
    count = len(yes)
    if not roots or len(set(map(len, lists))) > 1:
        raise NotPricedError("its lists of nodes are missing or of different lengths")
    seen: set[int] = set()
    depths: list[int] = []
    for root in roots:
        waiting = [(root, 1)]
        while waiting:
            at, depth = waiting.pop()
            if not 0 <= at < count:
                raise NotPricedError(f"node {at} leads nowhere")
            if at in seen:
                raise NotPricedError("its nodes form a circle")
            seen.add(at)
            for child, leaf in ((yes[at], yes_leaf[at]), (no[at], no_leaf[at])):
                if leaf:
                    depths.append(depth)
                else:
                    waiting.append((child, depth + 1))
    return _Forest(len(roots), len(seen) / len(roots), sum(depths) / max(len(depths), 1))


class _Forest(NamedTuple):
    """Trees, nodes that compare a tree, and comparisons a walk, as means."""

    trees: int
    inner: float
    depth: float


def _forest(node: OnnxNode) -> _Forest:
    """Read the trees of a node's attributes.

    Raises
    ------
    NotPricedError
        Lists of different lengths, or nodes that lead nowhere.
    """
    names = "treeids", "nodeids", "modes", "truenodeids", "falsenodeids"
    lists = [_list(node, f"nodes_{name}") for name in names]
    if not lists[0] or len(set(map(len, lists))) > 1:
        raise NotPricedError("its lists of nodes are missing or of different lengths")
    children: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {
        (tree, at): ((tree, left), (tree, right)) if mode != "LEAF" else ()
        for tree, at, mode, left, right in zip(*lists, strict=True)
    }
    pointed = Counter(child for pair in children.values() for child in pair)
    roots = [place for place in children if not pointed[place]]
    depth = dict.fromkeys(roots, 0)
    open_nodes, depths = list(roots), list[int]()
    while open_nodes:
        place = open_nodes.pop()
        if not children[place]:
            depths.append(depth[place])
        for child in children[place]:
            if child not in children:
                raise NotPricedError(f"node {place[1]} of tree {place[0]} leads nowhere")
            if child in depth:
                raise NotPricedError("its nodes form a circle")
            depth[child] = depth[place] + 1
            open_nodes.append(child)
    count = len(roots)
    if len(depth) < len(children):
        raise NotPricedError("its nodes form a circle")
    inner = sum(bool(pair) for pair in children.values()) / count
    return _Forest(count, inner, sum(depths) / len(depths))


# shapes: a label and scores a sample, or what was read, changed


def _samples(node: OnnxNode) -> Shape:
    x = node.shape(0)
    return x[:1] if len(x) > 1 else (1,)


def encoded(node: OnnxNode) -> None:
    """``LabelEncoder``: shaped as what it reads, whole numbers where it encodes to them."""
    labels = any(key.startswith(("values_int", "default_int")) for key in node.attributes)
    give(node, node.shape(0), format="int64" if labels else "")


def classifier(node: OnnxNode) -> None:
    """Labels, then a score a class; of pairs of classes where no probabilities join them."""
    rows, count = _samples(node), _classes(node)
    give(node, rows, format="int64")
    pairs = "vectors_per_class" in node.attributes and "prob_a" not in node.attributes
    give(node, (*rows, count * (count - 1) // 2 if pairs and count > 2 else count), 1)


def regressor(node: OnnxNode) -> None:
    """Numbers of each sample."""
    name = "n_targets" if node.op.startswith("Tree") else "targets"
    give(node, (*_samples(node), int(node.whole(name, 1))))


def one_hot(node: OnnxNode) -> None:
    """``OneHotEncoder``: one more axis, with a place for each category."""
    give(
        node, (*node.shape(0), _named(node, "categories", "cats_int64s", "cats_strings")), format=""
    )


def columns(node: OnnxNode) -> None:
    """``ArrayFeatureExtractor``: as many columns as are picked."""
    x, y = node.shape(0), node.need(1)
    give(node, (*x[:-1], y.elements))
