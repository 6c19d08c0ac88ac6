"""Vitis AI's tables: what a row is of, which rows are predicted, how far they are off."""

from __future__ import annotations

from pathlib import Path

import pytest
from perfmodel_studies.readers.vitis_ai import zoo_2_5, zoo_3_5
from perfmodel_studies.readers.vitis_ai.boards import Boards
from perfmodel_studies.readers.vitis_ai.networks import network, why_not, workload_of

from perfmodel.evaluate import validate
from perfmodel.evaluate.files import DataFolder, data_folder
from perfmodel.evaluate.refit import trial
from perfmodel.hardware.library import hardware
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
    one, several = zoo_2_5.load(folder).cases
    assert one.machine is not None
    assert one.machine["engines.dpu.units"] == 2
    assert one.machine["engines.dpu.clock"] == 300e6
    assert several.questions[0].workload.parameters["batch"] == 2
    assert several.questions[0].measured == pytest.approx(2 / 150)


def test_engines_of_a_core_share_a_batch(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        "U50LV,Alveo U50LV board with 10 DPUCAHX8H kernels running at 275Mhz in Gen3x4:,"
        "resnet50_pt,x,8.2,275,,,900,",
        "U50LV,Alveo U50LV board with 9 DPUCAHX8H kernels running at 275Mhz:,"
        "resnet50_pt,x,8.2,275,,,900,",
    )
    ten, nine = zoo_2_5.load(folder).cases
    for case, units, images in ((ten, 2, 5), (nine, 1, 9)):
        assert case.machine is not None
        assert case.machine["engines.dpu.units"] == units
        assert case.machine["engines.dpu.design.images"] == images
        assert case.questions[0].workload.parameters["batch"] == units * images


def test_ai_engines_say_how_many_images(tmp_path: Path) -> None:
    """PG389: a DPUCVDX8G works on an image with 32 AI Engines."""
    folder = written(
        tmp_path,
        "VCK190,Versal ACAP VCK190 board with 96 AIEs running at 1250Mhz:,resnet50_pt,x,8.2,,,1,,",
        "VCK190,Versal ACAP VCK190 board with C32B6:,resnet50_pt,x,8.2,,,1,,",
    )
    images = [c.questions[0].workload.parameters["batch"] for c in zoo_2_5.load(folder).cases]
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
        "pruned widths are not published", "no graph",
        "the graph of resnet50 has other operations than the row states",
        "suspect: too fast to be true", "no device for Alveo X with this configuration",
    }  # fmt: skip


def test_names_of_pruned_networks() -> None:
    for name in ("yolov3_adas_prune_0.9", "tf_vgg16_0.43_3.5", "vgg_16_pruned_0_43_tf"):
        assert why_not(name, None) == "pruned widths are not published"
    assert why_not("pt_SESR-S_3.5", None) == "no graph"
    assert network("resnet50_pt") is not None


def test_pruned_resnets_take_the_widths_that_give_their_operations() -> None:
    """The channels inside the blocks are cut alike: 5.8 of 8.2 billion operations."""
    assert why_not("resnet50_pruned_0_3_pt", 5.8) == ""
    cut, whole = (workload_of(n, 1, o) for n, o in (("resnet50_pruned_0_3_pt", 5.8),
                                                    ("resnet50_pt", 8.2)))  # fmt: skip
    assert float(cut.macs) * 2e-9 == pytest.approx(5.8, rel=0.01)
    assert float(cut.macs) < float(whole.macs)
    assert why_not("resnet50_pruned_0_3_pt", None) == "pruned widths are not published"


#: Frames a second of one busy core of the KV260, whose widths nothing was fitted to.
PRUNED = {
    ("resnet50_pruned_0_3_pt", 5.8): 103.79, ("resnet50_pruned_0_5_pt", 4.1): 120.24,
    ("resnet50_pruned_0_7_pt", 2.5): 149.48, ("resnet_v1_50_pruned_0_65_tf", 2.45): 162.96,
    ("personreid_res50_pruned_0_6_pt", 2.1): 190.93,
}  # fmt: skip


@pytest.mark.parametrize(("name", "stated"), list(PRUNED))
def test_pruned_resnets_within_six_percent(name: str, stated: float) -> None:
    found = predict(
        workload_of(name, 1, stated), hardware("kv260"), precision="int8",
        runtime="vitis_ai_threads",
    )  # fmt: skip
    assert 1.0 / found.latency_s == pytest.approx(PRUNED[name, stated], rel=0.06)


@pytest.mark.data
def test_boards_within_their_errors() -> None:
    """One thread 6 % in sample and with a board left out, several threads 9 %."""
    (found,) = validate("vitis_ai_dpu")
    for board in ("Kria KV260 SOM", "ZCU102 (0432055-05)"):
        assert found.by_device[board]["rows"] >= 39
        assert found.by_device[board]["mape"] < 0.07
    assert found.targets["latency_s"]["mape"] < found.baselines["compute"]["mape"] / 5
    trials = {r.target: trial(r) for r in zoo_2_5.refits(data_folder(None))}
    assert trials["latency_s, a device left out"]["mape"] < 0.06
    assert trials["threads_s, a device left out"]["mape"] < 0.09
    assert trials["latency_s, a family of networks left out"]["mape"] < 0.06


@pytest.mark.data
def test_release_3_5() -> None:
    cases = zoo_3_5.load(data_folder(None)).cases
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
    two, four, other = zoo_2_5.load(folder).cases
    for case, units in ((two, 2), (four, 4)):
        assert case.machine is not None
        assert case.machine["engines.dpu.units"] == units
        assert case.questions[0].workload.parameters["batch"] == 4 * units
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
        ("Alveo V70", "1x C20B14CU1 @ 350MHz", "v70_dpu"),
        ("V70", "DPUCV2DX8G", "v70_dpu"),
    ],
)
def test_boards_do_not_hang_on_a_spelling(board: str, config: str, device: str) -> None:
    found = Boards(()).of(board, config)
    assert not isinstance(found, str), found
    assert found.one.device.name == device


def test_an_architecture_sets_the_tile() -> None:
    """PG338: a B2304 multiplies eight pixels, twelve by twelve channels."""
    found = Boards(()).of("Ultra96", "1  B2304 @ 200MHz")
    assert not isinstance(found, str)
    assert found.one["engines.dpu.design.input_channels"] == 12
    assert found.one["engines.dpu.design.pixels"] == 8
