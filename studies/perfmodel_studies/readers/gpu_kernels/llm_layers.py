"""Layers of language models under vLLM on an RTX PRO 6000: LLMServingSim's profiles.

github.com/casys-kaist/LLMServingSim (profiler/perf). Products of a layer under tensor parallelism
(``tp2``: half of it), and attention of prompts alone or of decode steps alone. No constant was
fitted on these rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from perfmodel.evaluate.batched import evaluate_together
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.result import ValidationResult
from perfmodel.measurements import CsvRow
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.gpu_kernels.devices import Finder
from perfmodel_studies.readers.gpu_kernels.operators import attention, product
from perfmodel_studies.readers.gpu_kernels.rows import table

NAME: Final = "llmservingsim_layers"
TITLE: Final = "Layers of language models under vLLM (LLMServingSim): products and attention"
#: Where its file lies.
PLACES: Final = (
    "measured/llmservingsim_layers.csv.gz", "measured/llmservingsim_layers.csv",
)  # fmt: skip


class _Model(NamedTuple):
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int


#: Model -> shape (config.json of each on huggingface.co); mixtures have no dense hidden layer.
MODELS: Final[Mapping[str, _Model]] = {
    "meta-llama/Llama-3.1-8B": _Model(4096, 32, 8, 128, 14336, 128256),
    "Qwen/Qwen3-32B": _Model(5120, 64, 8, 128, 25600, 151936),
    "Qwen/Qwen3-30B-A3B-Instruct-2507": _Model(2048, 32, 4, 128, 0, 151936),
}
_NUMBERS: Final = re.compile(r"(\w+)=(\w+)")
_PARALLEL: Final = re.compile(r"tp(\d+)")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Predict products and attention; the group is the layer."""
    path = folder.need(NAME, *PLACES)
    find = Finder(devices)
    with table(path, ("hardware", "model_or_op", "shape", "value")) as (rows, faults):
        cases = [_case(row, rows.number(row, "value", faults), find) for row in rows]
    return evaluate_together(Cases(NAME, cases, notes=folder.note(path)))


def _case(row: CsvRow, value: float | None, find: Finder) -> ValidationCase:
    model, _, layer = row["model_or_op"].partition(":")
    kind = layer.rpartition(":")[2] or layer.partition(":")[0]
    name = f"{model.rpartition('/')[2]} {kind} {row['shape']}"
    numbers = {key: float(n) for key, n in _NUMBERS.findall(row["shape"]) if n.isdigit()}
    told = _PARALLEL.search(row["shape"])
    work: tuple[Workload, str] | str
    if model not in MODELS:
        work = f"no shape of '{model}' is known"
    else:
        work = _work(MODELS[model], kind, numbers, int(told.group(1)) if told else 1)
    device = find(row["hardware"])
    if isinstance(device, str):
        return ValidationCase(name, row["hardware"], reason=device)
    if isinstance(work, str) or value is None:
        return ValidationCase(
            name, device.name, reason=work if isinstance(work, str) else "no time"
        )
    question = MeasuredQuantity("latency_s", "latency_s", 1e-6 * value, work[0])
    return ValidationCase(name, device.name, device, [question], "bf16", work[1], kind)


def _work(
    m: _Model, kind: str, n: Mapping[str, float], parts: int
) -> tuple[Workload, str] | str:  # fmt: skip
    """Return what ran and under which runtime, or why it is not predicted."""
    tokens = n.get("tokens", n.get("sequences", 0.0))
    heads, kv = m.heads // parts, max(m.kv_heads // parts, 1)
    shapes = {
        "qkv_proj": ((heads + 2 * kv) * m.head_dim, m.width),
        "o_proj": (m.width, heads * m.head_dim),
        "gate_up_proj": (2 * m.hidden // parts, m.width),
        "down_proj": (m.width, m.hidden // parts),
        "lm_head": (m.vocabulary // parts, m.width),
    }
    if kind in shapes:
        features, depth = shapes[kind]
        return product(tokens, features, depth), "torch_cuda"
    if kind != "attention":
        return f"no constants of vLLM's kernels of {kind}"
    chunk, before = n["prefill_chunk"], n["kv_prefill"]
    decodes, context = n["n_decode"], n["kv_decode"]
    if chunk and decodes:
        return "a prompt and decode steps in one call"
    runtime = "vllm_flash_attention_2"
    if chunk:
        return attention(1, chunk, chunk + before, heads, kv, m.head_dim), runtime
    return attention(decodes, 1, context + 1, heads, kv, m.head_dim), runtime
