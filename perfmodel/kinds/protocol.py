"""Interface of a kind of hardware: its spec class, and the cost of an operator table on it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.runtime import Runtime
from perfmodel.workload.convolution_panels import Panels
from perfmodel.workload.operator_table import OperatorTable

if TYPE_CHECKING:
    from perfmodel.cost.area import SiliconBlock


class Equation(NamedTuple):
    """Formula of a term: Python arithmetic over the named facts, and its source."""

    text: str
    citation: str


@dataclass(slots=True)
class Terms:
    """Result of a kind: named times of each row, and the bytes that cross each boundary.

    Every array has shape ``(rows, points)`` or ``(rows, 1)``.

    Attributes
    ----------
    compute
        Term name -> seconds of arithmetic; they add up.
    memory
        Level -> seconds to move its bytes.
    overhead
        Term name -> seconds that overlap with nothing.
    traffic
        Level -> bytes across its boundary.
    row_s
        Total seconds of each row.
    operations
        Compute format -> operations (two per MAC), for energy. With those of `left_out` they are
        two per executed multiply-accumulate of the table.
    left_out
        Operations of each row's products that `operations` excludes: of a memory that multiplies,
        of taps on padding that kernels skip.
    unsupported
        Compute formats for which the engine has no peak, in their own or a wider form.
    cold
        Seconds to load weights from main memory before a row's arithmetic, where they do not
        overlap with it; part of that level's seconds.
    work
        Term of `compute` -> work (cycles, operations) that is divided by a rate; the explanation
        shows ``work / rate``. By default ``matrix`` is two operations per MAC, ``vector`` the
        vector operations.
    energy
        Component -> joules of one execution of each row, for components that the kind prices.
    powered
        Components of `energy` that draw one power for as long as a row runs.
    priced
        Keys of operations and traffic that `energy` includes, and that the device's energies must
        not count again (``operations int8``, ``traffic dram``).
    expressions
        Level of `memory` -> (index of a row -> its seconds at the first point, as plain
        arithmetic) for the explanation, where they are not ``bytes / bandwidth``; empty where a row
        has no special expression.
    joined
        Index of a row -> its seconds without overheads at the first point, as plain arithmetic,
        where a rule other than that of overlap combines its terms.
    detail
        Further numbers of each row, columns of `Prediction.table`: SRAM reads, folds, utilisation.
    traffic_model
        Description of how `traffic` was counted; empty for compulsory traffic under the residency
        rule.
    columns
        Numbers of each row that `Kind.combined` takes; empty where rows are costed independently.
        With a column ``layer`` (1 for rows with a loop nest) it reads the structure of rows from
        columns alone, so that a row without nest may be a nest of zeros.
    nest_columns
        Numbers of each loop nest that it takes, ``(nests, points)`` or ``(nests, 1)``.
    resources
        Resource of the engine -> amount that the whole network uses, ``(points,)`` or ``(1,)``;
        the fact ``engines.ENGINE.RESOURCE`` is the amount available.
    interval
        Seconds from one sample to the next that a pipeline accepts (its initiation interval),
        ``(points,)`` or ``(1,)``; None where the network is no pipeline.
    is_overlay
        Whether each row is costed independently of the others, and `resources` are those of the row
        that takes the most, as on an overlay that runs any network.
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
    expressions: dict[str, Callable[[int], str]] = field(
        default_factory=dict[str, Callable[[int], str]]
    )
    detail: dict[str, Value] = field(default_factory=dict[str, Value])
    joined: dict[int, Callable[[], str]] = field(default_factory=dict[int, Callable[[], str]])
    traffic_model: str = ""
    resources: dict[str, Value] = field(default_factory=dict[str, Value])
    left_out: Value = None
    interval: Value = None
    is_overlay: bool = False
    columns: dict[str, Value] = field(default_factory=dict[str, Value])
    nest_columns: dict[str, Value] = field(default_factory=dict[str, Value])
    powered: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[type[Terms], tuple[Any, ...]]:
        # `expressions` and `joined` are functions, not picklable, and only needed for explanations.
        names = [each.name for each in fields(self)]
        return Terms, tuple(
            {} if n in ("expressions", "joined") else getattr(self, n) for n in names
        )


_LAW: Final = re.compile(r"``(\w+) = ([^`]+)``\n((?:[ ]+\S.*(?:\n|$))+)")


def equations_of(*laws: Callable[..., Any]) -> dict[str, Equation]:
    """Return the equations of terms that the docstrings of functions state.

    A term is on a separate line, its source below it, indented::

        ``matrix = cycles / clock``
            Samajdar et al., SCALE-Sim, ISPASS 2020

    Parameters
    ----------
    laws
        Published laws, one function each.

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
    """A kind of hardware; `perfmodel.kinds.array.ArrayKind` is a template.

    Members with a value here are optional: the value is their default.
    """

    needs_nests: bool = False
    """Whether it reads the loop nests of the rows, `OperatorTable.nests`."""
    any_algorithm: bool = False
    """Whether its units can run any algorithm of a convolution that a runtime selects."""
    by_bits: bool = False
    """Whether time depends on the bits of operands."""
    packing: Callable[[Runtime], tuple[Panels, int]] | None = None
    """Return the panels in which a runtime packs products of convolutions, and the channels of a
    vector of its depthwise kernels (0: no distinction), for a kind that counts moves around
    products."""
    classes: Collection[str] | None = None
    """Classes of rows (`Row.kind`) that it costs; networks with rows of other classes are refused.
    All classes if None."""
    spec: type[Engine] = Engine
    """Spec class of the kind's engines."""
    traceable: bool = False
    """Whether its laws branch on no number outside searches (`search_distinct`), so that traced
    arrays get the same numbers as NumPy's and totals can be replayed (`prediction.replay`)."""
    structure: Callable[[Any, Value], Mapping[str, SiliconBlock]] | None = None
    """Return the blocks of silicon of an engine from the facts of its spec class and the bytes of
    weights that a network stores; None counts as many multipliers as the peaks need."""
    network_wide: Collection[str] = frozenset()
    """Terms that depend on sums over the network; all others are row-local."""
    combined: Callable[[Terms, OperatorTable, Setting], Terms] | None = None
    """Return the terms of a network whose rows share what it has, from terms in which each row is
    costed from its own numbers (`Terms.columns`): the last step of `cost`. Of the table, only the
    structure and the counts are read, since an oracle calls this with terms from its tables
    (`perfmodel.search.oracle.network_combination`)."""

    @property
    def name(self) -> str:
        """Name in a spec's ``kind:``."""
        ...

    @property
    def equations(self) -> Mapping[str, Equation]:
        """Term -> equation and source."""
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
    "traceable",
    "structure",
    "network_wide",
    "combined",
)
