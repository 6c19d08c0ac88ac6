"""GGUF files of llama.cpp: the header states the network and the storage format of each tensor."""

from perfmodel.workload.importers.gguf.load import load_gguf

__all__ = ["load_gguf"]
