"""How matrices lie in arrays: against weights put down one by one, and published rates."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.hardware.fact_views import view
from perfmodel.kinds.in_memory import InMemoryArrays, layout
from perfmodel.kinds.in_memory.counts import copies_of, speed, steps_of, vector_seconds
from tests.draws import draws


def engine_of(**facts: Any) -> InMemoryArrays:
    """Arrays with some facts, all others as a spec has them that says nothing."""
    numbers = {name: value for name, value in facts.items() if not isinstance(value, bool)}
    return view(InMemoryArrays, {"read_time": 0.0, "rows": 1.0, **numbers}, "", facts)


def put_down(
    groups: int, inner: int, outer: int, bits: int, rows: int, columns: int, cell: int, pair: int
) -> int:
    """Arrays that weights take when blocks are laid one after another, whole weights only."""
    each = ceil(bits / cell)
    deep, wide = rows // pair, columns // each
    arrays = 0
    if inner <= deep and outer <= wide:
        free_rows = free_columns = 0
        for _ in range(groups):
            if free_rows < inner or free_columns < outer:
                arrays += 1
                free_rows, free_columns = deep, wide
            free_rows -= inner
            free_columns -= outer
        return arrays
    for _ in range(groups):
        for _row in range(0, inner, deep):
            for _column in range(0, outer, wide):
                arrays += 1
    return arrays


@settings(max_examples=draws(200), deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 700),
    st.integers(1, 300),
    st.integers(1, 16),
    st.sampled_from([64, 128, 256]),
    st.sampled_from([64, 128, 200]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2]),
)
def test_arrays_are_those_of_weights_put_down_one_by_one(
    groups: int, inner: int, outer: int, bits: int, rows: int, columns: int, cell: int, pair: int
) -> None:
    engine = engine_of(rows=rows, columns=columns, cell_bits=cell, cells_per_weight=pair)
    found = layout(groups, inner, outer, bits, engine)
    assert float(found.arrays) == put_down(groups, inner, outer, bits, rows, columns, cell, pair)
    assert found.arrays * rows * columns >= groups * inner * outer * pair * bits / cell
    relaxed = layout(groups, inner, outer, bits, engine, relaxed=True)
    assert relaxed.arrays <= found.arrays * (1 + 1e-12) + 1e-12


def by_bits(bits: int, step: int, most: int, adc: int) -> tuple[int, int]:
    """Pulses and converted bits of NeuRRAM's phases, bit for bit."""
    magnitude = max(bits - 1, 1)
    phases = min(ceil(magnitude / step), most)
    shares = [0] * phases
    for i in range(magnitude):
        shares[i % phases] += 1
    pulses = sum(2**share - 1 for share in shares)
    converted = sum(adc - sum(shares[:i]) for i in range(phases))
    return pulses, converted


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("most", [1, 2])
def test_steps_are_those_of_each_bit(bits: int, most: int) -> None:
    engine = engine_of(
        input_step_bits=3,
        adc_bits=bits + 2,
        most_steps=most,
        pulses=True,
        sign_apart=True,
        narrowing=True,
    )
    found = steps_of(bits, engine)
    assert (found.pulses, found.converted_bits) == by_bits(bits, 3, most, bits + 2)


def test_serial_inputs_take_a_step_a_bit() -> None:
    found = steps_of(np.array([1.0, 4.0, 8.0]), engine_of(adc_bits=8.0))
    assert found.steps.tolist() == [1, 4, 8]
    assert found.converted_bits.tolist() == [8, 32, 64]
    wider = steps_of(np.array([1.0, 4.0, 8.0]), engine_of(input_step_bits=4.0, adc_bits=8.0))
    assert wider.steps.tolist() == [1, 1, 2]


#: GOP/s of Colonnade by bits of both operands (rows) and registers 1, 2, 4, 8, 16: figure 15(a).
COLONNADE = {
    1: (75.07, 138.51, 243.93, 391.42, 563.50),
    2: (32.50, 60.42, 104.77, 168.13, 238.32),
    3: (18.31, 34.04, 59.03, 92.55, 127.18),
    4: (12.52, 23.10, 39.45, 60.42, 83.03),
    5: (9.11, 16.43, 28.05, 42.96, 58.12),
    6: (6.73, 12.33, 20.41, 31.26, 41.65),
    7: (5.81, 10.24, 17.21, 25.75, 34.84),
    8: (4.43, 7.92, 13.32, 19.48, 25.75),
    9: (3.91, 6.95, 11.41, 16.81, 22.23),
    10: (3.08, 5.38, 8.77, 12.72, 16.68),
    11: (2.76, 4.79, 7.99, 11.50, 14.51),
    12: (2.14, 3.74, 6.09, 8.56, 11.06),
    13: (1.99, 3.48, 5.46, 7.62, 9.77),
    14: (1.82, 3.13, 4.94, 6.95, 8.90),
    15: (1.43, 2.42, 3.79, 5.25, 6.63),
    16: (1.34, 2.26, 3.51, 4.79, 5.99),
}


def test_all_eighty_rates_of_colonnade() -> None:
    """Two delays, set by two of the rows, give all of them within 2.5 %."""
    macro = pm.hardware("cim_colonnade_65nm").machine().vary({"engines.arrays.voltage": 0.8})
    for bits, rates in COLONNADE.items():
        matrix = pm.workload("gemm", m=1, n=128 // (bits + 7), k=128)
        own = f"w=int{bits},a=int{bits}"
        for registers, rate in zip((1, 2, 4, 8, 16), rates, strict=True):
            run = pm.predict(
                matrix, macro.vary({"engines.arrays.registers": registers}), precision=own
            )
            gops = 2e-9 * float(run.macs) / float(run.latency_s)
            assert gops == pytest.approx(rate, rel=0.025)


def test_converters_that_are_shared_bind() -> None:
    """ISAAC: 128 columns at 1.28 GS/s take the 100 ns of a read; half the rate doubles it."""
    facts = {"rows": 128, "columns": 128, "cell_bits": 2, "adc_bits": 8}
    found = layout(1, 128, 16, 16, engine_of(**facts))
    steps = steps_of(16, engine_of(**facts))
    once = {**facts, "read_time": 100e-9, "converters": 1}

    def seconds(conversion_time: float, pipelined: bool = True) -> float:
        engine = engine_of(**once, conversion_time=conversion_time, pipelined=pipelined)
        return float(vector_seconds(found, steps, engine))

    at = seconds(1 / 1.28e9)
    assert at == pytest.approx(16 * 100e-9, rel=1e-12)
    assert seconds(2 / 1.28e9) == pytest.approx(2 * at, rel=1e-12)
    assert seconds(1 / 1.28e9, pipelined=False) == pytest.approx(2 * at, rel=1e-12)


@settings(max_examples=draws(100), deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 3000)), min_size=1, max_size=5),
    st.integers(0, 200),
)
def test_copies_fit_and_beat_copies_of_all_alike(
    matrices: list[tuple[int, int]], spare: int
) -> None:
    """They never take more arrays than there are; unrounded, no uniform copying is faster."""
    arrays = np.array([[float(n)] for n, _ in matrices])
    vectors = np.array([[float(v)] for _, v in matrices])
    needed = float(arrays.sum())
    there, one = needed + spare, np.ones((len(matrices), 1))
    copies = copies_of(arrays, vectors, one, one, there, needed)
    assert float((copies * arrays).sum()) <= there + 1e-9
    assert np.all(copies >= 1)
    assert np.all(copies == np.floor(copies))
    alike = floor(there / needed)
    if alike == 1:
        assert (vectors / copies).sum() <= vectors.sum() + 1e-9


def test_speed_is_published_clocks() -> None:
    """Wang et al., figure 23: rates from 0.7 to 1.1 V over that at 0.7 V, within 6 %."""
    volts, rates = np.array([0.7, 0.8, 0.9, 1.0, 1.1]), [2.377, 2.858, 3.2, 3.596, 3.941]
    found = speed(volts, 0.3) / speed(0.7, 0.3)
    np.testing.assert_allclose(found, np.array(rates) / rates[0], rtol=0.06)
