"""``perfmodel collective``: what it prints, writes and refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from tests.cli.conftest import Ran


def test_the_numbers_are_those_of_the_function(run: Callable[..., Ran]) -> None:
    done = run("collective", "all_reduce", "h100", "--message", "1 MiB", "--devices", "8", "--json")
    assert done.code == 0
    result = pm.collective("all_reduce", 2.0**20, 8, "h100")
    for name in ("latency_s", "wire_bytes", "bus_bandwidth_bytes_per_s", "algorithm", "link"):
        assert done.data[name] == getattr(result, name)
    assert (done.data["device"], done.data["runtime"]) == ("h100", "nccl")
    finite = {name: s for name, s in result.algorithms.items() if np.isfinite(s)}
    assert {name: s for name, s in done.data["algorithms"].items() if s is not None} == finite
    text = run("collective", "all_reduce", "h100", "--message", "1 MiB", "--devices", "8").out
    assert text.startswith("all_reduce on h100, nvlink, runtime nccl")
    assert "in the switch" in text


def test_lists_are_asked_in_every_combination(run: Callable[..., Ran], tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    words = ("collective", "all_gather", "h100", "--message", "2**20..2**22", "--devices", "2,8")
    assert run(*words, "-o", str(output)).out == ""
    lines = output.read_text().splitlines()
    assert lines[0].startswith("message_bytes,devices,latency_s,algorithm")
    pairs = [tuple(float(v) for v in line.split(",")[:2]) for line in lines[1:]]
    assert pairs == [(m, d) for m in (2**20, 2**21, 2**22) for d in (2, 8)]
    many = run(*words, "--json").data
    single = pm.collective("all_gather", 2.0**21, 8, "h100")
    assert many["latency_s"][3] == pytest.approx(single.latency_s, rel=1e-12)
    assert "latency" in run(*words).out


def test_facts_of_the_device_may_be_set(run: Callable[..., Ran]) -> None:
    words = ("collective", "all_to_all", "h100", "--message", "1 GiB", "--devices", "8", "--json")
    slow = run(*words, "--set", "links.nvlink.bandwidth=45 GB/s").data["latency_s"]
    machine = pm.hardware("h100").machine("nccl").vary({"links.nvlink.bandwidth": 45e9})
    assert slow == pm.collective("all_to_all", 2.0**30, 8, machine).latency_s
    assert slow > 5 * run(*words).data["latency_s"]
    far = run(*words, "--set", "links.nvlink.bandwidth=45")
    assert any("45 byte/s" in text or "45 B/s" in text for text in far.data["remarks"]), far.data


def test_every_fault_at_once_by_its_option(run: Callable[..., Ran], tmp_path: Path) -> None:
    done = run(
        "collective",
        "all_redce",
        "h10",
        "--message",
        "0",
        "--devices",
        "1.5",
        "--runtime",
        "ncl",
        "--set",
        "batch=2",
        "-o",
        str(tmp_path / "x.png"),
    )
    assert done.code == 2
    assert done.out == ""
    text = "\n".join(done.faults)
    parts = (
        "all_reduce",
        "--message: a message has bytes",
        "--devices: a collective needs at least two devices",
        "'h10'",
        "'nccl'",
        "batch: a collective has no such setting",
        "x.png",
    )
    for part in parts:
        assert part in text, part
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "devices", "option"),
    [("1 MW", "8", "--message"), ("1 MB", "uniform(2, 8)", "--devices"), ("1 MB", "", "--devices")],
)
def test_what_is_no_list_of_numbers_is_named(
    message: str, devices: str, option: str, run: Callable[..., Ran]
) -> None:
    done = run("collective", "all_reduce", "h100", "--message", message, "--devices", devices)
    assert done.code == 2
    assert any(fault.startswith(f"error: {option}: ") for fault in done.faults), done.err


def test_a_device_that_no_library_drives_has_no_collectives(run: Callable[..., Ran]) -> None:
    done = run("collective", "all_reduce", "stm32h743", "--message", "1 MB", "--devices", "2")
    assert done.code == 2
    assert "--runtime: runtime nccl drives an engine 'gpu', which stm32h743 lacks" in done.err
