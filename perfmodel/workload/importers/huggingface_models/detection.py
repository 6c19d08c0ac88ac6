"""Detectors: DETR and its line, RT-DETR, YOLOS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from perfmodel.workload.importers.huggingface_models.config import Config, Made

#: Residual networks by the name that timm gives them.
_TIMM = {
    "resnet18": ("basic", [2, 2, 2, 2]), "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]), "resnet101": ("bottleneck", [3, 4, 23, 3]),
}  # fmt: skip


def _labels(c: Config, default: int) -> int:
    labels = c.data.get("id2label")
    stated = len(cast("Mapping[str, Any]", labels)) if isinstance(labels, Mapping) else default
    return c.size("num_labels", stated)


def _residual(c: Config) -> dict[str, Any]:
    """Return the fields of the residual network that maps come from."""
    inner = c.section("backbone_config")
    if inner is c:
        name = c.choice("backbone", list(_TIMM), "resnet50")
        block, depths = _TIMM[name]
        return {"block": block, "depths": depths}
    found = inner.choice("model_type", ["resnet", "rt_detr_resnet", "timm_backbone"], "resnet")
    if found == "timm_backbone":
        block, depths = _TIMM[inner.choice("backbone", list(_TIMM), "resnet50")]
        return {"block": block, "depths": depths}
    block = inner.choice("layer_type", ["basic", "bottleneck"], "bottleneck")
    depths = inner.sizes("depths") or [3, 4, 6, 3]
    if len(depths) != 4:
        inner.refuse("depths", f"{len(depths)} stages", "4 stages")
    widths = inner.sizes("hidden_sizes")
    usual = [w * (4 if block == "bottleneck" else 1) for w in (64, 128, 256, 512)]
    if widths is not None and widths != usual:
        inner.refuse("hidden_sizes", "unusual widths of the stages", str(usual))
    if inner.size("embedding_size", 64) != 64:
        inner.refuse("embedding_size", "an unusual width of the stem", "64")
    for key in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        if inner.flag(key, False):
            inner.refuse(key, "an unusual place of the stride", "false")
    return {"block": block, "depths": depths}


def _heads(c: Config) -> int:
    heads = c.size("encoder_attention_heads", 8, field="heads")
    if c.size("decoder_attention_heads", heads) != heads:
        c.refuse("decoder_attention_heads", "differs from 'encoder_attention_heads'", str(heads))
    return heads


def detr(c: Config) -> Made:
    """DETR, Conditional DETR and Deformable DETR over a residual network."""
    kind = {"conditional_detr": "conditional", "deformable_detr": "deformable"}.get(
        str(c.data.get("model_type")), "plain"
    )
    if c.flag("dilation", False):
        c.refuse("dilation", "a dilated last stage", "false")
    c.choice("activation_function", ["relu"], "relu")
    hidden = 1024 if kind == "deformable" else 2048
    queries = 100 if kind == "plain" else 300
    made: dict[str, Any] = _residual(c) | {
        "decoder": kind, "image_channels": c.size("num_channels", 3),
        "encoder_layers": c.size("encoder_layers", 6, field="encoder_layers"),
        "decoder_layers": c.size("decoder_layers", 6, field="decoder_layers", least=2),
        "width": c.size("d_model", 256, field="width"), "heads": _heads(c),
        "encoder_ffn_width": c.size("encoder_ffn_dim", hidden, field="encoder_ffn_width"),
        "ffn_width": c.size("decoder_ffn_dim", hidden, field="ffn_width"),
        "queries": c.size("num_queries", queries, field="queries"),
        # DETR alone scores that there is no object.
        "classes": _labels(c, 91) + (kind == "plain"),
    }  # fmt: skip
    if kind == "deformable":
        for key in ("two_stage", "with_box_refine"):
            if c.flag(key, False):
                c.refuse(key, "queries from tokens and boxes refined layer by layer", "false")
        made |= {
            "levels": c.size("num_feature_levels", 4, field="levels", least=3),
            "encoder_points": c.size("encoder_n_points", 4, field="encoder_points"),
            "points": c.size("decoder_n_points", 4, field="points"),
        }
    return "detr", made


def rt_detr(c: Config) -> Made:
    """RT-DETR and RT-DETRv2; the table that denoises boxes in training is left out."""
    if c.data.get("encode_proj_layers") not in (None, [2]):
        c.refuse("encode_proj_layers", "attention over other maps than the smallest", "[2]")
    if c.size("num_feature_levels", 3) != 3:
        c.refuse("num_feature_levels", "more maps than the pyramid has", "3")
    if c.flag("learn_initial_query", False):
        c.refuse("learn_initial_query", "learned queries", "false")
    if c.flag("normalize_before", False):
        c.refuse("normalize_before", "norms before the blocks", "false")
    for key, function in (("activation_function", "silu"), ("encoder_activation_function", "gelu"),
                          ("decoder_activation_function", "relu")):  # fmt: skip
        c.choice(key, [function], function)
    if str(c.data.get("model_type")) == "rt_detr_v2":
        c.choice("decoder_method", ["default"], "default")
    width = c.size("encoder_hidden_dim", 256, field="width")
    if c.size("d_model", width) != width:
        c.refuse("d_model", "differs from 'encoder_hidden_dim'", str(width))
    expansion = c.share("hidden_expansion", 1.0)
    return "rt_detr", _residual(c) | {
        "width": width, "heads": _heads(c), "encoder_layers": c.size("encoder_layers", 1),
        "encoder_ffn_width": c.size("encoder_ffn_dim", 1024, field="encoder_ffn_width"),
        "block_width": max(1, int(width * expansion)),
        "decoder_layers": c.size("decoder_layers", 6, field="decoder_layers"),
        "ffn_width": c.size("decoder_ffn_dim", 1024, field="ffn_width"),
        "points": c.size("decoder_n_points", 4, field="points"),
        "queries": c.size("num_queries", 300, field="queries"), "classes": _labels(c, 80),
    }  # fmt: skip


def yolos(c: Config) -> Made:
    """YOLOS."""
    c.choice("hidden_act", ["gelu"], "gelu")
    size = c.sizes("image_size") or [512, 864]
    if len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
        c.refuse("image_size", "is not a height and a width", "two whole numbers")
        size = [512, 864]
    return "yolos", {
        "layers": c.size("num_hidden_layers", 12, field="layers"),
        "width": c.size("hidden_size", 768, field="width"),
        "heads": c.size("num_attention_heads", 12, field="heads"),
        "ffn_width": c.size("intermediate_size", 3072, field="ffn_width"),
        "patch": c.size("patch_size", 16, field="patch"), "image_height": size[0],
        "image_width": size[1], "image_channels": c.size("num_channels", 3),
        "objects": c.size("num_detection_tokens", 100), "classes": _labels(c, 91) + 1,
        "middle_positions": c.flag("use_mid_position_embeddings", True),
        "qkv_bias": c.flag("qkv_bias", True),
    }  # fmt: skip
