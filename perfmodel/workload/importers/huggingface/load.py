"""Workload of a Hugging Face ``config.json``.

A config states an architecture (``model_type``) and its sizes; `declarations` maps the keys of each
architecture to the structure of a family of networks. Keys that do not affect the graph are
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from perfmodel.arrays import Value
from perfmodel.caches import GRAPH_BYTES, cached_by_files
from perfmodel.errors import InputError, input_error, nearest, one_of
from perfmodel.pydantic_faults import Flaw, locate
from perfmodel.specfile import Marks, read
from perfmodel.workload.families import family
from perfmodel.workload.importers.huggingface.config import Config
from perfmodel.workload.importers.huggingface.declarations import architectures, structure_of
from perfmodel.workload.library import ModelEntry, model_entry, with_settings
from perfmodel.workload.workload import Workload
from perfmodel.workload.workload_file import structure_flaws


def supported() -> list[str]:
    """Return the values of ``model_type`` that can be read."""
    return sorted(architectures())


def load_config(path: Path, settings: Mapping[str, Value] | None = None) -> Workload:
    """Return the workload of a Hugging Face ``config.json``.

    Parameters
    ----------
    path
        The file; its folder names the workload if the config does not.
    settings
        As in `perfmodel.workload.library.find`: free dimensions, and fields of the structure.

    Raises
    ------
    InputError
        All faults of the file or of the settings, each with its location.
    """
    model = _model_of(path)
    return with_settings(model, settings) if settings else model.base


@cached_by_files(GRAPH_BYTES)
def _model_of(path: Path) -> tuple[ModelEntry, list[Path]]:
    return parse(*read(path, json_text=True), path), [path]


def parse(data: Any, marks: Marks, path: Path) -> ModelEntry:
    """Return the library entry described by a parsed config.

    Raises
    ------
    InputError
        All faults, each with its location.
    """
    file = str(path)
    if not isinstance(data, dict):
        raise input_error(
            "is not a mapping", file=file, line=1, column=1, expected="a config with a 'model_type'"
        )
    plain = cast("dict[str, Any]", data)
    architecture = plain.get("model_type", _architecture_of_class(plain))
    if not isinstance(architecture, str) or architecture not in architectures():
        raise InputError(locate([_unknown_type(plain, architecture)], marks, file))
    config = Config(plain)
    name, structure = structure_of(architecture, config)
    kind = family(name)
    flaws = config.flaws or list(map(config.at_config_key, structure_flaws(kind, structure)))
    if flaws:
        raise InputError(locate(flaws, marks, file))
    return model_entry(
        _name(plain, path),
        kind,
        kind.structure.model_validate(structure),
        path,
        config.defaults,
        precision=_precision(plain, config),
        notes=tuple(config.notes),
        trained_context=_longest_context(plain),
    )


def _longest_context(data: Mapping[str, Any]) -> int:
    """Return the longest context that a config states, after rope scaling; 0 if it states none.

    The largest of ``max_position_embeddings`` and ``factor * original_max_position_embeddings``.
    """
    inner = data.get("text_config")
    if isinstance(inner, Mapping):
        return _longest_context(cast("dict[str, Any]", inner))
    lengths: list[Any] = [data.get("max_position_embeddings", data.get("n_positions"))]
    scaling = data.get("rope_scaling")
    if isinstance(scaling, Mapping):
        stated = cast("dict[str, Any]", scaling)
        factor, first = stated.get("factor"), stated.get("original_max_position_embeddings")
        if isinstance(factor, int | float) and isinstance(first, int | float):
            lengths.append(first * factor)
    return int(max((n for n in lengths if type(n) in (int, float) and 0 < n < 1e12), default=0))


def _architecture_of_class(data: Mapping[str, Any]) -> str | None:
    """Return the architecture of a config that names only a class, such as SmallThinker's."""
    classes = data.get("architectures")
    first = cast("list[Any]", classes)[0] if isinstance(classes, list) and classes else None
    if "model_type" in data or not isinstance(first, str):
        return None
    name = first.removesuffix("ForCausalLM")
    return name.lower() if name != first and name.lower() in architectures() else None


def _unknown_type(data: Mapping[str, Any], architecture: Any) -> Flaw:
    """Return the flaw of a missing, misspelled or unsupported ``model_type``."""
    expected = one_of(supported())
    if "model_type" not in data:
        misspelled_key = nearest(
            "model_type", [key for key in data if key not in ("model", "type")], 0.8
        )
        if misspelled_key:
            return Flaw(
                (misspelled_key,), f"unknown key '{misspelled_key}'", "", "model_type", on_key=True
            )
        return Flaw((), "missing key 'model_type'", expected, on_key=True)
    if not isinstance(architecture, str):
        return Flaw(("model_type",), f"{architecture!r} is not a text", expected)
    suggestion = nearest(architecture, architectures())
    message = f"no reader for the architecture '{architecture}'"
    return Flaw(("model_type",), message, "" if suggestion else expected, suggestion)


def _name(data: Mapping[str, Any], path: Path) -> str:
    """Return the name of the network: as stated, else that of the folder or file."""
    stated = data.get("_name_or_path")
    text = stated.rstrip("/").rpartition("/")[2] if isinstance(stated, str) else ""
    if not text:
        text = path.resolve().parent.name if path.name == "config.json" else path.name
        text = text.removesuffix(".config.json").removesuffix(".json")
    return text or str(data.get("model_type", "model"))


def _precision(data: Mapping[str, Any], config: Config) -> str:
    """Return the precision that a quantised checkpoint fixes; empty for other checkpoints."""
    stated = data.get("quantization_config")
    if not isinstance(stated, Mapping):
        return ""
    quantised = cast("Mapping[str, Any]", stated)
    method, bits, group = (quantised.get(k) for k in ("quant_method", "bits", "group_size"))
    if method in ("gptq", "awq") and bits in (2, 3, 4, 8):
        grouped = f"g{group}" if isinstance(group, int) and group > 0 else ""
        return f"w{bits}{grouped}a16"
    if method == "bitnet":
        return "w=ternary_head_fp16,a=int8,kv=fp16"
    if method == "fp8":
        return "w=fp8_e4m3,a=fp8_e4m3,kv=bf16"
    config.notes.append(f"quantisation '{method}' of the checkpoint is not read: state a precision")
    return ""
