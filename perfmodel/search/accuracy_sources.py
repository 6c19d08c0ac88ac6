"""Accuracy sources by name and file, as in command lines and problem files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from pydantic import ConfigDict

from perfmodel.errors import Fault, input_error, nearest
from perfmodel.frozen_model import FrozenModel
from perfmodel.search.space import ConfigurationSpace
from perfmodel.settings import FaultList
from perfmodel.workload.nas_spaces import ArchitectureSpace

#: Noise of real weights; a table of sensitivities or architecture accuracies; Hessian traces.
SourceKind: TypeAlias = Literal["sqnr", "table", "hawq"]

KINDS: Final[tuple[SourceKind, ...]] = ("sqnr", "table", "hawq")
_FORMS: Final = "sqnr[:WEIGHTS], table:FILE or hawq:FILE"


class AccuracySource(FrozenModel):
    """Source of the loss in a call or a problem file."""

    model_config = ConfigDict(allow_inf_nan=False)

    kind: SourceKind
    """sqnr: quantisation and pruning noise of real weights; table: sensitivities of layers and
    options, or measured accuracies of architectures; hawq: traces of Hessians."""
    path: Path | None = None
    """File, relative to a problem file's folder; for `sqnr` by default the workload's file."""
    calibration: Path | None = None
    """For sqnr: file of activations."""
    model: str | None = None
    """For hawq in JSON: name of the model in the file; by default the workload's name."""
    layers: tuple[str, ...] | None = None
    """For hawq in JSON: names of its layers, in order; by default the layers with decisions, if
    their number matches."""
    weights: Path | None = None
    """For hawq: file of weights, for options without a stored change in the file of traces."""
    accuracy: str = "accuracy"
    """For a table of architectures: column of accuracies."""
    architecture: str = ""
    """For a table of architectures: column of architectures."""

    def beside(self, file: Path) -> AccuracySource:
        """Return the source with its paths resolved relative to the folder of a file."""
        paths = {name: getattr(self, name) for name in ("path", "calibration", "weights")}
        return self.model_copy(update={n: file.parent / p for n, p in paths.items() if p})


def parse_source(text: str, calibration: Path | None = None) -> AccuracySource:
    """Parse ``sqnr``, ``sqnr:net.onnx``, ``table:losses.csv`` or ``hawq:traces.csv``.

    Raises
    ------
    InputError
        The kind is unknown, or a required file is missing.
    """
    kind, _, path = text.partition(":")
    known = kind if kind in KINDS else None
    if known is None:
        meant = nearest(kind, KINDS)
        raise input_error(
            f"'{text}' is not a source of accuracy",
            path="accuracy",
            expected=_FORMS,
            suggestion=f"{meant}:{path}" if meant and path else meant,
        )
    faults = FaultList()
    if not path and known != "sqnr":
        faults.append(Fault(f"'{text}' names no file", path="accuracy", expected=f"{known}:FILE"))
    if calibration is not None and known != "sqnr":
        faults.append(_no_calibration(known))
    faults.settle()
    named = Path(path) if path else None
    return AccuracySource(kind=known, path=named, calibration=calibration)


def _no_calibration(kind: str) -> Fault:
    return Fault(
        f"'{kind}' has no use for a calibration",
        path="accuracy.calibration",
        expected="a calibration with sqnr alone",
    )


def source_faults(source: AccuracySource, workload: object) -> list[Fault]:
    """Return the faults of a source: missing parts, and parts that do not apply.

    Parameters
    ----------
    workload
        The network or space as stated: a name, a path or an object.
    """
    faults: list[Fault] = []
    if source.path is None and source.kind != "sqnr":
        faults.append(
            Fault(f"'{source.kind}' of which file?", path="accuracy.path", expected="a path")
        )
    if source.path is None and source.kind == "sqnr" and _weights(workload) is None:
        faults.append(
            Fault(
                "sqnr needs weights, and the workload is not a file that contains any",
                path="accuracy",
                expected="an .onnx or .safetensors file",
            )
        )
    if source.calibration is not None and source.kind != "sqnr":
        faults.append(_no_calibration(source.kind))
    return faults


def accuracy_of(source: AccuracySource, space: Any, workload: object) -> Any:
    """Return the accuracy model of a source for a space.

    Raises
    ------
    InputError
        For all faults of the source and its files.
    """
    from perfmodel.search import accuracy

    faults = FaultList(source_faults(source, workload))
    faults.settle()
    if isinstance(space, ArchitectureSpace):
        if source.kind != "table" or source.path is None:
            raise input_error(
                f"'{source.kind}' knows no architectures",
                path="accuracy",
                expected="a table of architectures and their accuracies",
            )
        return accuracy.architectures(
            source.path, space, accuracy=source.accuracy, architecture=source.architecture
        )
    if source.kind == "sqnr":
        weights = source.path or _weights(workload)
        assert weights is not None
        return accuracy.sqnr(weights, source.calibration)
    assert source.path is not None
    if source.kind == "table":
        return accuracy.table(source.path)
    return _hawq(source, space)


def _hawq(source: AccuracySource, space: ConfigurationSpace) -> Any:
    """Return the model of HAWQ traces, with layers matched to the space's decisions."""
    from perfmodel.search.accuracy import hawq
    from perfmodel.search.loss_tables import layer_decisions

    assert source.path is not None
    model = source.model
    if model is None and source.path.suffix.lower() == ".json":
        model = _model_named(source.path, space.name)
    traces = hawq(source.path, model=model, layers=source.layers, weights=source.weights)
    decided = [each.layer for each in layer_decisions(space)]
    numbered = traces.layers == tuple(str(i) for i in range(len(decided)))
    if source.layers is None and decided and numbered:
        traces = hawq(source.path, model=model, layers=decided, weights=source.weights)
        traces = replace(traces, name=f"{traces.name}, its layers taken in order")
    return traces


def _model_named(path: Path, name: str) -> str | None:
    """Return the workload's name if it is one of several models in a file."""
    from perfmodel.specfile import read

    data, _ = read(path)
    content = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    listed = content.get("models")
    models = cast("dict[str, Any]", listed) if isinstance(listed, dict) else {}
    return name if len(models) > 1 and name in models else None


def _weights(workload: object) -> Path | None:
    """Return the file of a workload if it contains weights."""
    if isinstance(workload, str | Path) and str(workload).endswith(".onnx"):
        return Path(workload)
    return None
