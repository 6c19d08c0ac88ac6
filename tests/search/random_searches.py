"""Random searches on random small networks, and their answers by trying every configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

import perfmodel as pm
from perfmodel.search.accuracy import AccuracyTable, describe
from perfmodel.search.loss_tables import configuration_of
from perfmodel.workload.plain_graph import FAMILY_LAYERS, LayersStructure
from perfmodel.workload.workload import from_family

#: What is decided; each kind of search has another way to go wrong.
KINDS = ("bits", "channels", "activations", "facts", "batch", "sparsity", "kv", "precision")

#: Configurations up to which everything is tried.
WHOLE = 2000

DEVICES = (
    "zen4_core",
    "raspberry_pi_5",
    "a100",
    "jetson_agx_orin",
    "stm32h743",
    "tpu_v1",
    "eyeriss",
    "gemmini_16x16",
    "bit_fusion_apq",
    "ufs_4_phone",
    "cambricon_llm_s",
)

#: Engines that compute nothing wider than eight bits.
INTEGER = ("tpu_v1", "eyeriss", "gemmini_16x16", "bit_fusion_apq")

METRICS = (
    "latency_s",
    "energy_j",
    "weight_bytes",
    "peak_memory_bytes",
    "traffic",
    "frames_per_s",
)

#: What must be at least its bound.
RATES = ("frames_per_s", "tokens_per_s")


class Losses:
    """Losses of layers and options that a seed draws: what an accuracy model must offer."""

    unit, separable = "", True

    def __init__(self, seed: int) -> None:
        self.name, self.seed = f"random {seed}", seed

    def of(self, layer: str, option: Any) -> float:
        text = f"{self.seed} {layer} {describe(option)}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32

    def loss(self, configuration: Mapping[str, Any]) -> float:
        return sum(self.of(layer, option) for layer, option in configuration.items())

    def table(self, layers: Sequence[str], options: Sequence[Sequence[Any]]) -> AccuracyTable:
        rows = [
            np.array([self.of(layer, option) for option in own])
            for layer, own in zip(layers, options, strict=True)
        ]
        return AccuracyTable(tuple(rows), {})

    def predicted(self, loss: Any) -> Any:
        return loss


@dataclass
class Search:
    """One random search."""

    seed: int
    kind: str
    workload: Any
    device: Any
    space: Any
    constraints: list[str]
    objective: str
    losses: Losses
    bounds: list[tuple[str, float]] = field(default_factory=list)

    def run(self, **options: Any) -> Any:
        return pm.search(
            self.space,
            self.device,
            constraints=self.constraints,
            objective=self.objective,
            accuracy=self.losses,
            **options,
        )

    def metrics(self) -> list[str]:
        wanted = [name for name, _ in self.bounds]
        if self.objective != "sensitivity":
            wanted.append(self.objective)
        return [*dict.fromkeys([*wanted, "weight_bytes"])]


def network(rng: np.random.Generator) -> Any:
    """Return a small network: plain layers with residuals, or one of a family."""
    which = rng.integers(4)
    if which == 0:
        return pm.workload("mlperf_tiny_ic", channels=int(rng.choice([8, 16])))
    if which == 1:
        return pm.workload("mlperf_tiny_kws", channels=int(rng.choice([16, 32])))
    size, channels = int(rng.choice([8, 16, 28, 56])), int(rng.choice([8, 16, 24]))
    layers: list[dict[str, Any]] = [
        {
            "name": "stem",
            "op": "conv",
            "channels": channels,
            "kernel": 3,
            "padding": 1,
            "stride": int(rng.integers(1, 3)),
        },
        {"name": "stem_relu", "op": "relu"},
    ]
    last = "stem_relu"
    for b in range(int(rng.integers(1, 4))):
        if which == 2 or rng.random() < 0.4:
            # An inverted residual.
            wide = channels * int(rng.choice([2, 4]))
            layers += [
                {
                    "name": f"expand{b}",
                    "op": "conv",
                    "channels": wide,
                    "kernel": 1,
                    "inputs": [last],
                },
                {"name": f"relu{b}", "op": "relu"},
                {
                    "name": f"depthwise{b}",
                    "op": "conv",
                    "channels": wide,
                    "groups": wide,
                    "kernel": int(rng.choice([3, 5])),
                    "padding": "same",
                },
                {"name": f"project{b}", "op": "conv", "channels": channels, "kernel": 1},
                {"name": f"add{b}", "op": "add", "inputs": [f"project{b}", last]},
            ]
            last = f"add{b}"
        else:
            channels = int(rng.choice([8, 16, 32]))
            layers += [
                {
                    "name": f"conv{b}",
                    "op": "conv",
                    "channels": channels,
                    "kernel": 3,
                    "padding": 1,
                    "inputs": [last],
                },
                {"name": f"crelu{b}", "op": "relu"},
            ]
            last = f"crelu{b}"
    layers += [
        {"name": "pool", "op": "global_pool", "inputs": [last]},
        {"name": "classifier", "op": "linear", "features": 10},
    ]
    structure = LayersStructure.model_validate(
        {
            "parameters": {"batch": 1},
            "unit": "frames",
            "inputs": {"image": ["batch", 3, size, size]},
            "layers": layers,
        }
    )
    return from_family("random_net", FAMILY_LAYERS, structure, {"batch": 1})


def space_of(kind: str, workload: Any, device: Any, rng: np.random.Generator) -> Any:
    """Return a space of at most `WHOLE` configurations where shared decisions allow it."""
    main = device.memories[-1].name
    rate = float(device.machine(None).facts.get(f"memories.{main}.bandwidth", 1e9))
    bits = sorted(int(b) for b in rng.choice([2, 3, 4, 5, 6, 8], rng.integers(2, 4), replace=False))
    choices: dict[str, Any] = {"weight_bits": bits}
    precision: str | None = "w8a8"
    if kind == "channels":
        choices = {"channels": [0.5, 1.0], "weight_bits": bits[:2]}
    elif kind == "activations":
        choices["activation_bits"] = [4, 8] if device.name in INTEGER else [8, 16]
    elif kind == "facts":
        choices[f"memories.{main}.bandwidth"] = [0.5 * rate, rate]
    elif kind == "batch":
        choices["batch"] = [1, 2, 8]
    elif kind == "sparsity":
        choices["sparsity"] = [0, 0.5]
    elif kind == "precision":
        choices["precision"], precision = ["w8a8", "w4a8"], None
    elif kind == "kv":
        workload = pm.workload("tinyllama_1_1b", phase="decode", context=int(rng.choice([64, 999])))
        choices = {"weight_bits": [4, 8, 16], "kv_bits": [4, 8, 16], "batch": [1, 4]}
        precision = "w16a16"
    for share in ("layer", "block", "kind", "network"):
        space = pm.space(workload, choices, share=share, precision=precision)
        if space.size <= WHOLE:
            break
    return space


def search_of(seed: int, kinds: Sequence[str] = KINDS, devices: Sequence[str] = DEVICES) -> Search:
    """Return the search that a seed draws."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(kinds))
    name = str(rng.choice([d for d in devices if kind != "kv" or d not in INTEGER] or devices))
    device = pm.hardware(name)
    workload = network(rng)
    space = space_of(kind, workload, device, rng)
    main = _main(device, space)
    losses = Losses(seed)
    named = {"traffic": f"traffic_bytes.{main}"}
    if kind == "kv":
        named["frames_per_s"] = "tokens_per_s"
    names = [named.get(m, m) for m in METRICS]
    oracle = pm.Oracle(device, space, names)
    found = oracle.batch(space.sample(64, seed=seed))
    known = [n for n in names if np.isfinite(found[n]).all()]
    chosen = rng.choice(known, int(rng.integers(1, 4)), replace=False)
    bounds: list[tuple[str, float]] = []
    tight = rng.random() < 0.5
    for metric in map(str, chosen):
        values = found[metric]
        low, high = float(values.min()), float(values.max())
        at = low + (high - low) * float(rng.uniform(-0.05, 0.9))
        if metric in RATES:
            at = low + high - at
        # Half of them just as some configuration has it, so that every bound binds.
        bounds.append((metric, float(values[0]) if tight else max(at, 0.25 * low)))
    goals = ["sensitivity", "sensitivity", "latency_s"]
    if "energy_j" in known:
        goals.append("energy_j")
    texts = [text(metric, bound) for metric, bound in bounds]
    return Search(
        seed, kind, workload, device, space, texts, str(rng.choice(goals)), losses, bounds
    )


def _main(device: Any, space: Any) -> str:
    zero = (0,) * len(space.decisions)
    facts = space.facts_of(zero)
    found = pm.predict(
        space.workload(zero), device.vary(facts) if facts else device, **space.options_of(zero)
    )
    return found.levels[-1]


def everything(space: Any) -> Any:
    return np.array(list(product(*(range(len(d.options)) for d in space.decisions))))


def text(metric: str, bound: float) -> str:
    return f"{metric} {'>=' if metric in RATES else '<='} {bound!r}"


def holds(metric: str, values: Any, bound: float) -> Any:
    """Return where a bound is kept, within rounding."""
    if metric in RATES:
        return values >= bound * (1 - 1e-9)
    return values <= bound * (1 + 1e-9)


@dataclass
class Tried:
    """All configurations of a search: objective, and by how much each bound is exceeded."""

    choices: Any
    values: Any
    columns: Mapping[str, Any]
    fits: Any

    def allowed(self, bounds: Sequence[tuple[str, float]]) -> Any:
        good = self.fits.copy()
        for metric, bound in bounds:
            good &= holds(metric, self.columns[metric], bound)
        return good

    def best(self, bounds: Sequence[tuple[str, float]]) -> float:
        good = self.allowed(bounds)
        return float(self.values[good].min()) if good.any() else float("inf")


def tried(search: Search) -> Tried:
    """Try every configuration."""
    every = everything(search.space)
    found = pm.Oracle(search.device, search.space, search.metrics()).batch(every)
    if search.objective == "sensitivity":
        values = np.array(
            [search.losses.loss(configuration_of(search.space, c)) for c in every.tolist()]
        )
    else:
        values = found[search.objective]
    return Tried(every, values, found, found["feasible"] > 0)
