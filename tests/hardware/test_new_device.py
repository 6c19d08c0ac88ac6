"""A device of one's own: what is set is set, all else is the copied device's; the nearest."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.library import entries, hardware
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.new_device import new
from perfmodel.hardware.runtime import Runtime
from perfmodel.hardware.similarity.distance import nearest_devices, summary_of, wanted_summary
from perfmodel.hardware.similarity.known_products import advice, command, find, products
from perfmodel.hardware.spec_copy.yaml_edit import SpecText

IDEAL = Runtime(name="ideal")
#: Plain files, files in flow style, heirs, per-clock bandwidths, sparse peaks, every main kind.
BASES = (
    "rk3588",
    "apple_m2",
    "apple_a18_pro",
    "stm32n6",
    "jetson_agx_orin",
    "ufs_4_phone",
    "u280",
    "zen4_core",
    "eyeriss",
    "gap8",
)


def _of_class(*machines: Machine) -> set[str]:
    """Return the facts of classes of engines, which a copy has for its own numbers."""
    return {
        path
        for machine in machines
        for path, origin in machine.provenance.items()
        if origin.writer == "table power_classes"
    }


@pytest.mark.parametrize("base", BASES)
def test_a_copy_with_nothing_set_costs_the_same(base: str) -> None:
    made = new("my_thing", base)
    facts = dict(Machine(hardware(base), IDEAL).facts)
    facts.pop("price", None)  # of another product
    written = dict(Machine(made.device, IDEAL).facts)
    for path in _of_class(Machine(hardware(base), IDEAL), Machine(made.device, IDEAL)):
        facts.pop(path, None)
        written.pop(path, None)
    assert written == pytest.approx(facts, rel=1e-9)
    assert made.device.name == "my_thing"
    assert made.device.aliases == ()
    assert made.changes == ()
    # What was measured or fitted elsewhere is an estimate here.
    origins = Machine(made.device, IDEAL).provenance.items()
    own = {p: o.confidence for p, o in origins if o.writer.startswith("device ")}
    assert not {"measured", "fitted"} & set(own.values())


@pytest.mark.parametrize("base", ["rk3588", "stm32h743", "apple_a18_pro", "h100", "stm32n6"])
def test_a_copy_with_one_fact_set_has_the_facts_of_a_varied_machine(base: str) -> None:
    machine = Machine(hardware(base), IDEAL)
    paths = [
        path
        for path, value in machine.facts.items()
        if path.split(".")[0] in ("engines", "memories", "power", "price")
        and machine.provenance[path].writer.startswith(("device", "base"))
        and isinstance(value, float)
        and value > 0
        and "_speedup." not in path
    ]
    assert len(paths) > 8
    for path in paths:
        # Shares may not pass 1, and whole numbers stay whole.
        value = machine.facts[path] * (
            0.5 if path.endswith(("sustained_fraction", "bandwidth", "exponent")) else 2
        )
        varied = machine.vary({path: value})
        made = new("my_thing", base, {path: value})
        facts, written = dict(varied.facts), dict(Machine(made.device, IDEAL).facts)
        for gone in _of_class(machine, Machine(made.device, IDEAL)):
            facts.pop(gone, None)
            written.pop(gone, None)
        for gone in {"price"} - {path}:
            facts.pop(gone, None)
        for key in [k for k in facts if ".relative_" in k and ".peaks." in path]:
            # A spec file takes these from its peaks where it states none; varied facts keep them.
            del facts[key], written[key]
        if path.endswith((".units", ".clock")):
            # A bigger chip draws more; a varied one keeps the power that is stated.
            facts = {**facts, **{k: v for k, v in written.items() if k == "power.busy"}}
        assert written == pytest.approx(facts, rel=1e-4), path
        assert made.changes


def test_comments_and_sources_stay_and_set_numbers_say_so() -> None:
    made = new("my_board", "raspberry_pi_4", {"memories.main.bandwidth": 25e9, "power.idle": "2 W"})
    assert "# 4 cores x 1.8 GHz: 8 fp32 and 16 int8 operations" in made.text
    assert made.device.sources["sheet"] == hardware("raspberry_pi_4").sources["sheet"]
    main = made.device.memory("dram")
    assert (main.bandwidth.value, main.bandwidth.source) == (25e9, "set_by_user")
    assert main.bandwidth.confidence == "estimated"
    # 5.3 of 12.8 GB/s were measured; the share is kept.
    assert main.sustained_bandwidth
    assert main.sustained_bandwidth.value == pytest.approx(25e9 * 5.3 / 12.8, rel=1e-4)
    assert made.device.power
    assert made.device.power.idle
    assert made.device.power.idle.value == 2.0
    assert made.text.splitlines()[0].startswith("# yaml-language-server")
    with_document = new(
        "b", "rk3588", {"power.busy": "9 W"}, source="Sheet 3", confidence="datasheet"
    )
    assert with_document.device.sources["set_by_user"].title == "Sheet 3"


def test_what_is_set_is_what_is_predicted(tmp_path: Path) -> None:
    made = new("my_board", "rk3588", {"memories.main.bandwidth": "10 GB/s"})
    path = made.save(tmp_path / "my_board.yaml")
    slow = pm.predict("llama_3_2_1b", path, precision="w8a8", runtime="ideal").latency_s
    fast = pm.predict("llama_3_2_1b", "rk3588", precision="w8a8", runtime="ideal").latency_s
    assert slow / fast == pytest.approx(3.38, rel=0.05)  # 33.8 over 10 GB/s: bound by memory
    assert not hardware(path).grade().faults


def test_a_file_is_never_replaced_unasked(tmp_path: Path) -> None:
    made = new("my_board", "rk3588")
    path = made.save(tmp_path / "my_board.yaml")
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already; expected another name, or --force"):
        made.save(path)
    assert path.read_text() == "mine"
    made.save(path, force=True)
    assert hardware(path).name == "my_board"
    with pytest.raises(InputError, match="there is no folder"):
        made.save(tmp_path / "none" / "x.yaml")


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as caught:
        new("My Board", "rk3588x", bandwidth="25 Gb/s", format="int7", peak=-1.0)
    texts = [str(fault) for fault in caught.value.faults]
    for words in ("did you mean 'my_board'", "did you mean 'rk3588'", "25 Gbit/s", "int7", "above"):
        assert any(words in text for text in texts), (words, texts)
    with pytest.raises(InputError) as caught:
        new(
            "b",
            "rk3588",
            {
                "memories.main.bandwith": "1 GB/s",
                "engines.npu.peaks.int8": "3 GB/s",
                "memories.main.sustained_bandwidth": "90 GB/s",
                "power.busy": float("nan"),
            },
            runtime="rknx",
        )
    assert len(caught.value.faults) == 5
    with pytest.raises(InputError, match="'stm32h7' is another name of stm32h743"):
        new("stm32h7", "stm32f746")
    with pytest.raises(InputError, match="nothing to choose a device by"):
        new("my_board")


def test_edits_leave_the_rest_of_a_text_alone() -> None:
    text = SpecText('a: 1  # one\nmemories:\n  - {name: x, b: {value: "2", source: s}} # two\n')
    text.put_number("memories", "x", ["b"], "3", {"source": "me"})
    text.put_number("memories", "x", ["c", "d"], "4", {})
    text.put("", "e", "5")
    assert text.text.split("\n") == [
        "a: 1  # one",
        "memories:",
        "  - {name: x, b: {value: 3, source: me}, c: {d: {value: 4}}} # two",
        "e: 5",
        "",
    ]
    text.remove("a")
    assert "one" not in text.text


def test_power_follows_the_one_engine_that_it_is_of() -> None:
    """C V**2 f above the idle power, C by the units."""
    card = hardware("rtx_5090")
    facts = card.machine().facts
    idle, busy = 0.0, facts["power.busy"]  # the spec states no idle power
    bigger = new("card_b", "rtx_5090", {"engines.gpu.units": 1.5 * facts["engines.gpu.units"]})
    assert bigger.device.machine()["power.busy"] == pytest.approx(idle + 1.5 * (busy - idle), 1e-4)
    stated = new("card_c", "rtx_5090", {"engines.gpu.units": 255, "power.busy": "600 W"})
    assert stated.device.machine()["power.busy"] == 600.0
    # The power of a package with several engines is a limit of its own.
    laptop = new("laptop_b", "core_ultra_7_155h", {"engines.cpu.clock": "4.5 GHz"})
    assert all(change.path != "power.busy" for change in laptop.changes)


def test_a_number_without_its_unit_is_remarked_on() -> None:
    made = new("card_d", "rtx_4090", {"engines.gpu.clock": 3000})
    assert any("without a unit is in Hz" in line for line in made.cautions())


# the nearest


def test_a_device_is_nearest_to_its_own_facts() -> None:
    for name in ("rk3588", "rtx_3090", "stm32h743", "apple_m2_max", "hailo8"):
        facts, _ = summary_of(hardware(name))
        wanted = wanted_summary(facts.bandwidth)
        best = nearest_devices(
            type(facts)(bandwidth=wanted.bandwidth, peaks=facts.peaks, tags=facts.tags), (), 3
        )
        assert best[0].distance == pytest.approx(0.0, abs=1e-9)
        assert name in {like.name for like in best if like.distance < 1e-9}


def test_distances_are_octaves() -> None:
    rk = hardware("rk3588")
    facts, _ = summary_of(rk)
    assert facts.bandwidth
    twice = wanted_summary(2 * facts.bandwidth, 4 * facts.peaks["int8"], "int8")
    (found,) = nearest_devices(twice, ["rk3588"], 1)
    assert found.distance == pytest.approx(math.hypot(1.0, 2.0))
    assert (found.bandwidth_ratio, found.peak_ratio) == (0.5, 0.25)


def test_words_and_kinds_restrict() -> None:
    phones = nearest_devices(wanted_summary("50 GB/s"), ["phone", "qualcomm"], None)
    known = entries("devices")
    assert phones
    assert all("phone" in known[like.name].tags for like in phones)
    assert {like.kind for like in nearest_devices(wanted_summary(kind="mcu"), (), None)} == {"mcu"}
    with pytest.raises(InputError, match="no device has 'fone'"):
        nearest_devices(wanted_summary("50 GB/s"), ["fone"])


#: Products of the catalogue that have become devices of the library.
DEVICES_NOW = (
    "apollo4",
    "beagle_ai_64",
    "core_i7_7700k",
    "esp32_h2",
    "gaudi_2",
    "gaudi_3",
    "gh200",
    "gtx_970",
    "gtx_980",
    "gtx_980_ti",
    "h100_nvl",
    "imx93",
    "imxrt1020",
    "imxrt685",
    "jetson_agx_thor",
    "k210",
    "k66f",
    "mi325x",
    "mi355x",
    "mi50",
    "nrf54l15",
    "quadro_rtx_6000",
    "quadro_rtx_8000",
    "ra4m1",
    "radeon_rx_5700_xt",
    "radeon_rx_vega_56",
    "radeon_vii",
    "ryzen_5_2600",
    "ryzen_7_2700x",
    "stm32g474",
    "stm32wb55",
    "threadripper_3970x",
    "tpu_v3",
    "tpu_v4",
    "tpu_v5p",
    "tpu_v6e",
    "xeon_e5_2690_v4",
)


def test_what_left_the_catalogue_is_in_the_library() -> None:
    known = {word for e in entries("devices").values() for word in (e.name, *e.aliases)}
    assert not [name for name in DEVICES_NOW if name not in known]
    assert len({*products(), *DEVICES_NOW}) >= 69


def test_the_catalogue_is_sound_and_beside_the_library() -> None:
    known = {word for e in entries("devices").values() for word in (e.name, *e.aliases)}
    spelled: list[str] = []
    for name, product in products().items():
        spelled += [name, *product.aliases]
        assert product.summary.bandwidth
        assert product.summary.peaks
        assert product.summary.year
        assert product.confidence in ("estimated", "datasheet")
    assert not known & set(spelled), "the library has them by now"
    assert len(spelled) == len(set(spelled))


@pytest.mark.parametrize(
    "name", ["snapdragon_765g", "quadro_rtx_5000", "gtx_960", "a11", "nrf52833"]
)
def test_a_known_product_is_told_what_to_type(name: str) -> None:
    with pytest.raises(InputError) as caught:
        hardware(name)
    text = str(caught.value)
    assert "which the library has not; nearest by facts is" in text
    typed = text.partition("perfmodel hardware new ")[2].split()
    product = find(name)
    assert product
    assert typed[0] == product.summary.name
    base = typed[typed.index("--from") + 1]
    made = new(typed[0], base)
    # The command does what the catalogue says.
    assert made.device.memory(made.device.main_memory).bandwidth.value == product.summary.bandwidth
    assert made.device.title == product.summary.title
    (like,) = nearest_devices(product.summary, [base], 1)[:1]
    assert command(product, like).split()[3:] == typed


def test_an_unknown_name_is_as_before() -> None:
    assert advice("zzz") == ""
    with pytest.raises(InputError, match="no device is named 'rk3589'; did you mean 'rk3588'"):
        hardware("rk3589")
