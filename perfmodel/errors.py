"""Exceptions of perfmodel: one `Fault` per defect, one exception for all faults of an input.

Every check collects faults (what is wrong, where, what is valid, the nearest spelling) instead of
stopping at the first, and `InputError` reports all of them in reading order.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

#: Limits of spelling suggestions: maximum length of a name, and maximum number of candidates.
_LONGEST_COMPARED: Final = 200
_MOST_COMPARED: Final = 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """Defect of an input with its location and a remedy.

    Parameters
    ----------
    message : str
        Description of the defect, without a final full stop.
    path : str
        Dotted path inside the input, such as ``memories.dram.bandwidth``.
    file : str
        File (or pseudo file such as ``--set``) with the defect.
    line, column : int
        Position, counted from 1; 0 if unknown.
    expected : str
        Description of valid input.
    suggestion : str
        Nearest valid spelling.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    expected: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        """Return ``file:line:col: path: message; expected ...; did you mean 'x'?``."""
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
    """Base class of all errors that perfmodel raises deliberately."""


class InputError(PerfmodelError):
    """Invalid input; contains all faults, not only the first.

    Parameters
    ----------
    *faults : Fault, str or iterable of them
        Faults; a string is a fault without a location.

    Attributes
    ----------
    faults : tuple of Fault
        Faults in reading order, without duplicates.
    """

    def __init__(self, *faults: Fault | str | Iterable[Fault | str]) -> None:
        items: list[Fault] = []
        for item in faults:
            if isinstance(item, (Fault, str)):
                items.append(_fault(item))
            else:
                items.extend(_fault(part) for part in item)
        self.faults: tuple[Fault, ...] = tuple(dict.fromkeys(items))
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)

    def __reduce__(self) -> tuple[type[InputError], tuple[Fault, ...]]:
        # Errors are sent between processes in sweeps, so they must survive pickling.
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
    """Return an `InputError` with a single fault; the parameters are those of `Fault`."""
    return InputError(Fault(message, path, file, line, column, expected, suggestion))


class InfeasibleError(PerfmodelError):
    """No feasible solution exists; raised only if the result type cannot express this."""


def names_or_command(names: Sequence[str], command: str, most: int = 40) -> str:
    """Return names joined by commas; for more than `most`, the command that lists them."""
    if len(names) <= most:
        return ", ".join(names)
    return f"the {len(names)} names that '{command}' lists"


def one_of(accepted: Iterable[str]) -> str:
    """Return the text of `Fault.expected` for a list of valid names."""
    return "one of " + (", ".join(accepted) or "none")


def no_such(
    message: str,
    name: str,
    known: Iterable[str],
    path: str = "",
    file: str = "",
    expected: str = "",
) -> Fault:
    """Return the fault of an unknown name.

    Parameters
    ----------
    message, path, file
        The same as for `Fault`.
    name
        Name in the input.
    known
        Valid names. The nearest one is suggested; if none is near, all of them are listed.
    expected
        Text instead of the list.
    """
    known = list(known)
    suggestion = nearest(name, known)
    listed = "" if suggestion else expected or one_of(known)
    return Fault(message, path, file, expected=listed, suggestion=suggestion)


def not_among(message: str, name: str, known: Iterable[str], path: str = "") -> list[Fault]:
    """Return a list with the fault of an unknown name, listing all valid names; else empty.

    Parameters
    ----------
    message, path
        The same as for `Fault`.
    name
        Name in the input.
    known
        Valid names.
    """
    known = list(known)
    if name in known:
        return []
    return [Fault(message, path, expected=one_of(known), suggestion=nearest(str(name), known))]


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the candidate whose spelling is most similar to `name`.

    Parameters
    ----------
    name : str
        Name in the input.
    candidates : iterable of str
        Valid names.
    cutoff : float
        Minimum similarity (`difflib.SequenceMatcher.ratio`), 0 to 1.

    Returns
    -------
    str
        Candidate, or ``""`` if none is similar.
    """
    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(_fold(candidate), candidate)
    folded = _fold(name)
    if folded in by_folded:
        return by_folded[folded]
    longer = [c for c in by_folded if folded and c.startswith(f"{folded}_")]
    if longer:  # a prefix: llama_3 means llama_3_8b, not llama_13b
        return by_folded[min(longer, key=lambda c: (len(c), c))]
    letters = sorted(folded)
    swapped = [c for c in by_folded if len(c) == len(folded) and sorted(c) == letters]
    if swapped:  # two transposed letters: fp61 means fp16, not fp6
        return by_folded[swapped[0]]
    from difflib import get_close_matches

    close = get_close_matches(folded, _few_enough(folded, by_folded), n=1, cutoff=cutoff)
    if close:
        return by_folded[close[0]]
    # "orin" should find "jetson_agx_orin", whose edit similarity is too low.
    if len(folded) >= 3:
        holding = sorted((c for c in by_folded if folded in c), key=lambda c: (len(c), c))
        if holding:
            return by_folded[holding[0]]
    return ""


def _few_enough(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the candidates for letter-by-letter comparison, which is slow."""
    if len(name) > _LONGEST_COMPARED:
        return []
    near = [c for c in candidates if abs(len(c) - len(name)) <= len(name)]
    if len(near) > _MOST_COMPARED:
        near = heapq.nsmallest(_MOST_COMPARED, near, key=lambda c: abs(len(c) - len(name)))
    return near


def spelled_alike(name: str, named: Mapping[str, T]) -> T | None:
    """Return what a name stands for if only capitals and separators differ.

    Parameters
    ----------
    name : str
        Name in the input, such as ``"Raspberry Pi 5"`` or ``"U-Net"``.
    named : mapping of str to T
        What each valid name and alias stands for.

    Returns
    -------
    T or None
        That of ``raspberry_pi_5``, or of ``unet``; ``None`` if there is none, or if names of
        several things have the same letters (``regnetx_1_6gf``, ``regnetx_16gf``). A plus sign is
        a word: ``unet++`` is not ``unet``.
    """
    plain = words_of(name)
    if plain in named:
        return named[plain]
    letters = plain.replace("_", "")
    return _the_one(of for key, of in named.items() if _SEPARATORS.sub("", key) == letters)


def ending_alike(name: str, named: Mapping[str, T]) -> T | None:
    """Return the one thing whose names end with the words of ``name``.

    People leave the vendor and the series away: ``"5950x"`` is ``ryzen_9_5950x``, ``"8 gen 3"`` is
    ``snapdragon_8_gen_3``. A number must be
    among at least four letters: ``970`` may be a graphics card or a phone's processor.
    """
    plain = words_of(name)
    if len(plain) < _SHORTEST_ENDING or not any(c.isdecimal() for c in plain):
        return None
    return _the_one(of for key, of in named.items() if key.endswith(f"_{plain}"))


def words_of(name: str) -> str:
    """Return a name in lower case, with single underscores between its words."""
    return _SEPARATORS.sub("_", name.strip().lower().replace("+", "_plus_")).strip("_")


def _the_one(things: Iterable[T]) -> T | None:
    """Return the only thing among some, however often it occurs."""
    first, *others = [*things] or [None]
    return first if all(of is first for of in others) else None


_SHORTEST_ENDING: Final = 4
_SEPARATORS: Final = re.compile(r"[\s_.,()/-]+")


def _fold(name: str) -> str:
    """Return a name normalised in case, dashes and spaces."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with line breaks and terminal control characters escaped.

    Names may come from files: control characters, line breaks, bidirectional marks and surrogates
    are written as Python escapes (``\x1b``, ``\u202e``).

    Parameters
    ----------
    text : str
        A name, or a line.
    keep : str
        Characters that are not escaped, such as the line breaks of multi-line text.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def _fault(item: Fault | str) -> Fault:
    return Fault(item) if isinstance(item, str) else item
