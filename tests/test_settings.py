"""Settings by name: what they apply to, and what texts stand for."""

from typing import Any

import pytest

from perfmodel.errors import Fault, InputError
from perfmodel.settings import FaultList, is_fact, plain_value, split, text_list


def test_names_are_sorted_by_what_they_apply_to() -> None:
    found = split(
        {
            "batch": 1,
            "memories.main.bandwidth": "1 GB/s",
            "weight_bits": 4,
            "precision": "fp16",
            "device": "a100",
            "experts.per_token": 2,
            "runtime.per_run": 0.0,
            "runtime": "ideal",
        }
    )
    assert found.workload == {"batch": 1, "experts.per_token": 2}
    assert found.facts == {"memories.main.bandwidth": "1 GB/s", "runtime.per_run": 0.0}
    assert found.bits == {"weights": 4}
    assert found.options == {"precision": "fp16", "runtime": "ideal"}
    assert found.subjects == {"device": "a100"}


@pytest.mark.parametrize("name", ["memories.x.y", "engines.main.clock", "power.idle", "area"])
def test_facts(name: str) -> None:
    assert is_fact(name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("-1", -1),
        ("0.5", 0.5),
        ("1e3", 1000),
        ("1_000", 1000),
        ("2**10", 1024),
        ("2**-1", 0.5),
        ("true", True),
        ("False", False),
        ("none", None),
        ("prefill", "prefill"),
        ("1 GB", "1 GB"),
        ("2**99999", float("inf")),
        ("0_", "0_"),
        ("1__0", "1__0"),
    ],
)
def test_what_texts_stand_for(text: str, value: Any) -> None:
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)


def test_lists() -> None:
    assert text_list(["a,b", " c ,", ""]) == ["a", "b", "c"]


def test_faults_are_gathered_and_settled_once() -> None:
    def fails(message: str) -> int:
        raise InputError(Fault(message), Fault("another", file="kept"))

    faults = FaultList()
    assert faults.trying(len, "abc") == 3
    assert faults.trying(fails, "first") is None
    assert faults.trying_for("--x", fails, "second") is None
    with pytest.raises(InputError) as caught:
        faults.settle()
    assert [str(f) for f in caught.value.faults] == [
        "first",
        "kept: another",
        "--x: second",
    ]
    FaultList().settle()
