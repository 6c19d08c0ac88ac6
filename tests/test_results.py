"""Every class of results has an example here, and every example passes the common checks."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.ask.library import list_devices
from perfmodel.ask.sheets import show_device
from perfmodel.cli.doctor import report
from perfmodel.evaluate import Reproductions, Validations
from perfmodel.hardware.new_device import near, new
from perfmodel.kinds.hardwired.plan import hardwire
from perfmodel.schedule.allocate import Lifetime
from perfmodel.search.differentiable import differentiable_search
from perfmodel.search.evolve import evolve
from perfmodel.table import Result
from perfmodel.testing import check_result
from perfmodel.testing.results import subclasses

NET, BOARD, PHONE = "tiny_cnn", "stm32h743", "snapdragon_8_gen_3"
LLM, JETSON = "llama_3_8b", "jetson_agx_orin"
WEIGHTS = {"weight_bits": (4, 8)}


def lives(size: int) -> list[Lifetime]:
    return [Lifetime("a", 0, 2, size), Lifetime("b", 1, 3, 64)]


def measured(folder: Path) -> Path:
    path = folder / "rows.csv"
    path.write_text(
        "model,device,runtime,precision,batch,latency_s\n"
        "resnet18,a100,tensorrt,fp16,1,0.0008\nresnet50,a100,tensorrt,fp16,1,0.0016\n"
    )
    return path


def cells() -> pm.Oracle:
    space = pm.space("nas_bench_201")
    return pm.Oracle("raspberry_pi_5", space, ("latency_s", "energy_j"), runtime="generic")


#: Several examples of a class: what fits and what does not, one point and many.
EXAMPLES: dict[str, Callable[[Path], Result]] = {
    "prediction": lambda _: pm.predict("resnet18", "a100"),
    "prediction of a language model": lambda _: pm.predict(LLM, JETSON, precision="w4a16"),
    "prediction of many points": lambda _: pm.predict("resnet18", "a100", set={"batch": [1, 2]}),
    "prediction that does not fit": lambda _: pm.predict(LLM, "rtx_4090", precision="fp32"),
    "table": lambda _: pm.sweep("resnet18", "a100", {"batch": [1, 2]}),
    "table of traffic": lambda _: pm.traffic("resnet18", "64 KiB,1 MiB"),
    "comparison": lambda _: pm.compare("resnet18", "a100", "h100"),
    "solution": lambda _: pm.solve("resnet18", "a100", "batch", "latency_s <= 1 ms"),
    "solution without a value": lambda _: pm.solve(
        "resnet18", "a100", "batch", "latency_s <= 1 ns"
    ),
    "collective": lambda _: pm.collective("all_reduce", 2**20, 4, "a100"),
    "collective of many sizes": lambda _: pm.collective(
        "all_reduce", np.array([2**20, 2**24]), 4, "a100"
    ),
    "request": lambda _: pm.request(LLM, JETSON, precision="w4a16", prompt=128, generate=16),
    "requests": lambda _: pm.request(
        LLM, JETSON, precision="w4a16", prompt=np.array([64, 128]), generate=16
    ),
    "served": lambda _: pm.serve(LLM, "h100", runtime="vllm", concurrency=8),
    "served at two loads": lambda _: pm.serve(
        LLM, "h100", runtime="vllm", concurrency=np.array([8, 16])
    ),
    "schedule": lambda _: pm.schedule(NET, capacity="64 KiB"),
    "schedule that does not fit": lambda _: pm.schedule(NET, capacity="1 KiB"),
    "recomputation": lambda _: cast("Any", pm.schedule(NET, capacity="64 KiB")).recomputed(),
    "curve": lambda _: pm.schedule(NET, capacity=["1 KiB", "64 KiB"]),
    "staircase": lambda _: cast("Any", pm.schedule(NET, capacity="64 KiB")).curve(),
    "patches": lambda _: pm.patches(NET, capacity="64 KiB"),
    "patches that do not fit": lambda _: pm.patches(NET, capacity=64, objective="macs"),
    "devices of the library": lambda _: list_devices(tag="phone"),
    "sheet of a device": lambda _: show_device("a100"),
    "spec of a new device": lambda _: new("my_board", "rk3588"),
    "nearest devices": lambda _: near("rk3588"),
    "allocation": lambda _: pm.allocate(lives(64), "256 B"),
    "allocation that does not fit": lambda _: pm.allocate(lives(512), "256 B"),
    "addresses": lambda _: cast("Any", pm.schedule(NET, capacity="64 KiB")).layout,
    "placement": lambda _: pm.place(LLM, JETSON, precision="w4a16"),
    "placement that does not fit": lambda _: pm.place(LLM, "raspberry_pi_5", precision="fp32"),
    "stream": lambda _: pm.stream(LLM, "ufs_4_phone", precision="w4a16", memory="3 GB"),
    "timeline of a stream": lambda _: (
        cast("Any", pm.stream(LLM, "ufs_4_phone", precision="w4a16", memory="3 GB")).timeline
    ),
    "plan over levels": lambda _: cast(
        "Any", pm.schedule(NET, "zen4_core", memory="l2", precision="int8", capacity="64 KiB")
    ).over_levels(),
    "assignment": lambda _: pm.assign("resnet18", PHONE),
    "split": lambda _: pm.split("resnet18", "raspberry_pi_5", "a100", rate="1..4 Mbit/s"),
    "search": lambda _: pm.search(
        "resnet18",
        JETSON,
        precision="w8a8",
        choices=WEIGHTS,
        share="kind",
        constraints=["weight_bytes <= 8 MiB"],
    ),
    "search that finds nothing": lambda _: pm.search(
        "resnet18",
        JETSON,
        precision="w8a8",
        choices=WEIGHTS,
        share="kind",
        constraints=["weight_bytes <= 8 KiB"],
    ),
    "evolution": lambda _: evolve(
        cells(),
        cells().space,
        ["latency_s", "energy_j"],
        method="random",
        population=8,
        evaluations=16,
        seed=0,
    ),
    "relaxation": lambda _: differentiable_search(
        cells(),
        [np.arange(len(d.options), dtype=float) for d in cells().space.decisions],
        1.0,
        steps=4,
    ),
    "finetuning": lambda _: pm.finetune(NET, BOARD),
    "hardwired plan": lambda _: hardwire("qwen3_0_6b"),
    "citations": lambda _: pm.cite(pm.predict("resnet18", "a100")),
    "calibration": lambda folder: pm.calibrate("a100", "tensorrt", measured(folder)),
    "calibration without rows": lambda _: pm.calibrate("a100", "tensorrt"),
    "next measurements": lambda folder: pm.calibrate("a100", "tensorrt", measured(folder)).next(2),
    "validation": lambda folder: pm.validate(measured(folder))[0],
    "validations": lambda folder: pm.validate([measured(folder)]),
    "no validation": lambda _: Validations(),
    "doctor": lambda _: report(),
    "reproductions": lambda _: pm.reproduce("eyeriss"),
    "no reproduction": lambda _: Reproductions(),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_result_keeps_its_promises(name: str, tmp_path: Path) -> None:
    check_result(EXAMPLES[name](tmp_path), tmp_path)


def test_every_class_has_an_example(tmp_path: Path) -> None:
    for module in pkgutil.walk_packages(pm.__path__, "perfmodel."):
        # Former places of modules warn, and have no classes of their own.
        if not module.name.endswith("__main__") and module.name != "perfmodel.plots":
            import_module(module.name)
    known = {type(make(tmp_path)) for make in EXAMPLES.values()}
    missing = {each.__name__ for each in subclasses() if each.__module__.startswith("perfmodel.")}
    assert missing <= {each.__name__ for each in known}
