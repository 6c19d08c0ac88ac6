"""``perfmodel hardwire``: the command says what Python says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.hardware.library import hardware
from perfmodel.kinds.hardwired import hardwire

Run = Callable[..., Any]


def test_the_command_is_pythons(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    done = run("hardwire", "gpt_oss_120b", "--systems", "50", "--json", "-o", str(out))
    assert (done.code, done.err) == (0, "")
    assert (
        done.data == json.loads(out.read_text()) == hardwire("gpt_oss_120b", systems=50).to_dict()
    )
    assert done.data["chips"] == 16
    assert done.data["updated_usd"] == pytest.approx([118.9e6, 229.4e6], rel=0.01)
    shown = run("hardwire", "gpt_oss_120b").out
    assert "16 at the least; fits" in shown
    assert "does not fit" in run("hardwire", "kimi_k2_5").out


def test_facts_and_bits_decide(run: Run) -> None:
    whole = run("hardwire", "llama_3_8b", "--json").data
    half = run("hardwire", "llama_3_8b", "--precision", "w=int2,a=fp16", "--json").data
    assert half["metal_m2"] == pytest.approx(whole["metal_m2"] / 2, rel=1e-3)
    dense = run("hardwire", "llama_3_8b", "--set", "engines.main.weight_area=0.002 um2", "--json")
    assert dense.data["metal_m2"] == pytest.approx(whole["metal_m2"] * 0.002 / 0.01995, rel=1e-9)


def test_all_faults_at_once(run: Run) -> None:
    done = run("hardwire", "llama_3_8bb", "hnlpuu", "--systems", "0", "--updates", "-1")
    assert done.code == 2
    assert len(done.faults) == 4


def test_a_model_larger_than_any_chip_of_small_reticles() -> None:
    """No room beside the other blocks: no number of chips will do."""
    machine = hardware("hnlpu").machine().vary({"engines.chips.reticle": 200e-6})
    assert np.isnan(hardwire("llama_3_8b", machine).size.chips)
