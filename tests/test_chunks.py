"""More points than one chunk: the same numbers, the same shapes, flat memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from perfmodel.errors import InputError
from perfmodel.formats import as_precision
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import METRICS, Prediction
from perfmodel.prediction.job import CHUNK
from perfmodel.workload.library import find

MODELS = (None, "roofline")
BANDWIDTH = "memories.main.bandwidth"


def llama(batch: Any = 1, context: Any = 1024, **settings: Any) -> Any:
    return find("llama_3_8b", {"phase": "decode", "batch": batch, "context": context, **settings})


def agrees(found: Prediction, at: tuple[int, ...], alone: Prediction) -> None:
    for metric in METRICS:
        values, value = getattr(found, metric), getattr(alone, metric)
        if value is None:
            assert values is None
            continue
        pairs = [(values, value)]
        if isinstance(value, dict):
            pairs = [(values[level], value[level]) for level in value]
        for many, one in pairs:
            assert np.shape(many) == found.shape, metric
            np.testing.assert_allclose(many[at], one, rtol=1e-12, err_msg=metric)
    assert found.feasible.shape == found.shape
    assert found.feasible[at] == alone.feasible
    assert found.energy.parts.keys() == alone.energy.parts.keys()
    for part, joule in alone.energy.parts.items():
        np.testing.assert_allclose(found.energy.parts[part][at], joule, rtol=1e-12, err_msg=part)


def random_points(shape: tuple[int, ...], n: int) -> list[tuple[int, ...]]:
    draw = np.random.default_rng(0)
    flat = [0, CHUNK - 1, CHUNK, int(np.prod(shape)) - 1, *draw.integers(0, np.prod(shape), n)]
    return [tuple(int(i) for i in np.unravel_index(f, shape)) for f in flat]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_one_axis_across_chunks(model: str | None, count: int) -> None:
    """Also where the last chunk holds a single point, or is full."""
    context = np.linspace(1.0, 9000.0, count)
    found = predict(llama(4, context), hardware("a100"), model=model)
    assert found.shape == (count,)
    for i in (0, count // 2, count - 1):
        agrees(found, (i,), predict(llama(4, float(context[i])), hardware("a100"), model=model))


@pytest.mark.parametrize("model", MODELS)
def test_four_axes_across_chunks(model: str | None) -> None:
    """Two dimensions, a fact and the bits, each on an axis of its own."""
    batch, context = np.arange(1.0, 14.0), np.linspace(128.0, 8192.0, 17)
    bits, bandwidth = np.linspace(1.58, 16.0, 11), np.geomspace(1e10, 3e12, 19)
    device, precision = hardware("rtx_4090"), as_precision("w4a16kv8")
    found = predict(
        llama(batch[:, None, None, None], context[:, None, None]),
        device.machine().vary({BANDWIDTH: bandwidth}),
        precision=precision.with_bits(weights=bits[:, None]),
        model=model,
    )
    shape = (13, 17, 11, 19)
    assert found.shape == shape
    assert np.prod(shape) > 2 * CHUNK
    for at in random_points(shape, 20):
        i, j, k, m = at
        alone = predict(
            llama(float(batch[i]), float(context[j])),
            device.machine().vary({BANDWIDTH: float(bandwidth[m])}),
            precision=precision.with_bits(weights=float(bits[k])),
            model=model,
        )
        agrees(found, at, alone)
        agrees(found, at, found.at(*at))


def test_a_request_across_chunks() -> None:
    """Counts that vary (steps generated) and times by phase."""
    generate = np.arange(1.0, CHUNK + 101.0)
    settings = {"phase": "request", "prompt": 64}
    found = predict(find("llama_3_8b", {**settings, "generate": generate}), hardware("h100"))
    for i in (0, CHUNK, len(generate) - 1):
        alone = predict(
            find("llama_3_8b", {**settings, "generate": float(generate[i])}), hardware("h100")
        )
        agrees(found, (i,), alone)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "shapes",
    [
        ((), (5,)),
        ((1,), (5,)),
        ((5,), ()),
        ((4, 1), (5,)),
        ((1, 1), (1,)),
        ((3, 1, 1), (1, 4, 1)),
        ((1, 4, 5), (3, 1, 1)),
        ((2, 1, 1, 1), (3, 1)),
    ],
)
def test_shapes_are_those_of_numpy(
    model: str | None, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    """Of a dimension and a fact; an array of one point stays an array."""
    dims, facts = shapes
    shape = np.broadcast_shapes(dims, facts)
    batch = np.arange(1.0, 1.0 + np.prod(dims, dtype=int)).reshape(dims)
    rate = np.geomspace(1e11, 1e12, int(np.prod(facts, dtype=int))).reshape(facts)
    machine = hardware("a100").machine().vary({BANDWIDTH: rate})
    found = predict(llama(batch), machine, model=model)
    assert found.shape == shape
    whole = (np.broadcast_to(batch, shape), np.broadcast_to(rate, shape))
    for at in np.ndindex(shape):
        alone = predict(
            llama(float(whole[0][at])),
            hardware("a100").machine().vary({BANDWIDTH: float(whole[1][at])}),
            model=model,
        )
        agrees(found, at, alone)


def test_what_does_not_vary_has_the_full_shape() -> None:
    """Work does not depend on bandwidth, nor storage of weights on the batch."""
    rate = np.geomspace(1e10, 1e12, 2 * CHUNK)
    found = predict(llama(), hardware("a100").machine().vary({BANDWIDTH: rate}))
    for values in (found.macs, found.weight_bytes, found.parameters, found.traffic_bytes["hbm"]):
        assert values.shape == rate.shape
        assert np.ptp(values) == 0


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64, np.float32])
def test_whole_numbers_of_any_type_overflow_nothing(dtype: Any) -> None:
    """Of arrays, scalars of NumPy and lists, in the work and in the tokens that a run yields."""
    batch = np.arange(1, 200, 66, dtype=dtype)
    device = hardware("a100")

    def ask(value: Any) -> Prediction:
        settings = {"phase": "prefill", "batch": value, "prompt": 100_000}
        return predict(find("llama_3_8b", settings), device)

    found, listed = ask(batch), ask(batch.tolist())
    for i, b in enumerate(batch):
        agrees(found, (i,), ask(int(b)))
        agrees(listed, (i,), ask(b))


@pytest.mark.parametrize("value", [True, "3", ["3"], [1, [2, 3]], [], None, [1.0, np.nan], [2, 0]])
def test_what_is_no_extent_is_bad_input(value: Any) -> None:
    with pytest.raises(InputError, match=r"batch: .*; expected a number above 0"):
        llama(value)


def test_inputs_are_left_as_they_were() -> None:
    batch, rate = np.arange(1.0, 9.0), np.geomspace(1e10, 1e12, 8)
    before: list[npt.NDArray[np.float64]] = [batch.copy(), rate.copy()]
    machine = hardware("a100").machine().vary({BANDWIDTH: rate})
    predict(llama(batch), machine).to_dict()
    np.testing.assert_array_equal(batch, before[0])
    np.testing.assert_array_equal(rate, before[1])


def test_shapes_that_do_not_broadcast_are_named() -> None:
    machine = hardware("a100").machine().vary({BANDWIDTH: np.geomspace(1e10, 1e12, 4)})
    with pytest.raises(InputError, match=r"batch \(3,\).*memories.hbm.bandwidth \(4,\)"):
        predict(llama(np.arange(1.0, 4.0)), machine)


MEMORY = """
import resource, sys
import numpy as np
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find

def run(n):
    context = np.linspace(1.0, 9000.0, n)
    workload = find("llama_3_8b", {"phase": "decode", "context": context})
    return predict(workload, hardware("a100"))

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

run(32_768)
before = peak()
points = 400_000
found = run(points)
kept = sum(v.nbytes for v in found.totals.values())
print((peak() - before - kept) / points)
"""


def test_memory_holds_the_results_and_one_chunk() -> None:
    """400,000 points: beyond inputs and results, not even two numbers a point."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 24
