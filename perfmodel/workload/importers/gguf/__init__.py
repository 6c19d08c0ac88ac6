"""GGUF files (llama.cpp) as workloads: the header says the network and how it is stored."""

from perfmodel.workload.importers.gguf.load import load_gguf

__all__ = ["load_gguf"]
