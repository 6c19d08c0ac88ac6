"""Image networks of convolutions and windows: ResNet, ConvNeXt, Swin, SegFormer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from perfmodel.workload.importers.huggingface_models.config import Config, Made


def _labels(c: Config) -> int:
    """Return the outputs of the classifier; the classes of transformers have two by default."""
    labels = c.data.get("id2label")
    stated = len(cast("Mapping[str, Any]", labels)) if isinstance(labels, Mapping) else 2
    return c.size("num_labels", stated)


def _stages(c: Config, key: str, usual: list[int]) -> list[int]:
    """Return a size of each of four stages."""
    found = c.sizes(key)
    if found is None:
        return usual
    if len(found) != 4 or any(type(n) is not int or n < 1 for n in found):
        c.refuse(key, "is not a size of each of four stages", f"such as {usual}")
        return usual
    return cast("list[int]", found)


def _same(c: Config, key: str, only: list[Any]) -> None:
    """Refuse another value than the one that the family has."""
    found = c.data.get(key)
    if found is not None and found != only:
        c.refuse(key, "is another than that of the family", str(only))


def _built_as(c: Config, name: str) -> None:
    """Note the class that is built where the config names another one."""
    found = c.sizes("architectures")
    if found and name not in found:
        c.notes.append(f"built as {name}, not as {found[0]}")


def resnet(c: Config) -> Made:
    """ResNet with its classifier."""
    _built_as(c, "ResNetForImageClassification")
    block = c.choice("layer_type", ["basic", "bottleneck"], "bottleneck")
    c.choice("hidden_act", ["relu"], "relu")
    widths = [w * (4 if block == "bottleneck" else 1) for w in (64, 128, 256, 512)]
    _same(c, "hidden_sizes", widths)
    if c.size("embedding_size", 64) != 64:
        c.refuse("embedding_size", "an unusual width of the stem", "64")
    for key in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        if c.flag(key, False):
            c.refuse(key, "an unusual place of the stride", "false")
    return "resnet", {
        "block": block, "depths": _stages(c, "depths", [3, 4, 6, 3]), "classes": _labels(c),
        "image_channels": c.size("num_channels", 3),
    }  # fmt: skip


def convnext(c: Config) -> Made:
    """ConvNeXt with its classifier."""
    _built_as(c, "ConvNextForImageClassification")
    if c.size("patch_size", 4) != 4:
        c.refuse("patch_size", "an unusual stem", "4")
    c.choice("hidden_act", ["gelu"], "gelu")
    return "convnext", {
        "depths": _stages(c, "depths", [3, 3, 9, 3]), "classes": _labels(c),
        "widths": _stages(c, "hidden_sizes", [96, 192, 384, 768]),
        "image_channels": c.size("num_channels", 3),
    }  # fmt: skip


def swin(c: Config) -> Made:
    """Swin with its classifier."""
    _built_as(c, "SwinForImageClassification")
    c.choice("hidden_act", ["gelu"], "gelu")
    if c.flag("use_absolute_embeddings", False):
        c.refuse("use_absolute_embeddings", "a table of positions", "false")
    if not c.flag("qkv_bias", True):
        c.refuse("qkv_bias", "queries, keys and values without biases", "true")
    if c.data.get("mlp_ratio", 4) != 4:
        c.refuse("mlp_ratio", "another width of the feed-forward network", "4.0")
    return "swin", {
        "depths": _stages(c, "depths", [2, 2, 6, 2]), "classes": _labels(c),
        "heads": _stages(c, "num_heads", [3, 6, 12, 24]), "channels": c.size("embed_dim", 96),
        "patch": c.size("patch_size", 4), "window": c.size("window_size", 7),
        "image_channels": c.size("num_channels", 3),
    }  # fmt: skip


def segformer(c: Config) -> Made:
    """SegFormer with its head for segmentation."""
    _built_as(c, "SegformerForSemanticSegmentation")
    c.choice("hidden_act", ["gelu"], "gelu")
    _same(c, "patch_sizes", [7, 3, 3, 3])
    _same(c, "strides", [4, 2, 2, 2])
    _same(c, "mlp_ratios", [4, 4, 4, 4])
    if c.size("num_encoder_blocks", 4) != 4:
        c.refuse("num_encoder_blocks", "another number of stages", "4")
    return "segformer", {
        "widths": _stages(c, "hidden_sizes", [32, 64, 160, 256]),
        "depths": _stages(c, "depths", [2, 2, 2, 2]),
        "heads": _stages(c, "num_attention_heads", [1, 2, 5, 8]),
        "reductions": _stages(c, "sr_ratios", [8, 4, 2, 1]),
        "head": c.size("decoder_hidden_size", 256), "classes": _labels(c),
        "image_channels": c.size("num_channels", 3),
    }  # fmt: skip
