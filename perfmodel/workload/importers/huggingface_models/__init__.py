"""What each Hugging Face architecture makes of the keys of its config.

An architecture is a file of ``workloads/huggingface`` (`declared` says what it may hold); what no
declaration says is a part in Python, here. Sizes follow the model classes of transformers; where a
published config leaves a key out because it equals the default of its class, that default stands in
the file.
"""

from perfmodel.workload.importers.huggingface_models.config import Config, Made
from perfmodel.workload.importers.huggingface_models.declared import architectures, structure_of

__all__ = ["Config", "Made", "architectures", "structure_of"]
