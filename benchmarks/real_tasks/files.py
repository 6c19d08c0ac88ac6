"""Files of this machine as inputs of magika, balanced over what the float network calls them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_tasks.networks import Array, package_file

#: Endings that leave no doubt about the type, and magika's name for it.
BY_ENDING = {
    "bat": "batch",
    "bmp": "bmp",
    "bz2": "bzip",
    "c": "c",
    "cmake": "cmake",
    "css": "css",
    "deb": "deb",
    "gif": "gif",
    "html": "html",
    "ipynb": "ipynb",
    "jar": "jar",
    "java": "java",
    "js": "javascript",
    "json": "json",
    "jpg": "jpeg",
    "md": "markdown",
    "npy": "npy",
    "npz": "npz",
    "pdf": "pdf",
    "pl": "perl",
    "png": "png",
    "po": "po",
    "py": "python",
    "pyc": "pythonbytecode",
    "rst": "rst",
    "sql": "sql",
    "svg": "svg",
    "tcl": "tcl",
    "toml": "toml",
    "ttf": "ttf",
    "vim": "vba",
    "wav": "wav",
    "woff": "woff",
    "woff2": "woff2",
    "whl": "zip",
    "xz": "xz",
    "yaml": "yaml",
    "zip": "zip",
}
del BY_ENDING["vim"]  # a vim script has no name of its own in the network's list


@dataclass(frozen=True)
class Config:
    """What the package says of the network's input and output."""

    begin: int
    end: int
    padding: int
    block: int
    least: int
    labels: tuple[str, ...]


def config() -> Config:
    """Read the configuration that lies beside the network."""
    raw = json.loads((package_file("magika").parent / "config.min.json").read_text())
    if raw["mid_size"] or raw["use_inputs_at_offsets"]:
        raise ValueError("this version of magika reads the middle of files: not built here")
    labels = tuple(raw["target_labels_space"])
    sizes = ("beg_size", "end_size", "padding_token", "block_size", "min_file_size_for_dl")
    return Config(*(int(raw[name]) for name in sizes), labels)


def features(content: bytes, told: Config) -> Array | None:
    """Return the bytes that the network reads, (begin + end,) int32; None for too short a file.

    Of the first and the last block the white space outside is dropped; what is then missing is
    padded, after the beginning and before the end.
    """
    first = content[: told.block].lstrip()[: told.begin]
    last = content[-told.block :].rstrip()[-told.end :]
    if len(first) < told.least:
        return None
    made = np.full(told.begin + told.end, told.padding, np.int32)
    made[: len(first)] = np.frombuffer(first, np.uint8)
    if last:
        made[-len(last) :] = np.frombuffer(last, np.uint8)
    return made


def read(path: Path, told: Config) -> bytes:
    """Return the first and the last block of a file, the whole where it is short."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 2 * told.block:
            return file.read()
        begin = file.read(told.block)
        file.seek(size - told.block)
        return begin + file.read(told.block)


def roots() -> list[Path]:
    """Where files are looked for: the Python installation and the system's packages."""
    import numpy

    places = [Path(sys.base_prefix), Path(numpy.__file__).parent.parent]
    return [p for p in [*places, Path("/usr/share"), Path("/usr/lib")] if p.is_dir()]


def _walk(root: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def candidates(places: Iterable[Path], each: int) -> list[Path]:
    """Return at most `each` files an ending, in an order drawn by a hash of their names."""
    by_ending: dict[str, set[tuple[bytes, Path]]] = defaultdict(set)
    for place in places:
        for path in _walk(place):
            ending = path.suffix.lower() or "none"
            if ending[1:].isdigit() or len(ending) > 9:
                ending = "other"
            key = hashlib.sha1("/".join(path.parts[-4:]).encode(errors="replace")).digest()
            by_ending[ending].add((key, path))
    return [path for ending in sorted(by_ending) for _, path in sorted(by_ending[ending])[:each]]


@dataclass(frozen=True)
class Files:
    """Inputs (files, bytes), what the float network says of each, and where they lie."""

    inputs: Array
    probabilities: Array
    paths: tuple[Path, ...]

    def pick(self, rows: Array) -> Files:
        """Return some of them."""
        paths = tuple(self.paths[i] for i in rows)
        return Files(self.inputs[rows], self.probabilities[rows], paths)

    def known(self, labels: tuple[str, ...]) -> Array:
        """Return the label that the ending of each leaves no doubt of; -1 elsewhere."""
        names = [BY_ENDING.get(p.suffix.lower().lstrip("."), "") for p in self.paths]
        return np.array([labels.index(n) if n in labels else -1 for n in names])


def collect(session: Any, told: Config, each: int, most: int, calibration: int) -> list[Files]:
    """Return calibration and test files: at most `most` a label, those for calibration first.

    `each` bounds the files read an ending; equal inputs are taken once. Calibration takes one file
    a label in turn until it has `calibration`, so that it meets as many types as it can.
    """
    inputs: dict[bytes, tuple[Array, Path]] = {}
    for path in candidates(roots(), each):
        try:
            made = features(read(path, told), told)
        except OSError:
            continue
        if made is not None:
            inputs.setdefault(made.tobytes(), (made, path))
    table = np.stack([made for made, _ in inputs.values()])
    paths = tuple(path for _, path in inputs.values())
    said = np.concatenate(
        [session.run(None, {"bytes": table[i : i + 1]})[0] for i in range(len(table))]
    )
    every = Files(table, said, paths)
    by_label: dict[int, list[int]] = defaultdict(list)
    keys = [hashlib.sha1(made.tobytes()).digest() for made in table]
    for i in sorted(range(len(table)), key=lambda i: keys[i]):
        by_label[int(said[i].argmax())].append(i)
    turns = [[rows[k] for rows in by_label.values() if len(rows) > k + 1] for k in range(most)]
    first = [i for turn in turns for i in turn][:calibration]
    taken = set(first)
    rest = [i for rows in by_label.values() for i in rows[:most] if i not in taken]
    return [every.pick(np.array(first)), every.pick(np.array(sorted(rest)))]
