"""Classical models of domain ``ai.onnx.ml``: scalers, linear models, SVMs, tree ensembles.

skl2onnx and others export such models (onnx/onnx, docs/Operators-ml.md). A node stores its
parameters in attributes, not in initializers. A ``price_*`` function reads the sizes of a family of
classical models (``workloads/families/svm.yaml``, ``random_forest.yaml``) from them and adds the
family's operators to the graph with `add_block`; a ``*_shape`` function sets the shapes of labels
and scores. A library's own forest or support vector machine may store its tables differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, Shape
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
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


def price_scaler(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``Scaler``: ``(x - offset) * scale``, 2 operations per element."""
    x = pricer.tensor(node.require(0))
    width = max(len(_list_attribute(node, "offset")), len(_list_attribute(node, "scale")), 1)
    moments = pricer.builder.weight(f"{node.name or node.op}.moments", (2, width), tag="vector")
    pricer.add(
        node,
        "elementwise",
        [x, moments],
        ops=product(2, x.elements),
        inplace=node.require(0),
        function="scale",
    )


def price_normalizer(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``Normalizer``: each row divided by its largest number, sum, or 2-norm.

    Six operations per element (`_NORMS`), and 4 more per row for the root of the 2-norm.
    """
    x = node.require(0)
    kind = node.text("norm", "MAX")
    if kind not in _NORMS:
        raise NotPricedError(f"norm '{kind}' is not known")
    each, row = _NORMS[kind]
    pricer.add(
        node,
        "norm",
        [x],
        ops=each * x.elements + row * product(*x.extents[:-1]),
        inplace=x,
        function=f"normalise_{kind.lower()}",
    )


def price_linear_model(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``LinearClassifier`` and ``LinearRegressor`` as one product, ``N D C`` for C scores."""
    x = _feature_rows(pricer, node)
    builder = pricer.builder
    features = x.shape[1]
    coefficient_count = len(_list_attribute(node, "coefficients"))
    if node.op == "LinearRegressor":
        targets = int(node.integer("targets", 1))
        _assign_outputs(
            pricer,
            node,
            _add_post_transform(
                pricer, node, builder.linear(x, targets, name=node.name or "regressor")
            ),
        )
        return
    classes = _class_count(node)
    # Two classes have either one weight vector or two.
    has_one_vector = (
        classes == 2
        and coefficient_count != 0
        and _stored_weight_vectors(coefficient_count, features) == 1
    )
    scores = builder.linear(x, 1 if has_one_vector else classes, name=node.name or "classifier")
    label = (
        builder.elementwise("compare", scores, name="sign")
        if has_one_vector
        else _add_argmax(pricer, scores)
    )
    _assign_outputs(pricer, node, label, _add_post_transform(pricer, node, scores))


def _stored_weight_vectors(stored: int, features: Dim) -> int:
    """Return the number of weight vectors in an attribute; 0 if the features are free."""
    return stored // features if isinstance(features, int) and features else 0


def price_support_vectors(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``SVMClassifier`` and ``SVMRegressor`` as family ``svm``.

    ``f(x) = sum_i a_i K(v_i, x) + b`` over the support vectors (Cortes and Vapnik, 1995), one
    decision for each pair of classes. Without support vectors the file stores one weight vector per
    class.
    """
    x = _feature_rows(pricer, node)
    regression = node.op == "SVMRegressor"
    parameters = _list_attribute(node, "kernel_params")
    kernel = node.text("kernel_type", "LINEAR").lower()
    if kernel not in _KERNELS:
        raise NotPricedError(f"kernel '{node.attributes.get('kernel_type')}' is not known")
    if regression:
        vectors, classes = int(node.integer("n_supports", 0)), 1
    else:
        vectors, classes = (
            sum(map(int, _list_attribute(node, "vectors_per_class"))),
            _class_count(node),
        )
    shape = {
        "kernel": kernel,
        "classes": classes,
        "degree": max(int(parameters[2]), 1) if len(parameters) > 2 else 3,
        # Without support vectors the file stores one weight vector per class.
        "collapsed": vectors == 0,
        "machines": "one_vs_one" if vectors else "one_vs_rest",
    }
    scores = add_block(pricer.builder, "svm", "decide", {"x": x}, vectors=vectors, **shape)
    if regression:
        _assign_outputs(pricer, node, _add_post_transform(pricer, node, scores))
        return
    label = add_block(pricer.builder, "svm", "vote", {"x": scores}, **shape)
    if _list_attribute(node, "prob_a"):
        pricer.notes.append(
            f"{node.label}: probabilities of pairs are priced (a sigmoid each), the iterations "
            "that couple them are not"
        )
        scores = pricer.builder.elementwise("sigmoid", scores, name="pair.sigmoid")
        if classes > 2:
            scores = pricer.builder.copy([scores], (x.shape[0], classes), name="pair.join")
    _assign_outputs(pricer, node, label, _add_post_transform(pricer, node, scores))


def price_trees(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``TreeEnsembleClassifier`` and ``TreeEnsembleRegressor`` as family ``random_forest``.

    A sample takes d comparisons, each with a lookup of its feature, in each of T trees, ``T d`` in
    all, and the sum of T leaves. The mean path d is taken as the mean depth of the leaves, because
    the file does not state how often each is reached. On scikit-learn's forests over its data sets
    (digits, breast cancer, wine, diabetes, 4000 generated samples; fully grown, or to depth 6) that
    is 3 % below to 10 % above the mean path of other samples, on iris 32 % above; assuming that
    each branch is taken half of the time would be 5 to 37 % below.
    """
    x = _feature_rows(pricer, node)
    shape = _read_unrooted_trees(node)
    regression = node.op.endswith("Regressor")
    leaf_numbers = len(_list_attribute(node, "target_weights" if regression else "class_weights"))
    outputs = int(node.integer("n_targets", 1)) if regression else _class_count(node)
    sums = _add_tree_walks(pricer, node, x, shape, outputs, leaf_numbers)
    if regression:
        _assign_outputs(pricer, node, _add_post_transform(pricer, node, sums))
        return
    scores = sums if outputs > 1 else pricer.builder.view(sums, (x.shape[0], 1), name="scores")
    _assign_outputs(
        pricer, node, _add_argmax(pricer, scores), _add_post_transform(pricer, node, scores)
    )


def _add_tree_walks(
    pricer: Pricer, node: OnnxNode, x: Tensor, shape: _Forest, outputs: int, leaves: int
) -> Tensor:
    """Add the walks through the trees, note their sizes, and return the sums of their leaves."""
    pricer.notes.append(
        f"{node.label}: {shape.trees} trees, {shape.inner:g} nodes and {shape.depth:.2f} "
        "comparisons a walk, the mean depth of the leaves"
    )
    has_distributions = outputs > 1 and leaves > shape.trees * (shape.inner + 1)
    kind = "value" if outputs == 1 else "distribution" if has_distributions else "label"
    sizes = shape._asdict()
    return add_block(
        pricer.builder, "random_forest", "walk", {"x": x}, classes=outputs, leaves=kind, **sizes
    )


def price_tree_ensemble(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``TreeEnsemble`` (operator set 5), which states roots and separates leaves."""
    x = _feature_rows(pricer, node)
    shape = _read_rooted_trees(node)
    outputs = int(node.integer("n_targets", 1))
    leaves = len(_list_attribute(node, "leaf_targetids"))
    transform = node.integer("post_transform", 0)
    if not 0 <= transform < len(_TRANSFORMS):
        raise NotPricedError(f"post_transform {transform} is not known")
    sums = _add_tree_walks(pricer, node, x, shape, outputs, leaves)
    _assign_outputs(
        pricer, node, _add_post_transform(pricer, node, sums, list(_TRANSFORMS)[transform])
    )


class _Forest(NamedTuple):
    """Number of trees, mean inner nodes per tree, and mean comparisons per walk."""

    trees: int
    inner: float
    depth: float


class _NodeId(NamedTuple):
    """A node of a forest: its tree (``None`` if numbering is global), and its number."""

    tree: object
    number: object


def _node_lists(node: OnnxNode, *names: str) -> list[Sequence[Any]]:
    """Return the lists that describe the nodes of trees.

    Raises
    ------
    NotPricedError
        The lists are missing, or of different lengths.
    """
    lists = [_list_attribute(node, f"nodes_{name}") for name in names]
    if not lists[0] or len(set(map(len, lists))) > 1:
        raise NotPricedError("its lists of nodes are missing or of different lengths")
    return lists


def _measure_forest(
    children: Mapping[_NodeId, Sequence[_NodeId]], roots: Sequence[_NodeId], *, all_reached: bool
) -> _Forest:
    """Return the number of trees, their mean size, and the mean depth of their leaves.

    Depth-first traversal from the roots.

    Parameters
    ----------
    children
        Node -> its two children; empty for a leaf.
    all_reached
        Whether every node must be reachable from a root; unreachable ones form a cycle.

    Raises
    ------
    NotPricedError
        A node points to a missing node, or the nodes form a cycle.
    """
    visited: set[_NodeId] = set()
    depths: list[int] = []
    pending = [(root, 0) for root in roots]
    while pending:
        visit, depth = pending.pop()
        if visit not in children:
            tree = "" if visit.tree is None else f" of tree {visit.tree}"
            raise NotPricedError(f"node {visit.number}{tree} has a missing child")
        if visit in visited:
            raise NotPricedError("its nodes form a cycle")
        visited.add(visit)
        pending += [(child, depth + 1) for child in children[visit]]
        if not children[visit]:
            depths.append(depth)
    if not roots or (all_reached and len(visited) < len(children)):
        raise NotPricedError("its nodes form a cycle")
    count = len(roots)
    return _Forest(count, (len(visited) - len(depths)) / count, sum(depths) / max(len(depths), 1))


def _read_rooted_trees(node: OnnxNode) -> _Forest:
    """Read the trees of a ``TreeEnsemble`` from its roots; leaves are numbered separately."""
    names = "truenodeids", "falsenodeids", "trueleafs", "falseleafs"
    true_children, false_children, true_is_leaf, false_is_leaf = _node_lists(node, *names)
    children: dict[_NodeId, Sequence[_NodeId]] = {}
    for number, sides in enumerate(
        zip(true_children, false_children, true_is_leaf, false_is_leaf, strict=True)
    ):
        # A leaf is identified by its parent and side.
        ends = [
            _NodeId("leaf", (number, i)) if sides[i + 2] else _NodeId(None, sides[i])
            for i in range(2)
        ]
        children |= {_NodeId(None, number): ends, **{end: () for end in ends if end.tree}}
    roots = [_NodeId(None, root) for root in _list_attribute(node, "tree_roots")]
    return _measure_forest(children, roots, all_reached=False)


def _read_unrooted_trees(node: OnnxNode) -> _Forest:
    """Read the trees of the older ensembles, whose roots are the nodes that no node points to."""
    lists = _node_lists(node, "treeids", "nodeids", "modes", "truenodeids", "falsenodeids")
    children: dict[_NodeId, Sequence[_NodeId]] = {
        _NodeId(tree, number): (_NodeId(tree, left), _NodeId(tree, right)) if mode != "LEAF" else ()
        for tree, number, mode, left, right in zip(*lists, strict=True)
    }
    referenced = {child for pair in children.values() for child in pair}
    roots = [each for each in children if each not in referenced]
    return _measure_forest(children, roots, all_reached=True)


# Shape rules: a label and scores per sample, or a transformed input.


def _rows_of_samples(node: OnnxNode) -> Shape:
    """Return the axes of the samples: ``(N,)``, or ``(1,)`` for a single sample."""
    x = node.shape(0)
    return x[:1] if len(x) > 1 else (1,)


def label_encoder_shape(node: OnnxNode) -> None:
    """Set the shape of ``LabelEncoder``: that of its input, ``int64`` if it encodes to integers."""
    labels = any(key.startswith(("values_int", "default_int")) for key in node.attributes)
    set_output(node, node.shape(0), format="int64" if labels else "")


def classifier_shape(node: OnnxNode) -> None:
    """Set the shapes of labels ``(N,)`` and scores ``(N, C)``.

    A support vector machine without probabilities returns ``C (C - 1) / 2`` scores, one for each
    pair of classes.
    """
    rows, count = _rows_of_samples(node), _class_count(node)
    set_output(node, rows, format="int64")
    pairs = "vectors_per_class" in node.attributes and "prob_a" not in node.attributes
    set_output(node, (*rows, count * (count - 1) // 2 if pairs and count > 2 else count), 1)


def regressor_shape(node: OnnxNode) -> None:
    """Set the shape of a regressor: ``(N, targets)``."""
    name = "n_targets" if node.op.startswith("Tree") else "targets"
    set_output(node, (*_rows_of_samples(node), int(node.integer(name, 1))))


def one_hot_encoder_shape(node: OnnxNode) -> None:
    """Set the shape of ``OneHotEncoder``: ``x.shape + (categories,)``."""
    set_output(
        node,
        (*node.shape(0), _count_labels(node, "categories", "cats_int64s", "cats_strings")),
        format="",
    )


def feature_extractor_shape(node: OnnxNode) -> None:
    """Set the shape of ``ArrayFeatureExtractor``: ``x[:-1] + (indices,)``."""
    x, y = node.shape(0), node.require(1)
    set_output(node, (*x[:-1], y.elements))


def _list_attribute(node: OnnxNode, name: str) -> Sequence[Any]:
    """Return an attribute that is a list; empty if it is absent."""
    value = node.attributes.get(name, ())
    return cast("Sequence[Any]", value) if isinstance(value, tuple | list) else ()


def _class_count(node: OnnxNode) -> int:
    """Return the number of classes that a classifier labels.

    Raises
    ------
    NotPricedError
        The node has no labels.
    """
    names = "classlabels_ints", "classlabels_strings", "classlabels_int64s"
    return _count_labels(node, "classes", *names)


def _count_labels(node: OnnxNode, what: str, *names: str) -> int:
    """Return the length of the first of several list attributes that is not empty."""
    count = next(filter(None, (len(_list_attribute(node, name)) for name in names)), 0)
    if not count:
        raise NotPricedError(f"it names no {what}")
    return count


def _feature_rows(pricer: Pricer, node: OnnxNode) -> Tensor:
    """Return the samples as rows of features."""
    x = pricer.tensor(node.require(0))
    if len(x.shape) > 2:
        raise NotPricedError(f"samples are rows of features, not {len(x.shape)}-dimensional")
    return x if len(x.shape) == 2 else pricer.builder.view(x, (1, *x.shape), name="row")


def _assign_outputs(pricer: Pricer, node: OnnxNode, *tensors: Tensor) -> None:
    """Assign tensors to the outputs of a node."""
    for edge, tensor in zip(node.outputs, tensors, strict=False):
        if edge is not None:
            edge.tensor = tensor


def _add_post_transform(pricer: Pricer, node: OnnxNode, scores: Tensor, kind: str = "") -> Tensor:
    """Add the transform from scores to probabilities, and return its result."""
    kind = kind or node.text("post_transform", "NONE")
    each = _TRANSFORMS.get(kind)
    if each is None:
        raise NotPricedError(f"post_transform '{kind}' is not known")
    if not each:
        return scores
    function = "sigmoid" if kind == "LOGISTIC" else "softmax"
    if function == "softmax":
        return pricer.builder.softmax(scores, name=f"{node.op}.softmax")
    return pricer.builder.elementwise(function, scores, name=f"{node.op}.{function}", ops=each)


def _add_argmax(pricer: Pricer, scores: Tensor) -> Tensor:
    """Add the argmax of each row of scores."""
    return add_block(pricer.builder, "knn", "best", {"x": scores}, function="argmax")
