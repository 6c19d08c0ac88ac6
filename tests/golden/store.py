"""The committed figures: one compressed file a section.

A key is a row and, after its last slash, a column. Rows with the same columns lie together, column
after column, because figures of one quantity compress best side by side. The bytes depend on the
figures alone.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path

from tests.golden.figures import Value

FOLDER = Path(__file__).parent / "store"

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "pb": 0}]


def path_of(section: str, folder: Path = FOLDER) -> Path:
    """Return the file of a section."""
    return folder / f"{section}.json.xz"


def read(section: str, folder: Path = FOLDER) -> dict[str, Value]:
    """Return the committed figures of a section; empty where there is no file."""
    path = path_of(section, folder)
    if not path.exists():
        return {}
    values: dict[str, Value] = {}
    for group in json.loads(lzma.decompress(path.read_bytes())):
        for column, figures in zip(group["columns"], group["figures"], strict=True):
            for row, value in zip(group["rows"], figures, strict=True):
                values[f"{row}/{column}" if row else column] = value
    return values


def write(section: str, values: Mapping[str, Value], folder: Path = FOLDER) -> int:
    """Write the figures of a section and return the size of its file in bytes."""
    rows: dict[str, dict[str, Value]] = {}
    for key in sorted(values):
        row, _, column = key.rpartition("/")
        rows.setdefault(row, {})[column] = values[key]
    groups: dict[tuple[str, ...], list[str]] = {}
    for row, columns in rows.items():
        groups.setdefault(tuple(columns), []).append(row)
    listed = [
        {
            "columns": list(columns),
            "rows": names,
            "figures": [[rows[name][column] for name in names] for column in columns],
        }
        for columns, names in sorted(groups.items())
    ]
    text = json.dumps(listed, separators=(",", ":")).encode()
    content = lzma.compress(text, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=_FILTERS)
    folder.mkdir(exist_ok=True)
    path_of(section, folder).write_bytes(content)
    return len(content)
