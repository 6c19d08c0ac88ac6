"""All rows of a data set at once: products under other constants, for fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant
from perfmodel.evaluate.case import Cases, ValidationCase
from perfmodel.evaluate.refit import Refit
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.tensor_core.gemm import GemmConstants, Processor, gemm_times
from perfmodel.kinds.tensor_core.kernels import constants_of
from perfmodel.kinds.tensor_core.products import candidates_of, products
from perfmodel.predict import predict

__all__ = ["ProductRows", "asking", "named", "product_refit", "product_refits"]

Vector = npt.NDArray[np.float64]

_NUMBERS = ("m", "n", "k", "groups", "weight_bytes", "other_bytes", "left_bytes", "right_bytes")


class ProductRows:
    """Products of cases, their numbers side by side; calling it gives the seconds of every case.

    Parameters
    ----------
    cases
        Each with a question whose workload holds products of one class.
    """

    def __init__(self, cases: Sequence[ValidationCase]) -> None:
        numbers: dict[str, list[float]] = {name: [] for name in (*_NUMBERS, "vector_s", "count")}
        machine: dict[str, list[float]] = {f.name: [] for f in fields(Processor)}
        place: list[int] = []
        self.rest = np.zeros(len(cases))
        self.kind = ""
        self.stated: dict[str, Any] = {}
        for i, case in enumerate(cases):
            assert case.machine is not None
            found = predict(
                case.questions[0].workload, case.machine, precision=case.precision,
                runtime=case.runtime,
            )  # fmt: skip
            table, _ = found._opened  # pyright: ignore[reportPrivateUsage]
            setting = found._setting  # pyright: ignore[reportPrivateUsage]
            base = ROOFLINE.cost(table, setting)
            row_s = np.broadcast_to(base.row_s, (len(table.rows), 1))[:, 0].copy()
            vector = np.broadcast_to(base.compute["vector"], (len(table.rows), 1))[:, 0]
            count = np.broadcast_to(table.count, (len(table.rows), 1))[:, 0]
            for part in products(table, setting, base):
                self.kind = part.kind
                self.stated = constants_of(setting, part.kind, part.formats)
                size = (len(part.rows), 1)
                for name in _NUMBERS:
                    numbers[name] += np.broadcast_to(getattr(part, name), size)[:, 0].tolist()
                for name, values in machine.items():
                    values += [float(getattr(part.machine, name))] * len(part.rows)
                numbers["vector_s"] += vector[part.rows].tolist()
                numbers["count"] += count[part.rows].tolist()
                place += [i] * len(part.rows)
                row_s[part.rows] = 0.0
            self.rest[i] = float((row_s * count).sum())
        self.numbers = {name: np.array(values) for name, values in numbers.items()}
        self.machine = Processor(**{name: np.array(values) for name, values in machine.items()})
        self.place = np.array(place)

    def __call__(self, constants: Mapping[str, float]) -> Vector:
        """Return the seconds of every case; constants left out are those that the runtime states.

        Parameters
        ----------
        constants
            Paths of facts (``runtime.kernels.gemm.launch``) or bare names -> values.
        """
        values = {**self.stated, **{n.rpartition(".")[2]: v for n, v in constants.items()}}
        c, x = GemmConstants.of(values), self.numbers
        tiles, splits = candidates_of(self.kind)
        moved = x["weight_bytes"] + values.get("activation_passes", 1.0) * x["other_bytes"]
        found = gemm_times(
            x["m"], x["n"], x["k"], groups=x["groups"], machine=self.machine, constants=c,
            moved_bytes=moved, left_bytes=x["left_bytes"], right_bytes=x["right_bytes"],
            tiles=tiles, splits=splits,
        )  # fmt: skip
        top = np.maximum(np.maximum(found.matrix_s, found.dram_s), found.l2_s)
        bound = np.maximum(found.matrix_s + x["vector_s"], np.maximum(found.dram_s, found.l2_s))
        each = c.launch + c.per_group * x["groups"] + bound + (found.joined_s - top)
        each = each + found.split_s + found.quantise_s
        total = self.rest.copy()
        np.add.at(total, self.place, np.maximum(each, c.host_floor) * x["count"])
        return total


def product_refit(
    cases: Cases, target: str, constants: Sequence[Constant], *, scale: float = 0.1
) -> Refit:
    """Return how the constants of a target were fitted, so that a device can be left out."""
    chosen = asking(cases, target)
    rows = ProductRows(chosen)
    measured = np.array([c.questions[0].measured for c in chosen])
    return Refit(target, measured, [c.device for c in chosen], constants, rows, scale=scale)


def product_refits(
    cases: Cases, fitted: Mapping[str, tuple[str, Sequence[Constant]]]
) -> Iterator[Refit]:
    """Yield how the constants of targets were fitted, of each that several devices have.

    Parameters
    ----------
    fitted
        Target -> key of its kernels (``gemm.fp8``), and what its rows determine.
    """
    for target, (key, constants) in fitted.items():
        if len({case.device for case in asking(cases, target)}) > 1:
            yield product_refit(cases, target, named(key, constants))


def asking(cases: Cases, target: str) -> list[ValidationCase]:
    """Return the cases that can be predicted and count for a target."""
    return [c for c in cases.cases if c.questions and c.questions[0].target == target]


def named(key: str, constants: Sequence[Constant]) -> list[Constant]:
    """Return constants of a class of kernels under the paths of their facts."""
    return [
        Constant(f"runtime.kernels.{key}.{c.name}", c.start, c.low, c.high, c.prior)
        for c in constants
    ]
