"""What is timed: each case returns lines of the table."""

from __future__ import annotations

import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Sample, command, peak_memory_bytes, process_cost, side_by_side

import perfmodel as pm

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Line:
    """One measured quantity; `limit` is what it must not exceed (or reach, if `at_least`)."""

    what: str
    unit: str
    sample: Sample
    limit: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        value = self.sample.median
        return value >= self.limit if self.at_least else value <= self.limit


def decode() -> list[Line]:
    """One Llama-3-8B decode step on an A100: a name and numbers in, predicted seconds out.

    Nothing is reused from call to call but what is cached by structure: the context differs in
    every call. GenZ gets the same question, its weights and cache in 16 bits as well.
    """
    from GenZ import decode_moddeling

    def ours(i: int, model: str | None = "roofline") -> float:
        workload = pm.workload("llama_3_8b", phase="decode", batch=1, context=1000 + i)
        return pm.predict(
            workload, pm.hardware("a100"), precision="fp16", model=model, runtime="ideal"
        ).latency_s

    def genz(i: int) -> float:
        return decode_moddeling(
            model="meta-llama/Llama-3.1-8B",
            batch_size=1,
            input_tokens=1000 + i,
            output_tokens=1,
            Bb=1,
            system_name="A100_80GB_GPU",
            bits="bf16",
        )["Latency"]

    # The numbers asked for are the same ones: both within a quarter of each other.
    assert abs(ours(0) / (genz(0) * 1e-3) - 1) < 0.25
    times = side_by_side(
        {
            "bare": (ours, 200),
            "hierarchical": (lambda i: ours(i, None), 100),
            "genz": (genz, 5),
        },
        rounds=7,
    )
    ratio = Sample(
        tuple(g / o for g, o in zip(times["genz"].values, times["bare"].values, strict=True))
    )
    ms = 1e3
    return [
        Line("Llama-3-8B decode, bare roofline", "ms", times["bare"].each(lambda s: s * ms), 0.2),
        Line("the same, every memory level", "ms", times["hierarchical"].each(lambda s: s * ms)),
        Line("the same question to GenZ 0.0.16", "ms", times["genz"].each(lambda s: s * ms)),
        Line("GenZ / bare roofline", "x", ratio, 200, at_least=True),
    ]


def again() -> list[Line]:
    """One Llama-3-8B decode step on an H100, asked anew and asked again with another context.

    AIConfigurator gets the same question: anew (model and session) and of a session that is there.
    It interpolates measured kernels where perfmodel has every memory level of the device.
    """
    from aiconfigurator.sdk.inference_session import InferenceSession
    from aiconfigurator_core.sdk import common, config, models, perf_database
    from aiconfigurator_core.sdk.backends.factory import get_backend

    system, name, path = "h100_sxm", "vllm", "meta-llama/Meta-Llama-3.1-8B"
    version = perf_database.get_latest_database_version(system, name)
    database, backend = perf_database.get_database(system, name, version), get_backend(name)

    def session() -> InferenceSession:
        formats = config.ModelConfig(
            gemm_quant_mode=common.GEMMQuantMode.bfloat16,
            kvcache_quant_mode=common.KVCacheQuantMode.bfloat16,
            fmha_quant_mode=common.FMHAQuantMode.bfloat16,
        )
        return InferenceSession(models.get_model(path, formats, name), database, backend)

    def step(of: InferenceSession, i: int) -> float:
        numbers = config.RuntimeConfig(batch_size=1, isl=1000 + i, osl=2)
        return of.run_static_latency_only(numbers, "static_gen")

    def anew(i: int) -> float:
        workload = pm.workload("llama_3_8b", phase="decode", batch=1, context=1000 + i)
        return pm.predict(workload, pm.hardware("h100"), precision="bf16", runtime="vllm").latency_s

    first, theirs = (
        pm.predict(
            pm.workload("llama_3_8b", phase="decode"), "h100", precision="bf16", runtime="vllm"
        ),
        session(),
    )
    assert abs(anew(0) / (step(theirs, 0) * 1e-3) - 1) < 0.35
    times = side_by_side(
        {
            "again": (lambda i: first.bind(context=1000 + i).latency_s, 300),
            "theirs again": (lambda i: step(theirs, i), 300),
            "anew": (anew, 200),
            "theirs anew": (lambda i: step(session(), i), 50),
        },
        rounds=9,
    )
    ratios = {
        n: Sample(
            tuple(t / o for t, o in zip(times[f"theirs {n}"].values, times[n].values, strict=True))
        )
        for n in ("again", "anew")
    }
    ms = {name: each.each(lambda s: s * 1e3) for name, each in times.items()}
    return [
        Line("Llama-3-8B decode again, every memory level", "ms", ms["again"]),
        Line("AIConfigurator 0.12, a session again", "ms", ms["theirs again"]),
        Line("the former anew, by names", "ms", ms["anew"]),
        Line("AIConfigurator 0.12, a new session", "ms", ms["theirs anew"]),
        Line("AIConfigurator / again", "x", ratios["again"], 1, at_least=True),
        Line("AIConfigurator / anew", "x", ratios["anew"], 1, at_least=True),
    ]


def million() -> list[Line]:
    """A million decode points over batch x context x weight bits x bandwidth, three metrics.

    Beside them NumPy does the least that a bare roofline can do, in blocks of as many points: for
    each product of the network the larger of operations / peak and bytes / bandwidth, added up.
    """
    import numpy as np

    batch, context = np.arange(1.0, 26.0), np.linspace(128.0, 8192.0, 40)
    bits, bandwidth = np.linspace(2.0, 16.0, 25), np.geomspace(1e11, 3e12, 40)
    device = pm.hardware("a100")
    shape = (25, 40, 25, 40)

    def points(i: int, model: str | None) -> np.ndarray:
        workload = pm.workload(
            "llama_3_8b",
            phase="decode",
            batch=batch[:, None, None, None] + i,
            context=context[:, None, None],
        )
        found = pm.predict(
            workload,
            device,
            precision="w4a16",
            model=model,
            runtime="ideal",
            set={"weight_bits": bits[:, None], "memories.main.bandwidth": bandwidth},
        )
        for metric in (found.latency_s, found.energy_j, found.peak_memory_bytes):
            assert metric.shape == shape
        return found.latency_s

    def numpy_blocks(i: int) -> np.ndarray:
        axes = np.broadcast_arrays(
            batch[:, None, None, None] + i, context[:, None, None], bits[:, None], bandwidth
        )
        flat = [np.ascontiguousarray(axis).reshape(-1) for axis in axes]
        seconds = [
            _products_s(*(axis[at : at + _BLOCK] for axis in flat))
            for at in range(0, math.prod(shape), _BLOCK)
        ]
        return np.concatenate(seconds).reshape(shape)

    assert np.abs(numpy_blocks(0) / points(0, "roofline") - 1).max() < 0.1
    times = side_by_side(
        {
            "bare": (lambda i: points(i, "roofline"), 1),
            "full": (lambda i: points(i, None), 1),
            "numpy": (numpy_blocks, 1),
        },
        rounds=9,
    )
    rates = {n: t.each(lambda s: math.prod(shape) / s / 1e6) for n, t in times.items()}
    memory = Sample((peak_memory_bytes() / 1e6,))
    return [
        Line(
            "decode points per second, bare roofline", "million", rates["bare"], 10, at_least=True
        ),
        Line("the same, every memory level", "million", rates["full"], 5, at_least=True),
        Line("bare NumPy, latency of the products alone", "million", rates["numpy"]),
        Line("memory of a million points, peak", "MB", memory, 500),
    ]


#: Points of a block, as a chunk of a prediction has.
_BLOCK = 8192
#: Weights of the products of Llama-3-8B: columns, rows, how often.
_PRODUCTS = (
    (4096, 4096, 2 * 32),
    (4096, 1024, 2 * 32),
    (4096, 14336, 3 * 32),
    (4096, 128256, 1),
)


def _products_s(
    batch: np.ndarray, context: np.ndarray, bits: np.ndarray, bandwidth: np.ndarray
) -> np.ndarray:
    """Return seconds of a decode step's products and attention on an A100's bare roofline."""
    import numpy as np

    per_byte, per_operation = 1 / bandwidth, 1 / 312e12
    seconds = np.zeros_like(batch)
    for columns, rows, count in _PRODUCTS:
        values = (columns + rows) * 2.0 * batch
        stored = values + columns * rows * (bits / 8)
        arithmetic = 2.0 * columns * rows * per_operation * batch
        seconds += count * np.maximum(arithmetic, stored * per_byte)
    cached = 2.0 * 1024 * 2 * batch * context
    arithmetic = 4.0 * 4096 * per_operation * batch * context
    return seconds + 32 * np.maximum(arithmetic, cached * per_byte)


def warm() -> list[Line]:
    """ResNet-18 again, as an interactive session asks: another batch each time."""

    def ask(i: int, model: str | None) -> float:
        workload = pm.workload("resnet18", batch=1 + i % 64)
        return pm.predict(workload, pm.hardware("a100"), precision="fp16", model=model).latency_s

    times = side_by_side(
        {"bare": (lambda i: ask(i, "roofline"), 100), "full": (lambda i: ask(i, None), 100)},
        rounds=9,
    )
    return [
        Line("ResNet-18, bare roofline", "ms", times["bare"].each(lambda s: s * 1e3), 1),
        Line("ResNet-18, every memory level", "ms", times["full"].each(lambda s: s * 1e3), 1),
    ]


def start() -> list[Line]:
    """What a fresh process costs before it does anything."""
    bare = process_cost([sys.executable, "-c", "pass"], rounds=7).seconds
    empty = process_cost([sys.executable, "-c", "import perfmodel"], rounds=7).seconds
    first = process_cost([sys.executable, "-c", _FIRST], rounds=7).seconds
    help_ = process_cost([command(), "--help"], rounds=7).seconds
    return [
        Line("python -c pass", "ms", bare.each(lambda s: s * 1e3)),
        Line("import perfmodel, a fresh process", "ms", empty.each(lambda s: s * 1e3), 30),
        Line("the same and a first prediction", "ms", first.each(lambda s: s * 1e3)),
        Line("perfmodel --help", "ms", help_.each(lambda s: s * 1e3), 120),
    ]


_FIRST = (
    "import perfmodel as pm; "
    "pm.predict(pm.workload('llama_3_8b', phase='decode'), pm.hardware('a100')).latency_s"
)


def sweep() -> list[Line]:
    """100,000 points from the command line to a Parquet file, start of the process included."""
    with tempfile.TemporaryDirectory() as folder:
        ask = [
            command(),
            "sweep",
            "llama_3_8b",
            "--device",
            "a100",
            "--set",
            "phase=decode",
            "--set",
            "batch=1..25",
            "--set",
            "context=128..4096:128",
            "--set",
            "precision=w16a16,w8a16,w4a16,w4a16kv8,w4a16kv4",
            "--set",
            f"memories.main.bandwidth={','.join(str(10**10 * i) for i in range(1, 26))}",
            "-o",
            str(Path(folder) / "points.parquet"),
        ]
        seconds = process_cost(ask, rounds=3).seconds
    return [Line("perfmodel sweep of 100,000 points to Parquet", "s", seconds)]


#: Name -> case; each runs in a process of its own.
CASES: Mapping[str, Callable[[], list[Line]]] = {
    "decode": decode,
    "again": again,
    "million": million,
    "warm": warm,
    "start": start,
    "sweep": sweep,
}

# GenZ's own warnings (about pandas) are its business.
warnings.filterwarnings("ignore", module="GenZ")
