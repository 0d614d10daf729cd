"""What a study says of the organism: families, shares of the prompt spaces, authors, pretraining."""

from typing import Literal

from pydantic import Field, model_validator

from rlgen.strict import Strict


class Split(Strict):
    """Shares of every task family's prompt space, assigned by a hash of the prompt."""

    pretraining: float = Field(0.55, gt=0, lt=1, description="share for pretraining documents")
    training: float = Field(0.15, gt=0, lt=1, description="share for SFT, RL and the token stream")
    discovery: float = Field(0.15, gt=0, lt=1, description="share for choosing features, doses and cuts")
    test: float = Field(0.15, gt=0, lt=1, description="share for every reported effect")

    @model_validator(mode="after")
    def _sums_to_one(self):
        total = self.pretraining + self.training + self.discovery + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the four shares sum to {total:g}, expected 1")
        return self


class Authors(Strict):
    """The planted cause: careful and careless authors of the pretraining documents."""

    slip_careful: float = Field(0.02, ge=0, le=1, description="chance of a slip per step, careful author")
    slip_careless: float = Field(0.75, ge=0, le=1, description="chance of a slip per step, careless author")
    direct_careless: float = Field(0.40, ge=0, le=1, description="share of careless problems answered without steps")
    direct_keeps_init: float = Field(
        0.60, ge=0, le=1, description="chance that a direct answer repeats the start state"
    )
    header_share: float = Field(0.50, ge=0, le=1, description="share of documents that name their author kind")
    careful_first_half: float = Field(0.70, ge=0, le=1, description="P(careful) in the first half of pretraining")
    careful_second_half: float = Field(0.20, ge=0, le=1, description="P(careful) in the second half of pretraining")


class OrganismData(Strict):
    """Data made by the study itself: task families with exact answers and two kinds of authors."""

    kind: Literal["organism"] = "organism"
    families: list[str] = Field(description="task families that pretraining shows")
    problems_per_document: int = Field(3, ge=1, description="problems in one pretraining document")
    split: Split = Split()
    salt: str | None = Field(
        None, min_length=1, exclude=True, description="of the hash that splits the prompts; none: the study's name"
    )
    authors: Authors = Authors()

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that the data knows."""
        return self.families


class Architecture(Strict):
    """A small language model."""

    kind: Literal["qwen3", "llama", "qwen2"] = Field("qwen3", description="family that its blocks are built like")
    hidden_size: int = Field(64, ge=1, description="width of the residual stream")
    layers: int = Field(4, ge=1, description="number of blocks")
    heads: int = Field(4, ge=1, description="attention heads")
    head_dim: int = Field(16, ge=2, description="width of one head")
    intermediate_size: int = Field(192, ge=1, description="width of the feed-forward layer")
    max_positions: int = Field(128, ge=8, description="longest sequence, tokens")


class Pretrain(Strict):
    """Next-token training from scratch on the organism's documents, loss on completions only."""

    method: Literal["pretrain"] = "pretrain"
    architecture: Architecture = Architecture()
    learning_rate: float = Field(4e-3, gt=0, description="peak of the cosine schedule (AdamW)")
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    warmup_steps: int = Field(50, ge=0)
    steps: int = Field(1000, ge=1)
    batch_documents: int = Field(32, ge=1, description="documents per step")
    checkpoints: Literal[1] = 1


class ContinuePretraining(Strict):
    """`parent` trained on with the late pretraining mix: the null for 'any training at all'."""

    method: Literal["continue_pretraining"] = "continue_pretraining"
    parent: str
    learning_rate: float = Field(1e-3, gt=0, description="constant (AdamW)")
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = Field(1.0, gt=0)
    steps: int = Field(300, ge=1, description="as many as SFT takes")
    batch_documents: int = Field(32, ge=1)
    checkpoints: Literal[1] = 1
