"""Functions of columns of numbers that a program calls as they are, such as searches of tiles.

A search over candidates would be thousands of scalar operations, and may branch. Of a function
whose result for a column depends on that column only, a program needs to know no more than which
numbers of the columns vary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Columns: TypeAlias = npt.NDArray[np.float64]


class ColumnFunction:
    """Operation of a program: a function of columns, some of whose numbers are operands.

    Parameters
    ----------
    function
        Columns ``(fields, columns)`` -> results ``(parts, columns)``.
    constants
        The columns, with any number in the places of operands; ``(fields, columns)``.
    places
        Field and column of each operand.
    """

    def __init__(
        self,
        function: Callable[[Columns], Columns],
        constants: Columns,
        places: tuple[npt.NDArray[np.intp], ...],
    ) -> None:
        self._function, self._constants, self._places = function, constants, places

    def on_floats(self, *numbers: float) -> list[float]:
        """Return the results for one number per operand, part by part."""
        columns = self._constants.copy()
        columns[self._places] = numbers
        results: Any = self._function(columns).reshape(-1).tolist()
        return results

    def on_vectors(self, *vectors: Any) -> list[Columns]:
        """Return the results for a vector (or number) per operand, each a vector, part by part."""
        points = np.broadcast_shapes(*map(np.shape, vectors))
        columns = np.empty((*self._constants.shape, *points))
        columns[:] = self._constants.reshape(*self._constants.shape, *(1 for _ in points))
        for place, vector in zip(zip(*self._places, strict=True), vectors, strict=True):
            columns[place] = vector
        # A copy: programs compute in place, and the function may keep its results.
        return list(
            np.array(self._function(columns.reshape(len(columns), -1))).reshape(-1, *points)
        )
