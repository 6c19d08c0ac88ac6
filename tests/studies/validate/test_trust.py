"""The page of errors says what validation says, leaves nothing out, and names what it lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perfmodel.evaluate import ValidationResult, dataset_names, reproduce, validate
from perfmodel.evaluate.result import errors
from perfmodel.evaluate.trust import trust_page
from perfmodel.evaluate.trust.peers import peers

PAGE = Path(__file__).resolve().parents[3] / "docs" / "trust.md"
FOUND = errors([1.1, 1.8, 3.0], [1.0, 2.0, 3.0])


def result(name: str = "flash_read", **more: object) -> ValidationResult:
    fields: dict[str, object] = {
        "rows": 4,
        "coverage": 0.75,
        "targets": {"latency_s": FOUND},
        "primary": "latency_s",
        "by_device": {
            "a": {"rows": 2, "mape": 0.1, "bias": 0.0},
            "b": {"rows": 1, "mape": 0.0, "bias": 0.0},
        },
        "by_group": {},
        "baselines": {"roofline": errors([0.5, 1.0, 1.5], [1.0, 2.0, 3.0])},
        "unpredicted": ({"reason": "no such device", "rows": 1, "first": "x"},),
        "notes": ("one session",),
    }
    return ValidationResult(name, **{**fields, **more})  # type: ignore[arg-type]


def test_a_result_is_told_with_its_failures() -> None:
    page = trust_page([result()])
    assert "| [`flash_read`](#flash_read) | 4 | 75.0 | 6.7 | 10.0 | +0.0 |  |  | 50.0 |" in page
    assert "Not predicted, 1 rows: no such device." in page
    assert "By device, error % (bias, rows): a 10.0 (+0.0, 2), b 0.0 (+0.0, 1)." in page
    assert "One session." in page


def test_left_out_stands_beside() -> None:
    told = {
        "latency_s": {
            "left_out": "chip",
            "rows": 3,
            **FOUND,
            "mape": 0.123,
            "groups": {},
            "predictions": [],
        }
    }
    page = trust_page([result(left_out=told)])
    assert "| 12.3 (chip) |" in page
    assert "| `latency_s, chip left out` | 12.3 | 10.0 | +0.0 | 66.7 | 1.000 |" in page


def test_what_the_nesting_costs_stands_beside() -> None:
    nested = {"left_out": "chip", "rows": 3, **FOUND, "mape": 0.15, "groups": {}, "predictions": []}
    trial = {"latency_s": {**nested, "mape": 0.123, "nested": nested}}
    page = trust_page([result(left_out=trial)])
    assert "| 12.3 (chip) | 15.0 (+2.7) |" in page
    assert "| `latency_s, nested` | 15.0 | 10.0 | +0.0 | 66.7 | 1.000 |" in page


def test_claims_are_counted_by_basis() -> None:
    found = reproduce("zigzag")
    page = trust_page([], found)
    good = sum(c.verdict == "within" for c in found)
    assert f"| `zigzag` | {len(found)} |  | {good} of {len(found)} |  |" in page


def test_measurements_without_a_data_set_are_listed(tmp_path: Path) -> None:
    (tmp_path / "measured").mkdir()
    for name in ("flash_read.csv", "brand_new.csv", "brand_new_heldout.csv"):
        (tmp_path / "measured" / name).write_text("a\n")
    page = trust_page([], root=tmp_path)
    assert "- `brand_new.csv`" in page
    assert "- `flash_read.csv`" not in page
    assert "heldout" not in page


def test_peers_stand_beside_a_data_set_that_exists() -> None:
    assert {p.data for p in peers()} <= set(dataset_names())


def test_the_page_in_the_docs_has_every_data_set() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == set(dataset_names())


@pytest.mark.data
@pytest.mark.parametrize("name", ["llamacpp_apple_4167", "flash_read"])
def test_the_page_in_the_docs_says_what_validation_says(name: str, data: Path) -> None:
    (found,) = validate(name, data=data)
    text = PAGE.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| [`{name}`]"))
    assert row.split("|")[4].strip() == f"{100 * (found.mape or 0):.1f}"
