"""Grades: better sources never lower one, and a peak without a source is refused."""

from collections.abc import Callable

import pytest

from perfmodel.hardware.device import Device
from perfmodel.hardware.grade import WORTH, grade

Load = Callable[..., Device]


def test_counts_and_score(card: Device) -> None:
    found = grade(card)
    assert found.counts["measured"] == 1
    assert found.counts["estimated"] == 3  # the price and two numbers of the host
    assert sum(found.counts.values()) == sum(
        1 for origin in card.machine("ideal").provenance.values() if origin.writer == "device card"
    )
    assert 0.75 < found.score < WORTH["datasheet"]
    assert found.letter == "B"
    assert found.faults == ()
    assert str(found).startswith("B (0.")


def test_a_measurement_lifts_and_a_guess_lowers(load: Load, spec: str, card: Device) -> None:
    before = grade(card).score
    plain = 'bandwidth: "2 TB/s"'
    for confidence, sign in (("measured", 1), ("estimated", -1)):
        text = spec.replace(plain, f'bandwidth: {{value: "2 TB/s", confidence: {confidence}}}')
        after = grade(load(text, "other")).score
        assert (after - before) * sign > 0


def test_peaks_and_bandwidths_without_a_source_are_refused(load: Load, spec: str) -> None:
    found = grade(load(spec.replace("source: sheet\n", "", 1)), "card.yaml")
    assert found.letter == "F"
    assert [fault.path for fault in found.faults] == [
        "engines.tensor.peaks.fp16",
        "engines.tensor.peaks.int8",
        "engines.tensor.vector_peaks.fp32",
        "engines.host.peaks.fp32",
        "memories.cache.bandwidth",
        "memories.hbm.bandwidth",
    ]
    assert str(found.faults[0]) == (
        "card.yaml: engines.tensor.peaks.fp16: has no source; expected a source: the key of an "
        "entry of sources"
    )
    assert found.advice.startswith("Name a source for engines.tensor.peaks.fp16")


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("accumulator: fp32, ", "", "engines.tensor.peaks.fp16.accumulator"),
        ('  idle: "50 W"\n', "", "power.idle"),
        (
            '    sustained_bandwidth: {value: "1.5 TB/s", source: shop, confidence: measured}\n',
            "",
            "memories.hbm.sustained_bandwidth",
        ),
        ('    clock: "3 GHz"\n', "", "engines.host.clock"),
    ],
)
def test_what_an_expert_misses_is_named(
    load: Load, spec: str, card: Device, old: str, new: str, path: str
) -> None:
    assert path not in grade(card).missing
    found = grade(load(spec.replace(old, new, 1), "other"))
    assert path in found.missing
    assert path in found.advice or len(found.missing) > 3


def test_the_advice_names_the_weakest_number_that_weighs_most(card: Device) -> None:
    assert "engines.host.peaks.fp32" in grade(card).advice
