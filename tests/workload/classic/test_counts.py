"""Operations of classical models equal those of an implementation that counts what it does.

A multiply-accumulate is a product and an addition; a division and an exponential weigh 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.workload.families import family
from perfmodel.workload.workload import Workload, from_family
from tests.draws import draws
from tests.workload.classic import counting as c

WEIGHTS = {"div": 4, "exp": 4}
few = st.integers(1, 5)


def model(name: str, batch: int = 1, **structure: Any) -> Workload:
    kind = family(name)
    made = kind.structure.model_validate(structure)
    return from_family(name, kind, made, {"batch": batch})


def operations(workload: Workload) -> float:
    graph = workload.graph()
    ops = sum(
        workload.number(block.count * operator.vector_ops) for block, operator in graph.walk()
    )
    return 2 * float(workload.macs) + ops


def counted(run: Callable[[c.Tally], None]) -> float:
    tally = c.Tally()
    run(tally)
    return sum(n * WEIGHTS.get(name, 1) for name, n in tally.done.items())


def data(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).normal(size=shape)


@given(
    few, few, few, st.integers(2, 4), st.sampled_from(["rbf", "poly", "linear"]), st.integers(1, 9)
)
@settings(deadline=None, max_examples=draws(30))
def test_svm_one_machine_a_pair(
    batch: int, features: int, vectors: int, classes: int, kernel: str, degree: int
) -> None:
    """libsvm: a vector of class a has a coefficient in each machine of a and another class."""

    def run(t: c.Tally) -> None:
        xs, points = t.numbers(data(batch, features)), t.numbers(data(vectors, features))
        home = [i % classes for i in range(vectors)]
        gamma = t.number(0.5)
        for x in xs:
            k = []
            for point in points:
                if kernel == "rbf":
                    k.append((c.squared(t, x, point) * gamma).exp())
                    continue
                # The first product of a sum needs no addition in the first place; the model
                # starts all sums at 0, as code does.
                value = c.dot(t, x, point, t.number(0))
                if kernel == "poly":
                    value = c.power(value * gamma + gamma, degree)
                k.append(value)
            votes = [t.number(0) for _ in range(classes)]
            pairs = [(a, b) for a in range(classes) for b in range(a)]
            for a, b in pairs:
                f = t.number(0)
                for i in range(vectors):
                    if home[i] in (a, b):
                        f = f + k[i] * t.number(1)
                f = f + t.number(0.1)
                wins = f > t.number(0)
                if classes > 2:
                    at = a if wins else b
                    votes[at] = votes[at] + t.number(1)
            if classes > 2:
                c.argmax(votes)

    workload = model(
        "svm",
        batch,
        kernel=kernel,
        features=features,
        support_vectors=vectors,
        classes=classes,
        degree=degree,
        collapsed=False,
    )
    assert operations(workload) == counted(run)


@given(few, few, st.integers(1, 4))
@settings(deadline=None, max_examples=draws(20))
def test_linear_models(batch: int, features: int, classes: int) -> None:
    def run(t: c.Tally, *, label: bool) -> None:
        outputs = classes if not label or classes > 2 else 1
        for x in t.numbers(data(batch, features)):
            weights = t.numbers(data(outputs, features))
            scores = [c.dot(t, x, w, t.number(0)) + t.number(1) for w in weights]
            if label:
                _ = c.argmax(scores) if classes > 2 else scores[0] > t.number(0)

    value = model("logistic_regression", batch, features=features, classes=classes, output="value")
    assert operations(value) == counted(lambda t: run(t, label=False))
    label = model("logistic_regression", batch, features=features, classes=classes, output="label")
    assert operations(label) == counted(lambda t: run(t, label=True))


@given(few, few, st.integers(2, 4), st.booleans())
@settings(deadline=None, max_examples=draws(20))
def test_naive_bayes(batch: int, features: int, classes: int, divided: bool) -> None:
    def run(t: c.Tally) -> None:
        means, spread = t.numbers(data(classes, features)), t.numbers(data(classes, features))
        for x in t.numbers(data(batch, features)):
            scores = []
            for m, v in zip(means, spread, strict=True):
                total = t.number(0)
                for f in range(features):
                    d = x[f] - m[f]
                    total = total + (d * d / v[f] if divided else d * d * v[f])
                scores.append(total + t.number(0.3))
            c.argmax(scores)

    variances = "divided" if divided else "inverted"
    made = model("naive_bayes", batch, features=features, classes=classes, variances=variances)
    assert operations(made) == counted(run)


@given(few, few, st.integers(1, 9), st.data(), st.sampled_from(["squared", "manhattan"]))
@settings(deadline=None, max_examples=draws(30))
def test_nearest_neighbours(
    batch: int, features: int, points: int, draw: st.DataObject, form: str
) -> None:
    count = draw.draw(st.integers(1, points))
    distance = {"squared": c.squared, "manhattan": c.manhattan}[form]

    def run(t: c.Tally) -> None:
        stored = t.numbers(data(points, features))
        for x in t.numbers(data(batch, features)):
            chosen = c.nearest([distance(t, x, p) for p in stored], count)
            votes = [t.number(0) for _ in range(3)]
            for i in chosen:
                votes[i % 3] = votes[i % 3] + t.number(1)
            c.argmax(votes)

    made = model(
        "knn",
        batch,
        features=features,
        references=points,
        neighbours=count,
        classes=3,
        distance=form,
    )
    assert operations(made) == counted(run)


@given(few, few, few, few)
@settings(deadline=None, max_examples=draws(20))
def test_iterations_of_k_means(batch: int, features: int, clusters: int, iterations: int) -> None:
    def run(t: c.Tally) -> None:
        xs, centres = t.numbers(data(batch, features)), t.numbers(data(clusters, features))
        for _ in range(iterations):
            sums = [[t.number(0)] * features for _ in range(clusters)]
            counts = [t.number(0)] * clusters
            for x in xs:
                at = c.argmin([c.squared(t, x, centre) for centre in centres])
                sums[at] = [s + v for s, v in zip(sums[at], x, strict=True)]
                counts[at] = counts[at] + t.number(1)
            for at in range(clusters):
                held = counts[at] if counts[at].value else t.number(1)
                centres[at] = [s / held for s in sums[at]]

    made = model(
        "k_means", batch, features=features, clusters=clusters, task="train", iterations=iterations
    )
    assert operations(made) == counted(run)
    assert made.weights == clusters * features


def test_trees_compare_once_a_step_and_fetch_each_node_once() -> None:
    """A complete tree walked in plain Python: comparisons, distinct nodes, bytes of the table."""
    trees, depth, features, batch = 3, 4, 5, 2
    rng = np.random.default_rng(0)
    split = rng.integers(features, size=(trees, 2**depth - 1))
    threshold = rng.normal(size=split.shape)
    compared, fetched = 0, set[tuple[int, int, int]]()
    for i, x in enumerate(rng.normal(size=(batch, features))):
        for tree in range(trees):
            node = 0
            for _ in range(depth):
                compared += 1
                fetched.add((i, tree, node))
                node = 2 * node + (1 if x[split[tree, node]] <= threshold[tree, node] else 2)
    made = model("random_forest", batch, features=features, trees=trees, depth=depth, classes=2)
    graph = made.graph()
    walk = next(o for _, o in graph.walk() if o.kind == "tree")
    # A comparison, and a choice between two children.
    assert made.number(walk.vector_ops) == 2 * compared == 2 * batch * trees * depth
    reads = {a.tensor: made.number(a.elements) for a in walk.accesses if a.mode == "read"}
    assert reads["thresholds"] == len(fetched)
    stored = made.number(graph.weight_elements)
    inner = trees * (2**depth - 1)
    assert stored == inner * (1 + 1 + 2) + trees * 2**depth
    # Many samples touch every node, and no node is read twice from memory.
    many = made.bind({"batch": 10_000})
    reads = {a.tensor: many.number(a.elements) for a in walk.accesses if a.mode == "read"}
    assert reads["thresholds"] == inner
    chain = dict(dict(walk.attributes)["extents"])
    assert (made.number(chain["walks"]), made.number(chain["steps"])) == (batch * trees, depth)


def test_expanded_distances_are_a_product_and_the_squares() -> None:
    plain = model("knn", 3, features=7, references=11)
    expanded = model("knn", 3, features=7, references=11, distance="expanded")
    assert plain.macs == expanded.macs == 3 * 7 * 11
    # 3 operations a feature become 2, and one for each distance.
    assert operations(plain) - operations(expanded) == 3 * 7 * 11 - 3 * 11
    assert expanded.weights - plain.weights == 11


@pytest.mark.parametrize(("degree", "expected"), [(1, 0), (2, 1), (3, 2), (4, 2), (7, 4), (8, 3)])
def test_powers_by_repeated_squaring(degree: int, expected: int) -> None:
    tally = c.Tally()
    c.power(tally.number(1.1), degree)
    made = model("svm", features=1, support_vectors=1, kernel="poly", degree=degree)
    powers = {operator.name: operator.vector_ops for _, operator in made.graph().walk()}
    # Beside the power stand a product with gamma and the addition of the offset.
    assert made.number(powers["kernel.power"]) - 2 == expected == tally.done["mul"]
