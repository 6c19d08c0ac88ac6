"""`perfmodel split`: JSON, files, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Ran

TWO = ("galaxy_s7", "rtx_4090", "--rate", "1..3 Mbit/s")


def test_json_and_files_say_the_same(run: Callable[..., Ran], tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    told = run(
        "split", "alexnet", *TWO, "--json", "-o", str(out), "--plot", str(tmp_path / "s.html")
    )
    assert told.code == 0
    found = json.loads(told.out)
    assert found == json.loads(out.read_text())
    assert len(found["latency_s"]) == len(found["best"]) == 3
    assert found["ranges"][0]["from_bytes_per_s"] == 0.0
    assert found["ranges"][-1]["to_bytes_per_s"] is None
    assert all(
        0.0 < joule < 10.0 * latency
        for joule, latency in zip(*(found[name] for name in ("energy_j", "latency_s")), strict=True)
    )  # a phone that waits and computes draws less than 10 W
    assert any("leaves out the link's radio" in note for note in found["notes"])
    assert "<title>alexnet on galaxy_s7 (fp32) and rtx_4090" in (tmp_path / "s.html").read_text()
    said = run("split", "alexnet", *TWO, "--explain").out
    assert "12 of 12 stages on galaxy_s7" in said


def test_what_fits_nowhere_exits_with_1(run: Callable[..., Ran]) -> None:
    told = run("split", "llama_3_8b", "galaxy_s7", "stm32f746", "--rate", "1 Mbit/s")
    assert told.code == 1
    assert "no cut fits" in told.out


def test_faults_name_options_and_write_nothing(run: Callable[..., Ran], tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    told = run("split", "alexnet", *TWO[:3], "1..3 Mbits", "--link-format", "int8x", "-o", str(out))
    assert told.code == 2
    assert not out.exists()
    assert any(f.startswith("error: --rate: ") for f in told.faults)
    assert any(f.startswith("error: --link-format: ") for f in told.faults)
