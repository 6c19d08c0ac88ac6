"""safetensors files: headers of weights, and networks read from them."""

from perfmodel.workload.importers.safetensors.header import StoredTensor, read_header, read_index

__all__ = ["StoredTensor", "read_header", "read_index"]
