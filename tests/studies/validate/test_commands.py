"""What `validate` predicts for a row is what the row's command line prints."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path

import pytest

from perfmodel.cli import main
from perfmodel.evaluate.case import Cases
from perfmodel.evaluate.datasets import dataset, dataset_names
from perfmodel.evaluate.declared import DeclaredDataset
from perfmodel.evaluate.files import data_folder
from perfmodel.evaluate.run import evaluate

DECLARED = [name for name in dataset_names() if isinstance(dataset(name), DeclaredDataset)]


@pytest.mark.data
@pytest.mark.parametrize("name", DECLARED)
def test_a_command_prints_what_is_predicted(
    name: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = dataset(name).load(data_folder(data))
    predicted = [case for case in cases.cases if case.machine is not None]
    for case in random.Random(name).sample(predicted, min(2, len(predicted))):
        rows = evaluate(Cases(name, [case], cases.primary)).predictions
        assert len(rows) == len(case.questions)
        for question, row in zip(case.questions, rows, strict=True):
            capsys.readouterr()
            words = shlex.split(question.command)[1:]
            assert main([*words, "--json"]) in (0, 1), question.command  # 1: it does not fit
            answer = json.loads(capsys.readouterr().out)[question.metric]
            # Of a metric by memory main memory's is the last.
            value = list(answer.values())[-1] if isinstance(answer, dict) else answer
            assert value == pytest.approx(row["predicted"], rel=1e-9), question.command
