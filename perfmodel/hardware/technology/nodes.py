"""Scaling of energy and area from one silicon node to another.

There are two laws for energy. `trend` is a power law through published values at 45 nm (Horowitz,
ISSCC 2014) and at 7 nm (Jouppi et al., ISCA 2021, table 2); `energy_scale` uses the fitted inverter
chains of Stillmaker and Baas (Integration 58, 2017). The inverter chains predict a gain of about 15
times from 45 to 7 nm where the published values show 2 to 4, so the tables use `trend`;
`energy_scale` serves for comparison.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from perfmodel.arrays import Array, Value, namespace
from perfmodel.hardware.technology.power_laws import power_law
from perfmodel.hardware.technology.tables import table


@cache
def _columns() -> dict[str, Array]:
    """Return the columns of the table of nodes, smallest node first."""
    data = table("nodes")
    rows = np.asarray(data["nodes"], dtype=float)[::-1]
    return dict(zip(data["columns"], rows.T, strict=True))


def nominal_volts(node_nm: Value) -> Value:
    """Return the nominal supply voltage of a node, V (predictive technology model)."""
    known = _columns()
    return power_law(node_nm, known["node_nm"].tolist(), known["volts"].tolist())


def area_scale(from_nm: Value, to_nm: Value) -> Value:
    """Return the ratio of logic area, ``A(to) / A(from)`` (Stillmaker and Baas 2017).

    Parameters
    ----------
    from_nm, to_nm
        Nodes in nanometres, 7 to 180 in the paper; power laws in between and outside.
    """
    known = _columns()
    xs, ys = known["node_nm"].tolist(), known["area"].tolist()
    return power_law(to_nm, xs, ys) / power_law(from_nm, xs, ys)


def energy_scale(
    from_nm: Value, to_nm: Value, *, from_volts: Value = None, to_volts: Value = None
) -> Value:
    """Return the ratio of the energy of an operation, ``E(to) / E(from)``, by inverter chains.

    ``E = a2 V^2 + a1 V + a0`` with the coefficients of each node for high-performance devices
    (Stillmaker and Baas 2017).

    Parameters
    ----------
    from_nm, to_nm
        Nodes in nanometres; power laws between those of the paper.
    from_volts, to_volts
        Supply voltages, at which the neighbouring nodes of the paper are evaluated; the nominal
        voltage of each node by default.
    """
    return _energy(to_nm, to_volts) / _energy(from_nm, from_volts)


def _energy(node_nm: Value, volts: Value) -> Value:
    known = _columns()
    xs = known["node_nm"].tolist()
    supply = known["volts"] if volts is None else volts
    at_nodes = known["a2"] * supply**2 + known["a1"] * supply + known["a0"]
    return power_law(node_nm, xs, np.asarray(at_nodes).tolist())


def trend(node_nm: Value, at_45nm: Value, at_7nm: Value, *, floor_nm: float = 0.0) -> Value:
    """Return the value at a node by the power law through its values at 45 and 7 nm.

    ``v = v45 * (v7 / v45) ** (log(45 / node) / log(45 / 7))``.

    Parameters
    ----------
    node_nm
        Node in nanometres.
    at_45nm, at_7nm
        Values at these nodes; broadcast against `node_nm`.
    floor_nm
        Smallest node of the power law; smaller nodes have its value.
    """
    xp = namespace(node_nm, at_45nm, at_7nm)
    node = xp.maximum(xp.asarray(node_nm, dtype=float), floor_nm)
    share = xp.log(45.0 / node) / np.log(45.0 / 7.0)
    value = at_45nm * (at_7nm / at_45nm) ** share
    return float(value) if xp is np and np.ndim(value) == 0 else value
