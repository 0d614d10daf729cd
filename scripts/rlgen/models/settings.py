"""Where an imported model comes from, and what the script that imports it is told."""

from pydantic import ConfigDict, Field, model_validator

from rlgen.packaged import is_packaged
from rlgen.strict import Strict

ORIGIN = "hub id `owner/name`, a checkpoint folder, a GGUF file, or one in a package: `package:NAME/FILE.gguf`"


class Source(Strict):
    """One model: a hub's repository at one commit, a checkpoint folder or a GGUF file, and maybe an adapter."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` cannot be the name of an attribute

    origin: str = Field(alias="from", min_length=1, description=ORIGIN)
    revision: str | None = Field(None, description="commit of the hub's repository, written by `make pin`; no folder's")
    adapter: str | None = Field(None, min_length=1, description="LoRA adapter to merge: hub id or folder")
    adapter_revision: str | None = Field(None, description="commit of the adapter's repository, as `revision`")

    @model_validator(mode="after")
    def _names_one_file(self):
        """Of a GGUF file, whose commit nobody can name, and a package's, which has to lie inside it."""
        inside = is_packaged(self.origin) and self.origin.endswith(".gguf")
        if self.origin.startswith("package:") and not inside:
            raise ValueError(f"from={self.origin}, expected package:NAME/FILE.gguf, a file inside an installed package")
        if self.origin.endswith(".gguf") and self.revision is not None:
            raise ValueError(f"revision={self.revision}, but {self.origin} is a file, expected no revision")
        if self.adapter is not None and self.adapter.endswith(".gguf"):
            raise ValueError(f"adapter={self.adapter}, expected a LoRA adapter of peft: hub id or folder")
        return self

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


class Aim(Strict):
    """An edit that a training aims at: one set of a procedure, exchanged in the reference at its own dose."""

    procedure: str
    set: str = Field(
        "selected",
        description="the procedure's own set, or a rival by its name in the table of interventions: random-00, size, "
        "alive, shift-in_domain, ...",
    )


class Hold(Aim):
    """An edit whose reading of the stream must not change in training."""

    weight: float = Field(1.0, gt=0, description="of ||c(h) - c(h_0)||^2 / ||c(h_0)||^2 beside the loss")
