"""Programs of torch.export: ``.pt2`` files, read without torch, and programs in memory."""

from perfmodel.workload.importers.torch_export.load import load_exported, load_pt2

__all__ = ["load_exported", "load_pt2"]
