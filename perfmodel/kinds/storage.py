"""Storage behind a command queue: UFS, eMMC, SD, NVMe.

Bandwidth follows from the size of a request and how many are in flight. By Little's law ``depth``
requests that each take ``alone`` seconds complete at most ``depth / alone`` a second; what all of
them pass through (command processing, the interface) takes ``shared`` seconds of each and sets a
ceiling. The two join smoothly, and exactly for a request alone::

    rate ** -p = (alone / depth) ** p + shared ** p * (1 - depth ** -p)

Little, "A proof for the queuing formula L = lambda W", Operations Research 9(3), 1961; bounds of
closed queueing networks: Denning and Buzen, "The operational analysis of queueing network models",
ACM Computing Surveys 10(3), 1978.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from perfmodel.arrays import Value, namespace
from perfmodel.cost.setting import Setting
from perfmodel.hardware.memory import Memory, register_memory
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.rates import bandwidth_fact

KNEE: Final = 4.0
"""Exponent of the soft minimum: a convention of this project, fitted on nothing."""

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True)]
Size: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]
Time: TypeAlias = Annotated[Quantity, Of("time", positive=True)]
Bandwidth: TypeAlias = Annotated[Quantity, Of("bandwidth", positive=True)]
Depth: TypeAlias = Annotated[Quantity, Of("count", positive=True, floor=1.0)]
Fraction: TypeAlias = Annotated[Quantity, Of("fraction", ceiling=1.0)]


class Storage(Memory):
    """Storage that is read by commands; `bandwidth` is that of its interface."""

    command_latency: Time
    """From a command to its first byte where nothing else is under way: host, controller, cells."""
    commands_per_s: Count | None = None
    """Ceiling of commands a second."""
    lane_bandwidth: Bandwidth | None = None
    """What one request draws by itself; the interface's where left out."""
    block: Size
    """Bytes a request."""
    depth: Depth = Field(default=Quantity(value=1.0))
    """Requests in flight, 1 or more (a mean, too): queue depth, or threads that wait for theirs."""
    throttled_bandwidth: Bandwidth | None = None
    """What is left once the device is hot; a ceiling, where stated."""
    hit_fraction: Fraction | None = None
    """Share of the bytes that the page cache holds."""
    cache_bandwidth: Bandwidth | None = None
    """Bandwidth of bytes that the page cache holds; without it they take no time."""


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
        Bytes a request.
    depth
        Requests in flight, at least 1.
    latency
        Seconds of a command alone, its transfer aside.
    bandwidth
        Of the interface, bytes per second.
    commands
        Ceiling of commands a second; None for none.
    lane
        Bytes a second of one request's own path; None for the interface's.
    pipelined
        Whether commands are processed while data is transferred (NVMe), or between transfers (one
        queue: UFS, eMMC, SD).
    knee
        Exponent of the soft minimum; the larger, the sharper.

    Returns
    -------
    requests per second, of the inputs' broadcast shape
    """
    none = commands is None
    xp = namespace(block, depth, latency, bandwidth, 0.0 if none else commands)
    transfer = block / bandwidth
    process = 0.0 if none else 1.0 / commands
    own = transfer if lane is None else block / lane
    if pipelined:
        shared = xp.maximum(transfer, process)
        alone = latency + own
    else:
        shared = transfer + process
        alone = latency + own + process
    alone = xp.maximum(alone, shared)
    depth = xp.maximum(depth, 1.0)
    crowd = 1.0 - depth**-knee
    return ((alone / depth) ** knee + shared**knee * crowd) ** (-1.0 / knee)


def storage_bandwidth(
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
    """Return bytes per second; parameters as `request_rate` takes them."""
    rate = request_rate(
        block,
        depth,
        latency,
        bandwidth,
        commands=commands,
        lane=lane,
        pipelined=pipelined,
        knee=knee,
    )
    return block * rate


def batch_time(
    requests: Value,
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
    """Return seconds of a batch that must be complete before anything goes on.

    Full waves keep `depth` requests in flight, the rest fewer: a layer whose few missing experts
    cannot fill the queue pays for it.

    Parameters
    ----------
    requests
        Requests of the batch, a whole number.
    block, depth, latency, bandwidth, commands, lane, pipelined, knee
        As `request_rate` takes them.
    """
    xp = namespace(requests, block, depth, latency, bandwidth)
    waves = xp.floor(requests / depth + 1e-9)
    rest = requests - waves * depth

    def rate(flight: Value) -> Value:
        return request_rate(
            block,
            flight,
            latency,
            bandwidth,
            commands=commands,
            lane=lane,
            pipelined=pipelined,
            knee=knee,
        )

    return waves * depth / rate(depth) + rest / rate(xp.maximum(rest, 1.0))


def cached_bandwidth(storage: Value, hit_fraction: Value, cache: Value = None) -> Value:
    """Return bytes per second where the page cache holds a share of the bytes.

    Parameters
    ----------
    storage, cache
        Bytes a second of either; bytes of the cache take no time where `cache` is None.
    hit_fraction
        Share of the bytes that the cache holds.
    """
    xp = namespace(storage, hit_fraction, 0.0 if cache is None else cache)
    held = 0.0 if cache is None else hit_fraction / cache
    each = (1.0 - hit_fraction) / storage + held
    return xp.where(each > 0.0, 1.0 / xp.where(each > 0.0, each, 1.0), xp.inf)


def read_bandwidth(setting: Setting, level: str, *, pipelined: bool) -> Value:
    """Return bytes per second of a memory of this kind, as its facts say it is read."""
    memory = setting.memory_of(level, Storage)
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
