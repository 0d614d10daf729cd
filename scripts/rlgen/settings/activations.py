"""What the scripts that read activations are told."""

from rlgen.settings.data import OrganismData, Stream
from rlgen.settings.strict import Strict


class BuildStream(Strict):
    """Settings of one token stream."""

    study: str
    seed: int
    threads: int
    data: OrganismData
    tasks: list[str]
    max_new_tokens: int
    stream: Stream


class Harvest(Strict):
    """Settings of one model's harvest; `states` in the order of the checkpoint folders."""

    threads: int
    states: list[str]
    stream: Stream


class HarvestCompletions(Strict):
    """Settings of reading two models on the tuned one's completions."""

    threads: int
    reference: str
    tuned: str
    layer: int
