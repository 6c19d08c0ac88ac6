"""Quantisation against closed forms, published quantisers, ml_dtypes and onnxruntime."""

from itertools import pairwise, product

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtri

from perfmodel.errors import InputError
from perfmodel.formats import Format, format_named, formats
from perfmodel.search.accuracy.quantisation_scales import symmetric, ternary
from perfmodel.search.accuracy.representable_numbers import FLOATS, Integers
from perfmodel.search.accuracy.simulated_quantisation import fake_quantise, noise, simulated

FLOAT_ROWS = arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(1, 24)),
    elements=st.floats(-100, 100, width=32),
)


def _normal(size: int = 100_000) -> np.ndarray:
    return ndtri((np.arange(size) + 0.5) / size)


def _db(pair: tuple[float, float]) -> float:
    return 10 * np.log10(pair[1] / pair[0])


@pytest.mark.parametrize("bits", range(4, 9))
def test_a_uniform_signal_gains_six_decibels_a_bit(bits: int) -> None:
    # n steps over the range: noise is step^2 / 12, signal 1 / 3, so 20 log10 n dB. Codes are not
    # symmetric: 2^b - 2 steps cover the range, one more reaches beyond it on one side.
    values = (np.arange(200_000) + 0.5) / 100_000 - 1.0
    found = _db(noise(values, format_named(f"int{bits}"), None))
    assert 20 * np.log10(2**bits - 2) - 0.01 < found < 20 * np.log10(2) * bits
    shifted = _db(noise(values, format_named("uint8").with_bits(bits), None, clip="max"))
    assert shifted == pytest.approx(20 * np.log10(2**bits - 1), abs=0.05)


# Max, IRE Trans. Inf. Theory 1960, for a unit normal: squared error of the best quantiser with 2^b
# free levels (table I) and with 2^b equal steps (table II).
MAX_1960 = {
    2: (0.1175, 0.1188),
    3: (0.03454, 0.03744),
    4: (0.009497, 0.01154),
    5: (0.002499, 0.003495),
}


@pytest.mark.parametrize("bits", MAX_1960)
def test_the_best_clipping_of_a_normal_signal_is_near_max_uniform_quantiser(bits: int) -> None:
    values = _normal()
    error = noise(values, format_named(f"int{bits}"), None)[0] / values.size
    free, uniform = MAX_1960[bits]
    # Two's complement has a level at zero, so one side lacks a level that Max's quantiser has.
    lost = {2: 1.3, 3: 1.1, 4: 1.05, 5: 1.035}[bits]
    assert free < error < uniform * lost
    half = 2 ** (bits - 1)
    steps = np.linspace(0.4, 1.4, 251) if bits < 4 else np.linspace(0.12, 0.4, 281)
    every = [
        np.mean((np.clip(np.rint(values / s), -half, half - 1) * s - values) ** 2) for s in steps
    ]
    assert error == pytest.approx(min(every), rel=0.005)


# Banner et al., "Post-training 4-bit quantization", NeurIPS 2019 (ACIQ), optimal clipping values of
# a unit normal.
ACIQ = {4: 2.55, 5: 2.93, 6: 3.28, 7: 3.61, 8: 3.92}


@pytest.mark.parametrize("bits", ACIQ)
def test_where_a_normal_signal_is_clipped_is_acis_value(bits: int) -> None:
    half = 2.0 ** (bits - 1)
    scale = symmetric(_normal()[None, :], Integers(-half, half - 1))[0]
    assert scale * half == pytest.approx(ACIQ[bits], rel=0.08)


def test_max_scales_clip_nothing_and_are_off_by_half_a_step_at_most() -> None:
    weights = np.random.default_rng(2).normal(size=(16, 300))
    made = fake_quantise(weights, format_named("int6"), axis=0, clip="max")
    step = np.abs(weights).max(axis=1, keepdims=True) / 31
    assert np.all(np.abs(made - weights) <= step / 2 + 1e-12)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_integers_in_range_are_exact_under_any_scale_of_a_channel(bits: int) -> None:
    codes = np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1), dtype=float)
    weights = np.array([[0.37], [1.0], [250.0]]) * codes
    made = fake_quantise(weights, format_named(f"int{bits}"), axis=0)
    np.testing.assert_allclose(made, weights, rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "fp16",
        "bf16",
        "fp8_e4m3",
        "fp8_e5m2",
        "mxfp8",
        "mxfp4",
        "bfp8",
        "fp4",
        "nvfp4",
        "int2",
        "q8_0",
    ],
)
def test_powers_of_two_of_one_size_are_exact(name: str) -> None:
    signs = np.where(np.random.default_rng(0).random((4, 32)) < 0.5, -1.0, 1.0)
    weights = signs * np.array([[0.25], [0.5], [1.0], [4.0]])
    tolerance = 1e-3 if name in {"q8_0", "nvfp4"} else 0  # scales themselves are rounded
    made = fake_quantise(weights, format_named(name), axis=0)
    np.testing.assert_allclose(made, weights, rtol=tolerance)


ML = {
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp8_e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
    "fp6": "float6_e3m2fn",
    "fp6_e2m3": "float6_e2m3fn",
    "fp4": "float4_e2m1fn",
}


@pytest.mark.parametrize("name", ML)
def test_float_grids_round_as_ml_dtypes_does(name: str) -> None:
    kind = np.dtype(np.float16) if name == "fp16" else np.dtype(getattr(ml_dtypes, ML[name]))
    grid = FLOATS[name]
    draw = np.random.default_rng(3)
    exponent = draw.uniform(grid.least - grid.mantissa - 2, grid.most, 20_000)
    values = np.float32(draw.choice([-1, 1], 20_000) * 2.0**exponent)
    values = np.concatenate([values, np.float32([0, grid.top, -grid.top])])
    np.testing.assert_array_equal(
        grid.nearest(values.astype(float)), values.astype(kind).astype(float)
    )


@pytest.mark.parametrize(
    ("name", "element", "emax"),
    [
        ("mxfp8", "float8_e4m3fn", 8),
        ("mxfp6", "float6_e2m3fn", 2),
        ("mxfp4", "float4_e2m1fn", 2),
    ],
)
def test_microscaling_follows_the_conversion_of_the_ocp_specification(
    name: str, element: str, emax: int
) -> None:
    weights = np.float32(np.random.default_rng(4).normal(size=(6, 64)))
    blocks = weights.reshape(-1, 32)
    scale = 2.0 ** (np.floor(np.log2(np.abs(blocks).max(axis=1, keepdims=True))) - emax)
    kind = np.dtype(getattr(ml_dtypes, element))
    top = float(ml_dtypes.finfo(kind).max)
    exact = np.clip(blocks / scale, -top, top).astype(np.float32).astype(kind).astype(float) * scale
    made = fake_quantise(weights, format_named(name), axis=0)
    np.testing.assert_array_equal(made, exact.reshape(weights.shape))


def test_mxint8_elements_are_64ths_of_the_scale() -> None:
    block = np.zeros(32)
    block[:4] = [1.0, 1 / 64, 1 / 128 + 1e-9, 1.999]
    made = fake_quantise(block, format_named("mxint8"), axis=None)
    # 1.999 saturates at 1 + 63/64, the largest element of the format.
    np.testing.assert_allclose(made[:4], [1.0, 1 / 64, 1 / 64, 1 + 63 / 64], rtol=0)


@pytest.mark.parametrize(("name", "bits"), [("bfp8", 4), ("bfp16", 8)])
def test_a_block_float_keeps_its_largest_to_a_step(name: str, bits: int) -> None:
    weights = np.random.default_rng(5).normal(size=(8, 48))
    blocks = weights.reshape(-1, 16)
    step = 2.0 ** (np.floor(np.log2(np.abs(blocks).max(axis=1, keepdims=True))) - (bits - 2))
    made = fake_quantise(weights, format_named(name), axis=0).reshape(-1, 16)
    codes = made / step
    np.testing.assert_array_equal(codes, np.rint(codes))
    assert np.abs(codes).max() <= 2 ** (bits - 1) - 1
    inside = np.abs(blocks / step) <= 2 ** (bits - 1) - 0.5
    assert np.all(np.abs(made - blocks)[inside] <= np.broadcast_to(step / 2, made.shape)[inside])


def test_the_best_ternary_of_a_normal_signal_is_max_three_levels() -> None:
    # Max 1960, table I, N = 3: levels at 0 and 1.224, squared error 0.1902.
    values = _normal()[None, :]
    made = ternary(values)
    assert np.mean((made - values) ** 2) == pytest.approx(0.1902, rel=0.01)
    assert made.max() == pytest.approx(1.224, rel=0.01)


def test_the_threshold_of_ternary_weight_networks_is_close_and_never_better() -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).standard_t(4, size=(3, 500))
        exact, rule = ternary(values), ternary(values, rule="twn")
        threshold = 0.7 * np.abs(values).mean(axis=1, keepdims=True)
        np.testing.assert_array_equal(rule != 0, np.abs(values) > threshold)
        best, near = (float(np.sum((made - values) ** 2)) for made in (exact, rule))
        assert best <= near <= 1.3 * best


@given(arrays(np.float64, st.integers(1, 7), elements=st.floats(-8, 8, width=32)))
def test_ternary_is_the_best_of_all_masks(values: np.ndarray) -> None:
    best = np.inf
    for mask in product([0, 1], repeat=len(values)):
        kept = np.abs(values)[np.array(mask, bool)]
        level = kept.mean() if kept.size else 0.0
        made = np.sign(values) * np.array(mask) * level
        best = min(best, float(np.sum((made - values) ** 2)))
    found = float(np.sum((ternary(values[None, :])[0] - values) ** 2))
    assert found == pytest.approx(best, rel=1e-9, abs=1e-9)


def test_one_bit_leaves_the_variance_of_the_magnitudes() -> None:
    weights = np.random.default_rng(6).normal(size=(5, 400))
    error, _ = noise(weights, format_named("int1"), 0)
    assert error == pytest.approx(float(np.abs(weights).var(axis=1).sum() * 400), rel=1e-12)


@given(FLOAT_ROWS, st.sampled_from([0, None]))
def test_one_more_bit_never_has_more_noise(weights: np.ndarray, axis: int | None) -> None:
    errors = [noise(weights, format_named(f"int{bits}"), axis)[0] for bits in range(1, 9)]
    for fewer, more in pairwise(errors):
        assert more <= fewer * (1 + 1e-9) + 1e-18


@given(FLOAT_ROWS, st.sampled_from(["int3", "int4", "fp4", "fp8_e4m3", "q4_0"]))
def test_clipping_for_least_error_is_never_worse_than_none(weights: np.ndarray, name: str) -> None:
    form = format_named(name)
    best, plain = noise(weights, form, 0)[0], noise(weights, form, 0, clip="max")[0]
    assert best <= plain * (1 + 1e-9) + 1e-18


@given(FLOAT_ROWS, st.sampled_from(sorted(n for n, f in formats().items() if simulated(f))))
def test_every_format_keeps_the_shape_and_what_it_made(weights: np.ndarray, name: str) -> None:
    made = fake_quantise(weights, format_named(name), axis=0)
    assert made.shape == weights.shape
    assert np.isfinite(made).all()
    assert np.abs(made).max(initial=0) <= 3 * np.abs(weights).max(initial=0) + 1e-6


def test_channels_have_scales_of_their_own_along_any_axis() -> None:
    weights = np.random.default_rng(7).normal(size=(6, 5, 3, 3))
    weights *= 10.0 ** np.arange(5)[None, :, None, None]
    form = format_named("int4")
    made = fake_quantise(weights, form, axis=1)
    for channel in range(5):
        alone = fake_quantise(weights[:, channel], form, axis=None)
        np.testing.assert_allclose(made[:, channel], alone, rtol=1e-12)
    assert noise(weights, form, 1)[0] < noise(weights, form, None)[0]


def test_a_group_is_a_row_of_its_own_and_the_last_may_be_short() -> None:
    weights = np.random.default_rng(8).normal(size=(3, 70))
    made = fake_quantise(weights, format_named("q8_0"), axis=0)
    for start in (0, 32, 64):
        part = weights[:, start : start + 32]
        alone = fake_quantise(part, format_named("int8"), axis=0)
        step = np.abs(part).max(axis=1, keepdims=True) / 127
        assert np.all(np.abs(made[:, start : start + 32] - alone) <= 1.1 * step)


def test_a_zero_point_serves_values_of_one_sign() -> None:
    values = np.random.default_rng(9).uniform(0, 1, 4096)
    signed, shifted = format_named("int8"), format_named("uint8")
    gain = _db(noise(values, shifted, None)) - _db(noise(values, signed, None))
    assert gain == pytest.approx(20 * np.log10(2), abs=0.3)  # one bit: the sign is not needed
    assert 0.0 in fake_quantise(np.append(values, 0.0), shifted, axis=None)


def test_smaller_groups_have_less_noise_on_average() -> None:
    weights = np.random.default_rng(10).standard_t(3, size=(32, 1024))
    errors = [
        noise(weights, format_named(name), 0)[0] for name in ("int4g256", "int4g64", "int4g16")
    ]
    assert errors[0] > errors[1] > errors[2]


def _linear_pair(scale: np.ndarray, zero: np.ndarray, axis: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=axis),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=axis),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "y")]
    graph = helper.make_graph(
        nodes,
        "pair",
        values[:1],
        values[1:],
        [
            numpy_helper.from_array(scale.astype(np.float32), "s"),
            numpy_helper.from_array(zero, "z"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return model.SerializeToString()


@pytest.mark.parametrize("axis", [0, 1])
def test_onnxruntime_makes_the_same_values_from_the_same_scales(axis: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    weights = np.float32(np.random.default_rng(11).uniform(-0.9, 0.9, size=(8, 40)))
    weights[0, :] = weights[:, 0] = 127 / 128  # scales of 1/128: both divide without rounding
    scale = np.full(weights.shape[axis], 1 / 128)
    model = _linear_pair(scale, np.zeros(scale.size, np.int8), axis)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    exact = session.run(None, {"x": weights})[0]
    made = fake_quantise(weights, format_named("int8"), axis=axis, clip="max")
    np.testing.assert_array_equal(made, exact)


def test_onnxruntime_makes_the_same_values_with_a_zero_point() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    values = np.float32(np.random.default_rng(12).uniform(-0.5, 1.4, size=(1000,)))
    values[:2] = -64 / 128, 191 / 128
    model = _linear_pair(np.array(1 / 128), np.array(64, np.uint8), 0)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    made = fake_quantise(values, format_named("uint8"), axis=None, clip="max")
    np.testing.assert_array_equal(made, session.run(None, {"x": values})[0])


def test_codebooks_arrays_of_bits_and_nan_are_refused() -> None:
    with pytest.raises(InputError, match="'iq2_xs' is not simulated"):
        fake_quantise(np.ones(4), format_named("iq2_xs"))
    wide = Format("int4", np.array([2, 4]), "int", "int4")
    with pytest.raises(InputError) as caught:
        fake_quantise(np.array([1.0, np.nan]), wide)
    assert len(caught.value.faults) == 2
    assert fake_quantise(np.zeros((0, 3)), format_named("int4")).shape == (0, 3)
    assert not fake_quantise(np.zeros((2, 3)), format_named("q4_k")).any()
