"""Vitis AI 3.5's table: frames a second on the VEK280 and the V70."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.measured_table import measured_table

from perfmodel_studies.readers.vitis_ai.boards import Boards
from perfmodel_studies.readers.vitis_ai.cases import rate_case

NAME: Final = "vitis_ai_35_vek280_v70"
TITLE: Final = "AMD's DPUs on the VEK280 and the V70: image networks in int8"
#: Where its file lies.
PLACES: Final = ("measured/vitis_ai_35_vek280_v70.csv", "vitis_ai_35_vek280_v70.csv")

_COLUMNS: Final = ("board", "dpu", "metric", "fps", "model", "ops_g", "pruned")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table, a row each."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        boards = Boards(devices)
        cases: list[ValidationCase] = []
        for row in rows:
            fps = rows.number(row, "fps", faults)
            stated = rows.number(row, "ops_g", faults)
            if fps is None:
                continue
            cases.append(
                rate_case(boards, row.get("board"), row.get("dpu"), row.get("model"), stated, fps,
                          several=row.get("metric").startswith("multi"))
            )  # fmt: skip
    return Cases(NAME, cases, notes=note)
