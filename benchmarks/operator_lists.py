"""Problems of scheduling from lists of operators with sizes, as published benchmarks have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.workload.importers.operator_graph.output_sizes import UNITS


def problem_of(data: Mapping[str, Any]) -> Problem:
    """Return the problem of an operator list with sizes, already checked.

    Parameters
    ----------
    data
        ``operators``: entries with ``inputs`` (positions), ``output_size``, ``inplace``,
        ``free_store``; ``unit``. Files are read by `perfmodel.workload`, which refuses faults.
    """
    unit = UNITS[data.get("unit", "B")]
    operators: list[dict[str, Any]] = data["operators"]
    buffers: list[Buffer] = []
    steps: list[Step] = []
    readers = [0] * len(operators)
    for op in operators:
        for source in set(op["inputs"]):
            readers[source] += 1
    for i, op in enumerate(operators):
        reads = tuple(dict.fromkeys(op["inputs"]))
        name = f"{op.get('name') or 'operator'}"
        over = op.get("inplace")
        taken = over if over is not None and readers[over] == 1 else -1
        buffers.append(Buffer(f"{name}.out", int(op["output_size"] * unit), op["free_store"]))
        steps.append(Step(name, reads, (i,), taken, load=not reads))
    return Problem(data.get("name", "operators"), tuple(steps), tuple(buffers))
