"""Expected cost under option probabilities, with gradients for torch and jax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from perfmodel.catalog import need
from perfmodel.errors import no_such
from perfmodel.search.evolve.objectives import Floats
from perfmodel.settings import FaultList

#: Libraries that `expected_cost` supports.
BACKENDS = ("torch", "jax")


def value_and_slopes(
    oracle: Any, metric: str, weights: Sequence[Floats]
) -> tuple[float, list[Floats]]:
    """Return an expected metric, and its derivatives by the weights as passed.

    `Oracle.gradient` returns derivatives s by normalised probabilities p = w / sum(w). The
    derivatives by the weights are (s - p . s) / sum(w), which vanish along w.
    """
    values, slopes = oracle.gradient(weights)
    by_weight: list[Floats] = []
    for weight, slope in zip(weights, slopes[metric], strict=True):
        total = float(np.sum(weight))
        share = np.asarray(weight, dtype=float) / total
        by_weight.append((slope - share @ slope) / total)
    return values[metric], by_weight


def expected_cost(
    oracle: Any, metric: str = "", *, backend: str = "torch"
) -> Callable[[Sequence[Any]], Any]:
    """Return ``cost(weights)``, a scalar that torch or jax can differentiate.

    Parameters
    ----------
    oracle
        An `Oracle`.
    metric
        Metric of the oracle; by default its first one.
    backend
        ``torch`` (an autograd function) or ``jax`` (a custom VJP around a callback, which can be
        compiled and supports one reverse-mode derivative).

    Returns
    -------
    callable
        One array of probabilities per decision, not necessarily normalised -> the expected metric
        in its unit, expanded as in `Oracle.gradient`.

    Raises
    ------
    InputError
        Unknown metric or backend; the library is not installed.
    """
    faults = FaultList()
    metric = metric or oracle.metrics[0]
    if metric not in oracle.metrics:
        faults.append(
            no_such(f"the oracle does not tell '{metric}'", metric, oracle.metrics, "metric")
        )
    if backend not in BACKENDS:
        faults.append(no_such(f"unknown backend '{backend}'", backend, BACKENDS, "backend"))
    faults.settle()
    return (_torch if backend == "torch" else _jax)(oracle, metric)


def _torch(oracle: Any, metric: str) -> Callable[[Sequence[Any]], Any]:
    """Return the cost as a torch autograd function."""
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
    """Return the cost as a jax function with a custom VJP around a callback."""
    jax: Any = need("jax")
    numpy: Any = need("jax.numpy")

    def values_of(*weights: Any) -> Any:
        arrays = [np.asarray(w, dtype=float) for w in weights]
        value, slopes = value_and_slopes(oracle, metric, arrays)
        types = [np.asarray(w).dtype for w in weights]
        converted = [s.astype(t) for s, t in zip(slopes, types, strict=True)]
        return np.asarray(value, dtype=types[0]), *converted

    def called(weights: Sequence[Any]) -> Any:
        arrays = [numpy.asarray(w) for w in weights]
        shapes = [jax.ShapeDtypeStruct(w.shape, w.dtype) for w in arrays]
        scalar = jax.ShapeDtypeStruct((), arrays[0].dtype)
        return jax.pure_callback(values_of, (scalar, *shapes), *arrays, vmap_method="sequential")

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
