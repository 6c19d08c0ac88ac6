"""Structure of each Hugging Face architecture, from the keys of its config.

Each architecture is declared in a file of ``workloads/huggingface`` (format in `declared`);
structure that cannot be declared is computed by Python functions in `parts`. Sizes follow the model
classes of transformers. Defaults of these classes, which published configs often omit, are part of
the declaration.
"""

from perfmodel.workload.importers.huggingface_models.config import Config, StructureFields
from perfmodel.workload.importers.huggingface_models.declared import architectures, structure_of

__all__ = ["Config", "StructureFields", "architectures", "structure_of"]
