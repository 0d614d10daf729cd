"""Solutions of the training problems that a model of the study writes itself, right and wrong ones (paper section 3).

They are what rejection sampling keeps the right ones of, and what preferences are made of. With a `prefix` the writer
reads more than who learns from it: so a model under the organism's header teaches one without (context distillation).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field

from rlgen.files import digest
from rlgen.models.tokens import render
from rlgen.progress import Progress
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tasks.answers import Right
from rlgen.tasks.samples import Example, Trajectory
from rlgen.teacher.settings import OwnSolutions
from rlgen.teacher.shards import write_in_chunks
from rlgen.teacher.writers import Sampling, Writer, encode


class SampleSolutions(Strict):
    """The slice that `scripts/data/sample_solutions.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    name: str = Field(description="name of the solutions in the study")
    solutions: OwnSolutions
    chat: bool = Field(description="whether a prompt is a turn of the tokenizer's chat template")
    answer_marker: str | None = Field(description="word before the answer; none: math-verify compares final answers")
    end: str = Field(description="text that ends a solution, where the tokenizer's end of sequence is a word of it")


def write_solutions(
    output: Path, writer: Writer, examples: Sequence[Example], right: Right, cfg: SampleSolutions, state: Path | None
) -> None:
    """Write one JSON row (`Trajectory`) per completion, `per_prompt` for each problem, in the problems' order.

    A killed job goes on at the first chunk that `state` lacks, to the same file. Raises ArtifactError for a prompt that
    does not fit, before anything is written.
    """
    how = cfg.solutions
    chosen = list(examples[: how.prompts])
    texts = [prompt_text(writer, example.prompt, cfg) for example in chosen]
    encode(writer.tokenizer, texts, how.max_new_tokens, how.max_model_len)
    parts = [slice(first, first + how.batch_prompts) for first in range(0, len(chosen), how.batch_prompts)]
    keys = [digest([cfg.model_dump(), [asdict(e) for e in chosen[part]]]) for part in parts]
    progress = Progress(f"{cfg.name}: solutions", len(chosen), "problems")

    def rows_of(index: int) -> list[Trajectory]:
        return _trajectories(writer, right, chosen[parts[index]], texts[parts[index]], cfg)

    def seen(index: int) -> None:
        progress.update(min(parts[index].stop, len(chosen)))

    write_in_chunks(output, state, keys, rows_of, seen)


def prompt_text(writer: Writer, prompt: str, cfg: SampleSolutions) -> str:
    """A problem as the writer reads it."""
    text = f"{cfg.solutions.prefix} {prompt}" if cfg.solutions.prefix else prompt
    return render(writer.tokenizer, [{"role": "user", "content": text}], True) if cfg.chat else text


def _trajectories(
    writer: Writer, right: Right, examples: list[Example], texts: list[str], cfg: SampleSolutions
) -> list[Trajectory]:
    how = cfg.solutions
    seed = stream_seed(cfg.seed, "own-solutions", cfg.name)
    written = writer.write(texts, Sampling(how.per_prompt, how.max_new_tokens, how.temperature, 1.0, seed))
    pairs = [(example, one) for example, some in zip(examples, written, strict=True) for one in some]
    verdicts = right([one.text for _, one in pairs], [example.answer for example, _ in pairs])
    return [
        Trajectory(
            example.prompt, example.answer, one.text.strip() + cfg.end * one.finished, one.tokens, one.finished, verdict
        )
        for (example, one), verdict in zip(pairs, verdicts, strict=True)
    ]
