"""What each Hugging Face architecture makes of the keys of its config.

Sizes follow the model classes of transformers; where a published config leaves a key out because it
equals the default of its class, that default stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from perfmodel.workload.importers.huggingface_models import (
    decoders,
    encoders,
    experts,
    recurrent,
)
from perfmodel.workload.importers.huggingface_models.config import Config, Made

__all__ = ["ARCHITECTURES", "Config", "Made"]

#: ``model_type`` -> reader.
ARCHITECTURES: Mapping[str, Callable[[Config], Made]] = {
    "llama": decoders.llama, "mistral": decoders.llama, "qwen2": decoders.qwen2,
    "qwen3": decoders.qwen3, "gemma2": decoders.gemma2, "gemma3": decoders.gemma3,
    "gemma3_text": decoders.gemma3, "phi3": decoders.phi3, "opt": decoders.opt,
    "gpt2": decoders.gpt2,
    "qwen2_moe": experts.qwen2_moe, "qwen3_moe": experts.qwen3_moe, "mixtral": experts.mixtral,
    "deepseek_v2": experts.deepseek, "deepseek_v3": experts.deepseek, "gpt_oss": experts.gpt_oss,
    "bert": encoders.bert, "vit": encoders.vit, "whisper": encoders.whisper,
    "mamba": recurrent.mamba,
}  # fmt: skip
