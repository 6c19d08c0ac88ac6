"""The tasks: a network, a few inputs to calibrate on, and a score on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.real_tasks import files, lines
from benchmarks.real_tasks.compensate import moments
from benchmarks.real_tasks.losses import CtcExcess, Divergence, Kind, Misread, OutputError, Renamed
from benchmarks.real_tasks.networks import Array, Network, package_file
from benchmarks.real_tasks.score import Score, agreement, character_error

#: The convolution of magika, nearly all of its weights, and in how many parts it may be cut.
_CONV, _BLOCKS = "jax2tf_get_logits_/pjit_get_logits_/MagikaV2/Conv_0/transpose_3:0", 8


@dataclass(frozen=True)
class Task:
    """What a network is asked, and under which limits (shares of the 8-bit size).

    `feeds` are inputs that losses are measured on. Of the choices found with different losses one
    is picked by `check` on the inputs `checks`, and by the last of `losses` where that is equal.
    """

    name: str
    about: str
    measure: str
    network: Network
    feeds: Sequence[Mapping[str, Array]]
    cuts: int
    losses: tuple[Kind, ...]
    score: Callable[[dict[str, Array]], Score]
    tested: int
    limits: tuple[float, ...]
    checks: Sequence[Mapping[str, Array]]
    check: Kind
    moments: Sequence[Array | None] | None = None


def magika_tasks(quick: bool) -> list[Task]:
    """Return file types with a decision a layer, and with one a block of output channels."""
    told = files.config()
    whole = Network(package_file("magika"))
    blocks = Network(package_file("magika"), {_CONV: _BLOCKS})
    each, most, calibration = (4, 4, 20) if quick else (24, 16, 240)
    begin, test = files.collect(whole.session({}), told, each, most, calibration)
    endings = test.known(told.labels)
    labels = len(set(test.probabilities.argmax(1).tolist()))
    about = (
        f"{len(test.paths)} files of {labels} types (by the float network), calibrated on "
        f"{len(begin.paths)} others"
    )
    others = [{"bytes": row[None]} for row in begin.inputs]
    # A fifth for losses, two for moments, two for checks; neighbours are of unlike types.
    feeds, checks = others[::5], [*others[1::5], *others[2::5]]

    def task(name: str, network: Network, moments: Any = None) -> Task:
        return Task(
            name,
            about,
            "agreement with the float network's first type",
            network,
            feeds,
            3,
            (OutputError, Divergence),
            lambda o: agreement(network, o, test, endings),
            len(test.paths),
            (0.5, 0.375),
            checks,
            Renamed,
            moments,
        )

    known = moments(whole, [*others[3::5], *others[4::5]])
    return [
        task("magika, a layer, rounded to nearest", whole),
        task("magika, a block, compensated rounding", blocks, known),
    ]


def rapidocr_tasks(quick: bool) -> list[Task]:
    """Return the reading of rendered lines, rounded to nearest and with compensation."""
    network = Network(package_file("rapidocr"))
    rounding, calibration, checked, tested = (3, 3, 3, 20) if quick else (64, 12, 48, 240)
    drawn = lines.lines(rounding + calibration + checked + tested, seed=3)
    begin, rest = drawn[rounding : rounding + calibration], drawn[rounding + calibration :]
    test = rest[checked:]
    characters = sum(len(line.text) for line in test)
    about = f"{tested} lines of {characters} characters, losses measured on {calibration} others"
    feeds = [{"x": line.image} for line in begin]

    def task(name: str, about: str, limits: tuple[float, ...], known: Any) -> Task:
        return Task(
            name,
            about,
            "character error rate",
            network,
            feeds,
            12,
            (OutputError, Divergence, CtcExcess),
            lambda o: character_error(network, o, test),
            tested,
            limits,
            checks,
            Misread,
            known,
        )

    checks = [{"x": line.image} for line in rest[:checked]]
    found = moments(network, [{"x": line.image} for line in drawn[:rounding]])
    return [
        task("rapidocr, a layer, rounded to nearest", about, (0.625, 0.5), None),
        task(
            "rapidocr, a layer, compensated rounding",
            f"{about}, moments on {rounding} more",
            (0.5, 0.375),
            found,
        ),
    ]
