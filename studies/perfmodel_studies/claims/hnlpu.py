"""What the model says of HNLPU: chips, time by context, masks, cost and carbon."""

from __future__ import annotations

import numpy as np
import perfmodel as pm
from perfmodel.cost.cost_of_ownership import Ownership, gpu_cluster
from perfmodel.cost.silicon_cost import dies_per_wafer, mask_cost_usd, murphy_yield
from perfmodel.kinds.hardwired import FIVE_NM, HardwiredPrice, hardwired_price, hardwired_size

#: Weights of four bits; keys and values of eight, which the paper does not say.
PRECISION = "w=fp4,a=fp16,kv=fp8_e4m3"


def price(model: str = "gpt_oss_120b", chips: float | None = None) -> HardwiredPrice:
    """Return what a model costs in wires, low and high."""
    return hardwired_price(
        hardwired_size(pm.workload(model), pm.hardware("hnlpu"), PRECISION), chips
    )


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    size = hardwired_size(pm.workload("gpt_oss_120b"), pm.hardware("hnlpu"), PRECISION)
    system_w = float(size.power_w)
    full = pm.workload("gpt_oss_120b", phase="decode", batch=216, context=2048)
    speed = float(pm.predict(full, pm.hardware("hnlpu"), precision=PRECISION).tokens_per_s)
    out = {
        "weights_mm2": 1e6 * float(size.metal_m2) / 16,
        "chip_mm2": 1e6 * float(size.chip_m2),
        "system_mm2": 16e6 * float(size.chip_m2),
        "chips": float(size.chips),
        "chip_w": system_w / 16 / 1.4,
        "system_kw": 1e-3 * system_w,
        "tokens_per_s_mm2": speed / (16e6 * float(size.chip_m2)),
    }
    return out | _costs(system_w)


def _costs(system_w: float) -> dict[str, float]:
    cost = price(chips=16)
    area = 827.08e-6
    naive = mask_cost_usd(np.array(FIVE_NM.mask_set_usd), 16, own_layers=130.0)
    out = {
        "yield_percent": 100 * float(murphy_yield(area, FIVE_NM.defects_per_m2)),
        "dies_per_wafer": float(dies_per_wafer(area)),
        "die_usd": float(cost.die_usd),
        "naive_masks_musd": 1e-6 * float(naive.first_usd[1]),
        # Wires in place of cells, published, times what shared masks save.
        "mask_gain": 14.3 / 0.95 * float(naive.first_usd[1] / cost.masks.first_usd[1]),
        "masks_first_saving_percent": 100 * float(1 - cost.masks.first_usd[1] / naive.first_usd[1]),
        "masks_again_saving_percent": 100 * float(1 - cost.masks.again_usd[1] / naive.first_usd[1]),
    }
    for i, name in enumerate(("low", "high")):
        out[f"masks.{name}.shared_musd"] = 1e-6 * float(cost.masks.shared_usd[i])
        out[f"masks.{name}.each_musd"] = 1e-6 * float(cost.masks.each_usd[i])
        out[f"masks.{name}.again_musd"] = 1e-6 * float(cost.masks.again_usd[i])
    for systems, gpus, volume in ((1, 2000, "low"), (50, 100_000, "high")):
        owned = cost.ownership(systems, system_w)
        cluster = gpu_cluster(gpus)
        for i, name in enumerate(("optimistic", "pessimistic")):
            out |= _table(f"tco.{volume}.{name}", owned, i)
        out |= _table(f"tco.{volume}.h100", cluster, None)
        out[f"tco.{volume}.power_mw"] = 1e-6 * float(owned.power_w)
        out[f"tco.{volume}.h100.power_mw"] = 1e-6 * float(cluster.power_w)
        out[f"carbon.{volume}.static_t"] = 1e-3 * float(owned.static_kg)
        out[f"carbon.{volume}.updated_t"] = 1e-3 * float(owned.updated_kg)
        out[f"carbon.{volume}.h100_t"] = 1e-3 * float(cluster.static_kg)
        if volume == "high":
            gains = float(cluster.updated_usd) / owned.updated_usd
            out["tco_gain.low"], out["tco_gain.high"] = float(gains[1]), float(gains[0])
            out["carbon_gain"] = float(cluster.updated_kg) / float(owned.updated_kg)
            out["v1.tco_gain"], out["v1.carbon_gain"] = out["tco_gain.low"], out["carbon_gain"]
    out["v1.nre_musd"] = 1e-6 * float(cost.once_usd[1] + 16 * cost.chip_usd[1])
    for model in ("kimi_k2_5", "deepseek_v3", "llama_3_8b"):
        out[f"nre.{model}_musd"] = 1e-6 * float(price(model).once_usd[1])
    return out


def _table(head: str, owned: Ownership, i: int | None) -> dict[str, float]:
    names = {
        "node": "node_usd",
        "infrastructure": "infrastructure_usd",
        "capex": "capex_usd",
        "respin": "update_usd",
        "electricity": "electricity_usd",
        "maintenance": "maintenance_usd",
        "static": "static_usd",
        "updated": "updated_usd",
    }
    out: dict[str, float] = {}
    for name, attribute in names.items():
        both = np.broadcast_to(np.asarray(getattr(owned, attribute), dtype=float), 2)
        out[f"{head}.{name}_musd"] = 1e-6 * float(both[i or 0])
    return out
