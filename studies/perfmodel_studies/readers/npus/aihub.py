"""Qualcomm's AI Hub: latencies of networks on Hexagon neural processors of many chips.

quic/ai-hub-models, ``perf.yaml`` of each model: measured on hosted devices; "(Proxy)" is a phone
that stands in for a chip of its kind. Most of the networks have no graph in the library. So there
are two predictions: the transfer of a network's latency from the other devices, with ten networks
measured on the device itself (`perfmodel_studies.transfer`), and for networks with a graph the
prediction from it, which has seen no measurement of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.data_files import DataFolder, data_folder
from perfmodel.evaluate.datasets import DeclaredDataset
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult, errors
from perfmodel.evaluate.validate import comparison_row, evaluate, summarise
from perfmodel.measurement_csv import CsvTable, read_rows

from perfmodel_studies.transfer import spread, transfer

__all__ = ["ANCHORS", "NAME", "PLACES", "TITLE", "AiHubMeasurement", "load", "measured"]

NAME: Final = "qualcomm_aihub_perf"
TITLE: Final = (
    "Qualcomm AI Hub: 185 networks on Hexagon neural processors, by transfer and by graph"
)
#: Where its file lies.
PLACES: Final = ("measured/qualcomm_aihub_perf.csv.gz", "qualcomm_aihub_perf.csv.gz")
#: Networks that are measured on the device itself, in equal parts of each class.
ANCHORS: Final = 10
#: The rows whose networks have a graph, and how the constants of their prediction were fitted.
GRAPHS: Final = DeclaredDataset(Path(__file__).with_name(f"{NAME}.yaml"))

TRANSFERRED: Final = "latency_s"

_COLUMNS = ("model", "component", "precision", "device", "runtime", "latency_ms", "primary_unit")


class AiHubMeasurement(NamedTuple):
    """A network as compiled, on a device.

    Attributes
    ----------
    network
        Model, component, precision and runtime.
    device
        As the file names it.
    seconds
        Of one run.
    """

    network: tuple[str, str, str, str]
    device: str
    seconds: float

    @property
    def kind(self) -> str:
        """Class of arithmetic: ``float`` or ``integer``."""
        return "float" if self.network[2] == "float" else "integer"

    @property
    def name(self) -> str:
        """The row as reports name it."""
        model, component, precision, runtime = self.network
        return f"{model} {component} {precision} {runtime}"


def measured(path: Path) -> tuple[list[AiHubMeasurement], dict[str, list[str]]]:
    """Return the rows that run on the neural processor, and reason -> names of the others.

    Raises
    ------
    InputError
        Columns that are missing, cells that are no numbers: all at once.
    """
    rows = read_rows(path)
    faults: list[Fault] = list(rows.missing(_COLUMNS))
    if faults:
        raise InputError(faults)
    out, others = _split(rows, faults)
    if faults:
        raise InputError(faults)
    return out, others


def _split(
    rows: CsvTable, faults: list[Fault]
) -> tuple[list[AiHubMeasurement], dict[str, list[str]]]:
    out: list[AiHubMeasurement] = []
    others: dict[str, list[str]] = {}
    for row in rows:
        network = (row.get("model"), row.get("component"), row.get("precision"), row.get("runtime"))
        seconds = rows.number(row, "latency_ms", faults, scale=1e-3)
        unit = row.get("primary_unit").strip()
        item = AiHubMeasurement(network, row.get("device"), seconds or 0.0)
        if unit != "NPU":
            reason = f"runs on the {unit}, not on the neural processor"
        elif not seconds:
            reason = "no latency was measured"
        else:
            out.append(item)
            continue
        others.setdefault(reason, []).append(f"{item.device} {item.name}")
    return out, others


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Return the errors of both predictions.

    A device is predicted from the others of the file; with a suffix, from those of the file without
    it, where there is one beside it or in ``PERFMODEL_DATA``. The notes say how many those are, and
    of which file where it is not in the same folder.
    """
    path = folder.need(NAME, *PLACES)
    rows_measured, failed = measured(path)
    total = len(rows_measured) + sum(map(len, failed.values()))
    references, notes = _references(folder, path, rows_measured)
    rows: list[dict[str, Any]] = []
    for device in dict.fromkeys(item.device for item in rows_measured):
        own = [item for item in rows_measured if item.device == device]
        others = [item for item in references if item.device != device]
        rows += _transferred(own, others, failed)
    published = [r["measured"] for r in rows]
    bases = {"one_factor": errors([r["one_factor"] for r in rows], published)} if rows else {}
    cases = GRAPHS.load(folder, devices)
    known = [case for case in cases.cases if case.machine is not None]
    graphs = evaluate(replace(cases, cases=known))
    details = {
        "rows": len(graphs.predictions),
        "networks": len({case.group for case in known}),
        "by_device": {k: dict(v) for k, v in graphs.by_device.items()},
        "baselines": {k: dict(v) for k, v in graphs.baselines.items()},
    }
    return summarise(
        NAME,
        [*rows, *graphs.predictions],
        total,
        failed,
        primary=TRANSFERRED,
        references=bases,
        notes=(*notes, *folder.note(path)),
        details={"graphs": details} if known else {},
    )


def _references(
    folder: DataFolder, path: Path, measurements: list[AiHubMeasurement]
) -> tuple[list[AiHubMeasurement], tuple[str, ...]]:
    """Return the rows of other devices, and what to say of them."""
    if not folder.has_suffix(path):
        count = len({item.device for item in measurements})
        method = f"each device is predicted from the other {count - 1} and ten networks of its own"
        return measurements, (method,)
    places = [DataFolder(folder.root)]
    with suppress(InputError):
        places.append(data_folder(None))
    for place in places:
        plain = place.find(*PLACES)
        if plain is not None:
            own = {item.device for item in measurements}
            rows = [item for item in measured(plain)[0] if item.device not in own]
            count = len({item.device for item in rows})
            method = f"predicted from {count} other devices and ten networks of its own"
            if place.root.resolve() != folder.root.resolve():
                method += (
                    f"; the other devices are those of {plain}, for the folder has no such file"
                )
            return rows, (method,)
    count = len({item.device for item in measurements})
    note = (
        f"no file without the suffix: each device is predicted from the other {count - 1} of this "
        "one, and not from those of the declared file"
    )
    return measurements, (note,)


def _transferred(
    own: list[AiHubMeasurement], others: list[AiHubMeasurement], failed: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """Predict the rows of a device; those it is calibrated on are none of them."""
    names = list(dict.fromkeys(item.device for item in others))
    place = {name: i for i, name in enumerate(names)}
    index = {
        network: i
        for i, network in enumerate(
            dict.fromkeys([*(i.network for i in others), *(i.network for i in own)])
        )
    }
    kinds = ["float" if network[2] == "float" else "integer" for network in index]
    known = np.full((len(index), len(names)), np.nan)
    for item in others:
        known[index[item.network], place[item.device]] = item.seconds
    here = np.full(len(index), np.nan)
    for item in own:
        here[index[item.network]] = item.seconds
    seen = ~np.isnan(known)
    if not (seen.any(axis=1) & ~np.isnan(here)).any():
        failed.setdefault("no network of the device was measured on another", []).extend(
            f"{item.device} {item.name}" for item in own
        )
        return []
    mean = _mean(known)
    classes = len({item.kind for item in own})
    picked = spread(np.where(np.isnan(here), np.nan, mean), kinds, ANCHORS // classes)
    anchors = np.full(len(index), np.nan)
    anchors[picked] = here[picked]
    predicted = transfer(known, anchors, kinds)
    factor = float(np.exp(np.median(np.log(here[picked]) - np.log(mean[picked]))))
    out: list[dict[str, Any]] = []
    used = set(picked.tolist())
    for item in own:
        at = index[item.network]
        value = float(predicted[at])
        if at in used or np.isnan(value):
            reason = (
                "measured to calibrate its device" if at in used else "measured on no other device"
            )
            failed.setdefault(reason, []).append(f"{item.device} {item.name}")
            continue
        out.append(
            comparison_row(
                item.name,
                item.device,
                item.kind,
                TRANSFERRED,
                item.seconds,
                value,
                one_factor=factor * float(mean[at]),
            )
        )
    return out


def _mean(known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the geometric mean of each network over the devices that have it."""
    seen = ~np.isnan(known)
    total = np.where(seen, np.log(np.where(seen, known, 1.0)), 0.0).sum(axis=1)
    count = seen.sum(axis=1)
    return np.where(count > 0, np.exp(total / np.maximum(count, 1)), np.nan)


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the constants of the prediction from graphs were fitted."""
    return GRAPHS.refits(folder, devices)
