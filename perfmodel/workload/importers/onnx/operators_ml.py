"""Prices of domain ``ai.onnx.ml``: classical models as skl2onnx and others export them.

What such a node stores stands in its attributes, not in initializers; the structure of a family of
`perfmodel.workload.classic` is read from them, and its operators are added. A library's own forest
or support vector machine may lay its tables out in another way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.classic import forest, svm
from perfmodel.workload.classic.builder import best
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.symbols import Dim, product

#: Operations a score of what follows a decision.
_TRANSFORMS: Mapping[str, float] = {
    "NONE": 0, "SOFTMAX": VECTOR_OPS["softmax"], "SOFTMAX_ZERO": VECTOR_OPS["softmax"] + 1,
    "LOGISTIC": VECTOR_OPS["sigmoid"], "PROBIT": 2 * VECTOR_OPS["log"],
}  # fmt: skip

_KERNELS = {"LINEAR": "linear", "POLY": "poly", "RBF": "rbf", "SIGMOID": "sigmoid"}

#: Operations an element, and a sample, of a normalisation to the largest, the sum, or Euclid's.
_NORMS: Mapping[str, tuple[float, float]] = {"MAX": (6, 0), "L1": (6, 0), "L2": (6, 4)}


def _list(node: OnnxNode, name: str) -> Sequence[Any]:
    value = node.attributes.get(name, ())
    return cast("Sequence[Any]", value) if isinstance(value, tuple | list) else ()


def _text(node: OnnxNode, name: str, default: str) -> str:
    return str(node.attributes.get(name, default))


def classes_of(node: OnnxNode) -> int:
    """Return how many classes a classifier's labels name.

    Raises
    ------
    NotPricedError
        None.
    """
    for name in ("classlabels_ints", "classlabels_strings", "classlabels_int64s"):
        if found := len(_list(node, name)):
            return found
    raise NotPricedError("it names no classes")


def _columns(p: Pricer, node: OnnxNode) -> Tensor:
    """Return the samples as rows of features."""
    x = p.tensor(node.need(0))
    if len(x.shape) > 2:
        raise NotPricedError(f"samples are rows of features, not {len(x.shape)}-dimensional")
    return x if len(x.shape) == 2 else p.builder.view(x, (1, *x.shape), name="row")


def _store(p: Pricer, node: OnnxNode, name: str, shape: Sequence[Dim], tag: str = "") -> Tensor:
    """Declare what an attribute stores."""
    return p.builder.weight(f"{node.name or node.op}.{name}", shape, tag=tag)


def _finish(p: Pricer, node: OnnxNode, *made: Tensor) -> None:
    """Give the node's outputs the tensors that were made."""
    for edge, tensor in zip(node.outputs, made, strict=False):
        if edge is not None:
            edge.tensor = tensor


def _transformed(p: Pricer, node: OnnxNode, scores: Tensor) -> Tensor:
    """Add what turns scores into probabilities."""
    kind = _text(node, "post_transform", "NONE")
    each = _TRANSFORMS.get(kind)
    if each is None:
        raise NotPricedError(f"post_transform '{kind}' is not known")
    if not each:
        return scores
    function = "sigmoid" if kind == "LOGISTIC" else "softmax"
    if function == "softmax":
        return p.builder.softmax(scores, name=f"{node.op}.softmax")
    return p.builder.elementwise(function, scores, name=f"{node.op}.{function}", ops=each)


def scaler(p: Pricer, n: OnnxNode) -> None:
    """Price ``Scaler``: an offset and a scale of each feature."""
    x = p.tensor(n.need(0))
    width = max(len(_list(n, "offset")), len(_list(n, "scale")), 1)
    p.add(
        n, "elementwise", [x, _store(p, n, "moments", (2, width), "vector")],
        ops=product(2, x.elements), inplace=n.need(0), attributes={"function": "scale"},
    )  # fmt: skip


def normalizer(p: Pricer, n: OnnxNode) -> None:
    """Price ``Normalizer``: rows over their largest number, sum, or length."""
    x = n.need(0)
    kind = _text(n, "norm", "MAX")
    if kind not in _NORMS:
        raise NotPricedError(f"norm '{kind}' is not known")
    each, row = _NORMS[kind]
    rows = product(*x.known[:-1])
    p.add(
        n, "norm", [p.tensor(x)], ops=each * x.elements + row * rows, inplace=x,
        attributes={"function": f"normalise_{kind.lower()}"},
    )  # fmt: skip


def categories_of(node: OnnxNode) -> int:
    """Return how many categories a ``OneHotEncoder`` names.

    Raises
    ------
    NotPricedError
        None.
    """
    for name in ("cats_int64s", "cats_strings"):
        if found := len(_list(node, name)):
            return found
    raise NotPricedError("it names no categories")


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
    classes = classes_of(n)
    # Two classes may have one weight vector, or one each.
    one = classes == 2 and stored != 0 and _rows(stored, features) == 1
    scores = g.linear(x, 1 if one else classes, name=n.name or "classifier")
    label = g.elementwise("compare", scores, name="sign") if one else best(g, scores)
    _finish(p, n, label, _transformed(p, n, scores))


def _rows(stored: int, features: Dim) -> int:
    """Return how many weight vectors an attribute holds; 0 where the features are free."""
    return stored // features if isinstance(features, int) and features else 0


def support_vectors(p: Pricer, n: OnnxNode) -> None:
    """Price ``SVMClassifier`` and ``SVMRegressor`` as family ``svm``."""
    x = _columns(p, n)
    regression = n.op == "SVMRegressor"
    parameters = _list(n, "kernel_params")
    kernel = _KERNELS.get(_text(n, "kernel_type", "LINEAR"))
    if kernel is None:
        raise NotPricedError(f"kernel '{n.attributes.get('kernel_type')}' is not known")
    if regression:
        vectors, classes = int(n.whole("n_supports", 0)), 1
    else:
        vectors, classes = sum(map(int, _list(n, "vectors_per_class"))), classes_of(n)
    s = svm.SvmStructure.model_validate(
        {
            "features": 1, "kernel": kernel, "classes": classes, "support_vectors": vectors or None,
            "degree": max(int(parameters[2]), 1) if len(parameters) > 2 else 3,
            # Without support vectors the file holds one weight vector a class.
            "collapsed": vectors == 0, "machines": "one_vs_one" if vectors else "one_vs_rest",
        }
    )  # fmt: skip
    scores = svm.decide(p.builder, x, s, vectors)
    if regression:
        _finish(p, n, _transformed(p, n, scores))
        return
    label = svm.vote(p.builder, scores, s)
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
    outputs = int(n.whole("n_targets", 1)) if regression else classes_of(n)
    sums = _walked(p, n, x, shape, outputs, leaf_numbers)
    if regression:
        _finish(p, n, _transformed(p, n, sums))
        return
    scores = sums if outputs > 1 else p.builder.view(sums, (x.shape[0], 1), name="scores")
    _finish(p, n, best(p.builder, scores), _transformed(p, n, scores))


def _walked(p: Pricer, n: OnnxNode, x: Tensor, shape: _Forest, outputs: int, leaves: int) -> Tensor:
    """Add the walks through the trees, say what they are, and return the sums of their leaves."""
    p.notes.append(
        f"{n.label}: {shape.trees} trees, {shape.inner:g} nodes and {shape.depth:.2f} comparisons "
        "a walk, the mean depth of the leaves"
    )
    many = outputs > 1 and leaves > shape.trees * (shape.inner + 1)
    s = forest.ForestStructure.model_validate(
        {
            "features": 1, "trees": shape.trees, "depth": max(shape.depth, 1e-9),
            "nodes": max(shape.inner, 1e-9), "classes": outputs,
            "leaves": "value" if outputs == 1 else "distribution" if many else "label",
        }
    )  # fmt: skip
    return forest.walk(p.builder, x, s, trees=shape.trees, depth=shape.depth, inner=shape.inner)


#: ``post_transform`` of ``TreeEnsemble``, by its number.
_NUMBERED = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def ensemble(p: Pricer, n: OnnxNode) -> None:
    """Price ``TreeEnsemble`` (operator set 5), which names roots and tells leaves from nodes."""
    x = _columns(p, n)
    shape = _rooted(n)
    outputs, leaves = int(n.whole("n_targets", 1)), len(_list(n, "leaf_targetids"))
    transform = n.whole("post_transform", 0)
    if not 0 <= transform < len(_NUMBERED):
        raise NotPricedError(f"post_transform {transform} is not known")
    sums = _walked(p, n, x, shape, outputs, leaves)
    said = OnnxNode(n.op, n.name, n.inputs, n.outputs, {"post_transform": _NUMBERED[transform]})
    _finish(p, n, _transformed(p, said, sums))


def _rooted(node: OnnxNode) -> _Forest:
    """Read the trees of a ``TreeEnsemble`` from its roots.

    Raises
    ------
    NotPricedError
        Lists of different lengths, or nodes that lead nowhere or back.
    """
    names = ("nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs")
    yes, no, yes_leaf, no_leaf = (_list(node, name) for name in names)
    roots = _list(node, "tree_roots")
    count = len(yes)
    if not roots or not count == len(no) == len(yes_leaf) == len(no_leaf):
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


class _Forest:
    """Trees, nodes that compare a tree, and comparisons a walk, as means."""

    def __init__(self, trees: int, inner: float, depth: float) -> None:
        self.trees = trees
        self.inner = inner
        self.depth = depth


def _forest(node: OnnxNode) -> _Forest:
    """Read the trees of a node's attributes.

    Raises
    ------
    NotPricedError
        Lists of different lengths, or nodes that lead nowhere.
    """
    owner, number = _list(node, "nodes_treeids"), _list(node, "nodes_nodeids")
    modes = _list(node, "nodes_modes")
    yes, no = _list(node, "nodes_truenodeids"), _list(node, "nodes_falsenodeids")
    if not owner or not len(owner) == len(number) == len(modes) == len(yes) == len(no):
        raise NotPricedError("its lists of nodes are missing or of different lengths")
    children: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
    for tree, at, mode, left, right in zip(owner, number, modes, yes, no, strict=True):
        inner = mode != "LEAF"
        children[tree, at] = ((tree, left), (tree, right)) if inner else ()
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
