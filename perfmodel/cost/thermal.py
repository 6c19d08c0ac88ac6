"""Heat and battery: how long a speed lasts, and what a charge is worth.

One warm body, as a lumped resistance R (K/W) to the surroundings and a capacity C (J/K):
``C dT/dt = P - (T - Ta) / R``, so that under a constant power the excess over the surroundings
tends to P R with the time constant R C (Newton's law of cooling). All functions take arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace

#: Surroundings where a device states none, degrees Celsius.
ROOM_CELSIUS = 25.0
#: Seconds of an hour.
HOUR = 3600.0
_STEFAN_BOLTZMANN = 5.670374419e-8
_GRAVITY = 9.80665
_KELVIN = 273.15


class ThermalNode(NamedTuple):
    """A warm body.

    Attributes
    ----------
    resistance
        To the surroundings, K/W.
    capacity
        Of what warms up together, J/K.
    ambient, limit
        Temperature of the surroundings, and the one not to be passed; degrees Celsius.
    """

    resistance: Value
    capacity: Value
    ambient: Value = ROOM_CELSIUS
    limit: Value = float("inf")

    @property
    def time_constant_s(self) -> Value:
        """Seconds in which an excess falls to 1/e."""
        return self.resistance * self.capacity


def temperature(node: ThermalNode, power_w: Value, seconds: Value, start: Value = None) -> Value:
    """Return the temperature after a time of constant power, degrees Celsius.

    ``Ta + P R + (T0 - Ta - P R) exp(-t / (R C))``.

    Parameters
    ----------
    power_w, seconds
        Power turned to heat, and for how long.
    start
        Temperature at first, degrees Celsius; that of the surroundings by default.
    """
    xp = namespace(power_w, seconds, *node)
    steady = node.ambient + power_w * node.resistance
    first = node.ambient if start is None else start
    return steady + (first - steady) * xp.exp(-seconds / node.time_constant_s)


def sustained_power(node: ThermalNode, cap_w: Value = float("inf")) -> Value:
    """Return the power that the body sheds at its limit, watts, no more than a power cap.

    ``min(cap, (limit - ambient) / R)``; zero in surroundings warmer than the limit.
    """
    xp = namespace(cap_w, *node)
    head = xp.maximum(node.limit - node.ambient, 0.0)
    return xp.minimum(cap_w, head / node.resistance)


def burst_s(node: ThermalNode, power_w: Value, start: Value = None) -> Value:
    """Return the seconds until the limit is reached under constant power.

    ``R C ln((P R - (T0 - Ta)) / (P R - (limit - Ta)))``; infinite where it is never reached, zero
    where the body starts beyond it.

    Parameters
    ----------
    power_w, start
        As for `temperature`.
    """
    xp = namespace(power_w, *node)
    excess = power_w * node.resistance
    first = 0.0 if start is None else start - node.ambient
    head = node.limit - node.ambient
    reached = excess > head
    # log of ((excess - first) / (excess - head)), kept finite where it does not apply.
    left = xp.where(reached, excess - head, 1.0)
    ratio = xp.where(reached, xp.maximum(excess - first, left), 1.0) / left
    found = xp.where(reached, node.time_constant_s * xp.log(ratio), xp.inf)
    return xp.where(xp.asarray(first >= head), 0.0, found)


def runs_until_limit(
    node: ThermalNode, power_w: Value, run_s: Value, pause_s: Value = 0.0, rest_w: Value = 0.0
) -> Value:
    """Return the number of the run in which the limit is reached, runs and pauses alternating.

    The body starts warmed through by the resting power. With ``a = exp(-run / RC)`` and ``b =
    exp(-pause / RC)`` run n ends at an excess of ``(P - P0) R (1 - a) (1 - (ab)^n) / (1 - ab)``.

    Parameters
    ----------
    power_w, rest_w
        Power in a run and in a pause.
    run_s, pause_s
        Seconds of either.

    Returns
    -------
    Value
        Whole number, 1 or more; infinite where it is never reached, as where a run draws no more
        than a pause, and 1 where the resting power alone reaches it.
    """
    xp = namespace(power_w, run_s, pause_s, rest_w, *node)
    fall = xp.exp(-run_s / node.time_constant_s)
    both = fall * xp.exp(-pause_s / node.time_constant_s)
    head = node.limit - node.ambient - rest_w * node.resistance
    step = (power_w - rest_w) * node.resistance * (1.0 - fall)
    warms = xp.asarray(step > 0.0)
    left = 1.0 - head * (1.0 - both) / xp.where(warms, step, 1.0)
    reached = warms & (left > 0.0)
    # A hair below a whole number is that number: the limit is met as the run ends.
    logs = xp.log(xp.where(reached, left, 0.5)) / xp.log(xp.where(warms, both, 0.5))
    count = xp.where(reached, xp.maximum(xp.ceil(logs - 1e-9), 1.0), xp.inf)
    return xp.where(xp.asarray(head <= 0.0), 1.0, count)


def throttled_speed(
    power_w: Value, sustained_w: Value, idle_w: Value = 0.0, exponent: Value = 1.0
) -> Value:
    """Return the share of full speed at which a device draws no more than it can sustain.

    ``((sustained - idle) / (power - idle)) ^ (1 / exponent)``, at most 1: what is drawn beyond idle
    goes with speed to the exponent. 1 is duty cycling; up to 3 where the supply falls with the
    clock. Zero where idling alone is too much.
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
    """Return the thermal resistance of a body that only still air and radiation cool, K/W.

    Convection of a vertical plate by Churchill and Chu (Int. J. Heat Mass Transfer 18, 1975),
    ``Nu = (0.825 + 0.387 Ra^(1/6) / (1 + (0.492 / Pr)^(9/16))^(8/27))^2``, properties of air at the
    film temperature; radiation ``e s (Ts^2 + Ta^2) (Ts + Ta)``. The whole surface is taken to be as
    warm as its warmest spot, so the resistance is a lower bound.

    Parameters
    ----------
    area_m2, height_m
        Surface that faces the air, and its height.
    surface_celsius, ambient_celsius
        Temperatures; a surface cooler than the air takes heat as it would give it.
    emissivity
        0.9 for glass and paint.
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
    """What heat and battery make of a run that is repeated without a pause.

    Attributes
    ----------
    sustained_power_w
        Power that can be kept up: the sustained ceiling (``power.busy``) or what is shed at the
        limit, whichever is less; infinite where neither is stated, zero where the surroundings are
        warmer than the limit.
    sustained_speed
        Share of full speed that is left once the device slows down.
    sustained_latency_s
        Seconds of a run then.
    burst_s
        Seconds of full speed before, from the temperature of the surroundings: until the body is as
        warm as the sustained power keeps it. None where no resistance is stated.
    steady_celsius
        Temperature that full speed would tend to; NaN without a thermal resistance.
    battery_runs
        Runs at full speed that a charge lasts; NaN without a battery.
    battery_hours
        Hours of them without a pause.
    battery_share_per_run
        Share of a charge that one takes.
    runs_in_an_hour
        Runs of the first hour: full speed while the burst lasts, then what is sustained.
    battery_share_in_an_hour
        Share of a charge that this hour takes.
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


def thermal_outcome(facts: Mapping[str, Any], latency_s: Value, energy_j: Value) -> Thermal:
    """Return what heat and battery make of a run.

    A sustained ceiling and a limit of the temperature act alike: what may be kept up is the lesser
    power, and until the body is as warm as that power keeps it, full speed lasts. More power never
    gives a longer burst. A ceiling without a resistance and a capacity behind it acts at once.

    Parameters
    ----------
    facts
        ``power.busy``, ``power.idle``, ``power.thermal_resistance``, ``power.heat_capacity``,
        ``power.ambient``, ``power.limit``, ``power.speed_exponent``, ``power.battery``; any may be
        absent.
    latency_s, energy_j
        Of one run at full speed.
    """
    xp = namespace(latency_s, energy_j, *facts.values())
    power = energy_j / latency_s
    cap = facts.get("power.busy", np.inf)
    resistance = facts.get("power.thermal_resistance")
    ambient = facts.get("power.ambient", ROOM_CELSIUS)
    idle = facts.get("power.idle", 0.0)
    sustained, steady = xp.asarray(cap), xp.asarray(np.nan)
    burst = xp.where(power > cap, 0.0, np.inf)
    if resistance is not None:
        steady = ambient + power * resistance
        limit, capacity = facts.get("power.limit", np.inf), facts.get("power.heat_capacity", 0.0)
        sustained = sustained_power(ThermalNode(resistance, capacity, ambient, limit), cap)
        node = ThermalNode(resistance, capacity, ambient, ambient + sustained * resistance)
        # Of the powers, not of the temperatures: a rounding of these must not undo the comparison.
        burst = xp.where(power > sustained, burst_s(node, power), np.inf)
    speed = throttled_speed(power, sustained, idle, facts.get("power.speed_exponent", 1.0))
    with np.errstate(divide="ignore"):
        slowed = latency_s / speed
    battery = facts.get("power.battery", np.nan)
    runs = battery / energy_j
    full = xp.minimum(burst, HOUR)
    # Where even idling is too much, it idles all the same.
    kept = xp.minimum(power, xp.maximum(sustained, idle))
    drawn = power * full + kept * (HOUR - full)
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
