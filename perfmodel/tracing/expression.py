"""Scalar expressions as a graph whose equal nodes are one node, with constants folded.

An `ExpressionGraph` owns the nodes of one function. Hash-consing (Ershov, "On programming of
arithmetic operations", CACM 1(8), 1958) makes every operation on equal operands one node, an
operation on constants is carried out at once, and neutral elements of sums and products vanish. A
function that branches on a number that varies has no straight-line program: its condition raises
`NotTraceable`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np

#: Node or constant.
Operand: TypeAlias = Any

#: Nodes beyond which a replay is abandoned: it would take longer to compile than it can save.
MAX_NODES: Final = 8_000


class NotTraceable(Exception):
    """The function has no straight-line program over scalars, or one that is too long."""


def _quotient(left: float, right: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.float64(left) / np.float64(right))


def _power(base: float, exponent: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.power(float(base), exponent))


def _both(left: bool, right: bool) -> bool:
    return left and right


def _either(left: bool, right: bool) -> bool:
    return left or right


def _larger(left: Any, right: Any) -> Any:
    return left if left >= right else right


def _smaller(left: Any, right: Any) -> Any:
    return left if left <= right else right


def _choice(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


#: Operation -> its value on constants.
OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": _quotient,
    "mod": operator.mod,
    "pow": _power,
    "neg": operator.neg,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
    "and": _both,
    "or": _either,
    "maximum": _larger,
    "minimum": _smaller,
    "where": _choice,
    "ceil": math.ceil,
    "floor": math.floor,
    "round": round,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "abs": abs,
}

#: Operations whose results are conditions, and those whose operands may change places.
CONDITIONS: Final = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "and", "or"})
COMMUTATIVE: Final = frozenset({"add", "mul", "maximum", "minimum", "eq", "ne", "and", "or"})


class ExpressionGraph:
    """Nodes of one function in their order of creation, which is an order of evaluation."""

    def __init__(self, most_nodes: int = MAX_NODES) -> None:
        self._most_nodes = most_nodes
        self.nodes: list[Node] = []
        self._known: dict[tuple[Any, ...], Operand] = {}

    def parameter(self, name: str) -> Node:
        """Return the node of a parameter."""
        return self._append("parameter", (name,))

    def apply(self, operation: str, *operands: Operand) -> Operand:
        """Return the node of an operation, or its value if all operands are constants.

        Raises
        ------
        NotTraceable
            The program becomes too long.
        """
        operands = tuple([each if type(each) is Node else _plain(each) for each in operands])
        if Node not in map(type, operands):
            return OPERATIONS[operation](*operands)
        simpler = _simplified(operation, operands)
        if simpler is not None:
            return simpler
        keys: list[Any] = [id(o) if type(o) is Node else (type(o), o) for o in operands]
        key = operation, frozenset(keys) if operation in COMMUTATIVE else tuple(keys)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._append(operation, operands)
        return known

    def _append(self, operation: str, operands: tuple[Operand, ...]) -> Node:
        if len(self.nodes) >= self._most_nodes:
            raise NotTraceable(f"over {self._most_nodes} operations")
        node = Node(self, operation, operands)
        self.nodes.append(node)
        return node


def _plain(value: Any) -> Any:
    """Return a constant as a Python number, so that equal constants are one key."""
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def _simplified(operation: str, operands: tuple[Operand, ...]) -> Operand | None:
    """Return what an operation with a neutral or an absorbing constant equals; ``None`` if neither.

    ``0 * x`` is 0 since every value of a program is finite, which its caller checks. A product of
    a condition with 1 remains, since it makes a number of it.
    """
    match operation, operands:
        case "mul", (left, right) if _is(left, 0.0) or _is(right, 0.0):
            return 0.0
        case (("add" | "mul"), (left, right)):
            neutral = 0.0 if operation == "add" else 1.0
            if _is(left, neutral) and not _is_condition(right):
                return right
            return left if _is(right, neutral) and not _is_condition(left) else None
        case "sub", (left, right) if _is(right, 0.0):
            return left
        case (("truediv" | "pow"), (left, right)) if _is(right, 1.0):
            return left
        case (("maximum" | "minimum"), (left, right)) if left is right:
            return left
        case "where", (condition, yes, no) if yes is no or not isinstance(condition, Node):
            return yes if yes is no or condition else no
        case _:
            return None


def _is(operand: Operand, number: float) -> bool:
    return not isinstance(operand, Node) and float(operand) == number


def _is_condition(operand: Operand) -> bool:
    return isinstance(operand, Node) and operand.operation in CONDITIONS


def _binary(operation: str, *, reflected: bool = False) -> Any:
    def method(self: Node, other: Any) -> Any:
        pair = (other, self) if reflected else (self, other)
        if isinstance(other, np.ndarray):
            return self.__array_namespace__().apply(operation, *pair)
        return self.trace.apply(operation, *pair)

    return method


class Node:
    """One scalar operation of a trace; behaves as a zero-dimensional array of floats."""

    __slots__ = ("operands", "operation", "trace")

    shape: Final[tuple[()]] = ()
    ndim: Final[Literal[0]] = 0
    size: Final[Literal[1]] = 1
    dtype: Final = np.dtype(float)
    # NumPy leaves its operators with a node to the node.
    __array_ufunc__: Final = None

    def __init__(
        self, trace: ExpressionGraph, operation: str, operands: tuple[Operand, ...]
    ) -> None:
        self.trace, self.operation, self.operands = trace, operation, operands

    def __array_namespace__(self) -> Any:
        from perfmodel.tracing.array_namespace import NAMESPACE

        return NAMESPACE

    def __bool__(self) -> bool:
        raise NotTraceable("a branch on a number that varies")

    def __float__(self) -> float:
        raise NotTraceable("a number is required that varies")

    __int__ = __index__ = __float__

    def __hash__(self) -> int:
        return id(self)

    def __neg__(self) -> Operand:
        return self.trace.apply("neg", self)

    def __abs__(self) -> Operand:
        return self.trace.apply("abs", self)

    __add__, __radd__ = _binary("add"), _binary("add", reflected=True)
    __sub__, __rsub__ = _binary("sub"), _binary("sub", reflected=True)
    __mul__, __rmul__ = _binary("mul"), _binary("mul", reflected=True)
    __truediv__, __rtruediv__ = _binary("truediv"), _binary("truediv", reflected=True)
    __mod__, __rmod__ = _binary("mod"), _binary("mod", reflected=True)
    __pow__, __rpow__ = _binary("pow"), _binary("pow", reflected=True)
    __and__, __rand__ = _binary("and"), _binary("and", reflected=True)
    __or__, __ror__ = _binary("or"), _binary("or", reflected=True)
    __gt__, __ge__ = _binary("gt"), _binary("ge")
    __lt__, __le__ = _binary("lt"), _binary("le")
    __eq__, __ne__ = _binary("eq"), _binary("ne")
