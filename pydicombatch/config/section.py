"""What every section has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen and closed: a typo is an error, never a default."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=False,
        defer_build=True,  # only the whole is ever validated: its parts need no validator
    )
