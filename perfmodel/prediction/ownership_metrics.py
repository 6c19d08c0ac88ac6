"""Money, carbon and heat of a prediction: metrics of the device's ownership and of its body.

What a spec does not state of the site and of the body is the declared default of its class
(`Device.defaults`). A metric is NaN where a number is missing; `Prediction.missing_reason`
says which, and why a device never throttles.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from perfmodel.arrays import Value, first_number, namespace
from perfmodel.cost.energy import resting_power_w, waiting_power_w
from perfmodel.hardware.ownership import is_of_ownership
from perfmodel.metrics import lacks_items, metrics_of
from perfmodel.prediction.basis import SILICON
from perfmodel.prediction.resource_usage import DESIGN_METRICS
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.cost.run_cost import RunCost
    from perfmodel.cost.thermal import Thermal
    from perfmodel.hardware.memory import Memory
    from perfmodel.prediction.prediction import Prediction

_OFF_CHIP = ("dram", "hbm")
#: Accuracy of the temperature at a time to throttle.
_ROUNDING_KELVIN = 0.01
#: Beginnings of the paths of facts that a cost depends on, beside the memories' capacities.
COST_FACTS = (
    *("site.", "energy.node", "price", "volume", "area"),
    *("power.idle", "power.sleep", "use.period"),
)
#: Metrics that are affine in latency and energy.
COST_METRICS = frozenset(n for n in metrics_of("search") if "usd" in n or "carbon" in n)
_COSTS = COST_METRICS | {"embodied_kg"}
_HEAT = ("burst_s", "sustained_speed", "sustained_latency_s", "steady_celsius")
_OF_PERIOD = ("energy_per_period_j", "average_power_w")


class OwnershipMetrics:
    """Metrics of a prediction in US dollars, kilograms of CO2 and degrees Celsius."""

    @cached_property
    def cost(self) -> RunCost:
        """Cost and emissions of one run with their terms, by `perfmodel.cost.run_cost`."""
        prediction = cast("Prediction", self)
        energy, period = prediction.flat_energy, prediction.setting.facts.get("use.period")
        flat = self.cost_of(prediction.totals["latency_s"], energy.joule, period)
        if energy.joule is None:
            flat.reasons["energy"] = energy.model.removeprefix("unknown: ")
        numbers = {n: v for n, v in flat._asdict().items() if n != "reasons"}
        return flat._replace(**{n: prediction.shaped(v) for n, v in numbers.items()})

    def cost_of(self, seconds: Value, joules: Value, period: Value = None) -> RunCost:
        """Return cost and emissions of so many seconds of this device and so many joules.

        Without a period the device waits by the site's utilization. The
        die has the stated area, else that of the blocks that the spec states.
        """
        from perfmodel.cost.run_cost import run_cost
        from perfmodel.hardware.technology.ownership import memory_kg_per_byte

        prediction = cast("Prediction", self)
        facts = self._facts_or_defaults(COST_FACTS)
        facts.pop("use.period", None)
        if period is not None:
            facts["use.period"] = period
        blocks = prediction.silicon
        if "area" not in facts and not isinstance(blocks, str):
            facts["area"] = sum(blocks.areas(0.0).values())
        memories_kg = sum(
            prediction.setting.facts[f"memories.{memory.name}.capacity"]
            * memory_kg_per_byte(_generation(memory, prediction))
            for memory in prediction.machine.device.memories
            if memory.kind in _OFF_CHIP
        )
        return run_cost(facts, seconds, joules, memories_kg, waiting_power_w(prediction.setting))

    @property
    def cost_usd(self) -> Value:
        """Cost of one run, US dollars: its share of the device's price, and electricity.

        Electricity is that of the run and that of waiting between runs at the site's utilization.
        """
        return self.cost.cost_usd

    @property
    def carbon_kg(self) -> Value:
        """Emissions of one run, kg of CO2 equivalent: embodied and operational."""
        return self.cost.carbon_kg

    @property
    def embodied_kg(self) -> Value:
        """Emissions from making the chips and memories of the device, kg of CO2 equivalent."""
        return self.cost.embodied_kg

    @property
    def usd_per_million_tokens(self) -> Value:
        """Cost of a million tokens, US dollars; ``None`` for workloads without tokens."""
        return self._per_item(self.cost_usd, "tokens", 1e6)

    @property
    def usd_per_inference(self) -> Value:
        """Cost of a frame or sequence, US dollars; ``None`` for workloads with tokens."""
        return self._per_item(self.cost_usd, "", 1.0)

    @property
    def carbon_kg_per_million_tokens(self) -> Value:
        """Emissions of a million tokens, kg of CO2; ``None`` for workloads without tokens."""
        return self._per_item(self.carbon_kg, "tokens", 1e6)

    @property
    def carbon_kg_per_inference(self) -> Value:
        """Emissions of a frame or sequence, kg of CO2; ``None`` for workloads with tokens."""
        return self._per_item(self.carbon_kg, "", 1.0)

    @cached_property
    def thermal(self) -> Thermal:
        """Thermal and battery limits of the repeated run: sustained speed, burst, runs per charge.

        From ``power.thermal_resistance``, ``heat_capacity``, ``limit`` and ``battery``, of the
        device or of its class; NaN or infinite where neither states them.
        """
        return self.thermal_at(1.0)

    def thermal_at(self, multiple: Value) -> Thermal:
        """Return `thermal` of the same run at a multiple of its power."""
        from perfmodel.cost.thermal import Thermal, thermal_outcome

        prediction = cast("Prediction", self)
        joule = prediction.flat_energy.joule
        flat = prediction.setting.xp.asarray(multiple).reshape(-1)
        outcome = thermal_outcome(
            self._facts_or_defaults(("power.",)),
            prediction.totals["latency_s"],
            float("nan") if joule is None else joule * flat,
        )
        return Thermal(*(prediction.shaped(value) for value in outcome))

    @property
    def burst_s(self) -> Value:
        """Time of full speed until the device throttles, seconds; infinite if it never does.

        NaN, as other metrics of heat, if neither the device nor its class states how it sheds heat.
        """
        return self._of_known_body("burst_s")

    @property
    def sustained_speed(self) -> Value:
        """Share of full speed after throttling."""
        return self._of_known_body("sustained_speed")

    @property
    def sustained_latency_s(self) -> Value:
        """Latency of one run after throttling, seconds."""
        return self._of_known_body("sustained_latency_s")

    @property
    def steady_celsius(self) -> Value:
        """Temperature that full speed tends to, degrees Celsius."""
        return self.thermal.steady_celsius

    @property
    def energy_per_period_j(self) -> Value:
        """Energy of a run and of the rest of its period (``use.period``), joules.

        ``E + P_rest (T - t)``, at the power of sleep, else of an idle device. ``None`` without a
        period; NaN where a run does not end in it.
        """
        prediction = cast("Prediction", self)
        period = prediction.setting.facts.get("use.period")
        if period is None:
            return None
        resting = resting_power_w(prediction.setting)
        joules = prediction.flat_energy.joule
        if resting is None or joules is None:
            return prediction.shaped(np.nan)
        spare = period - prediction.totals["latency_s"]
        xp = namespace(spare, joules, resting)
        return prediction.shaped(xp.where(spare >= 0.0, joules + resting * spare, np.nan))

    @property
    def average_power_w(self) -> Value:
        """Power averaged over a period, watts: `energy_per_period_j` over ``use.period``."""
        joules = self.energy_per_period_j
        facts = cast("Prediction", self).setting.facts
        return (
            None
            if joules is None
            else joules / cast("Prediction", self).shaped(facts["use.period"])
        )

    @property
    def battery_hours(self) -> Value:
        """Duration of a charge of the battery, hours; NaN without a battery.

        With runs at full speed, or one for each period where ``use.period`` is set.
        """
        power = self.average_power_w
        if power is None:
            return self.thermal.battery_hours
        return self._charge_wh / power

    @property
    def battery_share_in_an_hour(self) -> Value:
        """Share of a charge that an hour of repeated runs takes; NaN without a battery.

        With runs at full speed, or one for each period where ``use.period`` is set.
        """
        power = self.average_power_w
        if power is None:
            return self.thermal.battery_share_in_an_hour
        return power / self._charge_wh

    @property
    def _charge_wh(self) -> Value:
        from perfmodel.cost.thermal import HOUR

        prediction = cast("Prediction", self)
        return prediction.shaped(prediction.setting.facts.get("power.battery", np.nan) / HOUR)

    @property
    def burst_reason(self) -> str:
        """Why the time to throttle is what it is (of the first point)."""
        prediction = cast("Prediction", self)
        if prediction.shape:
            return prediction.at(0).burst_reason
        warm, power = self.thermal, show(prediction.power_w, "power")
        if np.isnan(prediction.energy_j):
            return "the energy of a run is not known"
        limit, resistance = (
            prediction.machine.get(f"power.{name}") for name in ("limit", "thermal_resistance")
        )
        if limit is None or resistance is None:
            if np.isfinite(warm.sustained_power_w):
                ceiling = show(warm.sustained_power_w, "power")
                above = "more" if np.isfinite(warm.burst_s) else "no more"
                return f"{power} is {above} than the {ceiling} that it draws for long (as stated)"
            return "neither the device nor its class states how it sheds heat"
        from perfmodel.cost.thermal import body_of, chip_on_body, sustained_power

        facts = self._facts_or_defaults(("power.",))
        body = body_of(facts)
        chip = chip_on_body(facts, body)
        sheds = sustained_power(body) if chip is None else chip.sustained_power_w
        text = f"the {show(float(sheds), 'power')} that it sheds at its limit"
        where = _origin_of_body(prediction)
        if chip is not None and np.isfinite(warm.burst_s):
            hot, skin = chip.temperatures(prediction.power_w, warm.burst_s)
            if hot >= chip.limit - _ROUNDING_KELVIN:
                where += f", its chip first, at {hot:.0f} degC on a body of {skin:.0f}"
        if np.isinf(warm.burst_s):
            return f"{power} is no more than {text}: it never throttles ({where})"
        if warm.sustained_power_w >= prediction.machine.get("power.busy", np.inf):
            return f"{power} is more than the {show(warm.sustained_power_w, 'power')} it states"
        return f"{power} is more than {text} ({where})"

    @property
    def costs_asked(self) -> bool:
        """Whether the question sets a fact of the site, a price or a volume.

        Costs are then shown at a glance, explained and cited beside the latency.
        """
        return any(is_of_ownership(path) for path in cast("Prediction", self).machine.varied)

    def missing_reason(self, metric: str) -> str:
        """Return why a metric is not known (or a time infinite); empty where it is, or unclear."""
        prediction = cast("Prediction", self)
        workload = prediction.job.workload
        if lacks_items(metric, workload.unit):
            return f"{workload.name} yields {workload.unit}"
        if metric in DESIGN_METRICS and prediction.metric(metric) is None:
            return "no such design in the fabric of an FPGA is stated"
        if metric in SILICON and isinstance(prediction.silicon, str):
            return prediction.silicon
        if metric == "leakage_w" and prediction.has_only_areas:
            return "only the areas of its blocks are stated, and not what leaks in them"
        if metric in ("ttft_s", "tpot_s") and prediction.metric(metric) is None:
            return f"{workload.name} has no {'prefill' if metric == 'ttft_s' else 'decoding'}"
        if metric.startswith("battery") and "power.battery" not in prediction.setting.facts:
            return "no battery is stated (power.battery)"
        reasons = self.cost.reasons
        parts = ("price", "energy") if "usd" in metric else ("embodied", "energy")
        if metric in _COSTS:
            return " and ".join(reasons[part] for part in parts if part in reasons)
        if metric in _OF_PERIOD:
            return self._period_reason
        return self.burst_reason if metric in _HEAT else ""

    @property
    def _period_reason(self) -> str:
        """Return why the energy of a period is not known; empty if it is (at every point)."""
        prediction = cast("Prediction", self)
        period = prediction.setting.facts.get("use.period")
        if period is None:
            return "no period is set (use.period)"
        if prediction.flat_energy.joule is None:
            return "the energy of a run is not known"
        if resting_power_w(prediction.setting) is None:
            return "neither an idle power nor that of sleep is stated (power.idle, power.sleep)"
        late = np.asarray(prediction.totals["latency_s"] > period)
        if not late.any():
            return ""
        if late.size > 1:
            return f"{int(late.sum())} of {late.size} runs do not end in their period"
        run, most = (show(first_number(v), "time") for v in (prediction.latency_s, period))
        return f"a run of {run} does not end in its period of {most}"

    def _of_known_body(self, name: str) -> Value:
        """Return a field of `thermal`; NaN where no power is known that lasts."""
        warm = self.thermal
        xp = namespace(*warm)
        known = xp.isfinite(warm.sustained_power_w)
        return cast("Prediction", self).shaped(xp.where(known, getattr(warm, name), np.nan))

    def _per_item(self, value: Value, unit: str, count: float) -> Value:
        """Return a value of a run by item; ``None`` if its items have another unit."""
        prediction = cast("Prediction", self)
        workload = prediction.job.workload
        if (workload.unit == "tokens") != (unit == "tokens"):
            return None
        return count * value / workload.items()

    def _facts_or_defaults(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """Return the facts whose paths start with any head, by default those of the class."""
        prediction = cast("Prediction", self)
        defaults = prediction.machine.device.defaults
        facts = {p: d.value for p, d in defaults.items() if p.startswith(heads)}
        return facts | {
            p: value for p, value in prediction.setting.facts.items() if p.startswith(heads)
        }


def _generation(memory: Memory, prediction: Prediction) -> str:
    """Return a text that names the generation of a memory: its kind, name and note."""
    energy = prediction.machine.device.energy
    named = energy.memories.get(memory.name, "") if energy else ""
    notes = (memory.note, memory.bandwidth.note, memory.capacity.note)
    return " ".join(filter(None, (named, memory.kind, memory.name, *notes)))


def _origin_of_body(prediction: Prediction) -> str:
    """Return who states how the device sheds heat: its spec, or its class."""
    path, machine = "power.thermal_resistance", prediction.machine
    if path in prediction.setting.facts:
        return "assumed" if machine.provenance[path].confidence == "estimated" else "as stated"
    known = machine.device.defaults.get(path)
    if known is None:
        return "its stated power"
    article = "an" if known.origin[0] in "aeiou" else "a"
    return f"assumed, as of {article} {known.origin}"
