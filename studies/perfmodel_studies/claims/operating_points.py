"""Ratios of energies between two modes, which no single prediction gives."""

from __future__ import annotations

from typing import Any

import perfmodel as pm


def predicted() -> dict[str, float]:
    """Return claim -> ratio of energies."""
    gap8 = pm.hardware("gap8").machine("dory")
    frames = [
        pm.predict(
            "pulp_dronet",
            gap8.vary({"engines.cpu.clock": clock, "power.voltage": volts}),
            precision="int16",
        )
        for clock, volts in (("100 MHz", "1.0 V"), ("250 MHz", "1.2 V"))
    ]
    token: dict[str, Any] = {"phase": "decode", "context": 128}
    tokens = [
        pm.predict(
            "llama_3_2_3b",
            "jetson_orin_nano",
            set={**token, "operating_point": mode},
            precision="q4_k_m",
        )
        for mode in ("15w", "25w")
    ]
    return {
        "gap8.energy_ratio": float(frames[1].energy_j / frames[0].energy_j),
        "orin_nano.energy_of_a_token": float(tokens[1].energy_j / tokens[0].energy_j),
    }
