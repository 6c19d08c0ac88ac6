"""A fact set far from what its spec states is computed with, and the answer says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.hardware.fact_limits import FAR
from tests.cli.conftest import Ran

PLAIN = ("frequency", "bandwidth", "bytes", "time", "power")
CLOCK = "engines.main.clock"
COMMANDS = {
    "predict": ("predict", "resnet18", "a100"),
    "roofline": ("predict", "resnet18", "a100", "--model", "roofline"),
    "sweep": ("sweep", "resnet18", "--device", "a100"),
    "compare": ("compare", "resnet18", "a100", "h100"),
    "request": ("request", "llama_3_8b", "a100", "--generate", "4"),
    "schedule": ("schedule", "mobilenet_v2", "gemmini_16x16"),
    "cite": ("cite", "resnet18", "a100"),
    "solve": (
        "solve",
        "resnet18",
        "a100",
        "--for",
        "memories.main.bandwidth",
        "--until",
        "latency_s <= 1e9 s",
    ),
    "search": (
        "search",
        "resnet18",
        "a100",
        "--choice",
        "weight_bits:layer*=4,8",
        "--constraint",
        "weight_bytes <= 12 MiB",
        "--share",
        "network",
    ),
    "assign": ("assign", "resnet18", "a100"),
    "finetune": ("finetune", "mlperf_tiny_vww", "stm32h743"),
    "patches": ("patches", "mobilenet_v2", "gemmini_16x16"),
    "split": ("split", "resnet18", "a100", "h100", "--rate", "10 Mbit/s"),
    "place": ("place", "llama_3_8b", "a100"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_clock_without_its_unit_is_named_by_every_command(
    command: str, run: Callable[..., Ran]
) -> None:
    done = run(*COMMANDS[command], "--set", f"{CLOCK}=100")
    assert done.code in (0, 1), done.err
    told = [line for line in done.err.splitlines() if "100 Hz" in line]
    assert told, done.err
    assert all(".clock" in line and "Hz" in line for line in told)


@pytest.mark.parametrize("command", ["predict", "sweep"])
def test_a_spec_as_it_is_needs_no_remark(command: str, run: Callable[..., Ran]) -> None:
    plain = run(*COMMANDS[command])
    assert ".clock is set to" not in plain.err + plain.out


def test_json_says_it_too_and_so_does_a_file(run: Callable[..., Ran], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    for command in ("predict", "compare", "request"):
        more = [] if command == "compare" else ["-o", str(out)]
        done = run(*COMMANDS[command], "--set", f"{CLOCK}=100", "--json", *more)
        assert any("100 Hz" in text for text in done.data["remarks"])
        assert not more or "100 Hz" in out.read_text()


@pytest.mark.parametrize("device", ["a100", "stm32h743", "gemmini_16x16", "raspberry_pi_5"])
def test_only_what_is_far_is_named_whatever_the_fact(device: str) -> None:
    machine = pm.hardware(device).machine()
    tried = 0
    for path in machine.paths:
        stated, span = machine.get(path), machine.span(path)
        if not isinstance(stated, float) or stated <= 0.0 or span.integral:
            continue
        for factor in (0.9 / FAR, 1.1 / FAR, 0.9 * FAR, 1.1 * FAR):
            value = stated * factor
            if not span.low <= value <= span.high:
                continue
            told = machine.vary({path: value}).remarks
            far = not 1.0 / FAR <= factor <= FAR
            assert far or not told, path
            if far and machine.dimension(path) in PLAIN:
                tried += 1
                assert any(machine.resolve(path) in text for text in told), path
    assert tried > 8


def test_the_furthest_of_an_array_is_named_and_tracers_are_not_looked_at() -> None:
    machine = pm.hardware("a100").machine()
    clock = float(machine[CLOCK])
    near = machine.vary({CLOCK: np.geomspace(clock / 50, clock * 50, 5)})
    assert near.remarks == []
    low = machine.vary({CLOCK: np.array([clock, 5.0, clock * 3])})
    assert "5 Hz" in low.remarks[0]
    high = machine.vary({CLOCK: np.array([clock / 2, clock * 200])})
    assert "GHz" in high.remarks[0]
    assert machine.vary({CLOCK: clock}).remarks == []
    found = pm.predict("resnet18", "a100", set={CLOCK: 100.0})
    assert any("100 Hz" in text for text in found.to_dict()["remarks"])
    assert "100 Hz" in repr(found)


def test_a_sweep_over_many_devices_names_a_few(run: Callable[..., Ran]) -> None:
    done = run(
        "sweep",
        "resnet18",
        "--device",
        "a100,h100,rtx_4090,v100_sxm,t4",
        "--set",
        "memories.main.bandwidth=17",
    )
    told = [line for line in done.err.splitlines() if "17 B/s" in line]
    assert 0 < len(told) <= 3
    assert "more such facts" in done.err
