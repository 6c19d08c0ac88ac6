"""What readers of data share: values that are checked when they are made, and never change."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A value with the fields that its class names and no others, checked as it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
