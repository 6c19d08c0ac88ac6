"""What the page's browser may send: anything else is answered with what is wrong in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from perfmodel.errors import Fault, one_of
from perfmodel.explore.answer import LIMITS
from perfmodel.explore.choices import PHASES, Choices
from perfmodel.units import is_number

#: Inputs of the page, in the order in which it sends their values.
SENDS: Final = ("workload", "device", "beside", "phase", "runtime", "precision", "batch", "length",
                "settings", *(f"limit-{name}" for name in LIMITS))  # fmt: skip
#: Outputs of the page that an answer fills.
FILLS: Final = (
    "faults.children", "sides.children", "reasons.children", "command.children", "python.children",
    "said.data", "phase.options", "phase.value", "runtime.options", "runtime.value", "batch.value",
    "length.value", "knob-phase.hidden", "knob-batch.hidden", "knob-length.hidden",
    "length-label.children",
)  # fmt: skip
#: Slider -> largest exponent of two that it may send; a network's own default may lie beyond the
#: slider that is drawn.
SLIDERS: Final = {"batch": 16, "length": 24}
#: Of a body, which the server holds it to, and characters of one text in it.
MOST_BYTES: Final = 2**16
_LONGEST: Final = 4000


def body_faults(text: bytes, choices: Choices) -> list[Fault]:
    """Return what is wrong with the body of a request for an answer; all of it at once."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return [Fault("the body is no JSON", expected="what the page sends")]
    if not isinstance(body, dict):
        return [Fault("the body is no object", expected="what the page sends")]
    given = cast("dict[str, Any]", body)
    faults = _frame_faults(given)
    values = _values(given.get("inputs"), faults)
    for name, value in values.items():
        faults += _slider(name, value) if name in SLIDERS else _text(name, value)
    if not faults:
        names = (
            str(values.get(name) or "") for name in ("workload", "device", "beside", "runtime")
        )
        faults += choices.faults(*names)
        if (values.get("phase") or "") not in ("", *PHASES):
            faults.append(Fault(f"'{values['phase']}' is no phase", path="phase",
                                expected=one_of(PHASES)))  # fmt: skip
    return faults


def _frame_faults(given: Mapping[str, Any]) -> list[Fault]:
    """Faults of what stands around the values."""
    faults: list[Fault] = []
    if given.get("output") != f"..{'...'.join(FILLS)}..":
        faults.append(Fault("names no output of the page", path="output"))
    wanted = [tuple(name.rsplit(".", 1)) for name in FILLS]
    listed = _pairs(given.get("outputs"))
    if listed is None or [(one.get("id"), one.get("property")) for one in listed] != wanted:
        faults.append(Fault("are not those of the page", path="outputs"))
    moved = given.get("changedPropIds", [])
    known = {f"{name}.value" for name in SENDS}
    if not isinstance(moved, list) or any(
        not isinstance(one, str) or one not in known for one in cast("list[Any]", moved)
    ):
        faults.append(Fault("names no input of the page", path="changedPropIds"))
    if given.get("state") not in (None, []):
        faults.append(Fault("has a value", path="state", expected="none"))
    return faults


def _pairs(given: Any) -> Sequence[Mapping[str, Any]] | None:
    if not isinstance(given, list):
        return None
    items = cast("list[Any]", given)
    return None if any(not isinstance(one, dict) for one in items) else items


def _values(given: Any, faults: list[Fault]) -> dict[str, Any]:
    """Return input -> value."""
    listed = _pairs(given)
    wanted = [(name, "value") for name in SENDS]
    if listed is None or [(one.get("id"), one.get("property")) for one in listed] != wanted:
        faults.append(Fault("are not those of the page", path="inputs",
                            expected=", ".join(SENDS)))  # fmt: skip
        return {}
    return {name: one.get("value") for name, one in zip(SENDS, listed, strict=True)}


def _slider(name: str, value: Any) -> list[Fault]:
    most = SLIDERS[name]
    number = is_number(value)
    if value is None or (number and 0 <= value <= most and value == int(value)):
        return []
    shown = f"{value:g}" if isinstance(value, float) else json.dumps(value)[:40]
    return [Fault(f"{shown} is no place of the slider", path=name,
                  expected=f"a whole number from 0 to {most}, an exponent of two")]  # fmt: skip


def _text(name: str, value: Any) -> list[Fault]:
    if value is None:
        return []
    if not isinstance(value, str):
        return [Fault(f"{json.dumps(value)[:40]} is no text", path=name, expected="a text")]
    if len(value) > _LONGEST:
        return [Fault(f"a text of {len(value):,} characters", path=name,
                      expected=f"at most {_LONGEST:,}")]  # fmt: skip
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        return [Fault("half of a pair of code units is no text", path=name, expected="a text")]
    return []
