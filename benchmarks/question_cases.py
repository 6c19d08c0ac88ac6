"""What users wait for: whole commands and questions, each with the time and memory it may take.

Commands run in processes of their own: CPU seconds (user and system, their children included) from
the start of the interpreter to the printed answer, and the most memory that one process held.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cases import Line
from choices import synthetic
from measure import Sample, command, process_cost, side_by_side

_BATCHES = """
import sys
import numpy as np
import perfmodel as pm
network, device = sys.argv[1:]
workload = pm.workload(network, batch=np.arange(1.0, 10001.0))
assert pm.predict(workload, device).latency_s.shape == (10000,)
"""

_ORACLE = """
import sys
import perfmodel as pm
space = pm.space("mcunet")
oracle = pm.Oracle(sys.argv[1], space, metrics=("latency_s", "peak_memory_bytes"))
for member in space.sample(1000, seed=0).tolist():
    oracle(tuple(member))
"""

#: One device of each kind whose predictions search tiles, mappings or kernels for each batch.
_BATCH_DEVICES = (
    "tpu_v1",
    "gemmini",
    "eyeriss",
    "bit_fusion",
    "h100_sxm",
    "cortex_a72",
    "jetson_orin_nano",
    "zcu104",
)


def commands() -> list[Line]:
    """What each command of the table costs from the start of its process."""
    lines: list[Line] = []
    for arguments, status, seconds, megabytes in (
        ("predict resnet18 cortex_a72", 0, 0.25, None),
        ("--help", 0, 0.12, None),
        ("finetune llama_3_8b h100_sxm", 0, 0.5, 200),
        ("finetune deepseek_v3 h100_sxm", None, 5, 1000),
        ("schedule efficientnet_b7 --capacity 1MiB", 1, 1, None),
        ("schedule densenet201 --capacity 1MiB", 1, 1, None),
        ("schedule bart_base --capacity 1KiB --no-fuse --no-in-place", 1, 1, None),
        ("schedule whisper_large_v2 --capacity 1KiB", 1, 1, None),
        ("schedule efficientformer_l7 --capacity 512KiB", None, 5, None),
    ):
        cost = process_cost([command(), *arguments.split()], rounds=3, status=status)
        lines.append(Line(arguments, "s", cost.seconds, seconds))
        if megabytes is not None:
            memory = cost.bytes.each(lambda b: b / 1e6)
            lines.append(Line("  its memory", "MB", memory, megabytes))
    return lines


def batches() -> list[Line]:
    """Ten thousand batches of a network on one device of each kind, in a fresh process."""
    lines: list[Line] = []
    for device in _BATCH_DEVICES:
        for network in ("resnet18", "resnet50", "mobilenet_v2"):
            cost = process_cost([sys.executable, "-c", _BATCHES, network, device], rounds=1)
            name = f"10,000 batches of {network}, {device}"
            lines.append(Line(name, "s", cost.seconds, 2))
            lines.append(Line("  its memory", "MB", cost.bytes.each(lambda b: b / 1e6), 500))
    return lines


def batch_unseen() -> list[Line]:
    """ResNet-18 on arrays, fabric and hardwired chips at a batch that was never seen."""
    import perfmodel as pm

    def asking(device: str) -> Callable[[int], float]:
        spec = pm.hardware(device)
        return lambda i: pm.predict(pm.workload("resnet18", batch=1000 + i), spec).latency_s

    devices = (
        "scale_sim_32x32",
        "tpu_v1",
        "gemmini",
        "eyeriss",
        "bit_fusion",
        "hls4ml_ad08",
        "fpgaconvnet_zc706_vww",
        "hnlpu",
        "tellme",
    )
    times = side_by_side({name: (asking(name), 64) for name in devices}, rounds=9)
    return [
        Line(f"ResNet-18, unseen batch, {name}", "ms", sample.each(lambda s: s * 1e3), 0.3)
        for name, sample in times.items()
    ]


def workers() -> list[Line]:
    """Five million decode points by one process and by two, alternating; the clock's seconds."""
    if (os.cpu_count() or 1) < 2:
        return []
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
    values = {
        "phase": "decode",
        "batch": "1..50",
        "context": "128..25600:128",
        "precision": "w16a16,w8a16,w4a16,w4a16kv8,w4a16kv4",
        "memories.main.bandwidth": ",".join(str(10**10 * i) for i in range(1, 101)),
    }
    sweep = [command(), "sweep", "llama_3_8b", "--device", "a100"]
    for name, value in values.items():
        sweep += ["--set", f"{name}={value}"]
    seconds: dict[str, list[float]] = {"process:1": [], "process:2": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            for executor, times in seconds.items():
                output = str(Path(folder) / f"{executor[-1]}.parquet")
                start = time.perf_counter()
                subprocess.run(
                    [*sweep, "--executor", executor, "-o", output],
                    check=True,
                    capture_output=True,
                )
                times.append(time.perf_counter() - start)
                Path(output).unlink()
    one, two = (Sample(tuple(times)) for times in seconds.values())
    ratio = Sample(tuple(a / b for a, b in zip(one.values, two.values, strict=True)))
    return [
        Line("5e6 points to Parquet, one process (clock)", "s", one),
        Line("the same, two processes (clock)", "s", two),
        Line("one / two", "x", ratio, 1.7, at_least=True),
    ]


def knapsacks() -> list[Line]:
    """Correlated multiple-choice knapsacks of 200 decisions, 6 options and 3 limits, proved."""
    from perfmodel.search.exact import solve

    lines: list[Line] = []
    for family in ("weak", "strong"):
        seconds: list[float] = []
        for seed in range(20):
            problem = synthetic(family, seed)
            start = time.process_time()
            answer = solve(problem, seconds=20.0)
            seconds.append(time.process_time() - start if answer.proved else math.inf)
        name = f"knapsack 200 x 6 x 3, {family}, 20 seeds, proved"
        lines.append(Line(name, "s", Sample(tuple(seconds)), 3))
    return lines


def everything() -> list[Line]:
    """`perfmodel validate` over all data sets of PERFMODEL_DATA."""
    cost = process_cost([command(), "validate"], rounds=1)
    return [
        Line("validate, all open data", "s", cost.seconds, 60),
        Line("  its memory", "MB", cost.bytes.each(lambda b: b / 1e6), 2000),
    ]


def model_files() -> list[Line]:
    """ONNX files that were never read, to their graphs."""
    from onnx_files import FILES

    import perfmodel as pm

    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        for operators, limit in ((1000, 0.1), (10_000, 1.0)):
            for name, build in FILES.items():
                seconds: list[float] = []
                for i in range(5):
                    path = Path(folder) / f"{name}_{operators}_{i}.onnx"
                    build(operators).save(path, operators)
                    start = time.process_time()
                    pm.workload(path).graph()
                    seconds.append(time.process_time() - start)
                title = f"ONNX, {name} of {operators:,} operators"
                lines.append(Line(title, "s", Sample(tuple(seconds)), limit))
    return lines


def oracles() -> list[Line]:
    """An oracle of the MCUNet-like space in a fresh process, and its first thousand members."""
    lines: list[Line] = []
    for device in ("stm32h743", "eyeriss", "cortex_a72"):
        cost = process_cost([sys.executable, "-c", _ORACLE, device], rounds=3)
        lines.append(Line(f"oracle of mcunet, {device}, 1,000 members", "s", cost.seconds, 5))
    return lines + [line for case in _MEMBERS for line in _members(*case)]


#: Network, device, runtime and choices of spaces whose members have much to look up: activations
#: that change their state, conversions that are kernels, blocked layouts whose conversions depend
#: on each other, two ways to run the whole network.
_MEMBERS: tuple[tuple[str, str, str | None, Mapping[str, list[int]]], ...] = (
    ("densenet121", "zen4_core", None, {"weight_bits": [4, 8]}),
    ("mobilenet_v3_small", "zen4_core", None, {"weight_bits": [4, 8], "activation_bits": [8, 16]}),
    ("mobilenet_v3_small", "snapdragon_8_gen_3", "executorch", {"activation_bits": [8, 16]}),
    ("resnet18", "apple_m1", "mlx", {"weight_bits": [4, 8], "activation_bits": [8, 16]}),
    ("resnet18", "cortex_a76", "ncnn", {"weight_bits": [4, 8], "activation_bits": [8, 16]}),
    ("resnet18", "tpu_v1", None, {"weight_bits": [4, 8], "activation_bits": [8, 16]}),
)


def _members(
    network: str, device: str, runtime: str | None, choices: Mapping[str, list[int]]
) -> list[Line]:
    """One member at a time, and each of 600 in a batch."""
    import perfmodel as pm

    space = pm.space(network, choices)
    oracle = pm.Oracle(device, space, ("latency_s", "peak_memory_bytes"), runtime=runtime)
    rows = space.sample(600, seed=0)
    members: list[tuple[int, ...]] = [tuple(row) for row in rows.tolist()]
    bodies: dict[str, tuple[Callable[[int], object], int]] = {
        "one": (lambda i: oracle(members[i % len(members)]), len(members)),
        "batch": (lambda i: oracle.batch(rows), 1),
    }
    times = side_by_side(bodies, rounds=5)
    name = f"a member of {network}, {device}{f', {runtime}' if runtime else ''}"
    return [
        Line(name, "us", times["one"].each(lambda s: s * 1e6), 50),
        Line("  each of 600 in a batch", "us", times["batch"].each(lambda s: s * 1e6 / len(rows))),
    ]


#: Name -> case; each runs in a process of its own.
CASES: Mapping[str, Callable[[], Sequence[Line]]] = {
    "commands": commands,
    "batches": batches,
    "batch_unseen": batch_unseen,
    "workers": workers,
    "knapsacks": knapsacks,
    "model_files": model_files,
    "oracles": oracles,
    "everything": everything,
}
