"""Memories of a measured device spec: capacity, bandwidth and latency of each cache and of DRAM.

Bandwidths are those of reads over a working set inside the level. The latency is that of a pointer
chase, a chain of loads of which each depends on the one before.
"""

from __future__ import annotations

from perfmodel.calibrate.probe.facts import HostFacts, LevelFacts
from perfmodel.calibrate.probe.plan import WALKERS
from perfmodel.calibrate.probe.spec_values import (
    AS_REPORTED,
    SpecFields,
    measured,
    rounded,
    with_note,
)
from perfmodel.units import show


def memory_specs(facts: HostFacts) -> list[SpecFields]:
    """Return the memories from the nearest cache to main memory, each feeding the one before."""
    memories = [_memory_spec(facts, level) for level in facts.levels]
    consumers = ["cpu", *(memory["name"] for memory in memories)]
    for memory, consumer in zip(memories, consumers, strict=False):
        memory["feeds"] = [consumer]
    return memories


def _memory_spec(facts: HostFacts, level: LevelFacts) -> SpecFields:
    """Return the fields of a cache or of main memory."""
    cache, reads = level.cache, level.bandwidth
    assert reads is not None
    rates = [f"{name} {show(rate.best, 'bandwidth')}" for name, rate in level.bandwidths.items()]
    note = f"{', '.join(rates)} at {show(level.size_bytes, 'bytes')} a thread"
    memory: SpecFields = {
        "name": level.name,
        "kind": "cache" if cache else "dram",
        "roles": [] if cache else ["main"],
        "capacity": _capacity(facts, level),
        "bandwidth": measured(reads, note),
    }
    if cache is not None and cache.ways:
        way_bytes = cache.size_bytes / cache.ways
        note = f"{cache.ways} ways, {AS_REPORTED}"
        memory["way"] = with_note(way_bytes, note, confidence="datasheet")
    if cache is None:
        memory["sustained_bandwidth"] = {"value": rounded(reads.best)}
        if facts.cores > 1 and facts.one_core is not None:
            # Scatter may put the rate of one core above that of all, which no spec may state.
            one_core = measured(facts.one_core)
            memory["unit_bandwidth"] = one_core | {
                "value": min(one_core["value"], rounded(reads.best))
            }
    elif facts.ramp is not None and level == [each for each in facts.levels if each.cache][-1]:
        memory |= _ramp(facts, facts.ramp)
    if level.latency_s is not None:
        memory["latency"] = _latency(level, level.latency_s)
    return memory


def _ramp(facts: HostFacts, ramp: tuple[int, int]) -> SpecFields:
    """Return the working sets between which the last cache fills up, rounded to KiB."""
    curve = ", ".join(f"{show(size, 'bytes')} {rate / 1e9:.0f}" for size, rate in facts.edge)
    start, end = (round(size / 1024) * 1024 for size in ramp)
    return {
        "ramp_start": with_note(start, f"reads of working sets, GB/s: {curve}"),
        "ramp_end": end,
    }


def _latency(level: LevelFacts, seconds: float) -> SpecFields:
    """Return the time of a dependent load, and how many loads the core keeps in flight.

    ``misses in flight = (loads/s of parallel chases) / (loads/s of a single chase)``
    """
    note = "pointer chase over a random cycle"
    if level.misses_in_flight is not None:
        rate = f"{level.misses_in_flight:.1f} times the loads per second"
        note += f"; with {WALKERS} chases in parallel {rate}"
    return with_note(f"{seconds * 1e9:.4g} ns", note)


def _capacity(facts: HostFacts, level: LevelFacts) -> SpecFields:
    """Return the capacity of a level in bytes over all cores of the spec, with its origin."""
    cache, identity = level.cache, facts.identity
    if cache is None and identity.memory_bytes is None:
        note = "the size of memory is not known: the working set that was measured"
        return with_note(float(level.size_bytes), note, confidence="estimated")
    capacity, note = identity.memory_bytes or 0, AS_REPORTED
    if cache is not None:
        # A cache that only the hardware threads of a core share is private to that core.
        threads_of_core = max(1, round((identity.threads or 1) / (identity.cores or 1)))
        is_private = cache.shared_by is None or cache.shared_by <= threads_of_core
        count = facts.cores if is_private else 1
        capacity = cache.size_bytes * count
        note = f"{count} private caches, {AS_REPORTED}" if count > 1 else AS_REPORTED
        note += f", lines of {cache.line_bytes} B" if cache.line_bytes else ""
    return with_note(float(capacity), note, confidence="datasheet")
