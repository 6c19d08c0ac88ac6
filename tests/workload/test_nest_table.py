"""Loop nests in one form keep the work and the sizes of the graph that they come from."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.library import find, names
from perfmodel.workload.lower import lower
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import OperatorTable
from tests.offenders import each


def _table(name: str, **parameters: object) -> tuple[OperatorTable, Nests]:
    workload = find(name, parameters)
    points = max((np.size(v) for v in workload.parameters.values()), default=1)
    table = lower(workload.graph()).bind(workload.parameters, points, nests=True)
    assert table.nests is not None
    return table, table.nests


@each("name", names)
def test_work_is_kept(name: str) -> None:
    """Every network of the library: the nests of a row multiply what the row multiplies."""
    table, nests = _table(name)
    total = np.zeros_like(np.broadcast_to(table.macs, (len(table.rows), 1)))
    np.add.at(total, nests.row, np.broadcast_to(nests.macs, (len(nests), 1)))
    np.testing.assert_allclose(total, table.macs, rtol=1e-9)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "llama_3_8b", "mixtral_8x7b"])
def test_weights_have_the_size_of_what_is_read(name: str) -> None:
    table, nests = _table(name)
    assert table.accesses is not None
    size = (
        nests.groups
        * nests.out_channels
        * nests.in_channels
        * nests.kernel_rows
        * nests.kernel_columns
    )
    seen = 0
    for i, kind in enumerate(nests.kind):
        if kind == "attention":
            continue
        read = table.accesses.elements[nests.access[i, 1]]
        np.testing.assert_allclose(size[i], read, rtol=1e-9)
        seen += 1
    assert seen > 5


def test_a_strided_convolution() -> None:
    _, nests = _table("resnet18")
    i = nests.name.index("conv1")
    got = [
        float(getattr(nests, k)[i, 0])
        for k in (
            "out_rows",
            "out_columns",
            "out_channels",
            "in_channels",
            "kernel_rows",
            "in_rows",
            "groups",
            "batch",
        )
    ]
    assert got == [112, 112, 64, 3, 7, 224, 1, 1]
    assert nests.stride[i].tolist() == [2, 2]


def test_query_heads_are_the_batch_of_their_group() -> None:
    """Llama-3-8B has 8 KV heads of 4 query heads each."""
    _, nests = _table("llama_3_8b", phase="decode", batch=3, context=512)
    scores, values = (i for i, kind in enumerate(nests.kind) if kind == "attention")
    names = ("groups", "batch", "out_rows", "out_channels", "in_channels")
    assert [float(getattr(nests, k)[scores, 0]) for k in names] == [24, 4, 1, 512, 128]
    assert [float(getattr(nests, k)[values, 0]) for k in names] == [24, 4, 1, 128, 512]
    assert nests.causal[scores]
    assert nests.access[scores, 2] == -1
    assert nests.access[values, 0] == -1


def test_numbers_follow_arrays() -> None:
    batch = np.array([1.0, 4.0, 9.0])
    _, nests = _table("llama_3_8b", phase="decode", batch=batch, context=512)
    i = nests.name.index("layer.q_proj")
    assert nests.out_rows[i].tolist() == [1, 4, 9]
    many = _table("mixtral_8x7b", phase="decode", batch=batch, context=512)[1]
    i = many.kind.index("moe")
    experts = 8 * (1 - (1 - 2 / 8) ** batch)
    np.testing.assert_allclose(many.groups[i], experts, rtol=1e-12)
    np.testing.assert_allclose(many.out_rows[i] * experts, 2 * batch, rtol=1e-12)


def test_only_products_with_the_state_wait_for_each_step() -> None:
    """An LSTM: the input's product is one GEMM over all steps, the state's one a step."""
    g = GraphBuilder("cell")
    x = g.input("x", (3, 7, 16))
    w, r = g.weight("w", (1, 32, 16)), g.weight("r", (1, 32, 8))
    y, state = g.tensor("y", (3, 7, 8)), g.tensor("state", (3, 1, 8), role="state")
    dims = (("t", 7), ("d", 1), ("m", 3), ("n", 32))
    out = Operand("y", "output", ((("m", 1),), (("t", 1),), (("d", 1),), (("n", 1),)))

    def nest(name: str, weight: str, k: int) -> LoopNest:
        return LoopNest(
            (*dims, ("k", k)),
            (
                Operand(name, "input", ((("m", 1),), (("t", 1),), (("k", 1),))),
                Operand(weight, "weight", ((("d", 1),), (("n", 1),), (("k", 1),))),
                out,
            ),
        )

    g.operator(
        "cell",
        "recurrent",
        [x, w, (r, 7 * r.elements)],
        [y, (state, 2 * 7 * 24)],
        nests=[nest("x", "w", 16), nest("state", "r", 8)],
    )
    nests = lower(g.build()).bind({}, nests=True).nests
    assert nests is not None
    assert nests.times[:, 0].tolist() == [1, 7]
    assert nests.out_rows[:, 0].tolist() == [21, 3]
