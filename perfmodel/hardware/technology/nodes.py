"""From one silicon node to another: energy, area.

Two ways to scale an energy stand side by side. `trend` is a power law through what designers
measured at 45 nm (Horowitz, ISSCC 2014) and at 7 nm (Jouppi et al., ISCA 2021, table 2);
`stillmaker` takes the fitted inverter chains of Stillmaker and Baas (Integration 58, 2017). The
chains promise some 15 times from 45 to 7 nm where the designers found 2 to 4, so the trend is what
the tables use, and the chains are there to compare with.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from perfmodel.arrays import Array, Value, namespace
from perfmodel.hardware.technology.curves import power_law
from perfmodel.hardware.technology.tables import table


@cache
def _columns() -> dict[str, Array]:
    """Columns of the table of nodes, smallest node first."""
    data = table("nodes")
    rows = np.asarray(data["nodes"], dtype=float)[::-1]
    return dict(zip(data["columns"], rows.T, strict=True))


def nominal_volts(node_nm: Value) -> Value:
    """Return the nominal supply of a node, volts (predictive technology model)."""
    known = _columns()
    return power_law(node_nm, known["node_nm"].tolist(), known["volts"].tolist())


def area_scale(from_nm: Value, to_nm: Value) -> Value:
    """Return area of logic at one node over that at another (Stillmaker and Baas 2017).

    Parameters
    ----------
    from_nm, to_nm
        Nodes in nanometres, 7 to 180 in the paper; power laws between and beyond.
    """
    known = _columns()
    xs, ys = known["node_nm"].tolist(), known["area"].tolist()
    return power_law(to_nm, xs, ys) / power_law(from_nm, xs, ys)


def energy_scale(
    from_nm: Value, to_nm: Value, *, from_volts: Value = None, to_volts: Value = None
) -> Value:
    """Return energy of an operation at one node over another, by fitted inverter chains.

    ``(a2 V^2 + a1 V + a0)(to) / (a2 V^2 + a1 V + a0)(from)``, Stillmaker and Baas 2017; high
    performance devices.

    Parameters
    ----------
    from_nm, to_nm
        Nodes in nanometres; power laws between those of the paper.
    from_volts, to_volts
        Supplies, at which the nodes of the paper on either side are evaluated; each node's nominal
        one by default.
    """
    return _energy(to_nm, to_volts) / _energy(from_nm, from_volts)


def _energy(node_nm: Value, volts: Value) -> Value:
    known = _columns()
    xs = known["node_nm"].tolist()
    supply = known["volts"] if volts is None else volts
    at_nodes = known["a2"] * supply**2 + known["a1"] * supply + known["a0"]
    return power_law(node_nm, xs, np.asarray(at_nodes).tolist())


def trend(node_nm: Value, at_45nm: Value, at_7nm: Value, *, floor_nm: float = 0.0) -> Value:
    """Return the value at a node on the power law through its values at 45 and 7 nm.

    Parameters
    ----------
    node_nm
        Node in nanometres.
    at_45nm, at_7nm
        Values at either node; they broadcast against the node.
    floor_nm
        Nodes below take this one's value.
    """
    xp = namespace(node_nm, at_45nm, at_7nm)
    node = xp.maximum(xp.asarray(node_nm, dtype=float), floor_nm)
    share = xp.log(45.0 / node) / np.log(45.0 / 7.0)
    found = at_45nm * (at_7nm / at_45nm) ** share
    return float(found) if xp is np and np.ndim(found) == 0 else found
