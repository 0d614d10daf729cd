"""Settings of the machine that runs a study. No result depends on them, so no rule's slice holds them."""

from typing import Literal

from pydantic import Field

from rlgen.settings.strict import Strict


class Machine(Strict):
    """How jobs run here."""

    device: Literal["auto", "cpu"] = Field("auto", description="auto: a graphics processor where a job is given one")
    log: Literal["progress", "quiet"] = Field("progress", description="whether jobs write progress into their logs")
    state_every_s: float = Field(120, ge=0, description="seconds between two states that a killed job continues from")

    def environment(self) -> dict[str, str]:
        """The environment variables that jobs read."""
        return {"RLGEN_DEVICE": self.device, "RLGEN_LOG": self.log, "RLGEN_STATE_S": f"{self.state_every_s:g}"}
