"""The questions of docs/howto: each command answers, and something it says is found another way."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.search import accuracy

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
KIB = 1024

Ask = Callable[..., Any]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command with --json: its exit code and what it says."""

    def run(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs" / "howto" / "index.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs" / "howto").glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_my_llm_on_that_gpu(ask: Ask) -> None:
    config = str(EXAMPLES / "qwen3_4b" / "config.json")
    found = ask(
        "sweep",
        config,
        "--device",
        "rtx_4090",
        "--runtime",
        "vllm",
        "--set",
        "batch=1,8,32",
        "--set",
        "context=2048,8192,32768",
        "--precision",
        "bf16,fp8",
        "--best",
        "tokens_per_s",
        "--per",
        "batch,context",
    )
    # By hand: tied embedding, 36 layers of four projections, three of the MLP, and norms.
    layer = 2560 * (32 + 8 + 8 + 32) * 128 + 3 * 2560 * 9728 + 2 * 2560 + 2 * 128
    assert pm.workload(config).weights == 151936 * 2560 + 36 * layer + 2560 == 4_022_468_096
    rows = found["best_per"]
    cells = [(row["batch"], row["context"]) for row in rows]
    assert cells == sorted(cells)
    # 2 x 36 layers x 8 heads x 128 numbers a token: of 32 sequences of 32,768 even fp8 is too much.
    for batch, context in itertools.product((1, 8, 32), (2048, 8192, 32768)):
        cache = 2 * 36 * 8 * 128 * batch * context
        assert ((batch, context) in cells) == (cache + 4_022_468_096 < 24 * 1024**3)
    for row in rows:
        cache = 2 * 36 * 8 * 128 * row["batch"] * row["context"]
        assert row["precision"] == "fp8"
        assert row["kv_bytes"] == cache
        assert row["tpot_s"] >= (cache + 4e9) / 1008e9


def test_the_best_phone_at_each_context(ask: Ask) -> None:
    found = ask(
        "sweep",
        "llama_3_2_3b",
        "--device",
        "tag:phone",
        "--precision",
        "w4a16",
        "--set",
        "context=2**10..2**15",
        "--where",
        "tpot_s <= 50 ms",
        "--best",
        "tokens_per_s",
        "--per",
        "context",
    )
    best: dict[float, tuple[float, str]] = {}
    for row in found["rows"]:
        if row["feasible"] and row["tpot_s"] <= 0.05:
            rate = (row["tokens_per_s"], row["device"])
            best[row["context"]] = max(best.get(row["context"], (0.0, "")), rate)
    answer = {row["context"]: (row["tokens_per_s"], row["device"]) for row in found["best_per"]}
    assert answer == best
    assert best
    # The longer the context, the slower the best.
    rates = [best[context][0] for context in sorted(best)]
    assert rates == sorted(rates, reverse=True)


def test_bandwidth_for_20_tokens_a_second(ask: Ask) -> None:
    subject = (
        "llama_3_8b",
        "snapdragon_8_gen_3",
        "--precision",
        "w4a16",
        "--runtime",
        "ideal",
        "--set",
        "context=4096",
    )
    found = ask(
        "solve", *subject, "--for", "memories.main.bandwidth", "--until", "tokens_per_s >= 20"
    )
    assert found["unit"] == "B/s"
    predicted = [
        ask("predict", *subject, "--set", f"memories.main.bandwidth={share * found['value']}")
        for share in (1.0 - 1e-4, 1.0)
    ]
    assert predicted[0]["tokens_per_s"] < 20 <= predicted[1]["tokens_per_s"] * (1 + 1e-9)
    # Weights of 4 bits but the embedding, and 16-bit keys and values of 4,096 tokens, cross once.
    moved = (pm.workload("llama_3_8b").weights - 128256 * 4096) / 2 + 2 * 32 * 8 * 128 * 2 * 4096
    assert found["value"] == pytest.approx(20 * moved, rel=0.01)


def test_two_boards_layer_by_layer(ask: Ask, tmp_path: Path) -> None:
    command = ("compare", "mlperf_tiny_ic", "stm32h743", "stm32f746", "--runtime", "x_cube_ai")
    found = ask(*command, "--layers")
    layers = found["layers"]
    for side, column in (("a", "a_s"), ("b", "b_s")):
        assert sum(row[column] for row in layers) == pytest.approx(found[side]["latency_s"])
    apart = [abs(row["difference_s"]) for row in layers]
    assert apart == sorted(apart, reverse=True)
    assert layers[-1]["share_so_far"] == pytest.approx(1.0)
    # The same library on the same core: but for what waits for flash, the clocks' ratio.
    computed = [row for row in layers if row["bound_by_a"] != "flash"]
    assert [row["ratio"] for row in computed] == pytest.approx([216 / 480] * len(computed), 1e-3)
    path = tmp_path / "layers.csv"
    assert main([*command, "--layers", "-o", str(path)]) == 0
    with path.open() as file:
        assert [row["layer"] for row in csv.DictReader(file)] == [row["layer"] for row in layers]


@pytest.mark.packages
def test_bits_of_every_layer_under_320_kib(ask: Ask, tmp_path: Path) -> None:
    spec = find_spec("magika")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("magika is not installed (tests/requirements-models.txt)")
    network = tmp_path / "magika.onnx"
    folder = Path(spec.submodule_search_locations[0])
    shutil.copy(folder / "models" / "standard_v3_3" / "model.onnx", network)
    bits = (2, 3, 4, 5, 6, 8)
    found = ask(
        "search",
        str(network),
        "stm32n6",
        "--precision",
        "w8a8",
        "--choice",
        f"weight_bits={','.join(map(str, bits))}",
        "--accuracy",
        f"sqnr:{network}",
        "--constraint",
        "weight_bytes <= 320 KiB",
    )
    chosen = {
        name.removesuffix(".weights"): format
        for name, format in found["best"]["configuration"].items()
    }
    # All 216: bytes as predicted with these widths, losses from the file.
    layers = list(chosen)
    options = [accuracy.parse_option(f"int{n}") for n in bits]
    losses = accuracy.sqnr(str(network)).table(layers, [options] * len(layers)).unary
    space = pm.space(str(network), {"weight_bits": list(bits)})
    best = np.inf
    for picked in itertools.product(range(len(bits)), repeat=len(layers)):
        member = {
            f"{name}.weights": f"int{bits[i]}" for name, i in zip(layers, picked, strict=True)
        }
        held = pm.predict(
            space.workload(space.encode(member)), "stm32n6", precision="w8a8"
        ).weight_bytes
        if held <= 320 * KIB:
            best = min(best, sum(row[i] for row, i in zip(losses, picked, strict=True)))
    assert found["best"]["value"] == pytest.approx(best, rel=1e-9)
    assert found["best"]["metrics"]["weight_bytes"] <= 320 * KIB


@pytest.mark.data
def test_the_least_traffic_at_372_kib_and_its_curve(ask: Ask, data: Path, tmp_path: Path) -> None:
    page = tmp_path / "schedule.html"
    found = ask(
        "schedule",
        str(data / "ilp" / "graphs" / "nas7.json"),
        "--capacity",
        "372 KiB",
        "--curve",
        "--plot",
        str(page),
    )
    # Optima that others proved: 192 KiB at 339, 128 at 372, nothing at 423.
    assert found["proved"]
    assert found["spill_bytes"] + found["reload_bytes"] == 128 * KIB
    curve = found["curve"]
    assert curve["exact"]
    assert [moved_at(curve, n * KIB) for n in (339, 372, 423)] == [192 * KIB, 128 * KIB, 0]
    assert min(row["capacity_bytes"] for row in curve["steps"]) == 339 * KIB
    assert page.read_text().count('<figure role="img"') == 4


def moved_at(curve: Any, capacity: float) -> float:
    """Fewest bytes within a capacity, read off a curve."""
    return min(
        row["spill_bytes"] + row["reload_bytes"]
        for row in curve["steps"]
        if row["capacity_bytes"] <= capacity
    )


def test_the_curve_of_a_network_is_what_each_capacity_gives(ask: Ask) -> None:
    """The page's example: every step again, by a schedule at that capacity and just below it."""
    asked = ("schedule", "densenet121", "--set", "height=108", "--set", "width=108", "--no-fuse")
    curve = ask(*asked, "--capacity", "372 KiB", "--curve")["curve"]
    assert curve["exact"]
    assert len(curve["steps"]) == 3
    for row in curve["steps"]:
        for capacity in (row["capacity_bytes"], row["capacity_bytes"] - 1):
            fits = capacity >= curve["steps"][0]["capacity_bytes"]
            found = ask(*asked, "--capacity", str(int(capacity)), code=0 if fits else 1)
            if fits:
                assert found["proved"]
                moved = found["spill_bytes"] + found["reload_bytes"]
                assert moved == moved_at(curve, capacity)


def test_ten_rows_and_the_error_to_expect(ask: Ask, tmp_path: Path) -> None:
    rows = EXAMPLES / "raspberry_pi_4_ncnn.csv"
    overlay = tmp_path / "pi4.yaml"
    found = ask("calibrate", str(rows))
    with rows.open() as file:
        measured = [float(row["latency_s"]) for row in csv.DictReader(file)]
    left_out = found["left_out"]
    assert [row["measured_s"] for row in left_out] == measured
    errors = [abs(row["predicted_s"] / row["measured_s"] - 1) for row in left_out]
    assert found["mape_left_out"] == pytest.approx(np.mean(errors))
    assert found["mape_after"] < found["mape_left_out"] < found["mape_before"]
    # A row left out by hand: the nine others, calibrated, predict it the same.
    lines = rows.read_text().splitlines()
    nine = tmp_path / "nine.csv"
    nine.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    assert main(["calibrate", str(nine), "-o", str(overlay)]) == 0
    first = ask(
        "predict",
        "squeezenet1_1",
        "raspberry_pi_4",
        "--precision",
        "fp16",
        "--overlay",
        str(overlay),
    )
    assert first["latency_s"] == pytest.approx(left_out[0]["predicted_s"], rel=1e-5)
    # The interval is that of the nine rows, and holds nine of the ten that were left out.
    assert first["basis_reason"] == "calibrated on 9 rows of raspberry_pi_4 under ncnn"
    ends = first["intervals"]["latency_s"]["90"]
    assert ends["low"] < measured[0] < ends["high"]
    factor = found["expected"]["90"]
    ratios = [row["measured_s"] / row["predicted_s"] for row in left_out]
    assert sum(1 / factor < ratio < factor for ratio in ratios) >= 9


@pytest.mark.parametrize(
    ("command", "faults"),
    [
        (("sweep", "resnet18", "--device", "a100", "--per", "batch"), 2),
        (("sweep", "resnet18", "--device", "a100", "--best", "latency", "--per", "x"), 2),
        (("schedule", "resnet18", "--capacity", "1 MiB..2 MiB", "--curve", "--tiles"), 2),
    ],
)
def test_what_asks_for_nothing_is_refused(
    command: tuple[str, ...], faults: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(command)) == 2
    assert capsys.readouterr().err.count("error: ") == faults
