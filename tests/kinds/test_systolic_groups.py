"""Depthwise and grouped products: one group at a time, along the diagonal, side by side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.kinds.systolic import gemm
from perfmodel.kinds.systolic.folds import DATAFLOWS, Dataflow, Replication

_SIDES = st.integers(1, 9)


def _packed(
    high: int, wide: int, rows: int, columns: int, groups: int, replication: Replication
) -> int:
    """Place groups into an array of cells until it is full; return how many folds it takes."""
    taken = np.zeros((rows, columns), dtype=bool)
    folds, left = 1, groups
    used_rows, used_columns = np.zeros(rows, dtype=bool), np.zeros(columns, dtype=bool)
    while left:
        placed = False
        for i in range(0, rows - high + 1, high):
            for j in range(0, columns - wide + 1, wide):
                free = not taken[i : i + high, j : j + wide].any()
                own = not used_rows[i : i + high].any() and not used_columns[j : j + wide].any()
                if left and free and (own or replication == "side_by_side"):
                    taken[i : i + high, j : j + wide] = True
                    used_rows[i : i + high] = used_columns[j : j + wide] = True
                    left -= 1
                    placed = True
        if left:
            assert placed
            folds += 1
            taken[:] = False
            used_rows[:] = used_columns[:] = False
    return folds


@given(
    _SIDES,
    _SIDES,
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 40),
    st.sampled_from(["diagonal", "side_by_side"]),
    st.sampled_from(list(DATAFLOWS)),
)
def test_packing_by_placing_groups(
    high: int,
    wide: int,
    rows: int,
    columns: int,
    groups: int,
    replication: Replication,
    dataflow: Dataflow,
) -> None:
    high, wide = min(high, rows), min(wide, columns)
    names = DATAFLOWS[dataflow]
    sizes = dict(zip(names, (high, wide, 11), strict=True))
    size = {"rows": rows, "columns": columns, "dataflow": dataflow, "groups": groups}
    found = gemm(**sizes, **size, replication=replication)  # pyright: ignore[reportArgumentType]
    assert found.folds == _packed(high, wide, rows, columns, groups, replication)
    alone = gemm(**sizes, **size)  # pyright: ignore[reportArgumentType]
    assert alone.folds == groups
    assert found.macs == alone.macs
    assert found.input_reads == alone.input_reads
    assert found.utilization <= 1


@pytest.mark.parametrize(
    ("dataflow", "alone", "diagonal", "side_by_side"),
    [
        # 9 taps x 1 channel of a 32 x 32 array; 3 groups along the diagonal, 3 x 32 side by side.
        ("weight_stationary", 9 / 1024, 27 / 1024, 864 / 1024),
        # 196 positions fold seven times over the rows; one column, or all of them.
        ("output_stationary", 1 / 32 * 196 / 224, 1 / 32 * 196 / 224, 196 / 224),
    ],
)
def test_depthwise_mapping_efficiency(
    dataflow: Dataflow, alone: float, diagonal: float, side_by_side: float
) -> None:
    """A 3x3 depthwise layer of 96 channels on 14x14 positions."""
    for replication, want in zip(
        ("none", "diagonal", "side_by_side"), (alone, diagonal, side_by_side), strict=True
    ):
        found = gemm(
            196, 1, 9, rows=32, columns=32, dataflow=dataflow, groups=96, replication=replication
        )
        assert float(found.mapping_efficiency) == pytest.approx(want, rel=1e-14)


def test_dense_by_mistake_and_grouped() -> None:
    """Depthwise as one dense filter (as a topology file of SCALE-Sim has it) is another layer."""
    size = {"rows": 32, "columns": 32, "dataflow": "weight_stationary"}
    dense = gemm(12544, 1, 9 * 32, **size)  # pyright: ignore[reportArgumentType]
    real = gemm(12544, 1, 9, groups=32, **size)  # pyright: ignore[reportArgumentType]
    assert dense.macs == real.macs
    assert real.cycles == 32 * (12544 + 94)
    assert dense.cycles == 9 * (12544 + 94)


def test_parts_of_groups_are_not_rounded() -> None:
    """Expected numbers of experts are fractions; by themselves they scale the folds."""
    run = gemm(4.5, 64, 64, rows=32, columns=32, dataflow="weight_stationary", groups=13.25)
    assert run.folds == 13.25 * 4
