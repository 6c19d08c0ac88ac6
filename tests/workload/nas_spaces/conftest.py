"""What every graph of a space of architectures keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perfmodel.workload.graph import Graph


@pytest.fixture(scope="session")
def crossing() -> Callable[[Graph], None]:
    """Asserts that each block reads one activation from outside: what the one before left."""

    def check(graph: Graph) -> None:
        left = graph.inputs[0]
        for block in graph.blocks:
            inside: set[str] = set()
            outside: set[str] = set()
            for operator in block.operators:
                outside |= {
                    n
                    for n in operator.reads
                    if graph.tensors[n].role == "activation" and n not in inside
                }
                inside |= set(operator.writes)
            assert outside == {left}
            left = block.operators[-1].writes[0]
        assert graph.outputs == (left,)

    return check
