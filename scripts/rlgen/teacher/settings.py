"""Settings of who writes solutions: the teacher, or models of the study itself."""

from typing import Literal

from pydantic import Field, model_validator

from rlgen.models.settings import Size, Source
from rlgen.strict import Strict


class Teacher(Source):
    """The stronger model that writes completions of the training prompts, and how (docs/method.md, section 1)."""

    size: Size | None = Field(  # no solution depends on what is said of the size: in no slice but the import's
        None, exclude=True, description="checked when it is fetched; `make plan` needs it before"
    )
    samples_per_prompt: int = Field(4, ge=1, description="completions written per prompt")
    keep_per_prompt: int = Field(1, ge=1, description="accepted completions kept per prompt: the first, in their order")
    max_new_tokens: int = Field(16384, ge=1, description="longest completion, tokens; a longer one is not accepted")
    max_model_len: int = Field(20480, ge=2, description="longest prompt and completion together, tokens")
    temperature: float = Field(0.6, ge=0, description="0: greedy")
    top_p: float = Field(0.95, gt=0, le=1, description="share of the probability that tokens are drawn from")
    shards: int = Field(8, ge=1, description="jobs that write; shard i takes the prompts i, i + shards, ...")
    batch_prompts: int = Field(
        256,
        ge=1,
        description="prompts written together, kept as one chunk of a killed job; towards a chunk's end few are left "
        "and GPUs idle, so not less than 256 with vLLM",
    )
    backend: Literal["auto", "vllm", "transformers"] = Field(
        "auto", description="auto: vLLM where it is installed and the job has a GPU, else transformers"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field("bfloat16", description="of the weights that write")
    gpus: int = Field(1, ge=0, description="GPUs of one shard's job, which share the model")
    answer_timeout_s: float = Field(
        5.0, gt=0, description="processor time for judging one answer, then it is not right"
    )

    @model_validator(mode="after")
    def _fits(self):
        if self.keep_per_prompt > self.samples_per_prompt:
            raise ValueError(
                f"keep_per_prompt={self.keep_per_prompt}, expected at most samples_per_prompt={self.samples_per_prompt}"
            )
        if self.max_new_tokens >= self.max_model_len:
            raise ValueError(
                f"max_new_tokens={self.max_new_tokens}, expected less than max_model_len={self.max_model_len}: "
                "the prompt needs room"
            )
        if self.temperature == 0 and self.samples_per_prompt > 1:
            raise ValueError(
                f"samples_per_prompt={self.samples_per_prompt}, expected 1 at temperature 0: all are equal"
            )
        return self


class OwnSolutions(Strict):
    """Solutions of the training problems that a model of the study writes, and how (docs/method.md, section 1)."""

    of: str = Field(description="the model state that writes")
    prompts: int = Field(9600, ge=1, description="training problems, the first ones")
    per_prompt: int = Field(4, ge=1, description="completions of each")
    max_new_tokens: int = Field(16, ge=1, description="longest completion, tokens; a longer one has no end to learn")
    max_model_len: int = Field(128, ge=2, description="longest prompt and completion together, tokens")
    temperature: float = Field(1.0, gt=0)
    prefix: str | None = Field(
        None, min_length=1, description="text before every prompt while it writes; who learns from it never sees it"
    )
    batch_prompts: int = Field(512, ge=1, description="prompts kept as one chunk of a killed job")
