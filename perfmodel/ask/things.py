"""Public functions that load devices, runtimes, precisions and workloads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perfmodel.formats import Precision, as_precision
from perfmodel.hardware import library as devices
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import folder_faults
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import WorkloadLike
from perfmodel.workload import library as workloads
from perfmodel.workload.workload import Workload

__all__ = [
    "Device",
    "Machine",
    "Precision",
    "Runtime",
    "Workload",
    "folder_faults",
    "hardware",
    "precision",
    "runtime",
    "runtime_names",
    "workload",
]


def hardware(name: str | Path | Device, directories: Iterable[str | Path] = ()) -> Device:
    """Return a device.

    Parameters
    ----------
    name
        A name or alias of the library (``hardware.list()``), or a path to a spec file.
    directories
        More folders of spec files; theirs win over the library's.

    Raises
    ------
    InputError
        An unknown name, or every fault of the file.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.hardware("a100").name
    'a100'
    """
    return devices.hardware(name, directories)


def runtime(name: str | Path | Runtime, directories: Iterable[str | Path] = ()) -> Runtime:
    """Return a runtime by name or path; as `hardware`."""
    return devices.runtime(name, directories)


def runtime_names() -> list[str]:
    """Return the names of the library's runtimes, sorted."""
    return devices.names("runtimes")


def precision(text: str | Precision) -> Precision:
    """Return the formats of weights, activations and KV cache that a text stands for.

    Parameters
    ----------
    text
        ``fp16``, ``q4_k_m``, ``w4a16kv8``, ``w=q4_0,a=fp16,kv=q8_0``.

    Raises
    ------
    InputError
        The text is none of these.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.precision("w4a16").activations.name
    'fp16'
    """
    return as_precision(text)


def workload(
    name: WorkloadLike,
    **settings: Any,  # open-ended, since the model defines them
) -> Workload:
    """Return a workload.

    Parameters
    ----------
    name
        A name of the library (``workload.list()``), or a path: ``.yaml``, ``.onnx``, ``.tflite``,
        ``.gguf``, ``.safetensors``, ``.pt2`` of torch.export, Keras as ``.json`` or ``.keras``, a
        Hugging Face ``config.json``, or an operator graph ``.json``. Or a
        ``torch.export.ExportedProgram``.
    **settings
        Free dimensions (``batch=8``, numbers or arrays) and fields of the structure
        (``phase="decode"``).

    Raises
    ------
    InputError
        An unknown name, faults of the file, or settings that it does not have.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.workload("llama_3_8b", phase="decode", batch=4).parameters["batch"]
    4
    """
    if isinstance(name, Workload):
        return name.bind(settings) if settings else name
    return workloads.find(name, settings)
