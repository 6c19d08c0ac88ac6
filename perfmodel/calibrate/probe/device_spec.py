"""Device spec of a host from its measured facts: one engine, its caches and main memory.

``perfmodel doctor --probe`` calls `device_of` with the facts of `perfmodel.calibrate.probe.probe`
and writes the result as a YAML file. `engine_spec` and `memory_spec` state the equations by which
facts of the spec follow from measured rates.
"""

from __future__ import annotations

from perfmodel.calibrate.probe.engine_spec import engine_spec
from perfmodel.calibrate.probe.facts import HostFacts
from perfmodel.calibrate.probe.memory_spec import memory_specs
from perfmodel.calibrate.probe.spec_values import SOURCE, SpecFields, measurement_source
from perfmodel.hardware.device import Device
from perfmodel.units import show

NAME = "host"
"""Default name of the device."""
#: Vendors of AMD's Zen, and its first family (Zen 1).
_ZEN_VENDORS, _ZEN_FAMILY = ("AuthenticAMD", "HygonGenuine"), 0x17


def device_of(facts: HostFacts, name: str = NAME, year: int | None = None) -> Device:
    """Return the device spec of a host: kind `simd` if clock and widths are known, or `roofline`.

    Parameters
    ----------
    facts : HostFacts
    name : str
        In snake case.
    year : int, optional
        Year of the measurement.

    Raises
    ------
    InputError
        The facts do not make a valid spec.
    """
    identity = facts.identity
    title = identity.model or f"{identity.system} {identity.machine}"
    is_arm = identity.machine in ("aarch64", "arm64")
    cores = f"{facts.cores} cores" if facts.cores > 1 else "one core"
    fields: SpecFields = {
        "schema_version": 1,
        "name": name,
        "title": f"{title}, {cores}, probed",
        "tags": ["cpu", "host", *(["arm"] if is_arm else [])],
        "note": " ".join(_notes(facts)),
        "default_runtime": "onnxruntime_arm" if is_arm else "onnxruntime_cpu_blocks",
        "default_engine": "cpu",
        "overlap": _overlap(facts),
        "sources": measurement_source(year, f": {title}"),
        "source": SOURCE,
        "confidence": "measured",
        "engines": [engine_spec(facts)],
        "memories": memory_specs(facts),
    }
    return Device.model_validate(fields)


def _overlap(facts: HostFacts) -> str:
    """Return the overlap rule: Zen overlaps its levels, but not cold weights from main memory."""
    identity = facts.identity
    is_zen = identity.vendor in _ZEN_VENDORS and (identity.family or 0) >= _ZEN_FAMILY
    return "cold_weights_add" if is_zen else "full"


def _notes(facts: HostFacts) -> list[str]:
    """Return sentences on how the host was measured, and what could not be measured."""
    identity = facts.identity
    rounds = f"{facts.rounds} rounds of trials of {show(facts.trial_s, 'time')}"
    sentences = [f"Best of {rounds}, by {facts.how}, on {identity.system} {identity.machine}."]
    if facts.width:
        sentences.append("One thread is timed by its CPU time, several by the wall.")
    if identity.flags:
        sentences.append(f"Extensions: {' '.join(identity.flags)}.")
    if identity.cores:
        sentences.append(f"The host has {identity.cores} cores and {identity.threads} threads.")
    if facts.every_core is not None and facts.one_core is not None:
        one, every = (
            show(figure.best, "bandwidth") for figure in (facts.one_core, facts.every_core)
        )
        sentences.append(f"From main memory one core reads {one}, all {every}.")
    if _overlap(facts) == "full":
        sentences.append(
            "How the times of levels compose is not measured: full overlap is assumed."
        )
    if (dispatch := facts.dispatch) is not None:
        node, run = (show(time, "time") for time in (dispatch.per_node_s, dispatch.per_run_s))
        sentences.append(
            f"onnxruntime {dispatch.version} dispatches a node in {node} and a run in {run}."
        )
    return sentences + [
        f"{note[:1].upper()}{note[1:]}." for note in (*identity.notes, *facts.notes)
    ]
