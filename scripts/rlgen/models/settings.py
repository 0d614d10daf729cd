"""Where an imported model comes from, and what the script that imports it is told."""

from pydantic import ConfigDict, Field, model_validator

from rlgen.strict import Strict


class Source(Strict):
    """One model: a repository on the hub at one commit, or a checkpoint folder, with or without a LoRA adapter."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` cannot be the name of an attribute

    origin: str = Field(alias="from", min_length=1, description="hub id `owner/name`, or a checkpoint folder")
    revision: str | None = Field(None, description="commit of the hub's repository, written by `make pin`; no folder's")
    adapter: str | None = Field(None, min_length=1, description="LoRA adapter to merge: hub id or folder")
    adapter_revision: str | None = Field(None, description="commit of the adapter's repository, as `revision`")

    @model_validator(mode="after")
    def _has_the_adapter_it_pins(self):
        if self.adapter is None and self.adapter_revision is not None:
            raise ValueError(f"adapter_revision={self.adapter_revision} without an adapter, expected both or neither")
        return self


class Size(Strict):
    """What a published model's configuration says, so that a study can be checked and planned without the model."""

    blocks: int = Field(ge=1, description="number of blocks")
    hidden_size: int = Field(ge=1, description="width of the residual stream")
    parameters: float = Field(gt=0, description="number of weights")
