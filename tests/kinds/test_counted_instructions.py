"""Instructions that a runtime counts bound a product on every engine, or a remark says why not."""

from __future__ import annotations

import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware


def _remarks(device: object, runtime: str = "llama_cpp_cpu_neon") -> list[str]:
    found = pm.predict("llama_3_2_1b", device, runtime=runtime, precision="q4_0")
    return [line for line in found.cautions() if "counts for these weights" in line]


@pytest.mark.parametrize("runtime", ["llama_cpp_cpu_neon", "t_mac_neon"])
def test_an_engine_with_a_clock_and_a_peak_issues_them(runtime: str) -> None:
    assert not _remarks("raspberry_pi_5", runtime)


def test_an_engine_without_either_says_so() -> None:
    (line,) = _remarks("board_by_benchmarks")
    assert line.endswith("the engine states no clock")
    board = hardware("raspberry_pi_5")
    (cpu, *others) = board.engines
    half = cpu.model_copy(
        update={"vector_issue": None, "peaks": {"fp16": cpu.peaks["fp16"]}, "vector_peaks": {}}
    )
    (line,) = _remarks(board.model_copy(update={"engines": (half, *others)}))
    assert line.endswith("neither 'vector_issue' nor a peak in single precision")


def test_other_weights_and_the_bare_roofline_count_none() -> None:
    for settings in ({"precision": "fp16"}, {"runtime": "ideal"}):
        found = pm.predict("llama_3_2_1b", "board_by_benchmarks", **settings)
        assert not any("counts for these weights" in line for line in found.cautions())
