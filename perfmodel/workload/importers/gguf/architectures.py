"""Table of the GGUF architectures that can be imported: `ARCHITECTURES`.

The key ``general.architecture`` of a file selects a reader, which returns the family of networks,
the fields of its structure, and the group of each layer. Names of keys and tensors are common to
all architectures (ggml-org/llama.cpp, gguf-py/gguf/constants.py), so that there are only two
readers: `TransformerReader`, with a line of ``workloads/gguf/decoders.yaml`` for each architecture,
and one for recurrent networks, with a section of ``workloads/gguf/keys.yaml`` for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from perfmodel.specfile import shipped
from perfmodel.workload.importers.gguf.header_keys import GgufKeys
from perfmodel.workload.importers.gguf.transformer_reader import (
    GgufStructure,
    Sliding,
    TransformerReader,
    declared_fields,
)


def _recurrent(keys: GgufKeys, declared: Mapping[str, Any]) -> GgufStructure:
    """Return the structure of a recurrent network, whose state has a fixed size."""
    fields = declared_fields(keys, declared)
    # `_inner`, the channels of all heads, is not a field of the structure but determines one.
    channels = fields.pop("_inner", 0)
    if channels:
        heads = fields["heads"]
        if channels % heads:
            message = f"{channels} channels cannot be divided into {heads} heads"
            keys.refuse("ssm.inner_size", message, f"a multiple of {heads}")
        fields["head_dim"] = max(channels // heads, 1)
    return GgufStructure(declared["family"], fields, ("layer",) * fields["layers"])


def _transformer_reader(
    sliding: Mapping[str, Any] | None = None, **stated: Any
) -> TransformerReader:
    """Return the reader of an architecture from its line of ``decoders.yaml``."""
    return TransformerReader(sliding=Sliding(**sliding) if sliding else None, **stated)


#: ``general.architecture`` -> function that reads the structure from a header.
ARCHITECTURES: Final[Mapping[str, Callable[[GgufKeys], GgufStructure]]] = {
    **{
        name: _transformer_reader(**stated)
        for name, stated in shipped("workloads", "gguf/decoders.yaml").items()
    },
    **{
        name: partial(_recurrent, declared=declared)
        for name, declared in shipped("workloads", "gguf/keys.yaml")["recurrent"].items()
    },
}
