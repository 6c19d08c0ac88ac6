"""``perfmodel serve``."""

from __future__ import annotations

from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.common import Whole, print_json, say
from perfmodel.prediction.rows import spread_lines
from perfmodel.system.serving import Served
from perfmodel.system.serving import serve as run
from perfmodel.units import show


def serve(
    model: str,
    device: str,
    /,
    *,
    precision: str | None = None,
    runtime: str | None = None,
    prompt: Whole = 1024,
    generate: Whole = 1024,
    concurrency: Whole = 1,
    tensor: Whole = 1,
    data: Whole = 1,
    expert: Whole = 1,
    wide: bool = False,
    json: bool = False,
) -> int:
    """Predict time to first token and time per output token of a server under a closed load.

    Clients for whose requests memory has no place in the running batch wait; the wait is in TTFT.

    Parameters
    ----------
    model
        A transformer of the library.
    device
        One device of the server.
    precision
        Formats of weights, activations and KV cache.
    runtime
        Engine, such as vllm, tensorrt_llm or sglang; the device's where left out.
    prompt
        Tokens in.
    generate
        Tokens out.
    concurrency
        Clients, each with one request at a time.
    tensor
        Devices over which heads, hidden features and the vocabulary are split.
    data
        Groups of such devices, each with requests of its own.
    expert
        Devices over which experts are dealt out.
    wide
        Attention, embedding and classifier stay in bf16.
    json
        Print JSON.
    """
    found = run(
        model, device, runtime=runtime, precision=precision, prompt=prompt, generate=generate,
        concurrency=concurrency, tensor=tensor, data=data, expert=expert, wide=wide,
    )  # fmt: skip
    if json:
        print_json(found.to_dict())
    else:
        for line in _lines(found):
            say(line)
    return DONE if found.feasible else INFEASIBLE


def _lines(found: Served) -> list[str]:
    *first, basis = spread_lines(found, "ttft_s")
    rows = [
        ("TTFT", show(found.ttft_s, "time")), *first,
        *((f"  {name}", show(seconds, "time")) for name, seconds in found.ttft_parts.items()),
        ("TPOT", show(found.tpot_s, "time")), *spread_lines(found, "tpot_s")[:-1],
        *((f"  {name}", show(seconds, "time")) for name, seconds in found.parts.items()),
        ("tokens/s", f"{found.tokens_per_s:.4g}"), ("running", f"{found.running:.4g}"),
        (basis[0].strip(), basis[1]),
    ]  # fmt: skip
    head = f"{found.decode.workload.name} on {found.decode.device}, {found.decode.precision}, "
    told = found.decode if not found.decode.feasible else found.prefill
    return [
        head + f"runtime {found.decode.runtime}",
        *(f"  {name:<13} {value}" for name, value in rows),
        *(f"  does not fit: {violation}" for violation in told.violations),
        *(f"  note: {note}" for note in found.notes),
    ]
