"""Shapes and prices of domain ``ai.onnx.ml``: classical models, exported by skl2onnx and others.

Such a node stores its parameters in attributes, not in initializers. The fields of a family of
classical models (`add_block`) are read from them, and the family's operators are added to the
graph. A library's own forest or support vector machine may lay its tables out differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, Shape
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.symbols import Dim, product
from perfmodel.workload.template_family import add_block
from perfmodel.workload.vector_functions import VECTOR_OPS

#: Operations per score after the decision, in the order of the numbers of ``TreeEnsemble``.
_TRANSFORMS: Mapping[str, float] = {
    "NONE": 0,
    "SOFTMAX": VECTOR_OPS["softmax"],
    "LOGISTIC": VECTOR_OPS["sigmoid"],
    "SOFTMAX_ZERO": VECTOR_OPS["softmax"] + 1,
    "PROBIT": 2 * VECTOR_OPS["log"],
}

_KERNELS = frozenset({"linear", "poly", "rbf", "sigmoid"})

#: Operations per element, and per sample, of normalisations by largest number, sum and 2-norm.
_NORMS: Mapping[str, tuple[float, float]] = {"MAX": (6, 0), "L1": (6, 0), "L2": (6, 4)}


def _list(node: OnnxNode, name: str) -> Sequence[Any]:
    value = node.attributes.get(name, ())
    return cast("Sequence[Any]", value) if isinstance(value, tuple | list) else ()


def _classes(node: OnnxNode) -> int:
    """Return the number of classes that a classifier labels.

    Raises
    ------
    NotPricedError
        The node has no labels.
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


def _finish(p: Pricer, node: OnnxNode, *tensors: Tensor) -> None:
    """Assign tensors to the node's outputs."""
    for edge, tensor in zip(node.outputs, tensors, strict=False):
        if edge is not None:
            edge.tensor = tensor


def _transformed(p: Pricer, node: OnnxNode, scores: Tensor, kind: str = "") -> Tensor:
    """Add the transform from scores to probabilities."""
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
    """Add the argmax of each row of scores."""
    return add_block(p.builder, "knn", "best", {"x": scores}, function="argmax")


def scaler(p: Pricer, n: OnnxNode) -> None:
    """Price ``Scaler``: an offset and a scale per feature (2 operations per element)."""
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
    """Price ``Normalizer``: divide each row by its largest number, sum, or 2-norm."""
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
    """Price ``LinearClassifier`` and ``LinearRegressor`` as one matrix product."""
    x = _columns(p, n)
    g = p.builder
    features = x.shape[1]
    stored = len(_list(n, "coefficients"))
    if n.op == "LinearRegressor":
        targets = int(n.integer("targets", 1))
        _finish(p, n, _transformed(p, n, g.linear(x, targets, name=n.name or "regressor")))
        return
    classes = _classes(n)
    # Two classes have either one weight vector or two.
    one = classes == 2 and stored != 0 and _rows(stored, features) == 1
    scores = g.linear(x, 1 if one else classes, name=n.name or "classifier")
    label = g.elementwise("compare", scores, name="sign") if one else _best(p, scores)
    _finish(p, n, label, _transformed(p, n, scores))


def _rows(stored: int, features: Dim) -> int:
    """Return the number of weight vectors in an attribute; 0 if the features are free."""
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
        vectors, classes = int(n.integer("n_supports", 0)), 1
    else:
        vectors, classes = sum(map(int, _list(n, "vectors_per_class"))), _classes(n)
    shape = {
        "kernel": kernel,
        "classes": classes,
        "degree": max(int(parameters[2]), 1) if len(parameters) > 2 else 3,
        # Without support vectors the file stores one weight vector per class.
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

    The mean path is taken as the mean depth of the leaves, because the file does not state how
    often each is reached. On scikit-learn's forests over its data sets (digits, breast cancer,
    wine, diabetes, 4000 generated samples; fully grown, or to depth 6) that is 3 % below to 10 %
    above the mean path of other samples, on iris 32 % above; assuming that each branch is taken
    half of the time would be 5 to 37 % below.
    """
    x = _columns(p, n)
    shape = _forest(n)
    regression = n.op.endswith("Regressor")
    leaf_numbers = len(_list(n, "target_weights" if regression else "class_weights"))
    outputs = int(n.integer("n_targets", 1)) if regression else _classes(n)
    sums = _walked(p, n, x, shape, outputs, leaf_numbers)
    if regression:
        _finish(p, n, _transformed(p, n, sums))
        return
    scores = sums if outputs > 1 else p.builder.view(sums, (x.shape[0], 1), name="scores")
    _finish(p, n, _best(p, scores), _transformed(p, n, scores))


def _walked(p: Pricer, n: OnnxNode, x: Tensor, shape: _Forest, outputs: int, leaves: int) -> Tensor:
    """Add the walks through the trees, note their sizes, and return the sums of their leaves."""
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
    """Price ``TreeEnsemble`` (operator set 5), which states roots and separates leaves."""
    x = _columns(p, n)
    shape = _rooted(n)
    outputs, leaves = int(n.integer("n_targets", 1)), len(_list(n, "leaf_targetids"))
    transform = n.integer("post_transform", 0)
    if not 0 <= transform < len(_TRANSFORMS):
        raise NotPricedError(f"post_transform {transform} is not known")
    sums = _walked(p, n, x, shape, outputs, leaves)
    _finish(p, n, _transformed(p, n, sums, list(_TRANSFORMS)[transform]))


class _Forest(NamedTuple):
    """Number of trees, mean inner nodes per tree, and mean comparisons per walk."""

    trees: int
    inner: float
    depth: float


#: A node of a forest: its tree (``None`` if numbering is global), and its number.
_Place: TypeAlias = tuple[object, object]


def _node_lists(node: OnnxNode, *names: str) -> list[Sequence[Any]]:
    """Return the lists that describe the nodes of trees.

    Raises
    ------
    NotPricedError
        The lists are missing, or of different lengths.
    """
    lists = [_list(node, f"nodes_{name}") for name in names]
    if not lists[0] or len(set(map(len, lists))) > 1:
        raise NotPricedError("its lists of nodes are missing or of different lengths")
    return lists


def _measured(
    children: Mapping[_Place, Sequence[_Place]], roots: Sequence[_Place], *, all_reached: bool
) -> _Forest:
    """Return the number of trees, their mean size, and the mean depth of their leaves.

    Parameters
    ----------
    all_reached
        Whether every node must be reachable from a root; unreachable ones form a cycle.

    Raises
    ------
    NotPricedError
        A node points to a missing node, or the nodes form a cycle.
    """
    seen: set[_Place] = set()
    depths: list[int] = []
    waiting = [(root, 0) for root in roots]
    while waiting:
        place, depth = waiting.pop()
        if place not in children:
            tree = "" if place[0] is None else f" of tree {place[0]}"
            raise NotPricedError(f"node {place[1]}{tree} leads nowhere")
        if place in seen:
            raise NotPricedError("its nodes form a circle")
        seen.add(place)
        waiting += [(child, depth + 1) for child in children[place]]
        if not children[place]:
            depths.append(depth)
    if not roots or (all_reached and len(seen) < len(children)):
        raise NotPricedError("its nodes form a circle")
    count = len(roots)
    return _Forest(count, (len(seen) - len(depths)) / count, sum(depths) / max(len(depths), 1))


def _rooted(node: OnnxNode) -> _Forest:
    """Read the trees of a ``TreeEnsemble`` from its roots; leaves are numbered separately."""
    names = "truenodeids", "falsenodeids", "trueleafs", "falseleafs"
    yes, no, yes_leaf, no_leaf = _node_lists(node, *names)
    children: dict[_Place, Sequence[_Place]] = {}
    for at, sides in enumerate(zip(yes, no, yes_leaf, no_leaf, strict=True)):
        # A leaf is identified by its parent and side.
        ends = [("leaf", (at, i)) if sides[i + 2] else (None, sides[i]) for i in range(2)]
        children |= {(None, at): ends, **{end: () for end in ends if end[0]}}
    roots: list[_Place] = [(None, root) for root in _list(node, "tree_roots")]
    return _measured(children, roots, all_reached=False)


def _forest(node: OnnxNode) -> _Forest:
    """Read the trees of the older ensembles, whose roots are the nodes that no node points to."""
    lists = _node_lists(node, "treeids", "nodeids", "modes", "truenodeids", "falsenodeids")
    children: dict[_Place, Sequence[_Place]] = {
        (tree, at): ((tree, left), (tree, right)) if mode != "LEAF" else ()
        for tree, at, mode, left, right in zip(*lists, strict=True)
    }
    pointed = {child for pair in children.values() for child in pair}
    roots = [place for place in children if place not in pointed]
    return _measured(children, roots, all_reached=True)


# Shape rules: a label and scores per sample, or a transformed input.


def _samples(node: OnnxNode) -> Shape:
    x = node.shape(0)
    return x[:1] if len(x) > 1 else (1,)


def encoded(node: OnnxNode) -> None:
    """Set the shape of ``LabelEncoder``: that of its input, ``int64`` if it encodes to integers."""
    labels = any(key.startswith(("values_int", "default_int")) for key in node.attributes)
    give(node, node.shape(0), format="int64" if labels else "")


def classifier(node: OnnxNode) -> None:
    """Set the shapes of labels and of scores per class, or per pair of classes.

    A support vector machine without probabilities returns a score per pair.
    """
    rows, count = _samples(node), _classes(node)
    give(node, rows, format="int64")
    pairs = "vectors_per_class" in node.attributes and "prob_a" not in node.attributes
    give(node, (*rows, count * (count - 1) // 2 if pairs and count > 2 else count), 1)


def regressor(node: OnnxNode) -> None:
    """Set the shape of a regressor: one number per sample and target."""
    name = "n_targets" if node.op.startswith("Tree") else "targets"
    give(node, (*_samples(node), int(node.integer(name, 1))))


def one_hot(node: OnnxNode) -> None:
    """Set the shape of ``OneHotEncoder``: an additional axis, one position per category."""
    give(
        node, (*node.shape(0), _named(node, "categories", "cats_int64s", "cats_strings")), format=""
    )


def columns(node: OnnxNode) -> None:
    """Set the shape of ``ArrayFeatureExtractor``: one column per index."""
    x, y = node.shape(0), node.need(1)
    give(node, (*x[:-1], y.elements))
