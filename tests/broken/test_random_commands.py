"""Random mutations of sound command lines: answered or refused; no code is run, no file is left."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.broken.conftest import MINE, SOUND
from tests.broken.test_random_mutations import JUNK, PATIENCE_S, patience
from tests.draws import draws, of_draws

#: Sound lines of every command; those that write do so into the folder, to files named ``out``.
LINES = """\
predict resnet18 a100 --set batch=8 --precision w8a8 --runtime ideal --explain
predict llama_3_8b jetson_agx_orin --set context=4096 --precision w4a16kv8 --json -o out.json
predict net.yaml board.yaml --model roofline --engine npu
sweep resnet18 --device a100,board.yaml --set batch=1,2,4 --set memories.main.bandwidth=logspace(1e9,1e12,5)
sweep llm.yaml -d tag:npu --set context=2**9..2**11 --where tpot_s<=50ms --best energy_j
sweep resnet18 -d a100 --set batch=1..8 --precision fp16,int8 --pareto latency_s,energy_j --top 3 -o out.csv
sweep resnet18 -d a100 --set batch=uniform(1,9) --sobol 16 --seed 3 --metrics latency_s,feasible --executor serial
sweep resnet18 -d a100 --set batch=1,2 --set height=32,64 --zip batch,height --dry-run
compare resnet18 a100 h100 --precision fp16:int8 --rows 3
compare llm.yaml a100 board.yaml --json -o out.json
solve llama_3_8b a100 --for memories.main.bandwidth --until tokens_per_s>=20 --precision w4a16
solve resnet18 a100 --for batch --until latency_s<=5ms
predict resnet18 a100 --runtime runtime.yaml --json
traffic net.yaml --capacity 16KiB,64KiB --precision int8
patches net.yaml gemmini_16x16
schedule sizes.json --capacity 12KiB --method greedy --json
schedule net.yaml gemmini_16x16 --set memories.scratchpad.capacity=64KiB --no-fuse -o out.json
allocate buffers.csv --capacity 4096
place llm.yaml board.yaml
stream llama_3_8b ufs_4_phone --precision w4a16 --json
assign net.yaml board.yaml
serve llama_3_8b h100 --runtime vllm
search problem.yaml --time-limit 2
calibrate mine.csv
validate rows.csv --json
reproduce cambricon_llm
hardwire gpt_oss_120b
collective all_reduce h100 --message 1MiB,16MiB --devices 2,8 --json
request llama_3_8b apple_m2_max --precision q4_k_m --prompt 512 --generate 64 --json
request llm.yaml board.yaml --prompt 128,256 --generate 8
split resnet18 jetson_nano rtx_4090 --rate 1..5Mbit/s --latency 5ms --link-format int8
split resnet18 --system system.yaml --json
finetune mcunet_5fps stm32h743 --train *=bias,classifier=all --set height=128 --set width=128 --set classes=10
cite resnet18 board.yaml --bibtex
compare resnet18 a100 h100 --layers --rows 4
sweep llm.yaml -d a100,h100 --set context=1024,2048 --best tokens_per_s --per context
report predict resnet18 a100 -o out.html
hardware new mine --from board.yaml --set memories.main.bandwidth=17GB/s -o out.yaml
hardware near --bandwidth 17GB/s --peak 4TOP/s --format int8
hardware list --tag phone
hardware show a100 --json
hardware check board.yaml
hardware diff a100 board.yaml
workload list --tag llm
workload show net.yaml --set batch=2 --operators
workload check llm.yaml config.json
workload import config.json -o out.yaml
workload import net.onnx --json
format list
format show w4g128a16
""".splitlines()  # noqa: E501

#: What would run code, if any of it were evaluated, opened or handed to a shell.
CODE = (
    "__import__('os').system('touch ran')",
    "$(touch ran)",
    "`touch ran`",
    "; touch ran",
    "!!python/object/apply:os.system ['touch ran']",
    "open('ran', 'w')",
    "{0.__class__}",
    "lambda: 0",
    'exec(\'open("ran","w")\')',
    "|touch ran",
    "file:///etc/passwd",
    "dask://127.0.0.1:1",
    "batch=__import__('os')",
    "latency_s <= ().__class__",
)
WORDS = (
    "--set",
    "--json",
    "-o",
    "--device",
    "--best",
    "--where",
    "--precision",
    "--help",
    "--",
    "-x",
    "--=",
    "a100",
    "resnet18",
    "batch=",
    "=1",
    "=",
    "9" * 40,
    "1..",
    "2**2**2",
    "/",
    ".",
    "/dev/null",
    "/etc/passwd",
    "board.yaml",
    "*",
    "tag:",
    ",",
    ",,",
    "w999a1",
    "w0a0",
    "memories.main.bandwidth=-1 GB/s",
    "memories.main.capacity=0",
    "batch=1e300",
)
NUMBERS = ("0", "1", "3", "16", "0.5", "-1", "1e4", "1e-9", "1e30", "007", "1_0", "٣", "0x10")
NAMES = (
    "a100",
    "stm32h743",
    "zcu104",
    "hailo8",
    "raspberry_pi_5",
    "board.yaml",
    "resnet18",
    "llama_3_8b",
    "net.yaml",
    "llm.yaml",
    "net.onnx",
    "vit_b_16",
    "sizes.json",
    "w4a16",
    "int8",
    "fp16",
    "llama_cpp",
    "generic",
    "latency_s",
    "energy_j",
    "batch=2",
)
TRIED = draws(800)
#: Kept by the folder: what any mutation may read.
FILES = (
    "board.yaml",
    "net.yaml",
    "llm.yaml",
    "config.json",
    "sizes.json",
    "rows.csv",
    "buffers.csv",
    "problem.yaml",
    "runtime.yaml",
    "system.yaml",
)
#: What is heard while a command runs.
_AUDITED = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "pty.spawn",
    "pickle.find_class",
    "socket.connect",
    "socket.bind",
    "marshal.loads",
)
_heard: list[str] | None = None


def _listen(event: str, _arguments: tuple[Any, ...]) -> None:
    if _heard is not None and event in _AUDITED:
        # Python reads its own compiled modules with marshal; a module is not what was given.
        if event == "marshal.loads" and sys._getframe(1).f_code.co_filename.startswith("<frozen"):
            return
        _heard.append(event)


@cache
def _start_listening() -> None:
    """Add the hook, which stays: until a test needs it, a process is spared its calls."""
    sys.addaudithook(_listen)


@contextmanager
def heard() -> Generator[list[str]]:
    """Events that only the running of foreign code, or a talk with another process, makes."""
    global _heard
    _start_listening()
    _heard = events = []
    try:
        yield events
    finally:
        _heard = None


def mutate(line: Sequence[str], dice: random.Random) -> list[str]:
    """Change a command line in one to three words."""
    words = list(line)
    for _ in range(dice.choice((1, 1, 2, 3))):
        at = dice.randrange(len(words)) if words else 0
        if words and dice.random() < 0.6:  # another number, another name: what a user mistypes
            numbers = list(re.finditer(r"\d+(\.\d+)?", words[at]))
            if numbers and dice.random() < 0.7:
                one = dice.choice(numbers)
                other = dice.choice(NUMBERS)
                words[at] = words[at][: one.start()] + other + words[at][one.end() :]
            elif at and not words[at].startswith("-"):
                words[at] = dice.choice(NAMES)
            continue
        junk = dice.choice((dice.choice(JUNK), dice.choice(CODE), dice.choice(WORDS)))
        match dice.randrange(7):
            case 0:
                words[at : at + 1] = [junk]
            case 1:
                words[at:at] = [junk]
            case 2:
                del words[at : at + 1]
            case 3 if words:
                name, equals, _ = words[at].partition("=")
                words[at] = f"{name}{equals}{junk}"
            case 4 if words:
                place = dice.randrange(len(words[at]) + 1)
                words[at] = words[at][:place] + dice.choice(JUNK) + words[at][place + 1 :]
            case 5 if len(words) > 1:
                other = dice.randrange(len(words))
                words[at], words[other] = words[other], words[at]
            case _:
                words += dice.choice(LINES).split()[-2:]
    return [word.replace("\x00", "") for word in words]


@pytest.fixture
def files(folder: Path, onnx_bytes: bytes) -> dict[str, bytes]:
    """What the sound lines read, in the folder."""
    for name in FILES:
        (folder / name).write_text(SOUND[name][0])
    (folder / "net.onnx").write_bytes(onnx_bytes)
    (folder / "mine.csv").write_text(MINE)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("line", LINES)
def test_a_sound_line_is_answered(
    files: dict[str, bytes], exit_code: Callable[..., tuple[int, str, str]], line: str
) -> None:
    code, out, err = exit_code(*line.split())
    assert code in (0, 1), err
    assert out or "-o" in line
    assert files


@pytest.mark.parametrize("share", range(8))
def test_a_random_command_line_is_answered_or_refused(
    folder: Path,
    exit_code: Callable[..., tuple[int, str, str]],
    files: dict[str, bytes],
    share: int,
) -> None:
    kept = files
    codes: dict[int, int] = {}
    for number in range(share, TRIED, 8):
        dice = random.Random(f"command {number}")
        words = mutate(LINES[number % len(LINES)].split(), dice)
        if words[:1] in (["reproduce"], ["validate"]) and len(words) == words.count("--json") + 1:
            continue  # every claim, every data set: minutes, by right
        with patience(PATIENCE_S), heard() as events:
            try:
                code, out, err = exit_code(*words)
            except BaseException as error:
                raise AssertionError(f"{number}: {words} raised {error!r}") from error
        told = f"{number}: {words}: exit code {code}\n{err}"
        assert code in (0, 1, 2), told
        assert events == [] or "dask://" in str(words), (told, events)
        left = {path.name: path for path in folder.iterdir()}
        if code == 2:
            # A check tells the good files from the bad ones.
            assert out == "" or "check" in words, told
            lines = err.splitlines()
            assert lines, told
            assert all(line.startswith(("error: ", "note: ")) for line in lines), told
            assert any(line.startswith("error: ") for line in lines), told
            assert sorted(left) == sorted(kept), told
        for name, path in left.items():
            if name in kept and path.read_bytes() != kept[name]:
                assert code != 2, told
                assert name in words or any(name in word for word in words), told
                path.write_bytes(kept[name])
            elif name not in kept:
                # Written because it was asked for, under the name that was said.
                assert "ran" not in name, told
                assert any(name.split(".manifest.json")[0] in word for word in words), told
                path.unlink()
        assert not (folder / "ran").exists(), told
        codes[code] = codes.get(code, 0) + 1
    assert codes.get(2, 0) > TRIED // 8 // 4
    assert codes.get(0, 0) > of_draws(4)
