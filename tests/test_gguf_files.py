"""Bytes of weights by the graph against the sizes of published GGUF files."""

from __future__ import annotations

import pytest

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find

#: Model, file type, bytes of the file in GB, and what it holds beside tensors (a vocabulary).
#: Sizes as Hugging Face lists them (bartowski, TheBloke, ggml-org) and as llama-bench prints them.
FILES = (
    ("llama_2_7b", "q4_0", 3.826),
    ("llama_2_7b", "q3_k_m", 3.298),
    ("llama_2_7b", "q4_k_m", 4.081),
    ("llama_2_7b", "q5_k_m", 4.783),
    ("llama_2_7b", "q8_0", 7.161),
    ("llama_3_8b", "q2_k", 3.179),
    ("llama_3_8b", "q3_k_m", 4.019),
    ("llama_3_8b", "q4_k_s", 4.693),
    ("llama_3_8b", "q4_k_m", 4.92),
    ("llama_3_8b", "q5_k_m", 5.733),
    ("llama_3_8b", "q6_k", 6.596),
    ("llama_3_8b", "q8_0", 8.541),
    ("llama_3_70b", "q4_k_m", 42.52),
    ("llama_3_2_3b", "q4_k_m", 2.019),
    ("llama_3_2_3b", "q8_0", 3.422),
    ("qwen_2_5_14b", "q4_k_m", 8.988),
    ("qwen_2_5_7b", "q8_0", 8.099),
    ("gpt_oss_20b", "mxfp4_moe", 11.27 * 1.073741824),
    ("qwen3_30b_a3b", "q8_0", 30.25 * 1.073741824),
)


def token(model: str, quant: str) -> Prediction:
    work = find(model, {"phase": "decode", "batch": 1, "context": 64})
    return predict(work, hardware("raspberry_pi_5"), precision=quant)


@pytest.mark.parametrize(("model", "quant", "gigabytes"), FILES)
def test_weights_are_those_of_the_file(model: str, quant: str, gigabytes: float) -> None:
    size = token(model, quant).weight_bytes / 1e9
    assert size == pytest.approx(gigabytes, rel=0.01)
    # A file holds its vocabulary too: it is never smaller.
    assert size <= gigabytes * 1.001


@pytest.mark.data
def test_rows_of_896_fall_back_as_the_measured_files_do() -> None:
    """Files of Qwen2.5-0.5B on the Raspberry Pi 5: 6 MB of vocabulary beside the tensors."""
    for quant, gigabytes in (("q2_k", 0.339), ("q4_k_m", 0.398), ("q8_0", 0.531)):
        size = token("qwen_2_5_0_5b", quant).weight_bytes / 1e9
        assert 0.004 <= gigabytes - size <= 0.008
