"""What the words of a report mean, each with its equation."""

from __future__ import annotations

from collections.abc import Iterable

from perfmodel.table.html import rows

#: Word -> what it means, and its equation.
TERMS: dict[str, tuple[str, str]] = {
    "latency": (
        "time of one run: one decode step, one prefill, one request, one batch of frames",
        "sum over kernels of count x row_s, and what a run costs once",
    ),
    "row": (
        "one kernel as the runtime executes it; operators may be fused into one",
        "row_s from its terms, composed as stated below",
    ),
    "TTFT, TPOT": (
        "time to first token, time per output token",
        "seconds of the prefill; seconds of the decoding / tokens generated",
    ),
    "energy": (
        "joule of one run, within the boundary named beside it",
        "operations, bytes and latency x their energies; else busy power x latency",
    ),
    "traffic": (
        "bytes that cross the boundary of a memory in one run",
        "each operand once where it fits; see the traffic model below",
    ),
    "utilization": (
        "share of the latency that the multiply-accumulates would take at their peak",
        "(2 x MACs / peak) / latency",
    ),
    "bound by": (
        "the largest of a row's arithmetic, memory levels and overheads",
        "argmax(arithmetic, bytes / bandwidth of each level, overheads)",
    ),
    "operational intensity": ("operations for each byte from a memory", "operations / traffic"),
    "ridge point": (
        "intensity at which arithmetic takes as long as the memory",
        "peak / bandwidth",
    ),
    "memory": (
        "what must be held: weights, KV cache or state, activations at their peak",
        "weight bytes + KV bytes + peak of live activations",
    ),
    "interval": (
        "ends between which that share of measurements would lie",
        "prediction x quantiles of measured / predicted, devices counting alike",
    ),
    "basis": ("rows that it rests on: of this device (measured), others (transferred), none", ""),
    "spill, reload": (
        "bytes stored because they did not fit, and fetched back",
        "off chip = compulsory + spill + reload",
    ),
    "front": ("rows that no other row beats in both metrics at once (Pareto)", ""),
    "price": ("objective that one unit less of a limit costs, in the relaxation of the bound", ""),
}


def terms(words: Iterable[str]) -> str:
    """Return a table of words, their meaning and their equation."""
    return rows(("word", "means", "equation"), [(word, *TERMS[word]) for word in words])
