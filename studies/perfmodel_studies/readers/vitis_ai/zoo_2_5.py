"""Vitis AI 2.5's table: frames a second with one thread and with several, by board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.measured_table import measured_table
from perfmodel.evaluate.refit import Refit

from perfmodel_studies.readers.vitis_ai.boards import Boards
from perfmodel_studies.readers.vitis_ai.cases import rate_case
from perfmodel_studies.readers.vitis_ai.refits import refits_of

NAME: Final = "vitis_ai_dpu"
TITLE: Final = "AMD's DPUs on boards: image networks in int8, one thread and several"
#: Where its file lies.
PLACES: Final = ("measured/vitis_ai_dpu.csv", "vitis_ai_dpu.csv")

_COLUMNS: Final = (
    "board", "dpu_config", "model", "gops_from_name", "fps_single_thread", "fps_multi_thread",
)  # fmt: skip
_NOTE: Final = (
    "a row of one thread and one of several count apart; several threads run an image on each core,"
    " so that their seconds are of as many images"
)


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the cases of the table: each row's rate with one thread and with several."""
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        boards = Boards(devices)
        cases: list[ValidationCase] = []
        for row in rows:
            stated = rows.number(row, "gops_from_name", faults)
            for column, several in (("fps_single_thread", False), ("fps_multi_thread", True)):
                fps = rows.number(row, column, faults)
                if fps is not None:
                    cases.append(
                        rate_case(boards, row.get("board"), row.get("dpu_config"), row.get("model"),
                                  stated, fps, several=several, suspect=row.get("suspect"))
                    )  # fmt: skip
    return Cases(NAME, cases, notes=(_NOTE, *note))


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how constants were fitted; boards, or families of networks, are left out."""
    return refits_of(load(folder, devices))
