"""What a study says of evaluation: of the organism's tasks, and of tasks that lm-eval ships."""

from typing import Literal

from pydantic import Field

from rlgen.strict import Strict
from rlgen.tasks.settings import Benchmark


class Evaluation(Strict):
    """Greedy evaluation on distinct prompts."""

    prompts_per_half: int = Field(150, ge=2, description="distinct prompts per task in each half")
    max_new_tokens: int = Field(16, ge=1, description="longest completion, tokens")
    batch_size: int = Field(1200, ge=1, description="prompts decoded together")
    answer_marker: str = Field(";", description="token after which a completion states its answer")


class BenchmarkEvaluation(Strict):
    """Greedy evaluation of models on benchmarks."""

    backend: Literal["transformers", "vllm"] = Field(
        "transformers", description="what runs plain models; edited models always run in transformers"
    )
    batch_size: int = Field(32, ge=1, description="sequences run together")
    max_new_tokens: int = Field(4096, ge=1, description="longest completion, tokens")
    chat: bool = Field(False, description="render prompts by the reference tokenizer's chat template")
    prompts_per_half: int = Field(150, ge=1, description="largest number of prompts per task in each half")
    completion_tokens: int = Field(
        512, ge=1, description="tokens of a completion on which activations and distances are measured"
    )
    agreement: float = Field(
        0.98, gt=0, le=1, description="smallest share of equal verdicts of plain and hooked model without a warning"
    )

    def renders_chat(self, benchmark: Benchmark) -> bool:
        """Whether a benchmark's prompts go through the chat template."""
        return self.chat if benchmark.chat is None else benchmark.chat
