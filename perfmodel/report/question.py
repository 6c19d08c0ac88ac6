"""The question that a report answers, in the words that ask it again."""

from __future__ import annotations

from perfmodel.report.write import ReportInvocation
from perfmodel.table.html import paragraph, preformatted


def question(asked: ReportInvocation) -> str:
    """Return the command line and the call; what they are where neither is known."""
    out = ""
    if asked.command:
        out += preformatted(asked.command, "ask")
    if asked.python:
        out += preformatted(asked.python, "ask")
    return out or paragraph("Made from objects in memory: no command by names gives it.", "soft")
