"""Thermal and battery limits: duration of full speed, sustained speed, and runs per charge.

The device is a lumped thermal model with a resistance R (K/W) to the surroundings and a heat
capacity C (J/K), ``C dT/dt = P - (T - Ta) / R`` (Newton's law of cooling): under a constant power P
the temperature rise tends to P R with the time constant R C. A chip with a limit of its own is a
second node on that body (`ChipOnBody`). `thermal_outcome` derives all limits of a repeated run
from them. All functions accept arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.ownership import ROOM_CELSIUS

#: Seconds per hour.
HOUR = 3600.0
#: A stated power has three digits: one that exceeds it by less does not throttle the device.
_POWER_FIGURES = 1e-3
_STEFAN_BOLTZMANN = 5.670374419e-8
_GRAVITY = 9.80665
_KELVIN = 273.15
#: Steps of Newton's method, and least relative slope that it divides by, 1/s.
_NEWTON_STEPS = 20
_SLOPE = 1e-9


class ThermalNode(NamedTuple):
    """Lumped thermal model of a device.

    Attributes
    ----------
    resistance
        Thermal resistance to the surroundings, K/W.
    capacity
        Heat capacity, J/K.
    ambient, limit
        Ambient temperature, and maximum temperature; degrees Celsius.
    """

    resistance: Value
    capacity: Value
    ambient: Value = ROOM_CELSIUS
    limit: Value = float("inf")

    @property
    def time_constant_s(self) -> Value:
        """Time constant R C, seconds."""
        return self.resistance * self.capacity


def temperature(node: ThermalNode, power_w: Value, seconds: Value, start: Value = None) -> Value:
    """Return the temperature after a time of constant power, degrees Celsius.

    ``Ta + P R + (T0 - Ta - P R) exp(-t / (R C))``.

    Parameters
    ----------
    power_w, seconds
        Dissipated power, and its duration.
    start
        Initial temperature, degrees Celsius; ambient temperature by default.
    """
    xp = namespace(power_w, seconds, *node)
    steady = node.ambient + power_w * node.resistance
    first = node.ambient if start is None else start
    return steady + (first - steady) * xp.exp(-seconds / node.time_constant_s)


class _Modes(NamedTuple):
    """Decay rates of a chip on a body, 1/s, and their weights in the deficit of a rise, K."""

    fast: Value
    slow: Value
    of_fast: Value
    of_slow: Value

    def deficit(self, seconds: Value) -> Value:
        """Return how far the temperature is below its steady state, K."""
        xp = namespace(seconds, *self)
        return self.of_fast * xp.exp(-self.fast * seconds) + self.of_slow * xp.exp(
            -self.slow * seconds
        )


class ChipOnBody(NamedTuple):
    """Chip with a limit of its own that sheds its heat to the body of the device.

    ``C_c dT_c/dt = P - (T_c - T_b) / R_c`` and ``C dT_b/dt = (T_c - T_b) / R_c - (T_b - Ta) / R``:
    from ambient, both temperatures approach their steady states by two exponentials.

    Attributes
    ----------
    body
        The body with its limit.
    resistance
        Thermal resistance from the chip to the body, K/W.
    capacity
        Heat capacity of the chip with its package, J/K.
    limit
        Maximum temperature of the chip, degrees Celsius.
    """

    body: ThermalNode
    resistance: Value
    capacity: Value
    limit: Value = float("inf")

    @property
    def sustained_power_w(self) -> Value:
        """Largest power that exceeds neither limit in the steady state, watts."""
        xp = namespace(*self.body, *self[1:])
        through = self.body._replace(
            resistance=self.body.resistance + self.resistance, limit=self.limit
        )
        return xp.minimum(sustained_power(self.body), sustained_power(through))

    def temperatures(self, power_w: Value, seconds: Value) -> tuple[Value, Value]:
        """Return the temperatures of chip and body after a time of constant power from ambient."""
        chip, body = self._modes(power_w)
        steady = self.body.ambient + power_w * self.body.resistance
        return (
            steady + power_w * self.resistance - chip.deficit(seconds),
            steady - body.deficit(seconds),
        )

    def burst_s(self, power_w: Value) -> Value:
        """Return the time until the first of both limits is reached, seconds, else infinity."""
        xp = namespace(power_w, *self.body, *self[1:])
        chip, body = self._modes(power_w)
        steady = self.body.ambient + power_w * self.body.resistance
        return xp.minimum(
            _time_to(chip, steady + power_w * self.resistance - self.limit),
            _time_to(body, steady - self.body.limit),
        )

    def _modes(self, power_w: Value) -> tuple[_Modes, _Modes]:
        """Return the modes of the chip and of the body.

        The rates are the roots of ``r^2 - s r + d`` with ``d = 1 / (R_c C_c R C)`` and
        ``s = 1 / (R_c C_c) + 1 / (R_c C) + 1 / (R C)``. At the start the body has no slope, and the
        chip that of ``P / C_c``.
        """
        xp = namespace(power_w, *self.body, *self[1:])
        own = 1.0 / (self.resistance * self.capacity)
        total = own + (1.0 / self.resistance + 1.0 / self.body.resistance) / self.body.capacity
        product = own / self.body.time_constant_s
        fast = 0.5 * (total + xp.sqrt(total * total - 4.0 * product))
        slow = product / fast
        body = power_w * self.body.resistance
        chip = body + power_w * self.resistance
        of_fast = (power_w / self.capacity - slow * chip) / (fast - slow)
        return (
            _Modes(fast, slow, of_fast, chip - of_fast),
            _Modes(fast, slow, -body * slow / (fast - slow), body * fast / (fast - slow)),
        )


def _time_to(modes: _Modes, left: Value) -> Value:
    """Return the time at which a deficit has fallen to `left`, seconds; infinite if it is negative.

    Newton's method on the logarithm of the deficit, which is convex or concave, from the time by
    the slow mode alone: on the side from which the steps do not overshoot.
    """
    xp = namespace(left, *modes)
    is_reached = xp.asarray(left > 0.0)
    target = xp.where(is_reached, left, modes.of_slow)
    seconds = xp.maximum(xp.log(modes.of_slow / target), 0.0) / modes.slow
    for _ in range(_NEWTON_STEPS):
        deficit = modes.deficit(seconds)
        slope = modes._replace(
            of_fast=modes.fast * modes.of_fast, of_slow=modes.slow * modes.of_slow
        ).deficit(seconds)
        # Where the slope is zero, at the start of a body, the deficit is at its start as well.
        step = xp.log(deficit / target) * deficit / xp.maximum(slope, _SLOPE * deficit)
        seconds = xp.maximum(seconds + step, 0.0)
    return xp.where(is_reached, seconds, xp.inf)


def sustained_power(node: ThermalNode, cap_w: Value = float("inf")) -> Value:
    """Return the sustainable power, watts: ``min(cap, (limit - ambient) / R)``.

    Zero if the surroundings are warmer than the limit.
    """
    xp = namespace(cap_w, *node)
    headroom = xp.maximum(node.limit - node.ambient, 0.0)
    return xp.minimum(cap_w, headroom / node.resistance)


def burst_s(node: ThermalNode, power_w: Value, start: Value = None) -> Value:
    """Return the time until the limit is reached under constant power, seconds.

    ``R C ln((P R - (T0 - Ta)) / (P R - (limit - Ta)))``; infinite if it is never reached, zero if
    the initial temperature exceeds it.

    Parameters
    ----------
    power_w, start
        As for `temperature`.
    """
    xp = namespace(power_w, *node)
    excess = power_w * node.resistance
    first = 0.0 if start is None else start - node.ambient
    headroom = node.limit - node.ambient
    is_reached = excess > headroom
    # log of ((excess - first) / (excess - headroom)), finite also where it does not apply.
    denominator = xp.where(is_reached, excess - headroom, 1.0)
    ratio = xp.where(is_reached, xp.maximum(excess - first, denominator), 1.0) / denominator
    seconds = xp.where(is_reached, node.time_constant_s * xp.log(ratio), xp.inf)
    return xp.where(xp.asarray(first >= headroom), 0.0, seconds)


def runs_until_limit(
    node: ThermalNode, power_w: Value, run_s: Value, pause_s: Value = 0.0, rest_w: Value = 0.0
) -> Value:
    """Return the number of the run in which the limit is reached, with a pause after each run.

    The initial state is the steady state of the power P0 in pauses. With ``a = exp(-run / RC)`` and
    ``b = exp(-pause / RC)``, the temperature rise above it at the end of run n is
    ``(P - P0) R (1 - a) (1 - (ab)^n) / (1 - ab)``.

    Parameters
    ----------
    power_w, rest_w
        Power during runs, P, and during pauses, P0; watts.
    run_s, pause_s
        Duration of a run and of a pause, seconds.

    Returns
    -------
    Value
        Integer, 1 or more; infinite if the limit is never reached, as when a run draws no more
        power than a pause; 1 if P0 is sufficient to reach it.
    """
    xp = namespace(power_w, run_s, pause_s, rest_w, *node)
    run_decay = xp.exp(-run_s / node.time_constant_s)
    period_decay = run_decay * xp.exp(-pause_s / node.time_constant_s)
    headroom = node.limit - node.ambient - rest_w * node.resistance
    rise = (power_w - rest_w) * node.resistance * (1.0 - run_decay)
    warms = xp.asarray(rise > 0.0)
    # The limit is reached in run n if (ab)^n is at most this share.
    share = 1.0 - headroom * (1.0 - period_decay) / xp.where(warms, rise, 1.0)
    is_reached = warms & (share > 0.0)
    # Tolerance for rounding: the limit is reached exactly at the end of a run.
    logs = xp.log(xp.where(is_reached, share, 0.5)) / xp.log(xp.where(warms, period_decay, 0.5))
    count = xp.where(is_reached, xp.maximum(xp.ceil(logs - 1e-9), 1.0), xp.inf)
    return xp.where(xp.asarray(headroom <= 0.0), 1.0, count)


def throttled_speed(
    power_w: Value, sustained_w: Value, idle_w: Value = 0.0, exponent: Value = 1.0
) -> Value:
    """Return the share of full speed at which the power is sustainable.

    ``((sustained - idle) / (power - idle)) ^ (1 / exponent)``, at most 1: the power above idle is
    proportional to speed to the power of `exponent`, which is 1 for duty cycling and up to 3 if
    the supply voltage scales with the clock. Zero if the idle power is not sustainable.
    """
    xp = namespace(power_w, sustained_w, idle_w, exponent)
    over = xp.asarray(power_w > sustained_w)
    dynamic = xp.where(over, power_w - idle_w, 1.0)
    share = xp.clip((sustained_w - idle_w) / xp.where(dynamic > 0.0, dynamic, 1.0), 0.0, 1.0)
    return xp.where(over, share ** (1.0 / exponent), 1.0)


def natural_convection_resistance(
    area_m2: Value,
    height_m: Value,
    surface_celsius: Value,
    ambient_celsius: Value = ROOM_CELSIUS,
    emissivity: Value = 0.9,
) -> Value:
    """Return the thermal resistance under natural convection and radiation, K/W.

    Convection of a vertical plate by Churchill and Chu (Int. J. Heat Mass Transfer 18, 1975),
    ``Nu = (0.825 + 0.387 Ra^(1/6) / (1 + (0.492 / Pr)^(9/16))^(8/27))^2``, properties of air at the
    film temperature; radiation ``e s (Ts^2 + Ta^2) (Ts + Ta)`` in W/(m^2 K), s the Stefan-Boltzmann
    constant. The whole surface is assumed to be at the temperature of its hottest spot, so that the
    resistance is a lower bound.

    Parameters
    ----------
    area_m2, height_m
        Surface area exposed to air, and its height.
    surface_celsius, ambient_celsius
        Temperatures; a surface cooler than the air is treated symmetrically.
    emissivity
        Emissivity e; 0.9 for glass and paint.
    """
    warm, cool = surface_celsius + _KELVIN, ambient_celsius + _KELVIN
    film = 0.5 * (warm + cool)
    # Air at 1 bar, within 1 % from 10 to 80 degrees of Incropera's table A.4.
    conductivity = 0.0263 * (film / 300.0) ** 0.85
    viscosity = 15.89e-6 * (film / 300.0) ** 1.72
    prandtl = 0.707
    rayleigh = _GRAVITY / film * abs(warm - cool) * height_m**3 * prandtl / viscosity**2
    damping = (1.0 + (0.492 / prandtl) ** (9 / 16)) ** (8 / 27)
    nusselt = (0.825 + 0.387 * rayleigh ** (1 / 6) / damping) ** 2
    convection = nusselt * conductivity / height_m
    radiation = emissivity * _STEFAN_BOLTZMANN * (warm**2 + cool**2) * (warm + cool)
    return 1.0 / ((convection + radiation) * area_m2)


class Thermal(NamedTuple):
    """Thermal and battery limits of a workload that is repeated without pauses.

    Attributes
    ----------
    sustained_power_w
        Sustainable power: the minimum of the stated ceiling (``power.busy``) and the power
        dissipated at the temperature limit; infinite if neither is stated, zero if the surroundings
        are warmer than the limit.
    sustained_speed
        Share of full speed after throttling.
    sustained_latency_s
        Latency of a run after throttling, seconds.
    burst_s
        Duration of full speed from ambient temperature until the steady state of the sustained
        power is reached, seconds. ``None`` if no thermal resistance is stated.
    steady_celsius
        Steady-state temperature at full speed; NaN without a thermal resistance.
    battery_runs
        Runs per battery charge at full speed; NaN without a battery.
    battery_hours
        Duration of these runs without pauses, hours.
    battery_share_per_run
        Share of a charge that one run consumes.
    runs_in_an_hour
        Number of runs in the first hour: at full speed during the burst, then at sustained speed.
    battery_share_in_an_hour
        Share of a charge that the first hour consumes.
    """

    sustained_power_w: Value
    sustained_speed: Value
    sustained_latency_s: Value
    burst_s: Value
    steady_celsius: Value
    battery_runs: Value
    battery_hours: Value
    battery_share_per_run: Value
    runs_in_an_hour: Value
    battery_share_in_an_hour: Value


def body_of(facts: Mapping[str, Any]) -> ThermalNode:
    """Return the body whose resistance the facts state."""
    return ThermalNode(
        facts["power.thermal_resistance"],
        facts.get("power.heat_capacity", 0.0),
        facts.get("power.ambient", ROOM_CELSIUS),
        facts.get("power.limit", np.inf),
    )


def chip_on_body(facts: Mapping[str, Any], body: ThermalNode) -> ChipOnBody | None:
    """Return the chip on a body, if the facts state its resistance and its heat capacity."""
    resistance, capacity = (facts.get(f"power.chip_{n}") for n in ("resistance", "heat_capacity"))
    if resistance is None or capacity is None:
        return None
    return ChipOnBody(body, resistance, capacity, facts.get("power.chip_limit", np.inf))


def thermal_outcome(facts: Mapping[str, Any], latency_s: Value, energy_j: Value) -> Thermal:
    """Return the thermal and battery limits of a repeated run.

    A stated power ceiling and a temperature limit are treated alike: the smaller power is
    sustainable, and full speed lasts until the steady-state temperature of that power is reached.
    A higher power never results in a longer burst. A ceiling without a thermal resistance and heat
    capacity applies immediately.

    Parameters
    ----------
    facts
        ``power.busy``, ``power.idle``, ``power.thermal_resistance``, ``power.heat_capacity``,
        ``power.ambient``, ``power.limit``, ``power.speed_exponent``, ``power.battery``,
        ``power.chip_resistance``, ``power.chip_heat_capacity``, ``power.chip_limit``; any may be
        absent. A chip without a heat capacity is no node of its own.
    latency_s, energy_j
        Latency and energy of one run at full speed.
    """
    xp = namespace(latency_s, energy_j, *facts.values())
    power = energy_j / latency_s
    cap = facts.get("power.busy", np.inf)
    resistance = facts.get("power.thermal_resistance")
    idle = facts.get("power.idle", 0.0)
    sustained, steady = xp.asarray(cap), xp.asarray(np.nan)
    burst = 0.0
    if resistance is not None:
        body = body_of(facts)
        steady = body.ambient + power * resistance
        chip = chip_on_body(facts, body)
        sustained = xp.minimum(
            cap, sustained_power(body) if chip is None else chip.sustained_power_w
        )
        body = body._replace(limit=body.ambient + sustained * resistance)
        burst = burst_s(body, power) if chip is None else chip._replace(body=body).burst_s(power)
    # Compare powers rather than temperatures, so that rounding cannot reverse the comparison.
    over = power > sustained * (1.0 + _POWER_FIGURES)
    burst = xp.where(over, burst, np.inf)
    exponent = facts.get("power.speed_exponent", 1.0)
    speed = xp.where(over, throttled_speed(power, sustained, idle, exponent), 1.0)
    with np.errstate(divide="ignore"):
        slowed = latency_s / speed
    battery = facts.get("power.battery", np.nan)
    runs = battery / energy_j
    full = xp.minimum(burst, HOUR)
    # If even idling is not sustainable, the device still idles.
    throttled = xp.minimum(power, xp.maximum(sustained, idle))
    drawn = power * full + throttled * (HOUR - full)
    return Thermal(
        sustained,
        speed,
        slowed,
        burst,
        steady,
        runs,
        runs * latency_s / HOUR,
        energy_j / battery,
        (full + speed * (HOUR - full)) / latency_s,
        drawn / battery,
    )
