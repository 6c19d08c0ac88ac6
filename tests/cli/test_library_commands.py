"""``hardware``, ``workload``, ``format`` and ``doctor``: what they say, and files they accept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.hardware.library import check, device_names
from perfmodel.workload import library
from tests.draws import ALL_DRAWN
from tests.offenders import each

Run = Callable[..., Any]


def test_hardware_list(run: Run) -> None:
    assert [d["name"] for d in run("hardware", "list", "--json").data] == device_names()
    phones = run("hardware", "list", "--tag", "phone", "--json").data
    assert [d["name"] for d in phones] == device_names("phone")
    assert "llama_cpp" in run("hardware", "list", "--runtimes").out
    assert "did you mean 'phone'" in run("hardware", "list", "--tag", "fone").err


def shown() -> list[str]:
    """The devices that are shown: every fourth, or all where all random cases are drawn."""
    return device_names()[:: 1 if ALL_DRAWN else 4]


@each("name", shown)
def test_a_shown_spec_is_accepted_again(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(run("hardware", "show", name, "--yaml").out)
    assert check(path) == pm.hardware(name)
    assert run("hardware", "check", str(path)).code == 0
    assert run("hardware", "show", name, "--yaml", "-o", str(tmp_path / "o.yaml")).out == ""
    assert (tmp_path / "o.yaml").read_text() == path.read_text()


def test_hardware_show(run: Run) -> None:
    data = run("hardware", "show", "a100", "--json").data
    fact = data["facts"]["memories.hbm.bandwidth"]
    assert fact["value"] == pm.hardware("a100").machine()["memories.main.bandwidth"]
    assert fact["source"] in data["sources"]
    assert fact["unit"] == "B/s"
    assert "memories.hbm.bandwidth" in run("hardware", "show", "a100").out
    assert "llama.cpp" in run("hardware", "show", "llama_cpp").out
    done = run("hardware", "show", "a1000", "--runtime", "vlm")
    assert (done.code, len(done.faults)) == (2, 2)


def test_hardware_check_names_every_fault_with_its_place(run: Run, tmp_path: Path) -> None:
    text = pm.hardware("a100").to_yaml()
    bad = text.replace("TFLOP/s", "TFLIP/s", 1).replace("capacity:", "capacitty:", 1)
    path = tmp_path / "bad.yaml"
    path.write_text(bad)
    done = run("hardware", "check", str(path), "a100", "--json")
    assert done.code == 2
    broken, good = done.data
    assert (broken["ok"], good["ok"], good["grade"]) == (
        False,
        True,
        pm.hardware("a100").grade().letter,
    )
    assert len(broken["faults"]) >= 2
    assert all(str(path) in fault for fault in broken["faults"])
    assert "did you mean" in done.err


def test_hardware_check_refuses_a_peak_without_a_source(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(
        "schema_version: 1\nname: d\nengines:\n- name: e\n  peaks: {fp16: 1 TFLOP/s}\n"
        'memories:\n- {name: m, kind: dram, capacity: "1 GB", bandwidth: "1 GB/s", feeds: [e]}\n'
    )
    done = run("hardware", "check", str(path))
    assert done.code == 2
    assert "engines.e.peaks.fp16: has no source" in done.err


def test_the_whole_library_checks(run: Run) -> None:
    assert run("hardware", "check").code == 0
    assert run("workload", "check").code == 0


def test_hardware_diff_and_schema(run: Run) -> None:
    rows = {row["fact"]: row for row in run("hardware", "diff", "a100", "h100", "--json").data}
    assert rows["memories.main.bandwidth"]["ratio"] > 1
    assert run("hardware", "diff", "a100", "a100").out == "no fact differs\n"
    assert run("hardware", "schema", "device").data["required"] == ["name"]
    assert run("hardware", "schema", "devise").code == 2


def test_workload_list_and_show(run: Run) -> None:
    assert [w["name"] for w in run("workload", "list", "--json").data] == library.names()
    data = run("workload", "show", "resnet18", "--set", "height=320", "--json").data
    workload = pm.workload("resnet18", height=320)
    assert data["parameters"] == workload.weights == 11689512
    assert data["macs"] == workload.macs
    assert sum(o["total_macs"] for o in data["operators"]) == pytest.approx(data["macs"])
    assert "parameters       11,689,512" in run("workload", "show", "resnet18").out
    done = run("workload", "show", "resnet18", "--set", "hieght=320")
    assert (done.code, "did you mean 'height'" in done.err) == (2, True)


def test_workload_list_published(run: Run) -> None:
    rows = run("workload", "list", "--published", "--tag", "mlperf_tiny", "--json").data
    assert {row["name"] for row in rows} >= {"mlperf_tiny_ic", "mlperf_tiny_kws"}
    # MLCommons' own files: every count to the last digit.
    assert all(row["difference"] == 0.0 and row["url"] for row in rows)
    shown = run("workload", "list", "--published", "--tag", "mlperf_tiny").out
    assert "12,501,632" in shown


def test_workload_check_and_import(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "model_type": "llama",
                "hidden_size": 256,
                "intermediate_size": 512,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "vocab_size": 1000,
                "max_position_embeddings": 128,
                "hidden_act": "silu",
                "tie_word_embeddings": False,
                "rms_norm_eps": 1e-5,
            }
        )
    )
    made = tmp_path / "tiny.yaml"
    done = run("workload", "import", str(config), "-o", str(made), "--json")
    assert done.code == 0
    again = run("workload", "show", str(made), "--json")
    for key in ("parameters", "macs", "free"):
        assert again.data[key] == done.data[key]
    # 2 x 1000 x 256 (embedding, head) + 2 layers x (q, o: 2 x 256^2; k, v: 2 x 256 x 128;
    # ffn: 3 x 256 x 512; 2 norms) + the last norm.
    assert (
        done.data["parameters"]
        == 512_000 + 2 * (2 * 256**2 + 2 * 256 * 128 + 3 * 256 * 512 + 512) + 256
    )
    config.write_text('{"model_type": "lama", "hidden_size": -1}')
    bad = run("workload", "check", str(config), "resnet18", "--json")
    assert bad.code == 2
    assert [entry["ok"] for entry in bad.data] == [False, True]


def test_operators_to_a_file(run: Run, tmp_path: Path) -> None:
    from perfmodel.table import Table

    path = tmp_path / "o.csv"
    assert run("workload", "show", "resnet18", "-o", str(path)).code == 0
    assert Table.read(path)["total_macs"].sum() == pytest.approx(pm.workload("resnet18").macs)


def test_formats(run: Run) -> None:
    data = run("format", "show", "q4_0", "--json").data
    assert data["bits"] == 4.5
    mixture = run("format", "show", "q4_k_m", "--json").data["mixture"]
    assert mixture["head"]["bits"] == 6.5625
    precision = run("format", "show", "w4a16kv8", "--json").data
    assert (precision["weights"]["bits"], precision["kv"]["bits"]) == (4, 8)
    assert precision["compute"] == "fp16"
    assert "q4_0" in [f["name"] for f in run("format", "list", "--json").data]
    done = run("format", "show", "q4_k_n")
    assert (done.code, "did you mean 'q4_k" in done.err) == (2, True)
    for command in (("list",), ("show", "q4_k_m"), ("show", "w4a16")):
        assert run("format", *command).code == 0


def test_doctor(run: Run) -> None:
    data = run("doctor", "--json").data
    assert data["problems"] == []
    assert data["perfmodel"] == pm.__version__
    assert data["library"]["devices"] == len(device_names())
    assert run("doctor").code == 0
