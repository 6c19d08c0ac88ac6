"""Faults print as one line each; errors carry all of them and survive pickling."""

import pickle

import pytest

from perfmodel.errors import Fault, InfeasibleError, InputError, PerfmodelError, nearest


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("is empty"), "is empty"),
        (Fault("is empty", file="a.yaml"), "a.yaml: is empty"),
        (Fault("x", "memories.dram", "a.yaml", 3, 7), "a.yaml:3:7: memories.dram: x"),
        (Fault("x", "p", "a.yaml", 3), "a.yaml:3: p: x"),
        (Fault("x", line=3, column=7), "line 3:7: x"),
        (
            Fault("x", "p", "f", 1, 2, "a bandwidth", "bandwidth"),
            "f:1:2: p: x; expected a bandwidth; did you mean 'bandwidth'?",
        ),
    ],
)
def test_a_fault_reads_as_one_line(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_an_error_holds_every_fault_once_in_order() -> None:
    first, second = Fault("b"), Fault("a")
    error = InputError([first, second], first, "c")
    assert error.faults == (first, second, Fault("c"))
    assert str(error) == "b\na\nc"


def test_errors_cross_process_borders() -> None:
    error = InputError(Fault("x", "p", "f", 1, 2, "e", "s"), "y")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InputError
    assert again.faults == error.faults


def test_the_family_has_one_root() -> None:
    assert issubclass(InputError, PerfmodelError)
    assert issubclass(InfeasibleError, PerfmodelError)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bandwith", "bandwidth"),
        ("Band-Width", "bandwidth"),
        ("RTX 4090", "rtx_4090"),
        ("orin", "jetson_agx_orin"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_nearest_finds_what_was_meant(name: str, meant: str) -> None:
    known = ["bandwidth", "rtx_4090", "jetson_agx_orin", "capacity"]

    assert nearest(name, known) == meant


def test_nearest_of_nothing_is_nothing() -> None:
    assert nearest("a", []) == ""
