"""What a notebook sends to workers arrives: ``pm`` itself, its functions, functions that use it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.hardware.library import hardware

NAMES = ("resnet18", "a100")
#: A function as a notebook has it: of the main module, with `pm` among its globals.
CELL = """
import perfmodel as pm

def latency(batch):
    return pm.predict(pm.workload("resnet18", batch=batch), "a100").latency_s
"""


@pytest.fixture(scope="module")
def expected() -> list[float]:
    return [pm.predict(pm.workload("resnet18", batch=n), "a100").latency_s for n in (1, 2)]


def cell() -> Callable[[int], float]:
    """Return the function of `CELL`, whose module no worker can import."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(CELL, names)
    return names["latency"]


# `pm.accuracy` is a plain module, which cloudpickle takes by its name and pickle does not.
@pytest.mark.parametrize("name", sorted({*pm.__all__} - {"__version__", "accuracy"}))
def test_every_word_pickles(name: str) -> None:
    word = getattr(pm, name)
    assert pickle.loads(pickle.dumps(word)) is word


def test_the_package_pickles_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(pm)) is pm
    code = (
        "import pickle, sys\n"
        "again = pickle.loads(sys.stdin.buffer.read())\n"
        "print(again.predict('resnet18', 'a100').latency_s)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(pm), capture_output=True, check=True
    )
    assert json.loads(done.stdout) == pm.predict(*NAMES).latency_s


def test_a_prediction_in_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        sent = pool.submit(pm.predict, *NAMES)
        device = pool.submit(pm.hardware, "a100")
        assert sent.result().latency_s == pm.predict(*NAMES).latency_s
        assert device.result() == hardware("a100")


def test_cloudpickle_carries_a_function_that_names_the_package(expected: list[float]) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    data = cloudpickle.dumps(cell())
    code = (
        "import pickle, sys\n"
        "again = pickle.loads(sys.stdin.buffer.read())\n"
        "print([again(1), again(2)])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert json.loads(done.stdout) == expected


def test_joblib(expected: list[float]) -> None:
    joblib = pytest.importorskip("joblib")
    jobs = (joblib.delayed(cell())(n) for n in (1, 2))
    assert joblib.Parallel(n_jobs=2, backend="loky")(jobs) == expected


def test_dask(expected: list[float]) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert client.gather(client.map(cell(), [1, 2])) == expected
        assert client.submit(pm.predict, *NAMES).result().latency_s == expected[0]
