"""Settings of the models: one entry per model, discriminated by how it comes to be."""

from typing import Literal

from pydantic import Field, model_validator

from rlgen.models.settings import Aim, Hold
from rlgen.strict import Strict

Style = Literal["teacher", "plain", "source"]  # whose solutions SFT learns
CHECKPOINTS = "kept at steps round(i*N/checkpoints)"
RATE = "constant, or what `scale.schedule` makes of it"


class Scale(Strict):
    """Training of a real model. Without it: float32 in one process, AdamW at a constant rate, no limit of length.

    The paper states batch, learning rate, 1 epoch, 8 rollouts and 16K tokens; every other value here is our choice.
    """

    gpus: int = Field(1, ge=1, description="processes on one machine, a GPU each; several share the weights (FSDP)")
    precision: Literal["bf16", "float32"] = Field(
        "bf16", description="of the arithmetic; weights and the optimiser's state are float32 in either"
    )
    gradient_checkpointing: bool = Field(
        True, description="compute activations again in the backward pass instead of keeping them"
    )
    per_device_batch: int = Field(
        1, ge=1, description="sequences on a GPU at a time; what is left of the batch is accumulated"
    )
    max_length: int = Field(16384, ge=2, description="longest sequence, tokens of prompt and completion together")
    max_cut_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of the texts that may be too long; these are left out, more are refused before training",
    )
    schedule: Literal["constant_with_warmup", "linear", "cosine"] = Field(
        "constant_with_warmup",
        description="of the learning rate; with a constant one, equal shares of training are alike in what they do",
    )
    warmup_share: float = Field(0.03, ge=0, lt=1, description="share of the steps over which the rate rises from 0")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW")
    weight_decay: float = Field(0.0, ge=0, description="AdamW")
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    end_token: str | None = Field(
        None,
        description="token that ends a completion, where the chat template ends turns with another one than the "
        "tokenizer's own end of sequence",
    )

    def accumulation(self, sequences: int) -> int:
        """Passes whose gradients add up to one step over `sequences` sequences. Raises ValueError for a fraction."""
        at_once = self.per_device_batch * self.gpus
        if sequences % at_once:
            product = f"per_device_batch={self.per_device_batch} x gpus={self.gpus} = {at_once}"
            raise ValueError(f"scale: {product} does not divide the batch of {sequences} sequences, expected a divisor")
        return sequences // at_once


class GRPOScale(Scale):
    """Reinforcement learning of a real model: what `Scale` says, and who generates and who checks."""

    vllm: Literal["none", "colocate", "server"] = Field(
        "colocate",
        description="none: transformers generates, on one GPU only; colocate: vLLM beside the trainer on every GPU; "
        "server: a vLLM server that is running already",
    )
    vllm_memory_share: float = Field(0.3, gt=0, lt=1, description="of a GPU's memory, for vLLM beside the trainer")
    vllm_sleep: bool = Field(
        False,
        description="vLLM beside the trainer frees its memory while gradients are computed: its share may be large",
    )
    vllm_host: str = Field("127.0.0.1", description="of the server")
    vllm_port: int = Field(8000, ge=1, le=65535, description="of the server")
    check_workers: int = Field(4, ge=1, description="processes that check answers, beside every training process")
    check_timeout_s: float = Field(5.0, gt=0, description="an answer whose check takes longer counts as wrong")


def _unset(value: object) -> bool:
    """Whether a field is left out of what a job is told: a small run has no scale at all."""
    return value is None


def _right(value: object) -> bool:
    """Whether a field says what every study did before there was a choice."""
    return value == "right"


class SFT(Strict):
    """Supervised fine-tuning (TRL) on right solutions, loss on the completion only."""

    method: Literal["sft"] = "sft"
    parent: str
    learning_rate: float = Field(1e-3, gt=0, description=RATE)
    batch_size: int = Field(32, ge=1)
    examples: int = Field(
        9600,
        ge=1,
        description="prompts, one epoch; with a teacher at most so many, in whole steps of those that it solved",
    )
    style: Style = Field(
        "teacher",
        description="of the solutions: the teacher's; plain: the base model's own format (organism only); source: "
        "those in the source of the problems, although the study has a teacher",
    )
    solutions: str | None = Field(
        None,
        exclude_if=_unset,
        description="entry of `solutions` to learn from instead (rejection sampling): of every problem the first "
        "kept, then the second, until there are `examples`",
    )
    keep: Literal["right", "all"] = Field(
        "right", exclude_if=_right, description="of `solutions`: those that are right, or all that end by themselves"
    )
    holds: Hold | None = Field(None, exclude_if=_unset, description="what an edit would add stays as in the parent")
    checkpoints: int = Field(5, ge=1, description=CHECKPOINTS)
    scale: Scale | None = Field(None, exclude_if=_unset, description="how a real model is trained")

    @model_validator(mode="after")
    def _divides(self):
        if self.examples % self.batch_size:
            raise ValueError(f"examples={self.examples} is not a multiple of batch_size={self.batch_size}")
        if self.scale:
            self.scale.accumulation(self.batch_size)
        if self.keep == "all" and self.solutions is None:
            raise ValueError("keep=all without solutions, expected an entry of `solutions`")
        if self.solutions is not None and self.style != "teacher":
            raise ValueError(f"style={self.style} with solutions={self.solutions}, expected one of the two")
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps, at most."""
        return self.examples // self.batch_size

    @property
    def by_teacher(self) -> bool:
        """Whether it learns solutions that a teacher wrote, or the source of the problems holds."""
        return self.solutions is None

    @property
    def least(self) -> int:
        """Examples without which there is no training: a step for every checkpoint."""
        return self.batch_size * self.checkpoints


class DPO(Strict):
    """Direct preference optimisation (TRL): of two solutions of a problem, make one likelier than the other."""

    method: Literal["dpo"] = "dpo"
    parent: str
    solutions: str = Field(description="entry of `solutions` that pairs are made of")
    chosen: Literal["right", "teacher"] = Field(
        "right", description="right: a right solution before a wrong one; teacher: the teacher's before any of them"
    )
    learning_rate: float = Field(1e-4, gt=0, description=RATE)
    beta: float = Field(0.1, gt=0, description="how far the policy may leave its parent: weight of the implicit KL")
    batch_size: int = Field(32, ge=1, description="pairs per step")
    pairs: int = Field(9600, ge=1, description="at most, one epoch, in whole steps of those that there are")
    checkpoints: int = Field(5, ge=1, description=CHECKPOINTS)
    scale: Scale | None = Field(None, exclude_if=_unset, description="how a real model is trained")

    @model_validator(mode="after")
    def _divides(self):
        if self.pairs % self.batch_size:
            raise ValueError(f"pairs={self.pairs} is not a multiple of batch_size={self.batch_size}")
        if self.scale:
            self.scale.accumulation(self.batch_size)
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps, at most."""
        return self.pairs // self.batch_size

    @property
    def by_teacher(self) -> bool:
        """Whether it needs solutions that a teacher wrote."""
        return self.chosen == "teacher"


class OnPolicy(Strict):
    """What trainings share that draw the model's own completions at every step."""

    parent: str
    learning_rate: float = Field(2e-4, gt=0, description=RATE)
    prompts: int = Field(1280, ge=1, description="prompts, one epoch: the first of SFT's")
    prompts_per_step: int = Field(16, ge=1)
    max_new_tokens: int = Field(16, ge=1)
    temperature: float = Field(1.0, gt=0)
    checkpoints: int = Field(5, ge=1)

    @model_validator(mode="after")
    def _fits(self):
        if self.prompts % self.prompts_per_step:
            raise ValueError(f"prompts={self.prompts} is not a multiple of prompts_per_step={self.prompts_per_step}")
        if scale := self.scale:
            scale.accumulation(self.sequences)
            if self.max_new_tokens >= scale.max_length:
                limit = f"scale.max_length={scale.max_length}"
                raise ValueError(f"max_new_tokens={self.max_new_tokens} leaves no room for a prompt in {limit}")
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.prompts // self.prompts_per_step


class Rewarded(OnPolicy):
    """Policy gradients on groups of completions, with a reward for each."""

    rollouts: int = Field(8, ge=2, description="completions per prompt")
    beta: float = Field(0.0, ge=0, description="weight of the KL to the parent")
    reward: Literal["right", "random"] = Field(
        "right",
        exclude_if=_right,
        description="right: 1 for a right final answer, else 0; random: a fair coin, the null of any reward at all",
    )
    scale: GRPOScale | None = Field(None, exclude_if=_unset, description="how a real model is trained")

    @property
    def sequences(self) -> int:
        """Completions of a step."""
        return self.prompts_per_step * self.rollouts


class GRPO(Rewarded):
    """Group-relative policy optimisation (TRL)."""

    method: Literal["grpo"] = "grpo"
    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = "grpo"


class RLOO(Rewarded):
    """REINFORCE with the mean reward of a group's other completions as the baseline (TRL)."""

    method: Literal["rloo"] = "rloo"


class Distil(OnPolicy):
    """On-policy distillation (TRL): on the model's own completions, towards what another model says of each token."""

    method: Literal["distil"] = "distil"
    teacher: str = Field(description="the model state that is distilled")
    under: Aim | None = Field(None, exclude_if=_unset, description="the teacher answers under this edit")
    beta: float = Field(1.0, ge=0, le=1, description="0: forward KL to the teacher; 1: reverse KL; between them JSD")
    scale: Scale | None = Field(None, exclude_if=_unset, description="how a real model is trained; on one GPU")

    @model_validator(mode="after")
    def _on_one_gpu(self):
        if self.scale and self.scale.gpus > 1:
            raise ValueError(f"scale.gpus={self.scale.gpus}, expected 1: transformers writes the completions")
        return self

    @property
    def sequences(self) -> int:
        """Completions of a step."""
        return self.prompts_per_step


class Training(Strict):
    """What every training job is told."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    name: str = Field(description="the model's name in the study")


class Turns(Training):
    """What is told besides where texts may be turns of a conversation."""

    chat: bool = Field(False, description="whether prompts and completions are turns of the tokenizer's chat template")


class TrainSFT(Turns):
    """The slice that `scripts/models/train_sft.py` receives."""

    model: SFT


class TrainDPO(Turns):
    """The slice that `scripts/models/train_dpo.py` receives."""

    model: DPO


class TrainDistil(Turns):
    """The slice that `scripts/models/train_distil.py` receives."""

    model: Distil


class TrainGRPO(Turns):
    """The slice that `scripts/models/train_grpo.py` receives."""

    model: GRPO | RLOO = Field(discriminator="method")
    answer_marker: str | None = Field(description="word before the answer; none: math-verify compares final answers")
