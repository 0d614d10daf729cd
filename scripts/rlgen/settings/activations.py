"""What the scripts that read activations are told."""

from rlgen.settings.data import OrganismData
from rlgen.settings.streams import Harvested, OrganismStream, SourcedStream
from rlgen.settings.strict import Strict


class BuildStream(Strict):
    """Settings of one token stream."""

    study: str
    seed: int
    threads: int
    data: OrganismData
    tasks: list[str]
    max_new_tokens: int
    stream: OrganismStream


class BuildMixedStream(Strict):
    """Settings of one part of a stream over sources: the whole, or the held-out part 0 and the windows from 1."""

    seed: int
    threads: int
    part: int
    stream: SourcedStream


class Harvest(Strict):
    """Settings of one model's harvest; `states` in the order of the checkpoint folders."""

    threads: int
    states: list[str]
    stream: Harvested


class HarvestCompletions(Strict):
    """Settings of reading two models on the tuned one's completions."""

    threads: int
    reference: str
    tuned: str
    layer: int
