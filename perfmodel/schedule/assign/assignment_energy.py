"""Energy of an assignment: each kernel on its engine, and static power over the run.

    E = sum over kernels of (their energy on the assigned engine) + static power x latency    (J)

by the sum of `predict` (`perfmodel.cost.energy`): with everything on one engine it is that of
`predict`. Engines that state one power for as long as they compute have static power in it, which
their device draws for the rest of the run alone.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.cost.energy import static_parts_w, static_power_w
from perfmodel.prediction import Prediction
from perfmodel.prediction.stages import row_energies
from perfmodel.schedule.assign.network_problem import AssignmentNetwork
from perfmodel.schedule.assign.problem import Floats, Index


def assignment_energy_j(network: AssignmentNetwork, engine: Index, latency_s: float) -> float:
    """Return the joules of one run; NaN if those of a kernel are not known.

    Parameters
    ----------
    engine
        Engine of each kernel.
    latency_s
        Seconds of the run, in which every device is on.
    """
    total = 0.0
    at_rest: dict[str, tuple[float, float]] = {}
    for e, profile in enumerate(network.profiles):
        rows = np.flatnonzero(engine == e)
        prediction, device = profile.prediction, profile.device_engine.device
        watts, busy_s = at_rest.get(device, (0.0, 0.0))
        if rows.size:
            working = _working_j(prediction)
            if len(working) != len(engine):
                return float("nan")
            total += float(working[rows].sum())
            if "busy" in prediction.energy.parts:
                busy_s += float(profile.seconds[rows].sum())
        at_rest[device] = max(watts, _static_w(prediction)), busy_s
    return total + sum(watts * max(latency_s - busy_s, 0.0) for watts, busy_s in at_rest.values())


def _working_j(prediction: Prediction) -> Floats:
    """Return the joules of each kernel without static power; NaN if unknown."""
    table, terms = prediction.opened
    parts = row_energies(table, terms, prediction.setting)
    at_rest = static_parts_w(prediction.setting)
    working = [joule for part, joule in parts.items() if part not in at_rest]
    if not parts:
        return np.full(len(table.rows), np.nan)
    return np.sum([np.zeros(len(table.rows)), *working], axis=0)


def _static_w(prediction: Prediction) -> float:
    """Return the power of a device at rest; zero if it is not known, as in the energy of a run."""
    watts = static_power_w(prediction.setting)
    return 0.0 if watts is None else first_number(watts)
