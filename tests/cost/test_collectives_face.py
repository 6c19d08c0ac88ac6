"""The face of collectives: numbers as floats, texts with units, every fault at once."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError


def test_a_message_may_be_a_text_and_numbers_are_floats() -> None:
    found = pm.collective("all_reduce", "1 MB", 4, "h100", runtime="nccl")
    assert found.latency_s == pm.collective("all_reduce", 1e6, 4, "h100", runtime="nccl").latency_s
    assert type(found.latency_s) is float
    assert found.wire_bytes == pytest.approx(2 * 3 / 4 * 1e6)


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as caught:
        pm.collective("all_redce", -1.0, 2.5, "h10")
    text = str(caught.value)
    for part in ("all_reduce", "message_bytes", "devices: ", "'h10'"):
        assert part in text, part
    with pytest.raises(InputError, match="message_bytes"):
        pm.collective("all_reduce", "1 MW", 4, "h100")


@pytest.mark.parametrize(
    ("message", "devices", "said"),
    [
        (float("nan"), 2, "message_bytes"),
        (float("inf"), 2, "message_bytes"),
        (1e6, "two", "devices"),
        (np.ones(3), np.full(2, 4.0), "do not go together"),
    ],
)
def test_what_is_no_number_or_shape_is_refused(message: object, devices: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        pm.collective("all_reduce", message, devices, "h100")  # type: ignore[arg-type]
