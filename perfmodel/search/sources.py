"""Accuracy models by name and file, as command lines and problem files give them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.search.space import ConfigurationSpace
from perfmodel.workload.nas_spaces import ArchitectureSpace

#: Noise of real weights; a table of sensitivities, or of accuracies of architectures; traces.
SourceKind: TypeAlias = Literal["sqnr", "table", "hawq"]

KINDS: Final[tuple[SourceKind, ...]] = ("sqnr", "table", "hawq")
_FORMS: Final = "sqnr[:WEIGHTS], table:FILE or hawq:FILE"


@dataclass(frozen=True, slots=True)
class AccuracySource:
    """Where the loss comes from.

    Attributes
    ----------
    kind
        ``sqnr``: quantisation and pruning noise of real weights (`perfmodel.search.accuracy.sqnr`);
        ``table``: sensitivities a layer x option (`table`), for a space of architectures measured
        accuracies (`architectures`); ``hawq``: traces of Hessians (`hawq`).
    path
        File; None for ``sqnr`` of the workload's own ONNX file.
    calibration
        Of ``sqnr``: file of activations.
    model, layers
        Of ``hawq`` in JSON: which of the file's models, and the names of its layers in order. By
        default the model of the workload's name, and where there are as many layers as are decided,
        those in order.
    weights
        Of ``hawq``: weights, for options whose change the file does not hold.
    accuracy, architecture
        Of ``table`` for architectures: its columns.
    """

    kind: SourceKind
    path: Path | None = None
    calibration: Path | None = None
    model: str | None = None
    layers: tuple[str, ...] | None = None
    weights: Path | None = None
    accuracy: str = "accuracy"
    architecture: str = ""


def parse_source(text: str, calibration: Path | None = None) -> AccuracySource:
    """Read ``sqnr``, ``sqnr:net.onnx``, ``table:losses.csv``, ``hawq:traces.csv``.

    Raises
    ------
    InputError
        No such kind, or a file that is missing.
    """
    kind, _, path = text.partition(":")
    known = kind if kind in KINDS else None
    if known is None:
        meant = nearest(kind, KINDS)
        raise input_error(
            f"'{text}' is no source of accuracy",
            path="accuracy",
            expected=_FORMS,
            suggestion=f"{meant}:{path}" if meant and path else meant,
        )
    faults: list[Fault] = []
    if not path and known != "sqnr":
        faults.append(Fault(f"'{text}' names no file", path="accuracy", expected=f"{known}:FILE"))
    if calibration is not None and known != "sqnr":
        faults.append(_no_calibration(known))
    if faults:
        raise InputError(faults)
    return AccuracySource(known, Path(path) if path else None, calibration)


def _no_calibration(kind: str) -> Fault:
    return Fault(
        f"'{kind}' has no use for a calibration",
        path="accuracy.calibration",
        expected="a calibration with sqnr alone",
    )


def source_faults(source: AccuracySource, given: object) -> list[Fault]:
    """Return what is missing in a source, or has no place there.

    Parameters
    ----------
    given
        What was given as the workload.
    """
    faults: list[Fault] = []
    if source.path is None and source.kind != "sqnr":
        faults.append(
            Fault(f"'{source.kind}' of which file?", path="accuracy.path", expected="a path")
        )
    if source.path is None and source.kind == "sqnr" and _weights(given) is None:
        faults.append(
            Fault(
                "sqnr of which weights? the workload is no file that holds any",
                path="accuracy",
                expected="an .onnx or .safetensors file",
            )
        )
    if source.calibration is not None and source.kind != "sqnr":
        faults.append(_no_calibration(source.kind))
    return faults


def accuracy_of(source: AccuracySource, space: Any, given: object) -> Any:
    """Return the model of a source for a space.

    Raises
    ------
    InputError
        Every fault of the source and its files.
    """
    from perfmodel.search import accuracy

    faults = source_faults(source, given)
    if faults:
        raise InputError(faults)
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
        weights = source.path or _weights(given)
        assert weights is not None
        return accuracy.sqnr(weights, source.calibration)
    assert source.path is not None
    if source.kind == "table":
        return accuracy.table(source.path)
    return _hawq(source, space)


def _hawq(source: AccuracySource, space: ConfigurationSpace) -> Any:
    from perfmodel.search.accuracy import hawq
    from perfmodel.search.losses import layer_decisions

    assert source.path is not None
    model = source.model
    if model is None and source.path.suffix.lower() == ".json":
        model = _model_named(source.path, space.name)
    made = hawq(source.path, model=model, layers=source.layers, weights=source.weights)
    decided = [each.layer for each in layer_decisions(space)]
    numbered = made.layers == tuple(str(i) for i in range(len(decided)))
    if source.layers is None and decided and numbered:
        made = hawq(source.path, model=model, layers=decided, weights=source.weights)
        made = replace(made, name=f"{made.name}, its layers taken in order")
    return made


def _model_named(path: Path, name: str) -> str | None:
    """Return the workload's name where a file of several models has one of that name."""
    from perfmodel.specfile import read

    data, _ = read(path)
    whole = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    given = whole.get("models")
    models = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    return name if len(models) > 1 and name in models else None


def _weights(given: object) -> Path | None:
    """Return the file of a workload where it holds weights."""
    if isinstance(given, str | Path) and str(given).endswith(".onnx"):
        return Path(given)
    return None
