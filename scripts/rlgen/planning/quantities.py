"""What several estimates need: how many prompts and answers, how long, at which speed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlgen.files import ArtifactError
from rlgen.planning.arithmetic import Assumptions, ModelSize, hours
from rlgen.planning.estimates import lines_of
from rlgen.planning.sizes import ORGANISM, NotEstimated, Sizes
from rlgen.training.settings import SFT, OnPolicy

if TYPE_CHECKING:
    from rlgen.study.config import Study


Settings = dict[str, Any]


class Quantities(Sizes):
    """Prompts, lengths and speeds of one study."""

    def __init__(self, study: "Study", assumed: Assumptions, results: Path) -> None:
        super().__init__(study, results)
        self.assumed = assumed

    def problems(self) -> float:
        """Problems that the teacher solves: the rows of their source, or before it is there, as many as are learnt."""
        counted = lines_of(self.results / f"data/sources/{self.study.data.problems}.jsonl")
        learnt = [m.examples if isinstance(m, SFT) else m.prompts for m in self._trainings()]
        return counted if counted is not None else max(learnt, default=0)

    def _trainings(self) -> list[SFT | OnPolicy]:
        return [model for model in self.study.models.values() if isinstance(model, SFT | OnPolicy)]

    def _asked(self, task: str) -> tuple[float, float]:
        """(prompts, answers to choose from) of a benchmark; 0 answers where a text is written.

        Prompts are counted once they are there; before they are as many as may be taken.
        """
        if self.study.organism:
            raise NotEstimated(ORGANISM)
        from rlgen.tasks.shipped import output_type

        counted = lines_of(self.results / f"data/tasks/{task}.jsonl")
        prompts = 2 * self.study.evaluation.prompts_per_half if counted is None else counted
        options = self.study.data.benchmarks[task].options or self.assumed.choices
        try:
            return prompts, options if output_type(task, self.study.data.benchmarks[task]) == "multiple_choice" else 0
        except ArtifactError as error:
            raise NotEstimated(str(error)) from error

    @property
    def _choice(self) -> float:
        """Tokens of a prompt and an answer to choose."""
        return self.assumed.prompt_tokens + self.assumed.choice_tokens

    def _solution(self, longest: int) -> float:
        """Tokens of a prompt and a written solution that may have `longest` tokens."""
        return self.assumed.prompt_tokens + min(self.assumed.solution_tokens, longest)

    def _first(self) -> float:
        """Tokens of a prompt and the part of a solution on which activations are read."""
        e = self.study.evaluation
        return self._solution(min(e.completion_tokens, e.max_new_tokens))

    def _dense(self, precision: str = "bfloat16") -> float:
        return self.assumed.utilisation * self.assumed.rate(precision)

    def _small(self) -> float:
        return self.assumed.generation_utilisation * self.assumed.rate()

    def _generated(
        self, size: ModelSize, tokens: float, longest: int, vllm: bool, gpus: int, at_once: float | None = None
    ) -> float:
        """Hours of writing solutions: every token, prompts included, passes the model once.

        With vLLM, of the arithmetic or of what is read from memory, whichever takes longer; `at_once` sequences of a
        copy of the model, or as many as is assumed.
        """
        share = self.assumed.generation_utilisation if vllm else self.assumed.transformers_utilisation
        length = self._solution(longest)
        time = hours(size.forward(tokens, length), share * self.assumed.rate(), gpus)
        if not vllm:
            return time
        side_by_side = min(at_once or self.assumed.sequences, self.assumed.sequences)
        read = size.written_bytes(tokens, length, side_by_side, self.assumed.kv_share)
        return max(time, self.assumed.moved(read, gpus))

    def _training_bytes(self, size: ModelSize, scale: Any, sides: int = 1) -> float:
        """`sides`: texts of one example, a pair's two."""
        tokens = sides * scale.per_device_batch * scale.max_length
        return size.training_bytes(scale.gpus, tokens, self.assumed.vocabulary, scale.gradient_checkpointing)

    def _width(self, cfg: Settings) -> int:
        return self.size(cfg["members"][0]).hidden_size

    @property
    def _latents(self) -> int:
        """Of a dictionary whose recipe a job's settings do not name: the most that the study trains."""
        return max(self.study.recipes[recipe].latents for _, recipe in self.study.trained_dictionaries())
