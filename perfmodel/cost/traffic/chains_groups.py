"""One fused group: the room that a tile of positions takes through operators one after another.

A tensor between two operators is held whole in its channels, one head at a time, or one channel at
a time. An operator runs when its input or its output is complete (all channels that it mixes), so
that its weights come once a tile. Tensors that are not held whole tie their operators together:
those run in turns, and what they hold counts together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from perfmodel.cost.traffic.chains_blocks import (
    Fused,
    again,
    block_room,
    blocks,
    cuts,
    falling,
    few,
    slices,
)
from perfmodel.cost.traffic.chains_links import ChainOperator, Lined
from perfmodel.cost.traffic.staircase_axes import Floats

#: How much of a tensor is held: all channels, those of one head, one channel.
_WHOLE, _HEAD, _ONE = range(3)


#: First tensor, last tensor, ways to hold the tensors.
_Run: TypeAlias = tuple[int, int, list[list[int]]]


def fused(
    group: Lined, held: int, lies: tuple[bool, bool] = (False, False), room_of_those: float = 0.0
) -> Fused:
    """Return the staircase of a group of operators.

    Parameters
    ----------
    group
        The operators and their tiles.
    held
        Copies of what changes at the innermost loop: 2 when buffers are double.
    lies
        Whether the first input, and the last output, lies on chip whole for all positions: then it
        neither comes nor goes.
    room_of_those
        Bytes that they take.
    """
    links, tiles = group.links, group.tiles
    first, last = links[0], links[-1]
    ends = np.zeros(len(tiles.count))
    if not lies[0]:
        ends = ends + first.input * first.heads * first.ins * tiles.volume
    if not lies[1]:
        ends = ends + last.output * last.heads * last.outs * _positions(group)
    steps: list[Fused] = []
    runs = [
        (a, b, list(_states(links, a, b, lies)))
        for b in range(1, len(links) + 1) for a in range(b)
    ]  # fmt: skip
    for kept in range(1 << len(links)):
        stays = [bool(kept >> i & 1) for i in range(len(links))]
        best = _rooms(group, held, stays, runs, lies)
        room = best[-1] + room_of_those
        moved = ends.copy()
        for i, link in enumerate(links):
            all_ = link.weights * link.segments
            if stays[i]:
                room = room + link.weights
                moved += all_
            else:
                moved += all_ * tiles.per_segment[i]
        if len(links) == 3 and not any(lies):
            steps += _sliced_ends(group, held, kept, moved, best, runs)
        number = np.arange(len(room))
        steps.append(Fused(room, moved, number, np.full(len(room), kept), 0 * number))
    if len(links) == 2 and not any(lies) and all(link.taps == 1 for link in links):
        if all(link.segments == link.heads == 1 for link in links):
            steps.append(slices(group, held))
        if min(link.heads for link in links) == 1:
            steps += blocks(group, held)
    found = falling(steps)
    return found._replace(traffic=found.traffic * group.times)


def _positions(group: Lined) -> float:
    """Return the positions of the last output."""
    tile, count = group.tiles.area[-1], group.tiles.count
    # The largest tile is all of them, once for each image.
    return float(tile[-1] * count[-1])


def _sliced_ends(
    group: Lined, held: int, kept: int, moved: Floats, best: Sequence[Floats], runs: Sequence[_Run]
) -> list[Fused]:
    """Return staircases of three operators, two of which share a block slice by slice.

    Either the first input comes once a slice, or the last output is summed up outside.
    """
    stays = [bool(kept >> i & 1) for i in range(3)]
    weights = sum(link.weights for link, stay in zip(group.links, stays, strict=True) if stay)
    steps: list[Fused] = []
    for at in (0, 1):
        pair = group.links[at : at + 2]
        if any(link.taps > 1 or link.heads > 1 or link.segments > 1 for link in pair):
            continue
        whole = (at == 1, at == 0)
        block = block_room(group, at, held, whole, (stays[at], stays[at + 1]))
        # The third operator runs before, up to the block's input, or after, from its output on.
        other = best[1] if at else _rooms(group, held, stays, runs, (False, False), start=2)[-1]
        room = np.maximum(other[:, None], block) + weights
        width = cuts(group, at).width
        steps.append(few(room, moved[:, None] + again(group, at, whole), width, kept))
    return steps


def _rooms(
    group: Lined, held: int, stays: Sequence[bool], runs: Sequence[_Run],
    lies: tuple[bool, bool], start: int = 0,
) -> list[Floats]:  # fmt: skip
    """Return the least room of each tile up to each tensor, that tensor whole if it is inside.

    Of all ways to hold the tensors the least peak, over runs of operators one after another.

    Parameters
    ----------
    runs
        First tensor, last tensor, and the ways to hold them, of operators that run in turns.
    start
        The tensor to start from, whole if it is inside.
    """
    end = len(group.links)
    best: list[Floats] = [np.full(len(group.tiles.count), np.inf) for _ in range(end + 1)]
    best[start] = np.zeros(len(group.tiles.count))
    for a, b, ways in runs:
        if a < start:
            continue
        for states in ways:
            here = _tied(group, held, stays, a, b, states, lies)
            best[b] = np.minimum(best[b], np.maximum(best[a], here))
    return best


def _states(
    links: Sequence[ChainOperator], a: int, b: int, lies: tuple[bool, bool]
) -> Iterator[list[int]]:  # fmt: skip
    """Yield how tensors ``a`` to ``b`` may be held while all operators between run in turns.

    Only the first input and the last output of the group may be in parts at the ends, unless they
    lie on chip.
    """
    parts = (_HEAD, _ONE)
    first = (_WHOLE, *parts) if a == 0 and not lies[0] else (_WHOLE,)
    last = (_WHOLE, *parts) if b == len(links) and not lies[1] else (_WHOLE,)
    inner = [parts] * (b - a - 1)
    for states in itertools.product(first, *inner, last):
        if all(_runs(links, a + i, *states[i : i + 2]) for i in range(b - a)):
            yield list(states)


def _runs(links: Sequence[ChainOperator], i: int, before: int, after: int) -> bool:
    """Tell whether an operator can run with its input and its output held so."""
    link = links[i]
    for tensor, state in ((i, before), (i + 1, after)):
        if state == _HEAD and _head(links, tensor) is None:
            return False
    complete = (_WHOLE, _HEAD) if link.heads > 1 else (_WHOLE,)
    return before in complete or after in complete


def _head(links: Sequence[ChainOperator], tensor: int) -> int | None:
    """Return the channels of one head of a tensor, where the operators beside it agree."""
    widths: set[int] = set()
    if tensor < len(links) and links[tensor].heads > 1:
        widths.add(links[tensor].ins)
    if tensor > 0 and links[tensor - 1].heads > 1:
        widths.add(links[tensor - 1].outs)
    return widths.pop() if len(widths) == 1 else None


def _tied(
    group: Lined, held: int, stays: Sequence[bool], a: int, b: int, states: Sequence[int],
    lies: tuple[bool, bool],
) -> Floats:  # fmt: skip
    """Return the room of operators ``a`` to ``b - 1`` that run in turns: the better of two ways.

    Element by element of the weights, a whole column of positions in work; or with a column of the
    weights held, position by position.
    """
    links, area = group.links, group.tiles.area
    column, position = np.zeros(area.shape[1]), np.zeros(area.shape[1])
    for i, state in enumerate(states):
        tensor = a + i
        channels = _channels(links, tensor, state)
        inside = 0 < tensor < len(links)
        if state == _ONE:
            width = links[tensor - 1].partial if tensor else links[0].input
            column += area[tensor] * width
            if inside and links[tensor].taps > 1:
                # The next kernel looks at several positions of the channel.
                position += np.inf
            # What comes in or goes out changes with every position.
            position += width * (1 if inside else held)
            continue
        summed = i > 0 and _summed(links, tensor - 1, states[i - 1], state)
        width = links[tensor - 1].partial if summed else _stored(links, tensor)
        if (tensor == 0 and lies[0]) or (tensor == len(links) and lies[1]):
            # Counted for all positions, but for what is wider while it is summed up.
            width = _wider(links, tensor) if summed else 0.0
        column += area[tensor] * channels * width
        position += area[tensor] * channels * width
        if i > 0 and not summed:
            # A channel is summed up wide in its place, and then stored.
            position += _wider(links, tensor)
    turn = np.zeros(area.shape[1])
    for i in range(a, b):
        link, before, after = links[i], states[i - a], states[i - a + 1]
        summed = _summed(links, i, before, after)
        own = held * link.weight * (not stays[i]) + np.zeros(area.shape[1])
        if after != _ONE and not summed:
            own += area[i + 1] * _wider(links, i + 1)
        turn = np.maximum(turn, own)
        if not stays[i]:
            long = link.ins if after == _ONE or not summed else link.outs
            position += link.weight * link.taps * long
    column += turn
    return np.minimum(column, position)


def _summed(links: Sequence[ChainOperator], i: int, before: int, after: int) -> bool:
    """Tell whether an operator sums its whole output at once, as its input comes in parts."""
    if after == _ONE:
        return False
    return before == _ONE or (before == _HEAD and after == _WHOLE and links[i].heads == 1)


def _channels(links: Sequence[ChainOperator], tensor: int, state: int) -> int:
    if state == _ONE:
        return 1
    if state == _HEAD:
        width = _head(links, tensor)
        assert width is not None
        return width
    link = links[tensor] if tensor < len(links) else links[-1]
    return link.heads * (link.ins if tensor < len(links) else link.outs)


def _wider(links: Sequence[ChainOperator], tensor: int) -> float:
    """Return by how much an element of a tensor is wider while it is summed up."""
    return max(0.0, links[tensor - 1].partial - _stored(links, tensor))


def _stored(links: Sequence[ChainOperator], tensor: int) -> float:
    """Return the bytes of an element of a tensor that is complete."""
    return links[tensor].input if tensor < len(links) else links[-1].output
