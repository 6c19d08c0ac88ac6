"""A core and its caches under clocks of their own, from the counts of a workload's run.

What a simulator or hardware counters say of one run (seconds, fetches, accesses and misses by
level) is split into clocks of the core, clocks of the caches, and seconds that depend on neither:
misses of the last cache. Other clocks then give other seconds::

    seconds = core_clocks / f_core + cache_clocks / f_cache + miss_seconds
    miss_seconds = fetch_misses * latency + data_misses * latency / parallelism
                   + prefetched * line / bandwidth

A demand miss waits for main memory, instructions alone and data with as many others under way as
the core finds (`parallelism`; 1 for a core in order); a line that a prefetcher brought costs its
transfer. That a core with a window hides part of a miss, and that misses overlap, is the
first-order model of Karkhanis and Smith, "A first-order superscalar processor model", ISCA 2004;
Eyerman, Eeckhout, Karkhanis and Smith, "A mechanistic performance model for superscalar
out-of-order processors", ACM TOCS 27(2), 2009.
"""

from __future__ import annotations

from typing import NamedTuple

from perfmodel.arrays import Value, namespace

__all__ = ["CacheClocks", "CoreProfile", "MainMemory", "miss_seconds", "profile_seconds"]


class CoreProfile(NamedTuple):
    """One run of a workload; numbers, or arrays over workloads.

    Attributes
    ----------
    seconds
        Of the run.
    fetches, l2_accesses, l3_accesses
        Accesses of the instruction cache, the second and the third cache.
    fetch_misses, data_misses
        Demand misses of the last cache: of instructions, of data.
    prefetched
        Lines that prefetchers asked main memory for.
    clock
        Of core and caches in that run, hertz.
    """

    seconds: Value
    fetches: Value
    l2_accesses: Value
    l3_accesses: Value
    fetch_misses: Value
    data_misses: Value
    prefetched: Value
    clock: Value


class MainMemory(NamedTuple):
    """Main memory as a core sees it.

    Attributes
    ----------
    latency
        Seconds of a miss of the last cache, nothing else under way.
    bandwidth
        Bytes per second.
    parallelism
        Demand misses of data under way together; 1 or more.
    line
        Bytes of a line.
    """

    latency: Value
    bandwidth: Value
    parallelism: Value = 1.0
    line: Value = 64.0


class CacheClocks(NamedTuple):
    """What of a run goes by the caches' clock.

    Attributes
    ----------
    fetch, refill, far
        Clocks of an access of the instruction cache, the second and the third cache that the core
        does not hide.
    share
        Of the clocks that remain beside misses: loads that wait for the first cache.
    """

    fetch: Value = 0.0
    refill: Value = 0.0
    far: Value = 0.0
    share: Value = 0.0


def miss_seconds(profile: CoreProfile, memory: MainMemory) -> Value:
    """Return seconds of a run that no clock of core or caches changes."""
    waits = profile.fetch_misses + profile.data_misses / memory.parallelism
    return waits * memory.latency + profile.prefetched * memory.line / memory.bandwidth


def profile_seconds(
    profile: CoreProfile,
    memory: MainMemory,
    caches: CacheClocks,
    core_clock: Value,
    cache_clock: Value,
) -> Value:
    """Return seconds of the workload under other clocks.

    With both clocks those of the profile it is the measured time. Never slower under a higher
    clock: the clocks of the caches are at most those of the run, misses at most its seconds.

    Parameters
    ----------
    core_clock, cache_clock
        Hertz; numbers or arrays that broadcast with the profile's.
    """
    xp = namespace(*profile, *memory, *caches, core_clock, cache_clock)
    fixed = xp.minimum(miss_seconds(profile, memory), profile.seconds)
    clocks = (profile.seconds - fixed) * profile.clock
    counted = (
        caches.fetch * profile.fetches
        + caches.refill * profile.l2_accesses
        + caches.far * profile.l3_accesses
        + caches.share * clocks
    )
    counted = xp.minimum(counted, clocks)
    return (clocks - counted) / core_clock + counted / cache_clock + fixed
