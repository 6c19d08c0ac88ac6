"""What each Hugging Face architecture makes of the keys of its config.

Sizes follow the model classes of transformers; where a published config leaves a key out because it
equals the default of its class, that default stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from perfmodel.workload.importers.huggingface_models import (
    convolutional,
    decoders,
    detection,
    encoders,
    experts,
    layer_norm_decoders,
    recurrent,
    speech,
    text_to_text,
    vision,
)
from perfmodel.workload.importers.huggingface_models.config import Config, Made

__all__ = ["ARCHITECTURES", "Config", "Made"]

#: ``model_type`` -> reader.
ARCHITECTURES: Mapping[str, Callable[[Config], Made]] = {
    "llama": decoders.llama, "mistral": decoders.llama, "qwen2": decoders.qwen2,
    "qwen2_vl": decoders.qwen2_vl, "qwen2_5_vl": decoders.qwen2_vl,
    "qwen3": decoders.qwen3, "gemma2": decoders.gemma2, "gemma3": decoders.gemma3,
    "gemma": decoders.gemma, "gemma3_text": decoders.gemma3, "phi3": decoders.phi3,
    "phi4_multimodal": decoders.phi4_multimodal, "phi4mm": decoders.phi4_multimodal,
    "bitnet": decoders.bitnet, "olmo": decoders.olmo, "olmo2": decoders.olmo2,
    "granite": decoders.granite, "smollm3": decoders.smollm3, "glm4": decoders.glm4,
    "glm": decoders.glm, "seed_oss": decoders.seed_oss, "arcee": decoders.arcee,
    "nemotron": decoders.nemotron, "exaone4": decoders.exaone4, "olmo3": decoders.olmo2,
    "ernie4_5": decoders.ernie45, "hunyuan_v1_dense": decoders.hunyuan,
    "ministral": decoders.ministral, "gemma3n": decoders.gemma3n, "gemma3n_text": decoders.gemma3n,
    "opt": layer_norm_decoders.opt, "gpt2": layer_norm_decoders.gpt2,
    "falcon": layer_norm_decoders.falcon, "phi": layer_norm_decoders.phi,
    "stablelm": layer_norm_decoders.stablelm, "gpt_neox": layer_norm_decoders.gpt_neox,
    "cohere": layer_norm_decoders.cohere, "starcoder2": layer_norm_decoders.starcoder2,
    "gptj": layer_norm_decoders.gptj, "bloom": layer_norm_decoders.bloom,
    "mpt": layer_norm_decoders.mpt,
    "qwen2_moe": experts.qwen2_moe, "qwen3_moe": experts.qwen3_moe, "mixtral": experts.mixtral,
    "deepseek_v2": experts.deepseek, "deepseek_v3": experts.deepseek, "gpt_oss": experts.gpt_oss,
    "phimoe": experts.phimoe, "olmoe": experts.olmoe, "granitemoe": experts.granitemoe,
    "smallthinker": experts.smallthinker, "glm4_moe": experts.glm4_moe,
    "llama4": experts.llama4, "llama4_text": experts.llama4,
    "bert": encoders.bert, "roberta": encoders.roberta, "xlm-roberta": encoders.roberta,
    "distilbert": encoders.distilbert, "modernbert": encoders.modernbert,
    "vit": vision.vit, "deit": vision.deit, "dinov2": vision.dinov2, "clip": vision.clip,
    "clip_text_model": vision.clip_text, "clip_vision_model": vision.clip_vision,
    "siglip": vision.siglip, "siglip2": vision.siglip, "siglip_text_model": vision.siglip_text,
    "siglip_vision_model": vision.siglip_vision, "siglip2_text_model": vision.siglip_text,
    "siglip2_vision_model": vision.siglip_vision, "owlvit": vision.owlvit, "owlv2": vision.owlvit,
    "resnet": convolutional.resnet, "convnext": convolutional.convnext,
    "swin": convolutional.swin, "segformer": convolutional.segformer,
    "detr": detection.detr, "conditional_detr": detection.detr, "deformable_detr": detection.detr,
    "rt_detr": detection.rt_detr, "rt_detr_v2": detection.rt_detr, "yolos": detection.yolos,
    "t5": text_to_text.t5, "bart": text_to_text.bart, "wav2vec2": speech.wav2vec2,
    "hubert": speech.wav2vec2,
    "whisper": speech.whisper, "moonshine": speech.moonshine,
    "mamba": recurrent.mamba, "falcon_mamba": recurrent.falcon_mamba,
    "mamba2": recurrent.mamba2, "rwkv": recurrent.rwkv4, "rwkv5": recurrent.rwkv5,
    "rwkv6": recurrent.rwkv5, "rwkv7": recurrent.rwkv7, "falcon_h1": recurrent.falcon_h1,
}  # fmt: skip
