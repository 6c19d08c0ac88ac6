"""The style `truth_tables` of the kind `fpga`, against LogicNets' estimate and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perfmodel_studies.claims.logicnets import tagger

from perfmodel.evaluate import reproduce
from perfmodel.kinds.fpga.truth_tables import tables_of_bit


def test_tables_of_a_bit_are_logicnets_estimate() -> None:
    """Tables of 6 inputs for each value of the other bits, and tables that choose one of four."""
    found = tables_of_bit(np.array([1.0, 5.0, 6.0, 7.0, 8.0, 9.0, 12.0]))
    assert found.most.tolist() == [1, 1, 1, 3, 5, 11, 85]
    # A chain: six bits in the first table, five more in each one behind it; two bits share one.
    assert (2 * found.least).tolist() == [1, 1, 1, 2, 2, 2, 3]


@given(st.integers(1, 30))
def test_a_synthesis_leaves_no_more_than_everything(inputs: int) -> None:
    ends, more = tables_of_bit(np.array([float(inputs)])), tables_of_bit(np.array([inputs + 1.0]))
    assert ends.least <= ends.most <= more.most
    assert ends.least <= more.least


def test_a_network_is_the_sum_of_its_neurons() -> None:
    """JSC-M: 165 neurons of 3 bits, each of 12 bits in; a clock for each of five layers."""
    found = tagger("jsc_m")
    assert found.resources["lut"]["used"] == found.resources["lut"]["high"] == 165 * 3 * 85
    assert found.resources["lut"]["low"] == 165 * 3 * 1.5
    assert found.resources["ff"]["used"] == 165 * 3
    assert found.interval_s == pytest.approx(1 / 577e6)
    assert found.latency_s == pytest.approx(5 / 577e6)
    assert "dsp" not in found.resources


def test_published_taggers() -> None:
    rows = reproduce("logicnets")
    assert len(rows) == 5
    assert all(row.verdict == "within" for row in rows)
