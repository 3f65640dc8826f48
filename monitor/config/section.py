"""What every mapping of probes.yaml has in common."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from monitor.config.quantities import Seconds

Deadline = Annotated[Seconds, Field(gt=0)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Section(BaseModel):
    """A mapping of probes.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, written: Any) -> Any:
        """Read a heading whose keys are all commented out as an empty mapping."""
        return {} if written is None else written
