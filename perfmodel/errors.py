"""The error family: one `Fault` a defect, one exception for all faults of an input."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

#: A suggestion is for a person: nobody misspells what is longer, or looks for one among more.
_LONGEST_COMPARED: Final = 200
_MOST_COMPARED: Final = 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """One defect of an input, with its place and what would mend it.

    Parameters
    ----------
    message : str
        What is wrong, without a closing full stop.
    path : str
        Dotted path inside the input, such as ``memories.dram.bandwidth``.
    file : str
        File (or pseudo file such as ``--set``) that the fault stands in.
    line, column : int
        Position, counted from 1; 0 where unknown.
    expected : str
        What would have been accepted.
    suggestion : str
        The nearest accepted spelling, as it should be written.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    expected: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        """``file:line:col: path: message; expected ...; did you mean 'x'?``."""
        place = self.file
        if self.line:
            position = f"{self.line}:{self.column}" if self.column else f"{self.line}"
            place = f"{place}:{position}" if place else f"line {position}"
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        if self.expected:
            text += f"; expected {self.expected}"
        if self.suggestion:
            text += f"; did you mean '{self.suggestion}'?"
        return printable(text)


class PerfmodelError(Exception):
    """Base of every error that perfmodel raises on purpose."""


class InputError(PerfmodelError):
    """Bad input; carries every fault that was found, not only the first.

    Parameters
    ----------
    *faults : Fault, str or iterable of them
        The faults; a string is a fault without a place.

    Attributes
    ----------
    faults : tuple of Fault
        In reading order, without repetitions.
    """

    def __init__(self, *faults: Fault | str | Iterable[Fault | str]) -> None:
        found: list[Fault] = []
        for item in faults:
            if isinstance(item, (Fault, str)):
                found.append(_fault(item))
            else:
                found.extend(_fault(part) for part in item)
        self.faults: tuple[Fault, ...] = tuple(dict.fromkeys(found))
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)

    def __reduce__(self) -> tuple[type[InputError], tuple[Fault, ...]]:
        # Errors cross process borders in sweeps, so they must survive pickling.
        return type(self), self.faults


def input_error(
    message: str,
    path: str = "",
    file: str = "",
    line: int = 0,
    column: int = 0,
    expected: str = "",
    suggestion: str = "",
) -> InputError:
    """Return the error of a single fault; the parameters are those of `Fault`."""
    return InputError(Fault(message, path, file, line, column, expected, suggestion))


class InfeasibleError(PerfmodelError):
    """No answer exists; raised only where a result object cannot say so."""


def few(names: Sequence[str], command: str, most: int = 40) -> str:
    """Return names joined by commas; of more than `most` the command that lists them."""
    if len(names) <= most:
        return ", ".join(names)
    return f"the {len(names)} names that '{command}' lists"


def one_of(accepted: Iterable[str]) -> str:
    """Return what would have been accepted, as `Fault.expected` says it."""
    return "one of " + ", ".join(accepted)


def no_such(
    message: str,
    name: str,
    known: Iterable[str],
    path: str = "",
    file: str = "",
    expected: str = "",
) -> Fault:
    """Return the fault of a name that is none of those known.

    Parameters
    ----------
    message, path, file
        As for `Fault`.
    name
        What was written.
    known
        What would have been accepted. The nearest is suggested; only where nothing is near are all
        of them listed.
    expected
        Instead of the list.
    """
    known = list(known)
    suggestion = nearest(name, known)
    listed = "" if suggestion else expected or one_of(known)
    return Fault(message, path, file, expected=listed, suggestion=suggestion)


def not_among(message: str, name: str, known: Iterable[str], path: str = "") -> list[Fault]:
    """Return the fault of a name that is none of those known, with all of them; else nothing.

    Parameters
    ----------
    message, path
        As for `Fault`.
    name
        What was written.
    known
        What would have been accepted.
    """
    known = list(known)
    if name in known:
        return []
    return [Fault(message, path, expected=one_of(known), suggestion=nearest(str(name), known))]


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str:
    """The candidate spelled most like ``name``.

    Parameters
    ----------
    name : str
        What was written.
    candidates : iterable of str
        What would have been accepted.
    cutoff : float
        Least similarity (`difflib.SequenceMatcher.ratio`) worth suggesting, 0 to 1.

    Returns
    -------
    str
        The candidate, or ``""`` when nothing is near.
    """
    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(_fold(candidate), candidate)
    folded = _fold(name)
    if folded in by_folded:
        return by_folded[folded]
    longer = [c for c in by_folded if folded and c.startswith(f"{folded}_")]
    if longer:  # a name cut short: llama_3 means llama_3_8b, not llama_13b
        return by_folded[min(longer, key=lambda c: (len(c), c))]
    letters = sorted(folded)
    swapped = [c for c in by_folded if len(c) == len(folded) and sorted(c) == letters]
    if swapped:  # two letters changed places: fp61 means fp16, not fp6
        return by_folded[swapped[0]]
    found = difflib.get_close_matches(folded, _few_enough(folded, by_folded), n=1, cutoff=cutoff)
    if found:
        return by_folded[found[0]]
    # "orin" should find "jetson_agx_orin", which edit similarity alone rates too low.
    if len(folded) >= 3:
        holding = sorted((c for c in by_folded if folded in c), key=lambda c: (len(c), c))
        if holding:
            return by_folded[holding[0]]
    return ""


def _few_enough(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the candidates worth comparing letter by letter: a comparison is slow."""
    if len(name) > _LONGEST_COMPARED:
        return []
    near = [c for c in candidates if abs(len(c) - len(name)) <= len(name)]
    if len(near) > _MOST_COMPARED:
        near = heapq.nsmallest(_MOST_COMPARED, near, key=lambda c: abs(len(c) - len(name)))
    return near


def _fold(name: str) -> str:
    """Case, dashes and spaces do not make two names different."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with what would break its line or steer a terminal escaped.

    Names come from files: control characters, line breaks, marks that turn the direction of what
    follows, and halves of characters are shown as Python writes them (``\x1b``, ``\u202e``).

    Parameters
    ----------
    text : str
        A name, or a line.
    keep : str
        Characters that stay as they are, such as the line breaks of a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def _fault(item: Fault | str) -> Fault:
    return Fault(item) if isinstance(item, str) else item
