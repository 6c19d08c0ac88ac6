"""The expected cost under probabilities of the options, for automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from perfmodel.catalog import need
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.search.evolve.question import Floats

#: Libraries that `expected_cost` gives functions for.
BACKENDS = ("torch", "jax")


def value_and_slopes(
    oracle: Any, metric: str, weights: Sequence[Floats]
) -> tuple[float, list[Floats]]:
    """Return an expected metric, and its slope by each weight as it was given.

    `Oracle.gradient` tells the slopes by normalised probabilities p = w / sum(w); by the weights
    they are (s - p . s) / sum(w), 0 along a decision's own direction.
    """
    values, slopes = oracle.gradient(weights)
    made: list[Floats] = []
    for weight, slope in zip(weights, slopes[metric], strict=True):
        total = float(np.sum(weight))
        share = np.asarray(weight, dtype=float) / total
        made.append((slope - share @ slope) / total)
    return values[metric], made


def expected_cost(
    oracle: Any, metric: str = "", *, backend: str = "torch"
) -> Callable[[Sequence[Any]], Any]:
    """Return ``cost(weights)``, a scalar that the library differentiates.

    Parameters
    ----------
    oracle
        An `Oracle`.
    metric
        What is told; by default the oracle's first metric.
    backend
        ``torch`` (an autograd function) or ``jax`` (a custom VJP around a callback, so that it can
        be compiled and differentiated in reverse, once).

    Returns
    -------
    callable
        One array of probabilities a decision (they need not be normalised) -> the expected metric
        in its unit, as `Oracle.gradient` expands it.

    Raises
    ------
    InputError
        Unknown metric or backend; the library is not installed.
    """
    faults: list[Fault] = []
    chosen = metric or oracle.metrics[0]
    if chosen not in oracle.metrics:
        faults.append(
            no_such(f"the oracle does not tell '{chosen}'", chosen, oracle.metrics, "metric")
        )
    if backend not in BACKENDS:
        faults.append(no_such(f"unknown backend '{backend}'", backend, BACKENDS, "backend"))
    if faults:
        raise InputError(faults)
    return (_torch if backend == "torch" else _jax)(oracle, chosen)


def _torch(oracle: Any, metric: str) -> Callable[[Sequence[Any]], Any]:
    torch: Any = need("torch")
    base: Any = torch.autograd.Function

    class Expected(base):
        @staticmethod
        def forward(ctx: Any, *weights: Any) -> Any:
            arrays = [w.detach().cpu().numpy().astype(float) for w in weights]
            value, slopes = value_and_slopes(oracle, metric, arrays)
            ctx.slopes = [
                torch.as_tensor(s, dtype=w.dtype, device=w.device)
                for s, w in zip(slopes, weights, strict=True)
            ]
            return weights[0].new_tensor(value)

        @staticmethod
        def backward(ctx: Any, *outer: Any) -> Any:
            return tuple(outer[0] * slope for slope in ctx.slopes)

    def cost(weights: Sequence[Any]) -> Any:
        return Expected.apply(*weights)

    return cost


def _jax(oracle: Any, metric: str) -> Callable[[Sequence[Any]], Any]:
    jax: Any = need("jax")
    numpy: Any = need("jax.numpy")

    def asked(*weights: Any) -> Any:
        arrays = [np.asarray(w, dtype=float) for w in weights]
        value, slopes = value_and_slopes(oracle, metric, arrays)
        types = [np.asarray(w).dtype for w in weights]
        made = [s.astype(t) for s, t in zip(slopes, types, strict=True)]
        return np.asarray(value, dtype=types[0]), *made

    def called(weights: Sequence[Any]) -> Any:
        arrays = [numpy.asarray(w) for w in weights]
        shapes = [jax.ShapeDtypeStruct(w.shape, w.dtype) for w in arrays]
        scalar = jax.ShapeDtypeStruct((), arrays[0].dtype)
        return jax.pure_callback(asked, (scalar, *shapes), *arrays, vmap_method="sequential")

    def expected(weights: tuple[Any, ...]) -> Any:
        return called(weights)[0]

    def forward(weights: tuple[Any, ...]) -> Any:
        value, *slopes = called(weights)
        return value, tuple(slopes)

    def backward(slopes: Any, outer: Any) -> Any:
        return (tuple(outer * slope for slope in slopes),)

    vjp: Any = jax.custom_vjp(expected)
    vjp.defvjp(forward, backward)

    def cost(weights: Sequence[Any]) -> Any:
        return vjp(tuple(weights))

    return cost
