"""Vitis AI's tables: what a row is of, which rows are predicted, how far they are off."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import DataFolder, data_folder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.refit import trial
from perfmodel.evaluate.validation_case import ValidationCase
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict

HEAD = (
    "board,dpu_config,model,std_name,gops_from_name,dpu_mhz,latency_ms,fps_single_thread,"
    "fps_multi_thread,suspect\n"
)
ZCU104 = "ZCU104,ZCU104 board with a 2  B4096  @ 300MHz DPU configuration:"


def written(folder: Path, *rows: str) -> DataFolder:
    (folder / "vitis_ai_dpu.csv").write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return DataFolder(folder)


def test_a_board_that_the_constants_have_not_seen(tmp_path: Path) -> None:
    """Cores and clock come from the configuration, images at once from the cores."""
    folder = written(tmp_path, f"{ZCU104},resnet50_pt,x,8.2,,,80,150,")
    one, several = dataset("vitis_ai_dpu").load(folder).cases
    assert one.machine is not None
    assert one.machine["engines.dpu.units"] == 2
    assert one.machine["engines.dpu.clock"] == 300e6
    assert several.quantities[0].workload.parameters["batch"] == 2
    assert several.quantities[0].measured == pytest.approx(2 / 150)


def test_engines_of_a_core_share_a_batch(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        "U50LV,Alveo U50LV board with 10 DPUCAHX8H kernels running at 275Mhz in Gen3x4:,"
        "resnet50_pt,x,8.2,275,,,900,",
        "U50LV,Alveo U50LV board with 9 DPUCAHX8H kernels running at 275Mhz:,"
        "resnet50_pt,x,8.2,275,,,900,",
    )
    ten, nine = dataset("vitis_ai_dpu").load(folder).cases
    for case, units, images in ((ten, 2, 5), (nine, 1, 9)):
        assert case.machine is not None
        assert case.machine["engines.dpu.units"] == units
        assert case.machine["engines.dpu.design.images"] == images
        assert case.quantities[0].workload.parameters["batch"] == units * images


def test_ai_engines_say_how_many_images(tmp_path: Path) -> None:
    """PG389: a DPUCVDX8G works on an image with 32 AI Engines."""
    folder = written(
        tmp_path,
        "VCK190,Versal ACAP VCK190 board with 96 AIEs running at 1250Mhz:,resnet50_pt,x,8.2,,,1,,",
        "VCK190,Versal ACAP VCK190 board with C32B6:,resnet50_pt,x,8.2,,,1,,",
    )
    images = [
        c.quantities[0].workload.parameters["batch"]
        for c in dataset("vitis_ai_dpu").load(folder).cases
    ]
    assert images == [3, 6]


def test_reasons(tmp_path: Path) -> None:
    """What cannot be predicted says why, and counts."""
    rows = (
        f"{ZCU104},vgg_16_pruned_0_43_tf,x,17.67,,,90,,",
        f"{ZCU104},solo_pt,x,107,,,1.4,,",
        f"{ZCU104},resnet50_pt,x,16.0,,,90,,",
        f"{ZCU104},resnet50_pt,x,8.2,,,90,,too fast to be true",
        "Alveo X,some board,resnet50_pt,x,8.2,,,90,,",
    )
    (found,) = validate("vitis_ai_dpu", data=written(tmp_path, *rows).root)
    reasons = {str(f["reason"]) for f in found.unpredicted}
    assert found.coverage == 0.0
    assert reasons == {
        "pruned widths are not published",
        "no graph",
        "the graph of resnet50 has other operations than the row states",
        "suspect: too fast to be true",
        "no device for Alveo X with this configuration",
    }


def rows_of(folder: Path, *models: tuple[str, float | str]) -> list[ValidationCase]:
    """Return the cases of networks with the operations that rows state of them."""
    rows = [f"{ZCU104},{name},x,{stated},,,90,," for name, stated in models]
    return list(dataset("vitis_ai_dpu").load(written(folder, *rows)).cases)


def test_names_of_pruned_networks(tmp_path: Path) -> None:
    reasons = [
        c.reason
        for c in rows_of(
            tmp_path,
            ("yolov3_adas_prune_0.9", ""),
            ("vgg_16_pruned_0_43_tf", ""),
            ("pt_SESR-S_3.5", ""),
            ("resnet50_pt", ""),
        )
    ]
    assert reasons == ["pruned widths are not published"] * 2 + ["no graph", ""]
    folder = tmp_path / "vitis_ai_35_vek280_v70.csv"
    folder.write_text(
        "board,dpu,metric,fps,model,ops_g,pruned\n"
        "VEK280,1x C20B14CU1,multi_thread_fps,90,tf_vgg16_0.43_3.5,17,\n"
        "Alveo V70,1x C20B14CU1 @ 350MHz,multi_thread_fps,90,pt_resnet50_3.5,8.2,\n"
        "V70,DPUCV2DX8G,multi_thread_fps,90,pt_resnet50_3.5,8.2,\n"
    )
    first, *others = dataset("vitis_ai_35_vek280_v70").load(DataFolder(tmp_path)).cases
    assert first.reason == "pruned widths are not published"
    assert [machine_of(case).device.name for case in others] == ["v70_dpu", "v70_dpu"]


def machine_of(case: ValidationCase) -> Machine:
    """Return the machine of a row that is predicted."""
    assert case.machine is not None, case.reason
    return case.machine if isinstance(case.machine, Machine) else case.machine.machine(case.runtime)


def test_pruned_resnets_have_the_widths_that_give_their_operations(tmp_path: Path) -> None:
    """The channels inside the blocks are cut alike: 5.8 of 8.2 billion operations."""
    models = [*PRUNED, ("resnet50_pt", 8.2), ("resnet50_pruned_0_3_pt", 6.2)]
    *pruned, full, other = rows_of(tmp_path, *models)
    for case, (_, stated) in zip(pruned, PRUNED, strict=True):
        macs = float(case.quantities[0].workload.macs)
        assert macs * 2e-9 == pytest.approx(stated, rel=0.015)
        assert macs < float(full.quantities[0].workload.macs)
    assert "other operations" in other.reason


#: Frames a second of one busy core of the KV260, whose widths nothing was fitted to.
PRUNED = {
    ("resnet50_pruned_0_3_pt", 5.8): 103.79,
    ("resnet50_pruned_0_5_pt", 4.1): 120.24,
    ("resnet50_pruned_0_7_pt", 2.5): 149.48,
    ("resnet_v1_50_pruned_0_65_tf", 2.45): 162.96,
    ("personreid_res50_pruned_0_6_pt", 2.1): 190.93,
}


def test_pruned_resnets_within_six_percent(tmp_path: Path) -> None:
    for case, measured in zip(rows_of(tmp_path, *PRUNED), PRUNED.values(), strict=True):
        found = predict(
            case.quantities[0].workload.bind({"batch": 1}),
            hardware("kv260"),
            precision="int8",
            runtime="vitis_ai_threads",
        )
        assert 1.0 / found.latency_s == pytest.approx(measured, rel=0.06)


@pytest.mark.data
def test_boards_within_their_errors() -> None:
    """One thread 6 % in sample and with a board left out, several threads 9 %."""
    (found,) = validate("vitis_ai_dpu")
    for board in ("Kria KV260 SOM", "ZCU102 (0432055-05)"):
        assert found.by_device[board]["rows"] >= 39
        assert found.by_device[board]["mape"] < 0.07
    assert found.targets["latency_s"]["mape"] < found.baselines["compute"]["mape"] / 5
    trials = {r.target: trial(r) for r in dataset("vitis_ai_dpu").refits(data_folder(None))}
    assert trials["latency_s, a device left out"]["mape"] < 0.06
    assert trials["threads_s, a device left out"]["mape"] < 0.09
    assert trials["latency_s, a family of networks left out"]["mape"] < 0.06


@pytest.mark.data
def test_release_3_5() -> None:
    cases = dataset("vitis_ai_35_vek280_v70").load(data_folder(None)).cases
    assert sum(c.machine is not None for c in cases) >= 48
    (found,) = validate("vitis_ai_35_vek280_v70")
    assert found.targets["latency_s"]["mape"] < 0.25


def test_kernels_of_a_dpucadf8h_are_cores_of_four_images(tmp_path: Path) -> None:
    """Vitis AI, examples/DPUCADF8H: a batch is four images; a kernel works on one batch."""
    folder = written(
        tmp_path,
        "U200,Alveo U200 board with 2 DPUCADF8H kernels running at 300Mhz:,resnet50,x,7.7,,,,9,",
        "Alveo-U250,Alveo U250 board with 4 DPUCADF8H kernels:,resnet50,x,7.7,,,,9,",
        "U250,Alveo U250 board with 4 DPUCADX8G kernels running at 350Mhz:,resnet50,x,7.7,,,,9,",
    )
    two, four, other = dataset("vitis_ai_dpu").load(folder).cases
    for case, units in ((two, 2), (four, 4)):
        assert case.machine is not None
        assert case.machine["engines.dpu.units"] == units
        assert case.quantities[0].workload.parameters["batch"] == 4 * units
    assert other.reason.startswith("no device")


@pytest.mark.parametrize(
    ("board", "config", "device"),
    [
        ("ZCU104", "ZCU104 board with a 2  B4096  @ 300MHz", "zcu104"),
        ("zcu-104 (rev B)", "2 B4096F @ 300 MHz", "zcu104"),
        ("Ultra96", "Ultra96 board with a 1  B1600  @ 287MHz   V1.4.0", "ultra96_dpu"),
        ("Ultra-96 v2", "1 B2304 @ 200MHz", "ultra96_dpu"),
        ("U50lv", "Alveo U50LV board with 10 DPUCAHX8H kernels", "u50lv_dpu"),
        ("U50LV DWC", "Alveo U50lv board with 8 DPUCAHX8H-DWC kernels", "u50lv_dpu"),
        ("VCK190", "Versal ACAP VCK190 board with C32B6", "vck190_dpu"),
    ],
)
def test_boards_do_not_hang_on_a_spelling(
    board: str, config: str, device: str, tmp_path: Path
) -> None:
    folder = written(tmp_path, f"{board},{config},resnet50_pt,x,8.2,,,80,,")
    [case] = dataset("vitis_ai_dpu").load(folder).cases
    assert machine_of(case).device.name == device


def test_an_architecture_sets_the_tile(tmp_path: Path) -> None:
    """PG338: a B2304 multiplies eight pixels, twelve by twelve channels."""
    folder = written(tmp_path, "Ultra96,1  B2304 @ 200MHz,resnet50_pt,x,8.2,,,80,,")
    [case] = dataset("vitis_ai_dpu").load(folder).cases
    assert machine_of(case)["engines.dpu.design.input_channels"] == 12
    assert machine_of(case)["engines.dpu.design.pixels"] == 8
