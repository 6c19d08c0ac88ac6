"""HAWQ-V3's integer programmes: all eight published optima."""

import json

import numpy as np
import pytest
from perfmodel_studies.hawq import BITS, SHARED, hawq_example, hawq_problem

from perfmodel.errors import InputError
from perfmodel.search.exact import solve
from tests.search.exact.random_choices import brute_force

BUDGETS = {
    "size": ("size",),
    "bops": ("bops",),
    "latency": ("latency",),
    "all3": ("size", "bops", "latency"),
}


@pytest.mark.data
@pytest.mark.parametrize("network", ["ResNet18", "ResNet50"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_published_optima(data, network, budget):
    layers = json.loads((data / "ilp" / "hawq_ilp.json").read_text())["models"][network]
    known = json.loads((data / "ilp" / "hawq_optima.json").read_text())[f"{network}/{budget}"]
    found = solve(hawq_problem(layers, BUDGETS[budget], shared=SHARED[network]))
    assert found.status == "optimal"
    assert found.value == pytest.approx(known["obj"], rel=1e-12)
    assert [BITS[o] for o in found.solution] == known["bits"]


def test_example_is_solved_exactly():
    problem = hawq_example()
    found = solve(problem)
    assert found.value == pytest.approx(brute_force(problem), rel=1e-12)
    assert np.all(np.array(found.usage) <= [limit.bound for limit in problem.limits])


def test_faults_come_together():
    with pytest.raises(InputError) as caught:
        hawq_problem({"bops": [1.0], "parameters": [1.0, 2.0]}, ("power",))
    text = str(caught.value)
    assert "latency_int8" in text
    assert "'power'" in text
    assert "one length" in text
