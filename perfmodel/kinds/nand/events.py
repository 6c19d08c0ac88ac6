"""Discrete-event simulation of one channel of flash with compute in its dies.

The channels of a request are identical, so that one represents all. A die has planes that read
pages independently, each with a page register and a cache register, and one core. A read-compute
request broadcasts inputs over the channel to all dies; each die reads a page, moves it to the cache
register when the core has finished the previous page, multiplies, and returns partial sums.
Meanwhile another plane reads pages of the weights that the processor multiplies; they are sent over
the channel in pieces.

The simulation uses none of the closed forms: it validates them, and it is the source of the
timeline.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from perfmodel.deprecation import deprecated_names

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Run="NandSimulationResult")

What = Literal["inputs", "results", "piece", "read for the core", "read to stream", "multiply"]


@dataclass(frozen=True, slots=True)
class FlashChannel:
    """One channel and its dies, in seconds.

    Attributes
    ----------
    dies
        Dies on the channel.
    read_time
        Time to read a page from the cells into the page register.
    inputs, results
        Channel time of the inputs of a request (to all dies), and of a die's partial sums.
    core_time
        Core time per page.
    page_time
        Channel time of a streamed page.
    pieces
        Pieces into which such a page is split.
    requests_first
        Whether inputs and partial sums overtake waiting pieces; otherwise the channel serves in
        order of arrival.
    """

    dies: int
    read_time: float
    inputs: float
    results: float
    core_time: float
    page_time: float
    pieces: int = 16
    requests_first: bool = True


class Event(NamedTuple):
    """Busy interval of a part: ``channel``, ``die 0 plane 1``, ``die 0 core``."""

    part: str
    what: What
    start: float
    end: float
    number: int


@dataclass(slots=True)
class NandSimulationResult:
    """Times and events of a simulation.

    Attributes
    ----------
    seconds
        Time at which the last partial sums and the last streamed page have arrived.
    channel_busy
        Seconds for which the channel is busy.
    requests_done
        Time at which all partial sums of each request have arrived.
    streamed_done
        Time at which the last streamed page has arrived.
    events
        All events, if recorded.
    """

    seconds: float = 0.0
    channel_busy: float = 0.0
    requests_done: list[float] = field(default_factory=list[float])
    streamed_done: float = 0.0
    events: list[Event] = field(default_factory=list[Event])


class _Ask(NamedTuple):
    what: What
    time: float
    die: int
    number: int
    last: bool


def simulate(
    channel: FlashChannel, requests: int, pages: int, *, record: bool = False
) -> NandSimulationResult:
    """Simulate read-compute requests together with streamed pages.

    Parameters
    ----------
    channel
        The channel.
    requests
        Number of read-compute requests, in sequence.
    pages
        Number of pages to stream, assigned to the dies round-robin.
    record
        Whether to record every event.
    """
    return _Simulation(channel, requests, pages, record).run()


class _Simulation:
    def __init__(self, channel: FlashChannel, requests: int, pages: int, record: bool) -> None:
        self.c, self.requests, self.record = channel, requests, record
        self.out = NandSimulationResult(requests_done=[0.0] * requests)
        self.heap: list[tuple[float, int, str, int, int]] = []
        self.order = 0
        self.urgent: deque[_Ask] = deque()
        self.waiting: deque[_Ask] = deque()
        self.channel_free = True
        dies = channel.dies
        self.issued = 0
        # Per die: page register of the core's plane, state of the core, and results returned.
        self.page_ready = [-1] * dies
        self.reading = [False] * dies
        self.core_busy = [False] * dies
        self.returned = [0] * requests
        # Per die: pages left to stream, and whether register and cache of that plane are full.
        self.left = [pages // dies + (die < pages % dies) for die in range(dies)]
        self.stream_reading = [False] * dies
        self.register_full = [False] * dies
        self.cache_full = [False] * dies
        #: die -> number of the page waiting in its register
        self.registers: dict[int, int] = {}
        self.page_number = 0

    def run(self) -> NandSimulationResult:
        self._issue(0.0)
        for die in range(self.c.dies):
            self._stream_read(die, 0.0)
        self._serve(0.0)
        while self.heap:
            now, _, event, die, number = heapq.heappop(self.heap)
            getattr(self, f"_{event}")(die, number, now)
            self._serve(now)
            self.out.seconds = max(self.out.seconds, now)
        return self.out

    def _at(self, time: float, what: str, die: int, number: int) -> None:
        self.order += 1
        heapq.heappush(self.heap, (time, self.order, what, die, number))

    def _work(
        self, part: str, what: What, now: float, time: float, number: int, die: int, then: str
    ) -> None:
        """Occupy a part for some time; `then` names the event at its end."""
        if self.record:
            self.out.events.append(Event(part, what, now, now + time, number))
        self._at(now + time, then, die, number)

    # the channel

    def _ask(self, ask: _Ask) -> None:
        urgent = self.c.requests_first and ask.what != "piece"
        (self.urgent if urgent else self.waiting).append(ask)

    def _serve(self, now: float) -> None:
        if not self.channel_free or not (self.urgent or self.waiting):
            return
        ask = self.urgent.popleft() if self.urgent else self.waiting.popleft()
        self.channel_free = False
        self.out.channel_busy += ask.time
        then = f"{ask.what}_arrive"
        if ask.what == "piece":
            then = "last_piece" if ask.last else "piece"
        self._work("channel", ask.what, now, ask.time, ask.number, ask.die, then)

    # read-compute requests

    def _issue(self, now: float) -> None:
        """Send the inputs of the next request once all page registers are free."""
        free = not any(self.reading) and all(page < 0 for page in self.page_ready)
        if free and self.issued < self.requests:
            self._ask(_Ask("inputs", self.c.inputs, 0, self.issued, True))
            self.reading = [True] * self.c.dies
            self.issued += 1

    def _inputs_arrive(self, _die: int, number: int, now: float) -> None:
        self.channel_free = True
        for die in range(self.c.dies):
            part, time = f"die {die} plane 0", self.c.read_time
            self._work(part, "read for the core", now, time, number, die, "page_read")

    def _page_read(self, die: int, number: int, now: float) -> None:
        self.reading[die] = False
        self.page_ready[die] = number
        self._multiply(die, now)

    def _multiply(self, die: int, now: float) -> None:
        number = self.page_ready[die]
        if number < 0 or self.core_busy[die]:
            return
        self.page_ready[die] = -1
        self.core_busy[die] = True
        part, time = f"die {die} core", self.c.core_time
        self._work(part, "multiply", now, time, number, die, "core_done")
        self._issue(now)

    def _core_done(self, die: int, number: int, now: float) -> None:
        self.core_busy[die] = False
        self._ask(_Ask("results", self.c.results, die, number, True))
        self._multiply(die, now)

    def _results_arrive(self, _die: int, number: int, now: float) -> None:
        self.channel_free = True
        self.returned[number] += 1
        if self.returned[number] == self.c.dies:
            self.out.requests_done[number] = now

    # pages for the processor

    def _stream_read(self, die: int, now: float) -> None:
        if self.left[die] and not self.stream_reading[die] and not self.register_full[die]:
            self.left[die] -= 1
            self.stream_reading[die] = True
            part, time, number = f"die {die} plane 1", self.c.read_time, self.page_number
            self._work(part, "read to stream", now, time, number, die, "stream_ready")
            self.page_number += 1

    def _stream_ready(self, die: int, number: int, now: float) -> None:
        self.stream_reading[die] = False
        self.register_full[die] = True
        self._send(die, number, now)

    def _send(self, die: int, number: int, now: float) -> None:
        if self.cache_full[die]:
            self.registers[die] = number
            return
        self.register_full[die] = False
        self.cache_full[die] = True
        each = self.c.page_time / self.c.pieces
        for piece in range(self.c.pieces):
            self._ask(_Ask("piece", each, die, number, piece == self.c.pieces - 1))
        self._stream_read(die, now)

    def _piece(self, _die: int, _number: int, _now: float) -> None:
        self.channel_free = True

    def _last_piece(self, die: int, _number: int, now: float) -> None:
        self.channel_free = True
        self.cache_full[die] = False
        self.out.streamed_done = now
        if self.register_full[die]:
            self._send(die, self.registers.pop(die), now)
