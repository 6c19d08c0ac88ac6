"""``perfmodel format list|show``."""

from __future__ import annotations

from typing import Any

from perfmodel.cli import DONE
from perfmodel.cli.common import print_json, say
from perfmodel.formats import Format, Precision, as_precision, find, formats
from perfmodel.table import Table


def list_format(*, json: bool = False) -> int:
    """Names of the formats with their bits.

    Parameters
    ----------
    json
        Print JSON.
    """
    rows = [_row(each) for each in formats().values()]
    if json:
        print_json(rows)
    else:
        say(repr_all(Table({key: [row[key] for row in rows] for key in _COLUMNS})))
    return DONE


_COLUMNS = ("name", "bits", "element_bits", "group", "scale_bits", "zero_bits", "family", "compute")


def show_format(name: str, /, *, json: bool = False) -> int:
    """What a format or precision stores and computes.

    Parameters
    ----------
    name
        A format (q4_k_m) or a precision (w4a16kv8).
    json
        Print JSON.
    """
    one = find(name.strip().lower())
    data = describe_format(one) if one is not None else describe_precision(as_precision(name))
    if json:
        print_json(data)
    else:
        for key, value in data.items():
            if isinstance(value, dict):
                held: dict[str, Any] = data[key]
                say(f"{key}:", *(f"  {k:<13} {v}" for k, v in _items(held)))
            elif value not in ("", 0, {}):
                say(f"{key:<15} {value}")
    return DONE


def _items(value: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, entry in value.items():
        shown: Any = entry
        found.append((key, shown.get("bits", shown) if isinstance(entry, dict) else entry))
    return found


def _row(each: Format) -> dict[str, Any]:
    return {
        "name": each.name,
        "bits": float(each.bits),
        "element_bits": float(each.element_bits),
        "group": each.group,
        "scale_bits": each.scale_bits,
        "zero_bits": each.zero_bits,
        "family": each.family,
        "compute": each.compute,
    }


def describe_format(each: Format) -> dict[str, Any]:
    """Everything about a format, ready for JSON."""
    mixture = {
        tag: {"bits": float(each.bits_of(tag)),
              "of": {part.name: share for share, part in parts}}
        for tag, parts in each.overrides
    }  # fmt: skip
    return _row(each) | {"mixture": mixture, "source": each.source, "note": each.note}


def describe_precision(precision: Precision) -> dict[str, Any]:
    """Formats by role and what the multipliers see, ready for JSON."""
    from perfmodel.formats import compute_format

    weights = describe_format(precision.weights)
    if precision.sparsity is not None:
        weights |= {
            "bits": float(precision.bits("weight")),
            "sparsity": precision.sparsity.pattern,
            "density": precision.sparsity.density,
        }
    return {
        "name": str(precision),
        "weights": weights,
        "activations": describe_format(precision.activations),
        "kv": describe_format(precision.kv),
        "compute": compute_format(precision.weights, precision.activations),
    }


def repr_all(table: Table) -> str:
    """Every row of a table as text."""
    from perfmodel.table.text import as_text

    return as_text(table, rows=len(table))
