"""What every test may ask for: the checkout, the measured data, and a steady hypothesis."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.draws import draws

CHECKOUT = Path(__file__).resolve().parent.parent

# No deadlines: a test asserts what is computed, never how long it took. The same examples each run
# in CI, new ones at the desk.
settings.register_profile(
    "perfmodel",
    deadline=None,
    max_examples=draws(100),
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("perfmodel")

# Most of what a slope takes is compilation, and each program runs a few times: it is compiled
# without optimisation, which takes three quarters of the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Python looks for cycles after every 700 allocations, and a process of the suite holds millions of
# objects in caches that stay: looking a hundred times less often saves a tenth of its time.
gc.set_threshold(70_000, 20, 20)


def data_folder() -> Path:
    """Where the measured data sets lie, whether or not they are there."""
    return Path(os.environ.get("PERFMODEL_DATA") or CHECKOUT.parent / "shared" / "data")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = data_folder()
    if folder.is_dir():
        return
    skip = pytest.mark.skip(
        reason=f"no measured data at {folder}: set PERFMODEL_DATA to the folder that holds "
        "cpu_zen4/, ilp/, measured/ and reference/"
    )
    for item in items:
        if item.get_closest_marker("data") or "data" in getattr(item, "fixturenames", ()):
            item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and collected tests live to the end: no search for cycles looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """What lives now lives to the end of the process: pytest looks twice more, Python once."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of measured data sets (a test that uses it is skipped where there is none)."""
    return data_folder()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the source tree."""
    return CHECKOUT
