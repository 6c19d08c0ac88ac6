"""Fine-tuning on a device: which parts of a network can be trained within its memory."""

from perfmodel.search.finetune.run import finetune

__all__ = ["finetune"]
