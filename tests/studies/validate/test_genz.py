"""GenZ's counting of matrix products, and its reference predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from perfmodel_studies.readers.genz import device, ours, runtime, steps
from perfmodel_studies.readers.genz_products import (
    CORRECTIONS,
    GIB,
    HARDWARE,
    GenzGemm,
    GenzQuery,
    footprint,
    products,
    seconds,
)

from perfmodel.evaluate import ValidationResult

LLAMA, MIXTRAL = "meta-llama/Llama-2-7B", "mistralai/Mixtral-8x7B"


def corrected(question: GenzQuery) -> list[GenzGemm]:
    made = products(question)
    for correction in CORRECTIONS:
        made = correction(made, question)
    return made


# Figures that genz-llm 0.0.16 gives, milliseconds.
@pytest.mark.parametrize(
    ("question", "milliseconds"),
    [
        (GenzQuery(LLAMA, "A100_80GB_GPU", "bf16", "prefill", 1, 512, 0), 22.55546126441026),
        (GenzQuery(LLAMA, "A100_80GB_GPU", "bf16", "decode", 1, 512, 1), 6.158888014075763),
        (GenzQuery(LLAMA, "A100_80GB_GPU", "bf16", "prefill", 1, 2048, 0), 95.50795865271796),
    ],
)
def test_published_figures_once_corrected(question: GenzQuery, milliseconds: float) -> None:
    found = ours(question)
    after = list(steps(question, found).values())[-1]
    assert 1e3 * after == pytest.approx(milliseconds, rel=1e-9)


def test_a_product_takes_the_larger_of_arithmetic_and_data() -> None:
    question = GenzQuery(LLAMA, "A100_80GB_GPU", "int8", "decode", 1, 512, 1)
    rate = 312e12 * 2 / 2
    busy = GenzGemm("x", 3, 1e12, 1.0, 1.0, 1.0)
    assert seconds([busy], question, 1e12) == pytest.approx(3 * 1e12 / rate)
    wide = GenzGemm("x", 2, 1.0, 1e9, 2e9, 4e9, "lo")
    expected = 2 * (2e9 / 1e12 + 5e9 / (18000 * GIB))
    assert seconds([wide], question, 1e12) == pytest.approx(expected)


def test_our_products_hold_the_networks_weights_and_work() -> None:
    question = GenzQuery(LLAMA, "H100_GPU", "bf16", "prefill", 2, 128, 0)
    made = products(question)
    weights = sum(p.count * p.right for p in made if p.name != "attention")
    # All but the embedding table and the vectors of the normalisations.
    assert weights == 6738415616 - 32000 * 4096 - 65 * 4096
    macs = sum(p.count * p.macs for p in made if p.name != "attention")
    assert macs == weights * 2 * 128
    (attention,) = (p for p in made if p.name == "attention")
    assert attention.macs == 2 * 2 * 32 * 128 * 128 * 128
    assert attention.left + attention.out == 4 * 2 * 128 * 4096


def test_bare_prediction_is_of_the_stated_hardware() -> None:
    facts = device("TPUv5e").machine(runtime()).facts
    assert facts["engines.gpu.peaks.int4"] == 4 * facts["engines.gpu.peaks.bf16"]
    assert facts["memories.hbm.bandwidth"] == HARDWARE["TPUv5e"][2] * 1e9


def test_a_batch_touches_more_experts_here_than_there() -> None:
    one = GenzQuery(MIXTRAL, "MI300X", "bf16", "decode", 1, 512, 1)
    many = GenzQuery(MIXTRAL, "MI300X", "bf16", "decode", 32, 512, 1)
    up = {q: next(p for p in products(q) if p.name == "experts_up") for q in (one, many)}
    theirs = {q: next(p for p in corrected(q) if p.name == "experts_up") for q in (one, many)}
    assert up[one].right == theirs[one].right == theirs[many].right
    assert up[many].right > 3.9 * theirs[many].right
    assert up[many].macs == theirs[many].macs


def test_all_experts_need_room() -> None:
    decode = GenzQuery(MIXTRAL, "A100_80GB_GPU", "bf16", "decode", 1, 512, 1)
    held = footprint(corrected(decode), decode)
    cache = 2 * 2 * 32 * 513 * 8 * 128
    # Without the embedding table and the vectors of the normalisations.
    assert held == 2 * (46702792704 - 32000 * 4096 - 65 * 4096) + cache


@pytest.mark.data
def test_every_reference_row_matches_or_is_explained(
    validated: Callable[[str], ValidationResult],
) -> None:
    found = validated("genz")
    details = found.details
    assert (found.rows, found.coverage) == (768, 1.0)
    assert details["with_a_number"] == 610
    assert details["match_once_corrected"] == 610
    assert details["unexplained"] == []
    assert details["largest_rest"] < 1e-9
    assert details["memory"]["explained"] == 768
    assert details["match_as_they_are"] >= 150
    # A difference that moves nothing would be no difference.
    assert all(effect["rows"] > 0 for effect in details["corrections"].values())


@pytest.mark.data
def test_the_docs_name_every_difference_and_its_count(
    validated: Callable[[str], ValidationResult], checkout: Path
) -> None:
    text = (checkout / "docs" / "genz.md").read_text()
    found = validated("genz")
    for name, effect in found.details["corrections"].items():
        (line,) = (row for row in text.splitlines() if row.startswith(f"| `{name}`"))
        assert line.rstrip(" |").rpartition("| ")[2].startswith(f"{effect['rows']}, ")
    assert f"{found.details['match_as_they_are']} of 610" in text
