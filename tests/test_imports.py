"""`import perfmodel` stays cheap, and a plain install needs none of the extras."""

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest

import perfmodel as pm
from tests.offenders import each

# Modules that cost 0.1 s or more, or that a plain install does not have.
HEAVY = [
    "cyclopts",
    "highspy",
    "jax",
    "matplotlib",
    "networkx",
    "onnx",
    "onnxruntime",
    "pandas",
    "plotly",
    "polars",
    "pulp",
    "pyarrow",
    "rich",
    "scipy.optimize",
    "torch",
    "xarray",
]
# What a plain prediction on the command line has no use for.
UNUSED = [
    "perfmodel.axes",
    "perfmodel.cost.ecm",
    "perfmodel.cost.thermal",
    "perfmodel.expressions",
    "perfmodel.hardware.calibration_overlay",
    "perfmodel.plan",
    "perfmodel.prediction.citations",
    "perfmodel.prediction.explain",
    "perfmodel.table.columnar",
    "perfmodel.workload.nest_table",
    "perfmodel.workload.transformer",
    "perfmodel.workload.transformer_structure",
    "rich",
]
EXTRAS = [
    "array_api_compat",
    "dash",
    "distributed",
    "ipywidgets",
    "jax",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "polars",
    "pyarrow",
    "pymoo",
    "torch",
    "xarray",
]


def run(code: str) -> list[str]:
    """Run code in a fresh interpreter that ends by printing a JSON list."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def loaded_after(code: str) -> set[str]:
    return set(run(f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"))


def test_import_loads_nothing_but_the_face() -> None:
    loaded = loaded_after("import perfmodel")
    ours = {name for name in loaded if name.startswith("perfmodel")}
    assert ours == {"perfmodel", "perfmodel._version"}
    assert not loaded & {*HEAVY, "numpy", "pydantic", "yaml"}


def test_import_adds_few_modules() -> None:
    added = loaded_after("import perfmodel") - loaded_after("")
    assert len(added) < 40, sorted(added)


def test_a_prediction_loads_nothing_heavy() -> None:
    loaded = loaded_after(
        "import perfmodel as pm\n"
        "pm.predict(pm.workload('llama_3_8b', phase='decode'), pm.hardware('a100')).latency_s"
    )
    assert "numpy" in loaded
    assert not loaded & set(HEAVY)


def test_a_command_loads_what_its_answer_needs() -> None:
    loaded = loaded_after(
        "import contextlib, io\n"
        "from perfmodel.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert main(['predict', 'resnet18', 'cortex_a72']) == 0"
    )
    assert {"perfmodel.predict", "perfmodel.kinds.cache.spec"} <= loaded
    assert not loaded & {*HEAVY, *UNUSED} - {"cyclopts"}


@each("package", ["evidence", "hardware", "kinds.cache", "search", "table", "workload"])
def test_names_that_are_imported_on_first_access_exist(package: str) -> None:
    module: Any = importlib.import_module(f"perfmodel.{package}")
    for name in module.__all__:
        assert getattr(module, name) is getattr(module, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_every_module_imports_without_the_extras() -> None:
    modules = run(
        "import json, pkgutil, sys\n"
        f"sys.modules.update(dict.fromkeys({EXTRAS!r}))\n"
        "import perfmodel\n"
        "names = [m.name for m in pkgutil.walk_packages(perfmodel.__path__, 'perfmodel.')\n"
        "         if not m.name.endswith('__main__')]\n"
        "for name in names: __import__(name)\n"
        "print(json.dumps(names))"
    )
    assert "perfmodel.units" in modules
    assert len(modules) > 10


def test_only_the_edges_load_heavy_modules() -> None:
    """Every module outside the command line, all at once."""
    loaded = loaded_after(
        "import pkgutil, perfmodel\n"
        "edges = ('perfmodel.cli',)\n"
        "for module in pkgutil.walk_packages(perfmodel.__path__, 'perfmodel.'):\n"
        "    if not module.name.startswith(edges): __import__(module.name)"
    )
    assert "perfmodel.units" in loaded
    assert not loaded & set(HEAVY)


@each("name", sorted(pm.__all__))
def test_each_word_of_the_face_resolves(name: str) -> None:
    assert getattr(pm, name) is getattr(pm, name)
    assert name in dir(pm)


def test_an_unknown_word_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'hardwares'"):
        pm.hardwares  # noqa: B018  # pyright: ignore


def test_a_word_stays_callable_once_its_room_is_imported() -> None:
    """`perfmodel.hardware` is a package and a function: neither may hide the other."""
    names = run(
        "import json, perfmodel as pm\n"
        "import perfmodel.hardware.device as module\n"
        "from perfmodel import hardware\n"
        "assert hardware is pm.hardware and hardware.device is module\n"
        "print(json.dumps([hardware('a100').name]))"
    )
    assert names == ["a100"]
