"""What readers of data share: values that are checked when they are made, and never change."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0, le=10**5)]
"""A number of channels, heads, layers and their like."""
SmallCount = Annotated[int, Field(gt=0, le=10**4)]
"""The same where more than ten thousand would be a slip."""


class FrozenModel(BaseModel):
    """A value with the fields that its class names and no others, checked as it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
