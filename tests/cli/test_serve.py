"""`perfmodel serve`: what it refuses, and how it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import perfmodel as pm
from tests.cli.conftest import Ran

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_numbers_that_are_not_whole_are_not_cut(run: Callable[..., Ran]) -> None:
    told = run("serve", "llama_3_8b", "h100", "--tensor", "1.2")
    assert told.code == 2
    assert told.out == ""
    assert told.faults == [
        "error: perfmodel serve: '1.2' does not fit --tensor; expected a whole number",
    ]
    # Clients are a mean, which need not be whole.
    mean = run("serve", "llama_3_8b", "h100", "--concurrency", "2.5", "--json").data
    assert mean["concurrency"] == 2.5
    assert mean["tpot_s"] == pm.serve("llama_3_8b", "h100", concurrency=2.5).tpot_s


def test_clients_beyond_the_memory_wait_and_the_answer_says_so(run: Callable[..., Ran]) -> None:
    done = run("serve", "llama_3_8b", "h100", "--concurrency", "2000")
    assert done.code == 0
    assert "2,000" in done.out
    assert "waiting" in done.out
    assert "Little's law" in done.out
    few, many = (
        run("serve", "llama_3_8b", "h100", "--concurrency", n, "--json").data["ttft_s"]
        for n in ("2000", "1000000")
    )
    assert many > 400 * few


def test_a_file_and_several_loads(run: Callable[..., Ran], tmp_path: Path) -> None:
    """What `predict` takes: a config, weights in a file; several loads give a table."""
    config = str(EXAMPLES / "qwen3_4b" / "config.json")
    done = run("serve", config, "h100", "--precision", "bf16", "--concurrency", "1,16", "--json")
    assert done.code == 0
    assert done.data["concurrency"] == [1.0, 16.0]
    one = pm.serve(pm.workload(config), "h100", precision="bf16", concurrency=16)
    assert abs(done.data["tpot_s"][1] / one.tpot_s - 1.0) < 1e-12
    out = tmp_path / "loads.csv"
    words = ("serve", "llama_3_8b", "h100", "--concurrency", "1,8", "--prompt", "512,1024")
    assert run(*words, "-o", str(out)).code == 0
    assert len(out.read_text().splitlines()) == 5
    assert "concurrency" in run(*words).out


def test_weights_are_stored_as_the_file_says() -> None:
    """Mixtures of formats in a file change how much is read."""
    file = str(EXAMPLES / "llama_3_8b_q4_k_m.gguf")
    stored, wide = pm.serve(file, "h100"), pm.serve("llama_3_8b", "h100", precision="bf16")
    plain = pm.predict(file, "h100", set={"phase": "decode", "context": 1536})
    assert stored.decode.weight_bytes == plain.weight_bytes
    assert stored.tpot_s < wide.tpot_s
    halves = pm.serve(file, "h100", tensor=2)
    assert halves.decode.weight_bytes < 0.6 * stored.decode.weight_bytes


def test_settings_reach_device_and_network() -> None:
    """A slower memory and fewer layers, by name."""
    base = pm.serve("llama_3_8b", "h100")
    slow = pm.serve("llama_3_8b", "h100", set={"memories.main.bandwidth": "1 TB/s"})
    short = pm.serve("llama_3_8b", "h100", set={"layers": 16})
    assert slow.tpot_s > base.tpot_s > short.tpot_s
    with pytest.raises(pm.InputError, match="'batch' is not set here"):
        pm.serve("llama_3_8b", "h100", set={"batch": 4})
