"""A measured rate of a network on a board as a case."""

from __future__ import annotations

from perfmodel.evaluate.case import MeasuredQuantity, ValidationCase

from perfmodel_studies.readers.vitis_ai.boards import Boards
from perfmodel_studies.readers.vitis_ai.networks import network, why_not, workload_of

__all__ = ["TARGETS", "rate_case"]

#: Whether several threads ran -> target: seconds of an image from its file to its classes, and
#: seconds of as many images as the cores work on at once, the processor's part hidden.
TARGETS = {False: "latency_s", True: "threads_s"}


def rate_case(
    boards: Boards, board: str, config: str, model: str, stated: float | None, fps: float, *,
    several: bool, suspect: str = "",
) -> ValidationCase:  # fmt: skip
    """Return the case of a rate.

    Parameters
    ----------
    stated
        Operations, in units of 1e9, that the table states of the network.
    fps
        Frames a second.
    several
        Whether as many threads ran as keep all cores busy.
    suspect
        What is wrong with the row by those who collected it.
    """
    name = f"{board}, {model}, {'several threads' if several else 'one thread'}"
    reason = f"suspect: {suspect}" if suspect else why_not(model, stated)
    if reason:
        return ValidationCase(name, board, reason=reason)
    there = boards.of(board, config)
    if isinstance(there, str):
        return ValidationCase(name, board, reason=there)
    found = network(model)
    assert found is not None
    images = there.images if several else there.together
    machine = there.several if several else there.one
    question = MeasuredQuantity(
        TARGETS[several], "latency_s", images / fps, workload_of(model, images, stated)
    )
    return ValidationCase(name, board, machine, (question,), "int8", group=found.family)
