"""Commands: the exit code of each, and the numbers of its JSON by path."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from perfmodel.cli import main
from tests.golden.figures import Figures, Value, numbers

CHECKOUT = Path(__file__).resolve().parents[2]

#: Numbers of a clock, of plans of which several are right, and what is listed by class.
LEFT_OUT = (
    "$defs",
    "addresses",
    "counts",
    "elapsed_s",
    "offsets",
    "order",
    "residency",
    "seconds",
    "solution",
    "timing",
    "versions",
)

#: Name -> arguments; ``{folder}`` is an empty folder, ``{examples}`` the examples' folder.
LINES = {
    "predict": "predict resnet50 jetson_agx_orin --precision int8 --set batch=8 --json",
    "predict/infeasible": "predict llama_3_8b rtx_4090 --precision fp32 --json",
    "predict/bad": "predict llama_3_8b rtx_409 --precision fp33 --set bacth=2",
    "predict/bare": "predict vgg16 a100 --model roofline --runtime ideal --json",
    "predict/file": "predict {examples}/resnet18.pt2 jetson_agx_orin --precision fp16 --json",
    "predict/fabric": "predict jet_tagger vu9p --precision w6a6 --json",
    "sweep": "sweep resnet50 --device a100 --set batch=2**0..2**6 --best latency_s --json",
    "sweep/dry": "sweep resnet50 --device a100 --set batch=2**0..2**6 --dry-run",
    "compare": "compare resnet50 jetson_agx_orin rtx_4090 --precision int8 --json",
    "traffic": "traffic resnet18 --capacity 2**14..2**17 --precision int8 --halo kept --json",
    "traffic/bad": "traffic resnet18 --capacity '64 kb' --halo keep",
    "patches": "patches mlperf_tiny_ic --capacity '20 KiB' --json",
    "schedule": "schedule mlperf_tiny_ic --capacity '40 KiB' --json",
    "schedule/list": "schedule efficientformer_l1 --capacity '512 KiB,735 KiB,1 MiB' --no-fuse "
    "--method greedy --json",
    "schedule/bad": "schedule mobilenet_v2 --capacity '256 kib' --objective byte --method exakt",
    "allocate": "allocate {folder}/buffers.csv --capacity '96 KiB' --json",
    "assign": "assign resnet18 edge_tpu raspberry_pi_5 --precision int8 --objective throughput "
    "--contiguous --json",
    "place": "place llama_3_70b rtx_4090 --precision w4a16 --json",
    "stream": "stream llama_3_8b ufs_4_phone --precision w4a16 --memory '3 GB' --json",
    "request": "request llama_3_8b apple_m2_max --prompt 2048 --generate 128 --json",
    "split": "split resnet50 galaxy_s7 rtx_4090 --rate '1..50 Mbit/s' --latency '5 ms' "
    "--link-format int8 --json",
    "split/system": "split mobilenet_v2 --system {examples}/pi_and_gpu_over_wifi.yaml --json",
    "finetune": "finetune mcunet_5fps stm32h743 --train *=bias,classifier=all "
    "--set height=128 --set width=128 --set classes=10 --json",
    "serve": "serve llama_3_70b h100 --runtime vllm --concurrency 64 --tensor 4 --json",
    "collective": "collective all_reduce h100 --message 2**12..2**28 --devices 2,8 --json",
    "collective/bad": "collective all_redce h10 --message 0 --devices 1",
    "search": "search llama_3_8b jetson_agx_orin --set context=8192 --precision w8a16 "
    "--share network --choice weight_format=int4g128,int8 --choice kv_bits=8,16 "
    "--choice batch=1,2,4,8 --constraint 'latency_s <= 50 ms' "
    "--objective tokens_per_s --json",
    "search/bad": "search mobilenet_v2 gemmini_16x16 --choice weight_bits:stage9.*=4,8 "
    "--constraint 'latency_s <= 5 MiB' --objective accuracy_drop",
    "solve": "solve llama_3_8b a100 --set context=4096 --for batch --until 'tpot_s <= 20 ms' "
    "--json",
    "solve/none": "solve llama_3_8b raspberry_pi_5 --precision w4a16 "
    "--for memories.main.bandwidth --until 'tokens_per_s >= 20' --json",
    "hardwire": "hardwire qwen3_8b --precision w=int4,a=fp16 --systems 10 --json",
    "reproduce": "reproduce flightllm --json",
    "calibrate": "calibrate {examples}/raspberry_pi_4_ncnn.csv --json",
    "validate": "validate {examples}/measurements.csv --json",
    "cite": "cite resnet18 eyeriss --json",
    "report": "report predict resnet18 raspberry_pi_5 -o {folder}/report.html --date '1 May 2026'",
    "hardware/list": "hardware list --json",
    "hardware/runtimes": "hardware list --runtimes --json",
    "hardware/show": "hardware show raspberry_pi_5 --json",
    "hardware/check": "hardware check hardware_specs/devices/a100.yaml --json",
    "hardware/diff": "hardware diff a100 h100 --json",
    "hardware/near": "hardware near rtx_4080 --json",
    "hardware/near_facts": "hardware near --bandwidth '17 GB/s' --peak '4 TOP/s' --format int8 "
    "--like npu --json",
    "hardware/new": "hardware new my_board --from rk3588 --set memories.main.bandwidth='17 GB/s' "
    "-o {folder}/my_board.yaml --json",
    "hardware/schema": "hardware schema",
    "workload/list": "workload list --json",
    "workload/show": "workload show whisper_tiny --json",
    "workload/show_file": "workload show {examples}/llama_3_8b_q4_k_m.gguf --json",
    "workload/check": "workload check workloads/resnet18.yaml --json",
    "workload/import": "workload import {examples}/resnet18.pt2 --json",
    "format/list": "format list --json",
    "format/show": "format show int4g128 --json",
    "format/show_mixture": "format show q4_k_m --json",
    "nothing": "predikt resnet18 a100",
}

BUFFERS = "id,lower,upper,size\na,0,3,32768\nb,1,4,16384\nc,2,6,40960\nd,4,7,8192\ne,5,8,50000\n"


def ran(arguments: list[str]) -> Iterator[tuple[str, Value]]:
    """Run a command in this process and yield its exit code and the numbers it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    yield "code", code
    yield "faults", sum(line.startswith("error: ") for line in err.getvalue().splitlines())
    with contextlib.suppress(json.JSONDecodeError):
        yield from numbers(json.loads(out.getvalue()), LEFT_OUT, "json")


def figures() -> Figures:
    """Yield every command's answer."""
    import shlex

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "buffers.csv").write_text(BUFFERS, encoding="utf-8")
        os.chdir(CHECKOUT)
        try:
            for name, line in LINES.items():
                places = {"{folder}": folder, "{examples}": str(CHECKOUT / "examples")}
                arguments = shlex.split(line)
                for mark, place in places.items():
                    arguments = [argument.replace(mark, place) for argument in arguments]
                for key, value in ran(arguments):
                    yield f"command/{name}/{key}", value
        finally:
            os.chdir(before)
