"""Training sequences of language models: whole sequences rather than single generated tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.errors import InputError, input_error
from perfmodel.resolve import WorkloadLike
from perfmodel.settings import split
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

#: Free dimensions of phases that continue from earlier tokens or generate new ones.
_GENERATES = frozenset({"context", "past", "generate"})


def sequences(
    workload: WorkloadLike, settings: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Return settings with phase ``prefill`` for a model that generates tokens by default.

    Settings that name a phase, and those of a model without a phase ``prefill``, are returned
    unchanged.
    """
    if isinstance(workload, Workload) or "phase" in (settings or {}):
        return settings
    own = split(settings).workload if settings else {}
    try:
        if not _generates(find(workload, {k: v for k, v in own.items() if k != "prompt"})):
            return settings
        find(workload, {**own, "phase": "prefill"})
    except InputError:
        return settings  # the fault is reported where the workload is resolved
    return {**(settings or {}), "phase": "prefill"}


def sequence_notes(workload: Workload) -> tuple[str, ...]:
    """Return a note on the length of the training sequences, if the network reads tokens.

    Raises
    ------
    InputError
        The phase generates tokens, which cannot be trained.
    """
    if _generates(workload):
        raise input_error(
            f"'{workload.name}' generates tokens: nothing is trained on that",
            path="phase",
            expected="a phase that reads whole sequences: phase=prefill, or phase=encode for "
            "an encoder",
        )
    if "prompt" not in workload.parameters:
        return ()
    tokens = workload.parameters["prompt"]
    return (f"trained on sequences of {tokens} tokens (prompt), every one of them scored",)


def _generates(workload: Workload) -> bool:
    return not _GENERATES.isdisjoint(workload.parameters)
