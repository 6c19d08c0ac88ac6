"""The rows of `llm_serving_e2e`, cleaned: what was served, how it was split, and what it took."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.files import DataFolder
from perfmodel.measurements import CsvRow, CsvTable, read_rows
from perfmodel.system.serving import Parallel

from perfmodel_studies.words import bare_name

__all__ = ["PLACES", "ServingRow", "read"]

PLACES: Final = ("measured/llm_serving_e2e.csv.gz", "llm_serving_e2e.csv.gz", "llm_serving_e2e.csv")
_COLUMNS: Final = (
    "backend", "model_path", "system", "isl", "osl", "batch_size", "tp_size", "silicon_ttft_ms",
    "silicon_tpot_ms",
)  # fmt: skip

#: A model's name, lower case and without its format and tuning -> model of the library.
MODELS: Final[Mapping[str, str]] = {
    "llama-3.1-8b": "llama_3_8b", "llama-3.1-70b": "llama_3_70b", "llama-3.3-70b": "llama_3_70b",
    "qwen3-32b": "qwen3_32b", "qwen3-235b-a22b": "qwen3_235b_a22b",
    "qwen3-30b-a3b": "qwen3_30b_a3b", "qwen3-8b": "qwen3_8b",
    "qwen3.5-397b-a17b": "qwen3_5_397b_a17b", "deepseek-r1": "deepseek_v3",
    "deepseek-r1-0528": "deepseek_v3", "deepseek-v3": "deepseek_v3",
    "deepseek-v3-0324": "deepseek_v3", "deepseek-v3.1": "deepseek_v3",
    "gpt-oss-120b": "gpt_oss_120b", "gpt-oss-20b": "gpt_oss_20b", "kimi-k2.5": "kimi_k2_5",
    "glm-5": "glm_5", "mixtral-8x7b": "mixtral_8x7b",
}  # fmt: skip
RUNTIMES: Final = {"trtllm": "tensorrt_llm", "vllm": "vllm", "sglang": "sglang"}
#: Devices that share fast links; a larger product of labels counts them twice.
NODE: Final = 8
#: Seconds beyond which a first token says that requests wait for a place in the batch.
SATURATED: Final = 10.0


class ServingRow(NamedTuple):
    """One measurement.

    Attributes
    ----------
    concurrency
        Sequences that run at a time, of all groups.
    reason
        Why it cannot be predicted; empty where it can.
    """

    name: str
    model: str
    device: str
    runtime: str
    precision: str
    wide: bool
    prompt: float
    generate: float
    concurrency: float
    split: Parallel
    ttft_s: float
    tpot_s: float
    reason: str = ""


def read(folder: DataFolder) -> tuple[list[ServingRow], int]:
    """Return the rows that are measurements of their own, and how many repeat another.

    Raises
    ------
    InputError
        Columns that are missing, cells that are no numbers.
    """
    rows = read_rows(folder.need("llm_serving_e2e", *PLACES))
    faults = rows.missing(_COLUMNS)
    if faults:
        raise InputError(faults)
    seen: set[tuple[object, ...]] = set()
    found: list[ServingRow] = []
    for made in _rows(rows, faults):
        # Sources round differently: three digits tell measurements apart.
        key = (made.model, made.prompt, made.generate, made.concurrency, f"{made.ttft_s:.3g}",
               f"{made.tpot_s:.3g}")  # fmt: skip
        if key not in seen:
            seen.add(key)
            found.append(made)
    if faults:
        raise InputError(faults)
    return found, len(list(rows)) - len(found)


def _rows(rows: CsvTable, faults: list[Fault]) -> Iterator[ServingRow]:
    for row in rows:
        numbers = {
            name: rows.number(row, name, faults)
            for name in ("isl", "osl", "batch_size", "silicon_ttft_ms", "silicon_tpot_ms")
        }
        if any(value is None or value <= 0 for value in numbers.values()):
            continue
        isl, osl, batch, ttft, tpot = (float(v or 0.0) for v in numbers.values())
        found = re.search(r"silicon_concurrency=(\d+)", row.get("silicon_data_source"))
        concurrency = float(found[1]) if found else batch
        model, precision, wide = _model(row)
        split, groups = _split(row)
        reason = "" if model else f"no model of the library is '{row.get('model_path')}'"
        runtime = RUNTIMES.get(row.get("backend"), "")
        if not runtime:
            reason = f"no engine of the library is '{row.get('backend')}'"
        if ttft * 1e-3 > SATURATED:
            reason = "saturated: requests wait for a place in the batch"
        elif groups == 1 and batch < 0.9 * concurrency:
            reason = "several replicas, of which the columns do not say how many"
        elif row.get("system") == "gb200":
            reason = "several nodes or replicas, of which the columns do not say how many"
        yield ServingRow(
            row.get("id") or f"line {row.line}", model, row.get("system"), runtime, precision,
            wide, isl, osl, concurrency if groups > 1 else batch, split, ttft * 1e-3, tpot * 1e-3,
            reason,
        )  # fmt: skip


def _model(row: CsvRow) -> tuple[str, str, bool]:
    """Return model, precision and whether all but the feed-forward weights stay in bf16."""
    path = row.get("model_path").rpartition("/")[2].lower()
    bare = bare_name(path).removeprefix("meta-").removesuffix("-instruct")
    model = MODELS.get(bare_name(bare), "")
    sparse = model not in {"llama_3_8b", "llama_3_70b", "qwen3_32b", "qwen3_8b"}
    kind = row.get("gemm_quant_mode") or row.get("precision")
    if model.startswith("gpt_oss"):
        # Experts are stored in mxfp4 whatever the label says; Hopper has no arithmetic for it.
        compute = "nvfp4" if row.get("system").startswith(("b", "gb")) else "bf16"
        return model, f"w=mxfp4,a={compute},kv=fp8", True
    if kind in {"nvfp4", "fp4"}:
        return model, "w=nvfp4,a=nvfp4,kv=fp8", sparse
    if kind in {"int4_wo", "int4"}:
        return model, "w=int4g32,a=bf16,kv=fp8", sparse
    if kind.startswith("fp8"):
        return model, "w=fp8,a=fp8,kv=fp8", False
    return model, "bf16", False


def _split(row: CsvRow) -> tuple[Parallel, int]:
    """Return how a model is split, labels that count devices twice mended, and its groups."""
    tensor, data, inner, expert = (
        max(int(float(row.get(name) or 1)), 1)
        for name in ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
    )
    whole = tensor * data
    if whole == inner * expert and inner == expert > 1 and whole > NODE:
        tensor, data = (expert, 1) if data == 1 else (1, expert)
    return Parallel(tensor, data, min(expert, tensor * data)), data
