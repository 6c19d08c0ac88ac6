"""How help pages are printed; imported for them only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts.help import DefaultFormatter, InlineText

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


class Flowing(DefaultFormatter):
    """Help formatter that wraps texts at the terminal's width, not as in the docstring."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print a panel."""
        from rich.text import Text

        for entry in panel.entries:
            description = entry.description
            if isinstance(description, InlineText):
                text = description.primary_renderable
                if isinstance(text, Text):
                    description.primary_renderable = Text(" ".join(text.plain.split()))
        super().__call__(console, options, panel)
