"""Workloads from torch.export: files without torch, programs in memory with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfmodel.arrays import Value
from perfmodel.errors import input_error
from perfmodel.workload.importers.onnx.load import OnnxWorkload
from perfmodel.workload.importers.onnx.node import NotPricedError
from perfmodel.workload.importers.onnx.operator_traits import EXTENT_ARITHMETIC
from perfmodel.workload.importers.onnx.pricer import MALFORMED_NODE_ERRORS
from perfmodel.workload.importers.torch_export.archive_parser import read_pt2
from perfmodel.workload.importers.torch_export.aten_translations import writer_of
from perfmodel.workload.importers.torch_export.emitter import Emitter
from perfmodel.workload.importers.torch_export.program_records import AtenCall, AtenProgram
from perfmodel.workload.workload import Workload


def load_pt2(path: str | Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Read the graph of a ``.pt2`` file, as written by ``torch.export.save``, without torch.

    Parameters
    ----------
    path
        Path of the archive. Weights are not read, nothing is unpickled and no code is run.
    settings
        Free dimension -> number or array: ``batch`` for a dynamic leading extent,
        ``dim_<input>_<axis>`` for any other.

    Raises
    ------
    InputError
        The file is not such an archive, its graph is malformed, or the settings do not apply.
    """
    file = Path(path)
    return workload_of_program(read_pt2(file), str(file), file.stem, settings)


def load_exported(program: Any, settings: Mapping[str, Value] | None = None) -> Workload:
    """Return the workload of a ``torch.export.ExportedProgram``; settings as for `load_pt2`."""
    from perfmodel.workload.importers.torch_export.live_program import program_records_of

    return workload_of_program(
        program_records_of(program), "exported program", "exported", settings
    )


def workload_of_program(
    program: AtenProgram, file: str, name: str, settings: Mapping[str, Value] | None = None
) -> Workload:
    """Return the workload of a program of ATen calls."""
    emitter = Emitter(program, file)
    for call in program.calls:
        _write(emitter, call)
    return OnnxWorkload(emitter.model(name), settings or {})


def _write(emitter: Emitter, call: AtenCall) -> None:
    """Translate one call; a call without tensor outputs is arithmetic on extents and skipped."""
    if call.op in EXTENT_ARITHMETIC or not any(name in emitter.shapes for name in call.outputs):
        return
    emitter.call = call
    unread = [name for name in emitter.tensors if name not in emitter.shapes]
    if unread:
        raise input_error(
            f"reads '{unread[0]}'",
            call.place or call.name,
            emitter.file,
            expected="a tensor that an operator produces",
        )
    known = "aten." in call.target
    writer = writer_of(call.op) if known else None
    before = len(emitter.nodes)
    try:
        if writer is None:
            raise NotPricedError("no operator that has a price")
        writer(emitter)
    except (NotPricedError, *MALFORMED_NODE_ERRORS) as error:
        del emitter.nodes[before:]
        emitter.unknown(str(error))
