"""References of a result: the public function `cite`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, WorkloadLike

if TYPE_CHECKING:
    from perfmodel.prediction.citations import Citations
    from perfmodel.table import Table


def cite(
    workload: WorkloadLike | Prediction | Table,
    device: DeviceLike | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    model: str | None = None,
    warm: bool = False,
    fuse: bool | None = None,
    flash_attention: bool | None = None,
    overlay: str | Path | None = None,
) -> Citations:
    """Return the documents behind a result: its equations, facts, runtime constants and networks.

    Parameters
    ----------
    workload
        As for `predict`. A device is needed too. In Python also a prediction, or a table of a
        sweep, without a device.
    device, set, precision, runtime, engine, model, warm, fuse, flash_attention, overlay
        As for `predict`.

    Returns
    -------
    Citations
        ``print`` it; ``bibtex()``, ``to_dict()``, ``references``.

    Raises
    ------
    InputError
        A workload without a device, a table without the columns that say what was predicted, or
        what `predict` refuses.

    Examples
    --------
    >>> import perfmodel as pm
    >>> "eyeriss" in str(pm.cite("resnet18", "eyeriss")).lower()
    True
    """
    from perfmodel.prediction.citations import citations, merged

    if isinstance(workload, Prediction):
        return citations(workload)
    if hasattr(workload, "to_records"):
        cases = cited_cases(cast("Table", workload))
        each = [
            citations(predict(*case[:2], runtime=case[2], precision=case[3] or None))
            for case in cases
        ]
        noun = "result" if len(each) == 1 else "kinds of result"
        return merged(each, f"a table of {len(each)} {noun}")
    if device is None:
        raise input_error(
            "a workload alone has no references",
            expected="a device beside the workload, a prediction, or a table",
        )
    return citations(
        predict(
            cast("WorkloadLike", workload),
            device,
            set=set,
            precision=precision,
            runtime=runtime,
            engine=engine,
            model=model,
            warm=warm,
            fuse=fuse,
            flash_attention=flash_attention,
            overlay=overlay,
        )
    )


def cited_cases(table: Table) -> list[tuple[str, str, str, str]]:
    """Return the distinct predictions of a table: workload, device, runtime, precision.

    Raises
    ------
    InputError
        The table has no column of that name.
    """
    needed = ("workload", "device", "runtime", "precision")
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError(
            [
                Fault(f"the table has no column '{name}'", expected="a table of `sweep`")
                for name in missing
            ]
        )
    columns = [[str(text) for text in table[name]] for name in needed]
    return list(dict.fromkeys(zip(*columns, strict=True)))
