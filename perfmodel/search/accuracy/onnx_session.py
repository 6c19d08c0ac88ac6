"""onnxruntime sessions on the CPU, without log output, with errors raised as `InputError`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from perfmodel.errors import InputError, input_error


@contextmanager
def refusals(file: str) -> Generator[None]:
    """Convert errors of onnxruntime to `InputError`; they have no common base class."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        own = type(error).__module__.startswith("onnxruntime")
        if not own and not isinstance(error, RuntimeError | ValueError | TypeError):
            raise
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise input_error(
            f"onnxruntime refuses: {reason}",
            file=file,
            expected="a network and inputs that it takes",
        ) from None


def session(content: bytes, file: str = "") -> Any:
    """Return an onnxruntime session on the CPU.

    Raises
    ------
    InputError
        onnxruntime is not installed, or rejects the network.
    """
    try:
        runtime: Any = import_module("onnxruntime")
    except ImportError:
        raise input_error(
            "running a network needs the package onnxruntime",
            file=file,
            expected="pip install onnxruntime",
        ) from None
    options: Any = runtime.SessionOptions()
    options.log_severity_level = 3
    with refusals(file):
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
