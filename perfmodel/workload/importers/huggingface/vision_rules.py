"""Rules of image networks and detectors: classes, stages, backbones, image sizes.

`declarations` calls the functions that the section ``rules`` of an architecture names, after its
plain fields have been read. Each function receives the config, the fields so far and the arguments
in the declaration; it adds fields, and records notes and faults. Rules and defaults are those of
the configuration and model classes in huggingface/transformers, src/transformers/models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from perfmodel.specfile import shipped
from perfmodel.workload.importers.huggingface.config import Config, Fields

#: Residual networks by their name in timm: block and depths of the stages.
_TIMM: Final[Mapping[str, Any]] = shipped("workloads", "stored/published.yaml")["residual_networks"]


def add_classes(config: Config, fields: Fields, default: int = 2, more: int = 0) -> None:
    """Add the number of classes: labels (or `default`), plus `more` classes without a label."""
    named = config.data.get("id2label")
    stated = len(cast("Mapping[str, Any]", named)) if isinstance(named, Mapping) else default
    fields["classes"] = config.size("num_labels", stated) + more


def add_classifier(config: Config, fields: Fields, name: str, bare: str = "") -> None:
    """Add a classifier if the config names its class `name`, else a pooler.

    Parameters
    ----------
    bare
        Class without a classifier; if stated, a variant with two classifiers is refused.
    """
    fields["classes"] = 0
    if name in config.classes:
        add_classes(config, fields)
    fields["pooler"] = name not in config.classes
    if bare and f"{name}WithTeacher" in config.classes:
        config.refuse("architectures", "two classifiers", f"{name} or {bare}")


def add_projection(config: Config, fields: Fields, name: str, tower: str = "") -> None:
    """Add the width of a tower's projection if the config names the class that has one, else 0."""
    width = (
        config.section(f"{tower}_config").size("projection_dim", 512)
        if name in config.classes
        else 0
    )
    fields[f"{tower}.projection" if tower else "projection"] = width


def add_flexible_image_size(config: Config, fields: Fields) -> None:
    """Add the image size of SigLIP 2, ``sqrt(num_patches) * patch``."""
    if (
        str(config.data.get("model_type", "")).startswith("siglip2")
        and "num_patches" in config.data
    ):
        count = config.size("num_patches", 256)
        side = int(count**0.5)
        if side * side != count:
            config.refuse("num_patches", "the table of positions is not square", str(side * side))
        fields["image_size"] = side * fields["patch"]


def add_stages(config: Config, fields: Fields, **sizes: list[Any]) -> None:
    """Add the sizes of four stages: field -> (key, default of the class)."""
    for field, (key, usual) in sizes.items():
        entries = config.sizes(key)
        if entries is not None and (
            len(entries) != 4 or any(type(n) is not int or n < 1 for n in entries)
        ):
            config.refuse(key, "is not a size of each of four stages", f"such as {usual}")
            entries = None
        fields[field] = usual if entries is None else entries


def add_residual_block(
    config: Config, fields: Fields, message: str = "is another than that of the family"
) -> None:
    """Add the block type of a residual network, and check its widths and strides.

    The widths must be ``64, 128, 256, 512``, four times that with bottleneck blocks.
    """
    block = config.choice("layer_type", ["basic", "bottleneck"], "bottleneck")
    widths = config.data.get("hidden_sizes")
    usual = [w * (4 if block == "bottleneck" else 1) for w in (64, 128, 256, 512)]
    if widths is not None and widths != usual:
        config.refuse("hidden_sizes", message, str(usual))
    if config.size("embedding_size", 64) != 64:
        config.refuse("embedding_size", "an unusual width of the stem", "64")
    for key in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        if config.flag(key, False):
            config.refuse(key, "an unusual place of the stride", "false")
    fields["block"] = block


def add_backbone(config: Config, fields: Fields) -> None:
    """Add the residual backbone of a detector, by its name in timm or by its own section."""
    backbone = config.section("backbone_config")
    is_named_in_timm = (
        backbone is config
        or backbone.choice("model_type", ["resnet", "rt_detr_resnet", "timm_backbone"], "resnet")
        == "timm_backbone"
    )
    if is_named_in_timm:
        fields["block"], fields["depths"] = _TIMM[
            backbone.choice("backbone", list(_TIMM), "resnet50")
        ]
        return
    fields["depths"] = backbone.sizes("depths") or [3, 4, 6, 3]
    if len(fields["depths"]) != 4:
        backbone.refuse("depths", f"{len(fields['depths'])} stages", "4 stages")
    add_residual_block(backbone, fields, "unusual widths of the stages")


def add_block_width(config: Config, fields: Fields) -> None:
    """Add the width of RT-DETR's blocks, ``floor(width * hidden_expansion)``."""
    fields["block_width"] = max(1, int(fields["width"] * config.share("hidden_expansion", 1.0)))


def add_image_size(config: Config, fields: Fields) -> None:
    """Add the height and width of an image."""
    size = config.sizes("image_size") or [512, 864]
    if len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
        config.refuse("image_size", "is not a height and a width", "two whole numbers")
        size = [512, 864]
    fields["image_height"], fields["image_width"] = size
