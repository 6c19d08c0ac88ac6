"""Constants of cold weights refitted on nodes, and judged on networks of families left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from perfmodel_studies.readers import cpu_zen4
from perfmodel_studies.readers.cpu_zen4_nodes import CONSTANTS, refit_of

from perfmodel import InputError, hardware, predict
from perfmodel.calibrate import fit
from perfmodel.evaluate.data_files import DataFolder, data_folder
from perfmodel.evaluate.refit import Refit, trial
from perfmodel.evaluate.validation_case import ValidationCase

HEAD = "model,macs,param_bytes,t_us_low25mean\n"


@pytest.fixture(scope="module")
def cases(data: Path) -> list[ValidationCase]:
    return list(cpu_zen4.load(data_folder(data)).cases)


@pytest.fixture(scope="module")
def refit(data: Path) -> Refit:
    (found,) = cpu_zen4.refits(data_folder(data))
    return found


def shipped() -> dict[str, float]:
    facts = hardware("zen4_core").machine("onnxruntime_cpu").facts
    place = {"bandwidth_share": "runtime.kernels.gemm.bandwidth_share"}
    known = {c.name: facts.get(place.get(c.name, c.name)) for c in CONSTANTS}
    return {name: 1e-6 if value is None else float(value) for name, value in known.items()}


def folder(root: Path, nodes: str) -> DataFolder:
    (root / "cpu_zen4").mkdir(exist_ok=True)
    with gzip.open(root / "cpu_zen4" / "nodes.csv.gz", "wt") as file:
        file.write(nodes)
    return DataFolder(root)


@pytest.mark.data
def test_sums_of_rows_are_what_predict_says(refit: Refit, cases: list[ValidationCase]) -> None:
    assert refit.judged is not None
    expected = [
        predict(c.quantities[0].workload, c.machine, runtime=c.runtime, warm=True).latency_s
        for c in cases
        if c.machine is not None
    ]
    found = refit.forward(shipped())[refit.judged]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.data
def test_nodes_of_all_families_tell_the_shipped_constants(refit: Refit) -> None:
    found = fit(refit.forward, refit.measured, refit.constants, weights=refit.weights)
    assert found.at_bound == ()
    for name, value in shipped().items():
        if name != "profiler_s":
            assert found.constants[name] == pytest.approx(value, rel=0.12)


@pytest.mark.data
def test_errors_with_a_family_left_out(refit: Refit) -> None:
    found = trial(refit)
    assert (found["rows"], found["at_bound"]) == (81, [])
    assert found["mape"] < 0.035
    assert found["groups"]["once_for_all"]["mape"] < 0.055
    assert found["groups"]["published networks"]["mape"] < 0.032


@pytest.mark.data
def test_nothing_to_fit_on(tmp_path: Path, cases: list[ValidationCase]) -> None:
    few = [c for c in cases if c.name in ("ofa_16", "mobilenet_v2")]
    assert len(few) == 2
    assert refit_of(few, DataFolder(tmp_path)) == []
    # Of one family alone, and none that is of these networks.
    assert refit_of(few, folder(tmp_path, HEAD + "mobilenet_v2,1280000,5124000,221\n")) == []
    assert refit_of(few, folder(tmp_path, HEAD + "resnet18,512000,2052000,129\n")) == []


@pytest.mark.data
@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ("model,macs,param_bytes\nofa_16,1,1\n", "t_us_low25mean"),
        (HEAD + "ofa_16,many,5124000,99\n", "'many' is no"),
    ],
)
def test_broken_nodes(tmp_path: Path, cases: list[ValidationCase], nodes: str, said: str) -> None:
    few = [c for c in cases if c.name == "ofa_16"]
    with pytest.raises(InputError, match=said):
        refit_of(few, folder(tmp_path, nodes))
