"""Mamba, ViT and Whisper against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.library import find
from perfmodel.workload.lower import lower
from perfmodel.workload.workload import Workload


def stored(workload: Workload) -> dict[str, float]:
    table = lower(workload.graph()).bind(workload.parameters)
    return {slot: float(np.sum(v)) for slot, v in table.stored.items()}


def mamba(settings: dict[str, Any]) -> Workload:
    return find("mamba_130m", settings)


def test_mamba_multiplies_its_projections_once_a_token() -> None:
    width, inner, rank, state, layers, vocabulary = 768, 1536, 48, 16, 24, 50280
    layer = width * 2 * inner + inner * 4 + inner * (rank + 2 * state) + rank * inner
    layer += inner * width
    decode = mamba({"batch": 3})
    assert decode.macs == 3 * (layers * layer + width * vocabulary)
    prefill = mamba({"phase": "prefill", "prompt": 10})
    assert prefill.macs == 10 * layers * layer + width * vocabulary
    every = prefill.graph(ExecutionSemantics(head_on_every_token=True)).macs
    assert prefill.number(every) == 10 * (layers * layer + width * vocabulary)


def test_mamba_keeps_a_state_that_no_context_changes() -> None:
    near, far = mamba({"context": 10}), mamba({"context": 100_000})
    assert near.macs == far.macs
    assert stored(near) == stored(far)
    assert stored(near)["state"] == 24 * 1536 * (16 + 4)
    assert stored(mamba({"batch": 5}))["state"] == 5 * 24 * 1536 * 20


def test_a_mamba_request_is_its_prefill_and_every_step() -> None:
    whole = mamba({"phase": "request", "prompt": 12, "generate": 5})
    parts = mamba({"phase": "prefill", "prompt": 12}).macs + 5 * mamba({}).macs
    assert whole.macs == parts
    assert whole.weights == 129_135_360
    assert whole.items() == 5


def test_vit_counts_patches_and_a_class_token() -> None:
    width, layers, ffn = 768, 12, 3072
    image = find("vit_b_16", {"batch": 2, "height": 160, "width": 96})
    tokens = 10 * 6 + 1
    layer = tokens * (4 * width**2 + 2 * width * ffn) + 2 * width * tokens**2
    patches = 60 * width * 3 * 16 * 16
    assert image.macs == 2 * (patches + layers * layer + width * 1000)
    assert image.items() == 2
    # Rows and columns that fill no patch are left out.
    assert find("vit_b_16", {"height": 239}).macs == find("vit_b_16").macs


def test_vit_fields_are_checked() -> None:
    with pytest.raises(InputError) as caught:
        find("vit_b_16", {"heads": 7, "patch": 500})
    assert {fault.path for fault in caught.value.faults} == {"heads", "patch"}


def whisper(settings: dict[str, Any]) -> Workload:
    return find("whisper_tiny", settings)


def test_whisper_encodes_thirty_seconds_as_1500_tokens() -> None:
    width, ffn = 384, 1536
    tokens = 1500
    conv = 3000 * width * 80 * 3 + tokens * width * width * 3
    layer = tokens * (4 * width**2 + 2 * width * ffn) + 2 * width * tokens**2
    assert whisper({"phase": "encode"}).macs == conv + 4 * layer
    # An odd number of frames rounds up.
    assert whisper({"phase": "encode", "frames": 2999}).graph().name == "whisper"
    odd = whisper({"phase": "encode", "frames": 2999}).macs
    assert odd == conv + 4 * layer - width * 80 * 3


def test_a_whisper_request_makes_the_audio_keys_once() -> None:
    prompt, generate, width = 4, 6, 384
    whole = whisper({"phase": "request", "prompt": prompt, "generate": generate})
    encoder = whisper({"phase": "encode"}).macs
    steps = sum(
        whisper({"phase": "decode", "context": prompt + i + 1}).macs for i in range(generate)
    )
    step = 4 * (4 * width**2 + 2 * width**2 + 2 * width * 1536 + 2 * width * 1500)
    prefill = prompt * step + 4 * 2 * width * prompt**2 + width * 51865
    audio = 4 * 2 * 1500 * width**2
    assert whole.macs == encoder + audio + prefill + steps
    cache = stored(whole)["kv"]
    assert cache == 4 * 2 * width * (1500 + prompt + generate)


def test_whisper_takes_arrays_of_audio() -> None:
    frames = np.array([500.0, 1000.0, 3000.0])
    many = whisper({"frames": frames}).macs
    for i, f in enumerate(frames):
        assert many[i] == pytest.approx(whisper({"frames": f}).macs, rel=1e-12)


@pytest.mark.parametrize(("name", "heads"), [("whisper_tiny", 5), ("vit_b_16", 5)])
def test_heads_divide_the_width(name: str, heads: int) -> None:
    with pytest.raises(InputError, match=r"does not divide by 5 heads; expected a divisor"):
        find(name, {"heads": heads})
