"""Public function `compare`: two predictions side by side, with the causes of the difference.

A `Comparison` lists the metrics of both predictions, attributes the difference in latency to
kernels and layers, names what bounds them on either machine, and lists the facts in which the
machines differ and on which a latency depends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from perfmodel.arrays import is_array
from perfmodel.call_record import records_call
from perfmodel.columns import dimension_of
from perfmodel.errors import Fault, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.machine_differences import fact_differences, role_path
from perfmodel.metrics import metrics_of
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.prediction.explain import used_facts
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve
from perfmodel.settings import OPERATING_POINT, FaultList, gathered
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import as_text
from perfmodel.units import show

T = TypeVar("T")
#: Value common to both sides, or one value per side.
Pair: TypeAlias = T | tuple[T | None, T | None] | None

_METRICS = metrics_of("compare")


@records_call
def compare(
    workload: WorkloadLike | Prediction,
    a: DeviceLike | Prediction,
    b: DeviceLike | Prediction | None = None,
    *,
    bounds: bool = False,
    set: Mapping[str, Any] | tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
    precision: Pair[str | Precision] = None,
    runtime: Pair[str | Path | Runtime] = None,
    engine: Pair[str] = None,
    model: Pair[str] = None,
    relaxed: bool = False,
    warm: bool = False,
    fuse: bool | None = None,
    flash_attention: bool | None = None,
) -> Comparison:
    """Compare a workload on two devices, or two predictions: what differs, and why.

    Parameters
    ----------
    workload
        As for `predict`. In Python also a prediction, with another one as `a` and nothing else.
    a, b
        Two devices of the library, or paths to spec files. Name one device twice to compare
        precisions or runtimes.
    bounds
        Report a lower bound (runtime ideal) as faster than a prediction where it is. By default the
        two are not ranked.
    set
        As for `predict`, for both sides; operating_point=A:B, or a tuple in Python, is for each.
    precision
        As for `predict`. It applies to both sides; two values with a colon between them
        (w16a16:w4a16) are for the first and the second side. In Python also a tuple.
    runtime, engine, model
        As for `predict`. It applies to both sides; two values with a colon between them (A:B) are
        for the first and the second side. In Python also a tuple.
    relaxed, warm, fuse, flash_attention
        As for `predict`.

    Raises
    ------
    InputError
        Every fault of both sides at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.compare("resnet50", "jetson_agx_orin", "rtx_4090", precision="int8").ratio > 1
    True
    """
    options: dict[str, Any] = {
        "relaxed": relaxed,
        "warm": warm,
        "fuse": fuse,
        "flash_attention": flash_attention,
    }
    if isinstance(workload, Prediction):
        if not isinstance(a, Prediction) or b is not None:
            raise input_error("only one prediction is given", expected="two predictions")
        return Comparison(workload, a, bounds=bounds)
    if b is None or isinstance(a, Prediction) or isinstance(b, Prediction):
        raise input_error("only one device is given", expected="a workload and two devices")
    paired: dict[str, Any] = {
        "precision": precision,
        "runtime": runtime,
        "engine": engine,
        "model": model,
        OPERATING_POINT: set.get(OPERATING_POINT) if isinstance(set, Mapping) else None,
    }
    faults = gathered()
    paired = {name: _split_pair(name, value, faults) for name, value in paired.items()}
    paired["set"] = set
    subjects: list[PredictionInputs | None] = []
    for side, device in enumerate((a, b)):
        arguments = {n: _value_of(v, side) for n, v in paired.items()}
        point, settings = arguments.pop(OPERATING_POINT), arguments.pop("set")
        settings = settings if point is None else {**settings, OPERATING_POINT: point}
        subjects.append(faults.trying(resolve, workload, device, settings=settings, **arguments))
    faults.settle()
    first, second = (predict(**s._asdict(), **options) for s in subjects if s is not None)
    return Comparison(first, second, bounds=bounds)


def _split_pair(name: str, value: Any, faults: FaultList) -> Any:
    """Split a text at its colon into the values of both sides."""
    if not isinstance(value, str) or ":" not in value:
        return value
    if "+" in value and value.count(":") == 1:
        return value  # w8a8+2:4 is one precision, with sparse weights
    parts = tuple(part.strip() for part in value.split(":"))
    if len(parts) != 2 or not all(parts):
        faults.append(Fault(f"'{value}' is not a pair of values", path=name, expected="A or A:B"))
        return None
    return parts


def _value_of(value: Any, side: int) -> Any:
    """Return the value for one side; a value that is not a pair holds for both."""
    return cast("Any", value)[side] if isinstance(value, tuple) else value


class Comparison(Result):
    """Comparison of two predictions of one point each.

    Parameters
    ----------
    a, b : Prediction
        Scalar predictions, usually of one workload on two machines.
    bounds : bool
        Whether a lower bound may be reported as faster than a prediction.

    Raises
    ------
    InputError
        A prediction has many points.
    """

    noun = "comparison"

    def __init__(self, a: Prediction, b: Prediction, *, bounds: bool = False) -> None:
        for name, each in (("a", a), ("b", b)):
            if each.shape:
                raise input_error(
                    f"{name} has {each.shape} points", expected=f"one: {name}.at(index)"
                )
        self.a, self.b, self.bounds = a, b, bounds

    @property
    def ratio(self) -> float:
        """Speedup of `b`: latency of `a` / latency of `b`; NaN if either is undefined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(self.a.latency_s, self.b.latency_s))

    @cached_property
    def metrics(self) -> Table:
        """Table of metrics with both values and their ratio b / a."""
        rows: list[tuple[str, float, float]] = []
        for name in _METRICS:
            values = [each.metric(name) for each in (self.a, self.b)]
            if any(v is not None and not np.isnan(v) for v in values):
                first_value, second_value = (np.nan if v is None else float(v) for v in values)
                rows.append((name, first_value, second_value))
        first_terms, second_terms = _terms(self.a), _terms(self.b)
        for metric, terms in first_terms.items():
            for term in dict.fromkeys((*terms, *second_terms[metric])):
                first_part = float(terms.get(term, np.nan))
                second_part = float(second_terms[metric].get(term, np.nan))
                rows.append((f"{metric} {term}", first_part, second_part))
        names, first, second = zip(*rows, strict=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.divide(second, first)
        return Table({"metric": names, "a": first, "b": second, "ratio": ratio}, {"a": "", "b": ""})

    @cached_property
    def table(self) -> Table:
        """Table of kernels, largest difference first: total seconds and bottleneck on both sides.

        A kernel that exists on one side only (other fusion, other graph) has zero seconds on the
        other.
        """
        return self._by_name("kernel", lambda kernel: kernel)

    @cached_property
    def layers(self) -> Table:
        """Table of layers, largest difference first; the seconds of a side add up to its latency.

        A kernel that is separate on one side and fused into its predecessor on the other
        (``conv1.act`` after ``conv1``) belongs to the layer of the predecessor. ``share_so_far`` is
        the cumulative share of the total difference; the bottleneck of a layer is that of its
        longest kernel.
        """
        names = {name for side in self._predictions for name in side.rows}
        table = self._by_name("layer", lambda kernel: _layer_of_kernel(kernel, names))
        *before, last_a, last_b = table
        columns = {**table, "share_so_far": np.cumsum(table["share"])}
        return Table(columns).select(*before, "share_so_far", last_a, last_b)

    def _by_name(self, word: str, name_of: Callable[[str], str]) -> Table:
        """Return the seconds of both sides by kernel name, or by the group of the kernel."""
        groups: dict[str, list[list[tuple[float, str]]]] = {}
        for side, each in enumerate(self._predictions):
            for name, kernel in each.rows.items():
                groups.setdefault(name_of(name), [[], []])[side].append(kernel)
        a_s, b_s = (
            np.array([sum(s for s, _ in parts[side]) for parts in groups.values()], dtype=float)
            for side in (0, 1)
        )
        in_all = self.a.latency_s - self.b.latency_s
        difference = a_s - b_s
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = a_s / b_s
        bounds = {
            f"bound_by_{'ab'[side]}": [
                max(parts[side], default=(0.0, ""))[1] for parts in groups.values()
            ]
            for side in (0, 1)
        }
        table = Table(
            {
                word: list(groups),
                "a_s": a_s,
                "b_s": b_s,
                "difference_s": difference,
                "ratio": ratio,
                "share": difference / in_all if in_all else np.full(len(groups), np.nan),
                **bounds,
            }
        )
        return table[np.argsort(-np.abs(difference), kind="stable")]

    @cached_property
    def facts(self) -> Table:
        """Facts in which the machines differ; engine and main memory are matched by role."""
        return fact_differences(self.a.machine, self.b.machine)

    @cached_property
    def used_facts(self) -> Table:
        """Rows of `facts` that either latency depends on."""
        used = {
            role_path(each.machine, path) for each in (self.a, self.b) for path in used_facts(each)
        }
        return self.facts.where(np.array([path in used for path in self.facts["fact"]], dtype=bool))

    @cached_property
    def reasons(self) -> list[str]:
        """Reasons as sentences: kernels that cause the difference, with their bottlenecks."""
        out = [self._headline()]
        groups: dict[tuple[str, str], list[str]] = {}
        for row in self.table.rows():
            groups.setdefault((row.bound_by_a, row.bound_by_b), []).append(row.kernel)
        first, second = sides = self._predictions
        totals = [(first.seconds(k) - second.seconds(k), pair, k) for pair, k in groups.items()]
        total = self.a.latency_s - self.b.latency_s
        for difference, pair, kernels in sorted(totals, key=lambda t: -abs(t[0]))[:4]:
            if abs(difference) < 0.02 * max(abs(total), 1e-3 * self.a.latency_s):
                continue
            bounds = " and ".join(
                f"{side.bound_text(bound, kernels)} on {side.name}"
                for side, bound in zip(sides, pair, strict=True)
            )
            few = ", ".join(kernels[:3]) + (f" and {len(kernels) - 3} more" if kernels[3:] else "")
            out.append(f"{show(difference, 'time')} of it in {few}: {bounds}")
        for side in sides:
            out += [
                f"{wanted} runs as {ran} on {side.name}"
                for wanted, ran in side.prediction.executed.items()
                if wanted != ran
            ]
            out += [f"does not fit {side.name}: {v}" for v in side.prediction.violations]
            out += [f"impossible on {side.name}: {b}" for b in side.prediction.breaches]
        return out

    @cached_property
    def _predictions(self) -> tuple[_LabelledPrediction, _LabelledPrediction]:
        """Both predictions with distinct names: devices, else with their software, else letters."""
        a, b = self.a, self.b
        labels = [f"{each.device} ({each.precision}, {each.runtime})" for each in (a, b)]
        pairs = ((a.device, b.device), labels, ("a", "b"))
        first, second = next(pair for pair in pairs if pair[0] != pair[1])
        return _LabelledPrediction(first, a), _LabelledPrediction(second, b)

    @property
    def sentences(self) -> list[str]:
        """Result, its prediction intervals, and its reasons, as sentences."""
        first, *others = self.reasons
        return [first, *self.spreads, *others, *self._sums, *self._gaps]

    @property
    def _sums(self) -> list[str]:
        """Which terms make the difference in energy, cost and emissions, as sentences."""
        first, second = _terms(self.a), _terms(self.b)
        name = self._predictions[1].name
        out: list[str] = []
        for metric in ("energy_j", "cost_usd", "carbon_kg"):
            before, after = (float(getattr(each, metric)) for each in (self.a, self.b))
            change, dimension = after - before, dimension_of(metric)
            if np.isnan(change) or not change:
                continue
            terms = {
                term: second[metric].get(term, 0.0) - first[metric].get(term, 0.0)
                for term in dict.fromkeys((*first[metric], *second[metric]))
            }
            texts = ", ".join(
                f"{'+' if value > 0 else ''}{show(value, dimension)} of {term}"
                for term, value in sorted(terms.items(), key=lambda each: -abs(each[1]))
                if abs(value) >= 0.02 * abs(change)
            )
            label, ends = metric.partition("_")[0], [show(v, dimension) for v in (after, before)]
            out.append(f"{label} of {name} {ends[0]}, not {ends[1]}: {texts}")
        boundaries = [each.energy_boundary for each in (self.a, self.b)]
        if boundaries[0] != boundaries[1] and not np.isnan(self.a.energy_j + self.b.energy_j):
            texts = (
                f"{side.name}: {boundary}"
                for side, boundary in zip(self._predictions, boundaries, strict=True)
            )
            out.append(f"the energies have different boundaries ({', '.join(texts)})")
        return out

    @property
    def _gaps(self) -> list[str]:
        """Why one side has no cost or no emissions where the other has them, as sentences."""
        sides = self._predictions
        return [
            f"{side.name} has no {metric}: {side.prediction.missing_reason(metric)}"
            for metric in ("cost_usd", "carbon_kg")
            for side, other in (sides, sides[::-1])
            if np.isnan(getattr(side.prediction, metric))
            and not np.isnan(getattr(other.prediction, metric))
        ]

    @cached_property
    def spreads(self) -> list[str]:
        """Prediction intervals of both sides with their basis, as sentences."""
        out = [side.spread for side in self._predictions]
        first, second = self.a.interval(), self.b.interval()
        if first.low <= second.high and second.low <= first.high and self.ratio != 1:
            out.append("the 90 % intervals overlap: measurements may order the two otherwise")
        return out

    def _headline(self) -> str:
        """Return the sentence on which of both is faster, and by which factor."""
        a, b = (side.name for side in self._predictions)
        first, second = show(self.a.latency_s, "time"), show(self.b.latency_s, "time")
        if self.ratio == 1:
            return f"{a} and {b} take the same time: {first}"
        if not 0 < self.ratio < np.inf:
            return f"{a} and {b} have no ratio in time: {first} and {second}"
        word, factor = ("faster", self.ratio) if self.ratio > 1 else ("slower", 1 / self.ratio)
        is_bound = [each.basis == "bound" for each in (self.a, self.b)]
        if is_bound[0] != is_bound[1] and not self.bounds:
            name, other = (a, b) if is_bound[0] else (b, a)
            return (
                f"{name} is a bound and {other} a prediction, which no bound beats: "
                f"{a} {first}, {b} {second}"
            )
        return f"{b} is {factor:.3g} times {word} than {a}: {second}, not {first}"

    @property
    def headline(self) -> str:
        """Result as a sentence: speedup of the faster side."""
        return self.sentences[0]

    def sections(self) -> list[str | Table]:
        """Return the intervals, the reasons, the metrics, and the first kernels."""
        return ["\n".join(self.sentences[1:]), self.metrics, self.table.head(8)]

    def explain(self) -> str:
        """Return the reasons, all kernels, and the facts that cause the difference."""
        parts = ["\n".join(self.sentences), as_text(self.table, rows=len(self.table))]
        text = f"facts that differ and matter here (of {len(self.facts)} that differ):"
        facts = as_text(self.used_facts, rows=60) if self.used_facts else "none"
        return "\n\n".join([*parts, f"{text}\n{facts}"])

    def to_dict(self) -> dict[str, Any]:
        """Return the complete comparison as a JSON-compatible dictionary."""
        return plain(
            {
                "workload": self.a.workload.name,
                "a": self.a,
                "b": self.b,
                "ratio": self.ratio,
                "reasons": self.reasons,
                "spreads": self.spreads,
                "metrics": self.metrics.to_records(),
                "kernels": self.table.to_records(),
                "layers": self.layers.to_records(),
                "facts": self.facts.to_records(),
            }
        )


def _terms(prediction: Prediction) -> dict[str, dict[str, float]]:
    """Return metric -> term -> value for metrics that are sums: bytes, joules, dollars, CO2.

    The main memory goes by its role, as its names differ.
    """
    main = prediction.machine.main_memory
    sums = {
        "traffic_bytes": prediction.traffic_bytes,
        "energy_j": prediction.energy.parts,
        **prediction.cost.parts,
    }
    return {
        metric: {
            " ".join("main" if word == main else word for word in name.split()): value
            for name, value in terms.items()
            if not np.isnan(value)
        }
        for metric, terms in sums.items()
    }


def _layer_of_kernel(kernel: str, known: set[str]) -> str:
    """Return the layer of a kernel: the kernel whose name is a prefix of its name, else itself."""
    prefix = kernel
    while "." in prefix:
        prefix = prefix.rpartition(".")[0]
        if prefix in known:
            return _layer_of_kernel(prefix, known)
    return kernel


class _LabelledPrediction:
    """A prediction with the name by which sentences refer to it, and its time by kernel."""

    def __init__(self, name: str, prediction: Prediction) -> None:
        self.name, self.prediction = name, prediction

    @cached_property
    def rows(self) -> dict[str, tuple[float, str]]:
        """Kernel -> total seconds and bottleneck."""
        table = self.prediction.table
        by_kernel: dict[str, tuple[float, str]] = {}
        for name, phase, seconds, bound in zip(
            *(table[c].tolist() for c in ("name", "phase", "total_s", "bound_by")), strict=True
        ):
            key = name if name not in by_kernel else f"{name} ({phase or 'again'})"
            known = by_kernel.get(key, (0.0, bound))
            by_kernel[key] = (known[0] + seconds, bound)
        once = self.prediction.once_a_run_s
        if not is_array(once) and once:
            by_kernel["(once a run)"] = (float(once), "runtime")
        return by_kernel

    @property
    def spread(self) -> str:
        """Prediction interval with its basis, as a sentence."""
        each = self.prediction
        ends = [(level, each.interval(level=level).show("time")) for level in (0.5, 0.9)]
        if each.basis == "bound":
            return f"{self.name}: {ends[-1][1]}, a bound: {each.basis_reason}"
        shares = ", ".join(f"{100 * level:g} % in {text}" for level, text in ends)
        return f"{self.name}: {shares}; {each.basis}: {each.basis_reason}"

    def seconds(self, kernels: list[str]) -> float:
        """Return the total seconds of some kernels."""
        return sum(self.rows[k][0] for k in kernels if k in self.rows)

    def bound_text(self, bound: str, kernels: list[str]) -> str:
        """Return the bottleneck of some kernels, with their achieved rate, as text."""
        if bound == "runtime":
            spent = self.seconds(kernels)
            return f"{show(spent, 'time')} of the runtime" if spent else "nothing"
        table = self.prediction.table
        is_selected = np.isin(table["name"].astype(str), kernels)
        seconds = float(table["total_s"][is_selected].sum())
        if not bound or not seconds:
            return "nothing"
        count = table["count"][is_selected]
        if f"{bound}_bytes" in table:
            bytes_ = float((count * table[f"{bound}_bytes"][is_selected]).sum())
            return f"{bound}-bound ({show(bytes_ / seconds, 'bandwidth')})"
        column, operations_each = {"matrix": ("macs", 2.0), "vector": ("vector_ops", 1.0)}.get(
            bound, ("", 0.0)
        )
        if column:
            operations = float((count * table[column][is_selected]).sum()) * operations_each
            return f"{bound}-bound ({show(operations / seconds, 'compute')})"
        return f"{bound}-bound"
