"""Import of GGUF files (llama.cpp): the header defines the network and its storage formats."""

from perfmodel.workload.importers.gguf.load import load_gguf

__all__ = ["load_gguf"]
