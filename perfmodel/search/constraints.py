"""Parser of constraints: ``latency_s <= 5 ms``, ``frames_per_s >= 30``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Array
from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.expressions import parse_expression
from perfmodel.expressions.nodes import ExpressionOperation, Name, Node, Number
from perfmodel.metrics import unsearched_fault
from perfmodel.settings import FaultList

if TYPE_CHECKING:
    from perfmodel.prediction import Prediction
    from perfmodel.search.oracle import Oracle

#: Rates, inverse to the latency: a lower limit on a rate is an upper limit on the latency.
RATES = ("tokens_per_s", "frames_per_s")

#: Costs of a run over the items that it produces.
PER_ITEM = (
    "usd_per_million_tokens",
    "usd_per_inference",
    "carbon_kg_per_million_tokens",
    "carbon_kg_per_inference",
)

_FLIPPED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<"}


@dataclass(frozen=True, slots=True)
class Constraint:
    """An upper or lower bound on a metric.

    Attributes
    ----------
    text
        Constraint as written.
    metric
        Attribute of a prediction, or the loss.
    bound
        Bound in SI units.
    at_most
        Whether the metric must be at most, rather than at least, the bound.
    """

    text: str
    metric: str
    bound: float
    at_most: bool = True

    def holds(self, values: Array, tolerance: float = 1e-9) -> npt.NDArray[np.bool_]:
        """Return where the constraint holds, up to a relative tolerance."""
        slack = tolerance * abs(self.bound)
        if self.at_most:
            return values <= self.bound + slack
        return values >= self.bound - slack

    def excess(self, values: Array) -> Array:
        """Return the relative violation; 0 where the constraint holds.

        (value - bound) / abs(bound) for an upper bound, with the sign reversed for a lower one.
        """
        over = values - self.bound if self.at_most else self.bound - values
        return np.where(self.holds(values), 0.0, over / max(abs(self.bound), 1e-300))

    def relaxed(self, share: float) -> Constraint:
        """Return the constraint with its bound times 1 + share, or 1 - share for a lower bound."""
        factor = 1.0 + share if self.at_most else 1.0 - share
        return Constraint(self.text, self.metric, self.bound * factor, self.at_most)


def parse_constraints(
    texts: str | Iterable[str], metrics: Sequence[str], *, where: str = "constraints"
) -> tuple[Constraint, ...]:
    """Parse constraints, each of which may be a conjunction with ``and``.

    Parameters
    ----------
    metrics
        Metrics that may be constrained.

    Raises
    ------
    InputError
        For all faults: syntax, unknown metrics, and texts that do not bound a metric by a number.
    """
    listed = [texts] if isinstance(texts, str) else list(texts)
    out: list[Constraint] = []
    faults = FaultList()
    for text in listed:
        try:
            root = parse_expression(text, where).root
        except InputError as error:
            faults += error.faults
            continue
        for node in _parts(root):
            try:
                out.append(_constraint(text, node, metrics, where))
            except InputError as error:
                faults += error.faults
    faults.settle()
    return tuple(out)


def _parts(node: Node) -> list[Node]:
    if isinstance(node, ExpressionOperation) and node.kind == "and":
        return [part for operand in node.operands for part in _parts(operand)]
    return [node]


def _constraint(text: str, node: Node, metrics: Sequence[str], where: str) -> Constraint:
    """Return the constraint that one comparison states."""
    expected = "a metric and a number, such as latency_s <= 5 ms"
    if (
        not isinstance(node, ExpressionOperation)
        or node.kind not in _FLIPPED
        or len(node.operands) != 2
    ):
        raise input_error(f"'{text}' limits nothing", path=where, expected=expected)
    left, right = node.operands
    kind = node.kind
    if isinstance(right, Name):
        left, right, kind = right, left, _FLIPPED[kind]
    value = _value(right)
    if not isinstance(left, Name) or value is None:
        raise input_error(f"'{text}' limits nothing", path=where, expected=expected)
    if fault := unsearched_fault(left.name, where):
        raise InputError(fault)
    if left.name not in metrics:
        raise input_error(
            f"there is no metric '{left.name}' in '{text}'",
            path=where,
            expected=f"one of {', '.join(metrics)}",
            suggestion=nearest(left.name, metrics),
        )
    faults = FaultList(parse_expression(text, where).condition_faults(metrics))
    faults.settle()
    return Constraint(text, left.name, value, kind in ("<=", "<"))


def _value(node: Node) -> float | None:
    if isinstance(node, Number):
        return float(node.value)
    if isinstance(node, ExpressionOperation) and node.kind == "neg":
        inner = _value(node.operands[0])
        return None if inner is None else -inner
    return None


def check_known(oracle: Oracle, space: Any, metrics: Sequence[str], goal: str) -> None:
    """Raise an error for metrics that the device of a search provides no data for.

    Parameters
    ----------
    oracle, space
        Costs of the space, and the space.
    goal
        Objective of the search.
    """
    # A run may be too long for its period in one of them, and a design too large for its part.
    ends = [[last * (len(each.options) - 1) for each in space.decisions] for last in (False, True)]
    unknown, feasible = metrics, False
    for end in ends:
        sample = oracle.batch(np.array([end], dtype=np.intp))
        unknown = [name for name in unknown if np.isnan(sample[name]).all()]
        feasible |= bool(np.any(sample["feasible"]))
        if not unknown:
            return
    if feasible:
        member = oracle.predict(ends[0])
        FaultList(_unknown_metric(member, name, goal) for name in unknown).settle()


def _unknown_metric(member: Prediction, name: str, goal: str) -> Fault:
    """Return the fault of a metric that no member of a space has, with the reason.

    Parameters
    ----------
    member
        Prediction of any member.
    goal
        Objective of the search; it names others in its constraints.
    """
    path = "objective" if name == goal else "constraints"
    if reason := member.missing_reason(name):
        message = f"there is no {name} on {member.device}: {reason}"
        return Fault(message, path, expected="another metric, or the facts that it needs")
    message = f"{member.device} states nothing that '{name}' could be known from"
    expected = "another metric, or a device with its power or energies"
    return Fault(message, path, expected=expected)


def check_rates(space: Any, metrics: Sequence[str]) -> None:
    """Raise an error for rates of another unit than a space's networks yield: tokens or samples."""
    network = space.workload((0,) * len(space.decisions))
    rate = RATES[0] if network.unit == "tokens" else RATES[1]
    faults = FaultList(
        Fault(f"'{space.name}' yields {network.unit}", path=name, expected=rate, suggestion=rate)
        for name in dict.fromkeys(metrics)
        if name in RATES and name != rate
    )
    faults.settle()
