"""What is refused, and where: files of instances and schedules, schedules against the rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from perfmodel_studies.contest import (
    ContestSolution,
    SolutionSubgraph,
    check,
    contest,
    evaluate,
    read_instance,
    read_solution,
)
from perfmodel_studies.contest.structure import Structure, analyse

from perfmodel.errors import InputError
from tests.studies.contest.worked import FIFTH, FIRST, FOURTH, THIRD, example

WHOLE = (128, 128, 1)


def _solution(*parts: tuple[Any, ...]) -> ContestSolution:
    return ContestSolution(tuple(SolutionSubgraph(*p) for p in parts))


@pytest.mark.parametrize(
    ("instance", "parts", "reason"),
    [
        (FIRST, [((0,), WHOLE)], r"operations \[1\] never run"),
        (FIRST, [((0,), WHOLE)], r"outputs \[2\] of the graph never reach slow memory"),
        (FIRST, [((0, 7), WHOLE)], r"no operation \[7\]"),
        (FIRST, [((0, 0), WHOLE)], r"not each there once"),
        (FIRST, [((1, 0), WHOLE)], r"operation 1 stands before 0"),
        (FIRST, [((1,), WHOLE), ((0,), WHOLE)], r"reads \[1\], in neither memory"),
        (FIRST, [((0,), WHOLE, (1,)), ((1,), WHOLE, (2,))], r"\[2\] of the graph never reach"),
        (FIRST, [((0, 1), WHOLE, (0,))], r"retains \[0\], which it does not make"),
        (FIRST, [((0, 1), (256, 128, 1))], r"256 x 128 is above the native 128 x 128"),
        (FIRST, [((0, 1), (64, 64, 1), (), (0, 1, 2))], r"no permutation of 4 tiles"),
        # the middle tensor is made and read inside: the second subgraph has nothing to read [51]
        (THIRD, [((0, 1), WHOLE), ((2,), WHOLE)], r"reads \[1\], in neither memory"),
        # a retained tensor lasts for one step [34]
        (
            THIRD,
            [((0,), WHOLE, (1,)), ((1,), WHOLE), ((2,), WHOLE)],
            r"subgraph 2 \[2\]: reads \[1\]",
        ),
        (FOURTH, [((0,), (128, 128, 128))], r"working set is 49152, the capacity 25000"),
        (FOURTH, [((0,), (64, 64, 129))], r"depth 129 is above 128"),
        (FIFTH, [((0, 1), (128, 128, 128))], r"working set is 65536, the capacity 45000"),
    ],
)
def test_schedule_is_refused(instance: dict[str, Any], parts: list[Any], reason: str) -> None:
    found = check(read_instance(instance), _solution(*parts))
    assert any(re.search(reason, f) for f in found), found
    with pytest.raises(InputError):
        evaluate(read_instance(instance), _solution(*parts))


def test_wrong_latencies_are_refused_with_both_numbers() -> None:
    stated = ContestSolution(_solution(((0, 1), WHOLE)).parts, (3000.0,))
    assert check(read_instance(FIRST), stated) == [
        "subgraph 0 [0, 1]: latency 3000 is stated, it is 3276.8"
    ]


def test_retaining_lets_the_next_subgraph_read_what_was_made_inside() -> None:
    kept = _solution(((0, 1), WHOLE, (1, 2)), ((2,), WHOLE))
    found = evaluate(read_instance(THIRD), kept)
    assert found.latencies == pytest.approx((3000.0, 1638.4))  # [69]
    assert found.working_sets == (3 * 16384, 3 * 16384)


def test_pointwise_before_a_product_needs_the_whole_strip_in_a_tile() -> None:
    data = example(256, [[0], [1, 2]], [[1], [3]], [100, 100], "MatMul", 10**6)
    data["op_types"] = ["Pointwise", "MatMul"]
    reason = analyse(read_instance(data), frozenset([0, 1]))
    assert isinstance(reason, str)
    assert "pointwise before a product" in reason  # sums of 256, native 128 [71]
    data["widths"][:2] = [128, 128]
    data["heights"][2] = 128
    structure = analyse(read_instance(data), frozenset([0, 1]))
    assert isinstance(structure, Structure)
    assert (structure.least_width, structure.most_depth) == (128, 128)
    narrow = _solution(((0, 1), (64, 64, 64)))
    assert any("64 x 64 is below 128 x 1" in f for f in check(read_instance(data), narrow))


def test_epilogue_is_free_at_any_depth() -> None:
    """Issue 82: a product in steps of 32, then a pointwise operation once on the finished tile."""
    data = example(128, [[0, 1], [3, 2]], [[3], [4]], [2000, 100], "MatMul", 10**6)
    data["op_types"] = ["MatMul", "Pointwise"]
    found = evaluate(read_instance(data), _solution(((0, 1), (128, 128, 32))))
    # 4 steps of 2 strips (819.2; compute 500); the last has the other operand and the output too
    assert found.latencies == pytest.approx((3 * 819.2 + 819.2 + 2 * 1638.4,))
    assert found.compute == (2100.0,)


def test_outputs_of_one_subgraph_have_one_size() -> None:
    data = example(128, [[0], [1, 2]], [[1], [3]], [10, 10], "MatMul", 10**6)
    data |= {"inputs": [[0, 1], [2, 3], [2]], "outputs": [[2], [4], [5]], "base_costs": [1, 1, 1]}
    data |= {"op_types": ["MatMul", "MatMul", "Pointwise"], "widths": [128] * 6}
    data["heights"] = [128] * 6
    data["widths"][3] = data["widths"][4] = 64
    assert "different sizes" in str(analyse(read_instance(data), frozenset([0, 1, 2])))
    assert "hang together" in str(analyse(read_instance(data), frozenset([1, 2])))


def test_faults_of_an_instance_are_all_named_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(
        '{"widths": [4, 0, 4],\n "heights": [4, 4, 4],\n "inputs": [[0], [9]],\n'
        ' "outputs": [[1], [2]], "base_costs": [1, -1], "op_types": ["Pointwise", "Conv"],\n'
        ' "fast_memory_capacity": 100, "slow_memory_bandwidth": 0, "native_granularity": [4, 4]}'
    )
    with pytest.raises(InputError) as caught:
        read_instance(path)
    text = str(caught.value)
    for part in (
        "bad.json:1:16: widths.1: 0",
        "bad.json:3:19: inputs.1.0: no tensor 9",
        "base_costs.1: -1",
        "op_types.1: unknown value 'Conv'",
        "slow_memory_bandwidth: 0",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": [[0], [2]]}, "a circle through operations"),
        ({"outputs": [[1], [1]]}, "tensor 1 is made twice"),
        ({"op_types": ["MatMul", "Pointwise"]}, "a MatMul of 1 inputs"),
        ({"heights": [1, 2]}, "'widths' has 3"),
        ({"base_cost": []}, "unknown key 'base_cost'"),
        ({"native_granularity": [4]}, "1 values"),
    ],
)
def test_instance_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason.replace("[", r"\[")):
        read_instance(FIRST | change)


def test_operands_that_fit_only_the_other_way_round_are_taken_so() -> None:
    data = example(128, [[0, 1]], [[2]], [10], "MatMul", 10**6)
    data |= {"widths": [64, 128, 64], "heights": [128, 32, 32]}  # (32 x 128)(128 x 64): 1 before 0
    found = contest(data)
    assert found.instance.swapped == (0,)
    assert found.instance.operations[0].inputs == (1, 0)
    assert "right before left" in str(found)
    with pytest.raises(InputError, match=r"is not \(33 x 64\)"):
        read_instance(data | {"heights": [128, 32, 33]})


def test_pointwise_input_of_another_size_is_read_whole() -> None:
    data = example(256, [[0, 1]], [[2]], [10], "Pointwise", 10**6)
    data |= {"widths": [256, 1, 256], "heights": [256, 256, 256]}
    found = evaluate(read_instance(data), _solution(((0,), WHOLE)))
    assert found.read == (256 * 256 + 256,)  # it stays from tile to tile


def test_faults_of_a_solution() -> None:
    with pytest.raises(InputError) as caught:
        read_solution({"subgraphs": [[0]], "granularities": [[1, 2]], "tensors": []})
    assert "unknown key 'tensors'" in str(caught.value)
    assert "missing key 'tensors_to_retain'" in str(caught.value)
    with pytest.raises(InputError, match=r"granularities\.0"):
        read_solution({"subgraphs": [[0]], "granularities": [[1, 2]], "tensors_to_retain": [[]]})
