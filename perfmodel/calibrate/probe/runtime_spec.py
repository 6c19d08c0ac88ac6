"""Runtime spec of a host: onnxruntime with its measured dispatch times.

``perfmodel doctor --probe --runtime-output FILE`` writes it. The times are those of
`perfmodel.calibrate.probe.dispatch`; every other constant is that of a runtime of the library.
"""

from __future__ import annotations

from perfmodel.calibrate.probe.facts import HostFacts
from perfmodel.calibrate.probe.spec_values import SOURCE, SpecFields, measurement_source, rounded
from perfmodel.hardware.runtime import Runtime
from perfmodel.units import show


def runtime_of(facts: HostFacts, name: str, base: Runtime, year: int | None = None) -> Runtime:
    """Return the host's runtime with its measured dispatch times.

    Parameters
    ----------
    facts : HostFacts
        Facts that include a dispatch.
    name : str
    base : Runtime
        Source of all other constants.
    year : int, optional
        Year of the measurement.
    """
    dispatch = facts.dispatch
    assert dispatch is not None
    at = f"onnxruntime {dispatch.version}, one thread, called from Python"
    fields = base.model_dump(mode="python", exclude={"base", "aliases"}, exclude_unset=True)

    def timed(seconds: float) -> SpecFields:
        conditions = {"source": SOURCE, "confidence": "measured", "measured_at": at}
        return {"value": rounded(seconds), **conditions}

    fields |= {
        "name": name,
        "title": f"{base.title or base.name}; dispatch measured on this host",
        "sources": (fields.get("sources") or {}) | measurement_source(year),
        "per_run": timed(dispatch.per_run_s),
        "per_operator": timed(dispatch.per_node_s),
    }
    if dispatch.per_view_s is not None:
        fields["per_operator"]["note"] = f"a view takes {show(dispatch.per_view_s, 'time')}"
    if dispatch.per_subgraph_s is not None:
        fields["per_subgraph"] = timed(dispatch.per_subgraph_s)
    return Runtime.model_validate(fields)
