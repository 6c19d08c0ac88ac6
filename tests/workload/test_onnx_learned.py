"""Classical models in ONNX files: counts equal those of the families, faults are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.workload.families import family
from perfmodel.workload.workload import Workload, from_family

pytest.importorskip("onnx")

Write = Callable[..., Path]
BATCH, FEATURES = 3, 5


def operations(workload: Workload) -> tuple[float, float, float]:
    """Multiply-accumulates, operations beside them, stored numbers."""
    graph = workload.graph()
    ops = sum(workload.number(b.count * o.vector_ops) for b, o in graph.walk())
    return float(workload.macs), float(ops), float(workload.weights)


def model(name: str, **structure: Any) -> Workload:
    kind = family(name)
    made = kind.structure.model_validate({"features": FEATURES, **structure})
    return from_family(name, kind, made, {"batch": BATCH})


def learned(write: Write, op: str, outputs: int = 2, **attributes: Any) -> Workload:
    from onnx import helper

    names = ["label", "scores"][:outputs] if outputs > 1 else ["y"]
    node = helper.make_node(op, ["x"], names, name="model", domain="ai.onnx.ml", **attributes)
    path = write([node], {"x": [BATCH, FEATURES]}, names, domains=("ai.onnx.ml",))
    return pm.workload(str(path))


def vectors(kernel: str, per_class: list[int], **further: Any) -> dict[str, Any]:
    total, classes = sum(per_class), len(per_class)
    return {
        "kernel_type": kernel,
        "kernel_params": [0.5, 1.0, 4.0],
        "vectors_per_class": per_class,
        "support_vectors": [0.0] * total * FEATURES,
        "coefficients": [0.0] * total * (classes - 1),
        "rho": [0.0] * (classes * (classes - 1) // 2),
        "classlabels_ints": list(range(classes)),
        **further,
    }


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
@pytest.mark.parametrize("per_class", [[2, 3], [1, 2, 4]])
def test_support_vector_machines(onnx_file: Write, kernel: str, per_class: list[int]) -> None:
    read = learned(onnx_file, "SVMClassifier", **vectors(kernel, per_class))
    assert read.not_priced == ()
    same = model(
        "svm",
        kernel=kernel.lower(),
        classes=len(per_class),
        support_vectors=sum(per_class),
        degree=4,
        collapsed=False,
    )
    assert operations(read) == operations(same)


def test_probabilities_of_pairs_take_a_sigmoid_each(onnx_file: Write) -> None:
    plain = learned(onnx_file, "SVMClassifier", **vectors("RBF", [2, 2, 2]))
    made = learned(
        onnx_file,
        "SVMClassifier",
        **vectors("RBF", [2, 2, 2], prob_a=[1.0] * 3, prob_b=[0.0] * 3),
    )
    assert operations(made)[1] - operations(plain)[1] == 6 * BATCH * 3
    assert any("couple" in note for note in made.notes)


def test_a_machine_without_vectors_is_linear(onnx_file: Write) -> None:
    read = learned(
        onnx_file,
        "SVMClassifier",
        kernel_type="LINEAR",
        coefficients=[0.0] * 3 * FEATURES,
        rho=[0.0] * 3,
        classlabels_ints=[0, 1, 2],
    )
    assert read.macs == BATCH * FEATURES * 3


def test_regression_on_support_vectors(onnx_file: Write) -> None:
    read = learned(
        onnx_file,
        "SVMRegressor",
        1,
        kernel_type="RBF",
        kernel_params=[0.5, 0.0, 3.0],
        n_supports=7,
        support_vectors=[0.0] * 7 * FEATURES,
        coefficients=[0.0] * 7,
        rho=[0.0],
    )
    assert operations(read) == operations(model("svm", kernel="rbf", classes=1, support_vectors=7))


@pytest.mark.parametrize("classes", [2, 4])
def test_linear_classifiers(onnx_file: Write, classes: int) -> None:
    rows = 1 if classes == 2 else classes
    read = learned(
        onnx_file,
        "LinearClassifier",
        coefficients=[0.0] * rows * FEATURES,
        intercepts=[0.0] * rows,
        classlabels_strings=list("abcd")[:classes],
        post_transform="LOGISTIC" if classes == 2 else "SOFTMAX",
    )
    same = model("logistic_regression", classes=classes)
    label = BATCH * (1 if classes == 2 else classes - 1)
    macs, ops, weights = operations(same)
    assert operations(read) == (macs, ops + label, weights)


def test_linear_regression(onnx_file: Write) -> None:
    read = learned(
        onnx_file,
        "LinearRegressor",
        1,
        coefficients=[0.0] * 2 * FEATURES,
        targets=2,
        intercepts=[0.0] * 2,
    )
    assert operations(read) == operations(model("logistic_regression", classes=2, output="value"))


def complete(trees: int, depth: int) -> dict[str, Any]:
    """Node lists of complete trees in heap order."""
    inner, total = 2**depth - 1, 2 ** (depth + 1) - 1
    owner = [t for t in range(trees) for _ in range(total)]
    number = list(range(total)) * trees
    branch = [i < inner for i in number]
    return {
        "nodes_treeids": owner,
        "nodes_nodeids": number,
        "nodes_featureids": [i % FEATURES for i in number],
        "nodes_modes": ["BRANCH_LEQ" if b else "LEAF" for b in branch],
        "nodes_values": [0.5] * len(owner),
        "nodes_truenodeids": [2 * i + 1 if b else 0 for i, b in zip(number, branch, strict=True)],
        "nodes_falsenodeids": [2 * i + 2 if b else 0 for i, b in zip(number, branch, strict=True)],
    }


@pytest.mark.parametrize(("trees", "depth"), [(1, 1), (4, 3)])
def test_forests(onnx_file: Write, trees: int, depth: int) -> None:
    leaves = trees * 2**depth
    read = learned(
        onnx_file,
        "TreeEnsembleClassifier",
        **complete(trees, depth),
        class_ids=[c for _ in range(leaves) for c in range(3)],
        class_weights=[0.3] * 3 * leaves,
        class_treeids=[0] * 3 * leaves,
        class_nodeids=[0] * 3 * leaves,
        classlabels_int64s=[0, 1, 2],
    )
    same = model("random_forest", trees=trees, depth=depth, classes=3, leaves="distribution")
    assert operations(read) == operations(same)
    assert any("mean depth" in note for note in read.notes)


def test_paths_of_trees_that_lean(onnx_file: Write) -> None:
    """A chain of 3 that compare has leaves at 1, 2, 3 and 3."""
    read = learned(
        onnx_file,
        "TreeEnsembleRegressor",
        1,
        nodes_treeids=[0] * 7,
        nodes_nodeids=list(range(7)),
        nodes_featureids=[0] * 7,
        nodes_values=[0.0] * 7,
        nodes_modes=["BRANCH_LT", "LEAF", "BRANCH_LT", "LEAF", "BRANCH_LT", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 3, 0, 5, 0, 0],
        nodes_falsenodeids=[2, 0, 4, 0, 6, 0, 0],
        target_weights=[1.0] * 4,
        target_ids=[0] * 4,
        target_treeids=[0] * 4,
        target_nodeids=[1, 3, 5, 6],
        n_targets=1,
    )
    walk = next(o for _, o in read.graph().walk() if o.kind == "tree")
    assert read.number(walk.vector_ops) == pytest.approx(2 * BATCH * (1 + 2 + 3 + 3) / 4)
    assert read.weights == 3 * 4 + 4


def test_a_pipeline_is_priced_as_a_whole(onnx_file: Write) -> None:
    from onnx import helper

    def node(op: str, reads: str, writes: list[str], **attributes: Any) -> Any:
        return helper.make_node(op, [reads], writes, name=op, domain="ai.onnx.ml", **attributes)

    path = onnx_file(
        [
            node("Scaler", "x", ["a"], offset=[0.0] * FEATURES, scale=[1.0] * FEATURES),
            node("Normalizer", "a", ["b"], norm="L2"),
            node(
                "LinearClassifier",
                "b",
                ["label", "scores"],
                classlabels_ints=[0, 1, 2],
                coefficients=[0.0] * 3 * FEATURES,
                intercepts=[0.0] * 3,
            ),
            node("ZipMap", "scores", ["map"], classlabels_int64s=[0, 1, 2]),
        ],
        {"x": ["samples", FEATURES]},
        ["label", "map"],
        domains=("ai.onnx.ml",),
    )
    read = pm.workload(str(path), samples=np.array([1, 2, 4]))
    assert read.not_priced == ()
    assert np.array_equal(read.macs, np.array([1, 2, 4]) * 3 * FEATURES)
    latency = pm.predict(read, "raspberry_pi_4").latency_s
    assert np.all(np.diff(latency) > 0)


@pytest.mark.parametrize(
    ("op", "attributes", "said"),
    [
        ("SVMClasifier", {}, "did you mean 'SVMClassifier'?"),
        ("SVMClassifier", {"classlabels_ints": [0, 1], "kernel_type": "CUBIC"}, "CUBIC"),
        ("LinearClassifier", {"coefficients": [1.0]}, "names no classes"),
        ("TreeEnsembleClassifier", {"classlabels_int64s": [0, 1]}, "lists of nodes"),
        (
            "TreeEnsembleClassifier",
            {
                "classlabels_int64s": [0, 1],
                "nodes_treeids": [0],
                "nodes_nodeids": [0],
                "nodes_modes": ["BRANCH_LEQ"],
                "nodes_truenodeids": [4],
                "nodes_falsenodeids": [5],
            },
            "has a missing child",
        ),
        (
            "TreeEnsembleClassifier",
            {
                "classlabels_int64s": [0, 1],
                "nodes_treeids": [0, 0],
                "nodes_nodeids": [0, 1],
                "nodes_modes": ["BRANCH_LEQ"] * 2,
                "nodes_truenodeids": [1, 0],
                "nodes_falsenodeids": [1, 0],
            },
            "cycle",
        ),
    ],
)
def test_what_cannot_be_priced_says_why(
    onnx_file: Write, op: str, attributes: dict[str, Any], said: str
) -> None:
    read = learned(onnx_file, op, **attributes)
    assert any(said in text for text in read.not_priced), read.not_priced


def test_tree_ensemble_of_set_5_walks_from_its_roots(onnx_file: Any) -> None:
    """Two trees by hand: one comparison with two leaves, and a chain with leaves at 1, 2 and 2."""
    from onnx import TensorProto, helper

    def numbers(kind: int, values: list[float]) -> Any:
        return helper.make_tensor("n", kind, [len(values)], values)

    def network(**changed: Any) -> Any:
        attributes: dict[str, Any] = {
            "tree_roots": [0, 1],
            "n_targets": 1,
            "post_transform": 2,
            "aggregate_function": 1,
            "nodes_modes": numbers(TensorProto.UINT8, [0, 0, 0]),
            "nodes_splits": numbers(TensorProto.FLOAT, [0.5, 0.1, 0.2]),
            "nodes_featureids": [0, 1, 0],
            "nodes_truenodeids": [0, 2, 3],
            "nodes_falsenodeids": [1, 2, 4],
            "nodes_trueleafs": [1, 1, 1],
            "nodes_falseleafs": [1, 0, 1],
            "leaf_targetids": [0] * 5,
            "leaf_weights": numbers(TensorProto.FLOAT, [1.0] * 5),
            **changed,
        }
        node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
        return pm.workload(onnx_file([node], {"x": [8, 3]}, ["y"], domains=("ai.onnx.ml",)))

    workload = network()
    graph = workload.graph()
    assert graph.not_priced == ()
    assert any("2 trees, 1.5 nodes and 1.40 comparisons" in note for note in workload.notes)
    assert graph.tensors[graph.outputs[0]].elements == 8
    circle = network(nodes_falsenodeids=[1, 1, 4])
    assert "form a cycle" in circle.graph().not_priced[0]
    nowhere = network(tree_roots=[0, 7])
    assert "node 7 has a missing child" in nowhere.graph().not_priced[0]


def test_one_hot_encoder_adds_an_axis_of_its_categories(onnx_file: Any) -> None:
    from onnx import helper

    node = helper.make_node(
        "OneHotEncoder", ["x"], ["y"], domain="ai.onnx.ml", cats_int64s=[1, 2, 3, 4, 5]
    )
    graph = pm.workload(onnx_file([node], {"x": [8, 3]}, ["y"], domains=("ai.onnx.ml",))).graph()
    assert graph.not_priced == ()
    assert graph.tensors["y"].shape == (8, 3, 5)
