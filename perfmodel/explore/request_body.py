"""Validation of requests from the page's browser: any other body is answered with its faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from perfmodel.errors import Fault, one_of
from perfmodel.explore.choices import PHASES, Choices
from perfmodel.explore.selection import LIMITS
from perfmodel.units import is_number

#: Inputs of the page, in the order in which it sends their values.
SENDS: Final = (
    "workload",
    "device",
    "beside",
    "phase",
    "runtime",
    "precision",
    "batch",
    "length",
    "settings",
    *(f"limit-{name}" for name in LIMITS),
)
#: Outputs of the page that an answer updates.
FILLS: Final = (
    "answer.data",
    "phase.options",
    "phase.value",
    "runtime.options",
    "runtime.value",
    "batch.value",
    "length.value",
    "knob-phase.hidden",
    "knob-batch.hidden",
    "knob-length.hidden",
    "length-label.children",
)
#: Slider -> largest exponent of two; a workload's default may exceed the range of the drawn slider.
SLIDERS: Final = {"batch": 16, "length": 24}
#: Limits on the bytes of a body, enforced by the server, and on the characters of a text in it.
MOST_BYTES: Final = 2**16
_LONGEST: Final = 4000


def body_faults(text: bytes, choices: Choices) -> list[Fault]:
    """Return all faults of the body of a request."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return [Fault("the body is not JSON", expected="what the page sends")]
    if not isinstance(body, dict):
        return [Fault("the body is not an object", expected="what the page sends")]
    sent = cast("dict[str, Any]", body)
    faults = _frame_faults(sent)
    if _names(sent.get("inputs")) != [f"{name}.value" for name in SENDS]:
        message = "are not those of the page"
        return [*faults, Fault(message, path="inputs", expected=", ".join(SENDS))]
    values = {name: one.get("value") for name, one in zip(SENDS, sent["inputs"], strict=True)}
    for name, value in values.items():
        faults += _slider(name, value) if name in SLIDERS else _text(name, value)
    if not faults:
        names = ("workload", "device", "beside", "runtime")
        faults += choices.faults(*(str(values[name] or "") for name in names))
        if (values["phase"] or "") not in ("", *PHASES):
            message = f"'{values['phase']}' is not a phase"
            faults.append(Fault(message, path="phase", expected=one_of(PHASES)))
    return faults


def _frame_faults(sent: Mapping[str, Any]) -> list[Fault]:
    """Return faults in the envelope of the values."""
    changed = sent.get("changedPropIds", [])
    known = [f"{name}.value" for name in SENDS]
    listed = isinstance(changed, list) and all(one in known for one in cast("list[Any]", changed))
    checks = (
        ("output", sent.get("output") == f"..{'...'.join(FILLS)}..", "names no output of the page"),
        ("outputs", _names(sent.get("outputs")) == list(FILLS), "are not those of the page"),
        ("changedPropIds", listed, "names no input of the page"),
        ("state", sent.get("state") in (None, []), "has a value"),
    )
    return [Fault(message, path=path) for path, sound, message in checks if not sound]


def _names(sent: Any) -> list[str] | None:
    """Return the names of inputs or outputs; None for any other structure."""
    if not isinstance(sent, list):
        return None
    items = cast("list[Any]", sent)
    if any(not isinstance(one, dict) for one in items):
        return None
    return [f"{one.get('id')}.{one.get('property')}" for one in items]


def _slider(name: str, value: Any) -> list[Fault]:
    """Return the faults of a slider's position."""
    most = SLIDERS[name]
    number = is_number(value)
    if value is None or (number and 0 <= value <= most and value == int(value)):
        return []
    shown = f"{value:g}" if isinstance(value, float) else json.dumps(value)[:40]
    expected = f"a whole number from 0 to {most}, an exponent of two"
    return [Fault(f"{shown} is not a position of the slider", path=name, expected=expected)]


def _text(name: str, value: Any) -> list[Fault]:
    """Return the faults of a text."""
    message, expected = "", "a text"
    if not isinstance(value, str | None):
        message = f"{json.dumps(value)[:40]} is not a text"
    elif len(value or "") > _LONGEST:
        message, expected = f"a text of {len(value or ''):,} characters", f"at most {_LONGEST:,}"
    elif any("\ud800" <= letter <= "\udfff" for letter in value or ""):
        message = "half of a pair of code units is not text"
    return [Fault(message, path=name, expected=expected)] if message else []
