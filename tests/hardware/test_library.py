"""The library: every file that ships is sound, and names, aliases and tags find it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.hardware import Device, Machine
from perfmodel.hardware import list as list_devices
from perfmodel.hardware.library import (
    data_root,
    entries,
    hardware,
    names,
    runtime,
    select,
)
from perfmodel.hardware.runtime import Runtime
from tests.offenders import each

DEVICES, RUNTIMES = names("devices"), names("runtimes")


@each("name", DEVICES)
def test_a_device_that_ships_is_sound(name: str, tmp_path: Path) -> None:
    device = hardware(name)
    assert device.name == name, "a file is called as its device"
    text = entries("devices")[name].path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../schema/device.schema.json\n")
    again = tmp_path / f"{name}.yaml"
    again.write_text(device.to_yaml(), encoding="utf-8")
    assert hardware(again) == device
    grade = device.grade()
    assert not grade.faults
    assert grade.letter in "ABCDE"


@each("name", DEVICES)
def test_a_default_runtime_exists_and_drives_the_device(name: str) -> None:
    device = hardware(name)
    machine = device.machine()
    assert machine.runtime.name == runtime(device.default_runtime).variant(device)
    for engine in device.engines:
        assert device.hierarchy(engine.name)[-1].capacity.value > 0


@each("name", RUNTIMES)
def test_a_runtime_that_ships_is_sound(name: str, tmp_path: Path) -> None:
    made = runtime(name)
    assert made.name == name
    again = tmp_path / f"{name}.yaml"
    again.write_text(made.to_yaml(), encoding="utf-8")
    assert runtime(again) == made
    known = {word for e in entries("devices").values() for word in (e.name, *e.aliases, *e.tags)}
    assert set(made.applies_to) <= known, "applies_to names devices or tags of the library"


def test_no_two_specs_share_a_name() -> None:
    for room in ("devices", "runtimes"):
        found = entries(room).values()
        spelled = [word for entry in found for word in (entry.name, *entry.aliases)]
        assert len(spelled) == len(set(spelled))


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("RTX 3060 12GB", "rtx_3060"),
        ("nvidia geforce rtx 4090", "rtx_4090"),
        ("4070 Super", "rtx_4070_super"),
        ("rx 6700 xt", "radeon_rx_6700_xt"),
        ("m4 pro", "apple_m4_pro"),
        ("Pi 5", "raspberry_pi_5"),
        ("pi 3b+", "raspberry_pi_3b_plus"),
        ("ROG Ally", "ryzen_7_7840u"),
        ("orin nano super", "jetson_orin_nano_super"),
        ("8 gen 3", "snapdragon_8_gen_3"),
        ("8+ gen 1", "snapdragon_8_plus_gen_1"),
        ("S24 Ultra", "snapdragon_8_gen_3"),
        ("core ultra 7 258v", "core_ultra_7_258v"),
        ("5950X", "ryzen_9_5950x"),
        ("Intel Core i9-13900K", "core_i9_13900k"),
        ("Xeon Platinum 8480+", "xeon_platinum_8480"),
        ("Ryzen AI Max+ 395", "radeon_8060s"),
        ("nucleo h743", "stm32h743"),
        ("coral usb", "edge_tpu_usb"),
        ("agx thor", "jetson_agx_thor"),
    ],
)
def test_people_name_a_device_as_they_like(spelling: str, name: str) -> None:
    assert hardware(spelling).name == name


@pytest.mark.parametrize("spelling", ["gtx 5950x", "8gb", "970", "4080 pro", "rtx 3060 16gb"])
def test_half_a_name_is_not_guessed(spelling: str) -> None:
    with pytest.raises(InputError, match="no device is named"):
        hardware(spelling)


def test_heads_agree_with_the_whole_files() -> None:
    for name, entry in entries("devices").items():
        device = hardware(name)
        assert entry.aliases == device.aliases
        assert not entry.aliases or hardware(entry.aliases[-1]) is device
        assert entry.tags == device.tags
        assert entry.title == device.title


@pytest.fixture
def folder(tmp_path: Path, spec: str) -> Path:
    (tmp_path / "card.yaml").write_text(spec)
    second = spec.replace("name: card\n", "name: second\n").replace(
        "aliases: [card_80]\n", "aliases:\n  - two\n  - zwei\n"
    )
    (tmp_path / "second.yaml").write_text(second.replace("[gpu, datacenter]", "[\n  phone,\n]"))
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "notes.txt").write_text("no spec")
    return tmp_path


def test_names_aliases_and_tags(folder: Path) -> None:
    assert hardware("card", [folder]).name == "card"
    assert hardware("card_80", [folder]).name == "card"
    assert hardware("zwei", [folder]).name == "second"
    assert hardware(str(folder / "card.yaml")) is hardware(folder / "card.yaml")
    assert set(names("devices", directories=[folder])) == {*DEVICES, "card", "second", "broken"}
    assert "second" in list_devices("phone", [folder])
    assert "card" not in list_devices("phone", [folder])


def test_a_device_is_given_back_as_it_is(card: Device) -> None:
    assert hardware(card) is card
    made = Runtime(name="r")
    assert runtime(made) is made


def test_selection_by_tag(folder: Path) -> None:
    chosen = select("card, tag:phone,card", [folder])
    assert chosen[0] == "card"
    assert "second" in chosen
    assert len(chosen) == len(set(chosen))
    with pytest.raises(InputError, match="no device has the tag 'fone'; did you mean 'tag:phone'"):
        select("tag:fone", [folder])
    with pytest.raises(InputError, match="'tag:phone' selects several devices"):
        hardware("tag:phone", [folder])


def test_unknown_names_get_the_nearest(folder: Path) -> None:
    with pytest.raises(InputError, match="no device is named 'secnd'; did you mean 'second'"):
        hardware("secnd", [folder])
    with pytest.raises(InputError, match=r"no device is named 'qqq'; expected a path to a \.yaml"):
        hardware("qqq", [folder])
    with pytest.raises(InputError, match="no runtime is named"):
        runtime("qqq")
    with pytest.raises(InputError, match=r"absent\.yaml: no such file"):
        hardware(folder / "absent.yaml")
    with pytest.raises(InputError, match="no device is named"):
        hardware("car..", [folder])
    with pytest.raises(InputError, match="not valid YAML"):
        hardware("broken", [folder])


@pytest.mark.parametrize("name", [None, 5, b"a100"])
def test_what_is_no_name_at_all(name: object) -> None:
    with pytest.raises(InputError, match="expected a name or path"):
        hardware(name)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["a\0.yaml", "x" * 5000 + ".yaml", "", ".", "/", "a/b"])
def test_odd_names_are_faults(name: str) -> None:
    with pytest.raises(InputError):
        hardware(name)


def test_a_changed_file_is_read_again(folder: Path, spec: str) -> None:
    path = folder / "card.yaml"
    before = hardware(path)
    assert hardware(path) is before
    path.write_text(spec.replace('"2 TB/s"', '"20 TB/s"'))
    os.utime(path, ns=(1, 1))
    assert hardware(path).memory().bandwidth.value == 20e12


def test_the_data_lies_where_it_says() -> None:
    assert (data_root() / "devices").is_dir()
    assert data_root("workloads").name == "workloads"


def test_machine_finds_the_runtime_by_name(card: Device) -> None:
    assert Machine(card).runtime.name == "ideal"
    assert Machine(card, "ideal").runtime is Machine(card).runtime
    with pytest.raises(InputError, match="did you mean 'ideal'"):
        Machine(card, "idael")


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, perfmodel.hardware; "
        "print(sorted({'pydantic', 'yaml', 'numpy', 'scipy', 'networkx'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_memory_on_a_chip_is_called_dram() -> None:
    """Its bytes would have the energy of an interface off the chip; no DRAM is below 16 MB."""
    for name in sorted(entries("devices")):
        for memory in hardware(name).memories:
            if memory.kind == "dram":
                assert memory.capacity.value > 16e6, f"{name}: {memory.name}"
