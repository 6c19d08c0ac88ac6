"""The machine whose facts are known, and its meter."""

import pytest

from tests.calibrate.probe.known_machine import FakeMeter, Machine, kernels


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def meter(machine: Machine) -> FakeMeter:
    return FakeMeter(machine, kernels(128, 256))
