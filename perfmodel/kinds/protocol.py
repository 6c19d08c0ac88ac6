"""What a kind of hardware is: a spec class, and the functions that cost an operator table on it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple, Protocol

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.runtime import Runtime
from perfmodel.workload.lower import OperatorTable
from perfmodel.workload.panels import Panels


class Equation(NamedTuple):
    """How a term is computed: Python arithmetic over the named facts, and where it is from."""

    text: str
    citation: str


@dataclass(slots=True)
class Terms:
    """What a kind returns: named times of each row, and the bytes that cross each boundary.

    Every array has shape ``(rows, points)`` or ``(rows, 1)``.

    Attributes
    ----------
    compute
        Term name -> seconds of arithmetic; they add.
    memory
        Level -> seconds to move its bytes.
    overhead
        Term name -> seconds that nothing overlaps.
    traffic
        Level -> bytes across its boundary.
    row_s
        Seconds of each row, composed.
    operations
        Compute format -> operations (two per MAC), for energy. With those of `left_out` they are
        two of each multiply-accumulate that the table has a row execute.
    left_out
        Operations of each row's products that `operations` leaves out: of a memory that multiplies,
        of taps on padding that kernels skip.
    unsupported
        Compute formats that the engine has no peak for in any wider form.
    cold
        Seconds of weights that come from main memory before a row's arithmetic, where they do not
        overlap with it; part of that level's seconds.
    work
        Term of `compute` -> what is divided by a rate to give its seconds (cycles, operations); the
        explanation shows ``work / rate``. Without it ``matrix`` is two operations per MAC,
        ``vector`` the vector operations.
    energy
        Name -> joules of one execution of each row, for what the kind prices itself.
    priced
        What `energy` covers beside its own names: keys of the operations and traffic that the
        device's energies must not count again (``operations int8``, ``traffic dram``).
    said
        Level of `memory` -> (position of a row -> its seconds at the first point, as plain
        arithmetic) for the explanation, where they are not ``bytes / bandwidth``; empty where a row
        has no arithmetic of its own.
    joined
        Position of a row -> its seconds without overheads at the first point, as plain arithmetic,
        where other than the overlap rule joins its terms.
    detail
        Further numbers of each row, columns of `Prediction.table`: SRAM reads, folds, utilisation.
    traffic_model
        How `traffic` was found; empty for compulsory traffic under the residency rule.
    resources
        Resource of the engine -> how much of it the whole network takes, ``(points,)`` or ``(1,)``;
        the fact ``engines.ENGINE.RESOURCE`` says how much there is.
    """

    compute: dict[str, Value]
    memory: dict[str, Value]
    overhead: dict[str, Value]
    traffic: dict[str, Value]
    row_s: Value
    operations: dict[str, Value]
    executed: dict[str, str]
    unsupported: tuple[str, ...] = ()
    cold: Value = None
    work: dict[str, Value] = field(default_factory=dict[str, Value])
    energy: dict[str, Value] = field(default_factory=dict[str, Value])
    priced: tuple[str, ...] = ()
    said: dict[str, Callable[[int], str]] = field(default_factory=dict[str, Callable[[int], str]])
    detail: dict[str, Value] = field(default_factory=dict[str, Value])
    joined: dict[int, Callable[[], str]] = field(default_factory=dict[int, Callable[[], str]])
    traffic_model: str = ""
    resources: dict[str, Value] = field(default_factory=dict[str, Value])
    left_out: Value = None

    def __reduce__(self) -> tuple[type[Terms], tuple[Any, ...]]:
        # `said` and `joined` are functions of the process that made them, for explanations alone.
        names = [each.name for each in fields(self)]
        return Terms, tuple({} if n in ("said", "joined") else getattr(self, n) for n in names)


_LAW: Final = re.compile(r"``(\w+) = ([^`]+)``\n((?:[ ]+\S.*(?:\n|$))+)")


def equations_of(*laws: Callable[..., Any]) -> dict[str, Equation]:
    """Return the equations of terms that the documentation of functions states.

    A term stands on a line by itself, its source below it, indented::

        ``matrix = cycles / clock``
            Samajdar et al., SCALE-Sim, ISPASS 2020

    Parameters
    ----------
    laws
        Published laws, a function each.

    Returns
    -------
    dict
        Term -> equation and source, in the order of the functions.
    """
    return {
        name: Equation(" ".join(text.split()), " ".join(source.split()))
        for law in laws
        for name, text, source in _LAW.findall(inspect.getdoc(law) or "")
    }


class Kind(Protocol):
    """One kind of hardware; `perfmodel.kinds.array.ArrayKind` is a template of kinds.

    Members with a value here may be left out: the value holds.
    """

    needs_nests: bool = False
    """Whether it reads the loop nests of the rows, `OperatorTable.nests`."""
    any_algorithm: bool = False
    """Whether its units multiply whatever a runtime's algorithm of a convolution asks for."""
    by_bits: bool = False
    """Whether time goes with the bits of operands."""
    packing: Callable[[Runtime], tuple[Panels, int]] | None = None
    """Panels in which a runtime packs products of convolutions, and channels of a vector of its
    depthwise kernels (0: all alike), of a kind that counts what moves around them."""
    classes: Collection[str] | None = None
    """Classes of rows (`Row.kind`) that it costs, a network with a row of another is refused; all
    where None."""
    spec: type[Engine] = Engine
    """What a spec file says of an engine of the kind."""
    network_wide: Collection[str] = frozenset()
    """Terms that depend on sums over the network; all others are row-local."""

    @property
    def name(self) -> str:
        """Name that a spec's ``kind:`` takes."""
        ...

    @property
    def equations(self) -> Mapping[str, Equation]:
        """Term -> how it is computed."""
        ...

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table."""
        ...


#: Members that a kind may leave out.
OPTIONAL: Final = (
    "needs_nests",
    "any_algorithm",
    "by_bits",
    "packing",
    "classes",
    "spec",
    "network_wide",
)
