"""GDDR that stores its check bits in line: what is left of its capacity, and of its rate."""

from __future__ import annotations

import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware

#: Total memory as `nvidia-smi` reports it with ECC on, MiB.
REPORTED_MIB = {
    "t4": 15360,
    "a2": 15356,
    "a10": 23028,
    "a10g": 23028,
    "a40": 46068,
    "l4": 23034,
    "l40s": 46068,
    "p40": 22919,
}


@pytest.mark.parametrize("name", REPORTED_MIB)
def test_a_sixteenth_of_the_memory_holds_check_bits(name: str) -> None:
    (main,) = (memory for memory in hardware(name).memories if "main" in memory.roles)
    assert main.reserved is not None
    usable = (main.capacity.value - main.reserved.value) / 2**20
    assert usable == pytest.approx(REPORTED_MIB[name], rel=6e-3)


def test_a_model_that_fits_beside_no_check_bits_only_does_not_fit() -> None:
    # 23.5 GiB: an RTX 4090 has 24 GiB for weights and caches, an L4 22.5 GiB.
    work = pm.workload("llama_3_8b", phase="decode", batch=1, context=70_000)
    fits = {name: pm.predict(work, name, precision="fp16") for name in ("rtx_4090", "l4")}
    assert fits["l4"].peak_memory_bytes == pytest.approx(23.5 * 2**30, rel=0.01)
    assert {name: bool(p.feasible) for name, p in fits.items()} == {"rtx_4090": True, "l4": False}
