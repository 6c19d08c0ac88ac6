"""The worked examples of the contest's PROBLEM.md, with the organisers' corrections.

github.com/yarongmu-google/MLSys, PROBLEM.md. Example 2's capacity is 35000 (issue 33), and example
4 A costs 7096, for the hardware keeps the row strip also in raster order (issue 37).
"""

from __future__ import annotations

from typing import Any


def example(
    size: int,
    inputs: list[list[int]],
    outputs: list[list[int]],
    cost: list[int],
    kind: str,
    capacity: int,
) -> dict[str, Any]:
    tensors = 1 + max(t for row in inputs + outputs for t in row)
    return {
        "widths": [size] * tensors,
        "heights": [size] * tensors,
        "inputs": inputs,
        "outputs": outputs,
        "base_costs": cost,
        "op_types": [kind] * len(inputs),
        "fast_memory_capacity": capacity,
        "slow_memory_bandwidth": 10,
        "native_granularity": [128, 128],
    }


FIRST = example(128, [[0], [1]], [[1], [2]], [1000, 100], "Pointwise", 35000)
SECOND = example(256, [[0], [1]], [[1], [2]], [1000, 100], "Pointwise", 35000)
THIRD = example(128, [[0], [1], [1, 2]], [[1], [2], [3]], [1500] * 3, "Pointwise", 50000)
FOURTH = example(128, [[0, 1]], [[2]], [1500], "MatMul", 25000)
FIFTH = example(128, [[0, 1], [3, 2]], [[3], [4]], [2000, 2000], "MatMul", 45000)

_WHOLE = (128, 128, 1)
#: Example, subgraphs, granularities, retained, traversal orders, latencies.
WORKED: dict[str, tuple[Any, ...]] = {
    "1A": (FIRST, [[0], [1]], [_WHOLE] * 2, [[], []], None, [3276.8, 3276.8]),
    "1B": (FIRST, [[0, 1]], [_WHOLE], [[]], None, [3276.8]),
    "1C": (FIRST, [[0, 1]], [(64, 64, 1)], [[]], None, [4400.0]),
    "2A": (SECOND, [[0], [1]], [_WHOLE] * 2, [[], []], None, [13107.2, 13107.2]),
    "2B": (SECOND, [[0, 1]], [_WHOLE], [[]], None, [13107.2]),
    "3A": (THIRD, [[0], [1], [2]], [_WHOLE] * 3, [[], [], []], None, [3276.8, 3276.8, 4915.2]),
    "3B": (THIRD, [[0, 1], [0, 2]], [_WHOLE] * 2, [[2], []], None, [3000.0, 3276.8]),
    "3C": (THIRD, [[0], [1, 2]], [_WHOLE] * 2, [[1], []], None, [1638.4, 3000.0]),
    "4A": (FOURTH, [[0]], [(64, 64, 128)], [[]], None, [7096.0]),
    "4B": (FOURTH, [[0]], [(64, 64, 128)], [[]], [[0, 1, 3, 2]], [6548.0]),
    "5B": (FIFTH, [[0, 1]], [(128, 128, 32)], [[]], None, [6915.2]),
}
