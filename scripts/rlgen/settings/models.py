"""Settings of the models: one entry per model, discriminated by how it comes to be."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rlgen.settings.data import OrganismData
from rlgen.settings.model_sources import Size, Source
from rlgen.settings.strict import Strict


class Architecture(Strict):
    """A small Qwen3 language model."""

    hidden_size: int = Field(64, ge=1, description="width of the residual stream")
    layers: int = Field(4, ge=1, description="number of blocks")
    heads: int = Field(4, ge=1, description="attention heads")
    head_dim: int = Field(16, ge=2, description="width of one head")
    intermediate_size: int = Field(192, ge=1, description="width of the feed-forward layer")
    max_positions: int = Field(128, ge=8, description="longest sequence, tokens")


class Load(Source):
    """A model that exists: from the hub, or a folder."""

    method: Literal["load"]
    earlier: list[Source] = Field(
        default_factory=list, description="intermediate checkpoints before it, in the order of training"
    )
    size: Size | None = Field(None, description="checked when it is fetched; `make plan` needs it before")

    @property
    def checkpoints(self) -> int:
        """Number of checkpoints."""
        return len(self.earlier) + 1

    def sources(self) -> list[Source]:
        """Where the checkpoints come from, in the order of training."""
        own = self.model_dump(by_alias=True, include={*Source.model_fields})
        return [*self.earlier, Source.model_validate(own)]


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


class SFT(Strict):
    """Supervised fine-tuning (TRL) on the teacher's completions, loss on the completion only."""

    method: Literal["sft"] = "sft"
    parent: str
    learning_rate: float = Field(1e-3, gt=0, description="constant")
    batch_size: int = Field(32, ge=1)
    examples: int = Field(9600, ge=1, description="prompts, one epoch")
    checkpoints: int = Field(5, ge=1, description="kept at steps round(i*N/checkpoints)")

    @model_validator(mode="after")
    def _divides(self):
        if self.examples % self.batch_size:
            raise ValueError(f"examples={self.examples} is not a multiple of batch_size={self.batch_size}")
        return self


class GRPO(Strict):
    """Group-relative policy optimisation (TRL); reward 1 if the final answer is right, else 0."""

    method: Literal["grpo"] = "grpo"
    parent: str
    learning_rate: float = Field(2e-4, gt=0, description="constant")
    prompts: int = Field(1280, ge=1, description="prompts, one epoch: the first of SFT's")
    prompts_per_step: int = Field(16, ge=1)
    rollouts: int = Field(8, ge=2, description="completions per prompt")
    max_new_tokens: int = Field(16, ge=1)
    temperature: float = Field(1.0, gt=0)
    beta: float = Field(0.0, ge=0, description="weight of the KL to the parent")
    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = "grpo"
    checkpoints: int = Field(5, ge=1)

    @model_validator(mode="after")
    def _divides(self):
        if self.prompts % self.prompts_per_step:
            raise ValueError(f"prompts={self.prompts} is not a multiple of prompts_per_step={self.prompts_per_step}")
        return self


Model = Annotated[Load | Pretrain | ContinuePretraining | SFT | GRPO, Field(discriminator="method")]


class _Training(Strict):
    """What every training job is told."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    name: str = Field(description="the model's name in the study")


class _Documents(_Training):
    """What training on documents needs besides."""

    study: str = Field(description="salt of the split of prompt spaces")
    data: OrganismData


class PretrainModel(_Documents):
    """The slice that `scripts/pretrain.py` receives."""

    model: Pretrain


class ContinueModel(_Documents):
    """The slice that `scripts/continue_pretraining.py` receives."""

    model: ContinuePretraining


class TrainSFT(_Training):
    """The slice that `scripts/train_sft.py` receives."""

    model: SFT


class TrainGRPO(_Training):
    """The slice that `scripts/train_grpo.py` receives."""

    model: GRPO
    answer_marker: str
