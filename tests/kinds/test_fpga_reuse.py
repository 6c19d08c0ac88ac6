"""Reuse factors: against hls4ml's rule written out, and what the tool does with others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.kinds.fpga.reuse import (
    closest,
    closest_valid_factors,
    is_valid,
    multiplier_limit,
    valid_reuse_factors,
)
from perfmodel.predict import predict
from tests.kinds.test_fpga_kind import mlp, with_design


def by_the_tool(n_in: int, n_out: int, rf: int) -> bool:
    """``_validate_reuse_factor`` of hls4ml's fpga_backend.py, in the words of the paper's file:

    (ceil(n_in n_out / min(n_in, RF)) % n_out == 0 or RF >= n_in) and (RF % n_in == 0 or RF < n_in)
    and (n_in n_out) % RF == 0.
    """
    limit = math.ceil(n_in * n_out / min(n_in, rf))
    return (
        (limit % n_out == 0 or rf >= n_in)
        and (rf % n_in == 0 or rf < n_in)
        and (n_in * n_out) % rf == 0
    )


@given(st.integers(1, 40), st.integers(1, 40))
def test_every_factor_against_the_rule(n: int, m: int) -> None:
    wanted = [rf for rf in range(1, n * m + 1) if by_the_tool(n, m, rf)]
    assert list(valid_reuse_factors(n, m)) == wanted
    assert all(is_valid(n, m, rf) == (rf in wanted) for rf in range(1, n * m + 1))
    assert wanted[0] == 1
    assert wanted[-1] == n * m


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 1000))
def test_the_closest_is_the_smaller_of_two_as_near(n: int, m: int, asked: int) -> None:
    valid = valid_reuse_factors(n, m)
    found = closest(n, m, asked)
    assert abs(found - asked) == min(abs(v - asked) for v in valid)
    assert all(found <= v for v in valid if abs(v - asked) == abs(found - asked))
    assert closest_valid_factors(np.array([n]), np.array([m]), np.array([asked])) == [found]


def test_known_factors_of_a_layer() -> None:
    """The list that hls4ml prints for its tutorial's first layer, 16 x 64."""
    assert valid_reuse_factors(16, 64) == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@given(st.integers(1, 300), st.integers(1, 60), st.floats(0, 1), st.integers(1, 200))
def test_multiplier_limit_is_the_tool_s(n: int, m: int, density: float, rf: int) -> None:
    """``DIV_ROUNDUP(n_in * n_out, reuse_factor) - n_zeros / reuse_factor``, at least one."""
    nonzeros = math.floor(density * n * m)
    wanted = -(-n * m // rf) - (n * m - nonzeros) // rf
    assert multiplier_limit(n, m, nonzeros, rf) == max(wanted, 1)


def test_a_layer_s_own_factor_must_be_valid() -> None:
    """48 does not divide 64 x 32: refused, with the nearest that is valid."""
    machine = with_design("xc7z020", strategy="resource").machine()
    path = "engines.fabric.design.layers.2.reuse_factor"
    with pytest.raises(InputError, match="cannot have a reuse factor of 48") as caught:
        predict(mlp(), machine.vary({path: 48}), precision="int8")
    assert "32, the nearest that is valid" in str(caught.value)
    assert closest(64, 32, 48) == 32
    # The tool takes any factor where loops are unrolled.
    plain = hardware("xc7z020").machine()
    assert predict(mlp(), plain.vary({path: 48}), precision="int8").latency_s > 0


def test_a_factor_of_all_layers_becomes_the_nearest_of_each() -> None:
    machine = with_design("xc7z020", strategy="resource").machine()
    found = predict(
        mlp(), machine.vary({"engines.fabric.design.reuse_factor": 48}), precision="int8"
    )
    table = found.table
    rows = [i for i, kind in enumerate(table["kind"]) if kind == "gemm"]
    shapes = ((16, 64), (64, 32), (32, 32), (32, 5))
    assert [table["reuse_factor"][i] for i in rows] == [closest(n, m, 48) for n, m in shapes]
