"""Spiking networks: a rate of 1 is the dense layer, cost never falls with it, counts by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.workload.families import family
from perfmodel.workload.workload import Workload, from_family
from tests.draws import draws
from tests.offenders import each

DEVICES = ("stm32h743", "raspberry_pi_4", "kv260", "gemmini_16x16", "bit_fusion_apq")
few = st.integers(1, 6)


def model(name: str, values: dict[str, Any] | None = None, **structure: Any) -> Workload:
    kind = family(name)
    return from_family(name, kind, kind.structure.model_validate(structure), values or {})


def simulate(
    inputs: np.ndarray[Any, Any], layers: list[int], *, recurrent: bool, threshold: float = 0.4
) -> tuple[int, int, list[np.ndarray[Any, Any]]]:
    """A network of leaky neurons, driven by events: accumulates, operations of neurons, spikes."""
    rng = np.random.default_rng(0)
    heard, accumulates, updates, out = inputs, 0, 0, []
    for width in layers:
        rows = heard.shape[1] + (width if recurrent else 0)
        weights = rng.normal(size=(rows, width))
        v, fired = np.zeros(width), np.zeros(width, dtype=bool)
        spikes = []
        for step in heard:
            current = np.zeros(width)
            events = np.concatenate([step, fired]) if recurrent else step
            for i in np.flatnonzero(events):
                current += weights[i]
                accumulates += width
            for n in range(width):
                v[n] = 0.9 * v[n] + current[n]  # a product and an addition
                fired[n] = v[n] > threshold  # a comparison
                v[n] = 0.0 if fired[n] else v[n]  # a choice
                updates += 4
            spikes.append(fired.copy())
        heard = np.array(spikes)
        out.append(heard)
    return accumulates, updates, out


@given(few, st.lists(few, min_size=1, max_size=3), few, st.integers(0, 1000))
@settings(deadline=None, max_examples=draws(30))
def test_accumulates_are_those_of_a_simulation(
    inputs: int, layers: list[int], steps: int, seed: int
) -> None:
    """With the rate of each source as it was in the simulation, layer by layer."""
    events = np.random.default_rng(seed).random((steps, inputs)) < 0.4
    accumulates, updates, spikes = simulate(events, layers, recurrent=False)
    heard, total, ops = events, 0.0, 0.0
    for width, fired in zip(layers, spikes, strict=True):
        one = model(
            "spiking",
            {"input_rate": float(heard.mean())},
            inputs=heard.shape[1],
            layers=[width],
            steps=steps,
        )
        row = next(o for _, o in one.graph().walk() if o.kind == "recurrent")
        # An extent that is summed over is at least a millionth of a neuron.
        total += one.number(row.macs)
        ops += one.number(row.vector_ops)
        heard = fired
    assert total == pytest.approx(accumulates, abs=1e-3)
    assert ops == updates


@pytest.mark.parametrize("neuron", ["if", "lif", "cuba"])
@pytest.mark.parametrize("recurrent", [False, True])
@given(few, st.lists(few, min_size=1, max_size=3), few)
@settings(deadline=None, max_examples=draws(10))
def test_all_firing_is_the_dense_network(
    neuron: str, recurrent: bool, inputs: int, layers: list[int], steps: int
) -> None:
    shape = {
        "inputs": inputs,
        "layers": layers,
        "steps": steps,
        "recurrent": recurrent,
        "neuron": neuron,
        "outputs": 3,
    }
    full = {"input_rate": 1.0, "spike_rate": 1.0}
    event = model("spiking", full, **shape)
    clocked = model("spiking", full, **shape, execution="clocked")
    widths = [inputs, *layers]
    dense = sum((a + (b if recurrent else 0)) * b for a, b in zip(widths, layers, strict=False))
    assert event.macs == clocked.macs == steps * dense + layers[-1] * 3
    for device in DEVICES:
        a, b = pm.predict(event, device), pm.predict(clocked, device)
        assert a.latency_s == pytest.approx(b.latency_s, rel=1e-12)
        assert a.traffic_bytes == pytest.approx(b.traffic_bytes, rel=1e-12)


@each("name, device", lambda: product(pm.workload.list("spiking"), DEVICES))
def test_cost_never_falls_with_the_rate(name: str, device: str) -> None:
    rates = np.array([0.0, 1e-3, 0.01, 0.1, 0.5, 1.0])
    for rate in ("spike_rate", "input_rate"):
        p = pm.predict(pm.workload(name, **{rate: rates}), device)
        assert np.all(np.isfinite(p.latency_s))
        assert np.all(np.diff(p.latency_s) >= -1e-12 * p.latency_s[1:])
        moved = sum(p.traffic_bytes.values())
        assert np.all(np.diff(moved) >= -1e-12 * moved[1:])
    clocked = pm.predict(pm.workload(name, spike_rate=rates, execution="clocked"), device)
    # Equal but for the last bits: a product of matrices may add the terms of its last columns in
    # another order (OpenBLAS does on processors with AVX2), and some hundreds of rows are summed.
    np.testing.assert_allclose(clocked.latency_s, clocked.latency_s[0], rtol=1e-12)
    single = pm.predict(pm.workload(name, spike_rate=0.1), device).latency_s
    both = pm.predict(pm.workload(name, spike_rate=np.array([0.1, 0.7])), device).latency_s
    assert both[0] == pytest.approx(single, rel=1e-12)


def test_silence_still_updates_every_neuron() -> None:
    quiet = model("spiking", {"input_rate": 0, "spike_rate": 0}, inputs=8, layers=[5], steps=7)
    row = next(o for _, o in quiet.graph().walk() if o.kind == "recurrent")
    assert quiet.number(row.vector_ops) == 4 * 5 * 7
    assert quiet.macs < 1e-3
    assert pm.predict(quiet, "stm32h743").latency_s > 0


def test_weights_that_are_read_follow_the_spikes() -> None:
    shape = {"inputs": 100, "layers": [50], "steps": 10}
    read = {}
    for rate in (0.1, 0.2, 1.0):
        one = model("spiking", {"input_rate": rate}, **shape)
        row = next(o for _, o in one.graph().walk() if o.kind == "recurrent")
        read[rate] = next(one.number(a.elements) for a in row.accesses if "weight" in a.tensor)
    assert read == pytest.approx({rate: 10 * rate * 100 * 50 for rate in read})
    assert one.weights == 100 * 50


def test_sparse_connections_store_where_they_lead() -> None:
    whole = model("spiking", inputs=100, layers=[50])
    part = model("spiking", inputs=100, layers=[50], connectivity=0.2)
    assert part.macs == pytest.approx(0.2 * whole.macs)
    assert part.weights == pytest.approx(2 * 0.2 * whole.weights)


def test_rows_of_an_array_are_said() -> None:
    """A memory array holds all rows of weights and draws current in those that fire."""
    from perfmodel.workload.lower import lower

    for execution, read in (("event", 0.25 * 256 + 0.5 * 200), ("clocked", 456)):
        lsm = pm.workload("lsm_n_mnist", input_rate=0.25, spike_rate=0.5, execution=execution)
        table = lower(lsm.graph()).bind(lsm.parameters)
        assert table.rows[0].functions == (f"lif_{execution}",)
        assert float(table.extents["inputs"][0, 0]) == 256 + 200
        assert float(table.extents["active"][0, 0]) == 0.25 * 256 + 0.5 * 200
        assert float(table.macs[0, 0]) == 50 * read * 200


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan"), "often"])
def test_a_rate_is_a_share(rate: Any) -> None:
    with pytest.raises(InputError) as caught:
        pm.workload("lsm_n_mnist", spike_rate=rate)
    assert "spike_rate" in str(caught.value)


def test_a_misspelt_rate_is_found() -> None:
    with pytest.raises(InputError) as caught:
        pm.workload("lsm_n_mnist", spikerate=0.1)
    assert "spike_rate" in str(caught.value)


# Legendre memory units


def test_legendre_memory_has_the_published_parameters() -> None:
    """Voelker et al. 2019: 212 units, order 256, 102k that are trained beside A and B."""
    lmu = pm.workload("lmu_psmnist")
    trained = lmu.weights - (256 * 256 + 256)
    h, d = 212, 256
    assert trained == (1 + h + d) + h * (d + 1 + h) + (h * 10 + 10)
    assert trained == pytest.approx(102e3, rel=1e-3)
    step = (1 + h + d) + d * (d + 1) + h * (d + 1 + h)
    assert lmu.macs == 784 * step + h * 10


@given(few, few, few, few, st.booleans(), st.booleans())
@settings(deadline=None, max_examples=draws(20))
def test_spiking_memory_at_full_rate_is_the_real_one(
    inputs: int, hidden: int, order: int, memories: int, to_memory: bool, to_hidden: bool
) -> None:
    shape = {
        "inputs": inputs,
        "hidden": hidden,
        "order": order,
        "memories": memories,
        "hidden_to_memory": to_memory,
        "memory_to_memory": to_memory,
        "input_to_hidden": to_hidden,
        "steps": 3,
    }
    real = model("lmu", **shape)
    full = {"input_rate": 1.0, "spike_rate": 1.0}
    spiking = model("lmu", full, **shape, neuron="lif")
    assert spiking.macs == real.macs
    assert spiking.weights == real.weights
    assert model("lmu", **shape, neuron="lif", execution="clocked").macs == real.macs


# questions about a rate


@pytest.mark.parametrize("start", [0.1, 1.0, 0.0])
def test_the_rate_that_a_board_keeps_up_with(start: float) -> None:
    def latency(rate: float) -> float:
        return pm.predict(lsm.bind({"spike_rate": rate}), "stm32h743", precision="w8a8").latency_s

    lsm = pm.workload("lsm_n_mnist", spike_rate=start)
    limit = latency(0.3)
    found = pm.solve(lsm, "stm32h743", "spike_rate", f"latency_s <= {limit:.9g}", precision="w8a8")
    assert found.value == pytest.approx(0.3, rel=1e-3)
    assert latency(found.value) <= limit * (1 + 1e-6)


def test_a_rate_differentiates() -> None:
    jax = pytest.importorskip("jax")

    def latency(rate: Any) -> Any:
        network = pm.workload("lsm_n_mnist", spike_rate=rate)
        return pm.predict(network, "raspberry_pi_4", precision="w8a8").latency_s

    with jax.enable_x64(True):
        slope = float(jax.jit(jax.grad(latency))(0.1))
    assert slope == pytest.approx((latency(0.101) - latency(0.099)) / 0.002, rel=1e-6)
