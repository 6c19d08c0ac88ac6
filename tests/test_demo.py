"""The demo, end to end: what it says is what its files hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from examples import demo
from perfmodel.table import Table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert demo.main([str(folder / "out")]) == 0
    return out.getvalue()


def test_it_names_the_best_device_of_each_sweep(text: str, folder: Path) -> None:
    said = re.findall(r"Best device: (\w+) with (\w+) at batch (\d+): (\d+) (\w+)s/s", text)
    assert [item for *_, item in said] == ["token", "frame"]
    for (device, precision, batch, rate, item), limit in zip(
        said, ("tpot_s <= 50 ms", "latency_s <= 10 ms"), strict=True
    ):
        name = {"token": "llama_3_8b", "frame": "demo_cnn"}[item]
        best = Table.read(folder / "out" / f"{name}.csv").where(limit).best(f"{item}s_per_s")
        assert best is not None
        assert (best.device, best.precision, best.batch) == (device, precision, int(batch))
        assert best[f"{item}s_per_s"] == pytest.approx(int(rate), abs=0.5)


@pytest.mark.parametrize("name", ["llama_3_8b", "demo_cnn"])
def test_it_sweeps_devices_precisions_and_batches(text: str, folder: Path, name: str) -> None:
    table = Table.read(folder / "out" / f"{name}.csv")
    sizes = {c: len(set(table[c].tolist())) for c in ("device", "precision", "batch")}
    assert sizes["device"] >= 8
    assert (sizes["precision"], sizes["batch"]) == (3, 8)
    assert len(table) == sizes["device"] * 3 * 8
    gone = int((~table["feasible"]).sum())
    assert gone
    assert f"Infeasible: {gone} of {len(table)} points" in text
    manifest = json.loads((folder / "out" / f"{name}.csv.manifest.json").read_text())
    assert manifest["points"] == len(table)


def test_every_device_is_accounted_for(text: str, folder: Path) -> None:
    for name in ("llama_3_8b", "demo_cnn"):
        for device in set(Table.read(folder / "out" / f"{name}.csv")["device"]):
            assert re.search(rf"^  {device}[: ]", text, re.MULTILINE)


def test_the_onnx_file_holds_no_weights(text: str, folder: Path) -> None:
    assert (folder / "out" / "demo_cnn.onnx").stat().st_size < 20_000


def test_plots_need_no_network(text: str, folder: Path) -> None:
    pages = sorted((folder / "out").glob("*.html"))
    assert [page.name for page in pages] == [
        "demo_cnn_pareto.html",
        "demo_cnn_roofline.html",
        "llama_3_8b_pareto.html",
        "llama_3_8b_roofline.html",
    ]
    for page in pages:
        scripts = re.findall(r'<script[^>]*src="([^"]+)"', page.read_text())
        assert scripts == ["plotly.min.js"]
        assert str(page) in text
    assert (folder / "out" / "plotly.min.js").is_file()
