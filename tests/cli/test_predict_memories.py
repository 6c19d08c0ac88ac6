"""What ``perfmodel predict`` says of memories where a network lies in more than one."""

from collections.abc import Callable
from typing import Any

import perfmodel as pm

Run = Callable[..., Any]


def test_sram_and_flash_are_told_apart(run: Run) -> None:
    text = run("predict", "mlperf_tiny_ic", "stm32h743").out
    found = pm.predict("mlperf_tiny_ic", "stm32h743").placement
    lines = {line.split()[1]: line for line in text.splitlines() if line.split()[0] == "in"}
    assert set(lines) == set(found) == {"sram", "flash"}
    weights = pm.predict("mlperf_tiny_ic", "stm32h743").weight_bytes
    assert f"{weights / 1e3:.4g} kB of 2 MiB" in lines["flash"]


def test_one_memory_needs_no_line_of_its_own(run: Run) -> None:
    assert "  in " not in run("predict", "resnet18", "a100").out
