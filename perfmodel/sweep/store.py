"""Sweep results on disk: chunks beside the output, which is written atomically at the end.

During a sweep its chunks are stored in a folder ``.NAME.parts`` beside the output, each written
atomically under a name with its index and a checksum. They are joined while further ones are being
computed. An interrupted sweep resumes from the intact chunks, and yields the same bytes. A lock
beside the parts excludes a second sweep.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from perfmodel.atomic import flush, output_faults, replacing, streamed, target_of, write_text
from perfmodel.catalog import loaded
from perfmodel.columns import TEXT
from perfmodel.errors import Fault
from perfmodel.sweep.lock import locked
from perfmodel.sweep.manifest_differences import differing
from perfmodel.sweep.plan import REASON
from perfmodel.table import Table
from perfmodel.table.table_files import (
    PartJoiner,
    csv_columns,
    csv_line,
    part_columns,
    read_table,
)

SUFFIXES: Final = (".csv", ".parquet")

#: Chunks per row group of a Parquet file: some 130,000 rows, 20 MB in memory.
_GROUP: Final = 16


def store_faults(output: Path, option: str = "-o") -> list[Fault]:
    """Return the faults of an output, before anything runs."""
    faults = output_faults(output, SUFFIXES, option)
    if not faults and streamed(output):
        # Parts and a manifest cannot be stored beside it, so that it could not be resumed.
        expected = "a file, which is also what --resume needs; or --json for rows on stdout"
        faults.append(Fault(f"'{output}' is a pipe or a device", file=option, expected=expected))
    if output.name.endswith(".parquet") and not loaded("pyarrow"):
        expected = "pip install 'perfmodel[parquet]', or a file that ends in .csv"
        faults.append(Fault("pyarrow is not installed", file=option, expected=expected))
    return faults


class Store:
    """Parts of a result, and the file joined from them.

    Parameters
    ----------
    output : Path
        Ends in ``.csv`` or ``.parquet``; a link is followed.
    fingerprint : str
        Hash of the plan and of everything else that determines the bytes.
    like : Table
        Defines names, types and units of the columns, without the reasons for failures.

    Attributes
    ----------
    damaged : list of int
        Corrupt chunks, which are recomputed.
    """

    def __init__(self, output: Path, fingerprint: str, like: Table) -> None:
        self.suffix = output.suffix
        self._part_suffix = ".arrow" if self.suffix == ".parquet" else self.suffix
        self.output = target_of(output).path
        self.fingerprint = fingerprint
        self.folder = self.output.parent / f".{self.output.name}.parts"
        self.damaged: list[int] = []
        self._like = like
        self._parts: dict[int, Path] = {}
        self._has_reasons = False
        self._joiner: PartJoiner | None = None
        self._joined = 0  # parts in the file so far
        # Disk synchronisation runs concurrently with the computation.
        self._disk = ThreadPoolExecutor(1, "perfmodel-disk")

    @property
    def manifest_path(self) -> Path:
        """Path of the manifest."""
        return self.output.parent / f"{self.output.name}.manifest.json"

    @contextmanager
    def locked_for_writing(self) -> Generator[None]:
        """Exclude every other sweep from the output and its parts.

        Raises
        ------
        InputError
            Another one is using them.
        """
        with locked(self.output.parent / f".{self.output.name}.lock", self.output):
            try:
                yield
            finally:
                self._disk.shutdown()
                self._close_joiner()

    def _head(self) -> Path:
        return self.folder / "plan.json"

    def resume_faults(self, manifest: Mapping[str, Any]) -> list[Fault]:
        """Return faults of parts, or of a finished file, that belong to another sweep.

        Parameters
        ----------
        manifest : mapping
            Manifest of the requested sweep.
        """
        if not self._head().is_file():
            return self._finished_faults(manifest)
        head = _read_json(self._head())
        if head.get("fingerprint") == self.fingerprint:
            return []
        changed = differing(head["manifest"], manifest) if "manifest" in head else []
        difference = f": {'; '.join(changed)}" if changed else ""
        return [
            Fault(
                f"what was left unfinished beside '{self.output}' is of another sweep{difference}",
                file="--resume",
                expected="the same input, or no --resume to start anew",
            )
        ]

    def _finished_faults(self, manifest: Mapping[str, Any]) -> list[Fault]:
        """Return the fault of a finished file whose manifest describes another sweep."""
        if not (self.output.is_file() and self.manifest_path.is_file()):
            return []
        expected = "the same input, or no --resume to replace the file"
        before = _read_json(self.manifest_path)
        if not before:
            return [
                Fault(
                    f"'{self.manifest_path}' cannot be read as a manifest",
                    file="--resume",
                    expected=expected,
                )
            ]
        changed = differing(before, manifest)
        if not changed:
            return []
        return [
            Fault(
                f"'{self.output}' holds another sweep: {'; '.join(changed)}",
                file="--resume",
                expected=expected,
            )
        ]

    def open(self, resume: bool, manifest: Mapping[str, Any]) -> set[int]:
        """Prepare the folder of parts; return the chunks already stored and intact."""
        # Parts without a head are remains of a killed process.
        if self.folder.exists() and not (resume and self._head().is_file()):
            shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        if not self._head().is_file():
            head = {"fingerprint": self.fingerprint, "manifest": manifest}
            write_text(self._head(), json.dumps(head, default=str))
        for path in sorted(self.folder.glob(f"[0-9]*{self._part_suffix}")):
            number, *_, checksum = path.stem.split("-")
            if checksum == _sha256(path)[:32]:
                self._parts[int(number)] = path
            else:
                self.damaged.append(int(number))
                path.unlink()
        self._has_reasons = any(map(self._reasons, self._parts))
        return set(self._parts)

    def refused(self, index: int) -> int:
        """Number of points without a prediction in a stored chunk."""
        return int(self._parts[index].stem.split("-")[1])

    def _reasons(self, index: int) -> bool:
        """Return whether a stored chunk has the column of reasons."""
        return self._parts[index].stem.split("-")[2] == "r"

    def put(self, index: int, rows: bytes, *, refused: int = 0, reasons: bool = False) -> None:
        """Store the rows of a chunk, of which `refused` points cannot be predicted."""
        # Only the holder of the lock writes here, so that one temporary name is enough.
        new = self.folder / f".new{self._part_suffix}"
        new.write_bytes(rows)
        kind = "r" if reasons else "n"
        checksum = hashlib.sha256(rows).hexdigest()[:32]
        path = self.folder / f"{index:08d}-{refused}-{kind}-{checksum}{self._part_suffix}"
        new.replace(path)
        self._parts[index] = path
        self._disk.submit(flush, path)
        if reasons and not self._has_reasons:
            # Rows that were joined before lack the column.
            self._has_reasons = True
            self._close_joiner()
        while all(at in self._parts for at in range(self._joined, self._joined + _GROUP)):
            self._append(_GROUP)

    def _append(self, count: int) -> None:
        """Append the next parts to the file, as a row group."""
        if self._joiner is None:
            like, path = self._like, self.folder / f".joined{self.suffix}"
            if self._has_reasons:
                columns = dict(like) | {REASON: np.empty(0, dtype=object)}
                like = Table(columns, like.dimensions, like.axes)
            self._joiner = PartJoiner(path, like)
        group = range(self._joined, self._joined + count)
        lacking = [self._has_reasons and not self._reasons(at) for at in group]
        self._joiner.append([self._parts[at] for at in group], lacking)
        self._disk.submit(flush, self._joiner.path)
        self._joined += count

    def _close_joiner(self) -> str:
        """Close the file of joined parts; return the hash of its bytes."""
        joiner, self._joiner, self._joined = self._joiner, None, 0
        return joiner.close() if joiner is not None else ""

    def read(self, index: int) -> Table:
        """Return the rows of a stored chunk."""
        path, like = self._parts[index], self._like
        if self.suffix == ".parquet":
            columns = part_columns(path)
        else:
            dimensions = _with_reason(like.dimensions, self._reasons(index))
            text = csv_line(list(dimensions)) + path.read_bytes().decode()
            columns = csv_columns(text, dimensions)
        return Table(columns, like.dimensions, like.axes)

    def table(self) -> Table:
        """Return the rows of the finished file, with the columns' original types."""
        like = self._like
        if self.suffix == ".parquet":
            columns, _ = read_table(self.output)
        else:
            dimensions = _with_reason(like.dimensions, self._has_reasons)
            columns = csv_columns(self.output.read_bytes().decode(), dimensions)
        return Table(columns, like.dimensions, like.axes)

    def finish(self, chunks: int, manifest: Mapping[str, Any]) -> None:
        """Join what is left of the parts, write the manifest, and remove the parts."""
        while self._joiner is None or self._joined < chunks:
            self._append(min(_GROUP, chunks - self._joined))
        with replacing(self.output, self.folder) as temporary:
            joined = self._joiner.path
            record = {**manifest, "sha256": self._close_joiner()}
            joined.replace(temporary)
            write_text(self.manifest_path, json.dumps(record, indent=2) + "\n", self.folder)
        self.discard()

    def discard(self) -> None:
        """Remove the parts."""
        self._disk.shutdown(cancel_futures=True)
        self._close_joiner()
        shutil.rmtree(self.folder)


def _with_reason(dimensions: Mapping[str, str], reasons: bool) -> dict[str, str]:
    return {**dimensions, REASON: TEXT} if reasons else dict(dimensions)


def _read_json(path: Path) -> dict[str, Any]:
    """Return a mapping from a file; empty if it contains none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
