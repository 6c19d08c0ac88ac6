"""The tasks: a network, a few inputs to calibrate on, and a score on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.real_tasks import files, lines
from benchmarks.real_tasks.losses import CtcExcess, Divergence
from benchmarks.real_tasks.networks import Array, Network, package_file
from benchmarks.real_tasks.score import Score, agreement, character_error

#: The convolution of magika, nearly all of its weights, and in how many parts it may be cut.
_CONV, _BLOCKS = "jax2tf_get_logits_/pjit_get_logits_/MagikaV2/Conv_0/transpose_3:0", 8


@dataclass(frozen=True)
class Task:
    """What a network is asked, and under which limits (shares of the 8-bit size)."""

    name: str
    about: str
    measure: str
    network: Network
    feeds: Sequence[Mapping[str, Array]]
    cuts: int
    loss: type[Divergence] | type[CtcExcess]
    score: Callable[[dict[str, Array]], Score]
    tested: int
    limits: tuple[float, ...]


def magika_tasks(quick: bool) -> list[Task]:
    """Return file types with a decision a layer, and with one a block of output channels."""
    told = files.config()
    whole = Network(package_file("magika"))
    blocks = Network(package_file("magika"), {_CONV: _BLOCKS})
    each, most, calibration = (4, 4, 16) if quick else (40, 30, 64)
    begin, test = files.collect(whole.session({}), told, each, most, calibration)
    known = test.known(told.labels)
    labels = len(set(test.probabilities.argmax(1).tolist()))
    about = (
        f"{len(test.paths)} files of {labels} types (by the float network), calibrated on "
        f"{len(begin.paths)} others"
    )
    feeds = [{"bytes": row[None]} for row in begin.inputs]

    def task(name: str, network: Network, limits: tuple[float, ...]) -> Task:
        return Task(
            name, about, "agreement with the float network's first type", network, feeds, 3,
            Divergence, lambda o: agreement(network, o, test, known), len(test.paths), limits,
        )  # fmt: skip

    return [
        task("magika, a layer", whole, (0.5, 0.375)),
        task("magika, a block", blocks, (0.5, 0.375)),
    ]


def rapidocr_task(quick: bool) -> Task:
    """Return the reading of rendered lines with a decision a layer."""
    network = Network(package_file("rapidocr"))
    calibration, tested = (3, 20) if quick else (16, 240)
    drawn = lines.lines(calibration + tested, seed=1)
    begin, test = drawn[:calibration], drawn[calibration:]
    characters = sum(len(line.text) for line in test)
    return Task(
        "rapidocr, a layer",
        f"{tested} lines of {characters} characters, calibrated on {calibration} others",
        "character error rate",
        network,
        [{"x": line.image} for line in begin],
        12,
        CtcExcess,
        lambda o: character_error(network, o, test),
        tested,
        (0.625, 0.5),
    )
