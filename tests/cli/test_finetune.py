"""`perfmodel finetune`: JSON, files, exit codes, faults by option."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Ran

RES = {"height": 128, "width": 128, "classes": 10}


def test_the_command(run: Callable[..., Ran], tmp_path: Path) -> None:
    out = tmp_path / "f.csv"
    sets = [f"--set={k}={v}" for k, v in RES.items()]
    told = run(
        "finetune",
        "mcunet_5fps",
        "--train",
        "*=bias,classifier=all",
        "--json",
        "-o",
        str(out),
        *sets,
    )
    assert told.code == 0
    found = json.loads(told.out)
    assert found["latency_s"] is None
    assert found["trained"]["classifier"] == "1"
    assert out.read_text().startswith("layer,part,")
    small = run("finetune", "mcunet_5fps", "stm32f746", "--limit", "120 KiB", *sets)
    assert small.code == 1
    assert "the forward pass alone holds 160 KiB" in small.out
    bad = run("finetune", "mcunet_5fps", "--limit", "256 KX", "--optimizer", "adm", "--parts", "2")
    assert bad.code == 2
    assert [f.split(": ")[1] for f in bad.faults] == ["--optimizer", "--limit", "--parts"]
