"""Networks whose state has a fixed size."""

from __future__ import annotations

from perfmodel.workload.importers.huggingface_models.config import Config, Made


def mamba(c: Config) -> Made:
    """Mamba."""
    width = c.size("hidden_size", field="width")
    inner = c.size("intermediate_size", width * c.size("expand", 2), field="inner")
    rank = (
        0 if c.data.get("time_step_rank") == "auto" else c.size("time_step_rank", 0, field="rank")
    )
    return "mamba", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width, "inner": inner,
        "state": c.size("state_size", 16), "kernel": c.size("conv_kernel", 4), "rank": rank,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
        "conv_bias": c.flag("use_conv_bias", True), "bias": c.flag("use_bias", False),
    }  # fmt: skip
