"""Multipliers of a dataflow design by the bits of both factors, beside reports and white papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.kinds.fpga.digits import multiplier_share, nonzeros_of, signed_digits
from tests.kinds.test_fpga_kind import mlp, with_design

#: Weights of the last layer of a pruned jet tagger that are not zero (hls4ml_OpenML, model_2.1).
PUBLISHED = np.array(
    [
        *(0.5589520335, -1.2285842896, -1.7532666922, 0.2279918641, 0.9172039628, -1.9426492453),
        *(-1.1439431906, -1.1091365814, 0.6552426219, 1.0329279900, 0.4170238674, -1.0202515125),
        *(-0.7576237321, 0.3597704768, 1.3566778898, -0.6644248366, -1.6357853413, -0.0049343286),
        *(0.2856381536, 0.6974238753, -0.5915736556, -0.7324387431, 1.0615769625, -0.2262267917),
        *(-0.1435960531, 1.1257376671, 0.5642799735, -0.9794052243, -0.6931751370, -0.8078313470),
        *(1.3602691889, -1.0656622648, 0.7040780783, 0.9724484682, 1.4465792179, 0.3624154329),
        *(0.9501948357, -0.9630634189, -0.8779205680, -0.5913699269),
    ]
)


def taken(device: Any, changes: Mapping[str, Any], bits: str = "int8") -> float:
    """DSP slices of a layer of 16 x 64 whose products all need a multiplier."""
    layer = "engines.main.design.layers.1."
    stated = {layer + "nonzeros": 1024, layer + "multipliers": 1024, **changes}
    return pm.predict(mlp((16, 64)), device, set=stated, precision=bits).dsp - 64.0


def test_weights_of_three_digits_need_a_multiplier() -> None:
    """The report of this layer (ap_fixed<16,6>, truncated) has 38 multipliers for 40 weights."""
    stored = np.floor(PUBLISHED * 2**10)
    assert nonzeros_of(PUBLISHED, 10) == 40
    assert np.count_nonzero(signed_digits(stored) >= 3) == 38


@pytest.mark.parametrize(
    ("inputs", "weights", "slices"),
    [(12, 6, 1), (13, 10, 1), (16, 7, 1), (10, 8, 0), (10, 6, 0), (9, 7, 0), (8, 8, 0), (6, 6, 0)],
)
def test_the_wider_factor_decides_where_a_product_goes(
    inputs: int, weights: int, slices: int
) -> None:
    """As the reports have them: mul_12s_6s and mul_13s_10ns in slices, mul_10ns_8s in tables."""
    changes = {"activation_bits": inputs, "weight_bits": weights}
    assert taken("vu9p", changes) == 1024 * slices


def test_two_products_of_eight_bits_share_a_slice_of_27_bits() -> None:
    """AMD WP486: 18 bits apart in the port of a DSP48E2; that of a DSP48E1 is too narrow."""
    packed = {"multiply_in": "packed"}
    assert taken(with_design("vu9p", **packed), {}) == 1024 / 2
    assert taken(with_design("xc7z020", **packed), {}) == 1024
    assert taken(with_design("vu9p", **packed), {}, "int16") == 1024


def test_wide_products_take_two_slices() -> None:
    """24 x 24 bits: 24 fit a port of 27 (or 25) bits, and the other factor is split over 18."""
    changes = {"activation_bits": 24, "weight_bits": 24}
    assert taken("vu9p", changes) == 2048


def test_more_bits_have_more_digits() -> None:
    shares = [float(multiplier_share(0.5, bits, np)) for bits in range(-4, 7)]
    assert shares == sorted(shares)
    assert shares[4] == 0.5
    assert 0.0 < shares[0] < 0.01
    assert shares[-1] < 1.0
    # Drawn weights of the implied spread, counted digit by digit.
    drawn = np.random.default_rng(0).normal(0.0, 200.0, 100_000)
    here, finer = (
        np.mean(signed_digits(np.rint(q))[np.rint(q) != 0] >= 3) for q in (drawn, 4 * drawn)
    )
    assert float(multiplier_share(here, 2.0, np)) == pytest.approx(finer, abs=0.01)


def test_a_design_whose_weights_nobody_knows_has_ends() -> None:
    """Pruned or not, sums of shifts or not; stated numbers leave one value."""
    part = hardware("vu9p")
    design = "engines.main.design."
    unknown = pm.predict(mlp(), part, precision="int16").resources["dsp"]
    assert unknown["low"] < unknown["used"] < unknown["high"]
    assert unknown["high"] == 4256 + 5
    pruned = pm.predict(mlp(), part, precision="int16", set={design + "density": 0.25})
    sparse = pruned.resources["dsp"]
    assert unknown["low"] < sparse["low"] < sparse["used"] < sparse["high"] < 4256 / 4 + 5
    counts = ("nonzeros", "multipliers")
    stated = {f"{design}layers.{i}.{n}": 100 for i in range(1, 5) for n in counts}
    known = pm.predict(mlp(), part, precision="int16", set=stated).resources["dsp"]
    assert known["used"] == 405
    assert "low" not in known


def test_energy_of_a_design_is_leakage_and_what_toggles() -> None:
    """By hand from a spec's figures: a layer works in the clock in which it takes a frame in,
    registers in every clock; twice the clock is twice the power of registers."""
    machine = hardware("vu9p").machine()
    found = pm.predict(mlp(), machine, precision="int16")
    facts = machine.facts
    amounts = {name: use["used"] for name, use in found.resources.items()}
    joules = {
        name: amount * facts[f"engines.fabric.{name}_energy"] for name, amount in amounts.items()
    }
    registers = joules.pop("ff")
    seconds = float(found.latency_s)
    parts = found.energy.parts
    assert found.interval_s == pytest.approx(1 / 200e6)
    assert parts["fabric"] == pytest.approx(0.125 * sum(joules.values()))
    assert parts["registers"] == pytest.approx(0.125 * 200e6 * registers * seconds)
    # Frames in a row take no more than their own work, and clocks of registers.
    one, many = (
        pm.predict(pm.workload("jet_tagger", batch=n), machine, precision="int16").energy.parts
        for n in (1, 4)
    )
    assert many["fabric"] == pytest.approx(4 * one["fabric"])
    assert many["registers"] < 2 * one["registers"]

    assert parts["static"] == pytest.approx(facts["power.idle"] * seconds)
    assert found.energy_j == pytest.approx(sum(parts.values()))
    faster = pm.predict(mlp(), machine, precision="int16", set={"engines.main.clock": 400e6})
    watts = [float(p.energy.parts["registers"] / p.latency_s) for p in (found, faster)]
    assert watts[1] == pytest.approx(2 * watts[0])
    assert faster.energy.parts["fabric"] == pytest.approx(parts["fabric"], rel=0.01)
    calm = pm.predict(mlp(), machine.vary({"engines.fabric.toggle": 0.05}), precision="int16")
    assert calm.energy.parts["fabric"] == pytest.approx(0.4 * parts["fabric"])


def test_a_design_that_fits_no_part_has_no_energy() -> None:
    """Its watts would be those of nothing; where a point of a sweep fits, it has one."""
    density = np.array([0.1, 1.0])
    facts = {"engines.main.design.reuse_factor": 16.0, "engines.main.design.sum_bits": 16.0}
    part = hardware("xc7z020").machine().vary(facts)
    both = pm.predict(mlp(), part.vary({"engines.main.design.density": density}), precision="int16")
    assert list(both.feasible) == [True, False]
    assert list(np.isnan(both.energy_j)) == list(np.isnan(both.power_w)) == [False, True]
    alone = pm.predict(mlp(), part.vary({"engines.main.design.density": 1.0}), precision="int16")
    assert alone.energy.joule is None
    assert "more than the part has" in alone.energy_model
    assert alone.to_dict()["energy_j"] is None
    assert " W\n" not in str(alone)
    assert not [name for name in alone.table.columns if "energy" in name]
    with pytest.raises(InputError, match="more than the part has"):
        alone.plot.energy_stack()
    fitting = pm.predict(mlp(), part.vary({"engines.main.design.density": 0.1}), precision="int16")
    assert fitting.energy_j == pytest.approx(both.energy_j[0])


def test_an_explanation_adds_up() -> None:
    """The interval and each resource, as plain arithmetic that gives the metric."""
    found = pm.predict(mlp(), "vu9p", precision="int16")
    lines = dict(line.split(" = ", 1) for line in found.explain(2).splitlines() if " = " in line)
    clocks, _, clock = lines["interval_s"].split(" = ")[0].partition("/")
    assert float(clocks) / float(clock) == pytest.approx(found.interval_s)
    for name in ("lut", "ff", "dsp", "bram"):
        terms, _, total = lines[name].rpartition(" = ")
        numbers = [float(term.split()[0]) for term in terms.split(" + ")]
        assert sum(numbers) == pytest.approx(float(total))
        assert float(total) == pytest.approx(getattr(found, name))


def test_a_search_takes_the_energy_of_designs_that_fit() -> None:
    """A member that does not fit has no energy, which is no reason to refuse the question."""
    facts = {"engines.main.design.reuse_factor": 16.0, "engines.main.design.sum_bits": 16.0}
    part, path = hardware("xc7z020").machine().vary(facts), "engines.main.design.density"

    def least(*shares: float) -> pm.SearchResult:
        choices = {path: list(shares)}
        return pm.search(
            "jet_tagger", part, choices=choices, objective="energy_j", precision="int16"
        )

    found = least(1.0, 0.1)
    assert found.best is not None
    fitting = pm.predict("jet_tagger", part.vary({path: 0.1}), precision="int16")
    assert found.best.value == pytest.approx(fitting.energy_j)
    assert least(1.0, 0.9).best is None
