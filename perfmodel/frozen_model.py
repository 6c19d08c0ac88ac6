"""Base class of the immutable data models that are read from YAML and JSON files.

Specs of hardware, structures of networks and search problems derive from `FrozenModel`: pydantic
checks their fields on creation, unknown keys are errors, and instances can be shared and hashed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0, le=10**5)]
"""A number of channels, heads, layers and their like."""
SmallCount = Annotated[int, Field(gt=0, le=10**4)]
"""The same where more than ten thousand would be a slip."""
LargeCount = Annotated[int, Field(gt=0, le=10**7, strict=True)]
"""A width or a number of layers, heads, experts."""
LargeCountOrNone = Annotated[int, Field(ge=0, le=10**7, strict=True)]
"""A width or a number, or 0 for none."""


class FrozenModel(BaseModel):
    """Immutable pydantic model, validated on creation, without additional fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
