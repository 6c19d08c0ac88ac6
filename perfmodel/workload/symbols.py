"""Symbolic dimensions: polynomials over named parameters and functions of polynomials.

A graph is built once with its free dimensions as symbols. All quantities derived from it
(multiply-accumulates, bytes, live elements) are then polynomials, and a prediction only binds
numbers, arrays or tracers to the parameters (`perfmodel.workload.polynomial_program`). Functions
that are not polynomial, such as ceilings, are atoms with polynomials as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias, Union

import numpy as np

from perfmodel.arrays import Value, namespace

Dim: TypeAlias = Union[int, float, "Poly"]
Monomial: TypeAlias = tuple[tuple["Atom", int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """A named parameter (no arguments) or a function of polynomials, interned by content."""

    name: str
    args: tuple[Poly, ...] = ()
    constants: tuple[float, ...] = ()
    order: int = field(default=0)

    def __repr__(self) -> str:
        if not self.args:
            return self.name
        inner = ", ".join([*map(str, self.args), *(f"{c:g}" for c in self.constants)])
        return f"{self.name}({inner})"


_ATOMS: dict[tuple[Any, ...], Atom] = {}


def _intern(name: str, args: tuple[Poly, ...] = (), constants: tuple[float, ...] = ()) -> Atom:
    key = (name, args, constants)
    atom = _ATOMS.get(key)
    if atom is None:
        atom = Atom(name, args, constants, len(_ATOMS))
        atom = _ATOMS.setdefault(key, atom)
    return atom


class Poly:
    """A polynomial with float coefficients; immutable, hashable, compared by content.

    Supports ``+ - *`` with numbers and polynomials, ``/`` by a number or by a single term, and the
    functions of this module. Comparison operators other than ``==`` raise: a graph must not branch
    on a free dimension.
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: dict[Monomial, float]) -> None:
        if 0.0 in terms.values():
            terms = {monomial: c for monomial, c in terms.items() if c != 0.0}
        self.terms = terms
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def __reduce__(self) -> tuple[type[Poly], tuple[Any, ...]]:
        # Without the hash, which differs between processes.
        return type(self), (self.terms,)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Poly):
            return self.terms == other.terms
        if isinstance(other, int | float):
            return self.terms == ({(): float(other)} if other else {})
        return NotImplemented

    def __add__(self, other: Dim) -> Poly:
        if type(other) is int and other == 0:
            return self
        terms = dict(self.terms)
        for monomial, coefficient in poly(other).terms.items():
            terms[monomial] = terms.get(monomial, 0.0) + coefficient
        return Poly(terms)

    __radd__ = __add__

    def __neg__(self) -> Poly:
        return Poly({monomial: -coefficient for monomial, coefficient in self.terms.items()})

    def __sub__(self, other: Dim) -> Poly:
        return self + (-poly(other))

    def __rsub__(self, other: Dim) -> Poly:
        return poly(other) + (-self)

    def __mul__(self, other: Dim) -> Poly:
        if not isinstance(other, Poly):
            factor = float(other)
            return Poly(
                {monomial: coefficient * factor for monomial, coefficient in self.terms.items()}
            )
        terms: dict[Monomial, float] = {}
        right = other.terms
        for left_monomial, left_coefficient in self.terms.items():
            for right_monomial, right_coefficient in right.items():
                monomial = _times(left_monomial, right_monomial)
                terms[monomial] = terms.get(monomial, 0.0) + left_coefficient * right_coefficient
        return Poly(terms)

    __rmul__ = __mul__

    def __truediv__(self, other: Dim) -> Poly:
        divisor = poly(other)
        if len(divisor.terms) == 1:
            ((monomial, coefficient),) = divisor.terms.items()
            return self * Poly({tuple((a, -power) for a, power in monomial): 1.0 / coefficient})
        if not divisor.terms:
            raise ZeroDivisionError("division of a dimension by zero")
        return self * Poly({((_intern("reciprocal", (divisor,)), 1),): 1.0})

    def __rtruediv__(self, other: Dim) -> Poly:
        return poly(other) / self

    def __bool__(self) -> bool:
        raise TypeError(f"the dimension {self} has no fixed value: a graph must not branch on it")

    def __lt__(self, other: Dim) -> bool:
        raise TypeError(f"the dimension {self} has no fixed value: use minimum or maximum")

    __le__ = __gt__ = __ge__ = __lt__

    def __repr__(self) -> str:
        # Sorted by name: the order of interning differs between processes, and hashes must not.
        return (
            " + ".join(
                sorted(_show(monomial, coefficient) for monomial, coefficient in self.terms.items())
            )
            or "0"
        )


@lru_cache(maxsize=65536)  # hashing a graph formats all shapes, which share most terms
def _show(monomial: Monomial, coefficient: float) -> str:
    factors = sorted(f"{a!r}" if power == 1 else f"{a!r}**{power}" for a, power in monomial)
    if coefficient != 1.0 or not factors:
        factors.insert(0, f"{coefficient:.15g}")
    return "*".join(factors)


def _times(left: Monomial, right: Monomial) -> Monomial:
    if not left or not right:
        return left or right
    powers: dict[Atom, int] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(
        sorted(((a, power) for a, power in powers.items() if power), key=lambda f: f[0].order)
    )


def poly(value: Dim) -> Poly:
    """Convert `value` to a polynomial."""
    return value if isinstance(value, Poly) else Poly({(): float(value)})


@lru_cache(maxsize=1024)  # one object per name, because dimensions are first compared by identity
def symbol(name: str) -> Poly:
    """Return the parameter `name` as a dimension."""
    return Poly({((_intern(name), 1),): 1.0})


def simplify(value: Dim) -> Dim:
    """Return a plain number if the polynomial is constant (an int if it is integral)."""
    if not isinstance(value, Poly):
        return value
    if not value.terms:
        return 0
    if len(value.terms) == 1 and () in value.terms:
        number = value.terms[()]
        return int(number) if number.is_integer() else number
    return value


def constant(value: Dim) -> float | None:
    """Return the number of a constant dimension, or ``None`` if it is free."""
    number = simplify(value)
    return None if isinstance(number, Poly) else float(number)


@lru_cache(maxsize=4096, typed=True)
def product(*dims: Dim) -> Dim:
    """Return the product of dimensions, as a number if all are numbers.

    Cached, because the elements of a tensor are requested often.
    """
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return simplify(result)


def total(dims: Iterable[Dim]) -> Dim:
    """Return the sum of dimensions, as a number if all are numbers."""
    return simplify(sum(dims, 0))


def _function(name: str, args: tuple[Dim, ...], constants: tuple[float, ...] = ()) -> Dim:
    numbers = [constant(a) for a in args]
    fixed = [n for n in numbers if n is not None]
    if len(fixed) == len(numbers):
        return simplify(poly(FUNCTIONS[name](False, _MATH, *fixed, *constants)))
    atom = _intern(name, tuple(poly(a) for a in args), constants)
    return Poly({((atom, 1),): 1.0})


def ceil_div(dim: Dim, divisor: int) -> Dim:
    """Return ``ceil(dim / divisor)``; ``dim / divisor`` in the relaxed form."""
    return dim if divisor == 1 else _function("ceil_div", (dim,), (float(divisor),))


def floor_div(dim: Dim, divisor: int) -> Dim:
    """Return ``floor(dim / divisor)``; ``dim / divisor`` in the relaxed form."""
    return dim if divisor == 1 else _function("floor_div", (dim,), (float(divisor),))


def divisible(dim: Dim, divisor: int = 8) -> Dim:
    """Return `dim` rounded to a multiple of `divisor`, at least 90 % of `dim` (MobileNetV2).

    The relaxed form is ``max(dim, divisor)``.
    """
    return _function("divisible", (dim,), (float(divisor),))


def nearest_divisor(number: int, near: int) -> int:
    """Return the divisor of `number` that is nearest to `near`."""
    return min(
        (d for d in range(1, min(number, 4 * near) + 1) if number % d == 0),
        key=lambda d: abs(d - near),
    )


def minimum(a: Dim, b: Dim) -> Dim:
    """Return the smaller of two dimensions."""
    return a if a == b else _function("minimum", (a, b))


def at_most(dim: Dim, bound: Dim) -> Dim:
    """Return the smaller of two positive dimensions, avoiding a function atom if possible.

    If all coefficients of the difference have one sign, it decides for every extent.
    """
    over = poly(dim) - poly(bound)
    signs = {c > 0 for c in over.terms.values()}
    if len(signs) > 1:
        return minimum(dim, bound)
    return bound if signs == {True} else dim


def maximum(a: Dim, b: Dim) -> Dim:
    """Return the larger of two dimensions."""
    return a if a == b else _function("maximum", (a, b))


def power_of_two(exponent: Dim) -> Dim:
    """Return 2 to the power of a dimension: the number of leaves of a complete binary tree."""
    return _function("power_of_two", (exponent,))


def distinct_experts(experts: int, per_token: int, tokens: Dim) -> Dim:
    """Return the expected number of experts that uniform routing touches.

    ``E (1 - (1 - k/E)**tokens)``: the mean of a coupon collector with k draws per token.
    """
    if per_token >= experts:
        return experts
    return _function("distinct_experts", (tokens,), (float(experts), float(per_token)))


def busiest_device(visits: Dim, devices: int) -> Dim:
    """Return the visits of experts on the busiest of the devices that share them.

    ``m + sqrt(2 m (1 - 1/d) ln d)`` with the mean ``m = visits / d``, at least one and at most all:
    the largest of d sums of independent draws (Raab and Steger, "Balls into Bins", RANDOM 1998).
    """
    return visits if devices == 1 else _function("busiest_device", (visits,), (float(devices),))


def power_law_experts(experts: int, per_token: int, exponent: float, tokens: Dim) -> Dim:
    """Return the number of experts that receive a token if a power law distributes the load.

    The law ``p(x) ~ x**-exponent`` (exponent above 1) is bounded at 0.8 of the tokens; loads are
    scaled to the total number of rows and rounded, as in the collector of NVIDIA's aiconfigurator.
    Evenly spaced quantiles of the law replace random draws.
    """
    constants = (float(experts), float(per_token), float(exponent))
    return _function("power_law_experts", (tokens,), constants)


_MATH = math


# Each function takes whether its relaxed form is wanted, the namespace, and then its arguments and
# constants. The namespace of plain numbers is `math`.


def _ceil_div(relaxed: bool, xp: Any, x: Value, divisor: float) -> Value:
    return x / divisor if relaxed else xp.ceil(x / divisor)


def _floor_div(relaxed: bool, xp: Any, x: Value, divisor: float) -> Value:
    return x / divisor if relaxed else xp.floor(x / divisor)


def _minimum(_relaxed: bool, xp: Any, a: Value, b: Value) -> Value:
    return min(a, b) if xp is _MATH else xp.minimum(a, b)


def _maximum(_relaxed: bool, xp: Any, a: Value, b: Value) -> Value:
    return max(a, b) if xp is _MATH else xp.maximum(a, b)


def _reciprocal(_relaxed: bool, _xp: Any, x: Value) -> Value:
    return 1.0 / x


def _power_of_two(_relaxed: bool, _xp: Any, exponent: Value) -> Value:
    return 2.0**exponent


def _distinct_experts(
    _relaxed: bool, _xp: Any, tokens: Value, experts: float, per_token: float
) -> Value:
    return experts * (1.0 - (1.0 - per_token / experts) ** tokens)


def _busiest_device(relaxed: bool, xp: Any, visits: Value, devices: float) -> Value:
    mean = visits / devices
    spread = math.sqrt(2.0 * (1.0 - 1.0 / devices) * math.log(devices))
    load = _maximum(relaxed, xp, mean + spread * xp.sqrt(mean), mean * 0.0 + 1.0)
    return _minimum(relaxed, xp, load, visits)


def _divisible(relaxed: bool, xp: Any, x: Value, step: float) -> Value:
    if relaxed:
        return _maximum(relaxed, xp, x, step)
    rounded = _maximum(relaxed, xp, xp.floor((x + step / 2) / step) * step, step)
    return rounded + step * (rounded < 0.9 * x)


def _power_law_experts(
    _relaxed: bool, xp: Any, tokens: Value, experts: float, each: float, exponent: float
) -> Value:
    """Return the expected number of loaded experts; see `power_law_experts`."""
    plain = xp is _MATH
    xp = np if plain else xp
    rows = xp.asarray(tokens * each)[..., None]
    many = rows > experts
    power = 1.0 - exponent
    low = xp.where(many, 1.0, 0.01) ** power
    high = xp.where(many, 0.8 * (rows / each), 2.0) ** power
    middle = (np.arange(int(experts)) + 0.5) / experts
    loads = ((high - low) * middle + low) ** (1.0 / power)
    shares = loads / xp.sum(loads, axis=-1, keepdims=True) * rows
    loaded = xp.sum(shares >= 0.5, axis=-1)
    rows = rows[..., 0]
    least = xp.maximum(loaded, xp.minimum(each, rows))
    touched = xp.minimum(xp.minimum(least, experts), rows)
    return float(touched) if plain else touched


#: Functions of polynomials by the names of their atoms.
FUNCTIONS: dict[str, Callable[..., Value]] = {
    "ceil_div": _ceil_div,
    "floor_div": _floor_div,
    "divisible": _divisible,
    "minimum": _minimum,
    "maximum": _maximum,
    "reciprocal": _reciprocal,
    "power_of_two": _power_of_two,
    "distinct_experts": _distinct_experts,
    "power_law_experts": _power_law_experts,
    "busiest_device": _busiest_device,
}


@lru_cache(maxsize=65536)
def parameters_of(atom: Atom) -> frozenset[str]:
    """Return the names of the parameters that an atom depends on."""
    if not atom.args:
        return frozenset((atom.name,))
    inner = (a for arg in atom.args for monomial in arg.terms for a, _ in monomial)
    return frozenset[str]().union(*map(parameters_of, inner))


def free_parameters(*dims: Dim) -> frozenset[str]:
    """Return the names of the parameters that dimensions depend on."""
    atoms = {
        atom
        for dim in dims
        if isinstance(dim, Poly)
        for monomial in dim.terms
        for atom, _ in monomial
    }
    return frozenset[str]().union(*map(parameters_of, atoms))


def evaluate(dim: Dim, values: Mapping[str, Value], *, relaxed: bool = False) -> Value:
    """Evaluate one dimension with numbers, arrays or tracers bound to its parameters.

    Raises
    ------
    KeyError
        A parameter has no value.
    """
    if not isinstance(dim, Poly):
        return dim
    return _evaluate(dim, AtomValues(values, relaxed))


class AtomValues:
    """Values of atoms under one binding of the parameters, each computed once.

    The relaxed forms replace the step functions of parameters that may vary: a float, an array or a
    tracer. An int is a constant, as in JAX: an image of 224 pixels keeps its 7 rows in the last
    stage while a width is differentiated.
    """

    def __init__(self, values: Mapping[str, Value], relaxed: bool) -> None:
        self.values = values
        self.relaxed = (
            {n for n, v in values.items() if type(v) is not int} if relaxed else set[str]()
        )
        self.known: dict[Atom, Value] = {}

    def __getitem__(self, atom: Atom) -> Value:
        value = self.known.get(atom)
        if value is None:
            if atom.args:
                args = [_evaluate(arg, self) for arg in atom.args]
                plain = all(type(a) is float or type(a) is int for a in args)
                relaxed = bool(self.relaxed) and not self.relaxed.isdisjoint(parameters_of(atom))
                function, xp = FUNCTIONS[atom.name], _MATH if plain else namespace(*args)
                value = function(relaxed, xp, *args, *atom.constants)
            else:
                value = self.values[atom.name]
            self.known[atom] = value
        return value

    def monomial(self, monomial: Monomial) -> Value:
        """Return the value of a product of powers of atoms."""
        result: Value = None
        for atom, n in monomial:
            value = self[atom] if n == 1 else self[atom] ** float(n)
            result = value if result is None else result * value
        return 1.0 if result is None else result


def _evaluate(dim: Poly, atoms: AtomValues) -> Value:
    total: Value = 0.0
    for monomial, c in dim.terms.items():
        total = total + (c if not monomial else c * atoms.monomial(monomial))
    return total


def broadcast(shapes: Sequence[tuple[Dim, ...]]) -> tuple[Dim, ...]:
    """Return the NumPy broadcast of shapes with free dimensions.

    Raises
    ------
    ValueError
        Two fixed extents differ and neither is 1.
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for i, size in enumerate(reversed(shape)):
            here = result[-1 - i]
            if here == 1:
                result[-1 - i] = size
            elif size not in (1, here) and None not in (constant(size), constant(here)):
                raise ValueError(f"shapes do not broadcast: {here} and {size}")
    return tuple(result)
