"""Positional words that commands share, with one help text each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.help import DefaultFormatter, InlineText

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

#: Files that are read as a workload, besides .yaml; a test holds it to `importers.table.READERS`.
MODEL_FILES = (
    ".onnx, .tflite, .gguf, .safetensors (or its .index.json), .keras, .pt2, "
    "a Hugging Face config.json, a Keras or operator graph .json"
)

ModelFile = Annotated[
    str, Parameter(help=f"A model of the library, or a path: .yaml, {MODEL_FILES}.")
]
"""A workload on the command line."""

LanguageModel = Annotated[
    str,
    Parameter(help="A language model of the library, or a path: .yaml, .gguf, .safetensors "
              "(or its .index.json), a Hugging Face config.json."),
]  # fmt: skip
"""A model that reads a prompt and generates tokens."""

DeviceSpec = Annotated[
    str, Parameter(help="A device of the library, or a path to a spec file (.yaml).")
]
"""A device on the command line."""


class Flowing(DefaultFormatter):
    """Help whose texts wrap at the terminal's width, not where the docstring does."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a panel."""
        from rich.text import Text

        for entry in panel.entries:
            told = entry.description
            if isinstance(told, InlineText) and isinstance(told.primary_renderable, Text):
                told.primary_renderable = Text(" ".join(told.primary_renderable.plain.split()))
        super().__call__(console, options, panel)
