"""Slopes through JAX against finite differences, and descent to a latency of the hard model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel.formats import as_precision
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find

jax = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")
BANDWIDTH = "memories.main.bandwidth"
MODELS = (None, "roofline")
DEVICES = ("a100", "stm32h743")  # the second keeps its weights apart
#: Network, the dimension that is differentiated, where, and other settings.
WIDTHS: list[tuple[str, str, float, dict[str, Any]]] = [
    ("mobilenet_v2", "width_multiplier", 1.13, {}),
    ("mobilenet_v2", "width_multiplier", 0.61, {"batch": 8}),
    ("resnet18", "width_multiplier", 0.87, {}),
    ("efficientnet_b0", "height", 231.7, {}),
    ("llama_3_8b", "ffn_width", 11_234.5, {"phase": "prefill", "prompt": 512}),
    ("llama_3_8b", "width", 4000.5, {"phase": "decode", "head_dim": 128}),
    ("mixtral_8x7b", "batch", 3.3, {"phase": "decode"}),
    ("gemma_2_2b", "generate", 100.5, {"phase": "request", "prompt": 900}),
]


@pytest.fixture(autouse=True)
def doubles() -> Iterator[None]:
    """Numbers of 64 bits within a test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def agree(function: Callable[..., Any], *point: float) -> None:
    """The compiled slopes equal central differences of the same function in NumPy."""
    slopes = jax.jit(jax.grad(function, argnums=range(len(point))))(*point)
    for i, slope in enumerate(slopes):
        agrees(lambda x, i=i: function(*point[:i], x, *point[i + 1 :]), point[i], float(slope))


def agrees(function: Callable[[float], Any], x: float, slope: float) -> None:
    """A slope equals central differences."""
    step = 1e-6 * x
    differences = (float(function(x + step)) - float(function(x - step))) / (2 * step)
    # What the two values' own rounding leaves of the difference, as a slope.
    noise = 1e-8 * abs(float(function(x))) / x
    assert slope == pytest.approx(differences, rel=1e-6, abs=noise)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("network", "name", "value", "settings"), WIDTHS, ids=[f"{w[0]}-{w[1]}-{w[2]}" for w in WIDTHS]
)
def test_slopes_of_widths_and_bandwidth_are_finite_differences(
    network: str, name: str, value: float, settings: dict[str, Any], device: str, model: str | None
) -> None:
    machine = hardware(device).machine()
    rate = 1.0437 * machine[BANDWIDTH]  # off any point where two resources take equally long

    def latency(width: Any, bandwidth: Any) -> Any:
        return predict(
            find(network, {**settings, name: width}),
            machine.vary({BANDWIDTH: bandwidth}),
            model=model,
            relaxed=True,
        ).latency_s

    agree(latency, value, rate)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("metric", ["latency_s", "energy_j", "tokens_per_s", "peak_memory_bytes"])
def test_slopes_of_bits_are_finite_differences(metric: str, model: str | None) -> None:
    workload = find("llama_3_8b", {"phase": "decode", "batch": 4, "context": 3000})
    precision = as_precision("w4a16")
    for role in ("weights", "kv"):

        def value(bits: Any, role: str = role) -> Any:
            changed = precision.with_bits(**{role: bits})
            return getattr(
                predict(workload, hardware("a100"), precision=changed, model=model), metric
            )

        agree(value, 3.7)
        assert value(3.7) != value(3.8)


def test_slopes_of_every_fact_are_finite_differences() -> None:
    """Of a device whose runtime states efficiencies, delays and a draw."""
    machine = hardware("apple_m2_max").machine("llama_cpp_metal")
    workload = find("llama_2_7b", {"phase": "decode", "batch": 2})
    facts = {
        path: base
        for path, base in machine.facts.items()
        if base and path.startswith(("memories.", "engines.gpu.", "runtime.", "power."))
    }

    def energy(values: dict[str, Any]) -> Any:
        # A plain count must be whole; an array of JAX's is taken as it is.
        free = {
            path: jax.numpy.asarray(value) if machine.span(path).integral else value
            for path, value in values.items()
        }
        found = predict(workload, machine.vary(free), precision="q4_0")
        return found.energy_j * 1e-2 + found.latency_s

    slopes = jax.jit(jax.grad(energy))
    moving = 0
    for path, base in facts.items():
        at = 0.97 * base
        slope = float(slopes(facts | {path: at})[path])
        agrees(lambda value, path=path: energy({path: value}), at, slope)
        moving += energy({path: at}) != energy({path: 0.5 * base})
    assert moving >= 5


def test_slopes_need_no_compilation_and_have_the_sign_of_physics() -> None:
    machine = hardware("a100").machine()

    def latency(width: Any, bandwidth: Any) -> Any:
        workload = find("resnet18", {"width_multiplier": width})
        return predict(workload, machine.vary({BANDWIDTH: bandwidth}), relaxed=True).latency_s

    by_width, by_bandwidth = jax.grad(latency, argnums=(0, 1))(1.0, machine[BANDWIDTH])
    assert by_width > 0
    assert by_bandwidth < 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("relaxed", [True, False])
def test_vmap_equals_the_batch(model: str | None, relaxed: bool) -> None:
    """Points by vmap, one JAX array, and one NumPy array."""
    machine = hardware("jetson_agx_orin").machine()
    width, rate = np.linspace(0.4, 2.0, 9), np.geomspace(1e10, 1e12, 9)

    def ask(width: Any, rate: Any) -> Prediction:
        return predict(
            find("mobilenet_v3_large", {"width_multiplier": width}),
            machine.vary({BANDWIDTH: rate}),
            model=model,
            relaxed=relaxed,
        )

    metrics = ("latency_s", "energy_j", "peak_memory_bytes", "macs", "feasible")

    def metrics_of(width: Any, rate: Any) -> dict[str, Any]:
        found = ask(width, rate)
        return {metric: getattr(found, metric) for metric in metrics}

    together = metrics_of(width, rate)
    each = jax.jit(jax.vmap(metrics_of))(width, rate)
    whole = jax.jit(metrics_of)(width, rate)
    for metric in metrics:
        assert whole[metric].shape == width.shape
        np.testing.assert_allclose(np.asarray(each[metric]), together[metric], rtol=1e-12)
        np.testing.assert_allclose(np.asarray(whole[metric]), together[metric], rtol=1e-12)


def test_arrays_of_jax_give_arrays_of_jax() -> None:
    batch = jax.numpy.arange(1, 5)
    found = predict(find("mixtral_8x7b", {"phase": "decode", "batch": batch}), hardware("h100"))
    alike = predict(
        find("mixtral_8x7b", {"phase": "decode", "batch": [1, 2, 3, 4]}), hardware("h100")
    )
    assert isinstance(found.latency_s, jax.Array)
    np.testing.assert_allclose(np.asarray(found.latency_s), alike.latency_s, rtol=1e-12)
    assert repr(found) == repr(alike)


def test_a_traced_peak_of_another_format_is_no_trouble() -> None:
    """The engine has no fp32, so its int8 rate stands in; that rate has a slope all the same."""
    machine = hardware("edge_tpu").machine()
    path = "engines.tpu.peaks.int8"

    def latency(peak: Any) -> Any:
        found = predict(find("resnet18", {}), machine.vary({path: peak}), precision="fp32")
        return found.latency_s

    agree(latency, 0.3 * machine[path])


@cache
def latency_by(
    network: str, name: str, device: str, runtime: str | None, model: str | None
) -> tuple[Callable[[float], float], Callable[[float], Any]]:
    """A hard latency by a width, and the slope of the relaxed one's logarithm by the width's."""

    def latency(width: Any, relaxed: bool = False) -> Any:
        return predict(
            find(network, {name: width}),
            hardware(device),
            runtime=runtime,
            model=model,
            relaxed=relaxed,
        ).latency_s

    def logarithm(u: Any) -> Any:
        return jax.numpy.log(latency(jax.numpy.exp(u), relaxed=True))

    return latency, jax.jit(jax.grad(logarithm))


def descend(
    hard: Callable[[float], float], slope: Callable[[float], Any], target: float, width: float
) -> float:
    """Fifty steps on the logarithm of a width, as `docs/gradients.md` says it."""
    u, best = math.log(width), (math.inf, width)
    for step in range(50):
        width = math.exp(u)
        miss = math.log(hard(width) / target)
        best = min(best, (abs(miss), width))
        u -= max(-0.3, min(0.3, miss / float(slope(u)) / (2 + step / 5)))
    return best[1]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ratio", [0.7, 1.5])
@pytest.mark.parametrize(
    ("network", "name", "start", "device", "runtime"),
    [
        # Under TensorRT launches take most of the time, whatever the width.
        ("resnet18", "width_multiplier", 1.0, "a100", "ideal"),
        ("resnet50", "width_multiplier", 1.0, "raspberry_pi_5", None),
        ("mobilenet_v3_large", "width_multiplier", 1.0, "jetson_agx_orin", "ideal"),
        ("llama_3_8b", "ffn_width", 14_336.0, "apple_m2_max", None),
    ],
)
def test_fifty_steps_meet_a_latency_of_the_hard_model(
    network: str,
    name: str,
    start: float,
    device: str,
    runtime: str | None,
    ratio: float,
    model: str | None,
) -> None:
    """Where the stairs are no coarser: channels are multiples of 8."""
    hard, slope = latency_by(network, name, device, runtime, model)
    target = ratio * hard(start)
    width = descend(hard, slope, target, start)
    assert hard(width) == pytest.approx(target, rel=0.03)
