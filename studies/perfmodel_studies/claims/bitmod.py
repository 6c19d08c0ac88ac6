"""BitMoD and its baselines: cycles and energies of prompts and tokens of six language models."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import perfmodel as pm
from perfmodel.formats import Precision, as_precision, format_named
from perfmodel.hardware import Semantics

from perfmodel_studies.tables import table

#: Models in the order of the published lists.
MODELS = ("opt_1_3b", "phi_2", "yi_6b", "llama_2_7b", "llama_2_13b", "llama_3_8b")
PROMPT, GENERATED = 256, 20


class Accelerator(NamedTuple):
    """Device, and the bits of weights by model for a prompt and for a token."""

    device: str
    prompt_bits: tuple[float, ...]
    token_bits: tuple[float, ...]


#: As the published test files have them (test_ant.py, test_olive.py, test_bitmod.py).
ACCELERATORS = {name: Accelerator(*row) for name, row in table("bitmod_accelerators").items()}


class Cost(NamedTuple):
    """Cycles and joules of the products of one step."""

    cycles: float
    total_j: float


def heads_joined(device: pm.Device) -> pm.Device:
    """Return a bit-serial device that lays the heads of attention out as one matrix."""
    engines = tuple(e.model_copy(update={"joined_heads": True}) for e in device.engines)
    return device.model_copy(update={"engines": engines})


def step(name: str, model: str, phase: str, *, joined: bool = False) -> Cost:
    """Return what the products of a prompt or of a token cost; elementwise work is not counted.

    Parameters
    ----------
    name
        Of `ACCELERATORS`.
    model
        Of `MODELS`.
    phase
        ``prefill`` or ``decode``.
    joined
        Heads of attention as one matrix, as in the simulator of the published figures; keys and
        values of BitMoD then in fp16, and in as many clocks as weights.
    """
    accelerator = ACCELERATORS[name]
    bits = (accelerator.prompt_bits if phase == "prefill" else accelerator.token_bits)[
        MODELS.index(model)
    ]
    device = pm.hardware(accelerator.device)
    as_simulated = pm.runtime("ideal").model_copy(
        update={"semantics": Semantics(causal_skips_masked=False, head_on_every_token=True)}
    )
    serial = accelerator.device == "bitmod"
    machine: pm.Machine = (heads_joined(device) if joined else device).machine(as_simulated)
    if joined and serial:
        machine = machine.vary({"engines.array.attention_bits": bits})
    sizes = {"prompt": PROMPT} if phase == "prefill" else {"context": PROMPT}
    cache_format = "int8" if serial and not joined else "fp16"
    prediction = pm.predict(
        pm.workload(model, phase=phase, batch=1, **sizes),
        machine,
        precision=_precision(bits, serial, cache_format),
        flash_attention=True,
    )
    table, facts = prediction.table, prediction.machine.facts
    kinds = np.array([str(kind) for kind in table["kind"]])
    count = np.asarray(table["count"], dtype=float) * np.isin(kinds, ("gemm", "attention"))

    def whole(column: str) -> float:
        return float(np.sum(count * np.asarray(table[column], dtype=float)))

    chip = sum(whole(name) for name in table.columns if name.endswith(" energy_j"))
    outside = whole("dram_bytes") * float(facts["memories.dram.energy_per_byte"])
    return Cost(whole("row_s") * float(facts["engines.array.clock"]), chip + outside)


def _precision(bits: float, serial: bool, cache_format: str) -> Precision:
    if serial:
        weights = format_named(f"bitmod{bits:g}")
    else:
        weights = format_named("fp16" if bits == 16.0 else "int8").with_bits(bits)
    return replace(as_precision(f"w=int8,a=fp16,kv={cache_format}"), weights=weights)


@cache
def costs(name: str, phase: str, joined: bool) -> tuple[Cost, ...]:
    """Return `step` of every model."""
    return tuple(step(name, model, phase, joined=joined) for model in MODELS)


def speedup(over: str, *, joined: bool) -> float:
    """Return cycles of a baseline over BitMoD's with losses: the mean of six prompts and six texts.

    A text is a prompt of 256 tokens and 20 more.
    """
    ratios: list[float] = []
    sides = [
        [costs(n, phase, joined and phase == "prefill") for phase in ("prefill", "decode")]
        for n in (over, "bitmod_lossy")
    ]
    for tokens in (0, GENERATED):
        of_base, of_bitmod = (
            [p.cycles + tokens * d.cycles for p, d in zip(*side, strict=True)] for side in sides
        )
        ratios += [a / b for a, b in zip(of_base, of_bitmod, strict=True)]
    return sum(ratios) / len(ratios)


def predicted() -> dict[str, float]:
    """Return claim -> number, units as in the file of claims."""
    out: dict[str, float] = {}
    for name in ACCELERATORS:
        for i, model in enumerate(MODELS):
            token, prompt = costs(name, "decode", False)[i], costs(name, "prefill", True)[i]
            out[f"{name}.{model}.token"] = token.cycles / 1e6
            out[f"{name}.{model}.prompt"] = prompt.cycles / 1e6
            if name.startswith("bitmod"):
                apart = costs(name, "prefill", False)[i]
                out[f"{name}.{model}.prompt_by_head"] = apart.cycles / 1e6
                out[f"{name}.{model}.token_mj"] = 1e3 * token.total_j
                out[f"{name}.{model}.prompt_mj"] = 1e3 * prompt.total_j
    for over in ("ant", "olive"):
        out[f"speedup.{over}"] = speedup(over, joined=True)
        out[f"speedup_by_head.{over}"] = speedup(over, joined=False)
    return out
