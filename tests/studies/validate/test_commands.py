"""What `validate` predicts for a row is what the row's command line prints."""

from __future__ import annotations

import csv
import json
import random
import shlex
from pathlib import Path
from typing import Any

import pytest

from perfmodel.cli import main
from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.datasets import DeclaredDataset, dataset, dataset_names
from perfmodel.evaluate.validate import evaluate
from perfmodel.evaluate.validation_case import Cases

DECLARED = [name for name in dataset_names() if isinstance(dataset(name), DeclaredDataset)]
#: Rows of a YAML beside a reader.
BESIDE = ["hls4ml_mlp_csynth"]


def printed(metric: str, answer: dict[str, Any], table: str) -> float:
    """Return the number that answers a metric, of what a command printed and wrote."""
    of, _, what = metric.rpartition(" ")
    if of == "resource":
        return answer["resources"][what]["used"]
    if of == "largest":
        with open(table, newline="") as file:
            return max(float(row[what]) for row in csv.DictReader(file))
    value = answer[metric]
    # Of a metric by memory main memory's is the last.
    return list(value.values())[-1] if isinstance(value, dict) else value


@pytest.mark.data
@pytest.mark.parametrize("name", DECLARED + BESIDE)
def test_a_command_prints_what_is_predicted(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = dataset(name).load(data_folder(data))
    predicted = [case for case in cases.cases if case.machine is not None]
    for case in random.Random(name).sample(predicted, min(2, len(predicted))):
        rows = evaluate(Cases(name, [case], cases.primary)).predictions
        assert len(rows) == len(case.quantities)
        for question, row in zip(case.quantities, rows, strict=True):
            capsys.readouterr()
            words = shlex.split(question.command)[1:]
            table = str(tmp_path / "kernels.csv")
            written = ["-o", table] if question.metric.startswith("largest ") else []
            # 1: it does not fit
            assert main([*words, "--json", *written]) in (0, 1), question.command
            value = printed(question.metric, json.loads(capsys.readouterr().out), table)
            assert value == pytest.approx(row["predicted"], rel=1e-9), question.command
