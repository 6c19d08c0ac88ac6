"""Comparisons: differences add up, ratios are those of the predictions, reasons name what binds."""

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.compare import Comparison
from perfmodel.errors import InputError
from perfmodel.machine_differences import fact_differences
from perfmodel.table import Table


@pytest.mark.parametrize(
    ("workload", "a", "b"),
    [
        ("llama_3_8b", "jetson_agx_orin", "rtx_4090"),
        ("resnet18", "a100", "raspberry_pi_5"),
        ("resnet18", "zen4_core", "a100"),
    ],
)
def test_kernels_account_for_the_whole_difference(workload: str, a: str, b: str) -> None:
    found = pm.compare(workload, a, b)
    table = found.table
    assert table["a_s"].sum() == pytest.approx(found.a.latency_s, rel=1e-9)
    assert table["b_s"].sum() == pytest.approx(found.b.latency_s, rel=1e-9)
    assert table["share"].sum() == pytest.approx(1.0, rel=1e-6)
    sizes = np.abs(table["difference_s"])
    assert (sizes[:-1] >= sizes[1:]).all()
    assert found.ratio == pytest.approx(found.a.latency_s / found.b.latency_s)


def test_metrics_are_those_of_the_predictions() -> None:
    found = pm.compare("llama_3_8b", "a100", "h100")
    rows = {row.metric: row for row in found.metrics.rows()}
    for name in ("latency_s", "tokens_per_s", "energy_j", "peak_memory_bytes"):
        assert rows[name].a == pytest.approx(getattr(found.a, name))
        assert rows[name].b == pytest.approx(getattr(found.b, name))
        assert rows[name].ratio == pytest.approx(rows[name].b / rows[name].a)
    assert "frames_per_s" not in rows


def test_bandwidth_alone_explains_a_memory_bound_difference() -> None:
    slow = pm.hardware("a100").vary({"memories.main.bandwidth": 5e11})
    fast = pm.hardware("a100").vary({"memories.main.bandwidth": 1e12})
    found = pm.compare("llama_3_8b", slow, fast, model="roofline")
    assert found.ratio == pytest.approx(2.0, rel=0.01)
    assert found.facts["fact"].tolist() == ["memories.main.bandwidth"]
    assert found.facts["ratio"].tolist() == [2.0]
    assert "2 times faster" in found.reasons[0] or "1.99 times faster" in found.reasons[0]
    assert "hbm-bound (500 GB/s)" in found.reasons[1]
    assert "hbm-bound (1 TB/s)" in found.reasons[1]


def test_facts_that_follow_from_a_varied_one_are_not_listed_beside_it() -> None:
    device = pm.hardware("a100")
    found = pm.compare("llama_3_8b", device, device.vary({"memories.main.bandwidth": "1 TB/s"}))
    assert found.facts["fact"].tolist() == ["memories.main.bandwidth"]


def test_each_side_may_have_its_own_precision_and_runtime() -> None:
    found = pm.compare(
        "resnet18", "a100", "a100", precision=("fp16", "int8"), runtime=("ideal", "generic")
    )
    assert (found.a.precision, found.b.precision) == ("fp16", "int8")
    assert found.b.machine.runtime.name == "generic_gpu"
    assert "a100 (int8, generic_gpu)" in found.reasons[0]


def test_what_does_not_fit_or_runs_otherwise_is_said() -> None:
    found = pm.compare("resnet18", "stm32h743", "a100", precision="fp8")
    text = "\n".join(found.reasons)
    assert "does not fit stm32h743" in text
    assert "fp8 runs as fp16 on a100" in text


def test_kernels_of_one_side_alone() -> None:
    fused = pm.predict("resnet18", "a100", fuse=True)
    unfused = pm.predict("resnet18", "a100", fuse=False)
    found = pm.compare(fused, unfused)
    alone = found.table.where("a_s == 0")
    assert len(alone) > 5
    assert set(alone["bound_by_a"]) == {""}
    assert found.table["b_s"].sum() == pytest.approx(unfused.latency_s)


def test_the_same_thing_twice() -> None:
    found = pm.compare("resnet18", "a100", "a100")
    assert found.ratio == 1
    assert "take the same time" in found.reasons[0]
    assert len(found.facts) == 0
    assert isinstance(repr(found), str)
    assert found._repr_html_().startswith("<div>")


def test_faults_of_both_sides_at_once() -> None:
    with pytest.raises(InputError) as caught:
        pm.compare("resnet18", "a1000", "h10", precision=("fp1", "int8"))
    text = str(caught.value)
    assert "a1000" in text
    assert "h10" in text
    assert "fp1" in text
    with pytest.raises(InputError, match="only one device is given"):
        pm.compare("resnet18", "a100")
    many = pm.predict("resnet18", "a100", set={"batch": [1, 2]})
    with pytest.raises(InputError, match="points"):
        Comparison(many, many)


def test_facts_that_one_machine_lacks() -> None:
    a, b = pm.hardware("a100").machine(), pm.hardware("apple_m1").machine()
    table: Table = fact_differences(a, b)
    rows = {row.fact: row for row in table.rows()}
    assert rows["memories.main.bandwidth"].b == "68.25 GB/s"
    assert rows["memories.slc.capacity"].a == ""
    assert np.isnan(rows["memories.slc.capacity"].ratio)
    swapped = {row.fact: row for row in fact_differences(b, a).rows()}
    assert swapped.keys() == rows.keys()
    assert swapped["memories.main.bandwidth"].ratio * rows["memories.main.bandwidth"].ratio == (
        pytest.approx(1.0)
    )


def test_a_layer_has_what_one_side_runs_beside_it() -> None:
    """One side fuses normalisation and activation into the convolution, the other runs them."""
    device = pm.hardware("raspberry_pi_5")
    fused, apart = (pm.predict("mobilenet_v2", device, fuse=fuse) for fuse in (True, False))
    found = pm.compare(fused, apart)
    layers = {row.layer: row for row in found.layers.rows()}
    assert "stem.norm" in found.table["kernel"]
    assert "stem.norm" not in layers
    rows = apart.table
    mine = np.array([n == "stem" or n.startswith("stem.") for n in rows["name"].astype(str)])
    assert layers["stem"].b_s == pytest.approx(rows["total_s"][mine].sum())
    for side, whole in (("a_s", fused), ("b_s", apart)):
        assert found.layers[side].sum() == pytest.approx(whole.latency_s)
    assert found.layers["share_so_far"][-1] == pytest.approx(1.0)


@pytest.mark.parametrize("latency", [np.nan, 0.0, np.inf])
def test_a_latency_that_is_no_number_is_faster_than_nothing(
    latency: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (pm.predict("resnet18", device) for device in ("a100", "raspberry_pi_5"))
    latencies = {id(first): latency, id(second): 1.0}
    monkeypatch.setattr(type(first), "latency_s", property(lambda p: latencies[id(p)]))
    for made in (Comparison(first, second), Comparison(second, first)):
        text = made._headline()  # pyright: ignore[reportPrivateUsage]
        assert "no ratio" in text
        assert "faster" not in text
        assert "slower" not in text


def test_terms_of_energy_cost_and_carbon_add_up_to_them_on_both_sides() -> None:
    found = pm.compare("resnet18", "h100", "rtx_4090")
    rows = {row.metric: row for row in found.metrics.rows()}
    for metric in ("energy_j", "cost_usd", "carbon_kg"):
        terms = [row for name, row in rows.items() if name.startswith(f"{metric} ")]
        assert len(terms) > 1
        for side in ("a", "b"):
            total = sum(getattr(row, side) for row in terms)
            assert total == pytest.approx(getattr(rows[metric], side))
    sentences = "\n".join(found.sentences)
    assert "energy of rtx_4090" in sentences
    assert "different boundaries (h100: module, rtx_4090: board)" in sentences


def test_energies_of_one_boundary_are_compared_without_a_remark() -> None:
    found = pm.compare("resnet18", "rtx_4090", "rtx_4090", precision="fp16:fp32")
    assert "boundaries" not in "\n".join(found.sentences)
