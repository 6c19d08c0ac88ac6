"""The models that the onnx package carries for its own tests: from PyTorch, and by hand."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.errors import InputError

#: What is no operator on tensors of numbers: sequences, strings, a gradient.
NOT_PRICED = {
    "SequenceInsert",
    "SequenceAt",
    "SplitToSequence",
    "ConcatFromSequence",
    "SequenceConstruct",
    "SequenceErase",
    "SequenceLength",
    "StringNormalizer",
    "Gradient",
}


def test_every_model_of_the_onnx_package_is_imported() -> None:
    spec = find_spec("onnx.backend.test")
    if spec is None or spec.origin is None:
        pytest.skip("this onnx has no tests")
    models = sorted((Path(spec.origin).parent / "data").glob("*/*/model.onnx"))
    if len(models) < 100:
        pytest.skip(f"this onnx carries {len(models)} models")
    unpriced: Counter[str] = Counter()
    worked = 0
    for path in models:
        try:
            workload = pm.workload(path)
            unpriced.update({line.partition(" at ")[0] for line in workload.not_priced})
            worked += workload.macs > 0
        except InputError as error:
            raise AssertionError(f"{path.parent.name}: {error}") from error
    assert set(unpriced) <= NOT_PRICED
    assert worked >= 30  # convolutions and linear layers of PyTorch
