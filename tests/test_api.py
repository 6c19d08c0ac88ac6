"""The face: names, paths and objects alike; every fault at once; words that are rooms too."""

import json
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError


def test_names_paths_and_objects_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(pm.hardware("a100").to_yaml())
    by_name = pm.predict("llama_3_8b", "a100", precision="w4a16", runtime="ideal")
    by_path = pm.predict("llama_3_8b", path, precision="w4a16", runtime="ideal")
    by_object = pm.predict(
        pm.workload("llama_3_8b"),
        pm.hardware("a100"),
        precision=pm.precision("w4a16"),
        runtime=pm.runtime("ideal"),
    )
    assert by_name.latency_s == by_path.latency_s == by_object.latency_s


def test_settings_are_the_objects_own_words() -> None:
    settings = {"batch": 4, "memories.main.bandwidth": "1 TB/s", "kv_bits": 8, "precision": "fp16"}
    found = pm.predict("llama_3_8b", "a100", set=settings)
    machine = pm.hardware("a100").vary({"memories.main.bandwidth": 1e12})
    precision = pm.precision("fp16").with_bits(kv=8.0)
    assert (
        found.latency_s
        == pm.predict(pm.workload("llama_3_8b", batch=4), machine, precision=precision).latency_s
    )
    array = pm.predict("llama_3_8b", "a100", set={"batch": np.arange(1, 4)})
    assert array.latency_s.shape == (3,)


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as caught:
        pm.predict("lama_3_8b", "a1000", precision="w4", runtime="ideall", set={"device": "x"})
    text = str(caught.value)
    for part in ("lama_3_8b", "a1000", "'w4'", "ideall", "'device' cannot be set here"):
        assert part in text
    with pytest.raises(InputError) as caught:
        pm.predict(
            "llama_3_8b",
            "a100",
            engine="cpu",
            model="rof",
            set={
                "memories.mian.bandwidth": 1e9,
                "batchs": 2,
                "memories.main.capacity": "2 GB/s",
                "weight_bits": 0,
            },
        )
    text = str(caught.value)
    for part in ("no engine 'cpu'", "no model 'rof'", "memories.mian", "batchs", "2 GB/s", "bits"):
        assert part in text


def test_an_option_and_a_setting_that_differ() -> None:
    with pytest.raises(InputError, match="'precision' is given twice: fp16 and int8"):
        pm.predict("resnet18", "a100", precision="fp16", set={"precision": "int8"})


def test_words_that_are_rooms_stay_both() -> None:
    import perfmodel.compare
    import perfmodel.solve
    import perfmodel.sweep

    assert perfmodel.sweep.METRICS
    assert len(pm.sweep("resnet18", "a100", {"batch": [1, 2]})) == 2
    assert pm.solve("resnet18", "a100", "batch", "latency_s <= 1 ms").feasible
    assert pm.compare("resnet18", "a100", "h100").ratio > 1
    assert "a100" in pm.hardware.list()


def test_a_predictions_plots_are_found_by_name() -> None:
    plots = pm.predict("resnet18", "a100").plot
    assert callable(plots.roofline)


def test_a_workload_object_takes_more_settings() -> None:
    workload = pm.workload("llama_3_8b", batch=2)
    assert pm.workload(workload, batch=3).parameters["batch"] == 3
    assert pm.workload(workload) is workload


def test_results_are_json(tmp_path: Path) -> None:
    for found in (
        pm.predict("resnet18", "stm32h743").to_dict(),
        pm.predict("llama_3_8b", "a100", set={"batch": [1, 2]}).to_dict(),
        pm.compare("resnet18", "a100", "stm32h743").to_dict(),
        pm.solve("resnet18", "a100", "batch", "latency_s <= 1 ms").to_dict(),
    ):
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_numbers_are_no_names() -> None:
    with pytest.raises(InputError) as caught:
        pm.predict("resnet18", "a100", set={"precision": 4, "model": True})
    assert [fault.path for fault in caught.value.faults] == ["precision", "model"]
    with pytest.raises(InputError, match="4 is not a name"):
        pm.sweep("resnet18", "a100", {"precision": [4]})


def test_the_library_lists_itself() -> None:
    assert "resnet18" in pm.workload.list()
    assert pm.workload.list("llm") == [
        n for n in pm.workload.list() if n in pm.workload.list("llm")
    ]
    with pytest.raises(AttributeError, match="no attribute 'lists'"):
        pm.workload.lists  # noqa: B018


def test_a_prediction_looks_for_no_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking them takes twenty times as long as a prediction."""
    pm.predict("llama_3_8b", "a100", model="roofline")

    def ask(**_: object) -> None:
        raise AssertionError("entry points were asked for")

    monkeypatch.setattr("importlib.metadata.entry_points", ask)
    pm.predict("llama_3_8b", "a100", model="roofline", precision="w4a16", set={"batch": 2})
    pm.sweep("llama_3_8b", "a100", {"batch": [1, 2]}, engine="gpu")
