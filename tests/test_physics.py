"""What any predicted network on any machine must obey, on random networks and machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.formats import as_precision
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Fusion, Runtime, Semantics
from perfmodel.predict import predict
from perfmodel.prediction import METRICS, Prediction
from perfmodel.testing.laws import allowed, falling, never_rises, rising
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics as GraphSemantics
from perfmodel.workload.library import find
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload
from tests.draws import draws

DEVICES = (
    "a100",
    "apple_m2_max",
    "edge_tpu",
    "jetson_agx_orin",
    "kv260",
    "raspberry_pi_5",
    "stm32h743",
    "zen4_core",
)
PRECISIONS = ("fp32", "fp16", "int8", "w8a16", "w4a16kv8", "q4_0", "q4_k_m")
MODELS = (None, "roofline")

small = settings(max_examples=draws(40))


def factors(low: float = -1.0, high: float = 1.0) -> st.SearchStrategy[float]:
    """Factors spread evenly over orders of magnitude."""
    return st.floats(low, high).map(lambda e: float(10.0**e))


def nearer_is_faster(machine: Machine) -> Machine:
    """Return it with memories as fast as those behind them: else more room may be a loss."""
    rate, changes = 0.0, dict[str, Any]()
    for memory in reversed(machine.hierarchy()):
        path = f"memories.{memory.name}.bandwidth"
        rate = max(rate, float(machine.facts[path]))
        changes[path] = rate
    return machine.vary(changes)


@st.composite
def machines(draw: st.DrawFn, runtimes: tuple[str | None, ...] = (None, "generic")) -> Machine:
    """A device of the library with its rates and sizes scaled, and delays and energies set."""
    machine = hardware(draw(st.sampled_from(DEVICES))).machine(draw(st.sampled_from(runtimes)))
    engine = f"engines.{machine.engine}"
    changes: dict[str, Any] = {}
    for path, value in machine.facts.items():
        rates = (f"{engine}.peaks", f"{engine}.vector_peaks")
        memory = path.startswith("memories.")
        if path.startswith(rates) or (memory and path.endswith(".bandwidth")):
            changes[path] = value * draw(factors())
        elif memory and path.endswith(
            ".capacity"
        ):  # down to where a random network's tensors compete
            changes[path] = value * draw(factors(-5, 1))
    if draw(st.booleans()):
        changes[f"{engine}.launch_overhead"] = draw(factors(-7, -4))
        changes["runtime.per_run"] = draw(factors(-6, -3))
        for memory in machine.hierarchy():
            changes[f"memories.{memory.name}.latency"] = draw(factors(-8, -6))
    if draw(st.booleans()):
        for path in machine.paths:
            if path.startswith(f"{engine}.energy_per_op.") or path.endswith(".energy_per_byte"):
                changes[path] = draw(factors(-13, -10))
    return machine.vary(changes)


@st.composite
def networks(draw: st.DrawFn) -> Workload:
    """A chain of convolutions with branches and repeats, or of GEMMs; batch and width are free."""
    steps = draw(st.lists(st.integers(0, 9), min_size=1, max_size=8))
    size, repeats = draw(st.integers(4, 24)), draw(st.integers(1, 4))
    image = draw(st.booleans())

    def convolutions(g: GraphBuilder) -> None:
        width = symbol("width")
        x = g.input("x", (symbol("batch"), width, size, size))
        older = x
        for i, step in enumerate(steps):
            older, before = x, older
            if step <= 1:
                x = g.conv(x, width, 3, padding=1, name=f"conv{i}")
            elif step == 2:
                x = g.conv(x, 2 * width, 1, bias=False, name=f"wide{i}")
            elif step == 3:
                x = g.conv(x, x.shape[1], 3, padding=1, groups=x.shape[1], name=f"depthwise{i}")
            elif step == 4:
                x = g.elementwise("relu", x, name=f"relu{i}")
            elif step == 5:
                x = g.norm(x, "batch_norm", name=f"norm{i}")
            elif step == 6 and before.shape == x.shape:
                x = g.elementwise("add", x, before, name=f"add{i}")
            elif step == 7:
                x = g.copy([x, older], (x.shape[0], 2 * x.shape[1], *x.shape[2:]), name=f"cat{i}")
            elif step == 8:
                with g.repeat(repeats, f"block{i}"):
                    y = g.conv(x, x.shape[1], 3, padding=1, name="conv")
                    x = g.elementwise("add", g.elementwise("relu", y), x)
            else:
                x = g.pool(x, 3, stride=1, padding=1, name=f"pool{i}")
        g.output(g.linear(g.global_pool(x), 10, name="classifier"))

    def products(g: GraphBuilder) -> None:
        width = symbol("width")
        x = g.input("x", (symbol("batch"), size, width))
        for i, step in enumerate(steps):
            if step <= 3:
                x = g.linear(x, (step + 1) * width, name=f"linear{i}")
            elif step <= 5:
                x = g.norm(x, "layer_norm", name=f"norm{i}")
            elif step == 6:
                x = g.softmax(x, name=f"softmax{i}")
            elif step == 7:
                y = g.linear(x, x.shape[-1], bias=False, name=f"inner{i}")
                x = g.elementwise("add", x, y, name=f"add{i}")
            else:
                with g.repeat(repeats, f"layer{i}"):
                    y = g.elementwise("gelu", g.linear(x, 2 * width))
                    x = g.linear(y, x.shape[-1])
        g.output(x)

    g = GraphBuilder("random")
    (convolutions if image else products)(g)
    graph = g.build()

    def build(semantics: GraphSemantics) -> Any:
        return graph

    numbers = {"batch": float(draw(st.integers(1, 8))), "width": float(draw(st.integers(1, 64)))}
    return Workload("random", build, numbers, ("frames", symbol("batch")))


@st.composite
def language_models(draw: st.DrawFn) -> Workload:
    name = draw(st.sampled_from(("llama_3_8b", "mixtral_8x7b", "deepseek_v3", "gemma_2_2b")))
    phase, length = draw(
        st.sampled_from((("decode", "context"), ("prefill", "prompt"), ("request", "generate")))
    )
    return find(
        name,
        {"phase": phase, "batch": draw(st.integers(1, 64)), length: draw(st.integers(1, 8192))},
    )


workloads = networks() | language_models()
precisions = st.sampled_from(PRECISIONS)
models = st.sampled_from(MODELS)


def many(base: float, *values: float) -> np.ndarray[Any, Any]:
    return base * np.array(values)


def seconds(found: Prediction, n: int) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.asarray(found.latency_s), (n,))


# a batch is its members


@small
@given(st.data(), workloads, machines(), precisions, models, st.booleans(), st.booleans())
def test_a_batch_equals_its_members(
    data: st.DataObject,
    workload: Workload,
    machine: Machine,
    precision: str,
    model: str | None,
    relaxed: bool,
    warm: bool,
) -> None:
    """Arrays in two dimensions, two facts and the bits, on three axes, every metric to 1e-12."""
    names = list(workload.parameters)
    dims = {
        n: np.maximum(np.round(many(float(workload.parameters[n]), 0.5, 1.0, 2.5)), 1.0)
        for n in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    }
    mine = ("memories.", "runtime.", f"engines.{machine.engine}.")
    numbers = [p for p, value in machine.facts.items() if p.startswith(mine) and value > 0]
    chosen = data.draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=2, unique=True))
    facts = {p: allowed(machine, p, many(machine.facts[p], 0.3, 1.0)) for p in chosen}
    bits = {
        role: np.array([3.0, 11.0])
        for role in data.draw(st.sets(st.sampled_from(("weights", "activations", "kv"))))
    }
    ask: dict[str, Any] = {"model": model, "relaxed": relaxed, "warm": warm}
    base = as_precision(precision)
    together = predict(
        workload.bind({n: v[:, None, None] for n, v in dims.items()}),
        machine.vary({p: v[:, None] for p, v in facts.items()}),
        precision=base.with_bits(**bits),
        **ask,
    )
    shape = (3, 2, 2 if bits else 1)
    assert together.shape == shape
    for i, j, k in np.ndindex(shape):
        alone = predict(
            workload.bind({n: float(v[i]) for n, v in dims.items()}),
            machine.vary({p: float(v[j]) for p, v in facts.items()}),
            precision=base.with_bits(**{r: float(v[k]) for r, v in bits.items()}),
            **ask,
        )
        _same(together, (i, j, k), alone)
    point = together.at(2, 1, 0)
    assert point.latency_s == pytest.approx(together.latency_s[2, 1, 0], rel=1e-12)
    assert point.table is not None


def test_one_class_of_operator_may_vary_in_efficiency() -> None:
    """Facts of some rows as arrays, of others as numbers."""
    machine = hardware("a100").machine("generic")
    values = np.array([0.2, 0.5])
    found = predict(
        find("llama_3_8b", {"phase": "prefill", "prompt": 512}),
        machine.vary({"runtime.efficiency.gemm": values, "runtime.efficiency.norm": values[::-1]}),
    )
    assert found.latency_s[0] > found.latency_s[1]


def _same(together: Prediction, at: tuple[int, ...], alone: Prediction) -> None:
    for metric in METRICS:
        many_, one = getattr(together, metric), getattr(alone, metric)
        pairs = [(many_, one)]
        if isinstance(one, Mapping):
            assert list(many_) == list(one)
            pairs = [(many_[name], one[name]) for name in one]
        for values, value in pairs:
            if value is None:
                assert values is None
                continue
            assert np.shape(values) == together.shape, metric
            np.testing.assert_allclose(values[at], value, rtol=1e-12, err_msg=metric)
    assert together.feasible[at] == alone.feasible
    for name, part in alone.energy.parts.items():
        whole = np.broadcast_to(
            np.reshape(together.energy.parts[name], -1), together.latency_s.size
        )
        flat = np.ravel_multi_index(at, together.shape)
        np.testing.assert_allclose(whole[flat], part, rtol=1e-12)


# faster parts, more room, less work


@given(st.data(), workloads, machines(), precisions, models, st.booleans())
def test_a_faster_part_is_never_slower(
    data: st.DataObject,
    workload: Workload,
    machine: Machine,
    precision: str,
    model: str | None,
    warm: bool,
) -> None:
    path = data.draw(st.sampled_from(rising(machine)))
    steps = many(machine.facts[path], 0.1, 0.5, 0.99, 1.0, 1.3, 20.0)
    steps = allowed(machine, path, steps)
    found = predict(
        workload, machine.vary({path: steps}), precision=precision, model=model, warm=warm
    )
    assert never_rises(found.latency_s, 6), path


@given(st.data(), workloads, machines(), precisions, models)
def test_a_shorter_delay_is_never_slower(
    data: st.DataObject, workload: Workload, machine: Machine, precision: str, model: str | None
) -> None:
    path = data.draw(st.sampled_from(falling(machine)))
    base = machine.facts.get(path) or (100.0 if path.endswith("clocks") else 1e-6)
    steps = many(base, 10.0, 2.0, 1.0, 0.5, 0.0)
    found = predict(workload, machine.vary({path: steps}), precision=precision, model=model)
    assert never_rises(found.latency_s, 5), path


@given(st.data(), workloads, machines(), precisions, st.booleans())
def test_more_room_never_adds_traffic_or_time(
    data: st.DataObject, workload: Workload, machine: Machine, precision: str, warm: bool
) -> None:
    machine = nearer_is_faster(machine)
    path = data.draw(st.sampled_from([p for p in machine.facts if p.endswith(".capacity")]))
    steps = machine.facts[path] * np.geomspace(1e-4, 1e4, 33)
    found = predict(workload, machine.vary({path: steps}), precision=precision, warm=warm)
    for level, moved in found.traffic_bytes.items():
        assert never_rises(moved, 33), (path, level)
    assert never_rises(found.latency_s, 33)
    assert never_rises(~found.feasible, 33)


@given(st.data(), workloads, machines(), precisions, models)
def test_more_batch_is_never_quicker(
    data: st.DataObject, workload: Workload, machine: Machine, precision: str, model: str | None
) -> None:
    machine = nearer_is_faster(machine)
    name = data.draw(st.sampled_from(sorted(workload.parameters)))
    values = np.array([64.0, 17.0, 16.0, 8.0, 3.0, 2.0, 1.0])
    found = predict(workload.bind({name: values}), machine, precision=precision, model=model)
    assert never_rises(found.latency_s, 7)
    for moved in found.traffic_bytes.values():
        assert never_rises(moved, 7)
    assert never_rises(found.peak_memory_bytes, 7)


@given(workloads, machines(), models, st.booleans())
def test_fewer_weight_bits_never_move_more(
    workload: Workload, machine: Machine, model: str | None, warm: bool
) -> None:
    precision = as_precision("w8a16").with_bits(weights=np.array([16.0, 8.0, 4.5, 4.0, 1.58]))
    found = predict(workload, machine, precision=precision, model=model, warm=warm)
    for moved in found.traffic_bytes.values():
        assert never_rises(moved, 5)
    assert never_rises(found.latency_s, 5)
    assert never_rises(found.weight_bytes, 5)


# conservation


@given(workloads, machines(), precisions, models)
def test_traffic_is_at_least_compulsory(
    workload: Workload, machine: Machine, precision: str, model: str | None
) -> None:
    """Every weight that is touched and all that goes in and out crosses main memory once."""
    found = predict(workload, machine, precision=precision, model=model)
    bits = as_precision(precision).bits
    graph = workload.graph()
    touched: dict[str, float] = {}
    for block, operator in graph.walk():
        for access in operator.accesses:
            tensor = graph.tensors[access.tensor]
            if tensor.role == "weight" and access.mode == "read":
                # Each layer's own weights; the steps of a request share theirs.
                moved = float(workload.number(access.elements * block.stored))
                moved *= bits(tensor.slot) / 8
                touched[access.tensor] = max(touched.get(access.tensor, 0.0), moved)
    need = sum(touched.values())
    for name in {*graph.inputs, *graph.outputs}:
        tensor = graph.tensors[name]
        need += float(workload.number(tensor.elements)) * bits(tensor.slot) / 8
    far = {machine.main_memory, *(m.name for m in machine.device.memories if "weights" in m.roles)}
    stores = sum(moved for level, moved in found.traffic_bytes.items() if level in far)
    assert stores >= need * (1 - 1e-12)
    levels = [moved for level, moved in found.traffic_bytes.items() if level not in far]
    assert never_rises([*levels, stores], len(levels) + 1)


@given(workloads, machines(runtimes=("ideal",)), precisions, models)
def test_latency_lies_between_the_slowest_resource_and_their_sum(
    workload: Workload, machine: Machine, precision: str, model: str | None
) -> None:
    fractions = {p: 1.0 for p in machine.facts if p.endswith(".sustained_fraction")}
    machine = machine.vary(fractions)
    facts = machine.facts
    found = predict(workload, machine, precision=precision, model=model)
    resources = [
        moved / facts[f"memories.{level}.bandwidth"] for level, moved in found.traffic_bytes.items()
    ]
    matrix = found.utilization * found.latency_s
    vector = found._compute_seconds - matrix  # pyright: ignore[reportPrivateUsage]
    vector = float(np.reshape(vector, -1)[0])
    kind = "roofline" if model else machine.device.engine(machine.engine).kind
    # A design in an FPGA has a unit of its own for what is no product.
    resources += [matrix, vector] if kind == "fpga" else [matrix + vector]
    table = found.table
    delays = 0.0
    if model is None:
        kernels = float(np.sum(table["count"]))
        delays = facts["runtime.per_run"] + kernels * (
            facts[f"engines.{machine.engine}.launch_overhead"]
            + sum(facts[f"memories.{level}.latency"] for level in found.traffic_bytes)
        )
    assert found.latency_s >= max(resources) * (1 - 1e-9)
    # Tiles that are not full and ports narrower than the memory take longer than the peaks say.
    if kind == "roofline":
        assert found.latency_s <= (sum(resources) + delays) * (1 + 1e-9)


@given(workloads, machines(), precisions, models)
def test_energy_is_positive_and_adds_up(
    workload: Workload, machine: Machine, precision: str, model: str | None
) -> None:
    found = predict(workload, machine, precision=precision, model=model)
    energy = found.energy
    if energy.joule is None:
        assert np.isnan(found.energy_j)
        assert energy.model.startswith("unknown")
        return
    parts = [float(np.reshape(part, -1)[0]) for part in energy.parts.values()]
    assert all(part >= 0 for part in parts)
    assert found.energy_j == pytest.approx(sum(parts), rel=1e-12)
    assert found.energy_j > 0
    assert found.power_w == pytest.approx(found.energy_j / found.latency_s, rel=1e-12)
    busier = dict.fromkeys(
        (p for p in machine.facts if ".energy_per_" in p or p == "power.busy"), 2.0
    )
    more = machine.vary({p: machine.facts[p] * f for p, f in busier.items()})
    assert predict(workload, more, precision=precision, model=model).energy_j >= found.energy_j


# switches


def runtime(elementwise: bool, attention: Any, skips: bool) -> Runtime:
    return Runtime(
        name=f"switches_{elementwise:d}_{attention}_{skips:d}",
        fusion=Fusion(elementwise=elementwise, attention=attention),
        semantics=Semantics(causal_skips_masked=skips),
    )


RUNTIMES = {
    (e, a, s): runtime(e, a, s)
    for e in (True, False)
    for a in ("flash", "unfused")
    for s in (True, False)
}


@given(workloads, machines(), precisions, models, st.booleans())
def test_fusion_never_adds_traffic(
    workload: Workload, machine: Machine, precision: str, model: str | None, elementwise: bool
) -> None:
    """Flash attention at no level, fused chains not at the nearest.

    Farther off a fused chain may: it runs where its last member stands, so its input can outstay
    the capacity, as with any replacement rule that looks at lifetimes.
    """

    def traffic(fused: bool, attention: str) -> dict[str, float]:
        chosen = Machine(machine.device, RUNTIMES[fused, attention, True])
        facts = {p: v for p, v in machine.varied.items() if not p.startswith("runtime.")}
        found = predict(workload, chosen.vary(facts), precision=precision, model=model)
        return found.traffic_bytes

    flash, unfused = traffic(elementwise, "flash"), traffic(elementwise, "unfused")
    for level, moved in flash.items():
        assert moved <= unfused[level] * (1 + 1e-12), level
    for attention in ("flash", "unfused"):
        chains, apart = traffic(True, attention), traffic(False, attention)
        nearest = next(iter(chains))
        assert chains[nearest] <= apart[nearest] * (1 + 1e-12)


@given(st.integers(1, 16), st.integers(1, 4096), models)
def test_a_causal_mask_voids_half_of_attention(batch: int, prompt: int, model: str | None) -> None:
    """Executed and masked work make the whole; the masked part in closed form."""
    workload = find("llama_3_8b", {"phase": "prefill", "batch": batch, "prompt": prompt})
    device = hardware("a100")
    skips, not_ = (
        predict(workload, device, runtime=RUNTIMES[True, "flash", s], model=model).macs
        for s in (True, False)
    )
    layers, heads, head_dim = 32, 32, 128
    masked = batch * layers * heads * 2 * head_dim * prompt * (prompt - 1) / 2
    assert not_ == workload.macs
    assert skips + masked == pytest.approx(not_, rel=1e-12)


def test_a_network_of_views_is_bad_input() -> None:
    g = GraphBuilder("views")
    g.output(g.view(g.input("x", (3, 4)), (12,)))
    graph = g.build()
    with pytest.raises(InputError, match="'views' computes nothing"):
        predict(Workload("views", lambda _: graph, {}), hardware("a100"))
