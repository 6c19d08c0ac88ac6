"""Symbolic dimensions: polynomials over named parameters and derived atoms.

A graph is built once with its free dimensions as symbols. All quantities derived from it
(multiply-accumulates, bytes, live elements) are then polynomials, and a prediction only binds
numbers, arrays or tracers to the parameters (`Program`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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

    def __init__(self, terms: Mapping[Monomial, float]) -> None:
        self.terms: dict[Monomial, float] = {m: c for m, c in terms.items() if c != 0.0}
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
        for monomial, c in poly(other).terms.items():
            terms[monomial] = terms.get(monomial, 0.0) + c
        return Poly(terms)

    __radd__ = __add__

    def __neg__(self) -> Poly:
        return Poly({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Dim) -> Poly:
        return self + (-poly(other))

    def __rsub__(self, other: Dim) -> Poly:
        return poly(other) + (-self)

    def __mul__(self, other: Dim) -> Poly:
        if not isinstance(other, Poly):
            factor = float(other)
            return Poly({m: c * factor for m, c in self.terms.items()})
        terms: dict[Monomial, float] = {}
        right = other.terms
        for m1, c1 in self.terms.items():
            for m2, c2 in right.items():
                m = _times(m1, m2)
                terms[m] = terms.get(m, 0.0) + c1 * c2
        return Poly(terms)

    __rmul__ = __mul__

    def __truediv__(self, other: Dim) -> Poly:
        divisor = poly(other)
        if len(divisor.terms) == 1:
            ((monomial, c),) = divisor.terms.items()
            return self * Poly({tuple((a, -n) for a, n in monomial): 1.0 / c})
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
        return " + ".join(sorted(_show(m, c) for m, c in self.terms.items())) or "0"


@lru_cache(maxsize=65536)  # hashing a graph formats all shapes, which share most terms
def _show(monomial: Monomial, c: float) -> str:
    factors = sorted(f"{a!r}" if n == 1 else f"{a!r}**{n}" for a, n in monomial)
    if c != 1.0 or not factors:
        factors.insert(0, f"{c:.15g}")
    return "*".join(factors)


def _times(left: Monomial, right: Monomial) -> Monomial:
    if not left or not right:
        return left or right
    powers: dict[Atom, int] = dict(left)
    for atom, n in right:
        powers[atom] = powers.get(atom, 0) + n
    return tuple(sorted(((a, n) for a, n in powers.items() if n), key=lambda f: f[0].order))


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


def _function(name: str, args: tuple[Dim, ...], constants: tuple[float, ...] = ()) -> Dim:
    numbers = [constant(a) for a in args]
    fixed = [n for n in numbers if n is not None]
    if len(fixed) == len(numbers):
        return simplify(poly(FUNCTIONS[name](fixed, constants, False, _MATH)))
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


def power_law_experts(experts: int, per_token: int, exponent: float, tokens: Dim) -> Dim:
    """Return the number of experts that receive a token if a power law distributes the load.

    The law ``p(x) ~ x**-exponent`` (exponent above 1) is bounded at 0.8 of the tokens; loads are
    scaled to the total number of rows and rounded, as in the collector of NVIDIA's aiconfigurator.
    Evenly spaced quantiles of the law replace random draws.
    """
    constants = (float(experts), float(per_token), float(exponent))
    return _function("power_law_experts", (tokens,), constants)


_MATH = math


def _floor(x: Value, xp: Any) -> Value:
    return xp.floor(x)


def _ceil(x: Value, xp: Any) -> Value:
    return xp.ceil(x)


def _minimum(a: Value, b: Value, xp: Any) -> Value:
    return min(a, b) if xp is _MATH else xp.minimum(a, b)


def _maximum(a: Value, b: Value, xp: Any) -> Value:
    return max(a, b) if xp is _MATH else xp.maximum(a, b)


def _divisible(x: Value, step: float, relaxed: bool, xp: Any) -> Value:
    if relaxed:
        return _maximum(x, step, xp)
    rounded = _maximum(_floor((x + step / 2) / step, xp) * step, step, xp)
    return rounded + step * (rounded < 0.9 * x)


def _power_law_experts(
    tokens: Value, experts: float, each: float, exponent: float, xp: Any
) -> Value:
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


_Function: TypeAlias = Callable[[list[Value], tuple[float, ...], bool, Any], Value]

#: name -> f(arguments, constants, relaxed, namespace); namespace `math` stands for plain numbers.
FUNCTIONS: dict[str, _Function] = {
    "ceil_div": lambda a, c, relaxed, xp: a[0] / c[0] if relaxed else _ceil(a[0] / c[0], xp),
    "floor_div": lambda a, c, relaxed, xp: a[0] / c[0] if relaxed else _floor(a[0] / c[0], xp),
    "divisible": lambda a, c, relaxed, xp: _divisible(a[0], c[0], relaxed, xp),
    "minimum": lambda a, c, relaxed, xp: _minimum(a[0], a[1], xp),
    "maximum": lambda a, c, relaxed, xp: _maximum(a[0], a[1], xp),
    "reciprocal": lambda a, c, relaxed, xp: 1.0 / a[0],
    "power_of_two": lambda a, c, relaxed, xp: 2.0 ** a[0],
    "distinct_experts": lambda a, c, relaxed, xp: c[0] * (1.0 - (1.0 - c[1] / c[0]) ** a[0]),
    "power_law_experts": lambda a, c, relaxed, xp: _power_law_experts(a[0], c[0], c[1], c[2], xp),
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
                xp = namespace(*args)
                plain = all(type(a) is float or type(a) is int for a in args)
                relaxed = bool(self.relaxed) and not self.relaxed.isdisjoint(parameters_of(atom))
                value = FUNCTIONS[atom.name](args, atom.constants, relaxed, _MATH if plain else xp)
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
