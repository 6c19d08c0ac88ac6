"""What each task measures, and which way it is better: stated, with its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from perfmodel.hardware import Source, Spec, check_sources
from perfmodel.pydantic_faults import Flaw
from perfmodel.specfile import read, validate

__all__ = ["Task", "tasks"]

_FILE = Path(__file__).parent / "tasks.yaml"


class Task(Spec):
    """What the column of qualities holds of a task."""

    measure: str
    """In words, with its unit."""
    better: Literal["higher", "lower"]
    """Which way it is better."""
    source: str
    """Key of `sources`."""

    @property
    def sign(self) -> float:
        """What a measured number is multiplied by, so that the higher is the better."""
        return 1.0 if self.better == "higher" else -1.0


class Tasks(Spec):
    """The file."""

    schema_version: Literal[1]
    """Version of this form."""
    sources: Mapping[str, Source]
    """Documents that entries cite, by key."""
    tasks: Mapping[str, Task]
    """By the name that the table gives."""

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Every source that an entry names is in the file."""
        return check_sources(data)


@cache
def tasks() -> Mapping[str, Task]:
    """Return the tasks by name."""
    data, marks = read(_FILE)
    return validate(Tasks, data, marks, _FILE.name).tasks
