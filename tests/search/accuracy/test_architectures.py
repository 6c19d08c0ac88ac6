"""Accuracies of architectures from files: what each loses, and every fault of a file."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.search.accuracy import architectures
from perfmodel.workload.nas_spaces import space

NB201 = space("nas_bench_201")
GOOD = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
POOR = "|none~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|"
#: The same network as POOR: what has no input is not built.
SAME = "|none~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|none~2|"


def test_losses_are_points_below_the_best(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(f"arch_str,accuracy,latency\n{GOOD},93.5,1\n{POOR},40,2\n{SAME},42,2\n")
    model = architectures(path, NB201)
    rows = np.array([NB201.encode(text) for text in (GOOD, POOR, SAME)])
    assert NB201.canonical(rows[1]) == NB201.canonical(rows[2])
    # Rows of one network are averaged; what no row is of loses infinitely much.
    assert model(rows).tolist() == pytest.approx([0.0, 52.5, 52.5])
    other = NB201.encode(GOOD.replace("skip_connect", "avg_pool_3x3"))
    assert model(np.array([other])).tolist() == [math.inf]
    assert (model.unit, model.best) == ("points of accuracy", 93.5)
    assert model.name == "cells.csv, column accuracy"


def test_fractions_are_per_cents(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(f"architecture,top1\n{GOOD},0.935\n{POOR},0.41\n")
    model = architectures(path, NB201, accuracy="top1")
    assert model(np.array([NB201.encode(POOR)])).tolist() == pytest.approx([52.5])


def test_every_fault_of_a_file_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(f"architecture,accuracy\n{GOOD},\nnonsense,50\n{POOR},101\n{POOR},good\n")
    with pytest.raises(InputError) as found:
        architectures(path, NB201)
    lines = dict.fromkeys((fault.line, fault.path) for fault in found.value.faults)
    assert [*lines] == [(2, "accuracy"), (3, "architecture"), (4, "accuracy"), (5, "accuracy")]
    assert all(fault.expected for fault in found.value.faults)
    path.write_text("arch,acuracy\nx,1\n")
    with pytest.raises(InputError, match="no column 'accuracy'"):
        architectures(path, NB201)
