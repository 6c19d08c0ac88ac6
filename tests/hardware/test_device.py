"""Devices: values that hash, compare, order their memories and write themselves."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine, engine_class, is_compute_format, register_engine
from perfmodel.hardware.library import hardware

Load = Callable[..., Device]


def test_the_hierarchy_goes_from_near_to_far(card: Device) -> None:
    assert [m.name for m in card.hierarchy()] == ["cache", "hbm"]
    assert [m.name for m in card.hierarchy("tensor")] == ["cache", "hbm"]
    assert [m.name for m in card.hierarchy("host")] == ["hbm"]


def test_the_longest_way_orders_a_branched_hierarchy(load: Load, spec: str) -> None:
    card = load(spec.replace("feeds: [cache, host]", "feeds: [tensor, cache, host]"))
    assert [m.name for m in card.hierarchy()] == ["cache", "hbm"]


def test_a_printed_device_is_a_few_lines(card: Device) -> None:
    lines = str(card).splitlines()
    assert len(lines) == 1 + len(card.engines) + len(card.memories)
    assert lines[0] == f"{card.name}: {card.title}"
    assert "None" not in str(card)


def test_roles_and_defaults(load: Load, spec: str, card: Device) -> None:
    assert card.memory().name == card.memory("main").name == card.main_memory == "hbm"
    assert card.engine().name == card.main_engine == "tensor"
    assert load(spec.replace("    roles: [main]\n", "")).main_memory == "hbm"
    assert load(spec.replace("default_engine: tensor\n", "")).main_engine == "tensor"
    with pytest.raises(InputError, match=r"card has no memory 'hmb'.*did you mean 'hbm'"):
        card.memory("hmb")
    with pytest.raises(InputError, match="card has no engine 'npu'; expected one of tensor, host"):
        card.engine("npu")


def test_storage_is_not_the_main_memory(load: Load, spec: str) -> None:
    disk = '  - {name: ssd, kind: storage, capacity: "1 TB", bandwidth: "7 GB/s", feeds: [hbm]}\n'
    text = spec.replace("    roles: [main]\n", "").replace("links:\n", disk + "links:\n")
    card = load(text)
    assert card.main_memory == "hbm"
    assert [m.name for m in card.hierarchy()] == ["cache", "hbm", "ssd"]


def test_yaml_reads_back_as_an_equal_device(load: Load, card: Device) -> None:
    again = load(card.to_yaml(), "again")
    assert again == card
    assert again.content_hash == card.content_hash
    assert hash(again) == hash(card)
    assert again.to_yaml() == card.to_yaml()


def test_texts_that_look_like_numbers_survive_the_round_trip(load: Load, spec: str) -> None:
    card = load(spec.replace("title: A card", 'title: "1e3"\nprocess: "true"'))
    again = load(card.to_yaml(), "again")
    assert (again.title, again.process) == ("1e3", "true")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"2 TB/s"', '"2.1 TB/s"'),
        ("accumulator: fp32", "accumulator: fp16"),
        ("5000 B/clock", "5000 B/s"),
        ("overlap: full", "overlap: none"),
        ("title: A card", "title: Another card"),
    ],
)
def test_the_hash_changes_with_what_the_spec_says(
    load: Load, spec: str, card: Device, old: str, new: str
) -> None:
    text = spec.replace("year: 2020\n", "year: 2020\noverlap: full\n")
    other = load(text.replace(old, new, 1), "other")
    assert other != card
    assert other.content_hash != card.content_hash


def test_devices_pickle_and_copy(card: Device) -> None:
    assert pickle.loads(pickle.dumps(card)) == card
    assert copy.deepcopy(card) == card
    assert card != "card"
    assert len({card, copy.deepcopy(card)}) == 1


def test_construction_in_python_is_checked_too(card: Device) -> None:
    fields = {name: getattr(card, name) for name in Device.model_fields}
    assert Device(**fields) == card
    with pytest.raises(ValidationError, match="no engine is named 'npu'"):
        Device(**(fields | {"default_engine": "npu"}))


class Systolic(Engine):
    """An engine of a kind of its own, with a number that the base lacks."""

    rows: int


def test_a_kind_brings_its_own_spec_class(load: Load, spec: str) -> None:
    register_engine("test_systolic", Systolic)
    assert engine_class("test_systolic") is Systolic
    text = spec.replace("    kind: roofline\n", "    kind: test_systolic\n    rows: 128\n")
    card = load(text)
    assert isinstance(card.engines[0], Systolic)
    assert card.engines[0].rows == 128
    assert load(card.to_yaml(), "again") == card
    with pytest.raises(InputError) as caught:
        load(text.replace("rows: 128", "rwos: 128"))
    found = [str(fault).partition("card.yaml:")[2] for fault in caught.value.faults]
    assert found == [
        "17:5: engines.tensor: missing key 'rows'",
        "19:5: engines.tensor.rwos: unknown key 'rwos'; did you mean 'rows'?",
    ]


def test_fields_of_a_misspelt_kind_are_read_as_the_kind_that_was_meant(
    load: Load, spec: str
) -> None:
    register_engine("test_systolic", Systolic)
    text = spec.replace("    kind: roofline\n", "    kind: test_systolik\n    rows: many\n")
    with pytest.raises(InputError) as caught:
        load(text)
    found = [str(fault).partition("card.yaml:")[2] for fault in caught.value.faults]
    assert len(found) == 2
    assert found[0].endswith(
        "engines.tensor.kind: no kind of engine is named 'test_systolik'; "
        "did you mean 'test_systolic'?"
    )
    assert "engines.tensor.rows" in found[1]


@pytest.mark.parametrize("given", ["1.5", '"0.25"', "{value: 107.5}"])
def test_units_come_whole(spec: str, load: Callable[..., Device], given: str) -> None:
    with pytest.raises(
        InputError, match="is not a whole number; expected a whole number"
    ) as caught:
        load(spec.replace("units: 100", f"units: {given}"))
    (fault,) = caught.value.faults
    assert (fault.path, fault.line) == ("engines.tensor.units", 20)
    assert load(spec.replace("units: 100", "units: 1e2")).engines[0].units.value == 100


@pytest.mark.parametrize("name", ["fp16", "int4xint8", "fp8_e4m3"])
def test_compute_formats_and_pairs(name: str) -> None:
    assert is_compute_format(name)


@pytest.mark.parametrize("name", ["fp61", "int4xint8xint8", "", "x"])
def test_what_is_no_compute_format(name: str) -> None:
    assert not is_compute_format(name)


BASE = """\
name: base_card
source: old
confidence: datasheet
sources: {old: Old sheet, other: Other sheet}
engines:
  - name: core
    units: 10
    clock: "1 GHz"
    peaks: {fp16: {value: "10 TFLOP/s", accumulator: fp32, note: "at boost"}}
memories:
  - {name: dram, kind: dram, capacity: "8 GB", bandwidth: "100 GB/s", feeds: [core], source: other}
"""
HEIR = """\
name: heir
base: base_card
source: new
confidence: estimated
sources: {new: New sheet}
engines:
  - {name: core, peaks: {fp16: "12 TFLOP/s"}}
memories:
  - {name: dram, capacity: "16 GB"}
"""


def heir(folder: Path, text: str = HEIR) -> Device:
    (folder / "base_card.yaml").write_text(BASE)
    (folder / "heir.yaml").write_text(text)
    return hardware(folder / "heir.yaml")


def test_an_heir_takes_what_it_does_not_say(tmp_path: Path) -> None:
    made = heir(tmp_path)
    core, dram = made.engines[0], made.memories[0]
    assert made.name == "heir"
    assert (core.units.value, core.peaks["fp16"].value) == (10, 12e12)
    assert core.peaks["fp16"].accumulator == "fp32"
    assert core.peaks["fp16"].note is None, "a note on the old number says nothing of the new"
    assert (dram.capacity.value, dram.bandwidth.value) == (16e9, 100e9)
    assert set(made.sources) == {"old", "other", "new"}


def test_an_heir_does_not_claim_the_numbers_of_its_base(tmp_path: Path) -> None:
    made = heir(tmp_path)
    core, dram = made.engines[0], made.memories[0]
    assert core.peaks["fp16"].source == dram.capacity.source == "new"
    assert core.peaks["fp16"].confidence == "estimated"
    assert (core.clock and core.clock.source) == core.units.source == "old"
    assert (dram.bandwidth.source, dram.bandwidth.confidence) == ("other", "datasheet")
    assert made.inherited_from("memories.dram.bandwidth") == "base_card"
    assert made.inherited_from("memories.dram.capacity") == ""


@pytest.mark.parametrize(
    ("core", "fp16", "vector"),
    [
        ('clock: "2 GHz"', 20e12, 2e12),
        ("units: 5", 5e12, 0.5e12),
        ('units: 5, clock: "2 GHz"', 10e12, 1e12),
        ('units: 5, peaks: {fp16: "7 TFLOP/s"}', 7e12, 1e12),
        ('units: 5, vector_peaks: {fp32: "3 TFLOP/s"}', 5e12, 3e12),
    ],
)
def test_peaks_of_a_base_follow_restated_units_and_clock(
    core: str, fp16: float, vector: float, tmp_path: Path
) -> None:
    (tmp_path / "base_card.yaml").write_text(
        BASE.replace("    peaks:", '    vector_peaks: {fp32: "1 TFLOP/s"}\n    peaks:')
    )
    (tmp_path / "heir.yaml").write_text(HEIR.replace('peaks: {fp16: "12 TFLOP/s"}', core))
    made = hardware(tmp_path / "heir.yaml").engines[0]
    assert made.peaks["fp16"].value == pytest.approx(fp16)
    assert made.vector_peaks["fp32"].value == pytest.approx(vector)
    assert made.peaks["fp16"].accumulator == "fp32"


def test_a_restated_bandwidth_keeps_the_sustained_fraction(tmp_path: Path) -> None:
    (tmp_path / "fast.yaml").write_text(
        'name: fast\nbase: a100\nmemories: [{name: hbm, bandwidth: "3 TB/s"}]\n'
    )
    made = hardware(tmp_path / "fast.yaml")
    varied = hardware("a100").machine().vary({"memories.hbm.bandwidth": 3e12})
    machine = made.machine()
    # The price is that of another product.
    assert "price" not in machine.facts
    expected = {path: value for path, value in varied.facts.items() if path != "price"}
    assert machine.facts == pytest.approx(expected, rel=1e-12)
    origin = machine.provenance["memories.hbm.sustained_fraction"]
    assert (origin.writer, origin.source) == ("base a100", "neusight")
    assert origin.note is not None
    assert origin.note.startswith("0.86 of the theoretical rate, as in the base")
    (tmp_path / "whole.yaml").write_text(made.to_yaml())
    whole = hardware(tmp_path / "whole.yaml").machine()
    assert whole.facts == pytest.approx(machine.facts, rel=1e-12)
    assert hardware(tmp_path / "whole.yaml") == made


@pytest.mark.parametrize(
    ("old", "sustained", "new", "expected"),
    [
        ("100 B/clock", "60 GB/s", "50 B/clock", 30e9),
        ("100 B/clock", "60 GB/s", "200 GB/s", 120e9),
        ("200 GB/s", "100 B/clock", "50 GB/s", 25e9),
        ("100 GB/s", "{value: 80 GB/s, source: old}", "{value: 50 GB/s}", 40e9),
        ("100 GB/s", "80 GB/s", '50 GB/s", sustained_bandwidth: "45 GB/s', 45e9),
    ],
)
def test_a_sustained_fraction_in_other_units(
    old: str, sustained: str, new: str, expected: float, tmp_path: Path
) -> None:
    def text(rate: str) -> str:
        return rate if rate.startswith("{") else f'"{rate}"'

    base = BASE.replace('"100 GB/s"', f"{text(old)}, sustained_bandwidth: {text(sustained)}")
    (tmp_path / "base_card.yaml").write_text(base)
    (tmp_path / "heir.yaml").write_text(
        HEIR.replace('capacity: "16 GB"', f"bandwidth: {text(new)}")
    )
    facts = hardware(tmp_path / "heir.yaml").machine().facts
    reached = facts["memories.dram.bandwidth"] * facts["memories.dram.sustained_fraction"]
    assert reached == pytest.approx(expected)


def test_an_heir_writes_itself_out_whole(tmp_path: Path) -> None:
    made = heir(tmp_path)
    (tmp_path / "whole.yaml").write_text(made.to_yaml())
    (tmp_path / "base_card.yaml").unlink()
    assert hardware(tmp_path / "whole.yaml") == made


def test_a_fault_of_the_base_stands_in_the_base(tmp_path: Path) -> None:
    (tmp_path / "base_card.yaml").write_text(BASE.replace('"100 GB/s"', "100"))
    (tmp_path / "heir.yaml").write_text(HEIR)
    with pytest.raises(InputError, match=r"base_card\.yaml:11:\d+: memories\.dram\.bandwidth"):
        hardware(tmp_path / "heir.yaml")


def test_bases_that_do_not_exist_or_go_round(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"heir\.yaml:2:7: base: .*did you mean 'base_card'"):
        heir(tmp_path, HEIR.replace("base: base_card", "base: base_crad"))
    with pytest.raises(InputError, match=r"heir\.yaml:2:7: base: base is not a name"):
        heir(tmp_path, HEIR.replace("base: base_card", "base: [a]"))
    heir(tmp_path)
    (tmp_path / "base_card.yaml").write_text("base: heir\n" + BASE)
    with pytest.raises(InputError, match="in a circle: heir -> base_card -> heir"):
        hardware(tmp_path / "heir.yaml")


def test_a_circle_by_way_of_aliases_is_found(tmp_path: Path) -> None:
    heir(tmp_path, HEIR.replace("name: heir", "name: heir\naliases: [erbe]"))
    (tmp_path / "base_card.yaml").write_text("base: erbe\n" + BASE)
    with pytest.raises(InputError, match="in a circle: heir -> base_card -> heir"):
        hardware(tmp_path / "heir.yaml")


def test_a_change_of_the_base_is_noticed(tmp_path: Path) -> None:
    assert heir(tmp_path).memories[0].bandwidth.value == 100e9
    (tmp_path / "base_card.yaml").write_text(BASE.replace('"100 GB/s"', '"1000 GB/s"'))
    assert hardware(tmp_path / "heir.yaml").memories[0].bandwidth.value == 1000e9
