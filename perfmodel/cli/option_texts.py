"""Names, help texts and order of the options that several commands share.

A command is generated from a public function (`perfmodel.cli.generated_command`): its options are
the function's parameters, and their help texts are its documentation. This module states what is
shared, and what differs from the function on the command line.
"""

from __future__ import annotations

from typing import Final

#: Model files besides .yaml; a test compares them with `importers.readers.READERS`.
MODEL_FILES: Final = (
    ".onnx, .tflite, .gguf, .safetensors (or its .index.json), .keras, .pt2, "
    "a Hugging Face config.json, a Keras or operator graph .json"
)

#: Parameter -> option, if different from the parameter's name: values may have any unit, and
#: options repeated once per value are in the singular.
OPTIONS: Final = {
    "time_limit_s": "time-limit",
    "extra": "level",
    "message_bytes": "message",
    "variable": "for",
    "capacities": "capacity",
    "choices": "choice",
    "constraints": "constraint",
    "modes": "mode",
}

#: Parameter -> help text, if its command-line form differs.
TEXTS: Final = {
    "workload": f"A model of the library, or a path: .yaml, {MODEL_FILES}.",
    "device": "A device of the library, or a path to a spec file (.yaml).",
    "set": "NAME=VALUE, may be repeated: a fact of the device "
    '(memories.main.bandwidth="25 GB/s"), a parameter of the workload (phase=prefill, height=320), '
    "or the bits of a format (weight_bits, activation_bits, kv_bits).",
    "batch": "Short for --set batch=N.",
    "context": "Short for --set context=N.",
    "tensor": "Short for --set tensor=N: number of devices over which the heads, hidden features "
    "and vocabulary of a transformer are split. The answer is for one of these devices, without "
    "the communication between them.",
}

#: Settings of a workload that are also options.
SHORT: Final = ("batch", "context", "tensor")

#: Shared options in the order in which all commands list them, after their own.
ORDER: Final = (
    "set",
    *SHORT,
    "precision",
    "runtime",
    "engine",
    "model",
    "relaxed",
    "warm",
    "fuse",
    "flash_attention",
    "plan",
    "overlay",
    "method",
    "solver",
    "time_limit_s",
    "seed",
    "explain",
    "rows",
    "report",
    "json",
    "output",
    "plot",
)


def option_of(parameter: str) -> str:
    """Return the command-line option of a parameter."""
    return f"--{OPTIONS.get(parameter, parameter).replace('_', '-')}"
