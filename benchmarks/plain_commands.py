"""Score plain commands on measured rows: all rows of `field/`, and a seeded sample of all classes.

    python benchmarks/plain_commands.py [NAME...] [--sample 100] [--seed 17] [--data DIR]

Each row is the command line that its data set states; a row of the field names no runtime unless
it names its software and the library has a runtime of it. Without names the data sets of the field
are scored, each as a line: rows, MAPE, the share of rows within a factor of two, and the median of
predicted over measured. With `--sample` so many rows are drawn from all data sets that are stated
in YAML, the same number from each class and within a class from one data set after the other; each
is printed with its error, and its command line below it. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from perfmodel.ask import predict
from perfmodel.errors import InputError
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.datasets import DeclaredDataset, dataset, dataset_names
from perfmodel.evaluate.validation_case import MeasuredQuantity, ValidationCase

#: Class -> words that the name of a data set or of its device has; the first class that fits.
CLASSES = {
    "kernels": ("gemm", "moe", "kernel", "deepbench", "vidur", "infersim", "llmservingsim"),
    "storage": ("flash",),
    "speech": ("whisper",),
    "microcontrollers": ("stm32", "tinyengine", "esp_dl", "mcu"),
    "servers of language models": ("serving", "ml_energy", "trtllm"),
    "language models": ("llm", "llama", "tmac", "geerling", "sbc_reviews", "fastflowlm", "genai"),
    "vision on NPUs and FPGAs": ("rkn", "hailo", "coral", "vitis", "rdk", "mlperf_mobile"),
    "vision on GPUs": ("timm", "nvidia_dle", "fastertransformer", "ultralytics", "mlperf_edge"),
    "vision on CPUs": ("",),
}


class ScoredRow(NamedTuple):
    """A measured row and what the plain command says of it."""

    dataset: str
    name: str
    command: str
    measured: float
    predicted: float

    @property
    def ratio(self) -> float:
        """Predicted over measured, of times: above one where the model is too slow."""
        return self.predicted / self.measured


#: A row that may be asked, and what asks it.
Asked = tuple[str, ValidationCase, MeasuredQuantity]


def main() -> None:
    """Score the rows that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="data sets; those of the field by default")
    parser.add_argument("--sample", type=int, help="rows of a sample over all classes instead")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--data", type=Path, help="default PERFMODEL_DATA")
    parser.add_argument("--rows", action="store_true", help="print every row")
    options = parser.parse_args()
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = DataFolder(options.data or Path(os.environ.get("PERFMODEL_DATA") or beside))
    if options.sample:
        _say_sample(folder, options.sample, options.seed)
    else:
        _say_datasets(folder, options.names, options.rows)


def _declared(test: Callable[[DeclaredDataset], bool]) -> list[DeclaredDataset]:
    readers = [dataset(name) for name in dataset_names()]
    return [r for r in readers if isinstance(r, DeclaredDataset) and test(r)]


def _of_field(reader: DeclaredDataset) -> bool:
    return reader.PLACES[0].startswith("field/")


def _say_datasets(folder: DataFolder, names: Sequence[str], every: bool) -> None:
    """Print a line for each data set and one for all of them."""
    readers = _declared((lambda r: r.NAME in names) if names else _of_field)
    rows: list[ScoredRow] = []
    for reader in readers:
        if folder.find(*reader.PLACES) is None:
            continue
        asked = list(_asked(reader, folder))
        own = [row for one in asked if (row := _scored(one)) is not None]
        rows += own
        print(f"{reader.NAME:24} {_summary(own)}  of {_count(folder, reader)} rows")
        for row in own if every else ():
            print(f"    {row.ratio:8.3f}  {row.name}")
    print(f"{'all':24} {_summary(rows)}")


def _say_sample(folder: DataFolder, size: int, seed: int) -> None:
    """Print the rows of a sample with their errors and command lines, and classes."""
    by_class: dict[str, list[list[Asked]]] = defaultdict(list)
    draw = random.Random(seed)
    for reader in _declared(lambda r: folder.find(*r.PLACES) is not None):
        asked = list(_asked(reader, folder))
        draw.shuffle(asked)
        by_class[_class_of(reader.NAME)].append(asked)
    sample: dict[str, list[ScoredRow]] = {name: [] for name in CLASSES if by_class[name]}
    while sum(map(len, sample.values())) < size and any(by_class.values()):
        for name, several in by_class.items():
            if several and sum(map(len, sample.values())) < size:
                one = several.pop(0)
                row = _next(one)
                if row is not None:
                    sample[name].append(row)
                    several.append(one)
    for name, rows in sample.items():
        for row in rows:
            print(f"{100 * (row.ratio - 1):+8.1f} %  {name}: {row.dataset}, {row.name}")
            print(f"            {row.command}")
    for name, rows in sample.items():
        print(f"{name:28} {_summary(rows)}")
    print(f"{'all':28} {_summary([row for rows in sample.values() for row in rows])}")


def _next(asked: list[Asked]) -> ScoredRow | None:
    """Return the first of some rows that is predicted, and take it off them."""
    while asked:
        row = _scored(asked.pop())
        if row is not None:
            return row
    return None


def _class_of(name: str) -> str:
    return next(c for c, words in CLASSES.items() if any(word in name for word in words))


def _asked(reader: DeclaredDataset, folder: DataFolder) -> Iterable[Asked]:
    """Yield the rows of a data set that ask for a time or a rate."""
    for case, quantity in reader.load(folder).with_quantities():
        if quantity.metric in ("latency_s", "tpot_s", "ttft_s", "tokens_per_s", "frames_per_s"):
            yield reader.NAME, case, quantity


def _count(folder: DataFolder, reader: DeclaredDataset) -> int:
    return len(reader.load(folder).cases)


def _scored(asked: Asked) -> ScoredRow | None:
    """Return a row with its prediction; ``None`` where it is refused."""
    name, case, quantity = asked
    assert case.machine is not None
    try:
        if quantity.load is not None:
            result = quantity.load.serve(case.machine, case.precision, case.runtime)
        else:
            result = predict(
                quantity.workload,
                case.machine,
                precision=case.precision,
                runtime=case.runtime,
                engine=case.engine,
                warm=case.warm,
            )
    except InputError:
        return None
    predicted, measured = float(getattr(result, quantity.metric)), quantity.measured
    if quantity.metric.endswith("_per_s"):
        predicted, measured = 1 / predicted, 1 / measured
    return ScoredRow(name, case.name, quantity.command, measured, predicted)


def _summary(rows: Sequence[ScoredRow]) -> str:
    if not rows:
        return "   0 rows"
    ratios = [row.ratio for row in rows]
    off = statistics.mean(abs(ratio - 1) for ratio in ratios)
    near = sum(0.5 <= ratio <= 2 for ratio in ratios) / len(ratios)
    return (
        f"{len(rows):4} rows  MAPE {100 * off:6.1f} %  within a factor 2 {100 * near:5.1f} %  "
        f"median x{statistics.median(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
