"""What a constant is worth to those who have not seen the rows it was fitted on: its family's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from perfmodel.ask import Machine, runtime, runtime_names
from perfmodel.errors import InputError

#: Class of kernels -> the class whose constants stand for its own.
_SIBLINGS: Final = {"grouped": "conv", "moe": "gemm", "batched_gemm": "attention",
                    "attention_prefill": "attention", "attention_decode": "attention"}  # fmt: skip
#: Constant of a kernel -> where runtimes that know no kernels state the same, of a class.
_PLAIN: Final = {"peak_share": "efficiency.{}", "bandwidth_share": "efficiency.bandwidth",
                 "launch": "per_operator", "host_floor": "per_operator"}  # fmt: skip


class Families:
    """Values of constants from specs that were not fitted on the rows of a refit.

    Parameters
    ----------
    listed
        Machines of the rows, and paths of the constants that the refit lists.
    name
        Of the data set. A constant counts as fitted on its rows where it cites a document that a
        listed one cites too, or one that names the data set.
    """

    def __init__(self, listed: Iterable[tuple[Machine, str]], name: str) -> None:
        self._name = re.compile(rf"\b{re.escape(name)}\b")
        self._machines: dict[tuple[int, str], Machine | None] = {}
        self._documents = {_fitted_on(machine, path)[0] for machine, path in listed} - {""}

    def fitted_here(self, machine: Machine, path: str) -> bool:
        """Whether a fact was fitted on the rows of the refit."""
        document, words = _fitted_on(machine, path)
        return document in self._documents or self._name.search(words) is not None

    def value(self, machine: Machine, path: str) -> float | None:
        """Return what a runtime's fact is by the nearest of its family not fitted on the rows.

        The runtimes that it inherits from, the class of kernels that stands for its own, the
        generic runtime; else the geometric mean of all runtimes for such devices.

        Returns
        -------
        float or None
            SI; ``None`` where none of them states it.
        """
        for other, place in self._relatives(machine, path):
            value = self._stated(other, place)
            if value is not None:
                return value
        names = (n for n in runtime_names() if runtime(n).suits(machine.device))
        values = [self._stated(self._under(machine, n), path) for n in names]
        logs = [np.log(value) for value in values if value is not None]
        return float(np.exp(np.mean(logs))) if logs else None

    def _relatives(self, machine: Machine, path: str) -> Iterator[tuple[Machine | None, str]]:
        for name in machine.runtime.lineage:
            yield self._under(machine, name), path
        section, _, constant = path.removeprefix("runtime.").partition(".")
        kernels = section == "kernels"
        words, _, last = constant.rpartition(".") if kernels else (constant, "", "")
        classes = _nearest_classes(words)
        for name in classes:
            yield machine, ".".join(["runtime", section, name, *([last] if kernels else [])])
        generic = self._under(machine, "generic")
        yield generic, path
        for name in (words, *classes):
            if kernels and last in _PLAIN:
                yield generic, "runtime." + _PLAIN[last].format(name)
            yield generic, f"runtime.{section}.{name}"

    def _under(self, machine: Machine, name: str) -> Machine | None:
        """Return the device under another runtime; ``None`` where that does not drive it."""
        key = (id(machine.device), name)
        if key not in self._machines:
            try:
                self._machines[key] = machine.device.machine(name)
            except InputError:
                self._machines[key] = None
        return self._machines[key]

    def _stated(self, machine: Machine | None, path: str) -> float | None:
        """Return a fact that a runtime states and did not fit on the rows."""
        if machine is None or "bound" in machine.runtime.tags:
            return None
        origin, value = machine.provenance.get(path), machine.get(path)
        if origin is None or origin.writer == "default" or self.fitted_here(machine, path):
            return None
        return float(value) if isinstance(value, float) and value > 0.0 else None


def _fitted_on(machine: Machine, path: str) -> tuple[str, str]:
    """Return the document that a fact was fitted on, and what is said of that; else no words."""
    origin = machine.provenance.get(path)
    if origin is None or (origin.confidence != "fitted" and origin.fitted_on is None):
        return "", ""
    spec = machine.runtime if path.startswith("runtime.") else machine.device
    source = spec.sources.get(origin.source or "")
    if source is None:
        return origin.source or "", origin.fitted_on or ""
    return source.url or source.title, f"{source.title} {origin.fitted_on}"


def _nearest_classes(words: str) -> list[str]:
    """Return the classes that stand for one (``conv.tf32``), nearest first."""
    out: list[str] = []
    while "." in words:
        words = words.rpartition(".")[0]
        out.append(words)
    return [*out, _SIBLINGS[words]] if words in _SIBLINGS else out
