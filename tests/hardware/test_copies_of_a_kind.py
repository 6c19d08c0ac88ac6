"""Copies for known products: in an instruction set, and from no device that has what they lack."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.errors import InputError
from perfmodel.hardware.library import device_names, hardware
from perfmodel.hardware.new_device import new
from perfmodel.hardware.similarity.architecture import architecture_mismatch, of_device, of_product
from perfmodel.hardware.similarity.distance import nearest_devices
from perfmodel.hardware.similarity.known_products import catalogue, group_of, products

#: Of the chips' data sheets: MHz at which the catalogue's peaks hold.
CLOCKS = {
    "nrf52833": 64,
    "k64f": 120,
    "samd10": 48,
    "stm32f303": 72,
    "stm32l432": 80,
}


def test_every_product_and_microcontroller_states_what_it_is() -> None:
    data = catalogue()
    for name, product in products().items():
        made = of_product(product)
        assert made.family in data["families"], name
        assert made.has <= set(data["extensions"]), name
        assert str(made)
    cores = {n for n in device_names() if any(e.kind == "mcu" for e in hardware(n).engines)}
    assert cores <= set(data["cores"]) | {n for n in cores if not of_device(hardware(n)).family}
    for name in cores:
        assert of_device(hardware(name)).family, f"{name} has no family: state it under cores"
    for name in data["cores"]:
        assert of_device(hardware(name)).has <= set(data["extensions"])


def test_a_copy_never_crosses_families_and_has_nothing_that_is_lacking() -> None:
    """Whatever is chosen for a product of the catalogue, and whatever is not."""
    copied = 0
    for name, product in products().items():
        try:
            made = new(name)
        except InputError as error:
            text = str(error)
            assert "nothing to copy" in text
            assert str(of_product(product)) in text
            # No device would have done.
            but = partial(architecture_mismatch, product)
            assert not nearest_devices(product.summary, group_of(product), 1, (), but)
            continue
        copied += 1
        base = of_device(hardware(made.base))
        assert base.family == of_product(product).family, (name, made.base)
        assert base.has <= of_product(product).has, (name, made.base)
    assert copied > 3 / 4 * len(products())


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("esp8266", "stm32h7a3"),
        ("esp8266", "esp32_s3"),
        ("samd10", "efr32mg24"),
        ("gd32vf103", "gap8"),
        ("snapdragon_765g", "ethos_u55"),
        ("gtx_1050", "rtx_2080_ti"),
        ("radeon_rx_570", "gtx_1060"),
        ("u50", "a100"),
    ],
)
def test_what_cannot_be_copied_is_refused_with_what_is_needed(name: str, base: str) -> None:
    with pytest.raises(InputError) as caught:
        new(name, base)
    text = str(caught.value)
    assert base in text
    assert str(of_product(products()[name])) in text


def test_facts_of_its_own_core_make_it_a_spec_of_its_own() -> None:
    with pytest.raises(InputError) as caught:
        new("esp8266", "esp32_s3")
    listed = str(caught.value).partition("own core does (")[2].partition(")")[0].split(", ")
    machine = hardware("esp32_s3").machine()
    facts = {path: float(machine[path]) for path in listed}
    made = new("esp8266", "esp32_s3", facts, runtime="mcu_library")
    assert made.device.name == "esp8266"
    with pytest.raises(InputError, match="runtime"):
        new("esp8266", "esp32_s3", facts)


@pytest.mark.parametrize("name", CLOCKS)
def test_a_core_that_counts_clocks_gets_its_clock(name: str) -> None:
    made = new(name)
    machine = made.device.machine()
    clock = machine[f"engines.{made.device.main_engine}.clock"]
    assert clock == pytest.approx(CLOCKS[name] * 1e6, rel=0.03)
    # No more is done in a second than the peak has.
    found = pm.predict("mlperf_tiny_ic", made.device)
    assert 0.0 < found.utilization <= 1.0
    wanted = products()[name].summary.peaks["int8"]
    assert machine[f"engines.{made.device.main_engine}.peaks.int8"] == pytest.approx(wanted)


def test_a_name_of_the_library_is_allowed_and_overrides_by_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "a100.yaml"
    assert (
        main(
            ["hardware", "new", "a100", "--set", "memories.main.bandwidth=1 TB/s", "-o", str(place)]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "--devices" in told
    assert hardware("a100", [tmp_path]).machine()["memories.main.bandwidth"] == 1e12
    assert hardware("a100").machine()["memories.main.bandwidth"] > 1e12
    with pytest.raises(InputError, match="another name of stm32h743"):
        new("stm32h7", "stm32f746")
