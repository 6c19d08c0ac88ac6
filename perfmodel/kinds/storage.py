"""Storage with a command queue: UFS, eMMC, SD, NVMe.

Bandwidth follows from the size of a request and the number in flight. By Little's law ``depth``
requests that each take ``alone`` seconds complete at most ``depth / alone`` per second; the shared
stages (command processing, the interface) spend ``shared`` seconds on each and set a ceiling. The
two are combined by a soft minimum that is exact for a single request::

    rate ** -p = (alone / depth) ** p + shared ** p * (1 - depth ** -p)

Little, "A proof for the queuing formula L = lambda W", Operations Research 9(3), 1961; bounds of
closed queueing networks: Denning and Buzen, "The operational analysis of queueing network models",
ACM Computing Surveys 10(3), 1978.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, TypedDict, Unpack

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.hardware.field_types import (
    ONE,
    Bandwidth,
    Portion,
    PositiveNumber,
    PositiveSize,
    PositiveTime,
)
from perfmodel.hardware.memory import Memory, register_memory
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.rates import bandwidth_fact

KNEE: Final = 4.0
"""Exponent of the soft minimum: a convention of this project, not fitted."""


class Storage(Memory):
    """Storage that is read by commands; `bandwidth` is that of its interface."""

    command_latency: PositiveTime
    """Time from a command to its first byte without other load: host, controller, cells."""
    commands_per_s: PositiveNumber | None = None
    """Ceiling on commands per second."""
    lane_bandwidth: Bandwidth | None = None
    """Bandwidth of a single request; the interface's if left out."""
    block: PositiveSize
    """Bytes per request."""
    depth: Annotated[Quantity, Of("count", positive=True, floor=1.0)] = ONE
    """Requests in flight, 1 or more (also a mean): queue depth, or number of blocking threads."""
    throttled_bandwidth: Bandwidth | None = None
    """Ceiling on bandwidth once the device is hot, if stated."""
    hit_fraction: Portion | None = None
    """Share of the bytes in the page cache."""
    cache_bandwidth: Bandwidth | None = None
    """Bandwidth of bytes in the page cache; if left out they take no time."""


def request_rate(
    block: Value,
    depth: Value,
    latency: Value,
    bandwidth: Value,
    *,
    commands: Value = None,
    lane: Value = None,
    pipelined: bool = False,
    knee: float = KNEE,
) -> Value:
    """Return requests per second.

    Parameters
    ----------
    block
        Bytes per request.
    depth
        Requests in flight, at least 1.
    latency
        Seconds of a single command, transfer excluded.
    bandwidth
        Bandwidth of the interface, bytes per second.
    commands
        Ceiling on commands per second; None for no ceiling.
    lane
        Bytes per second of a single request's path; None for the interface's.
    pipelined
        Whether commands are processed while data is transferred (NVMe), or between transfers (one
        queue: UFS, eMMC, SD).
    knee
        Exponent of the soft minimum; larger values make it sharper.

    Returns
    -------
    requests per second, of the inputs' broadcast shape
    """
    none = commands is None
    xp = namespace(block, depth, latency, bandwidth, 0.0 if none else commands)
    transfer = block / bandwidth
    process = 0.0 if none else 1.0 / commands
    single = latency + (transfer if lane is None else block / lane)
    if pipelined:
        shared = xp.maximum(transfer, process)
    else:
        shared = transfer + process
        single = single + process
    single = xp.maximum(single, shared)
    depth = xp.maximum(depth, 1.0)
    crowd = 1.0 - depth**-knee
    return ((single / depth) ** knee + shared**knee * crowd) ** (-1.0 / knee)


class QueueLaw(TypedDict, total=False):
    """Keyword arguments of `request_rate`."""

    commands: Value
    lane: Value
    pipelined: bool
    knee: float


def storage_bandwidth(
    block: Value, depth: Value, latency: Value, bandwidth: Value, **law: Unpack[QueueLaw]
) -> Value:
    """Return bytes per second; parameters as in `request_rate`."""
    return block * request_rate(block, depth, latency, bandwidth, **law)


def batch_time(
    requests: Value,
    block: Value,
    depth: Value,
    latency: Value,
    bandwidth: Value,
    **law: Unpack[QueueLaw],
) -> Value:
    """Return seconds of a batch that must complete before anything else can start.

    Full waves keep `depth` requests in flight, the last one fewer: a layer with too few missing
    experts to fill the queue is slower.

    Parameters
    ----------
    requests
        Requests of the batch, an integer.
    block, depth, latency, bandwidth, law
        As in `request_rate`.
    """
    xp = namespace(requests, block, depth, latency, bandwidth)
    waves = xp.floor(requests / depth + 1e-9)
    last = requests - waves * depth

    def rate(flight: Value) -> Value:
        return request_rate(block, flight, latency, bandwidth, **law)

    return waves * depth / rate(depth) + last / rate(xp.maximum(last, 1.0))


def cached_bandwidth(storage: Value, hit_fraction: Value, cache: Value = None) -> Value:
    """Return bytes per second where a share of the bytes is in the page cache.

    ``1 / ((1 - hit_fraction) / storage + hit_fraction / cache)``: each byte is read from one of
    them.

    Parameters
    ----------
    storage, cache
        Bytes per second of each; cached bytes take no time where `cache` is None.
    hit_fraction
        Share of the bytes in the cache.
    """
    xp = namespace(storage, hit_fraction, 0.0 if cache is None else cache)
    hits = 0.0 if cache is None else hit_fraction / cache
    each = (1.0 - hit_fraction) / storage + hits
    return xp.where(each > 0.0, 1.0 / xp.where(each > 0.0, each, 1.0), xp.inf)


def read_bandwidth(setting: Setting, level: str, *, pipelined: bool) -> Value:
    """Return bytes per second of a memory of this kind, from its facts."""
    memory = setting.memory(level, Storage)
    rate = storage_bandwidth(
        memory.block,
        memory.depth,
        memory.command_latency,
        bandwidth_fact(setting, level),
        commands=memory.commands_per_s,
        lane=memory.lane_bandwidth,
        pipelined=pipelined,
    )
    if memory.throttled_bandwidth is not None:
        rate = setting.xp.minimum(rate, memory.throttled_bandwidth)
    if memory.hit_fraction is not None:
        rate = cached_bandwidth(rate, memory.hit_fraction, memory.cache_bandwidth)
    return rate


for _kind in ("ufs", "emmc", "sd"):
    register_memory(_kind, Storage, partial(read_bandwidth, pipelined=False))
register_memory("nvme", Storage, partial(read_bandwidth, pipelined=True))
