"""MELTing point: what heat and battery say of language models on phones.

The body of a phone sheds heat by still air and radiation alone (Churchill and Chu 1975, Stefan and
Boltzmann), stores it as its mass times a specific heat, and holds a published charge. The chip on
it is that of the library's class of phones. What a token
costs is taken as published where the claim is about a charge, and from the energy tables where the
claim is about the token itself.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import perfmodel as pm
from perfmodel.cost.thermal import (
    ROOM_CELSIUS,
    ChipOnBody,
    ThermalNode,
    natural_convection_resistance,
    sustained_power,
)
from perfmodel.hardware.technology import dram_energy, operation_energy

#: Surface temperature that the paper saw, degrees Celsius.
SURFACE_CELSIUS = 47.9
#: Of glass, aluminium, copper and cells together, J/(kg K): between 800 and 1000.
SPECIFIC_HEAT = 900.0
#: Tokens that a prompt of the paper yields, on average.
OUTPUT_TOKENS = 135.0
_MILLIWATT_HOUR = 3.6


class Phone(NamedTuple):
    """A phone as its maker describes it: metres, kilogrammes."""

    height: float
    width: float
    depth: float
    mass: float

    @property
    def surface(self) -> float:
        """Surface, square metres."""
        sides = self.height * self.width + self.height * self.depth + self.width * self.depth
        return 2.0 * sides

    @property
    def node(self) -> ThermalNode:
        """The phone as one warm body, at its limit when its surface is as warm as was seen."""
        resistance = natural_convection_resistance(self.surface, self.height, SURFACE_CELSIUS)
        return ThermalNode(resistance, self.mass * SPECIFIC_HEAT, ROOM_CELSIUS, SURFACE_CELSIUS)

    @property
    def with_chip(self) -> ChipOnBody:
        """The phone with its chip as phones of the library have it."""
        facts = pm.hardware("galaxy_s24").machine()
        names = ("chip_resistance", "chip_heat_capacity", "chip_limit")
        return ChipOnBody(self.node, *(float(facts[f"power.{name}"]) for name in names))


IPHONE_14_PRO = Phone(0.1475, 0.0715, 0.00785, 0.206)
GALAXY_S23 = Phone(0.1463, 0.0709, 0.0076, 0.168)
IPHONE_BATTERY_WH = 12.38

#: Zephyr-3B in 4 bits: bytes in memory (the paper's repository), parameters (StableLM-3B-4E1T).
ZEPHYR_BYTES, ZEPHYR_PARAMETERS = 1.50e9, 2.795e9


def predicted() -> dict[str, float]:
    """Return the predicted number of each claim."""
    joule = {"mlc": 0.20 * _MILLIWATT_HOUR, "llmfarm": 0.16 * _MILLIWATT_HOUR}
    charge = IPHONE_BATTERY_WH * 3600.0
    prompt_s = OUTPUT_TOKENS * joule["mlc"] / 18.0
    token = ZEPHYR_BYTES * dram_energy("lpddr5") + ZEPHYR_PARAMETERS * operation_energy("fp16", 5.0)
    return {
        "prompts_per_charge_least": charge / (OUTPUT_TOKENS * joule["mlc"]),
        "prompts_per_charge_most": charge / (OUTPUT_TOKENS * joule["llmfarm"]),
        "joule_per_token": float(token),
        "sustained_power_galaxy_s23": float(sustained_power(GALAXY_S23.node)),
        "sustained_power_iphone_14_pro": float(sustained_power(IPHONE_14_PRO.node)),
        "throttling_prompt": ceil(float(IPHONE_14_PRO.with_chip.burst_s(18.0)) / prompt_s),
    }
