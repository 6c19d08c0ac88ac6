"""Networks from a Hugging Face ``config.json``, without the transformers package."""

from perfmodel.workload.importers.huggingface.load import load_config, parse, supported

__all__ = ["load_config", "parse", "supported"]
