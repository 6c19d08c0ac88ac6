"""Networks on the engines of devices: times, fall-backs, transfers, plans."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.schedule.assign import DeviceAssignment, assign
from perfmodel.schedule.assign.assignment_plan import to_plan
from perfmodel.schedule.assign.kernel_splitting import split_seconds
from perfmodel.schedule.assign.list_scheduling import list_schedule, one_at_a_time
from perfmodel.schedule.assign.network_problem import network_problem
from perfmodel.workload.library import find
from tests.draws import draws
from tests.schedule.assign import brute


def spec(name: str, engines: str, links: str = "") -> str:
    return f"""
schema_version: 1
name: {name}
default_runtime: ideal
engines:
{engines}
memories:
  - {{name: buffer, kind: scratchpad, capacity: "1 GiB", bandwidth: "1 TB/s", feeds: [fast]}}
  - name: dram
    kind: dram
    capacity: "8 GiB"
    bandwidth: "10 GB/s"
    feeds: [buffer, slow]
{links}
"""


FAST = """  - name: fast
    peaks: {{int8: "1 TOP/s"}}
    vector_peaks: {{int8: "1 TOP/s"}}
    {more}
"""
SLOW = """  - name: slow
    peaks: {int8: "100 GOP/s", fp32: "25 GFLOP/s"}
"""


def device(tmp_path, more: str = "", name: str = "board", links: str = ""):
    path = tmp_path / f"{name}.yaml"
    path.write_text(spec(name, FAST.format(more=more) + SLOW, links))
    return pm.hardware(path)


@pytest.mark.parametrize("name", ["jetson_agx_orin", "kv260", "snapdragon_8_gen_3", "rk3588"])
def test_one_engine_takes_what_predict_says(name: str) -> None:
    workload = find("resnet18", {})
    base = predict(workload, hardware(name), precision="int8")
    found = assign(workload, name, precision="int8", engines=[base.machine.engine])
    assert found.latency_s == pytest.approx(base.latency_s, rel=1e-12)
    assert found.transfer_s == 0.0
    assert found.proved


@pytest.mark.parametrize(
    ("model", "names", "precision", "more"),
    [
        ("resnet18", ["jetson_agx_orin"], "int8", {}),
        ("mobilenet_v3_small", ["kv260"], "int8", {}),
        ("vit_b_16", ["jetson_agx_orin"], "int8", {}),
        ("mobilenet_v3_small", ["edge_tpu", "raspberry_pi_5"], "int8", {}),
        ("tinyllama_1_1b", ["a100", "a100"], "fp16", {"phase": "decode", "context": 512}),
    ],
)
def test_plans_of_any_assignment_fit_their_graph(model, names, precision, more) -> None:
    made = network_problem(find(model, more), [hardware(n) for n in names], precision=precision)
    random = np.random.default_rng(0)
    able = [np.flatnonzero(np.isfinite(row)) for row in made.problem.costs]
    for _ in range(3):
        engine = np.array([random.choice(each) for each in able])
        for run in (list_schedule(made.problem, engine), one_at_a_time(made.problem, engine)):
            brute.check_timeline(made.problem, run)
            plan = to_plan(made, run, "by chance")
            assert plan.check(made.graph) == []
            placed = {p.operator: (p.device, p.engine) for p in plan.order}
            for i, kernel in enumerate(made.kernels):
                device_engine = made.device_engines[int(engine[i])]
                for operator in kernel.operators:
                    assert placed[operator.name] == (device_engine.device, device_engine.engine)
            if len(set(names)) == 1 and len(names) == 1:
                assert plan.transfers == ()


def test_a_plan_that_forgets_a_transfer_does_not_fit() -> None:
    found = assign(
        "resnet18", ["edge_tpu", "raspberry_pi_5"], precision="int8", objective="throughput"
    )
    plan = found.plan
    assert plan.transfers
    assert plan.check(found.network.graph) == []
    assert {t.link for t in plan.transfers} == {"usb3"}
    broken = plan.model_copy(update={"transfers": plan.transfers[1:]})
    assert broken.check(found.network.graph)


def test_the_assignment_of_a_few_kernels_is_the_best_of_all() -> None:
    made = network_problem(find("mlperf_tiny_ad", {}), [hardware("kv260")], precision="int8")
    assert 4 <= made.problem.count <= 14
    found = assign("mlperf_tiny_ad", "kv260", precision="int8")
    least = min(
        brute.in_turn(made.problem, a)
        for a in itertools.product(range(made.problem.width), repeat=made.problem.count)
    )
    assert found.result.value == pytest.approx(least, rel=1e-12)


def test_what_an_engine_lacks_falls_back_and_is_priced() -> None:
    found = assign("mobilenet_v3_small", "kv260", precision="int8")
    assert found.feasible
    first = found.fallback
    assert first.engine == "dpu"
    assert first.why == {"function hard_swish": 19, "function hard_sigmoid": 9}
    lacking = found.network.profiles[0].why
    assert len(lacking) == first.kernels == 28
    engine = list(found.engine.values())
    assert {engine[i] for i in lacking} == {"cpu"}
    assert first.seconds == pytest.approx(sum(found.network.problem.costs[i, 1] for i in lacking))
    assert found.alone_s["dpu"] == np.inf
    # What a runtime with a delegate does costs more than the best, and the best no more than the
    # CPU alone.
    assert found.result.value <= found.delegated_s
    assert found.result.value <= found.alone_s["cpu"]
    assert found.delegated_s < np.inf
    assert found.transfer_s > 0


def test_a_fused_kernel_is_cut_where_an_engine_lacks_a_part() -> None:
    found = assign("mobilenet_v3_small", "kv260", precision="int8")
    engine = found.engine
    # The convolution stays on the DPU, and what rides on it elsewhere goes to the CPU.
    assert engine["stage4.0.expand"] == "dpu"
    assert engine["stage4.0.expand.hard_swish"] == "cpu"
    cpu = assign("mobilenet_v3_small", "kv260", precision="int8", engines=["cpu"])
    assert "stage4.0.expand.hard_swish" not in cpu.engine
    # Together on one engine both parts cost what the fused kernel does.
    assert found.alone_s["cpu"] == pytest.approx(cpu.result.value, rel=1e-12)
    loose = assign("mobilenet_v3_small", "kv260", precision="int8", fuse=False)
    assert found.result.value <= loose.result.value
    brute.replay(found.result)


def test_parts_save_what_fusing_saves_and_no_more() -> None:
    whole = np.array([[5.0, 9.0, np.inf, 4.0]])
    seconds = np.array([[4.0, 8.0, 3.0, 6.0], [3.0, 0.5, 7.0, 2.0]])
    made, apart = split_seconds(whole, seconds, [(0, 0, 1)])
    # Fused saves 2 of 3; fused is no faster than both; cannot be fused; fused is faster than one.
    assert made[0].tolist() == seconds[0].tolist()
    assert made[1].tolist() == [1.0, 0.5, 7.0, 0.0]
    assert apart[1].tolist() == [2.0, 0.0, 0.0, 2.0]
    assert not apart[0].any()


def test_an_operator_that_no_engine_runs_is_said() -> None:
    found = assign("vit_b_16", "kv260", precision="int8", engines=["dpu"])
    assert not found.feasible
    assert found.proved
    assert found.unsupported["layer.attention@0"] == {"dpu": "operator attention"}
    assert "layer.attention@0: dpu lacks operator attention" in repr(found)
    assert found.to_dict()["latency_s"] is None
    with pytest.raises(ValueError, match="no assignment"):
        _ = found.plan


def test_a_format_that_an_engine_lacks_is_never_run_on_it(tmp_path) -> None:
    board = device(tmp_path)
    found = assign("resnet18", board, precision="fp32")
    assert set(found.engine.values()) == {"slow"} or all(
        kind not in ("conv", "gemm")
        for kind, engine in zip(found.table["kind"], found.engine.values(), strict=True)
        if engine == "fast"
    )
    assert found.fallback.why == {"format fp32": 21}


def test_the_delay_between_engines_is_what_memory_and_handover_take(tmp_path) -> None:
    board = device(tmp_path, 'handover: "30 us"')
    made = network_problem(find("resnet18", {}), [board], precision="int8")
    assert made.problem.engines == ("fast", "slow")
    flow = next(i for i, f in enumerate(made.flows) if f.tensor.startswith("conv1"))
    size = made.flows[flow].size_bytes
    assert size == 64 * 112 * 112
    # The slow engine has no memory of its own, so what it makes is in main memory anyway; the fast
    # one must read it, and write what it would have kept.
    assert made.problem.delays[flow, 0, 1] == pytest.approx(size / 10e9)
    assert made.problem.delays[flow, 1, 0] == pytest.approx(size / 10e9 + 30e-6)


def test_a_conversion_is_priced_where_engines_compute_in_different_formats(tmp_path) -> None:
    text = spec("board", FAST.format(more="") + '  - {name: slow, peaks: {fp32: "25 GFLOP/s"}}\n')
    (tmp_path / "mixed.yaml").write_text(text)
    same = network_problem(find("resnet18", {}), [device(tmp_path)], precision="int8")
    mixed = network_problem(
        find("resnet18", {}), [pm.hardware(tmp_path / "mixed.yaml")], precision="int8"
    )
    extra = mixed.problem.delays - same.problem.delays
    elements = np.array([f.elements for f in mixed.flows])
    assert extra[:, 0, 1] == pytest.approx(2.0 * elements / 25e9)
    assert extra[:, 1, 0] == pytest.approx(2.0 * elements / 1e12)


LINK = 'links: [{{name: {name}, kind: {kind}, bandwidth: "{rate}", latency: "{latency}"}}]'


def test_devices_are_joined_by_the_slower_end_of_a_common_link(tmp_path) -> None:
    wire = LINK.format(name="wire", kind="ethernet", rate="1 GB/s", latency="5 us")
    lan = LINK.format(name="lan", kind="ethernet", rate="2 GB/s", latency="9 us")
    one, two = device(tmp_path, name="one", links=wire), device(tmp_path, name="two", links=lan)
    made = network_problem(find("resnet18", {}), [one, two], precision="int8")
    assert made.problem.engines == ("one.fast", "one.slow", "two.fast", "two.slow")
    size = np.array([f.size_bytes for f in made.flows])
    assert made.problem.delays[:, 0, 2] == pytest.approx(9e-6 + size / 1e9)
    asked = network_problem(find("resnet18", {}), [one, two], precision="int8", link="250 MB/s")
    assert asked.problem.delays[:, 0, 2] == pytest.approx(size / 250e6)
    apart = network_problem(
        find("resnet18", {}), [device(tmp_path), device(tmp_path, name="other")], precision="int8"
    )
    assert np.isinf(apart.problem.delays[:, 0, 2]).all()
    found = assign(
        "resnet18", [one, two], precision="int8", objective="throughput", contiguous=True
    )
    assert found.proved
    assert found.interval_s < min(found.alone_s.values())
    # Without a link everything stays on one of the devices.
    lonely = assign(
        "resnet18", [device(tmp_path), device(tmp_path, name="other")], precision="int8"
    )
    assert len({e.partition(".")[0] for e in lonely.engine.values()}) == 1


@settings(max_examples=draws(10))
@given(
    handover=st.integers(0, 1000),
    factor=st.floats(1.0, 30.0),
    objective=st.sampled_from(["latency_s", "throughput"]),
)
def test_dearer_handovers_and_slower_memories_never_help(handover, factor, objective) -> None:
    board = hardware("kv260")

    def value(seconds: float, bandwidth: float) -> float:
        changes = {
            "engines.cpu.handover": seconds,
            "engines.dpu.handover": seconds,
            "memories.dram.bandwidth": bandwidth,
        }
        machine = board.machine("generic").vary(changes)
        found = assign("mlperf_tiny_vww", machine, precision="int8", objective=objective)
        assert found.proved
        return found.result.value

    base = value(0.0, 19.2e9)
    assert base <= value(1e-6 * handover, 19.2e9) * (1 + 2e-6)
    assert base <= value(0.0, 19.2e9 / factor) * (1 + 2e-6)


def test_objectives_of_one_network() -> None:
    found: dict[str, DeviceAssignment] = {
        "turn": assign("vit_b_16", "jetson_agx_orin", precision="int8"),
        "parallel": assign("vit_b_16", "jetson_agx_orin", precision="int8", parallel=True),
        "pipe": assign("vit_b_16", "jetson_agx_orin", precision="int8", objective="throughput"),
        "split": assign("vit_b_16", "jetson_agx_orin", precision="int8", contiguous=True),
    }
    for each in found.values():
        brute.replay(each.result)
        assert each.plan.check(each.network.graph) == []
    assert found["parallel"].latency_s <= found["turn"].latency_s
    assert found["turn"].latency_s <= found["split"].latency_s
    assert found["pipe"].interval_s <= found["turn"].interval_s
    assert found["pipe"].runs_per_s == pytest.approx(1 / found["pipe"].interval_s)
    # Shared memory: no pipeline is faster than all of its traffic.
    problem = found["pipe"].network.problem
    engine = found["pipe"].result.engine
    busy = problem.shared[0, np.arange(problem.count), engine].sum()
    assert found["pipe"].interval_s >= busy * (1 - 1e-12)


def test_stretches_cover_the_network_and_add_up() -> None:
    found = assign("mobilenet_v3_small", "kv260", precision="int8")
    assert sum(s.kernels for s in found.stretches) == found.network.problem.count
    total = sum(s.seconds + s.receiving_s for s in found.stretches)
    assert total == pytest.approx(found.result.value)
    assert sum(s.receiving_s for s in found.stretches) == pytest.approx(found.transfer_s)
    assert found.table["engine"].tolist() == list(found.engine.values())


def test_an_engine_lists_its_operators(tmp_path) -> None:
    listed = device(tmp_path, "operators: [conv, gemm]")
    found = assign("resnet18", listed, precision="int8")
    assert found.feasible
    # Every convolution has a ReLU: classes without elementwise leave the engine none of them whole.
    kinds = dict(zip(found.table["kernel"], found.table["kind"], strict=True))
    for name, engine in found.engine.items():
        assert engine == "slow" or kinds[name] in ("conv", "gemm")
    assert found.fallback.why["operator elementwise"] > 0
    with pytest.raises(InputError, match="conv"):
        device(tmp_path, "operators: [conw]", name="odd")
    with pytest.raises(InputError, match="nobody"):
        device(tmp_path, "operators: {classes: [conv], source: nobody}", name="cited")


def test_stretches_in_any_order_are_no_slower() -> None:
    pair = ["raspberry_pi_5", "edge_tpu"]
    fixed = assign("resnet18", pair, precision="int8", objective="throughput", contiguous=True)
    free = assign(
        "resnet18", pair, precision="int8", objective="throughput", contiguous=True, any_order=True
    )
    other = assign(
        "resnet18", pair[::-1], precision="int8", objective="throughput", contiguous=True
    )
    assert free.proved
    assert free.interval_s == pytest.approx(min(fixed.interval_s, other.interval_s), rel=1e-12)
    assert free.interval_s < fixed.interval_s
    with pytest.raises(InputError, match="only to contiguous"):
        assign("resnet18", pair, any_order=True)


def test_faults_come_together() -> None:
    with pytest.raises(InputError) as caught:
        assign("resnet18", "kv260", objective="speed", parallel=True, contiguous=True)
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError, match="no engine is named 'npu'"):
        assign("resnet18", "kv260", engines=["npu", "cpu"])
    with pytest.raises(InputError, match="of one network"):
        assign(pm.workload("resnet18", batch=np.array([1, 2])), "kv260")
    with pytest.raises(InputError, match="not a link of edge_tpu or kv260"):
        assign("resnet18", ["edge_tpu", "kv260"], link="carrier pigeon", precision="int8")
    with pytest.raises(InputError, match="no device is given"):
        assign("resnet18", [])


def test_what_is_set_holds_as_in_predict() -> None:
    """One engine runs everything, so the time is that of `predict`."""
    settings = {"batch": 3, "memories.dram.bandwidth": "2 GB/s"}
    asked = {"precision": "int8", "runtime": "generic"}
    found = pm.assign("mobilenet_v2", "raspberry_pi_5", set=settings, **asked)
    told = pm.predict("mobilenet_v2", "raspberry_pi_5", set=settings, **asked)
    plain = pm.predict("mobilenet_v2", "raspberry_pi_5", **asked)
    assert found.latency_s == pytest.approx(told.latency_s)
    assert told.latency_s > 2 * plain.latency_s


def test_what_is_set_on_several_devices_is_of_the_workload_alone() -> None:
    two = ["raspberry_pi_5", "raspberry_pi_5"]
    found = pm.assign("mobilenet_v2", two, runtime="generic", set={"batch": 2})
    told = pm.predict("mobilenet_v2", two[0], runtime="generic", set={"batch": 2})
    assert found.latency_s == pytest.approx(told.latency_s)
    with pytest.raises(InputError) as caught:
        pm.assign("mobilenet_v2", two, set={"memories.dram.bandwidth": 1e9, "engine": "cpu"})
    assert {fault.path for fault in caught.value.faults} == {"memories.dram.bandwidth", "engine"}
