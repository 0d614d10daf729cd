"""Settings of the machine that runs a study. No result depends on them, so no rule's slice holds them."""

from typing import Literal

from pydantic import Field

from rlgen.strict import Strict


class Request(Strict):
    """What a job of one rule asks for on its first attempt. What is left out is the rule's own request."""

    mem_mb: int | None = Field(None, ge=1, description="memory, 1e6 bytes; more with every attempt")
    runtime: int | None = Field(None, ge=1, description="minutes; more with every attempt")


class Machine(Strict):
    """How jobs run here."""

    device: Literal["auto", "cpu"] = Field("auto", description="auto: a graphics processor where a job is given one")
    log: Literal["progress", "quiet"] = Field("progress", description="whether jobs write progress into their logs")
    state_every_s: float = Field(120, ge=0, description="seconds between two states that a killed job continues from")

    requests: dict[str, Request] = Field(
        default_factory=dict, description="script, as `train_sft` or `harvest` -> what its jobs ask for"
    )

    def environment(self) -> dict[str, str]:
        """The environment variables that jobs read."""
        return {"RLGEN_DEVICE": self.device, "RLGEN_LOG": self.log, "RLGEN_STATE_S": f"{self.state_every_s:g}"}
