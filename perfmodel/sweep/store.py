"""Results on disk: in parts beside the output, which appears whole at the end.

While a sweep runs, its chunks lie in a folder ``.NAME.parts`` beside the output, each written whole
or not at all. They are joined when the last one is there. A sweep that was cut off is resumed from
the chunks that are there, and gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from perfmodel.atomic import output_faults, replacing, streamed, write_text
from perfmodel.catalog import loaded
from perfmodel.errors import Fault
from perfmodel.sweep.manifest import differing
from perfmodel.table import Table
from perfmodel.table.files import csv_line, csv_text, join_parquet, read_table, writer

__all__ = ["SUFFIXES", "Store", "store_faults"]

SUFFIXES: Final = (".csv", ".parquet")

#: Chunks of one row group of a Parquet file: some 130,000 rows, 20 MB in memory.
_GROUP: Final = 16


def store_faults(output: Path, option: str = "-o") -> list[Fault]:
    """Faults of an output, found before anything runs."""
    faults = output_faults(output, SUFFIXES, option)
    if not faults and streamed(output):
        # Parts and a manifest have no place beside it, and it could not be resumed.
        expected = "a file, which is also what --resume needs; or --json for rows on stdout"
        faults.append(Fault(f"'{output}' is a pipe or a device", file=option, expected=expected))
    if output.name.endswith(".parquet") and not loaded("pyarrow"):
        expected = "pip install 'perfmodel[parquet]', or a file that ends in .csv"
        faults.append(Fault("pyarrow is not installed", file=option, expected=expected))
    return faults


class Store:
    """Parts of a result, and the file they make.

    Parameters
    ----------
    output : Path
        Ends in ``.csv`` or ``.parquet``.
    fingerprint : str
        Of the plan and whatever else decides the bytes.
    """

    def __init__(self, output: Path, fingerprint: str) -> None:
        self.output = output
        self.fingerprint = fingerprint
        self.folder = output.parent / f".{output.name}.parts"

    @property
    def manifest_path(self) -> Path:
        """Where the manifest lies."""
        return self.output.parent / f"{self.output.name}.manifest.json"

    def _head(self) -> Path:
        return self.folder / "plan.json"

    def resume_faults(self, manifest: Mapping[str, Any]) -> list[Fault]:
        """Fault of parts, or of a finished file, that belong to another sweep.

        Parameters
        ----------
        manifest : mapping
            Of the sweep that is asked for.
        """
        if not self._head().is_file():
            return self._finished_faults(manifest)
        try:
            held = json.loads(self._head().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            held = None
        if isinstance(held, dict) and held.get("fingerprint") == self.fingerprint:  # pyright: ignore[reportUnknownMemberType]
            return []
        return [
            Fault(f"what was left unfinished beside '{self.output}' is of another sweep",
                  file="--resume", expected="the same input, or no --resume to start anew")
        ]  # fmt: skip

    def _finished_faults(self, manifest: Mapping[str, Any]) -> list[Fault]:
        """Fault of a finished file whose manifest describes another sweep."""
        if not (self.output.is_file() and self.manifest_path.is_file()):
            return []
        try:
            held = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            held = None
        expected = "the same input, or no --resume to replace the file"
        if not isinstance(held, dict):
            return [Fault(f"'{self.manifest_path}' cannot be read as a manifest", file="--resume",
                          expected=expected)]  # fmt: skip
        found = differing(cast("dict[str, Any]", held), manifest)
        if not found:
            return []
        return [Fault(f"'{self.output}' holds another sweep: {'; '.join(found)}", file="--resume",
                      expected=expected)]  # fmt: skip

    def open(self, resume: bool) -> set[int]:
        """Prepare the folder of parts; return the chunks that are there already."""
        # Parts without their head are what a killed process had not cleared away yet.
        if self.folder.exists() and not (resume and self._head().is_file()):
            shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        if not self._head().is_file():
            write_text(self._head(), json.dumps({"fingerprint": self.fingerprint}))
        return {int(path.stem) for path in self.folder.glob(f"[0-9]*{self.output.suffix}")}

    def _part(self, index: int) -> Path:
        return self.folder / f"{index:08d}{self.output.suffix}"

    def put(self, index: int, table: Table) -> None:
        """Store the rows of a chunk."""
        if self.output.suffix == ".csv":
            write_text(self._part(index), csv_text(table))
        else:
            with replacing(self._part(index)) as temporary, writer(temporary, table) as write:
                write(table)

    def read(self, index: int, like: Table) -> Table:
        """Rows of a chunk that is there."""
        path = self._part(index)
        if self.output.suffix == ".parquet":
            columns, _ = read_table(path)
            return Table(columns, like.dimensions, like.axes)
        text = csv_line(like.columns) + path.read_text(encoding="utf-8")
        from perfmodel.table.files import csv_columns

        return Table(csv_columns(text, like.dimensions), like.dimensions, like.axes)

    def finish(self, chunks: int, like: Table, manifest: Mapping[str, Any]) -> None:
        """Join the parts into the output, write the manifest, remove the parts."""
        with replacing(self.output, self.folder) as temporary:
            if self.output.suffix == ".csv":
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    file.write(csv_line(like.columns))
                    for index in range(chunks):
                        file.write(self._part(index).read_text(encoding="utf-8"))
            else:
                join_parquet([self._part(i) for i in range(chunks)], temporary, like, _GROUP)
            digest = hashlib.sha256()
            with temporary.open("rb") as data:
                while block := data.read(1 << 20):
                    digest.update(block)
            whole = {**manifest, "sha256": digest.hexdigest()}
            write_text(self.manifest_path, json.dumps(whole, indent=2) + "\n", self.folder)
        shutil.rmtree(self.folder)
