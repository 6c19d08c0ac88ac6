"""One vocabulary over all commands: an option is declared once, and means the same everywhere."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.cli import command_table
from perfmodel.cli.app import FORMER
from perfmodel.cli.command_table import GENERATED_COMMANDS
from perfmodel.cli.generated_command import GeneratedCommand
from tests.cli.conftest import Ran
from tests.offenders import each

Run = Callable[..., Ran]


#: Options that two commands read in different ways -> why.
HOMONYMS = {
    "--accuracy": "the source of a search's losses; the share of right guesses of a stream",
    "--alignment": "elements of a plan; bytes of buffers, which may have a unit",
    "--cached": "the memory of a placement; whether a stream caches",
    "--capacity": "of one memory; by name where there are several",
    "--data": "groups of devices of a server (data parallel); the folder of measured data",
    "--devices": "how many take part; folders of specs",
    "--keep": "whether a stream keeps weights; the share of a buffer that activations keep",
    "--rows": "a number; of a comparison all where it is left out",
    "--tensor": "a number; elsewhere than in `serve` a setting, of which a sweep takes several",
}


def asked() -> Iterator[tuple[str, GeneratedCommand]]:
    yield from GENERATED_COMMANDS.items()


@each("word, question", asked)
def test_a_public_function_declares_its_question(word: str, question: GeneratedCommand) -> None:
    """No catch-all hides a typo, every parameter is documented, and there is an example."""
    parameters = inspect.signature(question.function).parameters.values()
    assert not [p for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert [p for p in parameters if p.annotation is p.empty] == []
    doc = inspect.getdoc(question.function) or ""
    assert ">>> " in doc
    assert question.source or word in pm.__all__


@each("word, question", asked)
def test_its_example_is_true(word: str, question: GeneratedCommand) -> None:
    doc = inspect.getdoc(question.function) or ""
    names = dict(question.function.__globals__)
    test = doctest.DocTestParser().get_doctest(doc, names, word, None, 0)
    assert test.examples
    printed: list[str] = []
    done = doctest.DocTestRunner().run(test, out=printed.append)
    assert done.failed == 0, "".join(printed)


@each("word, question", asked)
def test_every_option_says_what_it_is(word: str, question: GeneratedCommand) -> None:
    signature = inspect.signature(question.command())
    texts = {n: p.annotation.__metadata__[-1].help for n, p in signature.parameters.items()}
    assert [name for name, text in texts.items() if not text or text[0].isspace()] == []
    # A text reads well on a command line: no mark-up, and it is a sentence.
    assert [name for name, text in texts.items() if "`" in text or text[-1] not in ".)"] == []


@each("word, question", asked)
def test_shared_options_are_there(word: str, question: GeneratedCommand) -> None:
    assert {"--json", "--output", "-o", "--report"} <= question.option_names
    settings = {"--set", "--batch", "--context"} & question.option_names
    assert settings in (set(), {"--set"}, {"--set", "--batch"}, {"--set", "--batch", "--context"})


def test_an_option_is_read_alike_everywhere() -> None:
    """What the parser makes of an option is the same in every command that has it."""
    kinds: dict[str, set[Any]] = {}
    for question in GENERATED_COMMANDS.values():
        for name, parameter in inspect.signature(question.command()).parameters.items():
            option = parameter.annotation.__metadata__[-1].name
            if option and (name not in question.names):
                kinds.setdefault(option[0], set()).add(parameter.annotation.__origin__)
    several = {option for option, kind in kinds.items() if len({*map(str, kind)}) > 1}
    assert several <= HOMONYMS.keys(), several


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "predict llama_3_8b h100 --concurrency 8",
            "--concurrency is an option of `perfmodel serve`",
        ),
        (
            "predict llama_3_8b h100 --set concurrency=8",
            "expected --concurrency of `perfmodel serve`",
        ),
        ("schedule resnet18 --capacity 64KiB --set method=beam", "expected the option --method"),
        ("predict resnet18 a100 --precison fp16", "did you mean '--precision'?"),
        ("serve llama_3_8b h100 --batch 4", "--batch is an option of `perfmodel predict`, "),
        ("workload show resnet18 --precision int8", "--precision is an option of `perfmodel "),
    ],
)
def test_a_word_of_another_command_is_answered_with_it(run: Run, line: str, words: str) -> None:
    done = run(*line.split())
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.faults) == 1


def test_batch_and_context_are_settings(run: Run) -> None:
    short = run("predict", "llama_3_8b", "h100", "--batch", "4", "--context", "512", "--json")
    long = run(
        "predict", "llama_3_8b", "h100", "--set", "batch=4", "--set", "context=512", "--json"
    )
    assert short.data == long.data
    wrong = run("predict", "llama_3_8b", "h100", "--batch", "none")
    assert wrong.faults[0].startswith("error: --batch: ")
    twice = run("predict", "llama_3_8b", "h100", "--batch", "4", "--set", "batch=4")
    assert "'batch' is set twice" in twice.err
    grid = run("sweep", "resnet18", "-d", "a100", "--batch", "1,2,4", "--json").data
    assert [row["batch"] for row in grid["rows"]] == [1, 2, 4]


def test_former_options_answer_with_the_name_of_today(run: Run) -> None:
    words = ("schedule", "mlperf_tiny_ic", "--capacity", "64 KiB", "--json")
    former, today = run(*words, "--unfused"), run(*words, "--no-fuse")
    assert former.data["spill_bytes"] == today.data["spill_bytes"]
    assert former.err == "note: --unfused of perfmodel schedule is called --no-fuse now\n"
    for command, names in FORMER.items():
        known = GENERATED_COMMANDS[command].option_names
        for option, current in names.items():
            assert option not in known or option == "--plan"
            assert current in known or current.replace("--no-", "--") in known


def test_former_parameters_answer_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="'unfused' of schedule.. is called 'not fuse' now"):
        former = pm.schedule("mlperf_tiny_ic", capacity="64 KiB", unfused=True)
    assert (
        former.to_dict() == pm.schedule("mlperf_tiny_ic", capacity="64 KiB", fuse=False).to_dict()
    )
    with pytest.warns(DeprecationWarning, match="given in 'set' now: batch"):
        pm.traffic("resnet18", "64 KiB", batch=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'metod'"):
        pm.schedule("mlperf_tiny_ic", capacity="64 KiB", metod="beam")


def test_commands_are_made_when_they_are_asked_for() -> None:
    assert callable(command_table.predict)
    with pytest.raises(AttributeError):
        command_table.predikt  # noqa: B018


def test_tensor_is_the_share_of_one_device_everywhere(run: Run) -> None:
    """What `serve` costs on one of its devices is what other commands answer about."""
    served = pm.serve("llama_3_8b", "h100", runtime="vllm", tensor=2, prompt=512, generate=2)
    decode = served.decode
    own = run(
        "predict",
        "llama_3_8b",
        "h100",
        "--runtime",
        "vllm",
        "--tensor",
        "2",
        "--context",
        "513",
        "--json",
    ).data
    assert own["latency_s"] == pytest.approx(float(decode.latency_s), rel=1e-12)
    assert own["weight_bytes"] == float(decode.weight_bytes)
    assert any("one of 2 devices" in note for note in own["notes"])
    rows = run(
        "sweep",
        "llama_3_8b",
        "-d",
        "h100",
        "--runtime",
        "vllm",
        "--tensor",
        "1,2",
        "--context",
        "513",
        "--json",
    ).data["rows"]
    assert rows[1]["latency_s"] == pytest.approx(own["latency_s"], rel=1e-12)
    # Heads, feed-forward and vocabulary halve; the norms (65 vectors of 4,096) do not.
    whole, half = (pm.workload("llama_3_8b", tensor=n).weights for n in (1, 2))
    assert half == pytest.approx(whole / 2 + 65 * 4096 / 2, rel=1e-12)
    wrong = run("predict", "llama_3_8b", "h100", "--tensor", "3")
    assert wrong.faults == [
        "error: --tensor: 32 heads do not divide over 3 devices; expected a divisor of 32"
    ]
    for command in ("predict", "request", "schedule", "sweep", "place", "compare", "solve"):
        assert "--tensor" in GENERATED_COMMANDS[command].option_names
