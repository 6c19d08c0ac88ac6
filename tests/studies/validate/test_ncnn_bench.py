"""ncnn's benchmark page: what a heading says, which rows are predicted, how far they are off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perfmodel_studies.readers.ncnn_bench import load, refits
from perfmodel_studies.readers.ncnn_bench.chips import chips
from perfmodel_studies.readers.ncnn_bench.headings import Cores, clusters, cores_at_work

from perfmodel.calibrate import fit
from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import DataFolder, data_folder
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.workload.library import find

HEAD = (
    "device_as_written,condition,loop_count,num_threads,powersave,gpu_device,model,min_ms,max_ms,"
    "avg_ms,engine\n"
)
BOARD = "Rockchip RK3399 (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)"


def written(folder: Path, *rows: str, name: str = "ncnn_bench.csv") -> DataFolder:
    (folder / name).write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return DataFolder(folder)


def row(
    model: str,
    ms: float,
    device: str = BOARD,
    threads: int = 2,
    save: int = 2,
    gpu: int = -1,
    loops: int = 8,
) -> str:
    return f'"{device}",,{loops},{threads},{save},{gpu},{model},{ms},{ms},{ms},cpu'


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        (BOARD, [("cortex_a72", 2, 1.8), ("cortex_a53", 4, 1.5)]),
        (
            "Raspberry Pi 5 Broadcom BCM2712, Cortex-A76 (ARMv8) (2.4GHz x 4)",
            [("cortex_a76", 4, 2.4)],
        ),
        ("Amlogic S805 (Cortex-A5, 4 \u00d7 1.536GHz)", [("cortex_a5", 4, 1.536)]),
        ("AXERA AX630C (Cortex-A53 1.2GHz * 2)", [("cortex_a53", 2, 1.2)]),
        ("Z7-Lite 7020 (Cortex-A9 766MHz x 2)", [("cortex_a9", 2, 0.766)]),
        (
            "Orion (Big Cortex\u2011A720 2.6Ghz x4 + Little Cortex\u2011A520 x 4)",
            [("cortex_a720", 4, 2.6), ("cortex_a520", 4, 2.6)],
        ),
        # The page lists the cores of this chip the slow ones first.
        (
            "Snapdragon 765G (Kyro 1.8GHz x 6 + Kyro 2.2GHz x 2 + Adreno 620)",
            [("cortex_a76", 2, 2.2), ("cortex_a55", 6, 1.8)],
        ),
        (
            "Snapdragon 888 (Kyro 2.84GHz + Kyro 2.42GHz x 3 + Kyro 1.80GHz x 4 + Adreno 660)",
            [("cortex_x1", 1, 2.84), ("cortex_a78", 3, 2.42), ("cortex_a55", 4, 1.8)],
        ),
        ("HUAWEI KunPeng 920 7260 (x64 cores)", [("taishan_v110", 64, 2.6)]),
        ("Loongson 3A5000 (LA464 2.5GHz * 4)", []),
        ("Raspberry Pi Zero, ARM1176JZF-S (ARMv6) (1.0GHz x 1)", []),
    ],
)
def test_cores_of_a_heading(heading: str, expected: list[tuple[str, int, float]]) -> None:
    found = [(c.core, c.count, c.clock_hz / 1e9) for c in clusters(heading)]
    assert found == [(core, count, pytest.approx(clock)) for core, count, clock in expected]
    for core, _, _ in expected:
        assert hardware(core).name == core


def test_every_core_of_the_file_is_one_of_the_library() -> None:
    known = chips()
    named = {core for chip in known.snapdragons.values() for core in chip.cores}
    named |= {product.core for product in known.products}
    for core in named:
        assert core in {hardware(core).name, *hardware(core).aliases}
    # What no document says is marked.
    entries = (*known.snapdragons.values(), *known.products)
    assert all((entry.confidence == "estimated") != bool(entry.source) for entry in entries)


def test_which_cores_work() -> None:
    chip = clusters(BOARD)
    assert cores_at_work(chip, 2, 2) == Cores("cortex_a72", 2, 1.8e9)
    assert cores_at_work(chip, 4, 1) == Cores("cortex_a53", 4, 1.5e9)
    # More threads than big cores: equal parts wait for the little ones.
    assert cores_at_work(chip, 6, 0) == Cores("cortex_a53", 6, 1.5e9)
    assert cores_at_work(chip, 1, 0) == Cores("cortex_a72", 1, 1.8e9)
    # Threads beyond the cores that they are bound to add nothing.
    assert cores_at_work(chip, 8, 2) == Cores("cortex_a72", 2, 1.8e9)
    # Some clock higher alone than together.
    boost = clusters("AMD Ryzen 5700g (Zen3 3.8 GHz ~ 4.6 GHz x 8)")
    assert cores_at_work(boost, 1, 0) == Cores("zen3_avx2", 1, 4.6e9)
    assert cores_at_work(boost, 16, 0) == Cores("zen3_avx2", 8, 3.8e9)


def test_rows_that_are_not_predicted_say_why(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        row("resnet18", 100),
        row("resnet18", 90, loops=4),
        row("shufflenet", 20),
        row("resnet18", 9, gpu=0),
        row("resnet18", 300, "Loongson 2K1000 (GS264 1.0GHz x 2)"),
    )
    cases = load(folder).cases
    assert len(cases) == 4
    (known,) = (c for c in cases if c.machine is not None)
    assert known.quantities[0].measured == pytest.approx(0.09)
    reasons = sorted(c.reason.split(":")[0] for c in cases if c.machine is None)
    assert reasons == [
        "no core of the library",
        "no network of the library is ncnn's 'shufflenet'",
        "runs on a GPU through Vulkan",
    ]


def test_builds_and_formats(tmp_path: Path) -> None:
    """The networks of a run date its build; formats follow from build and core."""
    new, old = "Board (Cortex-A76 2.4GHz x 4)", "Older (Cortex-A76 2.4GHz x 4)"
    oldest = "Oldest (Cortex-A76 2.4GHz x 4)"
    folder = written(
        tmp_path,
        *(row(m, 9, new) for m in ("resnet18", "vision_transformer", "efficientnet_b0")),
        row("resnet18", 9, old),
        row("efficientnet_b0", 9, old),
        row("resnet18_int8", 9, old),
        row("resnet18", 9, oldest),
        row("resnet18", 9, "PC (Zen3 3.8 GHz x 8)"),
        row("resnet18", 9, "Pi (Cortex-A72 1.8GHz x 4)"),
    )
    said = {(c.device, c.group): (c.runtime, c.precision) for c in load(folder).cases}
    assert said["Board", "resnet18"] == ("ncnn", "fp16")
    assert said["Older", "resnet18"] == ("ncnn_2021", "fp16")
    assert said["Older", "resnet18_int8"] == ("ncnn_2021", "int8")
    assert said["Oldest", "resnet18"] == ("ncnn_2021", "fp32")
    assert said["PC", "resnet18"] == ("ncnn_x86", "fp32")
    assert said["Pi", "resnet18"][0] == "ncnn"


def test_a_file_of_other_devices(tmp_path: Path) -> None:
    written(tmp_path, row("vgg16", 500), name="ncnn_bench_heldout.csv")
    (found,) = validate("ncnn_bench", data=tmp_path, suffix="_heldout")
    assert (found.rows, found.coverage) == (1, 1.0)
    bandwidth = load(written(tmp_path, row("vgg16", 200, "Raspberry Pi 5"))).cases[0].machine
    assert isinstance(bandwidth, Machine)
    assert bandwidth["memories.main.bandwidth"] == pytest.approx(10.36e9)


def test_trial_columns_say_what_predict_says(tmp_path: Path) -> None:
    """The quick forward of a refit, at the library's constants, is `predict` on every row."""
    folder = written(
        tmp_path,
        *(
            row(m, 9, d, threads, 0)
            for m in ("mobilenet_v2", "resnet18_int8", "alexnet")
            for d in (
                BOARD,
                "Board (Cortex-A76 2.4GHz x 4)",
                "Nano (Cortex-A57 2GHz x 4)",
                "Zero (Cortex-A55 1.4GHz x 4)",
            )
            for threads in (1, 4)
        ),
    )
    cases = [c for c in load(folder).cases if c.machine is not None]
    seen = 0
    for trial in refits(folder):
        runtime = trial.target.partition(", ")[2]
        rows = [c for c in cases if c.runtime is not None and str(c.runtime).startswith(runtime)]
        rows = [c for c in rows if ("in_order" in str(c.runtime)) == ("in_order" in runtime)]
        values = {
            c.name: float(
                _library(runtime, c.name.startswith("2021"))[c.name.removeprefix("2021: ")]
            )
            for c in trial.constants
        }
        expected = [
            predict(
                c.quantities[0].workload, c.machine, precision=c.precision, runtime=c.runtime
            ).latency_s
            for c in rows
            if c.machine is not None
        ]
        np.testing.assert_allclose(trial.forward(values), expected, rtol=1e-9)
        seen += len(expected)
    assert seen == len(cases)


def _library(runtime: str, older: bool) -> Machine:
    return hardware("cortex_a76").machine(runtime + "_2021" if older else runtime)


@given(units=st.integers(1, 64), share=st.just(0.0) | st.floats(1e-6, 0.5))
def test_amdahl(units: int, share: float) -> None:
    """A matrix operator on n units takes ``s + (1 - s) / n`` of its time on one."""
    core = hardware("cortex_a76").machine("ncnn").vary({"runtime.serial_share": share})
    net = find("vgg16")
    one, many = (
        predict(net, core.vary({"engines.cpu.units": n}), precision="fp16", runtime="ncnn").table
        for n in (1.0, float(units))
    )
    expected = np.asarray(one["matrix_s"]) * (share + (1.0 - share) / units)
    np.testing.assert_allclose(np.asarray(many["matrix_s"]), expected, rtol=1e-9)


@pytest.mark.data
def test_errors_on_measured_rows(data: Path) -> None:
    (found,) = validate("ncnn_bench", data=data)
    assert found.coverage > 0.35
    error, bare = found.targets["latency_s"], found.baselines["roofline"]
    assert error["mape"] is not None
    assert error["mape"] < 0.29
    assert error["spearman"] is not None
    assert error["spearman"] > 0.95
    assert bare["mape"] is not None
    assert bare["mape"] > 1.9 * error["mape"]
    # In the library's files stand the constants that the rows give.
    for trial in refits(data_folder(data)):
        best = fit(trial.forward, trial.measured, trial.constants, scale=trial.scale)
        runtime = trial.target.partition(", ")[2]
        for name in ("conv", "conv.int8"):
            path = f"runtime.efficiency.{name}"
            assert float(_library(runtime, False)[path]) == pytest.approx(
                best.constants[path], rel=0.02
            )
