"""Oracles beside `predict`, member by member; shared with `benchmarks/oracle_equality.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import perfmodel as pm
from perfmodel.prediction.resource_usage import DESIGN_METRICS
from perfmodel.search.oracle.metric_reader import METRICS

ARCHITECTURES = ("nas_bench_201", "fbnet", "ofa_mobilenet_v3", "mcunet")

#: Device -> what it has that others have not.
DEVICES: Mapping[str, str] = {
    "zen4_core": "roofline, three caches",
    "raspberry_pi_5": "roofline, two caches, a shared L3",
    "a100": "roofline, GPU",
    "rtx_4090": "roofline, GPU with a large L2",
    "jetson_agx_orin": "roofline, GPU of an SoC",
    "stm32h743": "roofline, microcontroller, weights in flash",
    "edge_tpu": "npu, weights in a scratchpad",
    "stm32n6": "npu, weights streamed from flash",
    "scale_sim_32x32": "systolic, a buffer an operand",
    "gemmini_16x16": "systolic, scratchpad",
    "tpu_v1": "systolic, activations kept in a share of the buffer",
    "eyeriss": "spatial, row stationary",
    "eyeriss_256": "spatial, 256 PEs",
    "bit_fusion_apq": "bit fusion",
    "bitmod": "bit-serial array",
    "tellme": "look-up tables in fabric",
    "cambricon_llm_s": "NAND, engine in flash",
    "aif_ssd": "NAND",
    "ufs_4_phone": "UFS",
    "nvme_host": "NVMe",
}


@dataclass(frozen=True)
class Configured:
    """A network and what is decided of it; ``{main}`` stands for the device's last memory."""

    network: str
    choices: Mapping[str, Any]
    share: str = "layer"
    precision: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def space(self, device: Any) -> Any:
        main = device.memories[-1]
        rates = device.machine(None).facts
        choices = {
            word.replace("{main}", main.name): (
                [rates[word.replace("{main}", main.name)] * factor for factor in options]
                if "bandwidth" in word
                else options
            )
            for word, options in self.choices.items()
        }
        workload = pm.workload(self.network, **self.parameters)
        return pm.space(workload, choices, share=self.share, precision=self.precision)


CONFIGURATIONS: Mapping[str, Configured] = {
    "resnet8 bits, sparsity": Configured(
        "mlperf_tiny_ic", {"weight_bits": [2, 4, 8], "sparsity": [0, 0.5]}, precision="w8a8"
    ),
    "resnet8 weights, activations": Configured(
        "mlperf_tiny_ic", {"weight_bits": [4, 8], "activation_bits": [4, 8, 16]}, precision="w8a8"
    ),
    "tiny_cnn channels, bits, batch": Configured(
        "tiny_cnn",
        {
            "channels": [0.25, 0.5, 1],
            "weight_bits": [4, 8],
            "activation_bits": [8, 16],
            "batch": [1, 4],
        },
        precision="w8a8",
    ),
    "tiny_cnn channels, batch": Configured(
        "tiny_cnn",
        {"channels": [0.25, 0.5, 1], "weight_bits": [4, 8], "batch": [1, 4]},
        precision="w8a8",
    ),
    "kws facts, precision": Configured(
        "mlperf_tiny_kws",
        {
            "weight_bits": [4, 8],
            "memories.{main}.bandwidth": [0.5, 1.0],
            "precision": ["w8a8", "w16a16"],
        },
        share="kind",
    ),
    "mobilenet_v3_small bits": Configured(
        "mobilenet_v3_small",
        {"weight_bits": [4, 8], "activation_bits": [8, 16]},
        precision="w8a8",
    ),
    "resnet18 channels, bits": Configured(
        "resnet18", {"channels": [0.5, 0.75, 1], "weight_bits": [4, 8]}, precision="w8a8"
    ),
    "bert blocks": Configured(
        "bert_base",
        {"weight_bits": [4, 8, 16], "activation_bits": [8, 16]},
        share="block",
        precision="w16a16",
    ),
    "tinyllama decode": Configured(
        "tinyllama_1_1b",
        {"weight_bits": [4, 8, 16], "kv_bits": [4, 8, 16], "batch": [1, 8]},
        precision="w16a16",
        parameters={"phase": "decode", "context": 512},
    ),
}


def with_traffic(device: Any, space: Any, **options: Any) -> Any:
    """Return an oracle of every metric, traffic of each level that this device has among them."""
    zero = (0,) * len(space.decisions)
    own = options.get("settings") or {}
    found = predicted(device, space, zero, settings=own, **_but_settings(options))
    levels = [f"traffic_bytes.{level}" for level in found.traffic_bytes]
    return pm.Oracle(
        device,
        space,
        [*(name for name in METRICS if name not in DESIGN_METRICS), *levels],
        **options,
    )


def _but_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "settings"}


def predicted(
    device: Any,
    space: Any,
    choice: Sequence[int],
    *,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Return the prediction of one member, with nothing of the oracle's."""
    workload = space.workload(choice, **(settings or {}))
    facts = space.facts_of(choice) if hasattr(space, "facts_of") else {}
    own = space.options_of(choice) if hasattr(space, "options_of") else {}
    return pm.predict(workload, device.vary(facts) if facts else device, **{**options, **own})


def number(prediction: Any, name: str) -> float:
    if name == "feasible":
        return float(prediction.feasible)
    if name.startswith("traffic_bytes."):
        return float(prediction.traffic_bytes[name.removeprefix("traffic_bytes.")])
    value = prediction.metric(name)
    return float("nan") if value is None else float(value)


def difference(
    oracle: Any,
    found: Mapping[str, Any],
    i: int,
    device: Any,
    choice: Sequence[int],
    **options: Any,
) -> tuple[float, str]:
    """Return the largest difference of row `i` of a batch from its prediction, and the metric."""
    own = _but_settings(options)
    prediction = predicted(device, oracle.space, choice, settings=options.get("settings"), **own)
    return max(
        (relative(float(found[name][i]), number(prediction, name)), name)
        for name in (*oracle.metrics, "feasible")
    )


def relative(a: float, b: float) -> float:
    if a == b or (np.isnan(a) and np.isnan(b)):
        return 0.0
    if np.isnan(a) or np.isnan(b):
        return float("inf")
    return abs(a - b) / max(abs(a), abs(b))


def largest(
    oracle: Any, device: Any, choices: Sequence[Sequence[int]], **options: Any
) -> tuple[float, str]:
    """Return the largest difference over some members, and the metric."""
    found = oracle.batch(np.asarray(choices))
    return max(
        difference(oracle, found, i, device, choice, **options) for i, choice in enumerate(choices)
    )
