"""Encoders of images, and towers of images and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from perfmodel.workload.importers.huggingface_models.config import Config, Made


def vit(c: Config) -> Made:
    """ViT: a classifier, or the bare model with its pooler."""
    architectures = c.sizes("architectures") or []
    classifier = "ViTForImageClassification" in architectures
    labels = c.data.get("id2label")
    classes = len(cast("Mapping[str, Any]", labels)) if isinstance(labels, Mapping) else 2
    c.activation("hidden_act", default="gelu")
    return "vit", {
        "layers": c.size("num_hidden_layers", field="layers"),
        "width": c.size("hidden_size", field="width"),
        "heads": c.size("num_attention_heads", field="heads"),
        "ffn_width": c.size("intermediate_size", field="ffn_width"),
        "patch": c.size("patch_size", 16, field="patch"),
        "image_size": c.size("image_size", 224, field="image_size"),
        "image_channels": c.size("num_channels", 3), "qkv_bias": c.flag("qkv_bias", True),
        "classes": c.size("num_labels", classes) if classifier else 0, "pooler": not classifier,
    }  # fmt: skip


def _classes(c: Config, classifier: str) -> int:
    """Return the outputs of the classifier that the config names, or 0."""
    if classifier not in (c.sizes("architectures") or []):
        return 0
    labels = c.data.get("id2label")
    stated = len(cast("Mapping[str, Any]", labels)) if isinstance(labels, Mapping) else 2
    return c.size("num_labels", stated)


def _vit_sizes(c: Config) -> dict[str, Any]:
    c.activation("hidden_act", default="gelu")
    return {
        "layers": c.size("num_hidden_layers", 12, field="layers"),
        "width": c.size("hidden_size", 768, field="width"),
        "heads": c.size("num_attention_heads", 12, field="heads"),
        "patch": c.size("patch_size", 16, field="patch"),
        "image_size": c.size("image_size", 224, field="image_size"),
        "image_channels": c.size("num_channels", 3),
    }


def deit(c: Config) -> Made:
    """DeiT: a distillation token beside the class token; the bare model has a pooler."""
    classes = _classes(c, "DeiTForImageClassification")
    if "DeiTForImageClassificationWithTeacher" in (c.sizes("architectures") or []):
        c.refuse("architectures", "two classifiers", "DeiTForImageClassification or DeiTModel")
    return "vit", _vit_sizes(c) | {
        "ffn_width": c.size("intermediate_size", 3072, field="ffn_width"), "extra_tokens": 1,
        "qkv_bias": c.flag("qkv_bias", True), "classes": classes, "pooler": not classes,
    }  # fmt: skip


def dinov2(c: Config) -> Made:
    """DINOv2: scaled blocks; the token that masks patches in training is left out."""
    if c.flag("use_swiglu_ffn", False):
        c.refuse("use_swiglu_ffn", "a gated feed-forward network", "false")
    if "Dinov2ForImageClassification" in (c.sizes("architectures") or []):
        c.notes.append("the classifier is left out")
    made = _vit_sizes(c)
    return "vit", made | {
        "ffn_width": made["width"] * c.size("mlp_ratio", 4), "layer_scale": True,
        "qkv_bias": c.flag("qkv_bias", True), "classes": 0,
    }  # fmt: skip


def _clip_image(c: Config, projection: int, *, pooling: str = "token") -> dict[str, Any]:
    """Return the fields of CLIP's tower for images; defaults are those of its class."""
    c.activation("hidden_act", default="gelu")
    return {
        "layers": c.size("num_hidden_layers", 12, field="image.layers"),
        "width": c.size("hidden_size", 768, field="image.width"),
        "heads": c.size("num_attention_heads", 12, field="image.heads"),
        "ffn_width": c.size("intermediate_size", 3072, field="image.ffn_width"),
        "patch": c.size("patch_size", 32, field="image.patch"),
        "image_size": c.size("image_size", 224, field="image.image_size"),
        "image_channels": c.size("num_channels", 3), "classes": 0, "projection": projection,
        "patch_bias": False, "token_norm": True, "pooling": pooling,
    }  # fmt: skip


def _clip_text(c: Config, projection: int, positions: int = 77) -> dict[str, Any]:
    c.activation("hidden_act", default="gelu")
    return {
        "layers": c.size("num_hidden_layers", 12, field="text.layers"),
        "width": c.size("hidden_size", 512, field="text.width"),
        "heads": c.size("num_attention_heads", 8, field="text.heads"),
        "ffn_width": c.size("intermediate_size", 2048, field="text.ffn_width"),
        "positions": c.size("max_position_embeddings", positions),
        "vocabulary": c.size("vocab_size", 49_408),
        "projection": projection,
    }


def clip(c: Config) -> Made:
    """CLIP: both towers."""
    projection = c.size("projection_dim", 512)
    return "clip", {
        "image": _clip_image(_part(c, "vision_config"), projection),
        "text": _clip_text(_part(c, "text_config"), projection),
    }


def clip_text(c: Config) -> Made:
    """CLIP's tower for texts, with its projection where the config names that class."""
    named = "CLIPTextModelWithProjection" in (c.sizes("architectures") or [])
    inner = _part(c, "text_config")
    projection = inner.size("projection_dim", 512) if named else 0
    return "clip", {"towers": "text", "text": _clip_text(inner, projection), "scales": 0}


def clip_vision(c: Config) -> Made:
    """CLIP's tower for images, with its projection where the config names that class."""
    named = "CLIPVisionModelWithProjection" in (c.sizes("architectures") or [])
    inner = _part(c, "vision_config")
    return "vit", _clip_image(inner, inner.size("projection_dim", 512) if named else 0)


def owlvit(c: Config) -> Made:
    """OWL-ViT and OWLv2 as detectors: boxes and scores of every patch."""
    kind = "owlvit" if c.data.get("model_type") == "owlvit" else "owlv2"
    text = _part(c, "text_config")
    projection = c.size("projection_dim", 512)
    if projection != text.size("hidden_size", 512):
        c.refuse("projection_dim", "texts of another width than the scores of patches",
                 str(text.size("hidden_size", 512)))  # fmt: skip
    image = _part(c, "vision_config")
    made = _clip_image(image, 0, pooling="patches")
    made["image_size"] = image.size("image_size", 768, field="image.image_size")
    c.notes.append("the projection of whole images, which detection does not read, is left out")
    return "clip", {
        "image": made, "text": _clip_text(text, projection, 16), "scales": 0, "detector": kind,
    }  # fmt: skip


def _part(c: Config, key: str) -> Config:
    """Return the config of a tower, empty where it is left out of one of two towers."""
    inner = c.section(key)
    if inner is c and c.data.get("model_type") in ("clip", "siglip", "siglip2", "owlvit", "owlv2"):
        c.data = {**c.data, key: {}}
        inner = c.section(key)
    return inner


def _siglip_image(c: Config) -> dict[str, Any]:
    flexible = str(c.data.get("model_type", "")).startswith("siglip2") and "num_patches" in c.data
    made = {
        "layers": c.size("num_hidden_layers", 12, field="image.layers"),
        "width": c.size("hidden_size", 768, field="image.width"),
        "heads": c.size("num_attention_heads", 12, field="image.heads"),
        "ffn_width": c.size("intermediate_size", 3072, field="image.ffn_width"),
        "patch": c.size("patch_size", 16, field="image.patch"),
        "image_size": c.size("image_size", 224, field="image.image_size"),
        "image_channels": c.size("num_channels", 3), "classes": 0, "pooling": "attention",
    }  # fmt: skip
    c.activation("hidden_act", default="gelu_tanh")
    if flexible:
        side = int(c.size("num_patches", 256) ** 0.5)
        if side * side != c.size("num_patches", 256):
            c.refuse("num_patches", "the table of positions is not square", str(side * side))
        made["image_size"] = side * made["patch"]
    if not c.flag("vision_use_head", True):
        c.refuse("vision_use_head", "patches without pooling", "true")
    return made


def _siglip_text(c: Config) -> dict[str, Any]:
    c.activation("hidden_act", default="gelu_tanh")
    width = c.size("hidden_size", 768, field="text.width")
    return {
        "layers": c.size("num_hidden_layers", 12, field="text.layers"), "width": width,
        "heads": c.size("num_attention_heads", 12, field="text.heads"),
        "ffn_width": c.size("intermediate_size", 3072, field="text.ffn_width"),
        "positions": c.size("max_position_embeddings", 64),
        "vocabulary": c.size("vocab_size", 32_000), "causal": False,
        "projection": c.size("projection_size", width), "projection_bias": True,
    }  # fmt: skip


def siglip(c: Config) -> Made:
    """SigLIP and SigLIP 2: both towers; images of any size by height and width."""
    return "clip", {
        "image": _siglip_image(_part(c, "vision_config")),
        "text": _siglip_text(_part(c, "text_config")), "scales": 2,
    }  # fmt: skip


def siglip_text(c: Config) -> Made:
    """SigLIP's tower for texts."""
    made = _siglip_text(_part(c, "text_config"))
    return "clip", {"towers": "text", "text": made, "scales": 0}


def siglip_vision(c: Config) -> Made:
    """SigLIP's tower for images."""
    return "vit", _siglip_image(_part(c, "vision_config"))
