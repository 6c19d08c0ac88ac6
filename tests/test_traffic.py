"""`pm.traffic` and `perfmodel traffic`: a network's least traffic against capacity."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.errors import InputError


def test_more_room_needs_less_down_to_compulsory() -> None:
    table = pm.traffic("mobilenet_v2", "2**13..2**24")
    moved = table["traffic_bytes"]
    assert np.all(np.diff(moved) <= 1e-12 * moved[0])
    assert moved[0] > moved[-1]
    np.testing.assert_allclose(moved[-1], table["compulsory_bytes"][-1], rtol=1e-12)
    assert np.all(table["times_compulsory"] >= 1 - 1e-12)


@pytest.mark.parametrize("allocation", ["even", "uneven"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vit_b_16", "mixtral_8x7b"])
def test_no_layer_beats_its_bound(name: str, allocation: str) -> None:
    """Every layer, at every capacity: compulsory <= bound <= traffic."""
    table = pm.traffic(name, "2**12..2**22", layers=True, allocation=allocation)
    slack = 1 + 1e-9
    assert np.all(table["bound_bytes"] <= table["traffic_bytes"] * slack)
    assert np.all(table["compulsory_bytes"] <= table["bound_bytes"] * slack)
    whole = pm.traffic(name, "2**12..2**22", allocation=allocation)
    assert np.all(whole["bound_bytes"] <= whole["traffic_bytes"] * slack)
    if allocation == "even":
        assert np.median(whole["traffic_bytes"] / whole["bound_bytes"]) < 1.25


def test_layers_add_up_to_the_network() -> None:
    whole = pm.traffic("resnet18", "32 KiB,1 MiB")
    layers = pm.traffic("resnet18", "32 KiB,1 MiB", layers=True)
    for i, size in enumerate(whole["capacity_bytes"]):
        here = layers["capacity_bytes"] == size
        total = float((layers["count"][here] * layers["traffic_bytes"][here]).sum())
        assert total == pytest.approx(whole["traffic_bytes"][i], rel=1e-12)
    parts = sum(layers[f"{part}_bytes"] for part in ("input", "weight", "output", "other"))
    np.testing.assert_allclose(parts, layers["traffic_bytes"], rtol=1e-12)


def test_figures_name_their_conventions(capsys: pytest.CaptureFixture[str]) -> None:
    said = "tiled, layer by layer; single-buffered, halo kept, even tiles"
    table = pm.traffic("tiny_cnn", "1 KiB", buffering="single", halo="kept")
    assert table["model"].tolist() == [said]
    assert (
        main(
            [
                "traffic",
                "tiny_cnn",
                "--capacity",
                "1 KiB",
                "--buffering",
                "single",
                "--halo",
                "kept",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.splitlines()[-1] == said
    assert main(["traffic", "tiny_cnn", "--capacity", "1 KiB", "--partial-bytes", "inf"]) == 2
    assert "--partial-bytes: inf is not a width" in capsys.readouterr().err


def test_conventions_order_as_they_must() -> None:
    """Single buffering, a halo that is kept, uneven tiles and kept activations never cost."""
    base = pm.traffic("resnet18", "64 KiB")["traffic_bytes"][0]
    for option in (
        {"buffering": "single"},
        {"halo": "kept"},
        {"allocation": "uneven"},
        {"precision": "int4"},
    ):
        assert pm.traffic("resnet18", "64 KiB", **option)["traffic_bytes"][0] <= base
    kept = pm.traffic("resnet18", "4 MiB", keep=0.5)["traffic_bytes"][0]
    assert kept < pm.traffic("resnet18", "4 MiB")["traffic_bytes"][0]


def test_a_decode_step_reads_its_weights_once() -> None:
    table = pm.traffic(
        "llama_2_7b", "1 MiB", precision="fp16", set={"phase": "decode", "context": 1024}
    )
    kv = 2 * 32 * 1024 * 4096 * 2
    # All parameters but the embedding's rows that no token of the step has.
    weights = (6.738e9 - 32000 * 4096) * 2
    assert table["traffic_bytes"][0] == pytest.approx(weights + kv, rel=0.01)


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["traffic", "tiny_cnn", "--capacity", "1 KiB,1 MiB"]
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["capacity_bytes"] for row in rows] == [1024, 1048576]
    path = tmp_path / "traffic.csv"
    assert main([*arguments, "-o", str(path)]) == 0
    assert path.read_text().splitlines()[0].startswith("capacity_bytes,traffic_bytes")
    assert main(["traffic", "tiny_cnn", "--capacity", "2 B"]) == 1
    assert "in 2 B not even the smallest tile fits: " in capsys.readouterr().err


def test_every_fault_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "traffic.csv"
    done = main(
        [
            "traffic",
            "tiny_cn",
            "--capacity",
            "64 KB x",
            "--halo",
            "kpt",
            "--keep",
            "2",
            "--precision",
            "w4a",
            "-o",
            str(path),
        ]
    )
    err = capsys.readouterr().err
    assert done == 2
    for said in ("tiny_cnn", "'KB x' is not a unit", "did you mean 'kept'", "not a share", "w4a"):
        assert said in err
    assert "Traceback" not in err
    assert not path.exists()


def test_a_workload_of_many_values_is_refused() -> None:
    with pytest.raises(InputError, match="many values"):
        pm.traffic("resnet18", "64 KiB", set={"batch": np.array([1, 2])})
