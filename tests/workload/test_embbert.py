"""EmbBERT: parameters as the authors' code has them, and memory as they state it."""

from __future__ import annotations

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.formats import as_precision
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.problem_from_graph import scheduling_problem
from perfmodel.workload.fuse import FusionRules


def memory(precision: str, **settings: str) -> tuple[int, int]:
    workload = pm.workload("embbert", **settings)
    whole = scheduling_problem(
        workload, as_precision(precision), FusionRules(flash_attention=False)
    )
    peak = minimum_peak(whole.problem)
    assert peak.proved
    return whole.weight_bytes, peak.value


def test_parameters_are_the_sums_of_the_published_code() -> None:
    """V r + r d + L r + r d + 3 d, and of a layer d + 4 d + 2 (d^2 + d) + (d k + d) + (d^2 + d)."""
    d, r, k, length, vocabulary = 128, 16, 32, 256, 8192
    tables = vocabulary * r + r * d + length * r + r * d + 3 * d
    layer = d + 4 * d + 2 * (d * d + d) + (d * k + d) + (d * d + d)
    workload = pm.workload("embbert")
    assert workload.weights == tables + 4 * layer == 357_248
    one = pm.workload("embbert", layers=1)
    assert one.weights == tables + layer
    assert pm.workload("embbert", classes=2).weights == 357_248 + 2 * d + 2


def test_multiply_accumulates_are_those_of_its_products() -> None:
    d, r, k, n = 128, 16, 32, 256
    layer = 3 * n * d * d + 2 * n * n * d + n * d * k
    assert pm.workload("embbert").macs == 2 * n * r * d + 4 * layer


def test_the_least_peak_is_scores_beside_two_sequences() -> None:
    """While scores are made, the input, the query and L x L scores lie in memory: 2 L d + L^2."""
    _, peak = memory("w8a8")
    assert peak == 2 * 256 * 128 + 256**2
    short = pm.workload("embbert", tokens=64)
    whole = scheduling_problem(short, as_precision("w8a8"), FusionRules(flash_attention=False))
    # Shorter sequences: the two branches and the input, three sequences, outweigh the scores.
    assert minimum_peak(whole.problem).value == 3 * 64 * 128


def test_memory_is_what_the_authors_state() -> None:
    """fp32: 1.95 MB in their plot of sizes. Quantised: 781 kB (abstract of arXiv:2502.10001).

    They quantise with bitsandbytes, which keeps all but linear layers, and the activations, in 16
    bits: that reading gives 776 kB, 0.6 % below. Everything in 8 bits would be 502 kB.
    """
    weights, peak = memory("fp32")
    assert (weights + peak) / 1e6 == pytest.approx(1.95, abs=0.005)
    weights, peak = memory("w=int8,a=fp16", kept_format="fp16")
    assert weights + peak == pytest.approx(781e3, rel=0.01)
    weights, peak = memory("w8a8")
    assert weights + peak < 0.65 * 781e3


def test_parts_add_up_to_the_whole() -> None:
    """The tables (V r + r d + L r + r d + 3 d) and a layer, each by itself."""
    whole = pm.workload("embbert")
    tables = pm.workload("embbert", part="embedding")
    layers = pm.workload("embbert", part="layers")
    assert tables.weights == 139_648
    assert layers.weights == 4 * 54_400
    assert tables.weights + layers.weights == whole.weights == 357_248
    assert tables.macs + layers.macs == whole.macs
    one = pm.workload("embbert", part="layers", layers=1)
    four = pm.predict(layers, "raspberry_pi_4").latency_s
    assert pm.predict(one, "raspberry_pi_4").latency_s == pytest.approx(four / 4, rel=0.02)
    with pytest.raises(InputError, match="no classifier"):
        pm.workload("embbert", part="embedding", classes=2)
