"""`solver=` of the questions that pose integer programmes: CBC reaches what HiGHS does."""

from collections.abc import Callable
from typing import Any

import pytest

import perfmodel as pm

Ask = Callable[..., Any]

QUESTIONS: list[tuple[Ask, str]] = [
    (lambda **o: pm.schedule("tiny_cnn", capacity="20 KiB", method="ilp", **o), "lower_bound"),
    (
        lambda **o: pm.assign(
            "resnet18", "rk3588", objective="throughput", precision="int8", looks=200, **o
        ),
        "interval_s",
    ),
    (
        lambda **o: pm.place(
            "llama_3_8b", "examples/desktop_with_ssd.yaml", precision="w4a16", **o
        ),
        "value",
    ),
    (
        lambda **o: pm.finetune(
            "mcunet_5fps", limit="256 KiB", parts="bias,1", set={"height": 64, "width": 64}, **o
        ),
        "gain",
    ),
    (
        lambda **o: pm.search(
            "resnet18",
            "edge_tpu",
            choices={"weight_bits": [4, 8]},
            constraints="latency_s <= 2 ms",
            objective="weight_bytes",
            **o,
        ),
        "bound",
    ),
]


@pytest.mark.parametrize(("ask", "number"), QUESTIONS)
def test_cbc_answers_as_highs_does(ask: Ask, number: str) -> None:
    ours, theirs = ask(), ask(solver="cbc")
    assert theirs.feasible == ours.feasible
    assert getattr(theirs, number) == pytest.approx(getattr(ours, number), rel=2e-2)
    if ours.proved and theirs.proved:
        assert getattr(theirs, number) == pytest.approx(getattr(ours, number), rel=1e-6)


@pytest.mark.parametrize("ask", [ask for ask, _ in QUESTIONS])
def test_a_solver_that_is_not_installed_is_a_fault(ask: Ask) -> None:
    with pytest.raises(pm.InputError, match="no solver 'cpc' is installed") as caught:
        ask(solver="cpc")
    (fault,) = caught.value.faults
    assert (fault.path, fault.suggestion) == ("solver", "cbc")
    assert "highs" in fault.expected
