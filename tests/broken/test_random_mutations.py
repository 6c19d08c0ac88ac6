"""Random mutations of sound files: refused or predicted, never anything else."""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.broken.model_files import MODELS, within
from tests.draws import ALL_DRAWN, draws

JUNK = (
    "",
    "0",
    "-1",
    "-0.0",
    "1e999",
    "1e-320",
    ".nan",
    "inf",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "[[1]]",
    "'",
    '"',
    ":",
    ",",
    "\t",
    "\n",
    "\x00",
    "\x1b[31m",
    "é",
    "\U0001f600",
    "9" * 400,
    "&a [*a]",
    "*b",
    "!!x y",
    "- ",
    "<<: {}",
    "1 GB/s",
    "2**9999",
    "../x",
    "batch",
    "channels ** 2",
    "0x10",
    "1_000",
    "1e18",
    "%",
    "?",
    "---",
    "name",
)

#: File -> mutations tried.
TRIED = {
    name: draws(tried)
    for name, tried in {
        "board.yaml": 110,
        "net.yaml": 110,
        "llm.yaml": 90,
        "config.json": 70,
        "graph.json": 70,
        "sizes.json": 40,
        "rows.csv": 40,
        "runtime.yaml": 60,
        "buffers.csv": 40,
        "problem.yaml": 90,
        "net.onnx": 110,
        "net.tflite": 110,
        "system.yaml": 60,
        **{name: tried for name, (_, tried) in MODELS.items()},
    }.items()
}

#: A mutation that takes longer than this is a hang.
PATIENCE_S = 120


def mutate_text(text: str, dice: random.Random) -> str:
    """Change a text in one to three places: a scalar, a line, a character or its end."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        lines = text.split("\n")
        at = dice.randrange(len(lines))
        match dice.randrange(8):
            case 0 | 1 | 2:
                words = list(re.finditer(r"[-+.\w]+", text))
                if words:
                    word = dice.choice(words)
                    other = dice.choice((dice.choice(JUNK), dice.choice(words)[0]))
                    text = text[: word.start()] + other + text[word.end() :]
            case 3:
                text = "\n".join(lines[:at] + lines[at + 1 :])
            case 4:
                text = "\n".join([*lines[:at], lines[at], *lines[at:]])
            case 5:
                lines[at] = dice.choice(("", " ", "  ")) + lines[at].strip()
                text = "\n".join(lines)
            case 6:
                place = dice.randrange(len(text) + 1)
                text = text[:place] + dice.choice(JUNK) + text[place + dice.randrange(3) :]
            case _:
                text = text[: dice.randrange(len(text) + 1)]
    return text


def mutate_bytes(content: bytes, dice: random.Random) -> bytes:
    """Change, drop or add bytes in one to eight places."""
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                data[at] ^= 1 << dice.randrange(8)
            case 2:
                del data[at : at + dice.randrange(1, 9)]
            case _:
                data[at:at] = dice.randbytes(dice.randrange(1, 9))
    return bytes(data)


class Hang(BaseException):
    """Nothing that a command could take for an error of its own."""


@contextmanager
def patience(seconds: int) -> Generator[None]:
    """Turn a hang into a failure, where the system has alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(*_: object) -> None:
        raise Hang(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("file", TRIED)
def test_a_random_mutation_is_refused_or_predicted(
    folder: Path,
    sound: Callable[[str], tuple[bytes, tuple[str, ...]]],
    exit_code: Callable[..., tuple[int, str, str]],
    file: str,
) -> None:
    content, command = sound(file)
    codes: dict[int, int] = {}
    path = folder / file
    for number in range(TRIED[file]):
        dice = random.Random(f"{file} {number}")
        # A text is mutated as one, but for every fifth.
        binary = not file.endswith((".yaml", ".json", ".csv"))
        if file.endswith((".keras", ".pt2")) and number % 3:
            mutated = within(content, partial(mutate_text, dice=dice))
        elif binary or number % 5 == 4:
            mutated = mutate_bytes(content, dice)
        else:
            mutated = mutate_text(content.decode(), dice).encode()
        path.write_bytes(mutated)
        with patience(PATIENCE_S):
            code, out, err = exit_code(*command)
        told = f"mutation {number}: exit code {code}\n{err}\n{mutated!r}"
        assert code in (0, 1, 2), told
        assert "too large or too deep" not in err, told
        assert [p.name for p in folder.iterdir()] == [file], told
        if code == 2:
            assert out == "", told
            lines = err.splitlines()
            assert lines, told
            assert all(line.startswith("error: ") for line in lines), told
            assert all(line.isprintable() for line in lines), told
        codes[code] = codes.get(code, 0) + 1
    assert codes.get(2, 0) > TRIED[file] // (4 if ALL_DRAWN else 8)
    assert codes.get(0, 0) > 0
