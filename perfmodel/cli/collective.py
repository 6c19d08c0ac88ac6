"""``perfmodel collective``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from perfmodel.atomic import output_faults
from perfmodel.axes import parse_axis
from perfmodel.cli import DONE
from perfmodel.cli.common import answer, named_options, scalars
from perfmodel.cli.words import DeviceSpec
from perfmodel.collective import collective as run
from perfmodel.errors import Fault
from perfmodel.settings import FaultList

_SUFFIXES = (".json", ".csv", ".parquet", ".txt")
_OPTIONS = {"message_bytes": "--message", "devices": "--devices", "link": "--link"}


def collective(
    name: str,
    device: DeviceSpec,
    /,
    *,
    message: str,
    devices: str,
    link: str | None = None,
    set: list[str] | None = None,
    runtime: str = "nccl",
    json: bool = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Predict a collective between equal devices of one node.

    Parameters
    ----------
    name
        all_reduce, all_gather, reduce_scatter or all_to_all.
    device
        A device of the library, or a path to a spec file.
    message
        Bytes of the whole message: what an all-reduce sums on each device, what each has after an
        all-gather, or before a reduce-scatter or an all-to-all. "16 MiB"; a list or range
        ("4 KiB,1 MiB" or 2**12..2**28) asks for each.
    devices
        How many take part, two or more; lists as for the message, in every combination.
    link
        Link of the device; by default its fastest to others of its kind.
    set
        NAME=VALUE for facts of the device, as often as needed: links.nvlink.bandwidth="100 GB/s".
    runtime
        Library of collectives: nccl, nccl_2_27, vllm_all_reduce ...; nccl where left out.
    json
        Print JSON.
    output
        Write the result to a file: .json and .txt as printed, .csv and .parquet one row a question.
    """
    faults = FaultList()
    settings = scalars(set or (), faults)
    faults.extend(output_faults(output, _SUFFIXES))
    sizes = _numbers("message_bytes", message, "bytes", faults)
    counts = _numbers("devices", devices, "", faults)
    single = len(sizes) == len(counts) == 1
    grid = [axis.reshape(-1) for axis in np.meshgrid(sizes, counts, indexing="ij")]
    first, second = (axis[0].item() if single else axis for axis in grid)
    with named_options(_OPTIONS, runtime=runtime):
        result = faults.trying(
            run, name, first, second, device, runtime=runtime, link=link, set=settings
        )
        faults.settle()
    assert result is not None
    answer(result, json=json, output=output)
    return DONE


def _numbers(name: str, text: str, dimension: str, faults: FaultList) -> list[float]:
    """Return the numbers of an option; those of no fault where the text has none."""
    option = _OPTIONS[name]
    axis = faults.trying(parse_axis, name, text, dimension, option)
    if axis is not None and (not axis.is_number or axis.spread is not None):
        faults.append(Fault(f"'{text}' is no list of numbers", file=option,
                            expected="such as 2,4,8"))  # fmt: skip
        axis = None
    return [2.0] if axis is None else [float(value) for value in axis.values]
